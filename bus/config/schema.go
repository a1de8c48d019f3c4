package config

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// Layer is where a value comes from; a later one wins.
type Layer string

// The layers, the weakest first.
const (
	Default     Layer = "default"
	File        Layer = "file"
	Environment Layer = "environment"
	Flag        Layer = "flag"
	Bucket      Layer = "bucket"
)

// Value is a setting as it was written, and where.
type Value struct {
	Text  string // for a secret nothing
	Layer Layer
	Where string // such as "mesh.yaml:7" or "MESH_ORDERS_HOLD_OVER"

	secret contract.Secret
}

// Values are the written values of a service's settings, by name.
type Values map[string]Value

// Schema is what a service can be told: its settings and the struct that holds them.
type Schema struct {
	service string
	typ     reflect.Type
	list    []contract.Setting // in the order of the struct's fields
	index   map[string]int
}

// NewSchema returns the settings of a service, held by T. The descriptor must declare
// exactly these.
func NewSchema[T any](desc contract.Service) (*Schema, error) {
	s := &Schema{service: desc.Name, typ: reflect.TypeFor[T](), list: contract.SettingsOf[T](), index: map[string]int{}}
	if !contract.ValidID(desc.Name) {
		return nil, fmt.Errorf("config: service name %q cannot be used", desc.Name)
	}
	if !reflect.DeepEqual(desc.Settings, s.list) {
		return nil, fmt.Errorf("config: the descriptor of %s does not declare the settings of %s", desc.Name, s.typ)
	}
	for i, setting := range s.list {
		s.index[setting.Name] = i
	}
	if _, err := s.resolve(s.defaults()); err != nil {
		return nil, fmt.Errorf("config: the defaults of %s cannot be used: %w", desc.Name, err)
	}
	return s, nil
}

// Service is whose settings these are.
func (s *Schema) Service() string { return s.service }

// Settings describes the settings.
func (s *Schema) Settings() []contract.Setting { return s.list }

// Setting finds one by name.
func (s *Schema) Setting(name string) (contract.Setting, bool) {
	i, ok := s.index[name]
	if !ok {
		return contract.Setting{}, false
	}
	return s.list[i], true
}

// field is the type of a setting's value.
func (s *Schema) field(name string) reflect.Type { return s.typ.Field(s.index[name]).Type }

// unknown is the error for a name that no setting has.
func (s *Schema) unknown(name string) error {
	names := make([]string, len(s.list))
	for i, setting := range s.list {
		names[i] = setting.Name
	}
	return fmt.Errorf("%s has no setting %s: there are %s", s.service, shown(name), strings.Join(names, ", "))
}

func (s *Schema) defaults() Values {
	values := Values{}
	for _, setting := range s.list {
		values[setting.Name] = Value{Text: setting.Default, Layer: Default}
	}
	return values
}

// resolve turns what was written into the struct, a pointer to it, and has it checked as a
// whole. Its error names every setting that cannot be used.
func (s *Schema) resolve(values Values) (any, error) {
	target := reflect.New(s.typ)
	var problems []error
	for i, setting := range s.list {
		v := values[setting.Name]
		if err := s.parse(setting, v, target.Elem().Field(i)); err != nil {
			problems = append(problems, fmt.Errorf("%s%s: %w", setting.Name, at(v), err))
		}
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	if err := validate(target.Interface()); err != nil {
		return nil, err
	}
	return target.Interface(), nil
}

// at says where a value was written, for an error.
func at(v Value) string {
	if v.Where == "" || v.Layer == Bucket {
		return ""
	}
	return " (" + v.Where + ")"
}

func (s *Schema) parse(setting contract.Setting, v Value, to reflect.Value) error {
	if setting.Type == contract.SettingSecret {
		to.Set(reflect.ValueOf(v.secret))
		return nil
	}
	if v.Layer == Default && v.Text == "" {
		return nil
	}
	return parse(setting, v.Text, to)
}

// validate asks the struct, and survives one that panics.
func validate(v any) (err error) {
	whole, ok := v.(contract.Validator)
	if !ok {
		return nil
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the check of the settings panics: %v", p)
		}
	}()
	return whole.Validate()
}
