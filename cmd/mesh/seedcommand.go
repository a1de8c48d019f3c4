package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/rpc"
	"github.com/ordermesh/ordermesh/contracts/catalog"
	"github.com/ordermesh/ordermesh/contracts/inventory"
	"github.com/ordermesh/ordermesh/contracts/money"
)

// seedItem is a product in the file of `mesh seed`.
type seedItem struct {
	SKU   string      `json:"sku"`
	Name  string      `json:"name"`
	Price money.Input `json:"price"`
	Stock int64       `json:"stock,omitzero"` // on the shelf to begin with
}

// seeded counts what a sowing did.
type seeded struct {
	Products int `json:"products"` // that were put into the catalog
	Stocked  int `json:"stocked"`  // that were given stock
	Kept     int `json:"kept"`     // of which nothing was changed
}

func seedCommand(c *cli) *cobra.Command {
	var n natsFlags
	var file string
	cmd := &cobra.Command{
		Use: "seed", Short: "Put products with stock into a mesh that has none of them", GroupID: groupStart,
		Long: "Put products into the catalog and stock on the shelves of a running mesh, through the methods that\n" +
			"anybody uses. A product that is in the catalog keeps its name and price, and one that ever had stock\n" +
			"keeps its stock, so it may be called again, and by several at once.\n" +
			"The file: {\"products\":[{\"sku\":\"TEA-001\",\"name\":\"Assam\",\"price\":{\"amount\":1299,\"currency\":\"EUR\"},\"stock\":100}]}",
		Example: "  mesh seed --nats nats://10.0.0.5:4222         # the sample catalog\n  mesh seed --file products.json --json",
		Args:    exactly(),
		RunE:    func(cmd *cobra.Command, _ []string) error { return runSeed(cmd.Context(), c, &n, file) },
	}
	n.add(cmd.Flags())
	cmd.Flags().StringVar(&file, "file", "", "JSON `file` with products, instead of the sample catalog")
	return cmd
}

func runSeed(ctx context.Context, c *cli, n *natsFlags, file string) error {
	items, err := seedItems(file)
	if err != nil {
		return err
	}
	conn, err := n.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	client := rpc.NewClient(conn)
	var sum seeded
	for _, item := range items {
		if err := sow(ctx, client, item, &sum); err != nil {
			return fmt.Errorf("seed %s: %w", item.SKU, err)
		}
	}
	if c.json {
		return c.printJSON(sum)
	}
	_, err = fmt.Fprintf(c.out, "%d products put into the catalog, %d given stock, %d left as they are\n", sum.Products, sum.Stocked, sum.Kept)
	return err
}

// seedItems reads the file, or takes the sample catalog, and refuses what no service
// would take.
func seedItems(file string) ([]seedItem, error) {
	if file == "" {
		var items []seedItem
		for _, p := range sampleCatalog() {
			items = append(items, seedItem{p.sku, p.name, money.In(money.New(p.cents, "EUR")), p.stock})
		}
		return items, nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, usagef("--file: %w", err)
	}
	var content struct {
		Products []seedItem `json:"products"`
	}
	if err := contract.Unmarshal(data, &content); err != nil {
		return nil, usagef("--file %s: %w", file, err)
	}
	var wrong []string
	for i, item := range content.Products {
		if err := item.put().Validate(); err != nil {
			wrong = append(wrong, fmt.Sprintf("product %d (%s): %v", i+1, item.SKU, err))
		}
		if item.Stock < 0 {
			wrong = append(wrong, fmt.Sprintf("product %d (%s): stock is %d: 0 or more", i+1, item.SKU, item.Stock))
		}
	}
	if len(wrong) > 0 {
		return nil, usagef("--file %s: %s", file, strings.Join(wrong, "; "))
	}
	return content.Products, nil
}

func (i seedItem) put() catalog.PutProduct {
	return catalog.PutProduct{SKU: i.SKU, Name: i.Name, Price: i.Price}
}

// sow adds what is missing of one product. The ids of its commands are those of `mesh
// dev`: whoever is second changes nothing.
func sow(ctx context.Context, client *rpc.Client, item seedItem, sum *seeded) error {
	changed := false
	_, err := rpc.Call(ctx, client, catalog.Get, catalog.GetProduct{SKU: item.SKU})
	if errors.Is(err, catalog.ErrUnknown) {
		_, err = rpc.Call(ctx, client, catalog.Put, item.put(), rpc.WithCommandID("seed-product-"+item.SKU))
		changed = true
		sum.Products++
	}
	if err != nil {
		return err
	}
	if item.Stock > 0 {
		_, err = rpc.Call(ctx, client, inventory.Get, inventory.GetStock{SKU: item.SKU})
		if errors.Is(err, inventory.ErrNoStock) {
			adjust := inventory.AdjustStock{SKU: item.SKU, Delta: item.Stock, Reason: "sample stock"}
			_, err = rpc.Call(ctx, client, inventory.Adjust, adjust, rpc.WithCommandID("seed-stock-"+item.SKU))
			changed = true
			sum.Stocked++
		}
	}
	if !changed {
		sum.Kept++
	}
	return err
}
