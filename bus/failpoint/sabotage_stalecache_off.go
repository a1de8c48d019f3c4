//go:build !sabotage_stalecache

package failpoint

// StaleRefusal answers refusals and reads from the cache without looking at the log.
// False in every build that is meant to work.
const StaleRefusal = false
