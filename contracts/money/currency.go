package money

import (
	"strings"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// The active codes of ISO 4217 that have a minor unit, by its number of decimals.
// Precious metals, bond units and test codes are left out: nobody pays with them.
const (
	decimals0 = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
	decimals2 = "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP BYN BZD " +
		"CAD CDF CHE CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP " +
		"GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL " +
		"MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN " +
		"QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD " +
		"TWD TZS UAH USD USN UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG"
	decimals3 = "BHD IQD JOD KWD LYD OMR TND"
	decimals4 = "CLF UYW"
)

var decimals = table(map[int]string{0: decimals0, 2: decimals2, 3: decimals3, 4: decimals4})

func table(byDecimals map[int]string) map[string]int {
	t := map[string]int{}
	for n, codes := range byDecimals {
		for code := range strings.FieldsSeq(codes) {
			t[code] = n
		}
	}
	return t
}

// Decimals returns how many decimals a currency's minor unit has, and whether the
// code is known.
func Decimals(code string) (int, bool) {
	n, ok := decimals[code]
	return n, ok
}

// CheckCurrency refuses a code that is malformed (Invalid) or unknown
// (Unprocessable).
func CheckCurrency(field, code string) error {
	switch {
	case code == "":
		return contract.ErrInvalid.At(field).Sayf("currency is missing")
	case !threeLetters(code):
		return contract.ErrInvalid.At(field).Sayf("currency must be three letters, such as EUR")
	}
	if _, known := decimals[code]; !known {
		return ErrCurrency.At(field)
	}
	return nil
}

func threeLetters(s string) bool {
	for i := range len(s) {
		if c := s[i] | 0x20; c < 'a' || c > 'z' {
			return false
		}
	}
	return len(s) == 3
}
