// Package flow runs durable processes: ordinary Go functions whose steps are
// journaled on JetStream. When a process dies, another worker runs the function again
// with the results that are in the journal and goes on at the first step without one.
//
// It is for business processes that cross services and must not stop half-way: sagas
// with compensations, calls that are repeated until they succeed, deadlines, reminders,
// approvals that take a week. It is not a job queue: every step costs a journal record.
//
//	checkout := flow.Define("checkout", 1, func(run *flow.Run, in Order) (Receipt, error) {
//		flow.Compensate(run, "void", func(ctx context.Context) error { … })
//		key := run.Key("charge")
//		return flow.Step(run, "charge", func(ctx context.Context) (Receipt, error) {
//			return rpc.Call(ctx, client, payments.Charge, charge(in), rpc.WithCommandID(key))
//		})
//	})
//
// # The model
//
//   - [Step] performs an effect and remembers its result; it is tried again until it has
//     one. [All] and [Race] run several at once. [Compensate] says how to undo.
//   - [Run.Sleep], [Run.SleepUntil] and [Await] wait: for a time, or for a signal that
//     [Client.Signal] sends. [StartChild] starts another flow, [Child.Await] waits for it.
//   - [ContinueAsNew] begins the flow again with another input: for flows without end.
//   - [Run.Now], [Run.UUID] and [Run.Key] give what is the same at every replay;
//     [Run.Report] tells how far the flow is.
//   - [WithDeadline] bounds a flow, [WithSchedules] starts flows by the clock.
//
// The function is replayed: it must be deterministic between these calls. What differs
// from the journal parks the flow. An instance keeps the version of the flow with which
// it began; a build runs as many versions side by side as it is given.
//
// # What it promises
//
//   - A start that was acknowledged runs to its end, whatever process dies: it ends
//     completed, failed or cancelled, or it is stuck with a reason that a person can
//     read and mend ([Client.Retry]).
//   - A step whose result was used for an answer is never run again. A step may run
//     more than once before that, always with the same key ([Run.Key]); with
//     [WithAtMostOnce] it never does.
//   - An id is started once. Starting it again finds the instance and its result.
//   - A worker that lost its partition, or stood still and does not know it, changes
//     nothing any more: its appends are refused, it answers nobody, it acknowledges
//     nothing, and it begins no step.
//   - Code that does something else than the journal says parks the flow and names
//     both sides.
//   - Nobody is woken before the time. While a worker is up a timer is a few
//     milliseconds late, whether the flow was in memory or not; what became due while
//     none was, is made up for when one comes.
//   - A signal that was stored is kept until the flow asks for it, and counts once,
//     however often it is delivered. One that is sent again counts as the same until 128
//     others came.
//   - A waiting flow holds no goroutine, no memory and no unacknowledged message for
//     longer than a few seconds.
//
// It does not promise that a step's effect happens once; that is up to the far side,
// which recognises the key.
//
// # The protocol
//
// Everything is in one stream, FLOW. Inputs (start, cancel, …) are messages on the
// instance's inbox; starting is compare-and-append on an empty inbox. The inboxes of
// a service are spread over partitions by a hash of name and id, and each partition
// has one durable consumer. An input stays unacknowledged until what replaces it is
// stored: it is what wakes the instance up after a crash, so nothing is scanned.
//
// The journal is one subject per instance, written by compare-and-append with the
// sequence of the own last message. That is the fence: who does not know the last
// message cannot extend it. Each message repeats all records (a page), so that one
// read recovers an instance; from 8 KiB on a new page begins that names the sequences
// of the full ones, so that a message stays small however long the flow.
//
// Appends are a group commit: one message per instance is on its way, what is recorded
// meanwhile shares the next one, and the last step shares a message with the end. The
// function runs ahead of the acknowledgements, because its steps carry keys; it waits
// where repeating would not give the same (a clock reading, a failure, an observed
// cancel, [WithDurable]), and where it registers a compensation, for a cancel that is
// found after a crash must not be found before that. The records of cheap steps
// ([WithCheap]) are in no hurry: they leave with the next one that is, or after half a
// second. Nobody is answered and nothing
// acknowledged before the end is stored. Order at the end: stored, answered, inputs
// acknowledged.
//
// A refused append is no proof that somebody else writes: a replicated stream refuses
// while an earlier write is on its way. The leader's last message decides: it is ours,
// or nothing came and the same bytes are sent again, or another writer has taken over.
//
// Inputs and results above 256 KiB, up to 16 MiB, are kept in an object store; the
// messages have their names. An object is there before what refers to it, and its name
// is made of its instance and its content, so that a repeat is the same object.
//
// Parallel steps of [All] are a record each, in the order in which they come to an
// outcome; [Race] is one record, the winner's. What is known of the attempts of the others
// is stored beside them, so that a crash repeats only what has no record.
//
// # Retention
//
// A generation of a flow that continues as new replaces the journal of those before it
// with its first message. When a flow has ended its journal stays for a week. Then the journal is replaced by a
// result record and the inbox by a gravestone, each by compare-and-append with a rollup,
// and a time to live. The record answers a second start; the gravestone, which is
// written first and outlives it, keeps a worker from taking that start for the first of
// its id. One worker does this, walking the stream behind the time; large values go when
// no journal, record or waiting input can name them.
//
// # Waiting
//
// A wait is a record under way in the journal, and an alarm: a schedule of the server
// that puts an input on the inbox half a second before the time, because the server's
// timers are late by up to that. Once both are stored, the inputs so far are
// acknowledged. A wait that ends soon stays in memory; another leaves it after a grace
// time, and the next input loads it. Alarms are hints: the due time in the journal
// decides. The append that ends a flow removes an alarm that was not needed. Waits of
// less than 1.5 s have no alarm: their inputs are held instead.
//
// A signal that nobody has asked for yet is kept in the journal as the place of its
// input; the record that takes it and its removal share a message. The journal remembers
// the ids of the last inputs, and how far in the stream all others were taken in: a
// take-over has inputs delivered again that were acknowledged long ago.
//
// # Ownership
//
// Each worker rewrites a presence key every 400 ms and owns partitions by
// compare-and-set on their keys; rendezvous hashing, capped at an equal share, says
// which. A worker is dead when the others have not seen it for 1.5 s by their own
// clocks, and it stops by itself when its last acknowledged beat is 1.5 s old, so that
// it is silent before its partitions move. It is asked before each input and each
// step. A new owner unpins the consumer, notes the end of the stream, resets the
// consumer to what was never acknowledged, and reads the journal for every input that
// a former owner may have seen.
//
// # Why it is so
//
// A lease and a pinned consumer together: the pin alone takes three seconds to fail
// over and gives newcomers nothing; the lease alone lets the former owner's outstanding
// requests swallow inputs. Records in one message and not one message each: an append
// costs more than a few kilobytes. Answers over the client's inbox and not by watching
// the journal: a third of the latency. An alarm and a timer in memory: the server alone
// is a quarter of a second late, memory alone forgets.
//
// # Limits
//
// A flow's name, its id, names of steps and signals are 1 to 64 of A-Z a-z 0-9 _ -; a
// timer is at most ten years; 256 signals wait for their flow, others are brought again
// later. The number of partitions is fixed when the stream is created. Flows start
// children of their own service only.
package flow
