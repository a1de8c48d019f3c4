package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// TestReadme: every mesh command in the README exists with its flags, every method is
// served, every linked file is there, and the sample order is the one that mesh dev
// suggests.
func TestReadme(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	readme := string(text)
	for _, m := range regexp.MustCompile(`(?m)^(?:go run \./cmd/mesh|mesh) ([^#\n]+)`).FindAllStringSubmatch(readme, -1) {
		args := strings.Fields(m[1])
		cmd, rest, err := newRoot(&cli{}).Find(args)
		if err != nil || !cmd.HasParent() {
			t.Errorf("mesh %s: there is no such command (%v)", m[1], err)
			continue
		}
		if err := cmd.ParseFlags(rest); err != nil {
			t.Errorf("mesh %s: %v", m[1], err)
		}
	}
	served := map[string]bool{}
	for _, s := range allServices() {
		for _, method := range s.desc.Serves {
			served[method.Subject()] = true
		}
	}
	for _, subject := range regexp.MustCompile(`\bsvc\.[a-z]+\.[a-z]+`).FindAllString(readme, -1) {
		if !served[subject] {
			t.Errorf("no service serves %s", subject)
		}
	}
	for _, m := range regexp.MustCompile(`\]\(([^):\s]+)\)`).FindAllStringSubmatch(readme, -1) {
		if _, err := os.Stat(filepath.Join("../..", m[1])); err != nil {
			t.Errorf("the README links to a file that is not there: %v", err)
		}
	}
	sample := regexp.MustCompile(`(?s)svc\.orders\.place '(\{"customer_id".*?)'`).FindStringSubmatch(readme)
	var inReadme, suggested contract.Raw
	if sample == nil || contract.Unmarshal([]byte(sample[1]), &inReadme) != nil || contract.Unmarshal([]byte(sampleOrder), &suggested) != nil {
		t.Fatal("the README has no sample order")
	}
	if compact(string(inReadme)) != compact(string(suggested)) {
		t.Errorf("the README's order differs from the one that mesh dev suggests:\n%s\n%s", inReadme, suggested)
	}
}

// compact removes white space between members; the sample has none inside them
// that matters.
func compact(text string) string { return strings.Join(strings.Fields(text), "") }
