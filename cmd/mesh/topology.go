package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/contract"
)

// profile says who creates streams and how safe they must be. It is a flag value.
type profile string

const (
	profileDev        profile = "dev"
	profileProduction profile = "production"
)

// Set accepts the known profiles.
func (p *profile) Set(text string) error {
	if *p = profile(text); *p != profileDev && *p != profileProduction {
		return errors.New("use dev or production")
	}
	return nil
}

// String is the profile's name.
func (p *profile) String() string { return string(*p) }

// Type is the word that help uses for the value.
func (p *profile) Type() string { return "profile" }

// productionReplicas is how many copies a stream needs to survive the loss of one.
const productionReplicas = 3

// prepare makes sure that the streams and buckets a service needs are there: in
// development by creating them, in production by refusing to go on without.
func (p *profile) prepare(ctx context.Context, conn *bus.Conn, desc contract.Service) error {
	specs := contract.Streams(desc)
	if *p == profileDev {
		return provisionDev(ctx, conn, specs)
	}
	problems, err := checkTopology(ctx, conn.JetStream(), specs)
	if err != nil {
		return err
	}
	if len(problems) > 0 {
		return fmt.Errorf("not fit for production: %s; 'mesh topology apply' can mend this", strings.Join(problems, "; "))
	}
	return nil
}

// provisionDev creates what is missing with one copy. A stream that somebody made with
// more keeps them. While the server cannot tell, it is asked again until ctx ends.
func provisionDev(ctx context.Context, conn *bus.Conn, specs []contract.StreamSpec) error {
	for _, spec := range specs {
		replicas := 0
		for replicas == 0 {
			stream, err := conn.JetStream().Stream(ctx, streamName(spec))
			switch {
			case err == nil:
				replicas = max(1, stream.CachedInfo().Config.Replicas)
			case errors.Is(err, jetstream.ErrStreamNotFound):
				replicas = 1
			case ctx.Err() != nil:
				return ctx.Err()
			default:
				pause(ctx, 200*time.Millisecond)
			}
		}
		if err := bus.Provision(ctx, conn, []contract.StreamSpec{spec}, replicas); err != nil {
			return err
		}
	}
	return nil
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func topologyCommand(c *cli) *cobra.Command {
	var n natsFlags
	check := &cobra.Command{
		Use: "check", Short: "Compare streams and buckets with what production needs", Args: exactly(),
		Example: "  mesh topology check --nats nats://10.0.0.5:4222",
		RunE:    func(cmd *cobra.Command, _ []string) error { return runTopologyCheck(cmd.Context(), c, &n) },
	}
	n.add(check.Flags())
	return group("topology", "Create and check the streams and buckets of all services",
		"  mesh topology apply --replicas 3\n  mesh topology check", topologyApply(c), check)
}

func topologyApply(c *cli) *cobra.Command {
	var n natsFlags
	var replicas int
	cmd := &cobra.Command{
		Use: "apply", Short: "Create what is missing and update what differs; nothing is ever deleted", Args: exactly(),
		Example: "  mesh topology apply --nats nats://10.0.0.5:4222 --replicas 3",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if replicas != 1 && replicas != productionReplicas {
				return usagef("--replicas %d is not possible: use 1 or %d", replicas, productionReplicas)
			}
			conn, err := n.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer conn.Close()
			specs := contract.Streams(descriptors(allServices())...)
			ctx, cancel := context.WithTimeout(cmd.Context(), readyTimeout)
			defer cancel()
			if err := bus.Provision(ctx, conn, specs, replicas); err != nil {
				return err
			}
			if c.json {
				return c.printJSON(map[string]any{"applied": specNames(specs), "replicas": replicas})
			}
			_, err = fmt.Fprintf(c.out, "applied with %d replicas: %s\n", replicas, strings.Join(specNames(specs), ", "))
			return err
		},
	}
	n.add(cmd.Flags())
	cmd.Flags().IntVar(&replicas, "replicas", productionReplicas, "`copies` of each stream: 3, or 1 on a single server")
	return cmd
}

func runTopologyCheck(ctx context.Context, c *cli, n *natsFlags) error {
	conn, err := n.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	problems, err := checkTopology(ctx, conn.JetStream(), contract.Streams(descriptors(allServices())...))
	if err != nil {
		return err
	}
	if c.json {
		err = c.printJSON(map[string]any{"good": len(problems) == 0, "problems": append([]string{}, problems...)})
	} else if len(problems) == 0 {
		_, err = fmt.Fprintln(c.out, "every stream and bucket is as production needs it")
	}
	if err == nil && len(problems) > 0 {
		err = fmt.Errorf("%d things are not as production needs them: %s; 'mesh topology apply' can mend this",
			len(problems), strings.Join(problems, "; "))
	}
	return err
}

// checkTopology returns every difference between what is there and what production
// needs. An error means that it could not look.
func checkTopology(ctx context.Context, js jetstream.JetStream, specs []contract.StreamSpec) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var problems []string
	for _, spec := range specs {
		name := streamName(spec)
		stream, err := js.Stream(ctx, name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			problems = append(problems, name+" is missing")
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("look at stream %s: %w", name, err)
		}
		problems = append(problems, checkStream(spec, stream.CachedInfo().Config)...)
	}
	return problems, nil
}

func checkStream(spec contract.StreamSpec, got jetstream.StreamConfig) []string {
	var problems []string
	demand := func(ok bool, format string, args ...any) {
		if !ok {
			problems = append(problems, got.Name+" "+fmt.Sprintf(format, args...))
		}
	}
	demand(got.Replicas >= productionReplicas, "has %d replicas, not %d", got.Replicas, productionReplicas)
	demand(got.Storage == jetstream.FileStorage, "is not stored in files")
	demand(got.MaxAge == spec.MaxAge, "forgets after %s, not %s", got.MaxAge, spec.MaxAge)
	demand(!spec.KV || got.MaxMsgsPerSubject >= int64(spec.History), "keeps %d values of a key, not %d", got.MaxMsgsPerSubject, spec.History)
	if spec.KV || spec.Objects {
		return problems
	}
	demand(slices.Equal(slices.Sorted(slices.Values(got.Subjects)), slices.Sorted(slices.Values(spec.Subjects))),
		"stores %v, not %v", got.Subjects, spec.Subjects)
	demand(!spec.DiscardNew || got.Discard == jetstream.DiscardNew, "discards old messages when it is full")
	demand(!spec.DenyDelete || got.DenyDelete, "lets messages be deleted")
	demand(!spec.Schedules || (got.AllowMsgSchedules && got.AllowMsgTTL), "has no message schedules")
	demand(got.MaxMsgs <= 0, "keeps only %d messages", got.MaxMsgs)
	return problems
}

func streamName(spec contract.StreamSpec) string {
	switch {
	case spec.KV:
		return "KV_" + spec.Name
	case spec.Objects:
		return "OBJ_" + spec.Name
	}
	return spec.Name
}

func specNames(specs []contract.StreamSpec) []string {
	list := make([]string, len(specs))
	for i, spec := range specs {
		list[i] = streamName(spec)
	}
	return list
}
