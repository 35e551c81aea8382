// Schemas that Ajv compiles to validate requests and fast-json-stringify to write responses.
const text = (min, max) => ({ type: 'string', minLength: min, maxLength: max });
const optional = (max) => ({ type: ['string', 'null'], maxLength: max });

const body = {
	type: 'object',
	required: ['customerExternalId', 'amount', 'customerName'],
	properties: {
		customerExternalId: text(1, 100),
		amount: { type: 'integer', minimum: 0, maximum: Number.MAX_SAFE_INTEGER },
		currency: { type: ['string', 'null'], pattern: '^[A-Za-z]{3}$' },
		eventName: optional(255),
		metadata: { type: ['object', 'null'] },
		leadEventName: optional(255),
		clickId: optional(255),
		customerName: text(0, 100),
		customerEmail: { ...optional(254), format: 'email' },
		customerAvatar: { ...optional(2048), format: 'uri', pattern: '^[Hh][Tt][Tt][Pp][Ss]?://' },
	},
};

// Idempotency-Key: 1 to 255 characters of printable ASCII.
const idempotencyKey = { type: 'string', pattern: '^[ -~]{1,255}$' };
const headers = { type: 'object', properties: { 'idempotency-key': idempotencyKey } };

const object = (properties, more) => ({ type: 'object', properties, ...more });
const string = { type: 'string' };
const nullable = { type: 'string', nullable: true };

const metadata = { type: 'object', additionalProperties: true, nullable: true };
const utm = { source: string, medium: string, campaign: string, term: string, content: string, referral: string };

const response = object({
	click: object({ id: string }, { nullable: true }),
	link: object({
		id: string, url: string, shortUrl: string, qrCode: string,
		title: nullable, description: nullable, image: nullable, utm: object(utm, { nullable: true }),
		collectionId: nullable, partnerId: nullable, tenantId: nullable, externalId: nullable, createdAt: string,
	}),
	customer: object({
		id: string, name: string, email: nullable, phone: nullable, avatar: nullable, externalId: string,
	}),
	sale: object({ amount: { type: 'integer' }, currency: string, eventName: string, metadata }),
});

export const saleSchema = { body, headers, response: { 201: response } };
