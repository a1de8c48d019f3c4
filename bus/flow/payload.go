package flow

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// A value that is too large for a message, an input or a result, is kept in an object
// store; the message has its name. The name says whose it is and what it says, so that
// the same value of an instance is the same object however often it is written, and a
// value is there before anything refers to it.

// maxInline is the largest value that a message carries itself.
const maxInline = contract.MaxRequestBytes

// maxPayload is the largest value at all.
const maxPayload = 16 << 20

// headerRef names the object that is the body of an input.
const headerRef = "Mesh-Flow-Ref"

// ErrNoPayload reports that a value which a message refers to is not there.
var ErrNoPayload = errors.New("the value is not in the object store")

// Payloads keeps values by name. What is stored under a name never changes.
type Payloads interface {
	// PutPayload stores a value unless the name has it already.
	PutPayload(ctx context.Context, name string, value []byte) error
	// Payload returns a value; an error that wraps [ErrNoPayload] means that there is none.
	Payload(ctx context.Context, name string) ([]byte, error)
}

// payloadName names a value of an instance.
func payloadName(service, name, id string, value []byte) string {
	sum := sha256.Sum256(value)
	return payloadOwner(service, name, id) + hex.EncodeToString(sum[:16])
}

// payloadOwner begins the names of all values of an instance.
func payloadOwner(service, name, id string) string { return service + "." + name + "." + id + "." }

// parsePayload tells whose a value is, and the hash that an input with it has.
func parsePayload(ref string) (service, name, id, hash string, ok bool) {
	t := strings.Split(ref, ".")
	if len(t) != 4 || len(t[3]) != 32 {
		return "", "", "", "", false
	}
	return t[0], t[1], t[2], t[3][:16], contract.ValidID(t[0]) && contract.ValidID(t[1]) && contract.ValidID(t[2])
}

// lighten moves the body of an input that is too large for a message into the store.
func lighten(ctx context.Context, p Payloads, msg *nats.Msg) error {
	if len(msg.Data) <= maxInline {
		return nil
	}
	service, _, name, id, ok := contract.ParseFlowInput(msg.Subject)
	if !ok {
		return fmt.Errorf("%s is no inbox", msg.Subject)
	}
	ref := payloadName(service, name, id, msg.Data)
	if err := p.PutPayload(ctx, ref, msg.Data); err != nil {
		return err
	}
	msg.Header[headerRef], msg.Data = []string{ref}, nil
	return nil
}

// secure makes sure that the body of an input that was just stored is there: what is
// left of a forgotten flow with the same id may have been swept away meanwhile.
func secure(ctx context.Context, p Payloads, msg *nats.Msg, body []byte) error {
	if ref := headerOf(msg.Header, headerRef); ref != "" {
		return p.PutPayload(ctx, ref, body)
	}
	return nil
}

// sameBody reports whether two inputs of one inbox say the same.
func sameBody(h, g nats.Header, data, other []byte) bool {
	return string(data) == string(other) && headerOf(h, headerRef) == headerOf(g, headerRef)
}

// stash returns how a value goes into the journal: as it is, or as the name under which
// it is stored now.
func (in *instance) stash(value []byte) (inline []byte, ref string) {
	if len(value) <= maxInline {
		return value, ""
	}
	ref = payloadName(in.eng.service, in.name, in.id, value)
	pause := Retry{First: 20 * time.Millisecond, Max: time.Second, Factor: 2}
	for tries := 1; ; tries++ {
		err := in.eng.payloads.PutPayload(in.ctx, ref, value)
		if err == nil {
			return nil, ref
		}
		in.logTrouble("a large value cannot be stored yet", tries, err)
		if within(in.ctx.Done(), pause.pause(tries, nil)) || in.halted() == haltNow || !in.eng.alive() {
			break
		}
	}
	in.stop(haltNow)
	leave()
	return nil, ""
}

// fetchTries is how often a value is looked for that seems to be gone: a replica of
// the store may be late.
const fetchTries = 10

// fetch returns a value of the journal: the inline one, or the one that ref names. One
// that is gone for good parks the flow.
func (in *instance) fetch(inline []byte, ref string) []byte {
	if ref == "" {
		return inline
	}
	var value []byte
	missing := 0
	if !in.read(func(ctx context.Context) (err error) {
		value, err = in.eng.payloads.Payload(ctx, ref)
		if errors.Is(err, ErrNoPayload) {
			if missing++; missing >= fetchTries {
				return nil
			}
		}
		return err
	}) {
		in.proceed() // it has to leave
		leave()
	}
	if missing >= fetchTries {
		in.park(fmt.Sprintf("the value %s is not in the object store any more", ref))
	}
	return value
}
