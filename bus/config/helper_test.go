package config_test

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/config"
	"github.com/ordermesh/ordermesh/bus/contract"
)

func TestMain(m *testing.M) { bustest.Main(m) }

// settings is one of everything.
type settings struct {
	Limit  int64           `setting:"limit" default:"10" min:"0" max:"1000000" doc:"how many there may be"`
	Least  int64           `setting:"least" default:"0" min:"0" doc:"how many there must be"`
	Wait   time.Duration   `setting:"wait" default:"2s" min:"0s" max:"1h" doc:"how long to wait"`
	Open   bool            `setting:"open" default:"true" doc:"whether anything is done at all"`
	Mode   string          `setting:"mode" default:"fast" oneof:"fast,slow" doc:"how it is done"`
	Note   string          `setting:"note" doc:"what to say"`
	Size   uint8           `setting:"size" default:"3" doc:"how large it is"`
	Price  price           `setting:"price" default:"{\"amount\":5,\"currency\":\"EUR\"}" doc:"what it costs"`
	Cache  int             `setting:"cache" default:"100" min:"1" read:"start" doc:"how many are kept in memory"`
	APIKey contract.Secret `setting:"api_key" doc:"the key to the outside"`
}

var errOrder = errors.New("least must not be above limit")

func (s *settings) Validate() error {
	if s.Least > s.Limit {
		return errOrder
	}
	return nil
}

// price is written as JSON.
type price struct {
	Amount   int64  `json:"amount"`
	Currency string `json:"currency"`
}

func (p price) Validate() error {
	if p.Amount < 0 || len(p.Currency) != 3 {
		return errors.New("a price is not negative and has a currency")
	}
	return nil
}

var shop = contract.Service{
	Name: "shop", Settings: contract.SettingsOf[settings](),
	Policies: []contract.PolicyInfo{{Name: "greeting", Kind: contract.PolicyRules, Doc: "what customers are told"}},
}

func newSchema(t testing.TB) *config.Schema {
	t.Helper()
	s, err := config.NewSchema[settings](shop)
	check(t, err)
	return s
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// launch runs settings until stop or the end of the test, and waits until they are ready.
func launch(t testing.TB, conn *bus.Conn, base config.Values) (*config.Live[settings], func()) {
	t.Helper()
	l, err := config.NewLive[settings](conn, newSchema(t), base)
	check(t, err)
	return l, bustest.Run(t, l)
}

func bucket(t testing.TB, conn *bus.Conn) jetstream.KeyValue {
	t.Helper()
	kv, err := conn.JetStream().KeyValue(t.Context(), contract.ConfigKV)
	check(t, err)
	return kv
}

func put(t testing.TB, kv jetstream.KeyValue, key, value string) uint64 {
	t.Helper()
	revision, err := kv.PutString(t.Context(), key, value)
	check(t, err)
	return revision
}

// reached waits until the settings have looked at a revision.
func reached(t testing.TB, l *config.Live[settings], revision uint64) {
	t.Helper()
	bustest.Eventually(t, time.Minute, func() bool { return l.Status().Revision >= revision }, "revision ", revision)
}

func store(t testing.TB, conn *bus.Conn) *config.Store {
	t.Helper()
	s, err := config.OpenStore(t.Context(), conn)
	check(t, err)
	return s
}

func entries(ctx context.Context, t testing.TB, s *config.Store) []config.Entry {
	t.Helper()
	list, err := s.Entries(ctx, "shop")
	check(t, err)
	return list
}

// output collects what is logged.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

func isRefused(err error) bool { return errors.Is(err, config.ErrRefused) }
func isMoved(err error) bool   { return errors.Is(err, config.ErrMoved) }
