// Package cache keeps what is read often near its readers: in the process, then in
// Redis, then at the source, which is an entity of the event store or a view.
//
//	feed := cache.NewFeed(conn, catalog.Events.Info())
//	products, err := cache.New(conn.Telemetry(), "catalog.products", entity.Get, cache.WithFeed(feed), cache.WithRemote(redis))
//	product, version, err := products.Get(ctx, sku)
//
// It is for answers to people and for proposals. Whatever decides (a reservation, a
// price that is changed, an append) asks the event store.
//
// It promises:
//   - a cached value is as old as the feed is late, and not as old as its expiry: every
//     process hears of every event of the entity and drops what the event has outdated.
//     A process whose feed is silent trusts nothing that it has until it has caught up;
//   - an older value never takes the place of a newer one, however slow a read was: see
//     below;
//   - one read of the source per key and process at a time, whoever asks meanwhile, and
//     a bounded number of reads of the source altogether;
//   - what is wrong with Redis (down, slow, full, loading, emptied, something else under
//     our key, not Redis at all) is a miss and never an error;
//   - when the source fails, what has expired but is not known to be outdated is
//     answered instead, unless the reader demands otherwise.
//
// # Why an old value cannot come back
//
// A value carries the version of its entity and the position in the stream up to which
// the process that read it had heard of every event when it began to read. A process
// remembers which version each key has reached since a position of its own, the
// horizon. It takes a value, from wherever it comes, only if the value was read at or
// after the horizon and its version is not below the version remembered. So a value is
// refused that was read before an event and arrives after it, from a slow read in this
// process or from Redis, where a process that slept has put it; nothing depends on a
// message that must not be lost, or on a clock. When there is too much to remember the
// horizon moves on, which costs misses and no more.
//
// A process that starts reads the events of the last expiry again, so that it may use
// what others have put into Redis meanwhile.
package cache
