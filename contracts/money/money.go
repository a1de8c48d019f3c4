// Package money is what contracts use for amounts: whole minor units and an ISO
// 4217 currency code.
//
// It is not for exchange, rounding or tax. It promises that no operation ever
// overflows silently, mixes two currencies or touches a floating-point number.
package money

import (
	"math"
	"strconv"
	"strings"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// The refusals of this package.
var (
	ErrOverflow = contract.NewError(contract.Unprocessable, "amount_overflow", "the amount is larger than can be handled")
	ErrMixed    = contract.NewError(contract.Unprocessable, "mixed_currencies", "all amounts must be in one currency")
	ErrCurrency = contract.NewError(contract.Unprocessable, "unknown_currency", "the currency is not an ISO 4217 code")
	ErrNegative = contract.NewError(contract.Unprocessable, "negative_amount", "the amount must not be negative")
)

// Amount is an amount of money, on the wire {"amount":1299,"currency":"EUR"}. The
// zero value is "no amount yet": it adds to any currency.
type Amount struct {
	Minor    int64  `json:"amount"`   // in the currency's smallest unit
	Currency string `json:"currency"` // ISO 4217, upper case
}

// New returns an amount.
func New(minor int64, currency string) Amount { return Amount{Minor: minor, Currency: currency} }

// IsZero reports whether the amount is the zero value, without currency.
func (a Amount) IsZero() bool { return a == Amount{} }

// Add returns a + b, or ErrMixed, or ErrOverflow.
func (a Amount) Add(b Amount) (Amount, error) {
	switch {
	case a.IsZero():
		return b, nil
	case b.IsZero():
		return a, nil
	case a.Currency != b.Currency:
		return Amount{}, ErrMixed
	}
	sum := a.Minor + b.Minor
	if (b.Minor > 0 && sum < a.Minor) || (b.Minor < 0 && sum > a.Minor) {
		return Amount{}, ErrOverflow
	}
	return Amount{Minor: sum, Currency: a.Currency}, nil
}

// Sub returns a - b, or ErrMixed, or ErrOverflow.
func (a Amount) Sub(b Amount) (Amount, error) {
	if b.Minor == math.MinInt64 {
		return Amount{}, ErrOverflow
	}
	return a.Add(Amount{Minor: -b.Minor, Currency: b.Currency})
}

// Times returns a × n, or ErrOverflow.
func (a Amount) Times(n int64) (Amount, error) {
	if a.Minor == 0 || n == 0 {
		return Amount{Currency: a.Currency}, nil
	}
	product := a.Minor * n
	if product/n != a.Minor || (n == -1 && a.Minor == math.MinInt64) {
		return Amount{}, ErrOverflow
	}
	return Amount{Minor: product, Currency: a.Currency}, nil
}

// Check refuses a currency that is malformed (Invalid) or unknown (Unprocessable)
// and a negative amount (Unprocessable). The field is the amount's JSON pointer.
func (a Amount) Check(field string) error {
	if err := CheckCurrency(field+"/currency", a.Currency); err != nil {
		return err
	}
	if a.Minor < 0 {
		return ErrNegative.At(field + "/amount")
	}
	return nil
}

// String formats the amount for people, such as "12.99 EUR".
func (a Amount) String() string {
	digits := strconv.FormatInt(a.Minor, 10)
	sign := ""
	if strings.HasPrefix(digits, "-") {
		sign, digits = "-", digits[1:]
	}
	if decimals, known := Decimals(a.Currency); known && decimals > 0 {
		if missing := decimals + 1 - len(digits); missing > 0 {
			digits = strings.Repeat("0", missing) + digits
		}
		point := len(digits) - decimals
		digits = digits[:point] + "." + digits[point:]
	}
	return sign + digits + " " + a.Currency
}

// Input is an amount in a request. It differs from Amount in that a missing or
// null amount is noticed and not taken for zero.
type Input struct {
	Minor    *int64 `json:"amount"`
	Currency string `json:"currency"`
}

// In returns the request form of an amount.
func In(a Amount) Input { return Input{Minor: &a.Minor, Currency: a.Currency} }

// Check is Amount.Check that also refuses a missing amount.
func (i Input) Check(field string) error {
	if i.Minor == nil {
		return contract.ErrInvalid.At(field + "/amount").Sayf("amount is missing")
	}
	return i.Amount().Check(field)
}

// Amount returns the amount; zero units if the request named none.
func (i Input) Amount() Amount {
	if i.Minor == nil {
		return Amount{Currency: i.Currency}
	}
	return Amount{Minor: *i.Minor, Currency: i.Currency}
}
