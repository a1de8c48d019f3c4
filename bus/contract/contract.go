// Package contract is the vocabulary in which services describe themselves:
// methods, events, errors, subjects, the commit format and strict JSON.
//
// Everything that appears on the wire is derived from values declared with this
// package: a method's subject, an entity's subject, a stream's configuration,
// a service's permissions. Code outside this package never builds a subject or
// a stream name by hand.
//
// It is for packages under contracts/ and for the library. It is not a client,
// not a server and does no I/O; it depends on the standard library and
// github.com/go-json-experiment/json alone.
//
// It promises that two processes that were built from the same descriptors agree
// on every name and every byte layout, and that whatever it decodes was checked:
// duplicate members, unknown members, wrong case, bad UTF-8, excessive depth and
// out-of-range numbers are refused with an error that names the field.
package contract
