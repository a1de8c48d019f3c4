package flow

import (
	"fmt"
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// The errors by which a flow ends or is refused. They cross the wire: callers
// compare with errors.Is.
var (
	// ErrCancelled is what every step returns once a cancel has been observed, and
	// how a cancelled flow ends.
	ErrCancelled = contract.NewError(contract.FailedPrecondition, "flow_cancelled", "the flow was cancelled")
	// ErrStuck: the flow cannot go on by itself; its state names the reason.
	ErrStuck = contract.NewError(contract.Internal, "flow_stuck", "the flow is stuck and waits for a person")
	// ErrOtherInput: the id belongs to a flow that was started with another input.
	ErrOtherInput = contract.NewError(contract.Unprocessable, "flow_other_input", "a flow with this id was started with another input")
	// ErrNotFound: no flow with this name and id was ever started, or it was forgotten.
	ErrNotFound = contract.NewError(contract.NotFound, "flow_not_found", "there is no such flow")
	// ErrEnded: the flow has ended and takes no more inputs.
	ErrEnded = contract.NewError(contract.Conflict, "flow_ended", "the flow has ended")
	// ErrStepFailed is what a step returns when its attempts are used up and its last
	// error was none of the contract's.
	ErrStepFailed = contract.NewError(contract.Internal, "flow_step_failed", "a step failed at every attempt")
)

// Definition is a flow: a name, a version and the function that instances run. It
// is a value; declare it once where the function's dependencies are at hand.
type Definition[In, Out any] struct{ spec }

// Registered is a [Definition] whose types are not known: what a worker is given.
type Registered interface {
	Info() contract.FlowInfo
	registered() spec
}

// spec is a definition without its types.
type spec struct {
	name     string
	version  int
	run      func(run *Run, input []byte) ([]byte, error) // nil when only declared
	fits     func(input []byte) error                     // nil when only declared
	deadline time.Duration                                // 0 for none

	maxRunning int // 0 for no bound
}

func (s spec) registered() spec { return s }

// Name is the flow's name, one token of its subjects.
func (s spec) Name() string { return s.name }

// Version is the version that new instances are pinned to.
func (s spec) Version() int { return s.version }

// Info describes the flow for a service's descriptor.
func (s spec) Info() contract.FlowInfo { return contract.FlowInfo{Name: s.name, Version: s.version} }

// Define declares a flow and its function.
//
// fn is run again from its first line after a crash, with the results of the steps
// that are in the journal. It must therefore be deterministic: the same input and
// the same results lead to the same steps in the same order. Clocks, random numbers,
// calls and everything that changes the world belong into a [Step]; goroutines do
// not belong into fn at all. A change of fn that alters the order of steps needs a
// new version (or name); instances stay with the version that they began with.
//
// An error that fn returns ends the flow as failed after its compensations have run.
// Callers see code, reason and message of an *contract.Error; any other error becomes
// internal for them and is logged.
//
// A name that is no valid id, or a version below 1, panics: it is a programming error.
func Define[In, Out any](name string, version int, fn func(run *Run, in In) (Out, error), opts ...DefineOption) Definition[In, Out] {
	d := Declare[In, Out](name, version)
	for _, opt := range opts {
		opt(&d.spec)
	}
	d.fits = fits[In]
	d.run = func(run *Run, input []byte) ([]byte, error) {
		var in In
		if err := decode(input, &in); err != nil {
			return nil, err
		}
		out, err := fn(run, in)
		if err != nil {
			return nil, err
		}
		raw, err := encode(out)
		if err != nil {
			return nil, unrecordable{err}
		}
		return raw, nil
	}
	return d
}

// Declare names a flow that another process runs, so that it can be started from
// here with its types.
func Declare[In, Out any](name string, version int) Definition[In, Out] {
	if !contract.ValidID(name) || version < 1 {
		panic(fmt.Sprintf("flow: bad definition %q version %d", name, version))
	}
	return Definition[In, Out]{spec{name: name, version: version}}
}
