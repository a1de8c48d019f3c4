package chaos

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The table of faults names tests that exist, in the package that it names.
func TestTheTableOfFaultsIsTrue(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for row := range strings.Lines(string(text)) {
		cells := strings.Split(row, "|")
		if len(cells) != 6 {
			continue
		}
		for _, name := range regexp.MustCompile("`(Test[A-Za-z0-9]+)`").FindAllStringSubmatch(cells[2], -1) {
			rows++
			dir := filepath.Join("..", "..", "..", filepath.FromSlash(strings.TrimSpace(cells[3])))
			if !declares(t, dir, name[1]) {
				t.Errorf("%s is not a test of %s", name[1], strings.TrimSpace(cells[3]))
			}
		}
	}
	if rows < 20 {
		t.Errorf("the table names %d tests: is it still a table?", rows)
	}
}

func declares(t *testing.T, dir, test string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(source), "func "+test+"(t *testing.T)") {
			return true
		}
	}
	return false
}
