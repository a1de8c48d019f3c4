package bus

import (
	"context"

	"golang.org/x/sync/errgroup"
)

// Runner is something that serves until ctx ends and then drains: a service, a
// consumer, a worker. Run is called once.
type Runner interface {
	Run(ctx context.Context) error
}

// Run runs all runners and waits for all of them. The first error ends the others
// and is returned; the end of ctx is not an error.
func Run(ctx context.Context, runners ...Runner) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, r := range runners {
		group.Go(func() error { return r.Run(ctx) })
	}
	return group.Wait()
}
