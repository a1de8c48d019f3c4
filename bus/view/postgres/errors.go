package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/ordermesh/ordermesh/bus/view"
)

// divisionByZero is how a move of the checkpoint fails that has found it elsewhere.
const divisionByZero = "22012"

// lasting are the classes of errors that trying again does not mend; everything else,
// such as a lost connection, a conflict, a restart or a database that takes no writes,
// passes. A table that is missing is made again by the next who shares the store.
var lasting = map[string]bool{
	"22": true, // a value that the column does not take
	"23": true, // a constraint that the row does not meet
	"28": true, // the login is refused
	"3F": true, // there is no such schema
	"42": true, // a missing right, table or column
	"0A": true, // not supported
}

// classify says what a caller can do about an error of the database.
func classify(err error) error {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	switch {
	case err == nil:
		return nil
	case ok && pg.Code == divisionByZero:
		return view.ErrMoved
	case ok && lasting[pg.Code[:min(2, len(pg.Code))]], !ok && !connection(err):
		return fmt.Errorf("%w: %w", view.ErrRefused, err)
	}
	return err
}

// connection reports whether an error that is not PostgreSQL's own is about reaching it.
// What is left is about a value that the client cannot encode or read.
func connection(err error) bool {
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return true
	}
	for _, passing := range []error{
		context.Canceled, context.DeadlineExceeded, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed,
		syscall.EPIPE, syscall.ECONNRESET,
	} {
		if errors.Is(err, passing) {
			return true
		}
	}
	return pgconn.SafeToRetry(err) // the connection was closed or busy before anything was sent
}
