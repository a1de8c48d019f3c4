// Package natsd runs nats-server inside our own process: one server for
// development, three for tests that need replication, and nodes in child
// processes for tests that kill them.
//
// It is not a way to run NATS in production; there the mesh dials a cluster that
// somebody operates. It knows nothing of services, streams or permissions beyond
// the lists it is given, and listens on loopback only.
//
// It promises that a server which was started answers on its URL, that a store
// directory is never used by two servers at once (a lock in the directory, freed
// by the operating system when its holder dies), that every way to fail at start
// is one sentence that says what to do, and that after Shutdown no goroutine, port
// or file of the server is left. It runs on Unix systems.
package natsd
