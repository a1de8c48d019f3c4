// Package redis runs a throw-away Redis beside this process, from the program that the
// machine has: on PATH, or where the usual packages put it. `mesh dev --redis`, tests
// and benchmarks use it.
//
// It is not for data that must be kept: nothing is written to disk. What the mesh keeps
// in Redis may be lost at any time.
//
// It promises that the server is reached by this user alone, over a socket in a
// directory of its own; that it runs as an unprivileged user when this process is root;
// that it ends and its files go when this process ends, however that happens; and that a
// signal to the terminal does not reach it.
package redis
