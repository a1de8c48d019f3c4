package rpc_test

import (
	"testing"

	"github.com/ordermesh/ordermesh/bus/bustest"
)

func TestMain(m *testing.M) { bustest.Main(m) }
