// Package postgres runs a throw-away PostgreSQL beside this process, from the programs
// that the machine has: on PATH, or where the usual packages put them. `mesh dev
// --postgres`, tests and benchmarks use it.
//
// It is not for data that must be kept: nothing is forced to disk. What the mesh keeps
// in PostgreSQL are views, which are rebuilt from the streams.
//
// It promises that the server is reached by this user alone, over a socket in a
// directory of its own; that it runs as an unprivileged user when this process is root,
// because PostgreSQL refuses root; that it ends and its files go when this process
// ends, however that happens; and that a signal to the terminal does not reach it.
package postgres
