package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/ordermesh/ordermesh/bus/view"
)

// TestWhatPassesIsTriedAgain: a view stands still only for what trying again does not
// mend.
func TestWhatPassesIsTriedAgain(t *testing.T) {
	t.Parallel()
	var passing, lasting []error
	for _, code := range []string{
		"40001", // two transactions met
		"40P01", // a deadlock
		"25006", // the database takes no writes
		"53300", // too many connections
		"53100", // the disk is full
		"57P01", // the backend was terminated
		"57P02", // another backend crashed
		"57P03", // it starts or stops
		"55P03", // a lock was not to be had
		"08006", // the connection broke
		"XX000", // a defect of the server
	} {
		passing = append(passing, &pgconn.PgError{Code: code})
	}
	passing = append(passing, io.ErrUnexpectedEOF, syscall.ECONNRESET, net.ErrClosed, &net.OpError{Err: errors.New("refused")},
		context.DeadlineExceeded, fmt.Errorf("copy 3 rows: %w", &pgconn.PgError{Code: "57P01"}))
	for _, code := range []string{"22003", "22021", "23502", "23514", "42501", "42P01", "42703", "28P01", "3F000"} {
		lasting = append(lasting, &pgconn.PgError{Code: code})
	}
	lasting = append(lasting, errors.New("failed to encode args[3]: 1048576 is greater than maximum value for int2"))
	for _, err := range passing {
		if got := classify(err); errors.Is(got, view.ErrRefused) || !errors.Is(got, err) {
			t.Errorf("%v: %v", err, got)
		}
	}
	for _, err := range lasting {
		if got := classify(err); !errors.Is(got, view.ErrRefused) || !errors.Is(got, err) {
			t.Errorf("%v: %v", err, got)
		}
	}
	if got := classify(&pgconn.PgError{Code: divisionByZero}); !errors.Is(got, view.ErrMoved) {
		t.Errorf("a move from elsewhere: %v", got)
	}
	if classify(nil) != nil {
		t.Error("no error became one")
	}
}
