package ratelimit

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"hoko.to/edge/plugin/limit"
)

// bucket identifies a bucket. The limit is part of it, so a changed limit begins with a full bucket
// in Redis and in this process. The old bucket's state has no meaning under the new limit: it could
// deny for an hour what is now allowed ten times a second.
type bucket struct {
	name         string
	owner, group [32]byte
	limit        limit.Limit
}

// charge is what a request takes from a bucket: 1 to limit.Burst.
type charge struct {
	bucket
	cost int
}

// charge returns what the request takes. A request that costs more than a full bucket holds takes
// all of it: otherwise, its client would wait in vain.
func (r *Request) charge() charge {
	b := bucket{r.Name, r.Bucket, r.Group, r.Limit}
	if r.Group == ([32]byte{}) {
		b.group = r.Bucket
	}
	return charge{b, min(max(r.Cost, 1), r.Limit.Burst)}
}

// key returns the bucket's Redis key without the "rate:" that redis_rate prepends. The braces are a
// Cluster's hash tag, so the keys of a group, also with a suffix, are in the same slot.
func (b *bucket) key(prefix string) string {
	s := append(make([]byte, 0, 160), prefix...) // stays on the stack
	s = append(s, b.name...)
	s = append(s, ":{"...)
	s = base64.RawURLEncoding.AppendEncode(s, b.group[:16])
	s = append(s, '}')
	if b.owner != b.group {
		s = append(s, '/')
		s = base64.RawURLEncoding.AppendEncode(s, b.owner[:16])
	}
	s = append(s, ':')
	s = strconv.AppendInt(s, int64(b.limit.Rate), 10)
	s = append(s, '/')
	if b.limit.Calendar != limit.None {
		return string(append(s, b.limit.Calendar.String()...))
	}
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

// Peek returns what Allow would decide now, and charges nothing. Remaining is the number of
// requests that the bucket admits now. Like Allow, it returns within Options.Timeout, prefers a
// remembered denial, and uses this process's own bucket if Redis does not decide and OnError is
// Local.
func (l *Limiter) Peek(ctx context.Context, r Request) (Decision, error) {
	if err := r.Limit.Validate(); err != nil {
		return Decision{}, err
	}
	charges, results, from := []charge{r.charge()}, make([]result, 1), FromMemory
	if !l.denials.get(charges, results) {
		read, err := l.callScript(ctx, charges, peekOnly, time.Now())
		switch {
		case err == nil:
			read.peek(charges, results)
			from = FromRedis
		case r.OnError == Allow:
			l.countFailure(err)
			return Decision{Allowed: true, Source: FromNone}, nil
		case r.OnError == Deny:
			l.countFailure(err)
			return Decision{Source: FromNone}, unavailable(err)
		default:
			l.countFailure(err)
			results[0], from = l.local.peek(charges[0].bucket), FromLocal
		}
	}
	d := decisionOf(charges, results, from)
	if d.Allowed {
		d.Remaining = max(1, d.Remaining) // whatever the rounding
	}
	return d, nil
}

// Reset makes a bucket full: in Redis, and in this process's memory. Another process may deny for
// another second what it remembers as denied. Reset returns within Options.Timeout. If Redis does
// not decide, it returns an error that wraps ErrUnavailable, and only this process's own bucket is
// full.
func (l *Limiter) Reset(ctx context.Context, r Request) error {
	if err := r.Limit.Validate(); err != nil {
		return err
	}
	charges := []charge{r.charge()}
	_, err := l.callScript(ctx, charges, resetAll, time.Now())
	l.local.remove(charges[0].bucket)
	l.denials.remove(charges[0].bucket)
	if err != nil {
		l.countFailure(err)
		return unavailable(err)
	}
	return nil
}

func unavailable(cause error) error { return fmt.Errorf("%w: %s", ErrUnavailable, describe(cause)) }
