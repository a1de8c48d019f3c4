// Package policy governs calls to other services, firms and stores: how long one may
// take, when it is repeated, when the destination is left alone, and how many run at the
// same time.
//
// There is one [Executor] per service and destination, such as payments.provider. What it
// does is a [Calls] document; the built-in one of its class ([Mesh], [Partner], [Store])
// holds until the bucket "policy" has another, which names only what is different:
//
//	nats kv put policy payments.provider '{"breaker":{"open":"30s"}}'
//
// [Do] runs a call. From the outside in: retry → hedge → limits (rate, bulkhead,
// adaptive) → breaker → time-out → the attempt.
//
// It promises: a call that may have had an effect is repeated only when its caller says
// that this does no harm; no pause outlives the call's deadline; a changed document holds
// for the next attempt, and what it did not change (an open breaker, say) stays as it is; a
// changed breaker that is open stays open under the new rules. A breaker never decides
// what is true: while it is open calls are unavailable with a time to come back, and flows
// wait for it.
//
// It is not for deciding whether a result is right, and keeps no results: see bus/cache.
//
// # What a failure is
//
// For a breaker: unavailable, deadline, internal. A refusal is an answer like any other,
// and so is exhausted: who says that is alive. An open breaker further down is no failure
// of who reports it, and a connection to NATS that is down is no failure of the
// destination. The end of the caller's patience says nothing, unless it was a probe: then
// it counts as a failure.
//
// # Why it is so
//
// Breaker, bulkhead, rate limit, adaptive limit and hedge are failsafe-go's. Its executor
// composes all policies anew for each call, which makes twenty-odd allocations; here a
// call without trouble reads one atomic word of the breaker, and failsafe-go is asked when
// something failed lately or the breaker is not closed. Skipping the successes of quiet
// times is harmless: they would only push each other out of the window.
//
// Retry is a loop of our own: failsafe-go's cannot refuse a pause that does not fit into
// the call's deadline, and its budget counts what runs at this instant, so that repeats of
// calls that fail at once never fill it. The budget here is Finagle's: each call earns a
// part of a repeat.
//
// States are told in a bucket, as bus/config does, and not in the answers to $SRV: a report
// with a time to live also shows who has stopped telling, and is read at once with one
// list. Openings and closings are also published, because a report only shows what is now.
package policy
