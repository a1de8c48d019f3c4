package eventstore_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/eventstore"
	"github.com/ordermesh/ordermesh/embedded/natsd"
)

// Concurrent clients work on a handful of counters through three processes' worth
// of entities while servers are killed without warning. Every answer must be that of
// one counter after the other, in an order that real time allows. MESH_LONG=1 runs
// 20,000 operations and more kills.
const (
	linearClients  = 8
	linearEntities = 5
	linearLimit    = 30
)

func linearSize() (operations, kills int) {
	if os.Getenv("MESH_LONG") != "" {
		return 20_000, 10
	}
	return 3_000, 2
}

func TestLinearizableWhileTheServerIsKilled(t *testing.T) {
	t.Parallel()
	child, err := natsd.StartChild(t.Context(), natsd.Config{Port: -1, StoreDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeAll(t, child) })
	kill := func(ctx context.Context) error {
		return errors.Join(child.Kill(), child.Restart(ctx))
	}
	operations, kills := linearSize()
	linearizable(t, []string{child.URL()}, 1, operations, kills, kill)
}

func TestLinearizableWhileLeadersAreKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("an election takes seconds")
	}
	t.Parallel()
	cluster, err := natsd.StartChildCluster(t.Context(), 3, t.TempDir(), natsd.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeAll(t, cluster) })
	kill := func(ctx context.Context) error {
		leader, err := cluster.WaitLeader(ctx, stream.Name)
		if err != nil {
			return err
		}
		if err := cluster.Node(leader).Kill(); err != nil {
			return err
		}
		if _, err := cluster.WaitLeader(ctx, stream.Name); err != nil {
			return err
		}
		return errors.Join(cluster.Node(leader).Restart(ctx), cluster.WaitReady(ctx))
	}
	operations, kills := linearSize()
	linearizable(t, []string{cluster.URL()}, 3, operations, (kills+1)/2, kill)
}

func closeAll(t *testing.T, c interface{ Close() error }) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

type counterInput struct {
	entity string
	add    int // 0 reads
}

type counterOutput struct {
	n        int
	version  uint64
	refused  bool
	unknown  bool // no answer: it may have happened
	repeated bool // the answer to a second try: n is that of a later moment
}

// counterModel is what a counter does, without any of the code under test.
func counterModel() porcupine.Model {
	return porcupine.Model{
		Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
			byEntity := map[string][]porcupine.Operation{}
			for _, op := range history {
				id := op.Input.(counterInput).entity
				byEntity[id] = append(byEntity[id], op)
			}
			var parts [][]porcupine.Operation
			for _, part := range byEntity {
				parts = append(parts, part)
			}
			return parts
		},
		Init: func() any { return counterOutput{version: 1} }, // after the limit was set
		Step: func(state, input, output any) (bool, any) {
			now, in, out := state.(counterOutput), input.(counterInput), output.(counterOutput)
			if in.add == 0 {
				return out.n == now.n && out.version == now.version, now
			}
			if now.n+in.add > linearLimit {
				return out.unknown || out.refused && out.n == now.n && out.version == now.version, now
			}
			now.n += in.add
			now.version++
			same := out.version == now.version && (out.repeated || out.n == now.n)
			return out.unknown || !out.refused && same, now
		},
	}
}

// linearizable works through three connections, each to one of the urls, while kill does
// something bad to the servers.
func linearizable(t *testing.T, urls []string, replicas, operations, kills int, kill func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	entities := make([]*counters, 3)
	for i := range entities {
		conn, err := bus.Dial(ctx, bus.Config{URL: urls[i%len(urls)], Service: "client" + strconv.Itoa(i)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(conn.Close)
		if i == 0 {
			if err := bus.Provision(ctx, conn, []contract.StreamSpec{stream}, replicas); err != nil {
				t.Fatal(err)
			}
		}
		entities[i] = newCounters(eventstore.NewJetStreamLog(conn, stream.Name))
	}
	for id := range linearEntities {
		do(t, entities[0], strconv.Itoa(id), "limit", command{limit: linearLimit})
	}
	var done atomic.Int64
	histories := make([][]porcupine.Operation, linearClients)
	begin := time.Now()
	var wait sync.WaitGroup
	for client := range linearClients {
		wait.Go(func() {
			c := linearClient{id: client, begin: begin, random: rand.New(rand.NewPCG(uint64(client), 7))}
			for done.Add(1) <= int64(operations) && ctx.Err() == nil {
				histories[client] = append(histories[client], c.operate(ctx, entities))
			}
		})
	}
	for k := range kills {
		bustest.Eventually(t, 4*time.Minute, func() bool {
			return done.Load() > int64((k+1)*operations/(kills+1)) || ctx.Err() != nil
		}, "operations between kills")
		if err := kill(ctx); err != nil {
			t.Errorf("kill %d: %v", k+1, err)
		}
	}
	wait.Wait()
	checkLinear(t, entities, histories, operations)
}

func checkLinear(t *testing.T, entities []*counters, histories [][]porcupine.Operation, operations int) {
	t.Helper()
	var all []porcupine.Operation
	answers := map[string]int{}
	for _, h := range histories {
		all = append(all, h...)
	}
	for _, op := range all {
		out := op.Output.(counterOutput)
		answers[fmt.Sprintf("refused=%t unknown=%t repeated=%t", out.refused, out.unknown, out.repeated)]++
	}
	t.Logf("%d operations: %v", len(all), answers)
	if len(all) < operations {
		t.Errorf("%d operations in the time given, want %d", len(all), operations)
	}
	if result := porcupine.CheckOperationsTimeout(counterModel(), all, 2*time.Minute); result != porcupine.Ok {
		t.Errorf("the answers are not those of one counter after the other: %s", result)
	}
	for id := range linearEntities {
		history, err := entities[id%len(entities)].History(t.Context(), strconv.Itoa(id))
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for _, r := range history {
			if seen[r.Command] {
				t.Errorf("command %s was done twice", r.Command)
			}
			seen[r.Command] = true
		}
	}
}

type linearClient struct {
	id, next int
	begin    time.Time
	random   *rand.Rand
}

// writes reports whether the client may write now. Of those that always ask at one place
// a write that gets no answer holds up the reads, which are as interesting.
func (c *linearClient) writes() bool { return c.id >= 3 || c.random.IntN(30) == 0 }

// operate does one operation. A command whose outcome is unknown is tried again with
// the same id, as a client does: by the first clients where they always ask, by the
// others wherever chance leads them.
func (c *linearClient) operate(ctx context.Context, entities []*counters) porcupine.Operation {
	in := counterInput{entity: strconv.Itoa(c.random.IntN(linearEntities))}
	if c.random.IntN(3) > 0 && c.writes() {
		in.add = []int{1, 2, 3, -2}[c.random.IntN(4)]
	}
	c.next++
	commandID := fmt.Sprintf("%d-%d", c.id, c.next)
	op := porcupine.Operation{ClientId: c.id, Input: in, Call: time.Since(c.begin).Nanoseconds()}
	for try := 0; ; try++ {
		e := entities[c.id%len(entities)]
		if c.id >= len(entities) {
			e = entities[c.random.IntN(len(entities))]
		}
		out, err := once(ctx, e, in, commandID)
		out.repeated = try > 0
		op.Output, op.Return = out, time.Since(c.begin).Nanoseconds()
		if err == nil {
			return op
		}
		if ctx.Err() != nil || errors.Is(err, eventstore.ErrBrokenHistory) {
			op.Output, op.Return = counterOutput{unknown: true}, math.MaxInt64
			return op
		}
	}
}

func once(ctx context.Context, e *counters, in counterInput, commandID string) (counterOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	var state counter
	var version uint64
	var err error
	if in.add == 0 {
		state, version, err = e.Get(ctx, in.entity)
	} else {
		state, version, err = e.Do(ctx, in.entity, commandID, command{add: in.add})
	}
	out := counterOutput{n: state.N, version: version, refused: errors.Is(err, errLimit)}
	if out.refused {
		err = nil
	}
	return out, err
}
