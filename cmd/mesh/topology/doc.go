// Package topology compares the streams, buckets and durable consumers of a server
// with what the descriptors of the services say, field by field, and makes them so.
//
// It is the only place that changes a stream in production. It looks at the settings
// that the mesh depends on and leaves all others to the operator. It also writes the
// same as manifests for NACK.
//
// It promises that a plan names every difference with what is and what should be, that
// applying it does what the plan says and nothing else, that applying it twice changes
// nothing the second time, and that nothing is ever deleted or made smaller: a
// difference whose removal would lose messages, copies or positions is refused with its
// reason.
package topology
