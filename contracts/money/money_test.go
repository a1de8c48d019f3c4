package money_test

import (
	"errors"
	"math"
	"math/big"
	"testing"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/money"
)

func TestArithmeticNeverWrapsAround(t *testing.T) {
	t.Parallel()
	edges := []int64{0, 1, -1, 2, 3, -3, 1 << 31, 1 << 53, math.MaxInt64, math.MaxInt64 - 1, math.MinInt64, math.MinInt64 + 1, math.MaxInt64 / 2}
	for _, x := range edges {
		for _, y := range edges {
			a, b := money.New(x, "EUR"), money.New(y, "EUR")
			sum, err := a.Add(b)
			exact(t, "add", new(big.Int).Add(big.NewInt(x), big.NewInt(y)), sum, err)
			product, err := a.Times(y)
			exact(t, "times", new(big.Int).Mul(big.NewInt(x), big.NewInt(y)), product, err)
			if y == math.MinInt64 {
				continue // refused always, see below
			}
			difference, err := a.Sub(b)
			exact(t, "sub", new(big.Int).Sub(big.NewInt(x), big.NewInt(y)), difference, err)
		}
	}
	if _, err := money.New(-1, "EUR").Sub(money.New(math.MinInt64, "EUR")); !errors.Is(err, money.ErrOverflow) {
		t.Errorf("subtracting the smallest number: %v, want a refusal", err)
	}
}

func exact(t *testing.T, op string, want *big.Int, got money.Amount, err error) {
	t.Helper()
	if !want.IsInt64() {
		if !errors.Is(err, money.ErrOverflow) {
			t.Errorf("%s to %s: got %v, %v; want an overflow", op, want, got, err)
		}
		return
	}
	if err != nil || got.Minor != want.Int64() {
		t.Errorf("%s: got %v, %v; want %s", op, got, err, want)
	}
}

func TestCurrenciesDoNotMix(t *testing.T) {
	t.Parallel()
	if _, err := money.New(1, "EUR").Add(money.New(1, "USD")); !errors.Is(err, money.ErrMixed) {
		t.Errorf("EUR + USD: %v, want %v", err, money.ErrMixed)
	}
	if sum, err := (money.Amount{}).Add(money.New(7, "JPY")); err != nil || sum != money.New(7, "JPY") {
		t.Errorf("nothing + 7 JPY = %v, %v", sum, err)
	}
}

func TestCheckTellsMalformedFromUnknown(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]contract.Code{
		"": contract.Invalid, "EU": contract.Invalid, "EURO": contract.Invalid, "E\x00R": contract.Invalid, "€": contract.Invalid,
		"eur": contract.Unprocessable, "XXX": contract.Unprocessable, "ABC": contract.Unprocessable,
	} {
		err := money.New(1, code).Check("/price")
		var e *contract.Error
		if !errors.As(err, &e) || e.Code != want || e.Field != "/price/currency" {
			t.Errorf("currency %q: %v, want %v at /price/currency", code, err, want)
		}
	}
	if err := money.New(-1, "EUR").Check("/price"); !errors.Is(err, money.ErrNegative) {
		t.Errorf("negative amount: %v", err)
	}
	var e *contract.Error
	if err := (money.Input{Currency: "EUR"}).Check("/price"); !errors.As(err, &e) || e.Field != "/price/amount" {
		t.Errorf("missing amount: %v, want a refusal at /price/amount", err)
	}
	if err := money.In(money.New(0, "KWD")).Check("/price"); err != nil {
		t.Errorf("a free thing: %v", err)
	}
}

func TestStringPlacesThePoint(t *testing.T) {
	t.Parallel()
	for want, a := range map[string]money.Amount{
		"12.99 EUR": money.New(1299, "EUR"), "0.05 EUR": money.New(5, "EUR"), "-0.05 EUR": money.New(-5, "EUR"),
		"500 JPY": money.New(500, "JPY"), "1.234 KWD": money.New(1234, "KWD"), "0.0001 CLF": money.New(1, "CLF"),
		"-92233720368547758.08 USD": money.New(math.MinInt64, "USD"),
	} {
		if got := a.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
