// Package postal is what orders and shipping mean by an address.
//
// It checks form, not whether the place exists.
package postal

import (
	"strings"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/text"
)

// ErrCountry refuses a country that ISO 3166 does not know.
var ErrCountry = contract.NewError(contract.Unprocessable, "unknown_country", "country must be an ISO 3166 alpha-2 code, such as DE")

// Address is where a parcel goes. It is personal data: it belongs into the order's
// first event, into requests and into the input of the order's checkout; nowhere else.
type Address struct {
	Name       string `json:"name"`
	Line1      string `json:"line1"`
	Line2      string `json:"line2,omitzero"`
	City       string `json:"city"`
	PostalCode string `json:"postal_code"`
	Country    string `json:"country"` // ISO 3166 alpha-2
}

// Check refuses an address that is incomplete or malformed (Invalid) or in an
// unknown country (Unprocessable). The field is the address's JSON pointer.
func (a Address) Check(field string) error {
	for _, part := range []struct {
		name, value string
		optional    bool
	}{
		{name: "name", value: a.Name},
		{name: "line1", value: a.Line1},
		{name: "line2", value: a.Line2, optional: true},
		{name: "city", value: a.City},
		{name: "postal_code", value: a.PostalCode},
	} {
		check := text.Required
		if part.optional {
			check = text.Optional
		}
		if err := check(field+"/"+part.name, part.value); err != nil {
			return err
		}
	}
	return checkCountry(field+"/country", a.Country)
}

func checkCountry(field, code string) error {
	switch {
	case code == "":
		return contract.ErrInvalid.At(field).Sayf("country is missing")
	case len(code) != 2 || !letter(code[0]) || !letter(code[1]):
		return contract.ErrInvalid.At(field).Sayf("country must be two letters, such as DE")
	case !known(code):
		return ErrCountry.At(field)
	}
	return nil
}

func letter(c byte) bool { c |= 0x20; return c >= 'a' && c <= 'z' }

func known(code string) bool { return strings.Contains(countries, code+" ") }

// The officially assigned codes of ISO 3166-1 alpha-2.
const countries = "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ " +
	"CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR " +
	"GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP " +
	"KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ " +
	"NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW " +
	"SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ " +
	"UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW "
