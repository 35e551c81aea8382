// Renders errors in the edge's bilingual envelope.
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

// Throws an object instead of an Error, which would capture a stack trace.
export function fail(status, headers, members) {
	throw { rejection: true, status, headers, members };
}

export function onError(error, request, reply) {
	if (error.rejection) return reject(reply, error.status, error.headers, error.members);
	if (error.validation) return reject(reply, 400, { 'hoko-reason': error.message });
	if (error.code === '22P05' || error.code === '22021') return reject(reply, 400); // NUL in a string
	const status = error.statusCode in messages ? error.statusCode : 500;
	if (status === 500) request.log.error(error);
	reject(reply, status);
}

export const onNotFound = (_, reply) => reject(reply, 404);

function reject(reply, status, headers = {}, members = {}) {
	reply.code(status).headers(headers).type('application/json; charset=utf-8');
	reply.send({ error: messages[status], ...members });
}
