// Package sealed hides a secret from everybody but its owner, so that it can travel
// through events and journals: a payment token becomes a payment reference.
//
// The owner (payments) has a private key and gives the public one away; whoever
// wants to pass a secret on (orders) seals it without asking again, which costs a
// place no round trip and no append. A sealed text is bound to a context, the order
// it was made for, and cannot be opened for another one. Destroying the private key
// makes every reference worthless, also those in old backups and streams: that is
// why the token is sealed and not kept in a second store.
//
// It promises confidentiality and integrity (X25519, HKDF-SHA256, AES-256-GCM). It
// is not for data that must survive its key.
package sealed

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
)

// MaxLength is the length in characters of the longest text that Seal makes out of
// 200 bytes.
const MaxLength = 400

const (
	version     = "sr1"
	keyBytes    = 32
	countBytes  = 8
	openersKept = 64
)

var encoding = base64.RawURLEncoding

// ErrOpen says that a text was not sealed for this key and context, or was altered.
// It does not say which, on purpose.
var ErrOpen = errors.New("the sealed text cannot be opened")

// PublicKey is what a sealer needs. It may be known to everybody.
type PublicKey struct {
	ID  string // short fingerprint, part of each sealed text
	Key string // base64url of the X25519 point
}

// PrivateKey opens what was sealed for it. It is safe for concurrent use.
type PrivateKey struct {
	key *ecdh.PrivateKey
	id  string

	mu      sync.Mutex
	openers map[string]cipher.AEAD // by the sealer's point; a sealer is used for many texts
}

// NewPrivateKey makes a key.
func NewPrivateKey() (*PrivateKey, error) {
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	return private(key), nil
}

// ParsePrivateKey is the inverse of Encode.
func ParsePrivateKey(encoded string) (*PrivateKey, error) {
	raw, err := encoding.DecodeString(encoded)
	if err != nil {
		return nil, errors.New("the private key is not base64url")
	}
	key, err := ecdh.X25519().NewPrivateKey(raw)
	if err != nil {
		return nil, errors.New("the private key is not an X25519 key")
	}
	return private(key), nil
}

func private(key *ecdh.PrivateKey) *PrivateKey {
	return &PrivateKey{key: key, id: fingerprint(key.PublicKey()), openers: map[string]cipher.AEAD{}}
}

func fingerprint(key *ecdh.PublicKey) string {
	sum := sha256.Sum256(key.Bytes())
	return encoding.EncodeToString(sum[:6])
}

// Encode returns the key as text, for its owner's store only.
func (p *PrivateKey) Encode() string { return encoding.EncodeToString(p.key.Bytes()) }

// String hides the key from logs.
func (p *PrivateKey) String() string { return "private key " + p.id }

// Public returns the other half.
func (p *PrivateKey) Public() PublicKey {
	return PublicKey{ID: p.id, Key: encoding.EncodeToString(p.key.PublicKey().Bytes())}
}

// Open returns the secret, or ErrOpen.
func (p *PrivateKey) Open(text, context string) (string, error) {
	parts := strings.Split(text, ".")
	if len(parts) != 3 || parts[0] != version || parts[1] != p.id {
		return "", ErrOpen
	}
	raw, err := encoding.DecodeString(parts[2])
	if err != nil || len(raw) < keyBytes+countBytes {
		return "", ErrOpen
	}
	aead, err := p.opener(raw[:keyBytes])
	if err != nil {
		return "", ErrOpen
	}
	count, box := raw[keyBytes:keyBytes+countBytes], raw[keyBytes+countBytes:]
	secret, err := aead.Open(nil, nonce(count), box, []byte(context))
	if err != nil {
		return "", ErrOpen
	}
	return string(secret), nil
}

func (p *PrivateKey) opener(point []byte) (cipher.AEAD, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if aead, ok := p.openers[string(point)]; ok {
		return aead, nil
	}
	sender, err := ecdh.X25519().NewPublicKey(point)
	if err != nil {
		return nil, err
	}
	aead, err := derive(p.key, sender, point, p.id)
	if err != nil {
		return nil, err
	}
	if len(p.openers) >= openersKept {
		clear(p.openers)
	}
	p.openers[string(point)] = aead
	return aead, nil
}

// Sealer seals for one public key. It is safe for concurrent use.
type Sealer struct {
	id    string
	point []byte
	aead  cipher.AEAD
	count atomic.Uint64 // the nonce: the sealer's own key is never used elsewhere
}

// NewSealer makes a sealer with a fresh key of its own.
func NewSealer(to PublicKey) (*Sealer, error) {
	raw, err := encoding.DecodeString(to.Key)
	if err != nil {
		return nil, errors.New("the public key is not base64url")
	}
	owner, err := ecdh.X25519().NewPublicKey(raw)
	if err != nil {
		return nil, errors.New("the public key is not an X25519 key")
	}
	if fingerprint(owner) != to.ID {
		return nil, errors.New("the public key does not match its id")
	}
	own, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	point := own.PublicKey().Bytes()
	aead, err := derive(own, owner, point, to.ID)
	if err != nil {
		return nil, err
	}
	return &Sealer{id: to.ID, point: point, aead: aead}, nil
}

// Seal hides secret; only the owner of the key can open it, and only for context.
func (s *Sealer) Seal(secret, context string) string {
	raw := make([]byte, 0, keyBytes+countBytes+len(secret)+s.aead.Overhead())
	raw = append(raw, s.point...)
	raw = binary.BigEndian.AppendUint64(raw, s.count.Add(1))
	raw = s.aead.Seal(raw, nonce(raw[keyBytes:]), []byte(secret), []byte(context))
	return version + "." + s.id + "." + encoding.EncodeToString(raw)
}

func nonce(count []byte) []byte {
	n := make([]byte, 12)
	copy(n[4:], count)
	return n
}

func derive(own *ecdh.PrivateKey, other *ecdh.PublicKey, point []byte, id string) (cipher.AEAD, error) {
	shared, err := own.ECDH(other)
	if err != nil {
		return nil, err
	}
	key, err := hkdf.Key(sha256.New, shared, point, "ordermesh "+version+" "+id, 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}
