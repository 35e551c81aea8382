package sale

import "strconv"

// maxIdempotencyKey is the longest Idempotency-Key, in bytes.
const maxIdempotencyKey = 255

// parseIdempotencyKey is the key of the request's Idempotency-Key lines: "" if
// there is none. It is opaque: quotes and commas are part of it.
func parseIdempotencyKey(lines []string) (string, error) {
	if len(lines) == 0 {
		return "", nil
	}
	if len(lines) > 1 {
		return "", invalid("Idempotency-Key", "must be sent once")
	}
	key := lines[0]
	if len(key) < 1 || len(key) > maxIdempotencyKey || !isPrintableASCII(key) {
		return "", invalid("Idempotency-Key", "must be 1 to "+strconv.Itoa(maxIdempotencyKey)+" printable ASCII characters")
	}
	return key, nil
}

func isPrintableASCII(text string) bool {
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return false
		}
	}
	return true
}
