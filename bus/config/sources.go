package config

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/ordermesh/ordermesh/bus/contract"
)

const (
	maxFile    = 1 << 20
	fileSuffix = "_file" // of a setting's name: the file that holds a secret
)

// Sources are what a process is started with: the layers between the defaults and the
// bucket. The zero value has only defaults.
type Sources struct {
	path  string
	file  map[string]map[string]written // service → name
	env   map[string]contract.Secret    // of the whole process; some are secrets
	flags map[string]written            // <service>.<setting>
}

type written struct{ text, where string }

// NewSources reads a YAML file (path "" for none), remembers the environment in the form
// of os.Environ, and flags in the form orders.hold_over=50000.
//
//	orders:
//	  hold_over: 50000
//
// In the environment the same is MESH_ORDERS_HOLD_OVER=50000. A secret is named by
// <setting>_file in the file, and by MESH_<SERVICE>_<SETTING>_FILE or its value itself in
// the environment.
func NewSources(path string, environ, flags []string) (*Sources, error) {
	s := &Sources{path: path, env: map[string]contract.Secret{}, flags: map[string]written{}}
	for _, e := range environ {
		if name, value, ok := strings.Cut(e, "="); ok && strings.HasPrefix(name, "MESH_") {
			s.env[name] = contract.NewSecret(value)
		}
	}
	var problems []error
	for _, f := range flags {
		key, value, ok := strings.Cut(f, "=")
		switch {
		case !ok || !strings.Contains(key, "."):
			key, _, _ = strings.Cut(f, "=") // what follows may be a secret
			problems = append(problems, fmt.Errorf("--set %s: use <service>.<setting>=<value>, such as orders.hold_over=50000", shown(key)))
		case s.flags[key] != written{}:
			problems = append(problems, fmt.Errorf("--set %s is given twice", shown(key)))
		default:
			s.flags[key] = written{value, "--set"}
		}
	}
	if path != "" {
		if err := s.read(path); err != nil {
			problems = append(problems, err)
		}
	}
	return s, errors.Join(problems...)
}

// Check refuses what is meant for a service that is not among the schemas.
func (s *Sources) Check(schemas ...*Schema) error {
	known := make([]string, len(schemas))
	for i, schema := range schemas {
		known[i] = schema.service
	}
	slices.Sort(known)
	var problems []error
	for service, section := range s.file {
		if !slices.Contains(known, service) {
			line := s.path
			for _, w := range section {
				line = w.where
			}
			problems = append(problems, fmt.Errorf("%s: no service %s has settings: there are %s", line, shown(service), strings.Join(known, ", ")))
		}
	}
	for key := range s.flags {
		if service, _, _ := strings.Cut(key, "."); !slices.Contains(known, service) {
			problems = append(problems, fmt.Errorf("--set %s: no service %s has settings: there are %s", shown(key), shown(service), strings.Join(known, ", ")))
		}
	}
	return joined(problems)
}

// Unused lists variables that are named like settings of the schema and are none. They do
// no harm: an orchestrator may have put them there.
func (s *Sources) Unused(schema *Schema) []string {
	if s == nil {
		return nil
	}
	var list []string
	known := map[string]bool{}
	for _, setting := range schema.list {
		name := Variable(schema.service, setting.Name)
		known[name], known[name+strings.ToUpper(fileSuffix)] = true, setting.Type == contract.SettingSecret
	}
	for name := range s.env {
		if strings.HasPrefix(name, Variable(schema.service, "")) && !known[name] {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return list
}

// Variable is the environment variable of a setting.
func Variable(service, setting string) string {
	return "MESH_" + strings.ToUpper(strings.ReplaceAll(service, "-", "_")) + "_" + strings.ToUpper(setting)
}

// Values returns the settings of a service as the sources have them. Its error names all
// that cannot be used.
func (s *Sources) Values(schema *Schema) (Values, error) {
	values := schema.defaults()
	if s == nil {
		return values, nil
	}
	var problems []error
	put := func(name string, layer Layer, w written) {
		v, err := schema.value(name, layer, w)
		if err != nil {
			problems = append(problems, fmt.Errorf("%s.%s (%s): %w", schema.service, name, w.where, err))
			return
		}
		values[v.name] = v.Value
	}
	for _, name := range sorted(s.file[schema.service]) {
		put(name, File, s.file[schema.service][name])
	}
	for _, setting := range schema.list {
		name := Variable(schema.service, setting.Name)
		if v := s.env[name]; !v.IsZero() {
			put(setting.Name, Environment, written{v.Reveal(), name})
		}
		name += strings.ToUpper(fileSuffix)
		if path := s.env[name]; !path.IsZero() && setting.Type == contract.SettingSecret {
			put(setting.Name+fileSuffix, Environment, written{path.Reveal(), name})
		}
	}
	for _, key := range sorted(s.flags) {
		if service, name, _ := strings.Cut(key, "."); service == schema.service {
			put(name, Flag, s.flags[key])
		}
	}
	if len(problems) == 0 {
		if _, err := schema.resolve(values); err != nil {
			problems = append(problems, fmt.Errorf("settings of %s: %w", schema.service, err))
		}
	}
	return values, joined(problems)
}

// named is a value and the setting that it is for.
type named struct {
	Value
	name string
}

// value takes what was written under a name.
func (s *Schema) value(name string, layer Layer, w written) (named, error) {
	setting, ok := s.Setting(name)
	if !ok {
		if secret, isFile := strings.CutSuffix(name, fileSuffix); isFile {
			if setting, ok := s.Setting(secret); ok && setting.Type == contract.SettingSecret && layer != Flag {
				return secretFile(secret, layer, w)
			}
		}
		return named{}, s.unknown(name)
	}
	v := named{name: name, Value: Value{Layer: layer, Where: w.where}}
	if setting.Type != contract.SettingSecret {
		v.Text = w.text
		return v, nil
	}
	if layer != Environment {
		return named{}, fmt.Errorf("a secret is not written here: name a file with %s%s, or use the environment", name, fileSuffix)
	}
	v.secret = contract.NewSecret(w.text)
	return v, nil
}

// secretFile reads a secret; a line end at its end does not belong to it.
func secretFile(name string, layer Layer, w written) (named, error) {
	data, err := os.ReadFile(w.text)
	switch {
	case err != nil:
		return named{}, fmt.Errorf("read the secret: %w", err)
	case len(data) > maxFile:
		return named{}, fmt.Errorf("the secret in %s is larger than %d bytes", w.text, maxFile)
	}
	secret := contract.NewSecret(strings.TrimRight(string(data), "\r\n"))
	if secret.IsZero() {
		return named{}, fmt.Errorf("the secret in %s is empty", w.text)
	}
	return named{name: name, Value: Value{Layer: layer, Where: w.where, secret: secret}}, nil
}

// read takes the YAML file.
func (s *Sources) read(path string) error {
	data, err := os.ReadFile(path)
	switch {
	case err != nil:
		return fmt.Errorf("read the settings: %w", err)
	case len(data) > maxFile:
		return fmt.Errorf("%s is larger than %d bytes", path, maxFile)
	}
	s.file, err = parseFile(path, data)
	return err
}

// parseFile reads settings out of YAML. Two documents, a name twice, an empty value and
// anything but values under services are refused.
func parseFile(path string, data []byte) (map[string]map[string]written, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	file := map[string]map[string]written{}
	if len(doc.Content) == 0 {
		return file, nil
	}
	where := func(n *yaml.Node) string { return path + ":" + strconv.Itoa(n.Line) }
	problems := eachMember(where, doc.Content[0], "services", func(service string, section *yaml.Node) error {
		if file[service] != nil {
			return fmt.Errorf("%s: %s appears twice", where(section), shown(service))
		}
		file[service] = map[string]written{}
		return joined(eachMember(where, section, "settings", func(name string, n *yaml.Node) error {
			if _, twice := file[service][name]; twice {
				return fmt.Errorf("%s: %s.%s appears twice", where(n), shown(service), shown(name))
			}
			text, err := scalar(n)
			if err != nil {
				return fmt.Errorf("%s: %s.%s %w", where(n), service, name, err)
			}
			file[service][name] = written{text, where(n)}
			return nil
		}))
	})
	return file, joined(problems)
}

func eachMember(where func(*yaml.Node) string, n *yaml.Node, of string, take func(string, *yaml.Node) error) []error {
	if n.Kind != yaml.MappingNode {
		return []error{fmt.Errorf("%s: a mapping of %s is expected here", where(n), of)}
	}
	var problems []error
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Kind != yaml.ScalarNode {
			problems = append(problems, fmt.Errorf("%s: a name is expected here", where(n.Content[i])))
			continue
		}
		if err := take(n.Content[i].Value, n.Content[i+1]); err != nil {
			problems = append(problems, err)
		}
	}
	return problems
}

// scalar is a value as it stands in the file, or as JSON if it is made of several.
func scalar(n *yaml.Node) (string, error) {
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		return "", errors.New("must stand for itself: anchors are not used here")
	case n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null":
		return "", errors.New("has no value")
	case n.Kind == yaml.ScalarNode:
		return n.Value, nil
	}
	var v any
	if err := n.Decode(&v); err != nil {
		return "", fmt.Errorf("cannot be read: %w", err)
	}
	data, err := contract.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("cannot be read: %w", err)
	}
	return string(data), nil
}

// joined puts problems in a stable order.
func joined(problems []error) error {
	slices.SortFunc(problems, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(problems...)
}

func sorted[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
