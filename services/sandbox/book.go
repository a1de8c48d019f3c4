package sandbox

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/contract"
)

// book is a bucket of records that are created once.
type book struct {
	conn   *bus.Conn
	bucket string

	mu sync.Mutex
	kv jetstream.KeyValue
}

func newBook(conn *bus.Conn, bucket string) *book { return &book{conn: conn, bucket: bucket} }

// open waits until the bucket exists.
func (b *book) open(ctx context.Context) error {
	pause := 50 * time.Millisecond
	for {
		_, err := b.store(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("open the book %s: %w", b.bucket, err)
		case <-time.After(pause):
			pause = min(2*pause, time.Second)
		}
	}
}

func (b *book) store(ctx context.Context) (jetstream.KeyValue, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.kv != nil {
		return b.kv, nil
	}
	kv, err := b.conn.JetStream().KeyValue(ctx, b.bucket)
	if err == nil {
		b.kv = kv
	}
	return kv, err
}

// create writes a record unless there is one; false means that there is.
func (b *book) create(ctx context.Context, key string, record any) (bool, error) {
	kv, err := b.store(ctx)
	if err != nil {
		return false, unavailable("write", key, err)
	}
	value, err := contract.Marshal(record)
	if err != nil {
		return false, fmt.Errorf("write %s: %w", key, err)
	}
	_, err = kv.Create(ctx, key, value)
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, jetstream.ErrKeyExists):
		return false, nil
	}
	return false, unavailable("write", key, err)
}

// read fills in a record; false means that there is none. A record that was written
// before the call is found, also where replicas lag behind.
func (b *book) read(ctx context.Context, key string, record any) (bool, error) {
	kv, err := b.store(ctx)
	if err != nil {
		return false, unavailable("read", key, err)
	}
	entry, err := kv.Get(ctx, key)
	switch {
	case err == nil:
		return true, contract.UnmarshalLenient(entry.Value(), record)
	case errors.Is(err, jetstream.ErrKeyNotFound):
		return b.ask(ctx, key, record)
	}
	return false, unavailable("read", key, err)
}

// readTimeout bounds what the server may leave unanswered: a stream without a leader
// says nothing at all, and a courier that waited for it would never deliver again.
const readTimeout = 3 * time.Second

// ask reads from the stream's leader.
func (b *book) ask(ctx context.Context, key string, record any) (bool, error) {
	const notFound = 10037
	request, err := contract.Marshal(struct {
		Subject string `json:"last_by_subj"`
	}{"$KV." + b.bucket + "." + key})
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	m, err := b.conn.NATS().RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET.KV_"+b.bucket, request)
	if err != nil {
		return false, unavailable("read", key, err)
	}
	var answer struct {
		Error struct {
			ErrCode int `json:"err_code"`
		} `json:"error"`
		Message struct {
			Data string `json:"data"` // base64
		} `json:"message"`
	}
	if err := contract.UnmarshalLenient(m.Data, &answer); err != nil {
		return false, unavailable("read", key, err)
	}
	switch answer.Error.ErrCode {
	case 0:
	case notFound:
		return false, nil
	default:
		return false, unavailable("read", key, fmt.Errorf("JetStream error %d", answer.Error.ErrCode))
	}
	value, err := base64.StdEncoding.DecodeString(answer.Message.Data)
	if err != nil {
		return false, unavailable("read", key, err)
	}
	return true, contract.UnmarshalLenient(value, record)
}

// scan calls each for every record written after the given revision and returns the
// revision of the last one. It sees what is there when it is called.
func (b *book) scan(ctx context.Context, after uint64, each func(key string, value []byte)) (uint64, error) {
	kv, err := b.store(ctx)
	if err != nil {
		return after, unavailable("scan", b.bucket, err)
	}
	opts := []jetstream.WatchOpt{jetstream.IgnoreDeletes()}
	if after > 0 {
		opts = append(opts, jetstream.ResumeFromRevision(after+1))
	}
	watcher, err := kv.Watch(ctx, ">", opts...)
	if err != nil {
		return after, unavailable("scan", b.bucket, err)
	}
	defer func() { _ = watcher.Stop() }()
	silence := time.NewTimer(readTimeout)
	defer silence.Stop()
	for {
		select {
		case <-silence.C:
			return after, unavailable("scan", b.bucket, errors.New("nothing comes any more"))
		case entry, open := <-watcher.Updates():
			silence.Reset(readTimeout)
			if !open {
				return after, unavailable("scan", b.bucket, errors.New("the watcher has ended"))
			}
			if entry == nil { // everything that was there
				return after, nil
			}
			after = max(after, entry.Revision())
			each(entry.Key(), entry.Value())
		case <-ctx.Done():
			return after, ctx.Err()
		}
	}
}

func unavailable(doing, key string, err error) error {
	return contract.ErrUnavailable.Sayf("cannot %s %s: %v", doing, key, err)
}
