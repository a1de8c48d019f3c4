// Package config gives a service its settings: a plain struct whose values come from
// layers, of which the last has a say while the service runs.
//
//	defaults < YAML file < environment < flags < bucket "config"
//
// The struct is declared once in contracts with contract.SettingsOf. Its service reads it
// with [Live.Get], which costs one atomic load, and everybody changes it with
//
//	nats kv put config orders.hold_over 50000
//	mesh config set orders.hold_over 50000
//
// A change in the bucket takes effect everywhere within milliseconds. It is parsed and
// checked together with all other settings of the service, then all of them are swapped at
// once. A value that cannot be used (another type, out of range, refused by the struct's
// Validate, no setting of this name) is refused: the setting keeps its last good value,
// and the log, the metrics and the bucket "config_status" say so. A deleted key gives way
// to the layer below.
//
// It promises that instances that have seen the same revision of the bucket run the same
// values, whether they were there all the time or have just started: an instance that
// starts reads the history of each key (64 values) and finds the last good one as the
// others did. A value that was refused because of another setting is tried again when that
// changes. The last of many changes wins everywhere. Nothing that was missed stays missed:
// an instance compares its revision with the bucket every two seconds and reads everything
// again when it is behind.
//
// Secrets come from a file or the environment, never from the bucket or a flag, and never
// print: see contract.Secret.
//
// A key that an instance does not know is refused by that instance alone: during a roll-out
// the older ones say so, and nothing else happens.
//
// A [Document] is one value of another bucket, "policy": a set of rules, or how others are
// called. It is followed in the same way, alone: its key is <service>.<policy>, its parser
// decides whether it can be used, and deleting it gives way to a fallback.
//
// It is not for data: settings are few, small and read by every instance. It is not for
// what must change together in two services; each service is swapped for itself. Code of a
// flow reads settings inside a step or before the flow starts, because they may differ when
// it is replayed.
//
// # Why it is so
//
// What instances run is told in a bucket and not in the answers to $SRV: a report with a
// time to live also shows who has stopped telling, is read at once with one list instead
// of waiting for everybody's answer, and needs no service that answers. Refusals are kept
// there as well (a week), because an instance may be gone when somebody looks.
package config
