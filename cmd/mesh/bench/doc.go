// Package bench measures what the library costs beside the same work done by hand
// with nats.go: [RPC], and its siblings for appends, consumers, orders and flows.
//
// It is not a load generator for a mesh elsewhere: every benchmark starts its own
// server, in this process unless it is told to measure processes apart, on a loopback port
// or behind an in-process pipe, and uses throw-away data. Nothing else should run on the machine meanwhile.
//
// It promises fairness: the library and the raw baseline send the same bytes and
// headers, decode with the same JSON, run in the same process and alternate within
// each round; what is printed is the median over the rounds, and a ratio is the
// median of the rounds' ratios, so that a slow minute hits both sides.
package bench
