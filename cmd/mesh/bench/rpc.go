package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/rpc"
)

// stockQuery and stockLevel are as small as real requests and replies get, so that
// the JSON does not hide what the library costs.
type stockQuery struct {
	SKU string `json:"sku"`
}

type stockLevel struct {
	SKU       string `json:"sku"`
	OnHand    int64  `json:"on_hand"`
	Reserved  int64  `json:"reserved"`
	Available int64  `json:"available"`
	Version   uint64 `json:"version"`
}

var stockGet = contract.NewMethod[stockQuery, stockLevel]("bench", "get", contract.Idempotent())

const rawSubject = "raw.bench.get"

// RPC compares bus/rpc with the same request and reply by hand: a queue
// subscription that decodes, encodes and responds, and Conn.RequestMsg.
func RPC(ctx context.Context, o Options) (Report, error) {
	o = o.withDefaults()
	report := newReport("rpc", o)
	for _, transport := range o.Transports {
		rows, err := rpcOver(ctx, o, transport)
		if err != nil {
			return report, fmt.Errorf("bench rpc over %s: %w", transport, err)
		}
		report.Rows = append(report.Rows, rows...)
	}
	report.finish()
	return report, nil
}

func rpcOver(ctx context.Context, o Options, transport string) (rows []Row, err error) {
	g, err := newGround(o, transport)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, g.close()) }()
	server, err := g.pair(ctx, "bench")
	if err != nil {
		return nil, err
	}
	client, err := g.pair(ctx, "caller")
	if err != nil {
		return nil, err
	}
	stop, err := serveStock(ctx, server.ours)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	if err := serveRaw(server.raw.NATS()); err != nil {
		return nil, err
	}
	ours, raw := callStock(rpc.NewClient(client.ours)), callRaw(client.raw.NATS())
	for _, clients := range o.Concurrency {
		row, err := compare(ctx, o, clients, ours, raw)
		if err != nil {
			return nil, err
		}
		row.Name, row.Transport, row.Goal = "rpc", transport, Goal{OpsRatio: 0.9, P50Ratio: 1.15}
		rows = append(rows, row)
		fmt.Fprintf(o.Progress, "rpc over %s, %d clients: %.0f/s, %.2f of raw\n", transport, clients, row.Ours.Ops, row.OpsRatio)
	}
	return rows, nil
}

func level(sku string) stockLevel {
	return stockLevel{SKU: sku, OnHand: 1000, Reserved: 12, Available: 988, Version: 42}
}

// serveStock runs an rpc.Server until stop is called.
func serveStock(ctx context.Context, conn *bus.Conn) (stop func() error, err error) {
	s, err := rpc.NewServer(conn, contract.Service{Name: "bench", Version: "1.0.0", Serves: []contract.MethodInfo{stockGet.Info()}})
	if err != nil {
		return nil, err
	}
	rpc.Handle(s, stockGet, func(_ context.Context, q stockQuery) (stockLevel, error) { return level(q.SKU), nil })
	return serving(ctx, s)
}

// serving runs a server until stop is called, and returns when it answers.
func serving(ctx context.Context, s *rpc.Server) (stop func() error, err error) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stop = func() error {
		cancel()
		return <-done
	}
	select {
	case <-s.Ready():
		return stop, nil
	case err := <-done:
		cancel()
		return nil, err
	}
}

// serveRaw answers by hand what serveStock answers.
func serveRaw(nc *nats.Conn) error {
	_, err := nc.QueueSubscribe(rawSubject, "bench", func(m *nats.Msg) {
		var q stockQuery
		if err := contract.Unmarshal(m.Data, &q); err != nil {
			return // the caller's time-out ends the benchmark
		}
		body, err := contract.Marshal(level(q.SKU))
		if err != nil {
			return
		}
		if err := m.Respond(body); err != nil {
			return
		}
	})
	return errors.Join(err, nc.Flush())
}

func callStock(client *rpc.Client) operation {
	return func(ctx context.Context, _ int) error {
		got, err := rpc.Call(ctx, client, stockGet, stockQuery{SKU: "TEA-001"})
		return errors.Join(err, checkLevel(got))
	}
}

// callRaw sends the same body and the same header, and decodes the reply alike.
func callRaw(nc *nats.Conn) operation {
	return func(context.Context, int) error {
		body, err := contract.Marshal(stockQuery{SKU: "TEA-001"})
		if err != nil {
			return err
		}
		msg := &nats.Msg{Subject: rawSubject, Data: body, Header: nats.Header{contract.HeaderTimeout: {"5000"}}}
		reply, err := nc.RequestMsg(msg, 5*time.Second)
		if err != nil {
			return err
		}
		var got stockLevel
		return errors.Join(contract.UnmarshalLenient(reply.Data, &got), checkLevel(got))
	}
}

func checkLevel(got stockLevel) error {
	if got != level("TEA-001") {
		return fmt.Errorf("the reply is %+v", got)
	}
	return nil
}
