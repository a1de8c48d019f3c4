package contract

import (
	"encoding"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"time"
)

// settingHistory is how many values of each setting and policy are kept: what can be rolled back,
// and where an instance that starts finds the last good one.
const settingHistory = 64

// statusMarkerTTL is how long it stays known that the report of an instance is gone.
const statusMarkerTTL = 10 * time.Second

// Setting describes one setting of a service.
type Setting struct {
	Name    string // without the service, such as "transit"
	Type    SettingType
	Default string // as it would be written; "" for none
	Doc     string // one sentence
	Min     string // the smallest value, "" for any
	Max     string // the largest value, "" for any
	OneOf   string // the values there are, separated by commas; "" for any
	AtStart bool   // read when an instance starts; not from the bucket
}

// SettingType says how the value of a setting is written.
type SettingType string

// The types of settings.
const (
	SettingDuration SettingType = "duration" // 1s, 250ms, 24h
	SettingInteger  SettingType = "integer"
	SettingBoolean  SettingType = "boolean" // true or false
	SettingText     SettingType = "text"
	SettingObject   SettingType = "object" // JSON
	SettingSecret   SettingType = "secret" // see Secret
)

var settingName = regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)

// SettingsOf declares the settings of a service by the struct that holds their values.
// Each field has tags:
//
//	HoldFor time.Duration `setting:"hold_for" default:"24h" min:"1s" max:"720h" doc:"how long there is for the decision"`
//
// Further tags are oneof:"a,b" and read:"start" for what an instance reads only when it
// starts. Fields are time.Duration, whole numbers, bool, string, [Secret], types that read
// text, and structs, maps and slices that are written as JSON, such as an amount of money.
// A struct with a method Validate ([Validator]) is checked as a whole by it.
//
// A struct that cannot be used panics: it is a programming error.
func SettingsOf[T any]() []Setting {
	t := reflect.TypeFor[T]()
	if t.Kind() != reflect.Struct {
		panic(fmt.Sprintf("contract: settings are a struct, not %s", t))
	}
	var list []Setting
	seen := map[string]bool{}
	for f := range t.Fields() {
		s := settingOf(t, f)
		if seen[s.Name] {
			panic(fmt.Sprintf("contract: %s has the setting %s twice", t, s.Name))
		}
		seen[s.Name] = true
		list = append(list, s)
	}
	return list
}

func settingOf(t reflect.Type, f reflect.StructField) Setting {
	s := Setting{
		Name: f.Tag.Get("setting"), Type: settingType(f.Type), Default: f.Tag.Get("default"), Doc: f.Tag.Get("doc"),
		Min: f.Tag.Get("min"), Max: f.Tag.Get("max"), OneOf: f.Tag.Get("oneof"), AtStart: f.Tag.Get("read") == "start",
	}
	needs := s.Type != SettingText && s.Type != SettingObject && s.Type != SettingSecret
	switch {
	case !f.IsExported() || f.Anonymous:
		panic(fmt.Sprintf("contract: %s.%s must be an exported field of its own", t, f.Name))
	case !settingName.MatchString(s.Name) || len(s.Name) > MaxID || strings.HasSuffix(s.Name, "_file"): // _file names a file that holds a secret
		panic(fmt.Sprintf("contract: %s.%s cannot be called %q", t, f.Name, s.Name))
	case s.Type == "":
		panic(fmt.Sprintf("contract: %s.%s has a type that no setting can have", t, f.Name))
	case s.Doc == "" || (needs && s.Default == ""):
		panic(fmt.Sprintf("contract: %s.%s needs a doc and a default", t, f.Name))
	case s.Type == SettingSecret && s.Default != "":
		panic(fmt.Sprintf("contract: %s.%s: a secret has no default", t, f.Name))
	}
	return s
}

func settingType(t reflect.Type) SettingType {
	switch {
	case t == reflect.TypeFor[Secret]():
		return SettingSecret
	case t == reflect.TypeFor[time.Duration]():
		return SettingDuration
	case reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()):
		return SettingText
	}
	switch t.Kind() { //nolint:exhaustive // the others are not for settings
	case reflect.Bool:
		return SettingBoolean
	case reflect.String:
		return SettingText
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return SettingInteger
	case reflect.Struct, reflect.Map, reflect.Slice:
		return SettingObject
	}
	return ""
}
