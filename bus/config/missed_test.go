package config_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/config"
	"github.com/ordermesh/ordermesh/bus/contract"
)

// TestMissedChange: a change that the consumer never delivers is found when revisions are
// compared. The consumer stands still and goes on saying that it is alive.
func TestMissedChange(t *testing.T) {
	t.Parallel()
	conn := bustest.New(t, bustest.WithServices(shop))
	kv := bucket(t, conn)
	l, _ := launch(t, conn, nil)
	reached(t, l, put(t, kv, "shop.limit", "1"))
	stream, err := conn.JetStream().Stream(t.Context(), "KV_"+contract.ConfigKV)
	check(t, err)
	for name := range stream.ConsumerNames(t.Context()).Name() {
		_, err := stream.PauseConsumer(t.Context(), name, time.Now().Add(time.Hour))
		check(t, err)
	}
	begin := time.Now()
	reached(t, l, put(t, kv, "shop.limit", "2"))
	if got := l.Get().Limit; got != 2 {
		t.Errorf("%d", got)
	}
	t.Logf("found after %s", time.Since(begin).Round(time.Millisecond))
}

// TestHistory: an instance that starts behind many bad values finds the last good one, as
// far back as the bucket remembers.
func TestHistory(t *testing.T) {
	t.Parallel()
	b := bustest.Server(t, bustest.WithServices(shop))
	kv := bucket(t, b.Dial(t))
	put(t, kv, "shop.limit", "7")
	for i := range 63 {
		put(t, kv, "shop.limit", fmt.Sprint("bad ", i))
	}
	l, _ := launch(t, b.Dial(t), nil)
	if got := l.Get().Limit; got != 7 {
		t.Errorf("the last good value: %d", got)
	}
	put(t, kv, "shop.limit", "bad 63")
	late, _ := launch(t, b.Dial(t), nil)
	if got := late.Get().Limit; got != 10 || l.Get().Limit != 7 {
		t.Errorf("behind the end of the memory: %d", got)
	}
}

// TestManyUnknownKeys: keys of no setting neither fill the memory nor hide what matters.
func TestManyUnknownKeys(t *testing.T) {
	t.Parallel()
	var list []config.Entry
	for i := range 1000 {
		list = append(list, config.Entry{Key: fmt.Sprint("shop.unknown", i), Value: "1", Revision: uint64(i + 1)})
	}
	list = append(list, config.Entry{Key: "shop.limit", Value: "bad", Revision: 1001}, config.Entry{Key: "shop.size", Value: "8", Revision: 1002})
	now, err := config.Expect(newSchema(t), nil, list)
	check(t, err)
	if n := len(now.Refused); n != 101 || now.Refused[n-1].Key != "shop.limit" || now.Settings[6].Value != "8" {
		t.Errorf("%d refused: %+v", n, now.Settings)
	}
}
