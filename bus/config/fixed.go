package config

import "github.com/ordermesh/ordermesh/bus/contract"

// Defaults are the settings that hold when nothing is said. A struct whose defaults cannot
// be used panics: it is a programming error.
func Defaults[T any]() T {
	schema, err := NewSchema[T](contract.Service{Name: "defaults", Settings: contract.SettingsOf[T]()})
	if err != nil {
		panic(err)
	}
	values, err := schema.resolve(schema.defaults())
	if err != nil {
		panic(err)
	}
	return *values.(*T) //nolint:errcheck // made by resolve
}

// Fixed is a source of settings that never change, for [Live.Get]'s place.
func Fixed[T any](settings T) func() T { return func() T { return settings } }
