// Package redis is what the mesh does with Redis: the level of a cache that processes
// share ([Client.Cache]), rate limits that they count together ([Client.Limiter]) and
// advisory locks ([Client.Locker]), each a twin of one in the process.
//
// Nothing in Redis is the only copy of anything, and nothing here waits for Redis longer
// than its caller's context says. Commands are not repeated: whoever asks has something
// else to do when Redis fails.
//
// It works with Redis 6 and newer and with what speaks like it. Each key is used by
// itself, so that a cluster's proxy does as well.
package redis
