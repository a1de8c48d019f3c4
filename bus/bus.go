// Package bus connects a service to NATS: the connection, the pipelined
// compare-and-append that everything durable is built on, the creation of streams
// and buckets from descriptors, and the start and stop of what runs together.
//
// The packages below it build on it: rpc (request/reply), event (consumers),
// eventstore (entities), flow (durable processes), view (projections). It knows no
// service and starts no server.
//
// It promises that a connection comes back by itself after an outage, that a
// denied subject is reported where it was used instead of running into a time-out,
// and that every append ends in exactly one of: stored, refused because the subject
// moved on (ErrConflict), not stored (ErrNoStream or an API error), or unknown
// (ErrUnknown): then the caller reads the subject before it tries again.
package bus
