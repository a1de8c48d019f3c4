package flow

import (
	"fmt"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// outcome is what a waiting client is told.
type outcome struct {
	Status Status       `json:"status"`
	Result contract.Raw `json:"result,omitzero"`
	Ref    string       `json:"ref,omitzero"` // a large result's name in the object store
	Error  contract.Raw `json:"error,omitzero"`
	Reason string       `json:"reason,omitzero"`
}

// encodeOutcome writes an outcome. A failure's reason is the internal text of its
// error: it stays in the journal.
func encodeOutcome(e ending) []byte {
	b := make([]byte, 0, 64+len(e.Result)+len(e.Error))
	b = append(b, `{"status":`...)
	b = appendString(b, string(e.Status))
	b = e.appendResult(b)
	b = appendRaw(b, "error", e.Error)
	if e.Status != Failed {
		b = appendMember(b, "reason", e.Reason)
	}
	return append(b, '}')
}

// appendResult writes the result, or where it is.
func (e ending) appendResult(b []byte) []byte {
	if e.Ref != "" {
		return appendMember(b, "ref", e.Ref)
	}
	return appendRaw(b, "result", e.Result)
}

func decodeOutcome(data []byte) (outcome, error) {
	var o outcome
	if err := contract.UnmarshalLenient(data, &o); err != nil {
		return outcome{}, fmt.Errorf("the outcome of the flow cannot be read: %w", err)
	}
	return o, nil
}

// err is how the outcome looks to a caller; nil when the flow completed.
func (o outcome) err() error {
	switch o.Status {
	case Completed:
		return nil
	case Failed, Cancelled:
		return contract.DecodeError(o.Error, "the flow failed")
	case Stuck:
		return ErrStuck.Sayf("the flow is stuck: %s", o.Reason)
	case Pending, Running, Waiting, Compensating:
	}
	return fmt.Errorf("unexpected outcome %q", o.Status)
}
