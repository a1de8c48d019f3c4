package chaos

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// Two variants are made by changing sources while they are compiled (go build -overlay), so
// that the product has nothing in it for them.
const (
	// Skewed has a clock on the wall that is wrong by MESH_CLOCK_SKEW, "<seconds>" or
	// "<seconds>@<seconds after the start>". Timers and durations stay right, as they do
	// when somebody sets a clock.
	Skewed Variant = "skewed"
	// Newer is the next release: an event and a reply have a member more that is always
	// filled, and checkouts begin with a version that this build does not know.
	Newer Variant = "newer"
)

// change is one place in a source file; it must be there exactly once.
type change struct{ file, old, new string }

const timeGo = "$GOROOT/src/time/time.go"

var changes = map[Variant][]change{
	Skewed: {
		{timeGo, "	sec, nsec, mono := runtimeNow()\n	if mono == 0 {\n		return Time{uint64(nsec), sec + unixToInternal, Local}", "	sec, nsec, mono := runtimeNow()\n	sec += skewAt(mono - startNano)\n	if mono == 0 {\n		return Time{uint64(nsec), sec + unixToInternal, Local}"},
	},
	Newer: {
		{"contracts/orders/events.go", "	PlacedAt         time.Time      `json:\"placed_at\"`\n", "	PlacedAt         time.Time      `json:\"placed_at\"`\n	Channel          string         `json:\"channel,omitzero\"`\n"},
		{"services/orders/domain/decide.go", "PlacedAt: c.At, Acceptance: c.Acceptance,\n", "PlacedAt: c.At, Acceptance: c.Acceptance, Channel: \"newer\",\n"},
		{"contracts/payments/payments.go", "	Reason    string       `json:\"reason,omitzero\"` // why it was declined\n	Version   uint64       `json:\"version\"`\n", "	Reason    string       `json:\"reason,omitzero\"` // why it was declined\n	Version   uint64       `json:\"version\"`\n	Rail      string       `json:\"rail\"`\n"},
		{"services/orders/checkout.go", "const checkoutVersion = 2\n", "const checkoutVersion = 3\n"},
		{"services/orders/flows.go", "	checkoutV1 flow.Definition[checkoutInput, checkoutResult]\n", "	checkoutV1, checkoutV2 flow.Definition[checkoutInput, checkoutResult]\n"},
		{"services/orders/flows.go", "		checkoutV1: checkout.definition(1),\n", "		checkoutV1: checkout.definition(1), checkoutV2: checkout.definition(2),\n"},
		{"services/orders/flows.go", "{d.checkout, d.checkoutV1, d.delivery", "{d.checkout, d.checkoutV2, d.checkoutV1, d.delivery"},
	},
}

// additions are files that a variant has more.
var additions = map[Variant]map[string]string{
	Skewed: {"$GOROOT/src/time/skew.go": `package time

import "syscall"

var skewBy, skewFrom = readSkew()

// skewAt is by how many seconds the clock is wrong so long after the start.
func skewAt(since int64) int64 {
	if since < skewFrom {
		return 0
	}
	return skewBy
}

func readSkew() (by, from int64) {
	text, _ := syscall.Getenv("MESH_CLOCK_SKEW")
	sign, number := int64(1), &by
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '-':
			sign = -1
		case c == '@':
			by *= sign
			sign, number = 1, &from
		case c >= '0' && c <= '9':
			*number = *number*10 + int64(c-'0')
		}
	}
	*number *= sign
	return by, from * 1_000_000_000
}
`},
}

// overlay writes the changed files of a variant below dir and returns the file that go
// build -overlay wants.
func overlay(ctx context.Context, v Variant, dir string) (string, error) {
	roots, err := sourceRoots(ctx)
	if err != nil {
		return "", err
	}
	texts := map[string]string{}
	for _, c := range changes[v] {
		path := roots.path(c.file)
		text, ok := texts[path]
		if !ok {
			data, err := os.ReadFile(path)
			if err != nil {
				return "", fmt.Errorf("read what the %s build changes: %w", v, err)
			}
			text = string(data)
		}
		if strings.Count(text, c.old) != 1 {
			return "", fmt.Errorf("%s does not have %q exactly once: say anew in cmd/mesh/chaos/overlay.go what the %s build changes", c.file, c.old, v)
		}
		texts[path] = strings.Replace(text, c.old, c.new, 1)
	}
	for file, text := range additions[v] {
		texts[roots.path(file)] = text
	}
	replace := map[string]string{}
	for path, text := range texts {
		changed := filepath.Join(dir, fmt.Sprintf("%s-%d.go", v, len(replace)))
		if err := os.WriteFile(changed, []byte(text), 0o600); err != nil {
			return "", fmt.Errorf("write a changed source: %w", err)
		}
		replace[path] = changed
	}
	list, err := contract.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", fmt.Errorf("write the overlay: %w", err)
	}
	file := filepath.Join(dir, v.String()+".json")
	if err := os.WriteFile(file, list, 0o600); err != nil {
		return "", fmt.Errorf("write the overlay: %w", err)
	}
	return file, nil
}

// roots are where sources lie: those of Go and those of this module.
type roots struct{ goRoot, module string }

func (r roots) path(file string) string {
	if rest, ok := strings.CutPrefix(file, "$GOROOT/"); ok {
		return filepath.Join(r.goRoot, rest)
	}
	return filepath.Join(r.module, file)
}

func sourceRoots(ctx context.Context) (roots, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOROOT", "GOMOD").Output()
	if err != nil {
		return roots{}, fmt.Errorf("go env: %w", err)
	}
	goRoot, module, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return roots{goRoot: goRoot, module: filepath.Dir(module)}, nil
}
