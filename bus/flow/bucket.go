package flow

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/contract"
)

// payloadTimeout bounds one transfer of a value.
const payloadTimeout = 30 * time.Second

// bucket is the object store of a server. It reads the chunks of an object one by one:
// what the client library does needs a consumer for each object, of which a stream has
// only so many.
type bucket struct {
	conn *bus.Conn

	mu     sync.Mutex
	store  jetstream.ObjectStore
	stream jetstream.Stream
}

// open looks the bucket up once.
func (b *bucket) open(ctx context.Context) (jetstream.ObjectStore, jetstream.Stream, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.store != nil {
		return b.store, b.stream, nil
	}
	store, err := b.conn.JetStream().ObjectStore(ctx, contract.FlowPayloads)
	if err != nil {
		return nil, nil, fmt.Errorf("object store %s: %w", contract.FlowPayloads, err)
	}
	stream, err := b.conn.JetStream().Stream(ctx, payloadStream)
	if err != nil {
		return nil, nil, fmt.Errorf("object store %s: %w", contract.FlowPayloads, err)
	}
	b.store, b.stream = store, stream
	return store, stream, nil
}

// PutPayload implements Payloads.
func (b *bucket) PutPayload(ctx context.Context, name string, value []byte) error {
	ctx, cancel := context.WithTimeout(ctx, payloadTimeout)
	defer cancel()
	store, _, err := b.open(ctx)
	if err != nil {
		return err
	}
	info, err := store.GetInfo(ctx, name)
	if err == nil && info.Size == uint64(len(value)) {
		return nil
	}
	if _, err = store.PutBytes(ctx, name, value); err != nil {
		return fmt.Errorf("object store %s: put %s: %w", contract.FlowPayloads, name, err)
	}
	return nil
}

// Payload implements Payloads.
func (b *bucket) Payload(ctx context.Context, name string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, payloadTimeout)
	defer cancel()
	store, stream, err := b.open(ctx)
	if err != nil {
		return nil, err
	}
	info, err := b.info(ctx, store, name)
	if err != nil {
		return nil, fmt.Errorf("object store %s: %s: %w", contract.FlowPayloads, name, err)
	}
	value, digest := make([]byte, 0, info.Size), sha256.New()
	for sequence := uint64(1); uint64(len(value)) < info.Size; {
		chunk, err := stream.GetMsg(ctx, sequence, jetstream.WithGetMsgSubject(chunksOf(info.NUID)))
		if err != nil {
			return nil, fmt.Errorf("object store %s: a part of %s: %w", contract.FlowPayloads, name, err)
		}
		value = append(value, chunk.Data...)
		_, _ = digest.Write(chunk.Data) // a hash takes everything
		sequence = chunk.Sequence + 1
	}
	if jetstream.GetObjectDigestValue(digest) != info.Digest {
		return nil, fmt.Errorf("object store %s: %s is damaged", contract.FlowPayloads, name)
	}
	return value, nil
}

// followPause is between two looks at a replica that is behind.
const followPause = 20 * time.Millisecond

// info finds an object. Any replica may answer that there is none because it has not heard
// of it yet: what the leader has is waited for.
func (b *bucket) info(ctx context.Context, store jetstream.ObjectStore, name string) (*jetstream.ObjectInfo, error) {
	for {
		info, err := store.GetInfo(ctx, name)
		if !errors.Is(err, jetstream.ErrObjectNotFound) {
			return info, err
		}
		known, err := leaderGet(ctx, b.conn, payloadStream, getRequest{LastBySubject: aboutObject(name)})
		switch {
		case err != nil:
			return nil, err
		case known.Sequence == 0, taken(known.Data):
			return nil, ErrNoPayload
		}
		select {
		case <-time.After(followPause):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// taken reports an object that somebody has deleted: the bucket remembers that.
func taken(about []byte) bool {
	var object struct {
		Deleted bool `json:"deleted"`
	}
	return contract.UnmarshalLenient(about, &object) != nil || object.Deleted
}

// payloadStream is the stream of the bucket.
const payloadStream = "OBJ_" + contract.FlowPayloads

// aboutObject is the subject of what the bucket knows about an object.
func aboutObject(name string) string {
	return "$O." + contract.FlowPayloads + ".M." + base64.URLEncoding.EncodeToString([]byte(name))
}

// chunksOf is the subject of an object's parts.
func chunksOf(nuid string) string { return "$O." + contract.FlowPayloads + ".C." + nuid }

// object is one value in the bucket.
type object struct {
	name     string
	nuid     string
	subject  string // of what the bucket knows about it
	sequence uint64
	at       time.Time
}

// next finds the first object from a sequence on; a zero object means that there is none.
func (b *bucket) next(ctx context.Context, from uint64) (object, error) {
	_, stream, err := b.open(ctx)
	if err != nil {
		return object{}, err
	}
	m, err := stream.GetMsg(ctx, from, jetstream.WithGetMsgSubject("$O."+contract.FlowPayloads+".M.>"))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return object{}, nil
	}
	if err != nil {
		return object{}, fmt.Errorf("object store %s: %w", contract.FlowPayloads, err)
	}
	o := object{subject: m.Subject, sequence: m.Sequence, at: m.Time}
	var info struct {
		Name string `json:"name"`
		NUID string `json:"nuid"`
	}
	if err := contract.UnmarshalLenient(m.Data, &info); err == nil { // somebody else's is passed over
		o.name, o.nuid = info.Name, info.NUID
	}
	return o, nil
}

// remove takes an object out for good, its parts first: what the bucket knows of it
// leads to them. One that was written again meanwhile stays.
func (b *bucket) remove(ctx context.Context, o object) error {
	_, stream, err := b.open(ctx)
	if err != nil {
		return err
	}
	if contract.ValidID(o.nuid) {
		if err := stream.Purge(ctx, jetstream.WithPurgeSubject(chunksOf(o.nuid))); err != nil {
			return err
		}
	}
	return stream.Purge(ctx, jetstream.WithPurgeSubject(o.subject), jetstream.WithPurgeSequence(o.sequence+1))
}
