package ratelimit

import (
	"encoding/base64"
	"errors"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"hoko.to/edge/plugin/limit"
)

// bucket is what is counted. The limit is part of it: a bucket whose limit changes begins anew and
// full, in Redis and in this process. The state of the old one would mean something else under the
// new one; an hour's worth of emptiness would keep a client out for an hour although it may now ask
// ten times a second.
type bucket struct {
	name  string
	owner [32]byte
	limit limit.Limit
}

// key is the bucket's Redis key, but for what redis_rate puts before it. The braces
// are a Cluster's hash tag: a key with more behind it is in the same slot.
func (b *bucket) key(prefix string) string {
	s := append(make([]byte, 0, 160), prefix...) // on the stack
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

// scriptKey is the key of a script's call, as redis_rate was given it.
func scriptKey(cmd redis.Cmder) string {
	args := cmd.Args() // evalsha, digest, number of keys, key, …
	if len(args) < 4 || !strings.HasPrefix(cmd.Name(), "eval") {
		return ""
	}
	key, _ := args[3].(string)
	return strings.TrimPrefix(key, "rate:")
}

// ValidateName says why a limit's name cannot be used. A name stands in response headers and in
// Redis keys, so it is 1 … 64 ASCII letters, digits, dots, hyphens and underscores.
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
