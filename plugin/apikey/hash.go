package apikey

import (
	"crypto/sha256"
	"encoding/hex"
)

// Hash is the SHA-256 of a whole key: all that is ever stored, cached or compared of it.
type Hash [sha256.Size]byte

// HashOf is the hash under which a key is stored.
func HashOf(key string) Hash {
	// A slice of what is on the stack: converting the string would allocate.
	var buffer [maxTokenLength]byte
	return sha256.Sum256(append(buffer[:0], key...))
}

// String is the hash in lower-case hex, as in the hoko_keys notification.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }
