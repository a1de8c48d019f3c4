package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ordermesh/ordermesh/cmd/mesh/snapshot"
)

type restoreOptions struct {
	nats          natsFlags
	verify, check bool
	replicas      int
}

func restoreCommand(c *cli) *cobra.Command {
	var o restoreOptions
	cmd := &cobra.Command{
		Use: "restore <dir>", Short: "Put a backup into an empty server or cluster", GroupID: groupOther, Args: exactly("a folder"),
		Long: "Check every file of a backup and put it into a server that has none of its streams; nothing that\n" +
			"exists is touched. Start services only afterwards: they finish what was under way, and views in\n" +
			"PostgreSQL stand still until 'mesh view rebuild' has folded the streams anew.",
		Example: "  mesh restore /backups/2026-11-24 --nats nats://10.0.0.9:4222 --verify\n" +
			"  mesh restore /backups/2026-11-24 --nats nats://127.0.0.1:4333 --replicas 1   # rehearse on a single server\n" +
			"  mesh restore /backups/2026-11-24 --check                                     # only the files",
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.replicas < 0 || o.replicas > 5 {
				return usagef("--replicas %d is not possible: use 1 to 5", o.replicas)
			}
			return o.run(cmd.Context(), c, args[0])
		},
	}
	f := cmd.Flags()
	o.nats.add(f)
	f.BoolVar(&o.verify, "verify", false, "then compute the hash of every stream anew from the server and compare")
	f.BoolVar(&o.check, "check", false, "check the files and restore nothing")
	f.IntVar(&o.replicas, "replicas", 0, "`copies` of each stream; as many as it had by default")
	return cmd
}

// restored is the answer for programs.
type restored struct {
	Restored bool                  `json:"restored"`
	Streams  []snapshot.Stream     `json:"streams"`
	Verified []snapshot.Comparison `json:"verified,omitempty"`
}

func (o *restoreOptions) run(ctx context.Context, c *cli, dir string) error {
	if o.check {
		m, err := snapshot.Check(dir)
		if err != nil {
			return err
		}
		return o.report(c, dir, &m, nil)
	}
	conn, err := o.nats.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	m, err := snapshot.Restore(ctx, conn.NATS(), dir, snapshot.Options{Replicas: o.replicas, Progress: c.streamDone})
	if errors.Is(err, snapshot.ErrExists) {
		return usagef("%w", err)
	}
	if err != nil || !o.verify {
		if err == nil {
			err = o.report(c, dir, &m, nil)
		}
		return err
	}
	compared, err := snapshot.Compare(ctx, conn.NATS(), dir, &m)
	if err != nil {
		return err
	}
	return o.report(c, dir, &m, compared)
}

func (o *restoreOptions) report(c *cli, dir string, m *snapshot.Manifest, compared []snapshot.Comparison) error {
	var wrong []string
	left := uint64(0)
	for _, v := range compared {
		left += v.Left
		if !v.Same {
			wrong = append(wrong, v.Stream+": "+strings.Join(v.Problems, ", "))
		}
	}
	var err error
	messages, bytes := totals(m)
	switch {
	case c.json:
		err = c.printJSON(restored{!o.check, m.Streams, compared})
	case o.check:
		_, err = fmt.Fprintf(c.out, "the backup of %s in %s is whole: %d streams, %d messages, %s\n",
			m.Begun.Format(time.RFC3339), dir, len(m.Streams), messages, megabytes(bytes))
	default:
		_, err = fmt.Fprintf(c.out, "restored %d streams, %d messages, from %s\n", len(m.Streams), messages, dir)
	}
	if err == nil && len(wrong) > 0 {
		return fmt.Errorf("%d streams are not as in the backup: %s", len(wrong), strings.Join(wrong, "; "))
	}
	if err == nil && compared != nil && !c.json {
		_, err = fmt.Fprintf(c.out, "verified: every hash is the backup's; %d messages whose time was over are gone\n", left)
	}
	return err
}
