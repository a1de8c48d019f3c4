package flow

import (
	"context"
	"fmt"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// historyVersion is the layout of a captured history.
const historyVersion = 1

// History is an instance as it was at one moment: its input and everything that its
// journal remembers. It can be kept as a file and held against the code of today
// ([History.Check]).
type History struct {
	Service string
	Flow    string
	ID      string
	Version int
	Status  Status

	input []byte
	page  page // with the records of all pages
}

// captured is a history as a file.
type captured struct {
	V       int          `json:"v"`
	Service string       `json:"service"`
	Input   contract.Raw `json:"input"`
	Journal page         `json:"journal"`
}

// History reads an instance with its input. One that has not begun has no history, and
// one that ended long ago none any more: the error is [ErrNotFound].
func (c *Client) History(ctx context.Context, name, id string) (History, error) {
	if _, err := c.subject(ctx, name, id); err != nil {
		return History{}, err
	}
	last, err := c.log.Last(ctx, contract.FlowLog(c.service, name, id))
	switch {
	case err != nil:
		return History{}, unavailable(err)
	case last.Sequence == 0:
		return History{}, ErrNotFound.Sayf("the flow %s %s has no journal", name, id)
	}
	p, err := decodePage(last.Data)
	if err != nil {
		return History{}, fmt.Errorf("the flow %s %s: %w", name, id, err)
	}
	if p.condensed() {
		return History{}, ErrNotFound.Sayf("of the flow %s %s only the result is left: it ended long ago", name, id)
	}
	if p.Records, err = loadHistory(ctx, c.log, p); err != nil {
		return History{}, fmt.Errorf("the flow %s %s: %w", name, id, err)
	}
	input, ref := []byte(p.Input), p.InputRef
	if p.Gen == 0 {
		start, err := c.log.At(ctx, p.Start)
		if err != nil {
			return History{}, fmt.Errorf("the input of the flow %s %s: %w", name, id, err)
		}
		input, ref = start.Data, headerOf(start.Header, headerRef)
	}
	if input, err = c.complete(ctx, input, ref, &p); err != nil {
		return History{}, fmt.Errorf("the flow %s %s: %w", name, id, err)
	}
	return historyOf(c.service, input, p), nil
}

// complete puts large values in the place of their names.
func (c *Client) complete(ctx context.Context, input []byte, ref string, p *page) ([]byte, error) {
	var err error
	take := func(value []byte, ref string) []byte {
		if ref == "" || err != nil {
			return value
		}
		value, err = c.payloads.Payload(ctx, ref)
		return value
	}
	input = take(input, ref)
	for i := range p.Records {
		r := &p.Records[i]
		r.Out, r.Ref = take(r.Out, r.Ref), ""
	}
	p.Result, p.Ref, p.InputRef = take(p.Result, p.Ref), "", ""
	return input, err
}

// historyOf leaves out what says nothing of the function: who waits, who wrote, what
// was sent but not taken.
func historyOf(service string, input []byte, p page) History {
	p.Pages, p.Replies, p.Seen, p.Places, p.Late, p.Mail, p.Past = nil, nil, nil, nil, nil, nil, 0
	p.Trace, p.Actor, p.Writer, p.N, p.Input = "", "", "", 0, nil
	return History{Service: service, Flow: p.Flow, ID: p.ID, Version: p.Version, Status: p.Status, input: input, page: p}
}

// Encode writes the history as indented JSON. It contains the flow's input and the
// results of its steps as they are.
func (h History) Encode() ([]byte, error) {
	raw, err := contract.Marshal(captured{V: historyVersion, Service: h.Service, Input: h.input, Journal: h.page})
	if err != nil {
		return nil, fmt.Errorf("encode the history of %s %s: %w", h.Flow, h.ID, err)
	}
	text := contract.Raw(raw)
	if err := text.Indent(); err != nil {
		return nil, fmt.Errorf("encode the history of %s %s: %w", h.Flow, h.ID, err)
	}
	return append(text, '\n'), nil
}

// DecodeHistory reads what [History.Encode] wrote.
func DecodeHistory(data []byte) (History, error) {
	var c captured
	if err := contract.UnmarshalLenient(data, &c); err != nil {
		return History{}, fmt.Errorf("not a history of a flow: %w", err)
	}
	switch {
	case c.V != historyVersion || c.Journal.V != pageVersion:
		return History{}, fmt.Errorf("not a history of a flow that this build can read: layout %d", c.V)
	case !contract.ValidID(c.Service) || !contract.ValidID(c.Journal.Flow) || !contract.ValidID(c.Journal.ID) || len(c.Input) == 0:
		return History{}, fmt.Errorf("not a history of a flow: service %q, flow %q, id %q, input of %d bytes", c.Service, c.Journal.Flow, c.Journal.ID, len(c.Input))
	}
	for i := range c.Journal.Records {
		if c.Journal.Records[i].Index != i {
			return History{}, fmt.Errorf("the history has a gap: record %d where %d belongs", c.Journal.Records[i].Index, i)
		}
	}
	return historyOf(c.Service, c.Input, c.Journal), nil
}
