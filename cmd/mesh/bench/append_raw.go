package bench

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/contract"
)

// rawGauges is what somebody writes with nats.go alone who wants the messages that
// an Entity stores: one owner per subject, who knows state and sequence, so that
// nothing is looked up, and asynchronous publishing, so that acknowledgements are
// shared.
type rawGauges struct {
	js      jetstream.JetStream
	clients []rawGauge
}

type rawGauge struct {
	subject        string
	state          gauge
	version        uint64
	sequence, snap uint64
	since          int
	commands       []string
}

// The commit format with the types of this benchmark, so that one call encodes it.
type (
	rawCommit struct {
		V      int         `json:"v"`
		Events []rawRecord `json:"events"`
		State  *rawState   `json:"state,omitempty"`
	}
	rawRecord struct {
		ID      string    `json:"id"`
		Type    string    `json:"type"`
		Command string    `json:"command"`
		At      time.Time `json:"at"`
		Data    moved     `json:"data"`
	}
	rawState struct {
		Schema   int      `json:"schema"`
		Commands []string `json:"commands,omitempty"`
		Data     gauge    `json:"data"`
	}
)

const (
	rawWindow     = 128 // commands in a state
	rawEvery      = 32  // messages from one state to the next
	rawSmall      = 512 // bytes of a state that rides along with every message
	rawSmallState = 64  // of them without commands
)

var rawIDs = base32.HexEncoding.WithPadding(base32.NoPadding)

func newRawGauges(conn *bus.Conn, prefix string, clients int) *rawGauges {
	r := &rawGauges{js: conn.JetStream(), clients: make([]rawGauge, clients)}
	for i := range r.clients {
		r.clients[i].subject, _ = gaugeEvents.Info().Subject(prefix + strconv.Itoa(i))
	}
	return r
}

func (r *rawGauges) do(ctx context.Context, client int, command string, m moved) error {
	g := &r.clients[client]
	g.state.Level, g.state.Moves = g.state.Level+m.Delta, g.state.Moves+1
	g.commands = append(g.commands, command+"@"+strconv.FormatUint(g.version+1, 10))
	if len(g.commands) > 2*rawWindow {
		g.commands = append(g.commands[:0], g.commands[rawWindow:]...)
	}
	msg, withState, err := g.message(command, m)
	if err != nil {
		return err
	}
	future, err := r.js.PublishMsgAsync(msg, jetstream.WithExpectLastSequencePerSubject(g.sequence))
	if err != nil {
		return err
	}
	select {
	case ack := <-future.Ok():
		g.sequence, g.version, g.since = ack.Sequence, g.version+1, g.since+1
		if withState {
			g.snap, g.since = ack.Sequence, 0
		}
		return nil
	case err := <-future.Err():
		return fmt.Errorf("raw append: %w", err)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g *rawGauge) message(command string, m moved) (*nats.Msg, bool, error) {
	c := rawCommit{V: 1, Events: []rawRecord{{
		ID: rawEventID(g.subject, command), Type: movedType, Command: command, At: time.Now().UTC(), Data: m,
	}}}
	recent := g.commands[max(0, len(g.commands)-rawWindow):]
	withState := g.since >= rawEvery-1 || small(recent)
	snap := contract.SnapSelf
	if withState {
		c.State = &rawState{Schema: 1, Commands: recent, Data: g.state}
	} else {
		snap = g.snap
	}
	body, err := contract.Marshal(c)
	msg := &nats.Msg{Subject: g.subject, Header: nats.Header{}, Data: body}
	contract.CommitHeader{First: g.version + 1, Last: g.version + 1, Prev: g.sequence, Snap: snap}.SetTo(msg.Header.Set)
	return msg, withState, err
}

func small(commands []string) bool {
	size := rawSmallState
	for _, c := range commands {
		size += len(c) + 3
	}
	return size <= rawSmall
}

func rawEventID(subject, command string) string {
	b := append(append(append(make([]byte, 0, 128), subject...), 0), command...)
	sum := sha256.Sum256(binary.BigEndian.AppendUint32(append(b, 0), 0))
	return rawIDs.EncodeToString(sum[:16])
}
