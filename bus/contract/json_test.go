package contract_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
)

type line struct {
	SKU      string `json:"sku"`
	Quantity int    `json:"quantity"`
}

type body struct {
	Name  string    `json:"name"`
	Lines []line    `json:"lines"`
	At    time.Time `json:"at,omitzero"`
}

func TestUnmarshalRefusesWhatItCannotMean(t *testing.T) {
	t.Parallel()
	cases := map[string]struct{ json, field, says string }{
		"empty":             {``, "", "empty"},
		"blanks":            {"  \n", "", "empty"},
		"null":              {`null`, "", "object"},
		"array":             {`[]`, "", "object"},
		"two values":        {`{} {}`, "", "malformed"},
		"cut short":         {`{"name":"a"`, "", "ends too early"},
		"duplicate member":  {`{"name":"a","name":"b"}`, "/name", "twice"},
		"wrong case":        {`{"Name":"a"}`, "/Name", "not known"},
		"unknown member":    {`{"lines":[{"sku":"x","colour":1}]}`, "/lines/0/colour", "not known"},
		"fraction":          {`{"lines":[{"quantity":1.5}]}`, "/lines/0/quantity", "whole number"},
		"exponent":          {`{"lines":[{"quantity":1e3}]}`, "/lines/0/quantity", "whole number"},
		"too large":         {`{"lines":[{"quantity":9223372036854775808}]}`, "/lines/0/quantity", "whole number"},
		"beyond float":      {`{"lines":[{"quantity":1e309}]}`, "/lines/0/quantity", "whole number"},
		"number as string":  {`{"lines":[{"quantity":"1"}]}`, "/lines/0/quantity", "whole number"},
		"string as number":  {`{"name":7}`, "/name", "a string"},
		"object for array":  {`{"lines":{}}`, "/lines", "an array"},
		"bad time":          {`{"at":"yesterday"}`, "/at", "RFC 3339"},
		"bad UTF-8":         {"{\"name\":\"\xff\"}", "/name", "malformed"},
		"lone surrogate":    {`{"name":"\ud800"}`, "/name", "malformed"},
		"raw control":       {"{\"name\":\"a\x00b\"}", "/name", "malformed"},
		"deep":              {strings.Repeat(`{"name":`, 33) + `1` + strings.Repeat(`}`, 33), "", "deeper"},
		"deep in an array":  {`{"lines":` + strings.Repeat(`[`, 33) + strings.Repeat(`]`, 33) + `}`, "", "deeper"},
		"leading junk":      {`x{}`, "", "object"},
		"only long blanks":  {strings.Repeat(" ", 100), "", "does not start"},
		"trailing text":     {`{}x`, "", "malformed"},
		"single quotes":     {`{'name':'a'}`, "", "malformed"},
		"comment":           {`{/**/}`, "", "malformed"},
		"NaN":               {`{"lines":[{"quantity":NaN}]}`, "/lines/0/quantity", "malformed"},
		"negative zero int": {`{"lines":[{"quantity":-0.0}]}`, "/lines/0/quantity", "whole number"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var b body
			err := contract.Unmarshal([]byte(c.json), &b)
			var e *contract.Error
			if !errors.As(err, &e) {
				t.Fatalf("got %v, want a contract error", err)
			}
			if e.Code != contract.Invalid || e.Field != c.field || !strings.Contains(e.Message, c.says) {
				t.Errorf("got code %s field %q message %q; want invalid, field %q, a message with %q", e.Code, e.Field, e.Message, c.field, c.says)
			}
		})
	}
}

func TestUnmarshalTakesWhatMarshalWrote(t *testing.T) {
	t.Parallel()
	in := body{Name: "tee \u2028 \"quoted\" {[", Lines: []line{{"A", 1}, {"B", 2}}, At: time.Unix(1, 5).UTC()}
	data, err := contract.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	var out body
	if err := contract.Unmarshal(data, &out); err != nil {
		t.Fatal(err)
	}
	if out.Name != in.Name || len(out.Lines) != 2 || !out.At.Equal(in.At) {
		t.Errorf("got %+v, want %+v", out, in)
	}
}

func TestLenientIgnoresOnlyUnknownMembers(t *testing.T) {
	t.Parallel()
	var b body
	if err := contract.UnmarshalLenient([]byte(`{"name":"a","later":{"x":1}}`), &b); err != nil || b.Name != "a" {
		t.Errorf("got %+v, %v", b, err)
	}
	if err := contract.UnmarshalLenient([]byte(`{"name":"a","name":"b"}`), &b); err == nil {
		t.Error("a duplicate member was accepted")
	}
}

func FuzzUnmarshal(f *testing.F) {
	for _, s := range []string{`{}`, `{"name":"a","lines":[{"sku":"x","quantity":3}]}`, `{"name":"\u0000"}`, `{"a":[[[]]]}`, `null`, "\xff"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var b body
		err := contract.Unmarshal(data, &b)
		var e *contract.Error
		if err != nil && (!errors.As(err, &e) || e.Code != contract.Invalid || e.Message == "") {
			t.Fatalf("%q gave %v, which is no contract error", data, err)
		}
		if err == nil {
			if _, err := contract.Marshal(b); err != nil {
				t.Fatalf("%q was read but cannot be written: %v", data, err)
			}
		}
	})
}
