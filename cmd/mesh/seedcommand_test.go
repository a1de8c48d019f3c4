package main

import (
	"os"
	"path/filepath"
	"testing"
)

// testSeed: a mesh is filled from a file once; what is there is left alone.
func testSeed(t *testing.T, s shop, tool ...string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "products.json")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	seed := func(want string) {
		t.Helper()
		if code, out := runMesh(t, append([]string{"seed", "--file", file, "--json"}, tool...)...); code != exitGood || out != want+"\n" {
			t.Errorf("mesh seed: exit code %d: %s, want %s", code, out, want)
		}
	}
	write(`{"products":[{"sku":"OWN-1","name":"One","price":{"amount":100,"currency":"EUR"},"stock":7},{"sku":"OWN-2","name":"Two","price":{"amount":200,"currency":"EUR"}}]}`)
	seed(`{"products":2,"stocked":1,"kept":0}`)
	seed(`{"products":0,"stocked":0,"kept":2}`)
	write(`{"products":[{"sku":"OWN-1","name":"Dearer","price":{"amount":900,"currency":"EUR"},"stock":99},{"sku":"OWN-3","name":"Three","price":{"amount":1,"currency":"EUR"},"stock":1}]}`)
	seed(`{"products":1,"stocked":1,"kept":1}`)
	s.left("OWN-1", 7)
	if code, out := runMesh(t, append([]string{"seed"}, tool...)...); code != exitGood || out != "11 products put into the catalog, 11 given stock, 0 left as they are\n" {
		t.Errorf("mesh seed: exit code %d: %s", code, out)
	}
	write(`{"products":[{"sku":"OWN.1","name":"","price":{"amount":1.5,"currency":"EUR"}}]}`)
	if code, out := runMesh(t, append([]string{"seed", "--file", file}, tool...)...); code != exitUsage || !containsAll(out, "/products/0/price/amount") {
		t.Errorf("a bad price: exit code %d: %s", code, out)
	}
	write(`{"products":[{"sku":"OWN.1","name":"One","price":{"amount":1,"currency":"EUR"}},{"sku":"OWN-2","name":"Two","price":{"amount":1,"currency":"EUR"},"stock":-1}]}`)
	if code, out := runMesh(t, append([]string{"seed", "--file", file}, tool...)...); code != exitUsage || !containsAll(out, "product 1 (OWN.1)", "product 2 (OWN-2): stock is -1") {
		t.Errorf("a bad SKU and a bad stock: exit code %d: %s", code, out)
	}
}
