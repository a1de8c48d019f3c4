package flow_test

import (
	"testing"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/flow"
)

func TestCheckInput(t *testing.T) {
	t.Parallel()
	number := flow.Define("number", 1, func(*flow.Run, int) (int, error) { return 0, nil })
	list := flow.Define("list", 1, func(*flow.Run, []args) (int, error) { return 0, nil })
	object := flow.Define("object", 1, func(*flow.Run, args) (int, error) { return 0, nil })
	for _, c := range []struct {
		def   flow.Registered
		input string
		field string
		good  bool
	}{
		{number, `7`, "", true},
		{number, ` 7 `, "", true},
		{number, `"7"`, "", false},
		{number, `1.5`, "", false},
		{number, `{}`, "", false},
		{number, `7,"input":8`, "", false},
		{list, `[{"text":"a"}]`, "", true},
		{list, `[{"text":"a"},{"text":1}]`, "/1/text", false},
		{list, `[{"word":"a"}]`, "/0/word", false},
		{object, `{"text":"a"}`, "", true},
		{object, "\n\t{}", "", true},
		{object, `{"text":1}`, "/text", false},
		{object, `{"text":"a","text":"b"}`, "/text", false},
		{object, `[]`, "", false},
		{object, ``, "", false},
		{flow.Declare[int, int]("elsewhere", 1), `"anything"`, "", true},
	} {
		err := flow.CheckInput(c.def, contract.Raw(c.input))
		e := contract.AsError(err)
		if (err == nil) != c.good || (err != nil && (e.Code != contract.Invalid || e.Field != c.field)) {
			t.Errorf("%s with %q: %v", c.def.Info().Name, c.input, err)
		}
	}
}
