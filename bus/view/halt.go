package view

import "errors"

// What halts a view: trying again does not mend it. Each says what to do about it.
var (
	// ErrAhead reports a checkpoint beyond the end of the stream.
	ErrAhead = errors.New("the view's checkpoint is beyond the end of the stream, which was restored from an older copy or is another one: rebuild it with 'mesh view rebuild', or restart a process with the view in memory")
	// ErrReplaced reports another message where the checkpoint is, or an entity that
	// began anew.
	ErrReplaced = errors.New("the stream's history is not the one that the view has followed: rebuild it with 'mesh view rebuild', or restart a process with the view in memory")
	// ErrGap reports that versions of an entity are missing.
	ErrGap = errors.New("the stream has lost events: look with 'mesh verify', restore the stream or purge the entity's subject, then 'mesh view rebuild'")
	// ErrRefused reports that a store refuses what it is asked to keep, and will again.
	ErrRefused = errors.New("the view's store refuses it: mend the table or its rights")
)

func halts(err error) bool {
	for _, lasting := range []error{ErrAhead, ErrReplaced, ErrGap, ErrRefused} {
		if errors.Is(err, lasting) {
			return true
		}
	}
	return false
}
