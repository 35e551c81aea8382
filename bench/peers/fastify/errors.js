// The bilingual envelope.
const messages = {
	400: { en: 'Invalid request', ar: 'طلب غير صالح' },
	401: { en: 'Invalid API key', ar: 'مفتاح API غير صالح' },
	403: { en: 'Missing required scopes', ar: 'الصلاحيات المطلوبة مفقودة' },
	404: { en: 'Not found', ar: 'غير موجود' },
	413: { en: 'Request body too large', ar: 'حجم الطلب كبير جدًا' },
	422: { en: 'Idempotency key was used with a different request', ar: 'استُخدم مفتاح عدم التكرار مع طلب مختلف' },
	429: { en: 'Rate limit exceeded', ar: 'تم تجاوز حد المعدل' },
	500: { en: 'Internal server error', ar: 'خطأ داخلي في الخادم' },
};

// A refusal is an outcome and needs no stack.
export function fail(status, headers, members) {
	throw { refusal: true, status, headers, members };
}

export function onError(error, request, reply) {
	if (error.refusal) return refuse(reply, error.status, error.headers, error.members);
	if (error.validation) return refuse(reply, 400, { 'hoko-reason': error.message });
	if (error.code === '22P05' || error.code === '22021') return refuse(reply, 400); // NUL in a string
	const status = error.statusCode in messages ? error.statusCode : 500;
	if (status === 500) request.log.error(error);
	refuse(reply, status);
}

export const onNotFound = (_, reply) => refuse(reply, 404);

function refuse(reply, status, headers = {}, members = {}) {
	reply.code(status).headers(headers).type('application/json; charset=utf-8').send({ error: messages[status], ...members });
}
