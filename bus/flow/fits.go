package flow

import (
	"errors"
	"strings"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// CheckInput says whether input is what a flow takes: JSON of its input type, read as
// strictly as a request, that passes the type's own Validate. The error is invalid and
// names the field, a JSON pointer into the input. It is for those who start flows whose
// types they do not know ([Client.StartRaw]); a definition that is only declared takes
// everything.
func CheckInput(d Registered, input contract.Raw) error {
	if s := d.registered(); s.fits != nil {
		return s.fits(input)
	}
	return nil
}

func fits[In any](input []byte) error {
	var in In
	if text := strings.TrimLeft(string(input), " \t\r\n"); strings.HasPrefix(text, "{") {
		if err := contract.Unmarshal(input, &in); err != nil {
			return err
		}
	} else if err := fitsBare(input, &in); err != nil {
		return err
	}
	if v, ok := any(&in).(contract.Validator); ok {
		return v.Validate()
	}
	return nil
}

// fitsBare reads what is no object, which the strict decoder asks for.
func fitsBare[In any](input []byte, in *In) error {
	const member = "input"
	wrapped := struct {
		Input *In `json:"input"`
	}{in}
	text := append(append([]byte(`{"`+member+`":`), input...), '}')
	err := contract.Unmarshal(text, &wrapped)
	if e, ok := errors.AsType[*contract.Error](err); ok {
		return e.At(strings.TrimPrefix(e.Field, "/"+member))
	}
	return err
}
