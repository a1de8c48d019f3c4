package main

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/cmd/mesh/chaos"
	"github.com/ordermesh/ordermesh/contracts/orders"
	"github.com/ordermesh/ordermesh/embedded/postgres"
	"github.com/ordermesh/ordermesh/embedded/postgres/postgrestest"
	"github.com/ordermesh/ordermesh/embedded/redis"
	"github.com/ordermesh/ordermesh/embedded/redis/redistest"
)

// TestStoresComeAndGo stops and crashes PostgreSQL and cuts its clients off, and stops,
// crashes and freezes Redis at the same time, while orders come. They are placed and
// delivered all the time, and stock is what it is; lists are unavailable while PostgreSQL
// is, and then show everything.
func TestStoresComeAndGo(t *testing.T) {
	t.Parallel()
	rounds := 3
	if chaos.ScaleFromEnv() != chaos.Short {
		rounds = 10
	}
	server := postgrestest.Server(t)
	database, err := server.Database(t.Context(), "mesh")
	check(t, err)
	shared := redistest.Server(t)
	mesh := launchMeshWith(t, []string{"DATABASE_URL=" + database, "REDIS_URL=" + shared.URL()}, devArgs("--ephemeral", "--seed=false", "--set", "shipping.transit=0s")...)
	mesh.awaitReady()
	s := mesh.shop()
	s.stock("A", 500, 1_000_000)
	s.stock("B", 500, 7)
	s.listing(t)
	stop := s.keepOrdering()
	for round := range rounds {
		s.deliver(1)
		s.forget(shared, round)
		s.trouble(server, database, round)
		s.deliver(2)
		if stock := s.stockOf("B"); stock.OnHand != 7 || stock.Reserved != 0 {
			t.Errorf("stock without Redis: %+v", stock)
		}
		check(t, server.Run(t.Context()))
		s.remember(shared, round)
		s.listing(t)
	}
	placed := stop()
	t.Logf("%d orders in %d rounds", placed, rounds)
	env := []string{"DATABASE_URL=" + database, "NATS_URL=" + mesh.note.NATS}
	bustest.Eventually(t, patience, func() bool {
		code, out := runTool(t, env, "view", "status")
		return code == exitGood && strings.Count(out, "follows") == len(storedViews())
	}, "all views to be up to date")
	if code, out := runTool(t, env, "view", "verify"); code != exitGood {
		t.Errorf("verify %d: %s", code, out)
	}
	comesToRest(t, mesh.note.NATS)
	var rows int
	conn, err := pgx.Connect(t.Context(), database)
	check(t, err)
	check(t, conn.QueryRow(t.Context(), "SELECT count(*) FROM orders.orders").Scan(&rows))
	check(t, conn.Close(t.Context()))
	if want := placed + 3*rounds; rows != want {
		t.Errorf("%d orders in the view, %d were placed", rows, want)
	}
}

// trouble is another kind in each round.
func (s shop) trouble(server *postgres.Server, database string, round int) {
	s.t.Helper()
	switch round % 3 {
	case 0:
		check(s.t, server.Kill())
	case 1:
		check(s.t, server.Stop())
	case 2:
		conn, err := pgx.Connect(s.t.Context(), database)
		check(s.t, err)
		_, err = conn.Exec(s.t.Context(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'")
		check(s.t, err)
		check(s.t, conn.Close(s.t.Context()))
		return
	}
	if _, refusal := s.ask("orders.list", `{}`, contract.HeaderTimeout, "2000"); refusal == nil || refusal.Code != contract.Unavailable {
		s.t.Errorf("a list without its database: %v", refusal)
	}
}

// forget takes Redis away, in another way in each round; remember brings it back, empty
// unless it was frozen.
func (s shop) forget(server *redis.Server, round int) {
	s.t.Helper()
	check(s.t, []func() error{server.Kill, server.Stop, server.Freeze}[round%3]())
}

func (s shop) remember(server *redis.Server, round int) {
	s.t.Helper()
	if round%3 == 2 {
		check(s.t, server.Thaw())
		return
	}
	check(s.t, server.Run(s.t.Context()))
}

// deliver places orders and waits for their end.
func (s shop) deliver(n int) {
	s.t.Helper()
	for range n {
		if order := s.ended(s.place(orderJSON("A", 1, "tok_ok")).OrderID); order.Status != orders.Delivered {
			s.t.Errorf("%+v", order)
		}
	}
}

// listing waits until lists are answered again.
func (s shop) listing(t *testing.T) {
	t.Helper()
	var last *contract.Error
	bustest.Eventually(t, patience, func() bool {
		_, last = s.ask("orders.list", `{}`)
		return last == nil
	}, "a list")
}

// keepOrdering places orders until stop is called, which returns how many there are.
func (s shop) keepOrdering() (stop func() int) {
	var placed atomic.Int64
	ctx, cancel := context.WithCancel(context.Background())
	var ordering sync.WaitGroup
	ordering.Go(func() {
		pace := time.NewTicker(20 * time.Millisecond) // the machine has more to do than this
		defer pace.Stop()
		for ctx.Err() == nil {
			<-pace.C
			m := &nats.Msg{Subject: "svc.orders.place", Data: []byte(orderJSON("A", 1, "tok_ok")), Header: nats.Header{}}
			reply, err := s.nc.RequestMsg(m, patience)
			if err != nil || reply.Header.Get(contract.HeaderErrorCode) != "" {
				s.t.Errorf("place: %v %s", err, reply.Data)
				return
			}
			placed.Add(1)
		}
	})
	s.t.Cleanup(cancel)
	return func() int {
		cancel()
		ordering.Wait()
		return int(placed.Load())
	}
}
