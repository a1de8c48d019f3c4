//go:build sabotage_nocas

package failpoint

// NoCAS appends without the expected sequence: lost updates.
const NoCAS = true
