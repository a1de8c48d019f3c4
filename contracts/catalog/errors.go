package catalog

import "github.com/ordermesh/ordermesh/bus/contract"

// ErrUnknown refuses a SKU that the catalog does not have.
var ErrUnknown = contract.NewError(contract.NotFound, "product_not_found", "there is no product with this SKU")
