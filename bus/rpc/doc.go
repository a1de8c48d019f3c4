// Package rpc carries typed methods over NATS request/reply.
//
// A [Server] answers the methods of one service: every instance joins the queue
// group of the service's name, so a request reaches one of them. A [Client] calls
// the methods of others. Types stand at both ends; between them move *nats.Msg.
//
// It is not for events or anything durable: a request whose server dies is
// answered by nobody, and its caller gets a time-out and repeats it under the same
// command id.
//
// The server promises: requests run in a bounded number of goroutines; those that would
// have to wait for long are refused with exhausted and a time to come back, never dropped
// in silence, and what is accepted is completed; what waits is served by the priority of
// its method, and makes room for what is more urgent; work whose time has run out before
// it began is not begun; a panic is answered with internal and logged with its stack; what
// it tells on $SRV (PING, INFO, STATS: nats micro ls, info, stats) is what happened; and
// when its context ends it finishes what it accepted before Run returns. A subject that the
// server may not subscribe to ends Run with an error.
//
// The client promises: a call ends at the caller's deadline or after its time-out,
// whichever is earlier; that deadline travels with the request; only idempotent
// methods and calls with a command id are ever sent twice, as the destination's policy
// says (see bus/policy); and every error is a *contract.Error that errors.Is recognises,
// or the end of the caller's context.
//
// # Why not nats.go/micro
//
// A micro endpoint runs its handlers one after the other, answering from another
// goroutine is a data race there, and its statistics then see nothing. This
// package subscribes by itself and answers $SRV with micro's own types.
package rpc
