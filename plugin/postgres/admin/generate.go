package admin

import (
	"crypto/rand"
	"hash/crc32"
	"strings"
)

// A generated key is keyPrefix, 37 random base62 characters (220 bits), and a checksum of 6: the
// CRC-32 (IEEE) of everything before it in base62, most significant digit first. Scanners recognize
// leaked keys by it, and commands recognize typos. Edges also accept keys of any other form.
const (
	keyPrefix      = "hoko_"
	randomChars    = 37
	checksumChars  = 6
	keyStartChars  = len(keyPrefix) + 4 // stored, so that people can distinguish keys
	base62Alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// GenerateKey returns a new random key: hoko_ and 43 base62 characters, which end with a checksum.
func GenerateKey() string {
	body := keyPrefix + randomBase62(randomChars)
	return body + checksum(body)
}

// ValidKey reports whether text has the form and the checksum of [GenerateKey]'s keys. It does not
// look up whether the key exists.
func ValidKey(text string) bool {
	if len(text) != len(keyPrefix)+randomChars+checksumChars || !looksGenerated(text) {
		return false
	}
	body, sum := text[:len(text)-checksumChars], text[len(text)-checksumChars:]
	return checksum(body) == sum
}

// looksGenerated reports whether text may be a generated key, part of one, or one with a typo.
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
			// 248 is 4·62: larger bytes would make some characters more likely.
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
