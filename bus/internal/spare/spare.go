// Package spare ends a wait a little before its caller's time is over, so that there is
// still time to answer that it was in vain.
package spare

import (
	"context"
	"time"
)

// A share of the time that is left is kept for the answer, and not less than enough if
// there is twice that.
const (
	share  = 20
	enough = 50 * time.Millisecond
)

// Context is ctx, ending earlier by a twentieth of the time that is left or, when that is
// little, by up to half of it. Without a deadline it ends with ctx.
func Context(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	left := time.Until(deadline)
	return context.WithTimeout(ctx, left-max(left/share, min(left/2, enough)))
}
