package bench

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/config"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/rule"
)

const (
	liveInstances = 3
	livePace      = 10 * time.Millisecond  // between two changes
	livePoll      = 100 * time.Microsecond // between two looks at settings
	liveGoal      = 100 * time.Millisecond
	livePatience  = 10 * time.Second // for the last change to be everywhere
)

// dial is what is changed: a number, as a setting and as a name in a rule.
type dial struct {
	N int64 `setting:"n" default:"0" min:"0" doc:"the number of the change"`
}

// amount is what the rule speaks of.
type amount struct {
	Total int64 `json:"total"`
}

var dialed = contract.Service{
	Name: "dial", Settings: contract.SettingsOf[dial](),
	Policies: []contract.PolicyInfo{{Name: "rules", Kind: contract.PolicyRules, Doc: "a rule that is changed"}},
}

// live is one thing that is changed: how, and how instances see it.
type live struct {
	name   string
	bucket string
	key    string
	text   func(n int64) string
	number func(text string) (int64, error)
	// follow tells seen of each number that an instance runs, until ctx ends.
	follow func(ctx context.Context, conn *bus.Conn, ready, seen func(n int64)) error
}

// Live measures how long a change takes until three instances run it, at a hundred
// changes a second, beside watchers of the bucket by hand on the same changes. A change
// that another one overtakes counts as there when that is. That the last one is
// everywhere in the end is checked.
func Live(ctx context.Context, o Options) (Report, error) {
	o = o.withDefaults()
	report := newReport("config", o)
	for _, transport := range o.Transports {
		if err := liveOver(ctx, o, transport, &report); err != nil {
			return report, err
		}
	}
	report.finish()
	return report, nil
}

func liveOver(ctx context.Context, o Options, transport string, report *Report) (err error) {
	g, err := newGround(o, transport)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.close()) }()
	if err := g.provision(ctx, contract.Streams(dialed)); err != nil {
		return err
	}
	for _, l := range []live{settingLive(), rulesLive()} {
		row, err := l.measure(ctx, o, g)
		if err != nil {
			return fmt.Errorf("%s: %w", l.name, err)
		}
		row.Name, row.Transport, row.Concurrency, row.Goal = l.name, transport, liveInstances, Goal{P99: liveGoal}
		report.Rows = append(report.Rows, row)
		fmt.Fprintf(o.Progress, "%s %s: in %d instances after %v (p99 %v), the last of %d everywhere\n",
			l.name, transport, liveInstances, row.Ours.P50, row.Ours.P99, row.Ours.Count)
	}
	return nil
}

func settingLive() live {
	return live{
		name: "setting", bucket: contract.ConfigKV, key: "dial.n",
		text:   func(n int64) string { return strconv.FormatInt(n, 10) },
		number: func(text string) (int64, error) { return strconv.ParseInt(text, 10, 64) },
		follow: func(ctx context.Context, conn *bus.Conn, ready, seen func(int64)) error {
			schema, err := config.NewSchema[dial](dialed)
			if err != nil {
				return err
			}
			settings, err := config.NewLive[dial](conn, schema, nil)
			if err != nil {
				return err
			}
			return bus.Run(ctx, settings, looking(func(ctx context.Context) error {
				<-settings.Ready()
				ready(0)
				for tick := time.NewTicker(livePoll); ; {
					select {
					case <-tick.C:
						seen(settings.Get().N)
					case <-ctx.Done():
						tick.Stop()
						return nil
					}
				}
			}))
		},
	}
}

func rulesLive() live {
	const before, after = `{"rules":[{"name":"n`, `","when":"total > 5","then":"hold"}],"otherwise":"accept"}`
	return live{
		name: "rules", bucket: contract.PolicyKV, key: "dial.rules",
		text: func(n int64) string { return before + strconv.FormatInt(n, 10) + after },
		number: func(text string) (int64, error) {
			return strconv.ParseInt(strings.TrimSuffix(strings.TrimPrefix(text, before), after), 10, 64)
		},
		follow: func(ctx context.Context, conn *bus.Conn, ready, seen func(int64)) error {
			env, err := rule.NewEnv[amount]()
			if err != nil {
				return err
			}
			rules, err := config.NewDocument(conn, "dial.rules", env.Parse, nil)
			if err != nil {
				return err
			}
			return bus.Run(ctx, rules, looking(func(ctx context.Context) error {
				<-rules.Ready()
				ready(0)
				for {
					changed := rules.Changed()
					if set, _ := rules.Get(); set != nil {
						n, err := strconv.ParseInt(strings.TrimPrefix(set.Rules()[0].Name, "n"), 10, 64)
						if err != nil {
							return err
						}
						seen(n)
					}
					select {
					case <-changed:
					case <-ctx.Done():
						return nil
					}
				}
			}))
		},
	}
}

// looking makes a runner of a function.
type looking func(context.Context) error

func (l looking) Run(ctx context.Context) error { return l(ctx) }

// byHand is follow with a watcher of nats.go.
func (l live) byHand(ctx context.Context, conn *bus.Conn, ready, seen func(int64)) error {
	kv, err := conn.JetStream().KeyValue(ctx, l.bucket)
	if err != nil {
		return err
	}
	watcher, err := kv.Watch(ctx, l.key, jetstream.UpdatesOnly())
	if err != nil {
		return err
	}
	ready(0)
	for {
		select {
		case e := <-watcher.Updates():
			if e == nil {
				continue
			}
			n, err := l.number(string(e.Value()))
			if err != nil {
				return errors.Join(err, watcher.Stop())
			}
			seen(n)
		case <-ctx.Done():
			return watcher.Stop()
		}
	}
}

// sighting is when each change was first run, by each instance.
type sighting struct {
	mu   sync.Mutex
	last int64
	at   []time.Time
}

func (s *sighting) saw(n int64) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for ; s.last < n; s.last++ {
		s.at[s.last] = now
	}
}

func (s *sighting) newest() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

func (l live) measure(ctx context.Context, o Options, g *ground) (row Row, err error) {
	total := max(10, int64(o.Duration/livePace)*int64(o.Rounds))
	run, cancel := context.WithCancelCause(ctx)
	var following sync.WaitGroup
	defer func() {
		cancel(nil)
		following.Wait()
	}()
	sides := [2][]*sighting{}
	starting := make(chan struct{}, 2*liveInstances)
	for side, follow := range []func(context.Context, *bus.Conn, func(int64), func(int64)) error{l.follow, l.byHand} {
		for range liveInstances {
			conn, err := g.dial(ctx, dialed.Name)
			if err != nil {
				return row, err
			}
			s := &sighting{at: make([]time.Time, total)}
			sides[side] = append(sides[side], s)
			following.Go(func() {
				if err := follow(run, conn, func(int64) { starting <- struct{}{} }, s.saw); err != nil {
					cancel(err)
				}
			})
		}
	}
	for range cap(starting) {
		select {
		case <-starting:
		case <-run.Done():
			return row, context.Cause(run)
		}
	}
	cpu, began := processCPU(), time.Now()
	written, err := l.change(run, g, total)
	if err != nil {
		return row, errors.Join(err, context.Cause(run))
	}
	for _, s := range append(sides[0], sides[1]...) {
		for limit := time.Now().Add(livePatience); s.newest() < total; <-time.After(time.Millisecond) {
			if time.Now().After(limit) || run.Err() != nil {
				return row, errors.Join(context.Cause(run), fmt.Errorf("an instance is at change %d of %d", s.newest(), total))
			}
		}
	}
	elapsed, cpu := time.Since(began), processCPU()-cpu
	var samples [2]Sample
	for side, seen := range sides {
		if samples[side], err = everywhere(written, seen, elapsed, cpu); err != nil {
			return row, err
		}
	}
	row.Ours, row.Raw = samples[0], &samples[1]
	row.OpsRatio, row.P50Ratio = 1, float64(samples[0].P50)/float64(samples[1].P50)
	return row, nil
}

// change writes so many changes at the pace and returns when each began.
func (l live) change(ctx context.Context, g *ground, total int64) ([]time.Time, error) {
	conn, err := g.dial(ctx, "writer")
	if err != nil {
		return nil, err
	}
	kv, err := conn.JetStream().KeyValue(ctx, l.bucket)
	if err != nil {
		return nil, err
	}
	pace := time.NewTicker(livePace)
	defer pace.Stop()
	var written []time.Time
	for n := int64(1); n <= total; n++ {
		select {
		case <-pace.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		written = append(written, time.Now())
		if _, err := kv.PutString(ctx, l.key, l.text(n)); err != nil {
			return nil, err
		}
	}
	return written, nil
}

// everywhere is how long changes took until the last instance ran them.
func everywhere(written []time.Time, seen []*sighting, elapsed, cpu time.Duration) (Sample, error) {
	h := hdrhistogram.New(1, longest, digits)
	for n, begin := range written {
		last := begin
		for _, s := range seen {
			if s.at[n].After(last) {
				last = s.at[n]
			}
		}
		if err := h.RecordValue(max(1, int64(last.Sub(begin)))); err != nil {
			return Sample{}, fmt.Errorf("a change took %v: %w", last.Sub(begin), err)
		}
	}
	return summarize([]*hdrhistogram.Histogram{h}, elapsed, cpu)
}
