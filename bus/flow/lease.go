package flow

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/contract"
)

// leases are the keys of one service in the lease bucket:
//
//	<service>.w.<worker>     presence, rewritten at every beat, gone soon after the last
//	<service>.p.<partition>  the worker that owns the partition, changed by compare-and-set
//
// A partition's key has no time-out: whether its owner lives is told by presence.
type leases struct {
	conn    *bus.Conn
	kv      jetstream.KeyValue
	service string
}

// presenceTTL is how long a presence key outlives its last beat, in the form of the
// Nats-TTL header.
const presenceTTL = "2s"

// What a presence key says.
const (
	present = "on"
	leaving = "leaving" // keeps what it has until it is handed over, and gets nothing new
)

func openLeases(ctx context.Context, conn *bus.Conn, service string) (*leases, error) {
	kv, err := conn.JetStream().KeyValue(ctx, contract.FlowLeaseKV)
	if err != nil {
		return nil, fmt.Errorf("flow: bucket %s: %w", contract.FlowLeaseKV, err)
	}
	return &leases{conn: conn, kv: kv, service: service}, nil
}

func (l *leases) presenceKey(worker string) string { return l.service + ".w." + worker }
func (l *leases) partitionKey(p int) string        { return l.service + ".p." + strconv.Itoa(p) }

// watch follows every key of the service.
func (l *leases) watch(ctx context.Context) (jetstream.KeyWatcher, error) {
	w, err := l.kv.Watch(ctx, l.service+".>")
	if err != nil {
		return nil, fmt.Errorf("flow: watch the bucket %s: %w", contract.FlowLeaseKV, err)
	}
	return w, nil
}

// beat renews the presence; done is called once it is stored, or not. The client
// library has no way to rewrite a key with a new time-out, so the message is written
// by hand.
func (l *leases) beat(worker, value string, done func(error)) {
	msg := &nats.Msg{
		Subject: "$KV." + contract.FlowLeaseKV + "." + l.presenceKey(worker), Data: []byte(value),
		Header: nats.Header{"Nats-TTL": {presenceTTL}},
	}
	err := l.conn.Appender().Start(msg, bus.NoExpectation, func(_ bus.Ack, err error) { done(err) })
	if err != nil {
		done(err)
	}
}

// withdraw takes the presence away at once.
func (l *leases) withdraw(ctx context.Context, worker string) error {
	return l.kv.Purge(ctx, l.presenceKey(worker), jetstream.PurgeTTL(0))
}

// claim makes worker the owner of a partition whose key has the given revision (0 for
// none). errTaken means that somebody else was faster.
func (l *leases) claim(ctx context.Context, p int, worker string, revision uint64) (uint64, error) {
	var err error
	if revision == 0 {
		revision, err = l.kv.Create(ctx, l.partitionKey(p), []byte(worker))
	} else {
		revision, err = l.kv.Update(ctx, l.partitionKey(p), []byte(worker), revision)
	}
	if errors.Is(err, jetstream.ErrKeyExists) || errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
		return 0, errTaken
	}
	return revision, err
}

// free gives a partition up, unless somebody has taken it already.
func (l *leases) free(ctx context.Context, p int, revision uint64) error {
	err := l.kv.Delete(ctx, l.partitionKey(p), jetstream.LastRevision(revision))
	if errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
		return nil
	}
	return err
}

var errTaken = errors.New("another worker has claimed the partition")

// parseLease splits a key of the bucket: exactly one of worker and partition is set.
func (l *leases) parseLease(key string) (worker string, partition int, ok bool) {
	rest, ok := strings.CutPrefix(key, l.service+".")
	if !ok {
		return "", 0, false
	}
	if worker, ok = strings.CutPrefix(rest, "w."); ok {
		return worker, 0, true
	}
	if rest, ok = strings.CutPrefix(rest, "p."); !ok {
		return "", 0, false
	}
	partition, err := strconv.Atoi(rest)
	return "", partition, err == nil
}
