package ratelimit

import (
	"encoding/base64"
	"errors"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"hoko.to/edge/plugin/limit"
)

// bucket identifies a bucket. The limit is part of it, so a changed limit begins with a full bucket
// in Redis and in this process. The old bucket's state has no meaning under the new limit: it could
// deny for an hour what is now allowed ten times a second.
type bucket struct {
	name  string
	owner [32]byte
	limit limit.Limit
}

// key returns the bucket's Redis key without the "rate:" that redis_rate prepends. The braces are a
// Cluster's hash tag, so the key with a suffix is in the same slot.
func (b *bucket) key(prefix string) string {
	s := append(make([]byte, 0, 160), prefix...) // stays on the stack
	s = append(s, b.name...)
	s = append(s, ":{"...)
	s = base64.RawURLEncoding.AppendEncode(s, b.owner[:16])
	s = append(s, "}:"...)
	s = strconv.AppendInt(s, int64(b.limit.Rate), 10)
	s = append(s, '/')
	s = append(s, b.limit.Period.String()...)
	s = append(s, '/')
	return string(strconv.AppendInt(s, int64(b.limit.Burst), 10))
}

// scriptKey returns the key of a script's call, without redis_rate's prefix, or an empty string.
func scriptKey(cmd redis.Cmder) string {
	args := cmd.Args() // evalsha, digest, number of keys, key, …
	if len(args) < 4 || !strings.HasPrefix(cmd.Name(), "eval") {
		return ""
	}
	key, _ := args[3].(string)
	return strings.TrimPrefix(key, "rate:")
}

// ValidateName returns an error unless name can be a limit's name: 1 to 64 ASCII letters, digits,
// dots, hyphens and underscores. The name is part of response headers and Redis keys.
func ValidateName(name string) error {
	if name == "" || len(name) > 64 {
		return errors.New("name must be 1 … 64 characters long")
	}
	for _, c := range []byte(name) {
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		if !letter && (c < '0' || c > '9') && c != '.' && c != '-' && c != '_' {
			return errors.New("name must consist of ASCII letters, digits, dots, hyphens and underscores")
		}
	}
	return nil
}
