package ratelimit

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/go-redis/redis_rate/v10"
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

// Peek returns what Allow would decide now, and charges nothing. Remaining is the number of requests
// that the bucket admits now. Like Allow, it returns within Options.Timeout, prefers a remembered
// denial, and uses this process's own bucket if Redis does not decide and OnError is Local.
func (l *Limiter) Peek(ctx context.Context, r Request) (Decision, error) {
	if err := r.Limit.Validate(); err != nil {
		return Decision{}, err
	}
	b := bucket{r.Name, r.Bucket, r.Limit}
	res, from := result{}, FromMemory
	if known, ok := l.denials.get(b); ok {
		res = known
	} else if read, err := l.stateInRedis(ctx, b, peekState); err == nil {
		res, from = read, FromRedis
	} else {
		l.countFailure(err)
		switch r.OnError {
		case Allow:
			return Decision{Allowed: true, Source: FromNone}, nil
		case Deny:
			return Decision{Source: FromNone}, unavailable(err)
		}
		res, from = l.local.peek(b), FromLocal
	}
	d := res.decision(r.Limit, from)
	if d.Allowed {
		d.Remaining = max(1, d.Remaining) // whatever the rounding
	}
	return d, nil
}

// Reset makes a bucket full: in Redis, and in this process's memory. Another process may deny for
// another second what it remembers as denied. Reset returns within Options.Timeout. If Redis does not
// decide, it returns an error that wraps ErrUnavailable, and only this process's own bucket is full.
func (l *Limiter) Reset(ctx context.Context, r Request) error {
	if err := r.Limit.Validate(); err != nil {
		return err
	}
	b := bucket{r.Name, r.Bucket, r.Limit}
	_, err := l.stateInRedis(ctx, b, resetState)
	l.local.remove(b)
	l.denials.remove(b)
	if err != nil {
		l.countFailure(err)
		return unavailable(err)
	}
	return nil
}

func unavailable(cause error) error { return fmt.Errorf("%w: %s", ErrUnavailable, describe(cause)) }

// Modes of stateScript.
const (
	peekState  = "peek"
	resetState = "reset"
)

// stateScript replies what redis_rate's script would reply to a request, except that it charges
// nothing: reset_after is the time until the bucket is full now. It computes exactly like that script,
// so that both agree to the last bit. To reset, it sets the value of a full bucket instead of deleting the
// key, because the user in Redis may SET, but not DEL.
var stateScript = redis.NewScript(`
local emission_interval = ARGV[3] / ARGV[2]
local burst_offset = emission_interval * ARGV[1]
local jan_1_2017 = 1483228800
local now = redis.call("TIME")
now = (now[1] - jan_1_2017) + (now[2] / 1000000)
if ARGV[4] == "reset" then
  redis.call("SET", KEYS[1], now, "PX", 1)
end
local tat = math.max(tonumber(redis.call("GET", KEYS[1]) or now), now)
local diff = now - (tat + emission_interval - burst_offset)
if diff / emission_interval < 0 then
  return {0, 0, tostring(diff * -1), tostring(tat - now)}
end
return {1, 0, "-1", tostring(tat - now)}
`)

// stateInRedis runs stateScript, bounded like takeFromRedis. It does not end with ctx, because an
// interrupted call would count as a failure of Redis.
func (l *Limiter) stateInRedis(ctx context.Context, b bucket, mode string) (result, error) {
	bounded := &detachedContext{Context: ctx, deadline: time.Now().Add(l.timeout)}
	defer bounded.release()
	keys := []string{"rate:" + b.key(l.prefix)}
	args := []any{b.limit.Burst, b.limit.Rate, b.limit.Period.Seconds(), mode}
	used := l.upstream.client.Load()
	reply, err := stateScript.Run(bounded, used, keys, args...).Slice()
	if c := l.upstream.client.Load(); err != nil && c != used { // switchToCluster has replaced it
		reply, err = stateScript.Run(bounded, c, keys, args...).Slice()
	}
	if err != nil {
		return result{}, err
	}
	retry, retryErr := strconv.ParseFloat(reply[2].(string), 64) // isScriptReply has checked the types
	reset, resetErr := strconv.ParseFloat(reply[3].(string), 64)
	if retryErr != nil || resetErr != nil {
		return result{}, errReply
	}
	if reply[0] == int64(1) && reset == 0 { // a full bucket: Allow's reply is never this
		return result{allowed: true}, nil
	}
	return newResult(&redis_rate.Result{
		Allowed: int(reply[0].(int64)), RetryAfter: seconds(retry), ResetAfter: seconds(reset),
	}, b.limit)
}

// seconds converts like redis_rate.
func seconds(f float64) time.Duration { return time.Duration(f * float64(time.Second)) }
