package orders

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// idLength is 26 characters of base32: 130 bits.
const idLength = 26

var idEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// DeriveID is the id of the order that a caller places under an idempotency key:
// the same caller and key always give the same id. It is
// base32(sha256(who, for whom, method, key)), cut to 26 characters, each part
// preceded by its length.
func DeriveID(caller contract.Actor, key string) string {
	h := sha256.New()
	for _, part := range []string{caller.Who, caller.For, Place.Info().FullName(), key} {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(part)))
		h.Write(length[:])
		h.Write([]byte(part))
	}
	return idEncoding.EncodeToString(h.Sum(nil))[:idLength]
}

// NewID is a fresh order id.
func NewID() string {
	var random [20]byte
	_, _ = rand.Read(random[:]) // never fails: the runtime stops the process instead
	return idEncoding.EncodeToString(random[:])[:idLength]
}
