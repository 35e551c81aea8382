package ratelimit

import "errors"

// ValidateName says why a limit's name cannot be used. A name stands in
// response headers and in Redis keys, so it is 1 … 64 ASCII letters, digits,
// dots, hyphens and underscores.
func ValidateName(name string) error {
	if name == "" || len(name) > 64 {
		return errors.New("name must be 1 … 64 characters long")
	}
	for _, c := range []byte(name) {
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		if !letter && (c < '0' || c > '9') && c != '.' && c != '-' && c != '_' {
			return errors.New("name must be of ASCII letters, digits, dots, hyphens and underscores")
		}
	}
	return nil
}
