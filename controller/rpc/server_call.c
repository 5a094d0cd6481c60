/*
 * A call that a server has received: its headers, what its handler is told, how it is answered; see
 * rpc.h and rpc_internal.h.
 *
 * Invariant: a status is set once (`finishing`); from then on nothing received is delivered
 * (`deaf`), what was queued is sent, then the trailers.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/rpc/rpc_internal.h"

static nghttp2_nv nv(const char *name, const char *value)
{
	return (nghttp2_nv){.name = (uint8_t *)name,
		.value = (uint8_t *)value,
		.namelen = strlen(name),
		.valuelen = strlen(value)};
}

/* ---- answering ---- */

/* What the trailers' texts are kept in until nghttp2 has copied them. */
struct trailers {
	char code[4];
	char text[3 * STATUS_MESSAGE_MAX + 1];
	char *details;
};

/* Append the trailers to `list` (room for 3); returns the new count. They are kept within the
 * header list that the peer accepts: rather a status without details than none. */
static size_t trailers_make(
	const struct rpc_call *call, struct trailers *t, nghttp2_nv *list, size_t n)
{
	const size_t max = nghttp2_session_get_remote_settings(
		call->conn->session, NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE);
	/* status and content-type of a trailers-only answer, grpc-status */
	size_t used = 48 + 64 + 48;

	snprintf(t->code, sizeof(t->code), "%d", (int)call->code);
	list[n++] = nv("grpc-status", t->code);
	t->details = NULL;
	if (call->text) {
		size_t room = sizeof(t->text);

		if (max < used + 48 + room)
			room = max > used + 48 + 128 ? max - used - 48 : 128;
		rpc_percent_encode(t->text, room, call->text);
		list[n++] = nv("grpc-message", t->text);
		used += 48 + strlen(t->text);
	}
	if (call->details && used + 64 + (call->details_len + 2) / 3 * 4 <= max) {
		t->details = malloc((call->details_len + 2) / 3 * 4 + 1);
		if (t->details) {
			rpc_base64_encode(t->details, call->details, call->details_len);
			list[n++] = nv("grpc-status-details-bin", t->details);
		}
	}
	return n;
}

static void server_wake(struct rpc_call *call)
{
	const nghttp2_data_provider source = rpc_h2_data_provider();
	nghttp2_session *session = call->conn->session;
	struct trailers t = {.details = NULL};
	nghttp2_nv list[6];
	size_t n = 0;
	int ret;

	if (call->over)
		return;
	if (call->headers_sent) {
		rpc_call_wake(call);
		return;
	}
	call->headers_sent = true;
	if (call->http_status) {
		char status[8];

		snprintf(status, sizeof(status), "%d", call->http_status);
		list[0] = nv(":status", status);
		ret = nghttp2_submit_response(session, call->stream, list, 1, NULL);
	} else {
		list[n++] = nv(":status", "200");
		list[n++] = nv("content-type", "application/grpc");
		if (call->encoded && call->code == RPC_UNIMPLEMENTED)
			list[n++] = nv("grpc-accept-encoding", "identity");
		if (call->finishing && call->out.len == 0) {
			n = trailers_make(call, &t, list, n);
			ret = nghttp2_submit_response(session, call->stream, list, n, NULL);
		} else {
			ret = nghttp2_submit_response(session, call->stream, list, n, &source);
		}
	}
	free(t.details);
	if (ret != 0)
		rpc_call_end(call, NGHTTP2_INTERNAL_ERROR);
	rpc_conn_schedule(call->conn);
}

static int server_last_data(struct rpc_call *call, uint32_t *flags)
{
	struct trailers t;
	nghttp2_nv list[3];
	const size_t n = trailers_make(call, &t, list, 0);
	int ret;

	*flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
	ret = nghttp2_submit_trailer(call->conn->session, call->stream, list, n);
	free(t.details);
	return ret == 0 ? 0 : NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static int finish(struct rpc_call *call, enum rpc_code code, const char *text)
{
	if (call->over || call->finishing)
		return -EPIPE;
	rpc_call_set_status(call, code, text);
	call->finishing = true;
	call->deaf = true;
	server_wake(call);
	return 0;
}

/* Cut an incomplete UTF-8 sequence off the end. */
static void trim_utf8(char *s, size_t len)
{
	size_t at = len;

	while (at > 0 && ((unsigned char)s[at - 1] & 0xc0) == 0x80)
		at--;
	if (at > 0 && ((unsigned char)s[at - 1] & 0xc0) == 0xc0)
		s[at - 1] = '\0';
}

int rpc_finish(struct rpc_call *call, enum rpc_code code, const char *fmt, ...)
{
	char text[STATUS_MESSAGE_MAX + 1];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n >= (int)sizeof(text))
		trim_utf8(text, sizeof(text) - 1);
	return finish(call, code, n < 0 ? "" : text);
}

int rpc_finish_ok(struct rpc_call *call)
{
	return finish(call, RPC_OK, "");
}

int rpc_reply(struct rpc_call *call, const ProtobufCMessage *response)
{
	const int ret = rpc_call_queue(call, response);

	if (ret == 0)
		return finish(call, RPC_OK, "");
	if (ret != -EPIPE)
		finish(call, RPC_INTERNAL, "the answer cannot be sent");
	return ret;
}

int rpc_finish_detail(struct rpc_call *call, enum rpc_code code, const char *message,
	const ProtobufCMessage *detail)
{
	int ret = 0;

	if (call->over || call->finishing)
		return -EPIPE;
	if (protobuf_c_message_get_packed_size(detail) > RPC_DETAIL_MAX) {
		ret = -EMSGSIZE;
	} else {
		char text[STATUS_MESSAGE_MAX + 1];

		if (snprintf(text, sizeof(text), "%s", message) >= (int)sizeof(text))
			trim_utf8(text, sizeof(text) - 1);
		call->details = rpc_details_pack(code, text, detail, &call->details_len);
		if (!call->details)
			ret = -ENOMEM;
	}
	rpc_finish(call, code, "%s", message);
	return ret;
}

/* ---- receiving ---- */

static bool is(const uint8_t *s, size_t len, const char *what)
{
	return len == strlen(what) && memcmp(s, what, len) == 0;
}

/* "application/grpc" or "application/grpc+proto", with or without parameters. */
static bool content_is_grpc(const uint8_t *v, size_t len)
{
	static const char type[] = "application/grpc";
	size_t at = sizeof(type) - 1;

	if (len < at || memcmp(v, type, at) != 0)
		return false;
	if (len - at >= 6 && memcmp(v + at, "+proto", 6) == 0)
		at += 6;
	return at == len || v[at] == ';';
}

static void server_header(
	struct rpc_call *call, const uint8_t *name, size_t name_len, const uint8_t *v, size_t len)
{
	if (call->headers_seen)
		return; /* trailers */
	if (is(name, name_len, ":path")) {
		if (len < sizeof(call->path)) {
			memcpy(call->path, v, len);
			call->path[len] = '\0';
		}
	} else if (is(name, name_len, ":method")) {
		if (!is(v, len, "POST"))
			call->http_status = 405;
	} else if (is(name, name_len, "content-type")) {
		call->is_grpc = content_is_grpc(v, len);
	} else if (is(name, name_len, "grpc-timeout")) {
		call->has_timeout = true;
		call->timeout_ms = rpc_timeout_parse(v, len);
	} else if (is(name, name_len, "grpc-encoding")) {
		call->encoded = !is(v, len, "identity");
	}
}

static void on_deadline(void *arg)
{
	struct rpc_call *call = arg;
	nghttp2_session *session = call->conn->session;
	const bool waiting =
		!call->headers_sent ||
		(call->deferred && nghttp2_session_get_remote_window_size(session) > 0 &&
			nghttp2_session_get_stream_remote_window_size(session, call->stream) > 0);

	/* What is queued is of no use any more. Trailers stand behind it in flow control; when they
	 * can't go at once the stream is reset. */
	rpc_buf_free(&call->out);
	if (!call->finishing && waiting) {
		finish(call, RPC_DEADLINE_EXCEEDED, "deadline exceeded");
		return;
	}
	rpc_call_set_status(call, RPC_DEADLINE_EXCEEDED, "deadline exceeded");
	rpc_call_end(call, NGHTTP2_CANCEL);
}

static void server_headers(struct rpc_call *call, bool end_stream)
{
	struct rpc_conn *c = call->conn;
	char text[PATH_SIZE + 32];

	if (call->headers_seen)
		return;
	call->headers_seen = true;
	if (c->stats)
		c->stats->started++;
	if (!call->http_status && !call->is_grpc)
		call->http_status = 415;
	if (call->headers_too_long) {
		call->http_status = 0;
		finish(call, RPC_RESOURCE_EXHAUSTED, "header list longer than the limit");
	} else if (call->http_status) {
		finish(call, RPC_INVALID_ARGUMENT, "");
	} else if (call->has_timeout && call->timeout_ms < 0) {
		finish(call, RPC_INTERNAL, "malformed grpc-timeout");
	} else if (!rpc_server_find_method(c, call)) {
		snprintf(text, sizeof(text), "unknown method %s", call->path);
		finish(call, RPC_UNIMPLEMENTED, text);
	} else if (call->has_timeout &&
		   rpc_call_set_deadline(call, (uint64_t)call->timeout_ms, on_deadline) < 0) {
		finish(call, RPC_RESOURCE_EXHAUSTED, "out of memory");
	} else if (call->method->message) {
		call->told = true;
		if (call->method->start)
			call->method->start(call);
	}
}

static void server_message(struct rpc_call *call, ProtobufCMessage *message)
{
	if (call->method->message) {
		call->method->message(call, message);
		protobuf_c_message_free_unpacked(message, NULL);
	} else if (call->message) {
		protobuf_c_message_free_unpacked(message, NULL);
		finish(call, RPC_UNIMPLEMENTED, "more than one request message");
	} else {
		call->message = message;
	}
}

static void server_remote_end(struct rpc_call *call)
{
	if (!call->method->request) {
		if (call->method->half_close)
			call->method->half_close(call);
		else
			finish(call, RPC_OK, "");
	} else if (!call->message) {
		finish(call, RPC_UNIMPLEMENTED, "no request message");
	} else {
		call->told = true;
		call->method->request(call, call->message);
	}
}

static void server_reject(struct rpc_call *call, enum rpc_code code, const char *why)
{
	finish(call, code, why);
}

static void server_closed(struct rpc_call *call, uint32_t error_code)
{
	if (!call->finishing || error_code != NGHTTP2_NO_ERROR)
		rpc_call_set_status(call, RPC_CANCELLED, "cancelled by the client");
	rpc_call_end(call, -1);
}

static void server_writable(struct rpc_call *call)
{
	if (call->method->writable)
		call->method->writable(call);
}

static void server_done(struct rpc_call *call, const struct rpc_status *status)
{
	if (call->told && call->method->done)
		call->method->done(call, status);
}

const struct call_ops rpc_server_call_ops = {
	.header = server_header,
	.headers = server_headers,
	.message = server_message,
	.remote_end = server_remote_end,
	.reject = server_reject,
	.wake = server_wake,
	.last_data = server_last_data,
	.closed = server_closed,
	.writable = server_writable,
	.done = server_done,
};

void *rpc_call_service(const struct rpc_call *call)
{
	return call->service;
}
