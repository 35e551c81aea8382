// Limits the rate with GCRA in Redis, on Redis's clock, with one script call per request.
import { fail } from './errors.js';

// Returns two times in µs: until the bucket is full, and until a request is admitted (0: now).
const gcra = `
local interval, fill = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local full = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now)
local wait = full + interval - fill - now
if wait > 0 then
	return {full - now, math.ceil(wait)}
end
redis.call('SET', KEYS[1], string.format('%.3f', full + interval), 'PX', math.ceil((full + interval - now) / 1000))
return {full + interval - now, 0}`;

export function limiter(redis, defaultLimit) {
	redis.defineCommand('gcra', { numberOfKeys: 1, lua: gcra });
	return async ({ key }, reply) => {
		const { rate, period, burst } = key.limit ?? defaultLimit;
		const interval = (period * 1e6) / rate;
		const fill = interval * burst;
		const [reset, wait] = await redis.gcra(`gcra:${key.digest}`, interval, fill);
		const remaining = wait ? 0 : Math.floor((fill - reset) / interval);
		reply.headers({
			'x-ratelimit-limit': burst,
			'x-ratelimit-remaining': remaining,
			'x-ratelimit-reset': Math.ceil(Date.now() / 1000 + reset / 1e6),
			'ratelimit-policy': `"default";q=${burst};w=${Math.ceil(fill / 1e6)}`,
			ratelimit: `"default";r=${remaining};t=${Math.ceil(reset / 1e6)}`,
		});
		if (wait) {
			const retryAfter = Math.ceil(wait / 1e6);
			fail(429, { 'retry-after': retryAfter }, { retryAfter });
		}
	};
}
