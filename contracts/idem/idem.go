// Package idem makes ids out of idempotency keys. A key belongs to a caller and a
// method: the same key of another caller, or for another method, is another id.
package idem

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// Length of an id: 26 characters of base32, 130 bits. It fits contract.ValidID.
const Length = 26

var encoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// ID is base32(sha256(who, for whom, method, key, parts...)), cut to Length, each
// part preceded by its length.
func ID(caller contract.Actor, method contract.MethodInfo, key string, parts ...string) string {
	h := sha256.New()
	for _, part := range append([]string{caller.Who, caller.For, method.FullName(), key}, parts...) {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(part)))
		h.Write(length[:])
		h.Write([]byte(part))
	}
	return encoding.EncodeToString(h.Sum(nil))[:Length]
}

// Command names a command after the caller's key and the request, "" without a key. The
// same key with another request is another command.
func Command(caller contract.Actor, method contract.MethodInfo, key string, req any) (string, error) {
	if key == "" {
		return "", nil
	}
	body, err := contract.Marshal(req)
	if err != nil {
		return "", err
	}
	return ID(caller, method, key, string(body)), nil
}

// Fresh is an id that nobody has used.
func Fresh() string {
	var random [20]byte
	_, _ = rand.Read(random[:]) // never fails: the runtime stops the process instead
	return encoding.EncodeToString(random[:])[:Length]
}
