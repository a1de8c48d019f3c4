package main

import (
	"cmp"
	"errors"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/ordermesh/ordermesh/bus/config"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

// configFlags say with which settings services start.
type configFlags struct {
	file string
	set  []string
}

func (o *configFlags) add(f *pflag.FlagSet) {
	f.StringVar(&o.file, "config", "", "YAML `file` with settings (default $MESH_CONFIG)")
	f.StringArrayVar(&o.set, "set", nil, "a setting, as `service.name=value`; may be repeated")
}

// configure gives services what the file, the environment and the flags say.
func (o *configFlags) configure(services []service, tel *telemetry.Telemetry) error {
	return configure(services, cmp.Or(o.file, os.Getenv("MESH_CONFIG")), os.Environ(), o.set, tel)
}

// configure refuses all that cannot be used at once.
func configure(services []service, file string, environ, flags []string, tel *telemetry.Telemetry) error {
	sources, err := config.NewSources(file, environ, flags)
	if err != nil {
		return oneSentence(err)
	}
	problems := []error{sources.Check(schemas()...)}
	for i, s := range services {
		if s.schema == nil {
			continue
		}
		values, err := sources.Values(s.schema)
		services[i].base = values
		problems = append(problems, err)
		for _, name := range sources.Unused(s.schema) {
			tel.For(s.desc.Name).Logger.Warn("a variable is named like a setting and is none", "variable", telemetry.Escape(name))
		}
	}
	if err := errors.Join(problems...); err != nil {
		return oneSentence(err)
	}
	return nil
}

// oneSentence puts all that is wrong with a command line on one line.
func oneSentence(err error) error { return usagef("%s", strings.ReplaceAll(err.Error(), "\n", "; ")) }

// schemas lists the settings of every service that has some.
func schemas() []*config.Schema {
	var list []*config.Schema
	for _, s := range allServices() {
		if s.schema != nil {
			list = append(list, s.schema)
		}
	}
	return list
}

// schemaOf finds the settings of a service.
func schemaOf(name string) (*config.Schema, error) {
	list := schemas()
	i := slices.IndexFunc(list, func(s *config.Schema) bool { return s.Service() == name })
	if i < 0 {
		return nil, usagef("there is no service %q with settings: choose from %s", name, joinedNames(list))
	}
	return list[i], nil
}
