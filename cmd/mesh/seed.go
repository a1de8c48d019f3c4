package main

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/rpc"
	"github.com/ordermesh/ordermesh/contracts/catalog"
	"github.com/ordermesh/ordermesh/contracts/inventory"
	"github.com/ordermesh/ordermesh/contracts/money"
)

// product is one of the sample catalog.
type product struct {
	sku, name string
	cents     int64
	stock     int64
}

// sampleCatalog is what an empty mesh begins with.
func sampleCatalog() []product {
	return []product{
		{"TEA-001", "Assam, 100 g", 1299, 1000},
		{"TEA-002", "Darjeeling First Flush, 100 g", 1890, 500},
		{"TEA-003", "Sencha, 100 g", 1450, 500},
		{"TEA-004", "Lapsang Souchong, 100 g", 1190, 300},
		{"TEA-005", "Rooibos, 200 g", 790, 800},
		{"TEA-006", "Peppermint, 50 g", 450, 800},
		{"POT-001", "Teapot, cast iron, 0.8 l", 4990, 60},
		{"POT-002", "Teapot, glass, 1.2 l", 3450, 80},
		{"CUP-001", "Cup, porcelain", 990, 400},
		{"CUP-002", "Travel mug, steel", 2290, 120},
		{"GIFT-001", "Gift box, three teas", 3900, 40},
	}
}

// seed gives an empty mesh its sample catalog, through the same methods that anybody
// uses. The stock of the first product comes last and says that it was done; a start
// that was interrupted before is repeated under the same command ids, which adds
// nothing twice.
func seed(ctx context.Context, conn *bus.Conn) error {
	client := rpc.NewClient(conn)
	all := sampleCatalog()
	_, err := rpc.Call(ctx, client, inventory.Get, inventory.GetStock{SKU: all[0].sku})
	if !errors.Is(err, inventory.ErrNoStock) {
		return err
	}
	group, groupCtx := errgroup.WithContext(ctx)
	for _, p := range all[1:] {
		group.Go(func() error { return seedProduct(groupCtx, client, p) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return seedProduct(ctx, client, all[0])
}

func seedProduct(ctx context.Context, client *rpc.Client, p product) error {
	put := catalog.PutProduct{SKU: p.sku, Name: p.name, Price: money.In(money.New(p.cents, "EUR"))}
	if _, err := rpc.Call(ctx, client, catalog.Put, put, rpc.WithCommandID("seed-product-"+p.sku)); err != nil {
		return fmt.Errorf("seed product %s: %w", p.sku, err)
	}
	adjust := inventory.AdjustStock{SKU: p.sku, Delta: p.stock, Reason: "sample stock"}
	if _, err := rpc.Call(ctx, client, inventory.Adjust, adjust, rpc.WithCommandID("seed-stock-"+p.sku)); err != nil {
		return fmt.Errorf("seed stock of %s: %w", p.sku, err)
	}
	return nil
}
