package chaos

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// callOf names the step of a checkout that calls a method.
var callOf = map[string]string{
	"svc.inventory.reserve":  "reserve",
	"svc.payments.authorize": "authorize",
	"svc.payments.capture":   "capture",
	"svc.inventory.commit":   "commit",
	"svc.shipping.create":    "ship",
}

// Calls overhears what checkouts ask of other services. The inbox that an answer goes
// to tells the callers apart: each process has its own.
type Calls struct {
	sub *nats.Subscription
	nc  *nats.Conn

	mu  sync.Mutex
	all []Call
}

// Call is one request of a checkout's step.
type Call struct {
	OrderID, Step string
	Caller        string
	Heard         time.Time
}

// Overhear begins to listen; the subscription ends with the connection.
func Overhear(nc *nats.Conn) (*Calls, error) {
	c := &Calls{nc: nc}
	var err error
	if c.sub, err = nc.Subscribe("svc.>", c.hear); err != nil {
		return nil, fmt.Errorf("listen to requests: %w", err)
	}
	if err := c.sub.SetPendingLimits(-1, -1); err != nil {
		return nil, fmt.Errorf("listen to requests: %w", err)
	}
	return c, nil
}

func (c *Calls) hear(m *nats.Msg) {
	step := callOf[m.Subject]
	var body struct {
		OrderID string `json:"order_id"`
	}
	if step == "" || contract.UnmarshalLenient(m.Data, &body) != nil {
		return
	}
	caller := m.Reply[:max(0, strings.LastIndexByte(m.Reply, '.'))]
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, Call{OrderID: body.OrderID, Step: step, Caller: caller, Heard: time.Now()})
}

// Take returns what was heard since the last time.
func (c *Calls) Take() ([]Call, error) {
	if err := c.nc.Flush(); err != nil {
		return nil, fmt.Errorf("listen to requests: %w", err)
	}
	for {
		if waiting, _, err := c.sub.Pending(); err != nil || waiting == 0 {
			break
		}
		<-time.After(time.Millisecond)
	}
	if lost, err := c.sub.Dropped(); err != nil || lost > 0 {
		return nil, fmt.Errorf("listen to requests: %d were not heard: %w", lost, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	all := c.all
	c.all = nil
	return all, nil
}

// Repeats are steps that more than one process has called.
type Repeats struct {
	Steps  int      // steps that a second process called, too
	Most   int      // of one order
	Broken []string // repeats that must not be
}

// repeats compares what two processes called with what the first had stored: a step
// whose result was stored is never called again, and nobody calls after both.
func repeats(calls []Call, home string, stored func(orderID string) map[string]bool) Repeats {
	callers := map[[2]string][]string{}
	for _, call := range calls {
		key := [2]string{call.OrderID, call.Step}
		if !slices.Contains(callers[key], call.Caller) {
			callers[key] = append(callers[key], call.Caller)
		}
	}
	var r Repeats
	perOrder := map[string]int{}
	for key, by := range callers {
		if slices.Contains(by, home) && stored(key[0])[key[1]] {
			r.Broken = append(r.Broken, fmt.Sprintf("order %s: the step %s was stored and is done again", key[0], key[1]))
		}
		if len(by) > 2 {
			r.Broken = append(r.Broken, fmt.Sprintf("order %s: %d processes did the step %s", key[0], len(by), key[1]))
		}
		if len(by) > 1 {
			r.Steps++
			perOrder[key[0]]++
			r.Most = max(r.Most, perOrder[key[0]])
		}
	}
	slices.Sort(r.Broken)
	return r
}
