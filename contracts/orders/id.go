package orders

import (
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/idem"
)

// DeriveID is the id of the order that a caller places under an idempotency key:
// the same caller and key always give the same id.
func DeriveID(caller contract.Actor, key string) string { return idem.ID(caller, Place.Info(), key) }

// NewID is a fresh order id.
func NewID() string { return idem.Fresh() }
