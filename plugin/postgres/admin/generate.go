package admin

import (
	"crypto/rand"
	"hash/crc32"
	"strings"
)

// A generated key is keyPrefix, 37 random base62 characters (220 bits), and 6
// that are the CRC-32 (IEEE) of all before them in base62, most significant
// digit first: so that a scanner tells a leaked key from noise, and a command a
// mistyped one from an unknown one. Keys of any other form are as valid.
const (
	keyPrefix      = "hoko_"
	randomChars    = 37
	checksumChars  = 6
	keyStartChars  = len(keyPrefix) + 4 // what is stored for people to tell keys apart
	base62Alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// GenerateKey makes a new key of the form hoko_ and 43 base62 characters, which
// end in a checksum.
func GenerateKey() string {
	body := keyPrefix + randomBase62(randomChars)
	return body + checksum(body)
}

// ValidKey reports whether text has the form of GenerateKey and its checksum
// holds. It says nothing about whether such a key exists.
func ValidKey(text string) bool {
	if len(text) != len(keyPrefix)+randomChars+checksumChars || !looksGenerated(text) {
		return false
	}
	body, sum := text[:len(text)-checksumChars], text[len(text)-checksumChars:]
	return checksum(body) == sum
}

// looksGenerated: a whole generated key, a part of one, or a mistyped one.
func looksGenerated(text string) bool {
	rest, ok := strings.CutPrefix(text, keyPrefix)
	return ok && strings.Trim(rest, base62Alphabet) == ""
}

func randomBase62(n int) string {
	text := make([]byte, 0, n)
	var random [64]byte
	for len(text) < n {
		rand.Read(random[:]) // never fails
		for _, b := range random {
			// 248 is 4·62: what lies beyond would make some characters likelier.
			if b < 248 && len(text) < n {
				text = append(text, base62Alphabet[b%62])
			}
		}
	}
	return string(text)
}

func checksum(body string) string {
	sum := crc32.ChecksumIEEE([]byte(body))
	var digits [checksumChars]byte
	for i := len(digits) - 1; i >= 0; i-- {
		digits[i] = base62Alphabet[sum%62]
		sum /= 62
	}
	return string(digits[:])
}
