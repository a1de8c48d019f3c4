package contract_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"text/template"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// TestSecretNeverPrints looks for the canary in everything that prints.
func TestSecretNeverPrints(t *testing.T) {
	t.Parallel()
	const canary = "canary-4711"
	secret := contract.NewSecret(canary)
	type inner struct{ hidden contract.Secret }
	type holder struct {
		Key   contract.Secret
		At    *contract.Secret
		inner inner
		List  []contract.Secret
		ByKey map[string]contract.Secret
	}
	v := holder{secret, &secret, inner{secret}, []contract.Secret{secret}, map[string]contract.Secret{"k": secret}}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%U", "%10.3s", "%T"} {
		fmt.Fprintf(&out, verb+verb+verb+verb, secret, &secret, v, &v)
	}
	fmt.Fprintln(&out, errors.New("wrapped"), fmt.Errorf("with %v", secret), secret.String(), secret.GoString())
	for _, encode := range []func(any) ([]byte, error){contract.Marshal, json.Marshal} {
		data, err := encode(struct {
			Key   contract.Secret
			List  []contract.Secret
			ByKey map[string]contract.Secret
		}{v.Key, v.List, v.ByKey})
		if err != nil {
			t.Fatal(err)
		}
		out.Write(data)
	}
	for _, log := range []*slog.Logger{slog.New(slog.NewJSONHandler(&out, nil)), slog.New(slog.NewTextHandler(&out, nil))} {
		log.Info("said", "secret", secret, "pointer", &secret, "holder", v, slog.Group("g", "s", secret))
	}
	if err := template.Must(template.New("").Parse("{{.Key}} {{.}}")).Execute(&out, v); err != nil {
		t.Fatal(err)
	}
	func() {
		defer func() { fmt.Fprint(&out, recover()) }()
		panic(fmt.Sprint(v))
	}()
	for _, form := range []string{canary, fmt.Sprintf("%x", canary), fmt.Sprintf("%X", canary), "Y2FuYXJ5"} {
		if strings.Contains(out.String(), form) {
			t.Errorf("the secret is printed as %q:\n%s", form, out.String())
		}
	}
	if secret.Reveal() != canary || v.inner.hidden.IsZero() || !(contract.Secret{}).IsZero() || (contract.Secret{}).Reveal() != "" {
		t.Error("the secret is lost")
	}
}

func TestSettingsOf(t *testing.T) {
	t.Parallel()
	type good struct {
		For  time.Duration   `setting:"wait_for" default:"1s" min:"1ms" max:"1h" doc:"how long"`
		Mode string          `setting:"mode" oneof:"a,b" default:"a" doc:"how"`
		Key  contract.Secret `setting:"key" doc:"with what"`
		Big  []int           `setting:"big" read:"start" doc:"which"`
	}
	want := []contract.Setting{
		{Name: "wait_for", Type: contract.SettingDuration, Default: "1s", Doc: "how long", Min: "1ms", Max: "1h"},
		{Name: "mode", Type: contract.SettingText, Default: "a", Doc: "how", OneOf: "a,b"},
		{Name: "key", Type: contract.SettingSecret, Doc: "with what"},
		{Name: "big", Type: contract.SettingObject, Doc: "which", AtStart: true},
	}
	if diff := cmp.Diff(want, contract.SettingsOf[good]()); diff != "" {
		t.Error(diff)
	}
	panics(t, contract.SettingsOf[int])
	panics(t, contract.SettingsOf[struct {
		hidden int `setting:"hidden" default:"1" doc:"d"`
	}])
	panics(t, contract.SettingsOf[struct {
		A int `default:"1" doc:"d"`
	}])
	panics(t, contract.SettingsOf[struct {
		A int `setting:"Upper" default:"1" doc:"d"`
	}])
	panics(t, contract.SettingsOf[struct {
		A string `setting:"key_file" doc:"d"`
	}])
	panics(t, contract.SettingsOf[struct {
		A int `setting:"a" doc:"d"`
	}])
	panics(t, contract.SettingsOf[struct {
		A int `setting:"a" default:"1"`
	}])
	panics(t, contract.SettingsOf[struct {
		A float64 `setting:"a" default:"1" doc:"d"`
	}])
	panics(t, contract.SettingsOf[struct {
		A contract.Secret `setting:"a" default:"1" doc:"d"`
	}])
	panics(t, contract.SettingsOf[struct {
		A string `setting:"a" doc:"d"`
		B string `setting:"a" doc:"d"`
	}])
}

func panics(t *testing.T, f func() []contract.Setting) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Error("a struct that cannot be used is taken")
		}
	}()
	f()
}
