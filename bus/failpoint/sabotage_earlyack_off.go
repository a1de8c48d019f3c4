//go:build !sabotage_earlyack

package failpoint

// EarlyAck acknowledges inputs and answers callers before the append is stored.
// False in every build that is meant to work.
const EarlyAck = false

// LingerUnstored does nothing in this build.
func LingerUnstored() {}
