//go:build sabotage_earlyack

package failpoint

import "time"

// EarlyAck acknowledges inputs and answers callers before the append is stored.
const EarlyAck = true

// LingerUnstored is the time in which a crash loses what was acknowledged early. On a
// fast machine it would be so short that a few crashes may all miss it.
func LingerUnstored() { time.Sleep(20 * time.Millisecond) }
