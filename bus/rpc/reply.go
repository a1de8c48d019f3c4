package rpc

import (
	"errors"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

var errReplyTooLarge = contract.NewError(contract.Internal, "reply_too_large", "the reply is larger than the server's limit")

// answer sends a reply or an error. A request without a reply subject gets none,
// and neither does one that wants its answer inside the mesh's own subjects: a
// reply must not become an event.
func (s *Server) answer(j job, body []byte, refusal *contract.Error) {
	reply := j.msg.Reply
	if reply == "" {
		return
	}
	if !replyable(reply) {
		s.tel.Logger.Warn("a request names a reply subject that is not an inbox; it gets no reply",
			telemetry.KeyMethod, j.endpoint.name, telemetry.KeySubject, reply)
		return
	}
	var err error
	if refusal == nil {
		err = s.conn.NATS().Publish(reply, body)
		if !errors.Is(err, nats.ErrMaxPayload) {
			s.lostReply(j, err)
			return
		}
		refusal = errReplyTooLarge
	}
	s.lostReply(j, s.conn.NATS().PublishMsg(errorReply(reply, refusal)))
}

// lostReply reports a reply that could not be handed to the connection.
func (s *Server) lostReply(j job, err error) {
	if err != nil {
		s.tel.Logger.Warn("a reply could not be sent",
			telemetry.KeyMethod, j.endpoint.name, telemetry.KeyError, err.Error())
	}
}

// errorReply says the same thing three times: a number and a sentence for tools, a
// body for programs.
func errorReply(subject string, e *contract.Error) *nats.Msg {
	return &nats.Msg{
		Subject: subject,
		Header: nats.Header{
			contract.HeaderErrorCode: {strconv.Itoa(int(e.Code))},
			contract.HeaderError:     {headerText(e.Message)},
		},
		Data: contract.EncodeError(e),
	}
}

// replyError reads what errorReply wrote, and what any other micro service answers;
// nil means the reply is not an error.
func replyError(m *nats.Msg) *contract.Error {
	if len(m.Header) == 0 {
		return nil
	}
	number := m.Header.Get(contract.HeaderErrorCode)
	if number == "" {
		return nil
	}
	sentence := m.Header.Get(contract.HeaderError)
	e := contract.DecodeError(m.Data, sentence)
	if n, err := strconv.Atoi(number); err == nil && int(e.Code) != n {
		if _, known := contract.ParseCode(contract.Code(n).String()); known {
			return contract.NewError(contract.Code(n), "foreign_error", sentence)
		}
	}
	return e
}

// replyable refuses the subjects that carry the mesh's own records.
func replyable(subject string) bool {
	if subject[0] == '_' { // inboxes, also across accounts and clusters
		return true
	}
	first, _, _ := strings.Cut(subject, ".")
	switch first {
	case "evt", "flow", "dlq", "svc", "policy":
		return false
	}
	return subject[0] != '$'
}

// headerText keeps a sentence on one line of ASCII; the body has it unchanged.
func headerText(s string) string {
	const most = 512
	plain := strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) < 0
	if !plain {
		quoted := strconv.QuoteToASCII(s)
		s = strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
	}
	return s[:min(len(s), most)]
}
