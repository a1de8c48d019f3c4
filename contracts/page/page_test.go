package page_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/page"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		limit  int
		cursor string
		field  string
	}{
		{0, "", ""}, {1, "abc", ""}, {page.MaxLimit, "", ""},
		{-1, "", "/limit"}, {page.MaxLimit + 1, "", "/limit"}, {1e9, "", "/limit"},
		{1, "a b", "/cursor"}, {1, "a\x00", "/cursor"}, {1, strings.Repeat("x", 513), "/cursor"},
	} {
		err := page.Check(c.limit, c.cursor)
		var e *contract.Error
		errors.As(err, &e)
		if (err == nil) != (c.field == "") || (e != nil && e.Field != c.field) {
			t.Errorf("%d %q: %v, want a refusal at %q", c.limit, c.cursor, err, c.field)
		}
	}
	for field, r := range map[string]*page.Reflects{
		"": nil, "/r/id": {ID: "a.b", Version: 1}, "/r/version": {ID: "a", Version: page.MaxVersion + 1},
	} {
		err := r.Check("/r")
		var e *contract.Error
		errors.As(err, &e)
		if (err == nil) != (field == "") || (e != nil && e.Field != field) {
			t.Errorf("%+v: %v, want a refusal at %q", r, err, field)
		}
	}
	if err := (&page.Reflects{ID: "a", Version: page.MaxVersion}).Check("/r"); err != nil {
		t.Error(err)
	}
	if err := page.CheckPrefix("/p", "a*"); err == nil || page.CheckPrefix("/p", "") != nil || page.CheckPrefix("/p", "a-") != nil {
		t.Errorf("prefixes: %v", err)
	}
	if page.Size(0) != page.DefaultLimit || page.Size(7) != 7 {
		t.Error("wrong page size")
	}
}
