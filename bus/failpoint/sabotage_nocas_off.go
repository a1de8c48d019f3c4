//go:build !sabotage_nocas

package failpoint

// NoCAS appends without the expected sequence: lost updates.
// False in every build that is meant to work.
const NoCAS = false
