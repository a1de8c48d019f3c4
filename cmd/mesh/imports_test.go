package main

import (
	"go/parser"
	"go/scanner"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/ordermesh/ordermesh/"

// importRule says what the packages that match may import, by path relative to the
// module for our own packages and by prefix for others. $1 in a pattern is what the
// first group of packages matched. The first rule that matches a package counts.
type importRule struct {
	packages string   // regular expression over the whole relative path
	own      []string // regular expressions over the whole relative path
	others   []string // prefixes; the standard library is always allowed
	std      []string // standard packages that are not allowed after all
}

// Value packages of contracts say nothing about one service and may be used by all.
const (
	valuePackages = `contracts/(line|money|page|postal|sealed|text)`
	busLeaves     = `bus/(contract|failpoint|telemetry|internal/.*)`
)

var (
	busLibraries = []string{
		"github.com/nats-io/nats.go", "github.com/nats-io/nuid", "github.com/synadia-io/orbit.go", "go.opentelemetry.io/otel",
		"github.com/failsafe-go/failsafe-go", "github.com/prometheus/client_golang",
		"github.com/go-json-experiment/json", "golang.org/x/",
	}
	// noSurroundings keeps decisions pure: no clock is read with these absent but
	// for time.Now, which the linter forbids there.
	noSurroundings = []string{"context", "os", "net", "math/rand", "math/rand/v2", "crypto/rand", "log", "log/slog", "sync"}
)

func withLibraries(more ...string) []string { return slices.Concat(busLibraries, more) }

// importRules is the import table.
var importRules = []importRule{
	{packages: `bus/contract`, others: []string{"github.com/go-json-experiment/json"}},
	{packages: `bus/failpoint`},
	{packages: `bus/telemetry`, own: []string{`bus/contract`}, others: withLibraries("github.com/lmittmann/tint")},
	{packages: `bus/internal/.*`, own: []string{`bus`, busLeaves}, others: busLibraries},
	{packages: `bus`, own: []string{busLeaves}, others: withLibraries("github.com/nats-io/jwt/v2")},
	{packages: `bus/auth`, own: []string{`bus/contract`}, others: []string{"github.com/nats-io/jwt/v2", "github.com/nats-io/nkeys", "github.com/nats-io/nats.go"}},
	{packages: `bus/bustest`, own: []string{`bus`, `bus/auth`, busLeaves, `embedded/natsd`}, others: withLibraries("go.uber.org/goleak")},
	{packages: `bus/rpc`, own: []string{`bus`, busLeaves, `bus/policy`}, others: busLibraries},
	{packages: `bus/(event|eventstore|policy)`, own: []string{`bus`, busLeaves}, others: busLibraries},
	{packages: `bus/cache`, own: []string{`bus`, busLeaves}, others: withLibraries("github.com/maypok86/otter/v2")},
	{packages: `bus/config`, own: []string{`bus`, busLeaves}, others: withLibraries("go.yaml.in/yaml")},
	{packages: `bus/(limit|lock)`, own: []string{busLeaves}, others: busLibraries},
	{packages: `bus/redis`, own: []string{busLeaves, `bus/(cache|limit|lock)`}, others: []string{"github.com/redis/go-redis"}},
	{packages: `bus/rule`, own: []string{`bus/contract`}, others: []string{"cel.dev/cel-go"}},
	{packages: `bus/view`, own: []string{`bus`, busLeaves, `bus/(event|eventstore)`}, others: busLibraries},
	{packages: `bus/view/postgres`, own: []string{`bus/(contract|view)`}, others: []string{"github.com/jackc/pgx", "github.com/pressly/goose"}},
	{packages: `bus/flow`, own: []string{`bus`, busLeaves, `bus/(event|eventstore|rpc|policy)`}, others: withLibraries("github.com/robfig/cron/v3")},
	{packages: `bus/(.*)/[a-z]+test`, own: []string{`bus`, `bus/.*`}, others: withLibraries("github.com/google/go-cmp")},

	{packages: `contracts/golden`, own: []string{`bus/contract`}, others: []string{"github.com/google/go-cmp"}},
	// A descriptor names the methods that its service calls, hence the other contracts.
	{packages: `contracts/([a-z]+)`, own: []string{`bus/contract`, `contracts/[a-z]+`}},

	{packages: `services/([a-z]+)/domain`, own: []string{`bus/contract`, `contracts/$1`, valuePackages}, std: noSurroundings},
	{packages: `services/([a-z]+)/view`, own: []string{`bus/(contract|event|view|telemetry)`, `contracts/[a-z]+`, `services/$1/domain`}},
	{packages: `services/([a-z]+)/view/viewtest`, own: []string{`bus/(contract|event|view)`, `contracts/[a-z]+`, `services/$1/view`}, others: []string{"github.com/google/go-cmp"}},
	{
		packages: `services/([a-z]+)/postgres`, own: []string{`bus/(contract|view|view/postgres|telemetry)`, `contracts/[a-z]+`, `services/$1/(domain|view)`},
		others: []string{"github.com/jackc/pgx", "github.com/pressly/goose"},
	},
	// The gateway knows methods by their routes alone, and no service.
	{
		packages: `services/gateway`, own: []string{`bus`, `bus/(config|contract|policy|rpc|telemetry)`, `contracts/(gateway|idem)`},
		others: []string{"github.com/prometheus/client_golang", "go.opentelemetry.io/otel"},
	},
	// Books and keys are plain key-value buckets.
	{
		packages: `services/(payments|sandbox)`, own: []string{`bus`, `bus/(config|contract|eventstore|failpoint|policy|rpc|telemetry|view)`, `contracts/[a-z]+`, `services/$1/.*`},
		others: []string{"github.com/nats-io/nats.go/jetstream", "github.com/nats-io/nuid", "golang.org/x/sync/"},
	},
	{packages: `services/([a-z]+)`, own: []string{`bus`, `bus/(cache|contract|event|eventstore|failpoint|flow|policy|config|rpc|rule|telemetry|view)`, `contracts/[a-z]+`, `services/$1/.*`}, others: []string{"golang.org/x/sync/"}},

	{packages: `embedded/postgres.*`, own: []string{`embedded/postgres`}, others: []string{"github.com/jackc/pgx"}},
	{packages: `embedded/redis.*`, own: []string{`embedded/redis`}},
	{packages: `embedded/.*`, others: []string{"github.com/nats-io/", "golang.org/x/"}},

	// The judge must not share the bugs of what it judges.
	{packages: `cmd/mesh/judge`, own: []string{`bus`, busLeaves, `contracts/[a-z]+`}, others: withLibraries("github.com/anishathalye/porcupine")},
	{packages: `cmd/mesh.*`, own: []string{`.*`}, others: []string{""}},
}

// TestImports holds every package to the import table.
func TestImports(t *testing.T) {
	t.Parallel()
	for dir, imports := range moduleImports(t) {
		rule, groups := ruleFor(dir)
		if rule == nil {
			t.Errorf("%s: no rule of the import table covers this package: place it or extend the table", dir)
			continue
		}
		for _, path := range imports {
			if !rule.allows(groups, path) {
				t.Errorf("%s must not import %s", dir, path)
			}
		}
	}
}

// TestImportDepth keeps the longest chain of our own packages short.
func TestImportDepth(t *testing.T) {
	t.Parallel()
	const deepest = 10 // of which five are contracts, whose descriptors name the methods that are called, and four a service with tables
	imports := moduleImports(t)
	var chain func(dir string) []string
	known := map[string][]string{}
	chain = func(dir string) []string {
		if c, ok := known[dir]; ok {
			return c
		}
		var longest []string
		for _, path := range imports[dir] {
			if own, ok := strings.CutPrefix(path, module); ok {
				if c := chain(own); len(c) > len(longest) {
					longest = c
				}
			}
		}
		known[dir] = append([]string{dir}, longest...)
		return known[dir]
	}
	if c := chain("cmd/mesh"); len(c)-1 > deepest {
		t.Errorf("imports are %d deep, more than %d: %s", len(c)-1, deepest, strings.Join(c, " → "))
	}
}

// TestWireNames finds subjects that are built outside of bus/contract. Exempt are
// the tools, which stand where a user with the nats CLI stands and read the public
// wire on their own, and the suites of test packages.
func TestWireNames(t *testing.T) {
	t.Parallel()
	wire := regexp.MustCompile(`^"(svc|evt|dlq)\.`)
	eachFile(t, func(dir, path string) {
		if dir == "bus/contract" || strings.HasPrefix(dir, "cmd/mesh") || strings.HasSuffix(dir, "test") {
			return
		}
		src, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var s scanner.Scanner
		files := token.NewFileSet()
		s.Init(files.AddFile(path, -1, len(src)), src, nil, 0)
		for {
			pos, kind, lit := s.Scan()
			if kind == token.EOF {
				return
			}
			if kind == token.STRING && wire.MatchString(lit) {
				t.Errorf("%s: the subject %s is built outside of bus/contract", files.Position(pos), lit)
			}
		}
	})
}

// TestPackageComments demands that every package says what it is for.
func TestPackageComments(t *testing.T) {
	t.Parallel()
	documented := map[string]bool{}
	eachFile(t, func(dir, path string) {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.PackageClauseOnly|parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		documented[dir] = documented[dir] || len(file.Doc.Text()) > len("Package x.")
	})
	for dir, ok := range documented {
		if !ok {
			t.Errorf("%s has no package comment", dir)
		}
	}
}

func ruleFor(dir string) (*importRule, []string) {
	for i := range importRules {
		if groups := regexp.MustCompile(`^(?:` + importRules[i].packages + `)$`).FindStringSubmatch(dir); groups != nil {
			return &importRules[i], groups
		}
	}
	return nil, nil
}

func (r *importRule) allows(groups []string, path string) bool {
	own, isOwn := strings.CutPrefix(path, module)
	if isOwn {
		return slices.ContainsFunc(r.own, func(pattern string) bool {
			if len(groups) > 1 {
				pattern = strings.ReplaceAll(pattern, "$1", groups[1])
			}
			return regexp.MustCompile(`^(?:` + pattern + `)$`).MatchString(own)
		})
	}
	if first, _, _ := strings.Cut(path, "/"); !strings.Contains(first, ".") {
		return !slices.Contains(r.std, path)
	}
	return slices.ContainsFunc(r.others, func(prefix string) bool { return strings.HasPrefix(path, prefix) })
}

// moduleImports maps each package to what its non-test files import.
func moduleImports(t *testing.T) map[string][]string {
	t.Helper()
	imports := map[string][]string{}
	eachFile(t, func(dir, path string) {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		imports[dir] = append(imports[dir], []string{}...)
		for _, spec := range file.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Contains(imports[dir], name) {
				imports[dir] = append(imports[dir], name)
			}
		}
	})
	if len(imports["cmd/mesh"]) == 0 || len(imports["bus"]) == 0 {
		t.Fatal("the module's packages were not found")
	}
	return imports
}

// eachFile visits every non-test Go file of the module.
func eachFile(t *testing.T, visit func(dir, path string)) {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() && path != root && (strings.HasPrefix(name, ".") || name == "testdata") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		dir, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		visit(filepath.ToSlash(dir), path)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
