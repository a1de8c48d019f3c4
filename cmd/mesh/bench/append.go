package bench

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/eventstore"
)

const (
	manyEntities  = 64
	hotCallers    = 64
	defaultStored = 100_000
	loadStride    = 7919 // from one cold load to the next, about half a block
	blockProbes   = 500  // reads that touch every block of a stream of a million
	benchStream   = "BENCH"
)

// gauge is an entity as small as real ones get, so that the domain does not hide
// what the library costs.
type gauge struct {
	Level int64 `json:"level"`
	Moves int64 `json:"moves"`
}

type gaugeEvent interface{ gaugeEvent() }

type moved struct {
	Delta  int64  `json:"delta"`
	Reason string `json:"reason"`
}

func (moved) gaugeEvent() {}

const movedType = "gauge.moved.v1"

var gaugeEvents = contract.NewEvents[gaugeEvent]("bench", benchStream, "gauge", contract.Type[gaugeEvent, moved](movedType))

func gaugeService() contract.Service {
	return contract.Service{Name: "bench", Version: "1.0.0", Appends: []contract.EventsInfo{gaugeEvents.Info()}}
}

type gauges = eventstore.Entity[gauge, moved, gaugeEvent]

func newGauges(conn *bus.Conn, opts ...eventstore.Option) *gauges {
	return eventstore.NewEntity(eventstore.NewJetStreamLog(conn, benchStream), gaugeEvents,
		func(_ gauge, m moved) ([]gaugeEvent, error) { return []gaugeEvent{m}, nil },
		func(g gauge, e gaugeEvent) gauge {
			if m, ok := e.(moved); ok {
				g.Level, g.Moves = g.Level+m.Delta, g.Moves+1
			}
			return g
		}, opts...)
}

// Append compares eventstore.Entity with compare-and-append by hand that stores the
// same messages, measures many callers of one entity, and how long an entity takes
// to load that is not in memory.
func Append(ctx context.Context, o Options) (Report, error) {
	o = o.withDefaults()
	report := newReport("append", o)
	for _, transport := range o.Transports {
		rows, err := appendOver(ctx, o, transport)
		if err != nil {
			return report, fmt.Errorf("bench append over %s: %w", transport, err)
		}
		report.Rows = append(report.Rows, rows...)
	}
	report.finish()
	return report, nil
}

func appendOver(ctx context.Context, o Options, transport string) (rows []Row, err error) {
	g, err := newGround(o, transport)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, g.close()) }()
	if err := g.provision(ctx, contract.Streams(gaugeService())); err != nil {
		return nil, err
	}
	conns, err := g.pair(ctx, "bench")
	if err != nil {
		return nil, err
	}
	for _, measure := range []func(context.Context, Options, pair) (Row, error){appendOne, appendMany, appendHot, loadCold} {
		row, err := measure(ctx, o, conns)
		if err != nil {
			return nil, err
		}
		row.Transport = transport
		rows = append(rows, row)
		fmt.Fprintf(o.Progress, "%s over %s: %.0f/s, p50 %v, %.2f of raw\n", row.Name, transport, row.Ours.Ops, row.Ours.P50, row.OpsRatio)
	}
	return rows, nil
}

// appendOne has one client on one entity.
func appendOne(ctx context.Context, o Options, conns pair) (Row, error) {
	row, err := compareAppends(ctx, o, conns, 1)
	row.Name = "append, one entity"
	return row, err
}

// appendMany has a client on each of many entities.
func appendMany(ctx context.Context, o Options, conns pair) (Row, error) {
	row, err := compareAppends(ctx, o, conns, manyEntities)
	row.Name, row.Goal = fmt.Sprintf("append, %d entities", manyEntities), Goal{OpsRatio: 0.85}
	return row, err
}

func compareAppends(ctx context.Context, o Options, conns pair, clients int) (Row, error) {
	entities, ids := newGauges(conns.ours), newCommandIDs(clients)
	prefix := "ours" + strconv.Itoa(clients) + "-"
	names := make([]string, clients)
	for i := range names {
		names[i] = prefix + strconv.Itoa(i)
	}
	ours := func(ctx context.Context, client int) error {
		_, _, err := entities.Do(ctx, names[client], ids.next(client), moved{Delta: 1, Reason: "benchmark"})
		return err
	}
	raw := newRawGauges(conns.raw, "raw"+strconv.Itoa(clients)+"-", clients)
	return compare(ctx, o, clients, ours, func(ctx context.Context, client int) error {
		return raw.do(ctx, client, ids.next(client), moved{Delta: 1, Reason: "benchmark"})
	})
}

// appendHot has many callers of one entity.
func appendHot(ctx context.Context, o Options, conns pair) (Row, error) {
	entities, ids := newGauges(conns.ours), newCommandIDs(hotCallers)
	ours, err := repeat(ctx, o, hotCallers, func(ctx context.Context, client int) error {
		_, _, err := entities.Do(ctx, "hot", ids.next(client), moved{Delta: 1, Reason: "benchmark"})
		return err
	})
	return Row{Name: "commands, one hot entity", Concurrency: hotCallers, Ours: ours, Goal: Goal{Ops: 50_000}}, err
}

// fill stores one message of each of n entities.
func fill(ctx context.Context, entities *gauges, n int) error {
	const clients = 256
	var next atomic.Int64
	errs := make(chan error, clients)
	for range clients {
		go func() {
			var err error
			for i := next.Add(1); i <= int64(n) && err == nil; i = next.Add(1) {
				_, _, err = entities.Do(ctx, "cold-"+strconv.FormatInt(i-1, 10), "fill", moved{Delta: i, Reason: "benchmark"})
			}
			errs <- err
		}()
	}
	var all error
	for range clients {
		all = errors.Join(all, <-errs)
	}
	return all
}

// commandIDs makes ids that look like those of clients, at no cost worth measuring.
type commandIDs struct{ counts []clientCount }

type clientCount struct {
	n uint64
	_ [7]uint64 // a cache line each
}

func newCommandIDs(clients int) *commandIDs {
	return &commandIDs{make([]clientCount, clients)}
}

func (c *commandIDs) next(client int) string {
	c.counts[client].n++
	b := append(make([]byte, 0, 40), "01JQ7V8Z4E6N2K9X-"...)
	b = strconv.AppendInt(b, int64(client), 10)
	return string(strconv.AppendUint(append(b, '-'), c.counts[client].n, 10))
}
