package flowtest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ordermesh/ordermesh/bus/flow"
)

// Replay holds captured histories, the files dir/*.json, against definitions: a change
// of a flow that running instances could not follow fails the test and names both
// sides. Such a change needs a new version beside the old one.
//
// No step runs, so the definitions need no dependencies. `mesh flow capture` writes
// histories; a definition without any fails, too.
func Replay(t *testing.T, dir string, definitions ...flow.Registered) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		h, err := flow.DecodeHistory(data)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		seen[fmt.Sprint(h.Flow, " version ", h.Version)] = true
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			if err := h.Check(t.Context(), definitions...); err != nil {
				t.Errorf("the %s %s of %s would not go on with this code: %v", h.Flow, h.ID, file, err)
			}
		})
	}
	for _, d := range definitions {
		if name := fmt.Sprint(d.Info().Name, " version ", d.Info().Version); !seen[name] {
			t.Errorf("%s has no history of %s: write one with 'mesh flow capture'", dir, name)
		}
	}
}
