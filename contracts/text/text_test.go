package text_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/text"
)

func TestRequired(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"Ada", "Łódź", "O'Neill-Smith", "東京都", "שלום", strings.Repeat("ä", text.MaxLine), "<script>"} {
		if err := text.Required("/ship_to/name", good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"", "  ", "\u200b", "\u00ad \ufeff", "\u2800", "a\x00b", "a\nb", "a\rb", "\x1b[31m", "a\u202eb", "a\u2066b", "a\u0085b", "a\u2028b", "\xff", strings.Repeat("a", text.MaxLine+1)} {
		var e *contract.Error
		if err := text.Required("/ship_to/name", bad); !errors.As(err, &e) || e.Code != contract.Invalid || e.Field != "/ship_to/name" {
			t.Errorf("%q: %v, want invalid at /ship_to/name", bad, err)
		}
	}
}

func TestOptionalMayBeEmpty(t *testing.T) {
	t.Parallel()
	if err := text.Optional("/ship_to/line2", ""); err != nil {
		t.Error(err)
	}
}

func TestVisible(t *testing.T) {
	t.Parallel()
	if err := text.Visible("/payment/token", "tok_ok.1+2/3=", 200); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"", "a b", "a\x00", "ä", strings.Repeat("a", 201)} {
		if err := text.Visible("/payment/token", bad, 200); err == nil {
			t.Errorf("%q passed", bad)
		}
	}
}
