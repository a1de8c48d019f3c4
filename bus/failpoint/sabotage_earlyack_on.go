//go:build sabotage_earlyack

package failpoint

// EarlyAck acknowledges inputs and answers callers before the append is stored.
const EarlyAck = true
