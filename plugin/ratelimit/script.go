package ratelimit

import (
	"cmp"
	"context"
	_ "embed"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/redis/go-redis/v9"

	"hoko.to/edge/plugin/limit"
)

//go:embed charge.lua
var chargeSource string

var chargeScript = redis.NewScript(chargeSource)

// Numbers of requests for which callScript charges nothing.
const (
	peekOnly = 0 // asks for one
	resetAll = -1
)

// reply says how many of some requests are admitted. It is shared between them.
type reply struct {
	admitted int
	before   []before // of each charge
}

// before is the state of a bucket before the requests.
type before struct {
	used  int           // of a quota
	reset time.Duration // until the bucket is full, or the quota's next period begins
	retry time.Duration // if Redis has said so, until a request is admitted
}

// results stores the results of the request with the number i, from 0: the first ones are admitted.
func (r *reply) results(i int, charges []charge, results []result) {
	charged, allowed := min(i+1, r.admitted), i < r.admitted
	longest := 0
	for j := range charges {
		res := r.before[j].after(charged, &charges[j])
		if allowed {
			res.allowed, res.retry = true, 0
		}
		results[j] = res
		if res.retry > results[longest].retry {
			longest = j
		}
	}
	if results[longest].allowed = allowed; !allowed { // retry is 0 if Redis has rounded otherwise
		results[longest].retry = max(1, results[longest].retry)
	}
}

// peek stores what the next request would get.
func (r *reply) peek(charges []charge, results []result) {
	if r.admitted == 0 {
		r.results(0, charges, results)
		return
	}
	for j := range charges {
		results[j] = r.before[j].after(0, &charges[j])
		results[j].allowed, results[j].retry = true, 0
	}
}

// rounding is less than how early a request may be admitted, because it is not exact how full a
// bucket is.
const rounding = 2 * time.Microsecond

// after returns the state once n requests were charged, and what the next request gets.
func (b before) after(n int, c *charge) (res result) {
	if c.limit.Calendar == limit.None {
		res.reset = b.reset + c.limit.Cost(float64(n*c.cost))
		res.retry = cmp.Or(b.retry, res.reset+c.limit.Cost(float64(c.cost))-c.limit.Fill())
		if res.retry < rounding {
			res.retry = 0
		}
	} else {
		res.used, res.reset = b.used+n*c.cost, b.reset
		if res.used+c.cost > c.limit.Burst {
			res.retry = b.reset
		}
	}
	res.allowed = res.retry == 0
	return res
}

// callScript charges requests in Redis, as many as all buckets admit. It returns when the timeout
// has passed since start.
func (l *Limiter) callScript(ctx context.Context, charges []charge, requests int, start time.Time) (reply, error) {
	keys, args := make([]string, len(charges)), make([]any, 1, 1+4*len(charges))
	args[0] = requests
	for i := range charges {
		c := &charges[i]
		keys[i] = "rate:" + c.key(l.prefix)
		var period any = c.limit.Period.Seconds() * 1e6
		if c.limit.Calendar != limit.None {
			period = c.limit.Calendar.String()
		}
		args = append(args, c.limit.Burst, c.limit.Rate, period, c.cost)
	}
	var values []any
	err := l.inRedis(ctx, start, func(ctx context.Context, client *client) (err error) {
		values, err = chargeScript.Run(ctx, client, keys, args...).Slice()
		return err
	})
	if err != nil {
		return reply{}, err
	}
	r := reply{int(values[0].(int64)), make([]before, len(charges))} // isScriptReply has checked the types
	for i := range charges {
		used, reset := values[1+2*i].(int64), values[2+2*i].(int64)
		state := before{used: int(used), reset: time.Duration(reset) * time.Microsecond}
		if requests != resetAll && !state.possible(&charges[i]) {
			return reply{}, errReply
		}
		r.before[i] = state
	}
	return r, nil
}

// possible reports whether a bucket can be in this state. If not, another program wrote the key or
// Redis's clock was set back: such a state could deny forever.
func (b before) possible(c *charge) bool {
	if c.limit.Calendar != limit.None {
		return b.used >= 0 && b.used <= c.limit.Burst && b.reset >= 0
	}
	return b.reset >= 0 && b.reset <= c.limit.Fill()+maxClockSetBack
}

// callRedisRate lets redis_rate decide one request for one bucket, within the same time.
func (l *Limiter) callRedisRate(ctx context.Context, c *charge, start time.Time) (reply, error) {
	var res *redis_rate.Result
	rate := redis_rate.Limit{Rate: c.limit.Rate, Burst: c.limit.Burst, Period: c.limit.Period}
	err := l.inRedis(ctx, start, func(ctx context.Context, client *client) (err error) {
		res, err = client.limiter.AllowN(ctx, c.key(l.prefix), rate, c.cost)
		return err
	})
	if err != nil {
		return reply{}, err
	}
	r := reply{0, []before{{reset: res.ResetAfter, retry: max(0, res.RetryAfter)}}}
	if res.Allowed == c.cost {
		r.admitted = 1
		r.before[0].reset -= c.limit.Cost(float64(c.cost))
	}
	known := r.admitted == 1 || res.Allowed == 0 && res.RetryAfter > 0
	if !known || res.ResetAfter <= 0 || max(res.ResetAfter, res.RetryAfter) > c.limit.Fill()+maxClockSetBack {
		return reply{}, errReply
	}
	return r, nil
}

// inRedis makes a call, which it bounds by the timeout since start. The call does not end with ctx:
// an interrupted call would count as a failure of Redis.
func (l *Limiter) inRedis(
	ctx context.Context, start time.Time, call func(context.Context, *client) error,
) error {
	bounded := &detachedContext{Context: ctx, deadline: start.Add(l.timeout)}
	defer bounded.release()
	used := l.upstream.client.Load()
	err := call(bounded, used)
	if c := l.upstream.client.Load(); err != nil && c != used { // switchToCluster has replaced it
		err = call(bounded, c)
	}
	return err
}

// isScriptReply reports whether a reply has the types that the callers assert without checking:
// those of redis_rate or, one integer and two for each key, of charge.lua.
func isScriptReply(cmd redis.Cmder) bool {
	reply, ok := cmd.(*redis.Cmd)
	if !ok {
		return false
	}
	values, ok := reply.Val().([]any)
	if !ok {
		return false
	}
	ints, length := 2, 4
	if args := cmd.Args(); len(args) > 2 && (args[1] == chargeScript.Hash() || args[1] == chargeSource) {
		keys, _ := args[2].(int)
		ints, length = 1+2*keys, 1+2*keys
	}
	if len(values) != length {
		return false
	}
	for i, v := range values {
		_, isInt := v.(int64)
		_, isString := v.(string)
		if isInt != (i < ints) || isString != (i >= ints) {
			return false
		}
	}
	return true
}
