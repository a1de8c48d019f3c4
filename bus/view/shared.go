package view

import "context"

// Shared is what a [Store] does beside that when all instances of a service use it
// together: all read, one writes. Its rows outlive every process.
type Shared interface {
	// Name says where the rows are, for people.
	Name() string
	// Share takes part until ctx ends, or until the store is lost, which is an error.
	// While this process is elected it runs lead, whose ctx ends when that is over and
	// whose error ends Share. While another one is, it tells moved where the store is: at
	// once, and whenever that has changed.
	Share(ctx context.Context, moved func(Checkpoint), lead func(context.Context) error) error
	// Halt notes why nothing is folded in any more after a checkpoint, and how much is
	// waiting; the next Apply takes it back. It does nothing when the store is elsewhere.
	Halt(ctx context.Context, at Checkpoint) error
}
