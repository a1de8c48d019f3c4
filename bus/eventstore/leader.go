package eventstore

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
)

// leaderReply is what the stream's leader says of a message.
type leaderReply struct {
	Error *struct {
		ErrCode     int    `json:"err_code"`
		Description string `json:"description"`
	} `json:"error"`
	Message struct {
		Seq    uint64    `json:"seq"`
		Header []byte    `json:"hdrs"`
		Data   []byte    `json:"data"`
		Time   time.Time `json:"time"`
	} `json:"message"`
}

// last turns the reply to "last by subject" into a message.
func (r *leaderReply) last(subject string) (Message, error) {
	switch {
	case r.Error != nil && r.Error.ErrCode == codeNoMessage:
		return Message{}, nil
	case r.Error != nil:
		return Message{}, fmt.Errorf("read %s: %s (%d)", subject, r.Error.Description, r.Error.ErrCode)
	case r.Message.Seq == 0:
		return Message{}, fmt.Errorf("read %s: answer without a sequence", subject)
	}
	m := Message{Subject: subject, Sequence: r.Message.Seq, Data: r.Message.Data, Time: r.Message.Time}
	if len(r.Message.Header) > 0 {
		if h, err := nats.DecodeHeadersMsg(r.Message.Header); err == nil { // else it is not ours: a commit has headers
			m.Header = h
		}
		strip(m.Header)
	}
	return m, nil
}

// plainReply reads the form that nearly every reply has, without a JSON decoder:
// every refusal and read costs one. False for any other form.
func plainReply(data []byte) (leaderReply, bool) {
	p := plainParser{rest: data, ok: true}
	p.skip(`{"type":"io.nats.jetstream.api.v1.stream_msg_get_response","message":{"subject":"`)
	p.until('"')
	p.skip(`,"seq":`)
	var r leaderReply
	var err error
	if r.Message.Seq, err = strconv.ParseUint(string(p.until(',')), 10, 64); err != nil {
		return r, false
	}
	r.Message.Header = p.base64(`"hdrs":"`)
	r.Message.Data = p.base64(`"data":"`)
	p.skip(`"time":"`)
	if r.Message.Time.UnmarshalText(p.until('"')) != nil {
		return r, false
	}
	p.skip(`}}`)
	return r, p.ok && len(p.rest) == 0
}

// plainParser walks over bytes whose form is known; ok falls when they have another.
type plainParser struct {
	rest []byte
	ok   bool
}

func (p *plainParser) skip(text string) {
	rest, found := bytes.CutPrefix(p.rest, []byte(text))
	p.rest, p.ok = rest, p.ok && found
}

// until returns what comes before the next stop and skips both.
func (p *plainParser) until(stop byte) []byte {
	i := bytes.IndexByte(p.rest, stop)
	if i < 0 {
		p.ok = false
		return nil
	}
	text := p.rest[:i]
	p.rest = p.rest[i+1:]
	return text
}

// base64 decodes the member that begins with key, nil when it is not there.
func (p *plainParser) base64(key string) []byte {
	rest, found := bytes.CutPrefix(p.rest, []byte(key))
	if !found {
		return nil
	}
	p.rest = rest
	text := p.until('"')
	p.skip(",")
	decoded := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Decode(decoded, text)
	p.ok = p.ok && err == nil
	return decoded[:n]
}
