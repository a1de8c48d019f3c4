package payments

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/payments"
	"github.com/ordermesh/ordermesh/contracts/sealed"
)

// keyring holds the private key with which payment references are opened. The first
// process makes it and keeps it in the service's own bucket; all others find it there.
type keyring struct {
	conn *bus.Conn
	key  *sealed.PrivateKey // set before the server runs
}

func newKeyring(conn *bus.Conn) *keyring { return &keyring{conn: conn} }

// load waits for the bucket.
func (k *keyring) load(ctx context.Context) error {
	pause := 50 * time.Millisecond
	for {
		err := k.once(ctx)
		if err == nil || errors.Is(err, errBadKey) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
			pause = min(2*pause, time.Second)
		}
	}
}

var errBadKey = errors.New("the sealing key in the bucket cannot be used")

func (k *keyring) once(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	kv, err := k.conn.JetStream().KeyValue(ctx, payments.KeyBook)
	if err != nil {
		return fmt.Errorf("open the bucket of the sealing key: %w", err)
	}
	entry, err := kv.Get(ctx, payments.KeyInBook)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return k.create(ctx, kv)
	}
	if err != nil {
		return fmt.Errorf("read the sealing key: %w", err)
	}
	return k.use(string(entry.Value()))
}

// create makes the key. When another process was faster, the error makes load read that
// process's key.
func (k *keyring) create(ctx context.Context, kv jetstream.KeyValue) error {
	key, err := sealed.NewPrivateKey()
	if err != nil {
		return err
	}
	if _, err := kv.Create(ctx, payments.KeyInBook, []byte(key.Encode())); err != nil {
		return fmt.Errorf("keep the sealing key: %w", err)
	}
	k.key = key
	return nil
}

func (k *keyring) use(encoded string) error {
	key, err := sealed.ParsePrivateKey(encoded)
	if err != nil {
		return fmt.Errorf("%w: %w", errBadKey, err)
	}
	k.key = key
	return nil
}

// open implements opener.
func (k *keyring) open(reference, orderID string) (string, error) {
	token, err := k.key.Open(reference, orderID)
	if err != nil {
		return "", payments.ErrReference.At("/reference")
	}
	return token, nil
}

func (k *keyring) public(context.Context, payments.GetKey) (payments.PublicKey, error) {
	if k.key == nil {
		return payments.PublicKey{}, contract.ErrUnavailable
	}
	p := k.key.Public()
	return payments.PublicKey{KeyID: p.ID, Key: p.Key}, nil
}
