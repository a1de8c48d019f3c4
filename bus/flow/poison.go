package flow

import (
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

// Headers of a dead letter, the same as those of bus/event, so that one tool shows
// both. There is nothing to replay: what is no input today is none tomorrow.
const (
	headerDeadStream   = "Mesh-Dead-Stream"
	headerDeadConsumer = "Mesh-Dead-Consumer"
	headerDeadService  = "Mesh-Dead-Service"
	headerDeadSubject  = "Mesh-Dead-Subject"
	headerDeadSequence = "Mesh-Dead-Sequence"
	headerDeadTime     = "Mesh-Dead-Time"
	headerDeadCause    = "Mesh-Dead-Cause"
	headerDeadReason   = "Mesh-Dead-Reason"

	causeDamaged = "damaged"
)

// bury puts a message that is no input among the dead letters and takes it out of
// its inbox once the letter is stored. It does not wait.
func (w *Worker) bury(durable string, msg jetstream.Msg, cause error) {
	w.conn.Telemetry().Logger.Error("flow input cannot be used",
		telemetry.KeySubject, msg.Subject(), telemetry.KeyConsumer, durable, telemetry.KeyError, cause.Error())
	err := w.conn.Appender().Start(w.letter(durable, msg, cause), bus.NoExpectation, func(_ bus.Ack, err error) {
		if err != nil {
			_ = msg.NakWithDelay(time.Second) // a lost one means the same, after AckWait
			return
		}
		_ = msg.TermWithReason("not an input of a flow") // a lost one means another letter
	})
	if err != nil {
		_ = msg.NakWithDelay(time.Second)
	}
}

func (w *Worker) letter(durable string, msg jetstream.Msg, cause error) *nats.Msg {
	letter := &nats.Msg{Subject: contract.DeadLetter(contract.FlowStream, durable), Data: msg.Data(), Header: nats.Header{}}
	for key, values := range msg.Headers() {
		if !strings.HasPrefix(strings.ToLower(key), "nats-") { // the server would act on them
			letter.Header[key] = values
		}
	}
	about := map[string]string{
		headerDeadStream: contract.FlowStream, headerDeadConsumer: durable, headerDeadService: w.service,
		headerDeadSubject: msg.Subject(), headerDeadCause: causeDamaged, headerDeadReason: telemetry.Escape(brief(cause.Error())),
	}
	if meta, err := msg.Metadata(); err == nil {
		about[headerDeadSequence] = strconv.FormatUint(meta.Sequence.Stream, 10)
		about[headerDeadTime] = meta.Timestamp.UTC().Format(time.RFC3339Nano)
	}
	for key, value := range about {
		letter.Header[key] = []string{value}
	}
	return letter
}
