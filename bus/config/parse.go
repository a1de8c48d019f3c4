package config

import (
	"cmp"
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// maxValue is how many bytes a value may have.
const maxValue = 8 << 10

// shownText is how much of a value an error repeats.
const shownText = 60

// text is the written form of what came from outside: JSON text in quotes, or the bytes
// as they are without white space around them.
func text(data []byte) (string, error) {
	if len(data) > maxValue {
		return "", fmt.Errorf("the value has %d bytes, more than %d", len(data), maxValue)
	}
	if !utf8.Valid(data) {
		return "", errors.New("the value is not UTF-8")
	}
	written := strings.TrimSpace(string(data))
	if strings.HasPrefix(written, `"`) {
		var inner string
		if err := json.Unmarshal([]byte(written), &inner); err != nil {
			return "", fmt.Errorf("%s starts like JSON text and is none", shown(written))
		}
		written = inner
	}
	if strings.ContainsFunc(written, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\r' && r != '\t' }) {
		return "", errors.New("the value has control characters")
	}
	return written, nil
}

// shown is a value as an error shows it: quoted and not too long.
func shown(written string) string {
	if len(written) > shownText {
		written = strings.ToValidUTF8(written[:shownText], "") + "…"
	}
	return strconv.QuoteToGraphic(written)
}

// parse reads a written value of a setting into its field.
func parse(s contract.Setting, written string, to reflect.Value) error {
	var err error
	switch s.Type {
	case contract.SettingDuration:
		err = parseDuration(s, written, to)
	case contract.SettingInteger:
		err = parseInteger(s, written, to)
	case contract.SettingBoolean:
		err = parseBoolean(written, to)
	case contract.SettingText:
		err = parseText(written, to)
	case contract.SettingObject:
		err = parseObject(written, to)
	case contract.SettingSecret:
		err = errors.New("a secret comes from a file or the environment")
	}
	if err != nil {
		return err
	}
	if one := strings.Split(s.OneOf, ","); s.OneOf != "" && !slices.Contains(one, written) {
		return fmt.Errorf("%s must be one of %s", shown(written), strings.Join(one, ", "))
	}
	return nil
}

func parseDuration(s contract.Setting, written string, to reflect.Value) error {
	d, err := time.ParseDuration(written)
	if err != nil {
		return fmt.Errorf("%s must be a duration such as 250ms, 2s or 24h", shown(written))
	}
	to.SetInt(int64(d))
	return within(s, written, d, time.ParseDuration)
}

func parseInteger(s contract.Setting, written string, to reflect.Value) error {
	bits := to.Type().Bits()
	if to.CanUint() {
		whole := func(text string) (uint64, error) { return strconv.ParseUint(text, 10, bits) }
		n, err := whole(written)
		if err != nil {
			return fmt.Errorf("%s must be a whole number from 0 that fits %s", shown(written), to.Type())
		}
		to.SetUint(n)
		return within(s, written, n, whole)
	}
	whole := func(text string) (int64, error) { return strconv.ParseInt(text, 10, bits) }
	n, err := whole(written)
	switch {
	case errors.Is(err, strconv.ErrRange):
		return fmt.Errorf("%s is out of range: it must fit %s", shown(written), to.Type())
	case err != nil:
		return fmt.Errorf("%s must be a whole number", shown(written))
	}
	to.SetInt(n)
	return within(s, written, n, whole)
}

// within holds a value to the bounds of its declaration.
func within[N cmp.Ordered](s contract.Setting, written string, n N, parse func(string) (N, error)) error {
	for _, bound := range []struct {
		text  string
		wrong func(limit N) bool
	}{
		{s.Min, func(limit N) bool { return n < limit }},
		{s.Max, func(limit N) bool { return n > limit }},
	} {
		if bound.text == "" {
			continue
		}
		limit, err := parse(bound.text)
		switch {
		case err != nil:
			return fmt.Errorf("the bound %s in the declaration is wrong: %w", shown(bound.text), err)
		case bound.wrong(limit):
			return fmt.Errorf("%s is out of range: %s", shown(written), rangeText(s))
		}
	}
	return nil
}

// rangeText says which values there are.
func rangeText(s contract.Setting) string {
	switch {
	case s.Min == "":
		return "at most " + s.Max
	case s.Max == "":
		return "at least " + s.Min
	}
	return s.Min + " to " + s.Max
}

func parseBoolean(written string, to reflect.Value) error {
	if written != "true" && written != "false" {
		return fmt.Errorf("%s must be true or false", shown(written))
	}
	to.SetBool(written == "true")
	return nil
}

func parseText(written string, to reflect.Value) error {
	if reader, ok := reflect.TypeAssert[encoding.TextUnmarshaler](to.Addr()); ok {
		if err := reader.UnmarshalText([]byte(written)); err != nil {
			return fmt.Errorf("%s: %w", shown(written), err)
		}
		return nil
	}
	to.SetString(written)
	return nil
}

// parseObject reads JSON strictly; a value that can check itself is asked.
func parseObject(written string, to reflect.Value) error {
	value := jsontext.Value(written)
	want := jsontext.Kind('{')
	if to.Kind() == reflect.Slice {
		want = '['
	}
	if !value.IsValid(jsontext.AllowDuplicateNames(true)) || value.Kind() != want {
		return fmt.Errorf("%s must be a JSON %s", shown(written), map[jsontext.Kind]string{'{': "object", '[': "array"}[want])
	}
	// In an object of its own, arrays are read as strictly as objects.
	holder := reflect.New(reflect.MapOf(reflect.TypeFor[string](), to.Type()))
	if err := contract.Unmarshal(slices.Concat([]byte(`{"value":`), value, []byte(`}`)), holder.Interface()); err != nil {
		if said, ok := errors.AsType[*contract.Error](err); ok {
			return errors.New(said.Message)
		}
		return err
	}
	to.Set(holder.Elem().MapIndex(reflect.ValueOf("value")))
	return validate(to.Addr().Interface())
}
