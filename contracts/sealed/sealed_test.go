package sealed_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/ordermesh/ordermesh/contracts/sealed"
)

func pair(t *testing.T) (*sealed.PrivateKey, *sealed.Sealer) {
	t.Helper()
	key, err := sealed.NewPrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := sealed.NewSealer(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return key, sealer
}

func TestOnlyTheOwnerOpensAndOnlyForTheContext(t *testing.T) {
	t.Parallel()
	key, sealer := pair(t)
	text := sealer.Seal("tok_ok", "order-1")
	if strings.Contains(text, "tok") {
		t.Errorf("the secret shows in %s", text)
	}
	if got, err := key.Open(text, "order-1"); err != nil || got != "tok_ok" {
		t.Errorf("opened: %q, %v", got, err)
	}
	if _, err := key.Open(text, "order-2"); !errors.Is(err, sealed.ErrOpen) {
		t.Errorf("opened for another order: %v", err)
	}
	other, _ := pair(t)
	if _, err := other.Open(text, "order-1"); !errors.Is(err, sealed.ErrOpen) {
		t.Errorf("opened by another key: %v", err)
	}
}

func TestTheKeySurvivesItsStore(t *testing.T) {
	t.Parallel()
	key, sealer := pair(t)
	again, err := sealed.ParsePrivateKey(key.Encode())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := again.Open(sealer.Seal("s", "c"), "c"); err != nil || got != "s" {
		t.Errorf("opened: %q, %v", got, err)
	}
	if shown := fmt.Sprint(key); strings.Contains(shown, key.Encode()) {
		t.Error("the private key prints itself")
	}
}

func TestEveryAlteredCharacterIsNoticed(t *testing.T) {
	t.Parallel()
	key, sealer := pair(t)
	text := sealer.Seal("tok_ok", "order-1")
	for i := range len(text) - 1 { // the last character has unused bits
		altered := []byte(text)
		if altered[i]++; text[i] == 'A' {
			altered[i] = 'Z'
		}
		if _, err := key.Open(string(altered), "order-1"); !errors.Is(err, sealed.ErrOpen) {
			t.Errorf("character %d altered: %v", i, err)
		}
	}
}

func TestSealedTextsDifferAndFit(t *testing.T) {
	t.Parallel()
	key, sealer := pair(t)
	var mu sync.Mutex
	var wg sync.WaitGroup
	seen := map[string]bool{}
	for range 8 {
		wg.Go(func() {
			for range 100 {
				text := sealer.Seal(strings.Repeat("x", 200), "c")
				mu.Lock()
				if seen[text] || len(text) > sealed.MaxLength {
					t.Errorf("repeated or too long: %d characters", len(text))
				}
				seen[text] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for text := range seen {
		if _, err := key.Open(text, "c"); err != nil {
			t.Fatal(err)
		}
	}
}

func TestManySealersDoNotFillTheOwnersMemory(t *testing.T) {
	t.Parallel()
	key, _ := pair(t)
	for range 200 {
		sealer, err := sealed.NewSealer(key.Public())
		if err != nil {
			t.Fatal(err)
		}
		if got, err := key.Open(sealer.Seal("s", "c"), "c"); err != nil || got != "s" {
			t.Fatalf("%q, %v", got, err)
		}
	}
}

func FuzzOpen(f *testing.F) {
	key, err := sealed.NewPrivateKey()
	if err != nil {
		f.Fatal(err)
	}
	f.Add("sr1." + key.Public().ID + ".AAAA")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		if secret, err := key.Open(text, "c"); err == nil {
			t.Errorf("%q opened to %q", text, secret)
		}
	})
}
