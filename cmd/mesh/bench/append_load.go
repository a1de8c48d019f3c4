package bench

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/eventstore"
)

// loadCold reads entities that are not in the client's memory, out of many, beside a
// direct get of the same messages by hand. The direct get is the least that any read
// costs, but an answer of any replica: Get promises one of the leader, and what that
// takes by hand is told in the note. The server reads a stream in blocks of 8 MB and
// keeps those that were used in the last ten seconds; what a read costs that needs
// another block is told there, too.
func loadCold(ctx context.Context, o Options, conns pair) (Row, error) {
	begin := time.Now()
	if err := fill(ctx, newGauges(conns.ours), o.Stored); err != nil {
		return Row{}, err
	}
	filled := time.Since(begin)
	cold := newGauges(conns.ours, eventstore.WithCache(1))
	ours := strides(o.Stored, func(ctx context.Context, id string) error {
		g, version, err := cold.Get(ctx, id)
		if err == nil && (version != 1 || g.Moves != 1) {
			return fmt.Errorf("entity %s is %+v at version %d", id, g, version)
		}
		return err
	})
	var slowest time.Duration
	for range blockProbes {
		begin := time.Now()
		if err := ours(ctx, 0); err != nil {
			return Row{}, err
		}
		slowest = max(slowest, time.Since(begin))
	}
	row, err := compare(ctx, o, 1, ours, strides(o.Stored, rawDirect(conns.raw)))
	if err != nil {
		return row, err
	}
	leader, err := repeat(ctx, o, 1, strides(o.Stored, rawLeader(conns.raw)))
	row.Name, row.Goal = "cold load", Goal{P50: 80 * time.Microsecond}
	row.Note = fmt.Sprintf("from %d entities in one stream, stored in %v; raw is a direct get, which any replica answers; a read of the leader by hand takes %v (%.2f); at most %v when the server has to read a block of the stream first",
		o.Stored, filled.Round(time.Millisecond), short(leader.P50), float64(row.Ours.P50)/float64(leader.P50), slowest.Round(10*time.Microsecond))
	return row, err
}

// strides lets read go over the entities in steps that leave no order for the server to
// profit from.
func strides(stored int, read func(ctx context.Context, id string) error) operation {
	next := 0
	return func(ctx context.Context, _ int) error {
		next = (next + loadStride) % stored
		return read(ctx, "cold-"+strconv.Itoa(next))
	}
}

// rawDirect reads the last message of an entity as nats.go would, and its state.
func rawDirect(conn *bus.Conn) func(context.Context, string) error {
	return func(ctx context.Context, id string) error {
		subject, err := gaugeEvents.Info().Subject(id)
		if err != nil {
			return err
		}
		m, err := conn.NATS().RequestWithContext(ctx, "$JS.API.DIRECT.GET."+benchStream+"."+subject, nil)
		if err != nil {
			return fmt.Errorf("raw direct get: %w", err)
		}
		return rawFirst(m.Data)
	}
}

// rawLeader asks the leader of the stream.
func rawLeader(conn *bus.Conn) func(context.Context, string) error {
	type reply struct {
		Message struct {
			Header []byte `json:"hdrs"`
			Data   []byte `json:"data"`
		} `json:"message"`
	}
	return func(ctx context.Context, id string) error {
		subject, err := gaugeEvents.Info().Subject(id)
		if err != nil {
			return err
		}
		m, err := conn.NATS().RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET."+benchStream, []byte(`{"last_by_subj":"`+subject+`"}`))
		if err != nil {
			return fmt.Errorf("raw read of the leader: %w", err)
		}
		var r reply
		if err := contract.UnmarshalLenient(m.Data, &r); err != nil {
			return fmt.Errorf("raw read of the leader: %w", err)
		}
		if _, err := nats.DecodeHeadersMsg(r.Message.Header); err != nil {
			return fmt.Errorf("raw read of the leader: %w", err)
		}
		return rawFirst(r.Message.Data)
	}
}

// rawFirst reads the state in an entity's only message.
func rawFirst(body []byte) error {
	var c rawCommit
	if err := contract.UnmarshalLenient(body, &c); err != nil {
		return fmt.Errorf("raw read: %w", err)
	}
	if c.State == nil || c.State.Data.Moves != 1 {
		return fmt.Errorf("raw read: %s", body)
	}
	return nil
}
