/* gRPC statuses and header values; see status.h and rpc.h. */
#include "controller/rpc/status.h"

#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audums/v1/fabric.pb-c.h"

#define TYPE_URL_PREFIX "type.googleapis.com/"

static const char *const code_names[RPC_CODES] = {
	"OK",
	"CANCELLED",
	"UNKNOWN",
	"INVALID_ARGUMENT",
	"DEADLINE_EXCEEDED",
	"NOT_FOUND",
	"ALREADY_EXISTS",
	"PERMISSION_DENIED",
	"RESOURCE_EXHAUSTED",
	"FAILED_PRECONDITION",
	"ABORTED",
	"OUT_OF_RANGE",
	"UNIMPLEMENTED",
	"INTERNAL",
	"UNAVAILABLE",
	"DATA_LOSS",
	"UNAUTHENTICATED",
};

const char *rpc_code_name(enum rpc_code code)
{
	return (unsigned int)code < RPC_CODES ? code_names[code] : "UNKNOWN";
}

/* ---- percent-encoding ---- */

size_t rpc_percent_encode(char *out, size_t size, const char *s)
{
	static const char hex[] = "0123456789ABCDEF";
	size_t whole = 0; /* output up to the last whole character */
	size_t at = 0;

	for (;; s++) {
		const unsigned char c = (unsigned char)*s;

		if ((c & 0xc0) != 0x80)
			whole = at;
		if (c == '\0')
			break;
		if (c >= 0x20 && c < 0x7f && c != '%') {
			if (at + 1 >= size)
				break;
			out[at++] = (char)c;
		} else {
			if (at + 3 >= size)
				break;
			out[at++] = '%';
			out[at++] = hex[c >> 4];
			out[at++] = hex[c & 15];
		}
	}
	if (size)
		out[whole] = '\0';
	return whole;
}

static int unhex(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

void rpc_percent_decode(char *out, size_t size, const uint8_t *v, size_t len)
{
	size_t at = 0;

	for (size_t i = 0; i < len && at + 1 < size; i++) {
		int c = v[i];

		if (c == '%' && i + 2 < len && unhex(v[i + 1]) >= 0 && unhex(v[i + 2]) >= 0) {
			c = unhex(v[i + 1]) << 4 | unhex(v[i + 2]);
			i += 2;
		}
		out[at++] = c ? (char)c : '?';
	}
	if (size)
		out[at] = '\0';
}

/* ---- base64 (RFC 4648, section 4) ---- */

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t rpc_base64_encode(char *out, const uint8_t *p, size_t len)
{
	size_t at = 0;

	for (size_t i = 0; i < len; i += 3) {
		const size_t left = len - i;
		const uint32_t v = (uint32_t)p[i] << 16 | (left > 1 ? (uint32_t)p[i + 1] << 8 : 0) |
				   (left > 2 ? p[i + 2] : 0);

		out[at++] = alphabet[v >> 18];
		out[at++] = alphabet[v >> 12 & 63];
		if (left > 1)
			out[at++] = alphabet[v >> 6 & 63];
		if (left > 2)
			out[at++] = alphabet[v & 63];
	}
	out[at] = '\0';
	return at;
}

static int base64_value(uint8_t c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

ssize_t rpc_base64_decode(uint8_t *out, const uint8_t *v, size_t len)
{
	uint32_t bits = 0;
	unsigned int have = 0;
	size_t at = 0;

	while (len > 0 && v[len - 1] == '=')
		len--;
	if (len % 4 == 1)
		return -EINVAL;
	for (size_t i = 0; i < len; i++) {
		const int value = base64_value(v[i]);

		if (value < 0)
			return -EINVAL;
		bits = (bits << 6 | (uint32_t)value) & 0xffffff;
		have += 6;
		if (have >= 8) {
			have -= 8;
			out[at++] = (uint8_t)(bits >> have);
		}
	}
	return (ssize_t)at;
}

/* ---- timeouts ---- */

int64_t rpc_timeout_parse(const uint8_t *v, size_t len)
{
	int64_t n = 0;

	/* At most 8 digits, then the unit. */
	if (len < 2 || len > 9)
		return -EINVAL;
	for (size_t i = 0; i + 1 < len; i++) {
		if (v[i] < '0' || v[i] > '9')
			return -EINVAL;
		n = n * 10 + (v[i] - '0');
	}
	switch (v[len - 1]) {
	case 'H':
		return n * 3600000;
	case 'M':
		return n * 60000;
	case 'S':
		return n * 1000;
	case 'm':
		return n;
	case 'u':
		return (n + 999) / 1000;
	case 'n':
		return (n + 999999) / 1000000;
	default:
		return -EINVAL;
	}
}

void rpc_timeout_format(char out[16], uint64_t ms)
{
	static const struct {
		uint64_t ms;
		char unit;
	} units[] = {{1, 'm'}, {1000, 'S'}, {60000, 'M'}, {3600000, 'H'}};
	uint64_t n = ms ? ms : 1;
	size_t i = 0;

	while (n > 99999999 && i + 1 < sizeof(units) / sizeof(units[0])) {
		i++;
		n = ms / units[i].ms;
	}
	if (n > 99999999)
		n = 99999999;
	snprintf(out, 16, "%u%c", (unsigned int)n, units[i].unit);
}

/* ---- codes ---- */

enum rpc_code rpc_code_parse(const uint8_t *v, size_t len)
{
	unsigned int n = 0;

	if (len < 1 || len > 2)
		return RPC_UNKNOWN;
	for (size_t i = 0; i < len; i++) {
		if (v[i] < '0' || v[i] > '9')
			return RPC_UNKNOWN;
		n = n * 10 + (v[i] - '0');
	}
	return n < RPC_CODES ? (enum rpc_code)n : RPC_UNKNOWN;
}

enum rpc_code rpc_code_from_http(int http_status)
{
	switch (http_status) {
	case 400:
		return RPC_INTERNAL;
	case 401:
		return RPC_UNAUTHENTICATED;
	case 403:
		return RPC_PERMISSION_DENIED;
	case 404:
		return RPC_UNIMPLEMENTED;
	case 429:
	case 502:
	case 503:
	case 504:
		return RPC_UNAVAILABLE;
	default:
		return RPC_UNKNOWN;
	}
}

enum rpc_code rpc_code_from_h2(uint32_t error_code)
{
	switch (error_code) {
	case NGHTTP2_REFUSED_STREAM:
		return RPC_UNAVAILABLE;
	case NGHTTP2_CANCEL:
		return RPC_CANCELLED;
	case NGHTTP2_ENHANCE_YOUR_CALM:
		return RPC_RESOURCE_EXHAUSTED;
	case NGHTTP2_INADEQUATE_SECURITY:
		return RPC_PERMISSION_DENIED;
	default:
		return RPC_INTERNAL;
	}
}

/* ---- details ---- */

uint8_t *rpc_details_pack(
	enum rpc_code code, const char *message, const ProtobufCMessage *detail, size_t *len)
{
	Audums__V1__StatusDetails all = AUDUMS__V1__STATUS_DETAILS__INIT;
	Audums__V1__StatusDetail one = AUDUMS__V1__STATUS_DETAIL__INIT;
	Audums__V1__StatusDetail *list[] = {&one};
	uint8_t *packed = NULL;
	char type_url[256];

	snprintf(type_url, sizeof(type_url), TYPE_URL_PREFIX "%s", detail->descriptor->name);
	one.type_url = type_url;
	one.value.len = protobuf_c_message_get_packed_size(detail);
	one.value.data = malloc(one.value.len + 1);
	if (!one.value.data)
		return NULL;
	protobuf_c_message_pack(detail, one.value.data);
	all.code = (int32_t)code;
	all.message = (char *)message;
	all.details = list;
	all.n_details = 1;
	*len = audums__v1__status_details__get_packed_size(&all);
	packed = malloc(*len + 1);
	if (packed)
		audums__v1__status_details__pack(&all, packed);
	free(one.value.data);
	return packed;
}

ProtobufCMessage *rpc_status_detail(
	const struct rpc_status *status, const ProtobufCMessageDescriptor *desc)
{
	Audums__V1__StatusDetails *all;
	ProtobufCMessage *found = NULL;

	if (!status->details)
		return NULL;
	all = audums__v1__status_details__unpack(NULL, status->details_len, status->details);
	for (size_t i = 0; all && i < all->n_details && !found; i++) {
		const char *name = strrchr(all->details[i]->type_url, '/');

		if (name && strcmp(name + 1, desc->name) == 0)
			found = protobuf_c_message_unpack(desc, NULL, all->details[i]->value.len,
				all->details[i]->value.data);
	}
	if (all)
		audums__v1__status_details__free_unpacked(all, NULL);
	return found;
}
