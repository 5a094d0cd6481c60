/*
 * A call that a client has started: its headers, the answer's headers and trailers, deadline; unary
 * and synchronous calls on top; see rpc.h and rpc_internal.h.
 *
 * Invariant: the server's status is kept (`has_status`) when its trailers come and takes effect
 * when all messages before it are delivered.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/rpc/client_internal.h"

static nghttp2_nv nv(const char *name, const char *value)
{
	return (nghttp2_nv){.name = (uint8_t *)name,
		.value = (uint8_t *)value,
		.namelen = strlen(name),
		.valuelen = strlen(value)};
}

/* End the call from our side. */
static void client_end(struct rpc_call *call, enum rpc_code code, const char *text, int error_code)
{
	if (call->over)
		return;
	rpc_call_set_status(call, code, text);
	free(call->details);
	call->details = NULL;
	call->details_len = 0;
	rpc_call_end(call, error_code);
}

/* ---- receiving ---- */

static bool is(const uint8_t *s, size_t len, const char *what)
{
	return len == strlen(what) && memcmp(s, what, len) == 0;
}

static void client_header(
	struct rpc_call *call, const uint8_t *name, size_t name_len, const uint8_t *v, size_t len)
{
	char text[STATUS_MESSAGE_MAX + 1];

	if (is(name, name_len, ":status")) {
		call->http_status = 0;
		for (size_t i = 0; i < len && i < 3; i++)
			call->http_status = call->http_status * 10 + (v[i] - '0');
	} else if (is(name, name_len, "content-type")) {
		call->is_grpc = len >= 16 && memcmp(v, "application/grpc", 16) == 0;
	} else if (is(name, name_len, "grpc-encoding")) {
		call->encoded = !is(v, len, "identity");
	} else if (is(name, name_len, "grpc-status")) {
		call->has_status = true;
		call->code = rpc_code_parse(v, len);
	} else if (is(name, name_len, "grpc-message")) {
		rpc_percent_decode(text, sizeof(text), v, len);
		free(call->text);
		call->text = strdup(text);
	} else if (is(name, name_len, "grpc-status-details-bin") && !call->details) {
		uint8_t *p = malloc(len / 4 * 3 + 3);
		const ssize_t n = p ? rpc_base64_decode(p, v, len) : -ENOMEM;

		if (n > 0) {
			call->details = p;
			call->details_len = (size_t)n;
		} else {
			free(p);
		}
	}
}

static void client_headers(struct rpc_call *call, bool end_stream)
{
	char text[64];

	if (call->headers_too_long) {
		client_end(call, RPC_RESOURCE_EXHAUSTED,
			"the answer's header list is longer than the limit", NGHTTP2_CANCEL);
		return;
	}
	if (call->headers_seen)
		return; /* trailers */
	if (call->http_status >= 100 && call->http_status < 200)
		return; /* the real one follows */
	call->headers_seen = true;
	if (call->http_status != 200) {
		snprintf(text, sizeof(text), "HTTP status %d", call->http_status);
		client_end(call, rpc_code_from_http(call->http_status), text, NGHTTP2_CANCEL);
	} else if (!call->is_grpc) {
		client_end(call, RPC_UNKNOWN, "the answer is not gRPC", NGHTTP2_CANCEL);
	}
}

static void client_message(struct rpc_call *call, ProtobufCMessage *message)
{
	if (call->unary_done) {
		if (!call->message) {
			call->message = message;
			return;
		}
		protobuf_c_message_free_unpacked(message, NULL);
		client_end(call, RPC_INTERNAL, "more than one response", NGHTTP2_CANCEL);
		return;
	}
	if (call->events && call->events->message)
		call->events->message(call, message);
	protobuf_c_message_free_unpacked(message, NULL);
}

static void client_remote_end(struct rpc_call *call)
{
	/* A server may answer before it has read everything. */
	const int reset = call->end_sent ? -1 : NGHTTP2_CANCEL;

	if (!call->has_status)
		client_end(call, RPC_UNKNOWN, "the server has sent no status", reset);
	else
		rpc_call_end(call, reset);
}

static void client_reject(struct rpc_call *call, enum rpc_code code, const char *why)
{
	client_end(call, code, why, NGHTTP2_CANCEL);
}

static void client_closed(struct rpc_call *call, uint32_t error_code)
{
	char text[96];

	/* After the trailers a reset only says that the rest of ours isn't wanted. */
	if (call->remote_end && call->has_status) {
		call->gone = true;
		if (call->remote_end_told)
			rpc_call_end(call, -1);
		/* Else the call is paused, and lives until what it holds is delivered. */
		return;
	}
	snprintf(text, sizeof(text), "the server reset the call: %s",
		nghttp2_http2_strerror(error_code));
	client_end(call, rpc_code_from_h2(error_code), text, -1);
}

static int client_last_data(struct rpc_call *call, uint32_t *flags)
{
	*flags |= NGHTTP2_DATA_FLAG_EOF;
	call->end_sent = true;
	return 0;
}

static void client_writable(struct rpc_call *call)
{
	if (call->events && call->events->writable)
		call->events->writable(call);
}

static void client_done(struct rpc_call *call, const struct rpc_status *status)
{
	const struct rpc_status none = {
		.code = RPC_INTERNAL, .message = "the server has sent no response"};

	if (call->unary_done)
		call->unary_done(call->data,
			status->code == RPC_OK && !call->message ? &none : status,
			status->code == RPC_OK ? call->message : NULL);
	else if (call->events)
		call->events->done(call, status);
}

static const struct call_ops client_call_ops = {
	.header = client_header,
	.headers = client_headers,
	.message = client_message,
	.remote_end = client_remote_end,
	.reject = client_reject,
	.wake = rpc_call_wake,
	.last_data = client_last_data,
	.closed = client_closed,
	.writable = client_writable,
	.done = client_done,
};

/* ---- starting ---- */

static void on_deadline(void *arg)
{
	client_end(arg, RPC_DEADLINE_EXCEEDED, "deadline exceeded", NGHTTP2_CANCEL);
}

static struct rpc_call *start(struct rpc_client *client, const char *path,
	const ProtobufCMessageDescriptor *answer, uint64_t timeout_ms)
{
	const nghttp2_data_provider source = rpc_h2_data_provider();
	struct rpc_conn *c = client->conn;
	struct rpc_call *call;
	nghttp2_nv list[8];
	char timeout[16];
	size_t n = 0;
	int32_t stream;

	if (!c || c->closing || c->goaway) {
		errno = ENOTCONN;
		return NULL;
	}
	if (c->call_count >= client->limits.streams) {
		errno = EAGAIN;
		return NULL;
	}
	call = rpc_call_new(c, &client_call_ops, -1);
	if (!call) {
		errno = ENOMEM;
		return NULL;
	}
	snprintf(call->path, sizeof(call->path), "%s", path);
	call->input = answer;
	if (timeout_ms && rpc_call_set_deadline(call, timeout_ms, on_deadline) < 0)
		goto no_memory;
	list[n++] = nv(":method", "POST");
	list[n++] = nv(":scheme", "https");
	list[n++] = nv(":path", call->path);
	list[n++] = nv(":authority", c->authority);
	list[n++] = nv("te", "trailers");
	if (timeout_ms) {
		rpc_timeout_format(timeout, timeout_ms);
		list[n++] = nv("grpc-timeout", timeout);
	}
	list[n++] = nv("content-type", "application/grpc");
	list[n++] = nv("user-agent", "audums/" AUDUMS_VERSION);
	stream = nghttp2_submit_request(c->session, NULL, list, n, &source, call);
	if (stream == NGHTTP2_ERR_STREAM_ID_NOT_AVAILABLE) {
		/* 2^30 calls: a new connection has numbers again. */
		rpc_conn_close(c, FAULT_NONE, "stream numbers are used up");
		errno = ENOTCONN;
		goto fail;
	}
	if (stream < 0)
		goto no_memory;
	call->stream = stream;
	call->headers_sent = true;
	rpc_conn_schedule(c);
	return call;
no_memory:
	errno = ENOMEM;
fail:
	rpc_call_free(call);
	return NULL;
}

struct rpc_call *rpc_call_start(struct rpc_client *client, const char *path,
	const ProtobufCMessageDescriptor *output, uint64_t timeout_ms,
	const struct rpc_call_events *events, void *data)
{
	struct rpc_call *call = start(client, path, output, timeout_ms);

	if (call) {
		call->events = events;
		call->data = data;
	}
	return call;
}

int rpc_call_half_close(struct rpc_call *call)
{
	if (call->over || call->finishing)
		return -EPIPE;
	call->finishing = true;
	rpc_call_wake(call);
	return 0;
}

void rpc_call_cancel(struct rpc_call *call)
{
	if (call->conn->server) {
		if (call->over)
			return;
		rpc_call_set_status(call, RPC_CANCELLED, "cancelled by the server");
		rpc_call_end(call, NGHTTP2_CANCEL);
		return;
	}
	client_end(call, RPC_CANCELLED, "cancelled", NGHTTP2_CANCEL);
}

/* ---- unary ---- */

/* HTTP/2 knows the call already: end it without telling anybody. */
static void abandon(struct rpc_call *call)
{
	call->unary_done = NULL;
	call->events = NULL;
	rpc_call_cancel(call);
}

struct rpc_call *rpc_unary(struct rpc_client *client, const char *path,
	const ProtobufCMessage *request, const ProtobufCMessageDescriptor *output,
	uint64_t timeout_ms,
	void (*done)(void *arg, const struct rpc_status *status, const ProtobufCMessage *response),
	void *arg)
{
	struct rpc_call *call = start(client, path, output, timeout_ms);
	int ret;

	if (!call)
		return NULL;
	ret = rpc_call_queue(call, request);
	if (ret < 0) {
		abandon(call);
		errno = -ret;
		return NULL;
	}
	call->unary_done = done;
	call->data = arg;
	rpc_call_half_close(call);
	return call;
}

/* ---- synchronous ---- */

struct sync {
	bool answered;
	struct rpc_result *result;
};

static void set_result(struct rpc_result *r, enum rpc_code code, const char *message)
{
	r->status.code = code;
	free(r->message_mem);
	r->message_mem = strdup(message);
	r->status.message = r->message_mem ? r->message_mem : "";
}

/* A copy of the response: by way of its serialised form, which is simple and seldom. */
static ProtobufCMessage *copy_message(const ProtobufCMessage *m)
{
	const size_t len = protobuf_c_message_get_packed_size(m);
	uint8_t *p = malloc(len + 1);
	ProtobufCMessage *out = NULL;

	if (p) {
		protobuf_c_message_pack(m, p);
		out = protobuf_c_message_unpack(m->descriptor, NULL, len, p);
	}
	free(p);
	return out;
}

static void on_sync_done(
	void *arg, const struct rpc_status *status, const ProtobufCMessage *response)
{
	struct sync *sync = arg;
	struct rpc_result *r = sync->result;

	sync->answered = true;
	set_result(r, status->code, status->message);
	if (status->details) {
		r->details_mem = malloc(status->details_len + 1);
		if (r->details_mem) {
			memcpy(r->details_mem, status->details, status->details_len);
			r->status.details = r->details_mem;
			r->status.details_len = status->details_len;
		}
	}
	if (response) {
		r->response = copy_message(response);
		if (!r->response)
			set_result(r, RPC_RESOURCE_EXHAUSTED, "out of memory");
	}
}

enum rpc_code rpc_call_sync(struct rpc_client *client, const char *path,
	const ProtobufCMessage *request, const ProtobufCMessageDescriptor *output,
	uint64_t timeout_ms, struct rpc_result *result)
{
	struct sync sync = {.result = result};
	struct rpc_error error;
	struct rpc_call *call;

	*result = (struct rpc_result){.status.message = ""};
	if (rpc_client_state(client) == RPC_CLIENT_IDLE && rpc_client_connect(client, &error) < 0) {
		set_result(result, RPC_UNAVAILABLE, error.text);
		return result->status.code;
	}
	call = rpc_unary(client, path, request, output, timeout_ms, on_sync_done, &sync);
	if (!call) {
		const int err = errno;

		set_result(result,
			err == EMSGSIZE || err == ENOMEM ? RPC_RESOURCE_EXHAUSTED : RPC_UNAVAILABLE,
			strerror(err));
		return result->status.code;
	}
	while (!sync.answered) {
		const int ret = loop_turn(client->loop, -1);

		if (ret < 0) {
			abandon(call);
			set_result(result, RPC_INTERNAL, strerror(-ret));
			break;
		}
	}
	return result->status.code;
}

void rpc_result_clear(struct rpc_result *result)
{
	if (result->response)
		protobuf_c_message_free_unpacked(result->response, NULL);
	free(result->message_mem);
	free(result->details_mem);
	*result = (struct rpc_result){.status.message = ""};
}
