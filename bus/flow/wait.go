package flow

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// answer is what a waiting call hears of: the outcome, or that its start failed.
type answer struct {
	outcome []byte
	err     error
}

// expect makes a reply subject. All of them share one subscription.
func (c *Client) expect() (string, chan answer, error) {
	answers := make(chan answer, 2) // a failed start and an outcome
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inbox == "" {
		inbox := contract.InboxPrefix(c.conn.Service()) + ".flow." + nuid.Next() + "."
		sub, err := c.conn.NATS().Subscribe(inbox+"*", c.answered)
		if err != nil {
			return "", nil, unavailable(err)
		}
		if err := sub.SetPendingLimits(-1, -1); err != nil {
			return "", nil, unavailable(err)
		}
		c.inbox = inbox
	}
	c.next++
	reply := c.inbox + strconv.FormatUint(c.next, 36)
	c.waiting[reply] = answers
	return reply, answers, nil
}

func (c *Client) forget(reply string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.waiting, reply)
}

func (c *Client) answered(m *nats.Msg) {
	c.mu.Lock()
	answers := c.waiting[m.Subject]
	c.mu.Unlock()
	if answers != nil {
		offer(answers, answer{outcome: m.Data})
	}
}

// resolve reads an outcome and, where it only names the result, that.
func (c *Client) resolve(ctx context.Context, answer []byte) (outcome, error) {
	o, err := decodeOutcome(answer)
	if err != nil || o.Ref == "" {
		return o, err
	}
	value, err := c.payloads.Payload(ctx, o.Ref)
	if err != nil {
		return outcome{}, unavailable(err)
	}
	o.Result, o.Ref = value, ""
	return o, nil
}

// offer never blocks: what does not fit says what was said before.
func offer(answers chan answer, a answer) {
	select {
	case answers <- a:
	default:
	}
}

// await waits for the outcome. An answer can be lost with a connection, so the
// journal is asked now and then. A failed start is handed to again.
func (c *Client) await(ctx context.Context, name, id string, answers <-chan answer, again func(error) error) (outcome, error) {
	look := time.NewTimer(time.Second)
	defer look.Stop()
	for pause := time.Second; ; {
		select {
		case a := <-answers:
			if a.err == nil {
				return c.resolve(ctx, a.outcome)
			}
			if err := again(a.err); err != nil {
				return outcome{}, err
			}
		case <-ctx.Done():
			return outcome{}, fmt.Errorf("wait for the flow %s %s: %w", name, id, ctx.Err())
		case <-look.C:
			if state, err := c.Get(ctx, name, id); err == nil && (state.Status.Ended() || state.Status == Stuck) {
				return state.outcome(), nil
			}
			pause = min(2*pause, 5*time.Second)
			look.Reset(pause)
		}
	}
}
