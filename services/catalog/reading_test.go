package catalog

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/cache"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/catalog"
	"github.com/ordermesh/ordermesh/contracts/money"
)

const patience = 30 * time.Second

// instances runs some instances, which the test then asks one by one.
func instances(t *testing.T, b *bustest.Broker, n int) []*Service {
	t.Helper()
	remote := cache.NewMemory(1000)
	var list []*Service
	for range n {
		s, err := New(b.Dial(t, bustest.WithService("catalog")), Config{Remote: remote})
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, s)
	}
	bustest.Run(t, list...)
	for _, s := range list {
		select {
		case <-s.reading.feed.Ready():
		case <-time.After(patience):
			t.Fatal("the feed does not get ready")
		}
	}
	return list
}

func (s *Service) mustPut(t *testing.T, sku string, price int64) catalog.Product {
	t.Helper()
	p, err := s.put(t.Context(), catalog.PutProduct{SKU: sku, Name: "Name", Price: money.In(money.New(price, "EUR"))})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (s *Service) mustGet(t *testing.T, req catalog.GetProduct) catalog.Product {
	t.Helper()
	p, err := s.get(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestEveryInstanceAnswersANewPrice(t *testing.T) {
	t.Parallel()
	all := instances(t, bustest.Server(t, bustest.WithServices(catalog.Descriptor)), 3)
	for _, s := range all {
		if _, err := s.get(t.Context(), catalog.GetProduct{SKU: "TEA"}); !errors.Is(err, catalog.ErrUnknown) {
			t.Errorf("before it was put: %v", err)
		}
	}
	for price := range int64(50) {
		writer := all[price%3]
		put := writer.mustPut(t, "TEA", price+1)
		if got := writer.mustGet(t, catalog.GetProduct{SKU: "TEA"}); got != put {
			t.Fatalf("the instance that has put %+v answers %+v", put, got)
		}
		reader := all[(price+1)%3]
		if got := reader.mustGet(t, catalog.GetProduct{SKU: "TEA", MinVersion: put.Version}); got != put {
			t.Fatalf("another answers %+v to who has put %+v", got, put)
		}
		for _, s := range all {
			bustest.Eventually(t, patience, func() bool {
				got, err := s.get(t.Context(), catalog.GetProduct{SKU: "TEA"})
				return err == nil && got == put
			}, "every instance to answer the new price")
			if got := s.mustGet(t, catalog.GetProduct{SKU: "TEA"}); got != put {
				t.Fatalf("after %+v an instance went back to %+v", put, got)
			}
		}
	}
}

func TestWhenTheStreamIsAway(t *testing.T) {
	t.Parallel()
	b := bustest.Server(t, bustest.WithServices(catalog.Descriptor))
	s := instances(t, b, 1)[0]
	put := s.mustPut(t, "TEA", 1299)
	s.mustGet(t, catalog.GetProduct{SKU: "TEA"})
	b.Stop(t, "CATALOG")
	bustest.Eventually(t, patience, func() bool { return !s.reading.feed.Alive() }, "the feed to fall silent")
	if got := s.mustGet(t, catalog.GetProduct{SKU: "TEA"}); got != put {
		t.Errorf("a shop window shows %+v", got)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := s.get(ctx, catalog.GetProduct{SKU: "TEA", Current: true})
	if e := contract.AsError(err); e == nil || e.Code != contract.Unavailable && e.Code != contract.Deadline {
		t.Errorf("a price for an order: %v", err)
	}
	b.Start(t)
	bustest.Eventually(t, patience, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		got, err := s.get(ctx, catalog.GetProduct{SKU: "TEA", Current: true})
		return err == nil && got == put
	}, "the catalog to be back")
}
