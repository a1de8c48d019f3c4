package config

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"unicode/utf8"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/contract"
)

const (
	maxDocument = 64 << 10 // bytes
	maxReason   = 2 << 10  // of why a document is refused
)

// Document is one value in the bucket of policies, as it is now for one instance of a
// service: a set of rules, or how others are called. What holds for settings holds for it:
// a value that cannot be used is refused, the last good one stays, and log, metrics and
// the bucket "config_status" say so. Without a value, or when it is deleted, it is the
// fallback.
type Document[T any] struct {
	current atomic.Pointer[version[T]]
	watch   *watch
}

// version is a value of a document with the revision that has it.
type version[T any] struct {
	value    T
	revision uint64
	replaced chan struct{} // closed when another one is current
}

// NewDocument returns a document that begins with the fallback; its key is
// <service>.<name>, and the service's descriptor must list the name under Policies.
// Nothing is read from the bucket before Run. parse turns what was written into the value
// or says why that cannot be used; it gets at most 64 KiB of UTF-8, must always say the
// same of the same bytes, and may be slow: no reader waits for it.
func NewDocument[T any](conn *bus.Conn, key string, parse func([]byte) (T, error), fallback T) (*Document[T], error) {
	service, name, ok := contract.ParsePolicyKey(key)
	if !ok {
		return nil, fmt.Errorf("config: %q is no key of a document: use <service>.<name>", key)
	}
	d := &Document[T]{}
	w, err := newWatch(conn, documentOf(service, name), func() (state, error) { return newPaper(parse, fallback), nil }, func(value any) {
		if next, ok := value.(*version[T]); ok {
			if old := d.current.Swap(next); old != nil && old != next {
				close(old.replaced)
			}
		}
	})
	if err != nil {
		return nil, err
	}
	d.watch = w
	return d, nil
}

// documentOf is what a watch of a document follows.
func documentOf(service, name string) scope {
	return scope{
		service: service, document: name, bucket: contract.PolicyKV, filter: contract.Policy(contract.PolicyKey(service, name)),
		consumer: "policy-" + service + "-" + name,
		one:      "policy", all: "policies", reports: service + documents + name + ".", refusals: service + unusable,
	}
}

// Get returns the value of this moment and the revision of the bucket that has it, 0 for
// the fallback. It costs one atomic load.
func (d *Document[T]) Get() (value T, revision uint64) {
	now := d.current.Load()
	return now.value, now.revision
}

// Changed returns a channel that is closed when the value is replaced that Get would
// return now; the new one may be equal. To miss nothing, call it before Get.
func (d *Document[T]) Changed() <-chan struct{} { return d.current.Load().replaced }

// Ready is closed once the bucket was read: from then on Get knows what it says.
func (d *Document[T]) Ready() <-chan struct{} { return d.watch.ready }

// Status is what this instance runs.
func (d *Document[T]) Status() Instance { return d.watch.status() }

// Run follows the bucket until ctx ends, through outages, lost consumers and a bucket that
// is not there yet. Meanwhile the value stays as it is.
func (d *Document[T]) Run(ctx context.Context) error { return d.watch.run(ctx) }

// paper is the state of a document after a history of changes.
type paper[T any] struct {
	parse    func([]byte) (T, error)
	fallback T
	current  *version[T]
	looked   uint64
	refused  *pending
}

func newPaper[T any](parse func([]byte) (T, error), fallback T) *paper[T] {
	p := &paper[T]{parse: parse, fallback: fallback}
	p.replace(fallback, 0)
	return p
}

func (p *paper[T]) replace(value T, revision uint64) {
	p.current = &version[T]{value: value, revision: revision, replaced: make(chan struct{})}
}

func (p *paper[T]) apply(c change) (changed bool) {
	p.looked, p.refused = max(p.looked, c.revision), nil
	if c.deleted {
		if p.current.revision == 0 {
			return false
		}
		p.replace(p.fallback, 0)
		return true
	}
	value, err := readDocument(p.parse, c.data)
	if err != nil {
		p.refused = &pending{change: c, reason: err}
		return false
	}
	p.replace(value, c.revision)
	return true
}

// readDocument parses what was written, and survives a parser that panics.
func readDocument[T any](parse func([]byte) (T, error), data []byte) (value T, err error) {
	switch {
	case len(data) > maxDocument:
		return value, fmt.Errorf("it has %d bytes, more than %d", len(data), maxDocument)
	case !utf8.Valid(data):
		return value, errors.New("it is not UTF-8")
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("reading it panics: %v", p)
		}
	}()
	return parse(data)
}

func (p *paper[T]) head() uint64         { return p.looked }
func (p *paper[T]) value() any           { return p.current }
func (p *paper[T]) describe(i *Instance) { i.Runs = p.current.revision }

func (p *paper[T]) refusals() []Refusal {
	if p.refused == nil {
		return []Refusal{}
	}
	r := p.refused.refusal()
	if len(r.Reason) > maxReason {
		r.Reason = r.Reason[:maxReason] + "…"
	}
	return []Refusal{r}
}
