package bus

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// Provision creates the streams and buckets that are missing and updates those
// whose configuration differs. It never deletes anything and it may be called by
// several processes at once. While the server has no JetStream leader it tries
// again until ctx ends. replicas is 1 or 3.
func Provision(ctx context.Context, conn *Conn, specs []contract.StreamSpec, replicas int) error {
	for _, spec := range specs {
		if err := retryProvision(ctx, func(ctx context.Context) error {
			return provision(ctx, conn.js, spec, replicas)
		}); err != nil {
			return fmt.Errorf("provision %s: %w", spec.Name, err)
		}
	}
	return nil
}

func provision(ctx context.Context, js jetstream.JetStream, spec contract.StreamSpec, replicas int) error {
	if spec.Objects {
		_, err := js.CreateOrUpdateObjectStore(ctx, jetstream.ObjectStoreConfig{
			Bucket: spec.Name, Replicas: replicas, Storage: jetstream.FileStorage,
		})
		return err
	}
	if spec.KV {
		_, err := js.CreateOrUpdateKeyValue(ctx, kvConfig(spec, replicas))
		return err
	}
	cfg := streamConfig(spec, replicas)
	switch stream, err := js.Stream(ctx, spec.Name); {
	case err == nil:
		cfg.Metadata = keepMetadata(stream.CachedInfo().Config.Metadata, cfg.Metadata)
	case !errors.Is(err, jetstream.ErrStreamNotFound):
		return err
	}
	_, err := js.CreateOrUpdateStream(ctx, cfg)
	return err
}

// keepMetadata adds to what a stream already says of itself: facts such as its
// number of partitions are fixed when it is created and never overwritten.
func keepMetadata(have, want map[string]string) map[string]string {
	all := maps.Clone(want)
	if all == nil {
		all = map[string]string{}
	}
	for key, value := range have {
		if !strings.HasPrefix(key, "_nats.") {
			all[key] = value
		}
	}
	return all
}

// codeNoPeers: too few servers of the cluster are there for the replicas; they may
// still be starting.
const codeNoPeers = 10005

// retryProvision repeats f while the cluster is not ready.
func retryProvision(ctx context.Context, f func(context.Context) error) error {
	for {
		try, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := f(try)
		cancel()
		var api *jetstream.APIError
		transient := errors.Is(err, context.DeadlineExceeded) || errors.Is(err, jetstream.ErrNoStreamResponse) ||
			(errors.As(err, &api) && (api.Code == 503 || api.ErrorCode == codeNoPeers))
		if err == nil || !transient {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w (gave up: %w)", err, ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// StreamConfig is what a stream, or the stream behind a bucket, is made with. An event
// stream keeps every message for ever in a file, readable by direct get.
func StreamConfig(spec contract.StreamSpec, replicas int) jetstream.StreamConfig {
	switch {
	case spec.KV:
		return bucketConfig(spec, replicas)
	case spec.Objects:
		return jetstream.StreamConfig{
			Name: spec.StreamName(), Subjects: []string{"$O." + spec.Name + ".C.>", "$O." + spec.Name + ".M.>"}, Replicas: replicas,
			Storage: jetstream.FileStorage, Discard: jetstream.DiscardNew, AllowRollup: true, AllowDirect: true,
		}
	}
	return streamConfig(spec, replicas)
}

// bucketConfig is what the client library makes of kvConfig.
func bucketConfig(spec contract.StreamSpec, replicas int) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: spec.StreamName(), Subjects: []string{"$KV." + spec.Name + ".>"}, Replicas: replicas,
		Storage: jetstream.FileStorage, Discard: jetstream.DiscardNew, MaxMsgsPerSubject: int64(kvConfig(spec, replicas).History),
		AllowRollup: true, DenyDelete: true, AllowDirect: true,
		AllowMsgTTL: spec.MarkerTTL > 0, SubjectDeleteMarkerTTL: spec.MarkerTTL,
	}
}

// ConsumerConfig is what a durable consumer is made with.
func ConsumerConfig(spec contract.ConsumerSpec) jetstream.ConsumerConfig {
	cfg := jetstream.ConsumerConfig{
		Durable: spec.Name, Name: spec.Name, Description: spec.Description, FilterSubject: spec.Filter,
		DeliverPolicy: jetstream.DeliverAllPolicy, AckPolicy: jetstream.AckExplicitPolicy,
		AckWait: spec.AckWait, MaxDeliver: -1, MaxAckPending: spec.MaxAckPending, Metadata: spec.Metadata,
	}
	if spec.Group != "" {
		cfg.PriorityPolicy, cfg.PriorityGroups, cfg.PinnedTTL = jetstream.PriorityPolicyPinned, []string{spec.Group}, spec.PinTTL
	}
	return cfg
}

// streamConfig is StreamConfig of a plain stream.
func streamConfig(spec contract.StreamSpec, replicas int) jetstream.StreamConfig {
	cfg := jetstream.StreamConfig{
		Name: spec.Name, Subjects: spec.Subjects, Replicas: replicas,
		Retention: jetstream.LimitsPolicy, Storage: jetstream.FileStorage,
		Discard: jetstream.DiscardOld, MaxAge: spec.MaxAge, Metadata: spec.Metadata,
		DenyDelete: spec.DenyDelete, AllowDirect: true,
	}
	if spec.DiscardNew {
		cfg.Discard = jetstream.DiscardNew
	}
	if spec.Schedules {
		cfg.AllowMsgSchedules, cfg.AllowMsgTTL, cfg.AllowRollup = true, true, true
	}
	return cfg
}

func kvConfig(spec contract.StreamSpec, replicas int) jetstream.KeyValueConfig {
	return jetstream.KeyValueConfig{
		Bucket: spec.Name, History: uint8(min(max(spec.History, 1), 64)), Replicas: replicas,
		Storage: jetstream.FileStorage, LimitMarkerTTL: spec.MarkerTTL,
	}
}
