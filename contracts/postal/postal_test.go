package postal

import (
	"errors"
	"strings"
	"testing"

	"github.com/ordermesh/ordermesh/bus/contract"
)

func good() Address {
	return Address{Name: "Ada", Line1: "1 Main St", City: "Berlin", PostalCode: "10115", Country: "DE"}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*Address)
		code   contract.Code
		field  string
	}{
		"complete":         {change: func(*Address) {}},
		"no name":          {func(a *Address) { a.Name = "" }, contract.Invalid, "/ship_to/name"},
		"NUL in street":    {func(a *Address) { a.Line1 = "a\x00" }, contract.Invalid, "/ship_to/line1"},
		"newline in line2": {func(a *Address) { a.Line2 = "a\nb" }, contract.Invalid, "/ship_to/line2"},
		"long city":        {func(a *Address) { a.City = strings.Repeat("x", 201) }, contract.Invalid, "/ship_to/city"},
		"no postal code":   {func(a *Address) { a.PostalCode = " " }, contract.Invalid, "/ship_to/postal_code"},
		"no country":       {func(a *Address) { a.Country = "" }, contract.Invalid, "/ship_to/country"},
		"country DEU":      {func(a *Address) { a.Country = "DEU" }, contract.Invalid, "/ship_to/country"},
		"country of space": {func(a *Address) { a.Country = "E " }, contract.Invalid, "/ship_to/country"},
		"unknown country":  {func(a *Address) { a.Country = "XX" }, contract.Unprocessable, "/ship_to/country"},
		"lower case":       {func(a *Address) { a.Country = "de" }, contract.Unprocessable, "/ship_to/country"},
	} {
		a := good()
		c.change(&a)
		err := a.Check("/ship_to")
		if c.code == 0 {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		var e *contract.Error
		if !errors.As(err, &e) || e.Code != c.code || e.Field != c.field {
			t.Errorf("%s: %v, want %v at %s", name, err, c.code, c.field)
		}
	}
}

func TestCountriesAreTheOfficialOnes(t *testing.T) {
	t.Parallel()
	codes := strings.Fields(countries)
	if len(codes) != 249 {
		t.Errorf("%d codes, ISO 3166-1 assigns 249", len(codes))
	}
	seen := map[string]bool{}
	for _, code := range codes {
		if seen[code] || len(code) != 2 {
			t.Errorf("bad entry %q", code)
		}
		seen[code] = true
	}
}
