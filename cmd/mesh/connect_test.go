package main

import (
	"errors"
	"fmt"
	"testing"
)

func TestRootCause(t *testing.T) {
	t.Parallel()
	root := errors.New("root")
	if got := rootCause(fmt.Errorf("outer: %w", fmt.Errorf("inner: %w", root))); !errors.Is(got, root) || got.Error() != "root" {
		t.Errorf("%v", got)
	}
}
