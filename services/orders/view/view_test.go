package view_test

import (
	"testing"

	"github.com/ordermesh/ordermesh/services/orders/view"
	"github.com/ordermesh/ordermesh/services/orders/view/viewtest"
)

func TestMemory(t *testing.T) {
	t.Parallel()
	viewtest.Run(t, func(*testing.T) view.Store { return view.NewMemory() })
}
