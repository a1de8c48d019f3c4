package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/ordermesh/ordermesh/bus/view"
)

const (
	beat     = time.Second      // a member shows that it is there, and stands for election
	patience = 5 * time.Second  // with a server that does not answer
	idle     = 10 * time.Second // until the server drops a member that has frozen
)

var _ view.Shared = (*Store[struct{}])(nil)

// Share implements view.Shared over one connection of its own: its session listens, and
// holds the lock that makes it the one that writes. The server drops the session, and
// with it the lock, when this process dies, and when it freezes.
func (s *Store[R]) Share(ctx context.Context, told func(view.Checkpoint), lead func(context.Context) error) error {
	if err := s.Migrate(ctx); err != nil {
		return err
	}
	m, err := s.join(ctx)
	if err != nil {
		return fmt.Errorf("listen for %s: %w", s.Name(), classify(err))
	}
	defer m.leave()
	m.store, m.told = s, told
	return m.serve(ctx, lead)
}

// member is a session of one process.
type member[R any] struct {
	store *Store[R]
	conn  *pgx.Conn
	told  func(view.Checkpoint)
	leads bool
}

func (s *Store[R]) join(ctx context.Context) (*member[R], error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	pooled, err := s.pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	m := &member[R]{conn: pooled.Hijack()}
	batch := &pgx.Batch{}
	batch.Queue(fmt.Sprintf("SET idle_session_timeout = %d", idle.Milliseconds()))
	batch.Queue("LISTEN " + s.sql.channel)
	if err := m.conn.SendBatch(ctx, batch).Close(); err != nil {
		m.leave()
		return nil, err
	}
	return m, nil
}

func (m *member[R]) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = m.conn.Close(ctx) // it is over either way
}

// serve waits for news and for the lock, and once it has the lock leads beside that.
func (m *member[R]) serve(ctx context.Context, lead func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	led := make(chan error, 1)
	listening := make(chan error, 1)
	elected := make(chan struct{})
	go func() { listening <- m.listen(ctx, elected) }()
	select {
	case err := <-listening:
		return err
	case <-elected:
	}
	go func() { led <- lead(ctx) }()
	var errs [2]error
	select {
	case errs[0] = <-listening:
		cancel()
		errs[1] = <-led
	case errs[1] = <-led:
		cancel()
		errs[0] = <-listening
	}
	return errors.Join(errs[:]...)
}

// listen closes elected once this session has the lock. It ends with ctx, without an
// error, or with the connection.
func (m *member[R]) listen(ctx context.Context, elected chan<- struct{}) error {
	heard := moved // nothing is known yet
	for ctx.Err() == nil {
		if !m.leads {
			if err := m.stand(ctx); err != nil {
				return ended(ctx, err)
			}
			if m.leads {
				close(elected)
			}
		} else if err := m.ping(ctx); err != nil {
			return ended(ctx, err)
		}
		if err := m.tell(ctx, heard); err != nil {
			return ended(ctx, err)
		}
		var err error
		if heard, err = m.wait(ctx); err != nil {
			return ended(ctx, err)
		}
	}
	return nil
}

func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil //nolint:nilerr // the end of ctx has caused it
	}
	return fmt.Errorf("share a view: %w", classify(err))
}

// stand asks for the lock.
func (m *member[R]) stand(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return m.conn.QueryRow(ctx, "SELECT pg_try_advisory_lock($1)", m.store.lock()).Scan(&m.leads)
}

func (m *member[R]) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return m.conn.Ping(ctx)
}

// news is what a member has heard.
type news int

const (
	silence news = iota
	moved        // somebody has moved the checkpoint
	anew         // a generation has begun
)

// tell passes on where the store is. Who leads knows better, unless it begins anew.
func (m *member[R]) tell(ctx context.Context, n news) error {
	if n == silence || n == moved && m.leads {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	at, err := m.store.checkpoint(ctx, m.conn)
	if err == nil {
		m.told(at)
	}
	return err
}

// wait returns with news, or after a beat.
func (m *member[R]) wait(ctx context.Context) (news, error) {
	wait, cancel := context.WithTimeout(ctx, beat)
	defer cancel()
	first, err := m.conn.WaitForNotification(wait)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return silence, nil
	}
	if err != nil {
		return silence, err
	}
	heard := kind(first)
	over, end := context.WithCancel(ctx)
	end()
	for { // what else is there already is old when the next question is asked
		more, err := m.conn.WaitForNotification(over)
		if err != nil {
			return heard, nil
		}
		heard = max(heard, kind(more))
	}
}

func kind(n *pgconn.Notification) news {
	if n.Payload == anewPayload {
		return anew
	}
	return moved
}

// Halt implements view.Shared.
func (s *Store[R]) Halt(ctx context.Context, at view.Checkpoint) error {
	batch := &pgx.Batch{}
	batch.Queue(s.sql.halt, s.name, at.Generation, at.Sequence, at.Halted, at.Behind)
	batch.Queue(s.sql.notify)
	return classify(s.pool.SendBatch(ctx, batch).Close())
}
