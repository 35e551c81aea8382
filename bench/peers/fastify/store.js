// Records sales with one statement each, which calls a function of ../pgbench/sale.sql.
import { hash } from 'node:crypto';
import { v7 as uuidv7 } from 'uuid';
import pg from 'pg';
import { fail } from './errors.js';

const placeholders = (n) => Array.from({ length: n }, (_, i) => `$${i + 1}`).join(', ');
const plain = { name: 'sale', text: `SELECT * FROM bench.sale(${placeholders(14)})` };
const keyed = { name: 'keyed_sale', text: `SELECT * FROM bench.keyed_sale(${placeholders(16)})` };

// Times stay text, because a Date would lose the microseconds: 2024-01-01 00:00:00+00 to RFC 3339.
const rfc3339 = (time) => time.replace(' ', 'T').replace(/\+00(:00)?$/, 'Z');
const { builtins, getTypeParser } = pg.types;
const types = { getTypeParser: (oid, format) => (oid === builtins.TIMESTAMPTZ ? rfc3339 : getTypeParser(oid, format)) };

const uniqueViolation = '23505';

export function saleStore(pool) {
	return async (workspaceId, body, key) => {
		const sale = {
			...body, currency: body.currency?.toLowerCase() ?? 'usd',
			eventName: body.eventName ?? 'Purchase', metadata: body.metadata ?? null,
		};
		const id = uuidv7();
		const values = [
			workspaceId, sale.customerExternalId, sale.customerName,
			sale.customerEmail, sale.customerEmail === undefined,
			sale.customerAvatar, sale.customerAvatar === undefined, sale.leadEventName || null, sale.clickId || null,
			id, sale.amount, sale.currency, sale.eventName, sale.metadata && JSON.stringify(sale.metadata),
		];
		return key === undefined ? record(id, sale, values) : recordOnce(id, [...values, key, fingerprint(sale)]);
	};

	async function record(id, sale, values) {
		const { rows: [row] } = await pool.query({ ...plain, values, types });
		return row.link_id && { id, attribution: row.attribution, response: fromRow(row, sale) };
	}

	async function recordOnce(id, values) {
		const query = () => pool.query({ ...keyed, values });
		const { rows: [row] } = await query().catch((error) => {
			if (error.code === uniqueViolation) return query(); // another request with the key has committed
			throw error;
		});
		if (row.sale_id && !row.response) fail(422);
		return row.sale_id && {
			id: row.sale_id, replayed: row.sale_id !== id, attribution: row.response.attribution,
			response: fromStored(row.response),
		};
	}
}

const fromRow = (row, sale) => ({
	click: row.click_id && { id: row.click_id },
	link: {
		id: row.link_id, url: row.url, shortUrl: row.short_url, qrCode: qrCode(row.short_url),
		title: row.title, description: row.description, image: row.image, utm: utm(row.utm),
		collectionId: row.collection_id, partnerId: row.partner_id, tenantId: row.tenant_id,
		externalId: row.link_external_id, createdAt: row.link_created_at,
	},
	customer: { id: row.customer_id, name: sale.customerName, email: row.email, phone: row.phone, avatar: row.avatar,
		externalId: sale.customerExternalId },
	sale,
});

const fromStored = ({ clickId, link, customer, sale }) => ({
	click: clickId && { id: clickId },
	link: { ...link, qrCode: qrCode(link.shortUrl), utm: utm(link.utm), createdAt: rfc3339(link.createdAt) },
	customer,
	sale: { ...sale, metadata: JSON.parse(sale.metadata) },
});

function qrCode(shortUrl) {
	const [address, fragment] = shortUrl.split(/(?=#)/);
	const text = encodeURIComponent(`${address}${address.includes('?') ? '&' : '?'}qr=1${fragment ?? ''}`);
	const style = 'size=512&errorCorrection=H&foreground=000000&background=FFFFFF&margin=1&format=svg';
	return `${new URL(shortUrl).origin}/qrcode?text=${text}&${style}`;
}

const utmKeys = ['source', 'medium', 'campaign', 'term', 'content', 'referral'];

function utm(stored) {
	const given = utmKeys.filter((key) => stored?.[key] && typeof stored[key] === 'string');
	return given.length === 0 ? null : Object.fromEntries(given.map((key) => [key, stored[key]]));
}

// Does not depend on the order of members. Absent members and null members differ.
function fingerprint(sale) {
	const { customerExternalId, amount, currency, eventName, metadata, customerName, customerEmail } = sale;
	const request = {
		amount, currency, eventName, metadata, customerExternalId, customerName, customerEmail,
		customerAvatar: sale.customerAvatar, leadEventName: sale.leadEventName || null, clickId: sale.clickId || null,
	};
	return hash('sha256', JSON.stringify(request, sortMembers), 'buffer');
}

const byName = ([a], [b]) => (a < b ? -1 : 1);
const sortMembers = (_, value) =>
	value?.constructor === Object ? Object.fromEntries(Object.entries(value).sort(byName)) : value;
