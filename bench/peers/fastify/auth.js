// Authenticates API keys. A key is looked up at most once a minute.
import { hash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { fail } from './errors.js';

const sql = `SELECT k.id, k.workspace_id AS "workspaceId", k.scopes, k.expires_at AS "expiresAt",
		coalesce(k.rate_limit, w.rate_limit) AS rate,
		extract(epoch FROM CASE WHEN k.rate_limit IS NULL THEN w.rate_period ELSE k.rate_period END)::float8 AS period,
		CASE WHEN k.rate_limit IS NULL THEN w.rate_burst ELSE k.rate_burst END AS burst
	FROM hoko.api_keys k JOIN hoko.workspaces w ON w.id = k.workspace_id
	WHERE k.key_hash = decode($1, 'hex') AND k.revoked_at IS NULL AND w.disabled_at IS NULL`;
const unknown = {};
const parseLimit = ({ rate, period, burst }) => rate && { rate, period: period ?? 60, burst: burst ?? rate };

export function authenticator(pool, scope) {
	// fetchMethod runs once for concurrent requests with the same key.
	const keys = new LRUCache({
		max: 100_000,
		ttl: 60_000,
		fetchMethod: async (digest, _, { options }) => {
			const { rows: [key] } = await pool.query({ name: 'key', text: sql, values: [digest] });
			if (!key) options.ttl = 5_000;
			return key ? { ...key, digest, limit: parseLimit(key) } : unknown;
		},
	});
	return async (request) => {
		const token = parseToken(request.headers.authorization);
		if (!token) fail(401, { 'www-authenticate': 'Bearer' });
		const digest = hash('sha256', token);
		const key = keys.get(digest) ?? (await keys.fetch(digest));
		if (key === unknown || (key.expiresAt && key.expiresAt <= new Date())) {
			fail(401, { 'www-authenticate': 'Bearer error="invalid_token"' });
		}
		if (!key.scopes.includes(scope)) {
			const challenge = `Bearer error="insufficient_scope", scope="${scope}"`;
			fail(403, { 'www-authenticate': challenge }, { missingScopes: [scope] });
		}
		return key;
	};
}

// The key with or without Bearer, 1 to 256 printable ASCII characters.
const parseToken = (header) => /^\s*(?:Bearer\s+)?([\x21-\x7e]{1,256})\s*$/i.exec(header ?? '')?.[1];
