// Package chaos breaks running meshes on purpose and holds their remains against
// what is promised: an acknowledged order is never lost, nobody is charged twice,
// nothing is oversold, and every order comes to its end, whatever process dies.
//
// It builds the mesh binary (plain, with crash points, with one protection
// sabotaged), runs `mesh dev` and `mesh run` as child processes, places orders like
// any client would, kills with SIGKILL, starts again, waits until everything is at
// rest and asks the judge. What it expects of an order it reads from the stream
// itself, not from the services it has just tormented.
//
// It also kills or freezes one of two processes that share the flows, kills the leader
// of three servers, and reads out of the journals how soon others went on, whether a
// step was done again whose result was stored, and whether a process wrote what it had
// lost.
//
// And it cuts the power of servers whose disks forget what was not synced, fills a disk,
// and starts services before their server. README.md beside this file names the test of
// every fault.
//
// It is a harness for tests and no tool for a mesh in use: it knows nothing of the
// services but their subjects and JSON, and the figures that it prints are those of the
// machine on which it ran.
//
// It promises that a run can be repeated: the seed and the schedule of kills are
// printed. And it promises that no child outlives its test: each is killed by its
// process group and waited for, and on Linux the kernel ends it with the test
// process.
//
// By default the tests are short and leave the sabotaged builds out. MESH_CHAOS=ci, or
// MESH_LONG=1, runs the numbers that a commit must stand, MESH_CHAOS=full those of a
// night; MESH_CHAOS_SEED repeats a schedule and MESH_CHAOS_RACE=1 builds every binary
// with the race detector.
package chaos
