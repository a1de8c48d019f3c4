//go:build sabotage_stalecache

package failpoint

// StaleRefusal answers refusals and reads from the cache without looking at the log.
const StaleRefusal = true
