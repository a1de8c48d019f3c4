package contract

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf8"
)

// decodePlain reads a commit in the form in which EncodeCommit writes nearly all:
// members in their order, no spaces, no escapes in names and ids. Every delivery of an
// event costs one, and this takes a quarter of what the decoder does. False for any
// other form: the decoder then says what it is.
//
// It takes nothing that the decoder would refuse, but for members that appear twice
// inside of data; whoever decodes data refuses those. Data is a part of body.
func decodePlain(body []byte) (Commit, bool) {
	if !utf8.Valid(body) {
		return Commit{}, false
	}
	p := plain{rest: body}
	c := Commit{V: CommitVersion}
	ok := p.skip(`{"v":1,"events":[`)
	for more := ok; ok && more; more = p.skip(`,`) {
		var r Record
		r, ok = p.record()
		c.Events = append(c.Events, r)
	}
	if !ok || !p.skip(`]`) {
		return Commit{}, false
	}
	if p.skip(`,"state":`) {
		if c.State, ok = p.snapshot(); !ok {
			return Commit{}, false
		}
	}
	return c, p.skip(`}`) && len(p.rest) == 0
}

// plain walks over JSON text whose form is known.
type plain struct{ rest []byte }

func (p *plain) record() (r Record, ok bool) {
	var at []byte
	ok = p.skip(`{"id":`) && p.text(&r.ID) && p.skip(`,"type":`) && p.text(&r.Type) &&
		p.skip(`,"command":`) && p.text(&r.Command) && p.skip(`,"at":`) && p.bytes(&at) && p.skip(`,"data":`) &&
		p.value((*[]byte)(&r.Data), 0) && p.skip(`}`)
	if !ok {
		return r, false
	}
	return r, plainTime(at) && r.At.UnmarshalText(at) == nil
}

// plainTime reports whether a time is in UTC and has the digits of RFC 3339, of which the
// standard library lets some be missing.
func plainTime(at []byte) bool {
	const hour, minute = len("2006-01-02T15"), len("2006-01-02T15:04")
	return len(at) > minute && at[hour] == ':' && at[minute] == ':' && at[len(at)-1] == 'Z' && bytes.IndexByte(at, ',') < 0
}

func (p *plain) snapshot() (*Snapshot, bool) {
	var s Snapshot
	if !p.skip(`{"schema":`) {
		return nil, false
	}
	end := bytes.IndexByte(p.rest, ',')
	if end < 1 || end > 1 && p.rest[0] == '0' {
		return nil, false
	}
	var err error
	if s.Schema, err = strconv.Atoi(string(p.rest[:end])); err != nil || p.rest[0] < '0' { // a sign is not plain
		return nil, false
	}
	p.rest = p.rest[end:]
	if p.skip(`,"commands":[`) {
		for more := true; more; more = p.skip(`,`) {
			var command string
			if !p.text(&command) {
				return nil, false
			}
			s.Commands = append(s.Commands, command)
		}
		if !p.skip(`]`) {
			return nil, false
		}
	}
	return &s, p.skip(`,"data":`) && p.value((*[]byte)(&s.Data), 0) && p.skip(`}`)
}

func (p *plain) skip(text string) bool {
	if len(p.rest) < len(text) || string(p.rest[:len(text)]) != text {
		return false
	}
	p.rest = p.rest[len(text):]
	return true
}

// text reads a string without escapes.
func (p *plain) text(to *string) bool {
	var b []byte
	ok := p.bytes(&b)
	*to = string(b)
	return ok
}

func (p *plain) bytes(to *[]byte) bool {
	if len(p.rest) == 0 || p.rest[0] != '"' {
		return false
	}
	for i := 1; i < len(p.rest); i++ {
		switch c := p.rest[i]; {
		case c == '"':
			*to, p.rest = p.rest[1:i], p.rest[i+1:]
			return true
		case c < ' ', c == '\\':
			return false
		}
	}
	return false
}

// value takes a whole JSON value without spaces.
func (p *plain) value(to *[]byte, depth int) bool {
	begin := p.rest
	ok := false
	switch {
	case len(begin) == 0 || depth > MaxDepth:
	case begin[0] == '{':
		ok = p.members(depth)
	case begin[0] == '[':
		ok = p.elements(depth)
	case begin[0] == '"':
		ok = p.anyText()
	case begin[0] == '-' || begin[0] >= '0' && begin[0] <= '9':
		ok = p.number()
	default:
		ok = p.skip("true") || p.skip("false") || p.skip("null")
	}
	if ok && to != nil {
		*to = begin[: len(begin)-len(p.rest) : len(begin)-len(p.rest)]
	}
	return ok
}

func (p *plain) members(depth int) bool {
	p.rest = p.rest[1:]
	if p.skip(`}`) {
		return true
	}
	for more := true; more; more = p.skip(`,`) {
		if !p.anyText() || !p.skip(`:`) || !p.value(nil, depth+1) {
			return false
		}
	}
	return p.skip(`}`)
}

func (p *plain) elements(depth int) bool {
	p.rest = p.rest[1:]
	if p.skip(`]`) {
		return true
	}
	for more := true; more; more = p.skip(`,`) {
		if !p.value(nil, depth+1) {
			return false
		}
	}
	return p.skip(`]`)
}

// anyText takes a string, in which only the escapes without a code are plain.
func (p *plain) anyText() bool {
	if len(p.rest) == 0 || p.rest[0] != '"' {
		return false
	}
	for i := 1; i < len(p.rest); i++ {
		switch c := p.rest[i]; {
		case c == '"':
			p.rest = p.rest[i+1:]
			return true
		case c < ' ':
			return false
		case c == '\\':
			if i++; i == len(p.rest) || strings.IndexByte(`"\/bfnrt`, p.rest[i]) < 0 {
				return false
			}
		}
	}
	return false
}

// number takes a whole number of few digits; any other is not plain.
func (p *plain) number() bool {
	const most = 18
	n := 0
	if p.rest[0] == '-' {
		n++
	}
	digits := n
	for n < len(p.rest) && p.rest[n] >= '0' && p.rest[n] <= '9' {
		n++
	}
	if n == digits || n-digits > most || n-digits > 1 && p.rest[digits] == '0' {
		return false
	}
	if n < len(p.rest) && (p.rest[n] == '.' || p.rest[n] == 'e' || p.rest[n] == 'E') {
		return false
	}
	p.rest = p.rest[n:]
	return true
}
