// The service: Fastify with a pool of Postgres connections and one connection to Redis.
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import Fastify, { LogController } from 'fastify';
import { Redis } from 'ioredis';
import pg from 'pg';
import { pino } from 'pino';
import { authenticator } from './auth.js';
import { fail, onError, onNotFound } from './errors.js';
import { limiter } from './limit.js';
import { saleStore } from './store.js';
import { saleSchema } from './schema.js';

export async function start({ env } = process) {
	// The session settings of the edge.
	const options = '-c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c enable_bitmapscan=off -c jit=off'
		+ ' -c timezone=UTC';
	const max = Number(env.POOL ?? 16);
	const pool = new pg.Pool({ connectionString: env.DATABASE_URL, max, idleTimeoutMillis: 0, options });
	// All commands of one iteration of the event loop share a write.
	const redis = new Redis(env.REDIS_URL, { enableAutoPipelining: true });
	const log = env.LOG && pino.destination({ dest: env.LOG, sync: false, minLength: 4096 });
	const app = Fastify({
		...(log && { loggerInstance: pino(log) }),
		...(env.TLS_CERT && { https: { cert: readFileSync(env.TLS_CERT), key: readFileSync(env.TLS_KEY) } }),
		logController: new LogController({ disableRequestLogging: true }),
		genReqId: () => randomUUID(),
		bodyLimit: 64 * 1024,
		ajv: { customOptions: { coerceTypes: false, removeAdditional: false } },
	});
	if (env.LOG) app.addHook('onResponse', logRequest);
	app.setErrorHandler(onError);
	app.setNotFoundHandler(onNotFound);
	app.decorateRequest('key', null);

	const authenticate = authenticator(pool, 'conversionsWrite');
	const limit = limiter(redis, { rate: 600, period: 60, burst: 600 });
	const record = saleStore(pool);
	app.post('/api/track/sale', {
		schema: saleSchema,
		onRequest: async (request, reply) => {
			reply.headers({ 'cache-control': 'no-store', 'x-request-id': request.id });
			request.key = await authenticate(request, reply);
			await limit(request, reply);
		},
		handler: async (request, reply) => {
			const sale = await record(request.key.workspaceId, request.body, request.headers['idempotency-key']);
			if (!sale) fail(400, { 'hoko-reason': 'nothing attributes the sale' });
			reply.code(201).headers({ 'hoko-sale-id': sale.id, 'hoko-attribution': sale.attribution });
			if (sale.replayed) reply.header('idempotency-replayed', 'true');
			return sale.response;
		},
	});

	await pool.query('SELECT 1');
	await app.listen({ port: Number(env.PORT), host: env.HOST ?? '127.0.0.1', backlog: 4096 });
	return async () => {
		await app.close();
		await Promise.all([pool.end(), redis.quit()]);
	};
}

// One line per request, with fields of Caddy's access log.
async function logRequest(request, { statusCode: status, elapsedTime: duration }) {
	const { ip: remote_ip, method, host, url: uri, key } = request;
	request.log.info({ remote_ip, method, host, uri, user_id: key?.id, status, duration }, 'handled request');
}
