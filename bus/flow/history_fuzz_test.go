package flow_test

import (
	"context"
	"testing"

	"github.com/ordermesh/ordermesh/bus/flow"
)

// FuzzDecodeHistory: what is taken for a history can be written, read again and held
// against code, whatever it says.
func FuzzDecodeHistory(f *testing.F) {
	f.Add([]byte(`{"v":1,"service":"s","input":{"text":"a"},"journal":{"v":1,"flow":"f","id":"i","version":1,"start":1,"status":"completed",` +
		`"records":[{"i":0,"kind":"step","name":"a","tries":1,"out":{"text":"x"}},{"i":1,"kind":"signal","name":"b","out":{}}]}}`))
	f.Add([]byte(`{"v":1,"service":"s","input":7,"journal":{"v":1,"flow":"f","id":"i","version":1,"start":1,"status":"stuck","open":{"i":0,"kind":"step","name":"a","intent":true}}}`))
	def := flow.Define("f", 1, func(run *flow.Run, in args) (result, error) {
		flow.Compensate(run, "undo", func(context.Context) error { panic("a compensation runs") })
		out, err := flow.Step(run, "a", func(context.Context) (result, error) { panic("a step runs") })
		if err != nil {
			return out, err
		}
		return flow.Await[result](run, "b", 0)
	})
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := flow.DecodeHistory(data)
		if err != nil {
			return
		}
		text, err := h.Encode()
		if err != nil {
			t.Fatalf("%q was read and cannot be written: %v", data, err)
		}
		again, err := flow.DecodeHistory(text)
		if err != nil {
			t.Fatalf("%q cannot be read again: %v", text, err)
		}
		first, second := h.Check(t.Context(), def), again.Check(t.Context(), def)
		if (first == nil) != (second == nil) {
			t.Errorf("%q: %v, and then %v", data, first, second)
		}
	})
}
