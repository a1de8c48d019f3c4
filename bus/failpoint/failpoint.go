// Package failpoint marks the places where a crash must do no harm, so that tests
// can crash a real process exactly there.
//
// In an ordinary build [Hit] is an empty function and the sabotage constants are
// false, so the compiler removes both. A build with the tag "failpoint" reads
// MESH_FAILPOINT and kills its own process with SIGKILL when the named point is
// reached; builds with a sabotage tag switch one protection off, which is how the
// judge is proved: `mesh verify` must find the damage that such a build does.
//
// It is not for error injection and never belongs into a release.
package failpoint
