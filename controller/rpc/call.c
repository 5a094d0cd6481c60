/*
 * A call, what both sides have in common: the queue of what is sent, delivery of what is received,
 * the end; see rpc_internal.h.
 *
 * Invariants: a call is in c->calls from rpc_call_new() to rpc_call_free(); it is freed by
 * rpc_calls_work() only, after `done`; conn->buffered is the sum of what its calls hold of received
 * octets.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "controller/rpc/rpc_internal.h"

struct rpc_call *rpc_call_new(struct rpc_conn *c, const struct call_ops *ops, int32_t stream)
{
	struct rpc_call *call = calloc(1, sizeof(*call));

	if (!call)
		return NULL;
	call->conn = c;
	call->ops = ops;
	call->stream = stream;
	call->deadline_ms = UINT64_MAX;
	TAILQ_INSERT_TAIL(&c->calls, call, entry);
	c->call_count++;
	if (c->stats)
		c->stats->calls++;
	return call;
}

void rpc_call_free(struct rpc_call *call)
{
	struct rpc_conn *c = call->conn;

	TAILQ_REMOVE(&c->calls, call, entry);
	if (call->work)
		TAILQ_REMOVE(&c->work, call, work_entry);
	c->call_count--;
	c->buffered -= call->accounted;
	if (c->stats) {
		c->stats->calls--;
		c->stats->ended[call->code]++;
	}
	loop_timer_free(call->deadline);
	if (call->message)
		protobuf_c_message_free_unpacked(call->message, NULL);
	rpc_buf_free(&call->out);
	rpc_buf_free(&call->held);
	rpc_frame_reader_clear(&call->in);
	free(call->text);
	free(call->details);
	free(call);
}

/* ---- scheduling and the end ---- */

void rpc_call_add_work(struct rpc_call *call, unsigned int bits)
{
	if (!call->work)
		TAILQ_INSERT_TAIL(&call->conn->work, call, work_entry);
	call->work |= bits;
	rpc_conn_schedule(call->conn);
}

void rpc_call_set_status(struct rpc_call *call, enum rpc_code code, const char *text)
{
	call->code = (unsigned int)code < RPC_CODES ? code : RPC_UNKNOWN;
	free(call->text);
	call->text = text && text[0] ? strdup(text) : NULL; /* without memory: no text */
}

void rpc_call_end(struct rpc_call *call, int error_code)
{
	nghttp2_session *session = call->conn->session;

	if (call->over)
		return;
	call->over = true;
	nghttp2_session_set_stream_user_data(session, call->stream, NULL);
	if (error_code >= 0 && !call->gone)
		nghttp2_submit_rst_stream(
			session, NGHTTP2_FLAG_NONE, call->stream, (uint32_t)error_code);
	rpc_buf_free(&call->out);
	rpc_buf_free(&call->held);
	if (call->deadline)
		loop_timer_disarm(call->deadline);
	rpc_call_add_work(call, WORK_END);
}

static void call_done(struct rpc_call *call)
{
	const struct rpc_status status = {
		.code = call->code,
		.message = call->text ? call->text : "",
		.details = call->details,
		.details_len = call->details_len,
	};

	call->ops->done(call, &status);
	rpc_call_free(call);
}

static void call_deliver_held(struct rpc_call *call);

void rpc_calls_work(struct rpc_conn *c)
{
	struct rpc_call *call;

	while ((call = TAILQ_FIRST(&c->work))) {
		const unsigned int work = call->work;

		TAILQ_REMOVE(&c->work, call, work_entry);
		call->work = 0;
		if (work & WORK_END) {
			call_done(call);
			continue;
		}
		if (work & WORK_RESUME)
			call_deliver_held(call);
		if ((work & WORK_WRITABLE) && !call->over && !call->finishing)
			call->ops->writable(call);
	}
}

int rpc_call_set_deadline(struct rpc_call *call, uint64_t ms, void (*cb)(void *arg))
{
	const uint64_t now = loop_now_ms();

	call->deadline = loop_timer_new(call->conn->loop, cb, call);
	if (!call->deadline)
		return -ENOMEM;
	call->deadline_ms = ms > UINT64_MAX - 1 - now ? UINT64_MAX - 1 : now + ms;
	loop_timer_arm(call->deadline, ms, 0);
	return 0;
}

/* ---- sending ---- */

void rpc_call_wake(struct rpc_call *call)
{
	if (call->over)
		return;
	if (call->deferred) {
		call->deferred = false;
		nghttp2_session_resume_data(call->conn->session, call->stream);
	}
	rpc_conn_schedule(call->conn);
}

static int queue_packed(struct rpc_call *call, const ProtobufCMessage *message, size_t len)
{
	uint8_t *at = rpc_buf_reserve(&call->out, FRAME_HEAD_BYTES + len);

	if (!at)
		return -ENOMEM;
	rpc_frame_head(at, (uint32_t)len);
	protobuf_c_message_pack(message, at + FRAME_HEAD_BYTES);
	rpc_buf_commit(&call->out, FRAME_HEAD_BYTES + len);
	return 0;
}

static int check_send(
	const struct rpc_call *call, const ProtobufCMessage *message, size_t *packed_len)
{
	if (call->over || call->finishing)
		return -EPIPE;
	if (call->output && message->descriptor != call->output)
		return -EINVAL;
	*packed_len = protobuf_c_message_get_packed_size(message);
	return *packed_len > SEND_MESSAGE_MAX ? -EMSGSIZE : 0;
}

int rpc_call_queue(struct rpc_call *call, const ProtobufCMessage *message)
{
	size_t len;
	int ret = check_send(call, message, &len);

	if (ret == 0)
		ret = queue_packed(call, message, len);
	return ret;
}

int rpc_send(struct rpc_call *call, const ProtobufCMessage *message)
{
	size_t len;
	int ret = check_send(call, message, &len);

	if (ret < 0)
		return ret;
	if (call->out.len > 0 &&
		call->out.len + FRAME_HEAD_BYTES + len > call->conn->limits->send_queue_bytes) {
		call->want_writable = true;
		return -EAGAIN;
	}
	ret = queue_packed(call, message, len);
	if (ret < 0)
		return ret;
	call->ops->wake(call);
	return 0;
}

ssize_t rpc_call_read(struct rpc_call *call, uint8_t *p, size_t len, uint32_t *flags)
{
	const size_t n = call->out.len < len ? call->out.len : len;

	if (n > 0) {
		memcpy(p, rpc_buf_head(&call->out), n);
		rpc_buf_consume(&call->out, n);
	}
	if (call->want_writable && call->out.len <= call->conn->limits->send_queue_bytes / 2) {
		call->want_writable = false;
		rpc_call_add_work(call, WORK_WRITABLE);
	}
	if (call->out.len == 0 && call->finishing) {
		const int ret = call->ops->last_data(call, flags);

		return ret < 0 ? ret : (ssize_t)n;
	}
	if (n == 0) {
		call->deferred = true;
		return NGHTTP2_ERR_DEFERRED;
	}
	return (ssize_t)n;
}

size_t rpc_call_queued(const struct rpc_call *call)
{
	return call->out.len;
}

/* ---- receiving ---- */

/*
 * Two octets can stand for a message of some hundred in memory (an empty element of a repeated
 * field), so what one message may unpack to is bounded too.
 */
struct unpack_budget {
	size_t left;
	bool exceeded;
};

static void *budget_alloc(void *arg, size_t size)
{
	struct unpack_budget *b = arg;

	if (size + 16 > b->left) {
		b->exceeded = true;
		return NULL;
	}
	b->left -= size + 16;
	return malloc(size);
}

static void budget_free(void *arg, void *p)
{
	free(p);
}

static ProtobufCMessage *unpack(struct rpc_call *call, const uint8_t *p, size_t len)
{
	struct unpack_budget budget = {.left = 8 * call->conn->limits->message_bytes + 65536};
	ProtobufCAllocator allocator = {
		.alloc = budget_alloc, .free = budget_free, .allocator_data = &budget};
	ProtobufCMessage *m = protobuf_c_message_unpack(call->input, &allocator, len, p);

	if (!m)
		call->ops->reject(call,
			budget.exceeded      ? RPC_RESOURCE_EXHAUSTED
			: call->conn->server ? RPC_INVALID_ARGUMENT
					     : RPC_INTERNAL,
			budget.exceeded ? "the message unpacks to too much memory"
					: "malformed protobuf message");
	return m;
}

static void call_account(struct rpc_call *call)
{
	struct rpc_conn *c = call->conn;
	const size_t held = call->in.body.len + call->held.len;

	c->buffered = c->buffered - call->accounted + held;
	call->accounted = held;
	if (c->buffered > c->limits->connection_bytes && held > 0 && !call->deaf && !call->over)
		call->ops->reject(call, RPC_RESOURCE_EXHAUSTED,
			"too much is being received on this connection at once");
}

static void reject_frame(struct rpc_call *call, enum frame_result result)
{
	switch (result) {
	case FRAME_TOO_LONG:
		call->ops->reject(call, RPC_RESOURCE_EXHAUSTED, "message longer than the limit");
		break;
	case FRAME_COMPRESSED:
		call->ops->reject(call, call->encoded ? RPC_UNIMPLEMENTED : RPC_INTERNAL,
			"compressed messages are not supported");
		break;
	case FRAME_NO_MEMORY:
		call->ops->reject(call, RPC_RESOURCE_EXHAUSTED, "out of memory");
		break;
	default:
		call->ops->reject(call, RPC_INTERNAL, "malformed message frame");
		break;
	}
}

/* Deliver messages until the octets are used up or the call doesn't want any. Returns how many
 * octets were taken. */
static size_t deliver(struct rpc_call *call, const uint8_t *p, size_t n)
{
	const uint8_t *const start = p;

	while (n > 0 && !call->paused && !call->deaf && !call->over && !call->conn->closing) {
		ProtobufCMessage *m;
		const uint8_t *message;
		size_t len;
		const enum frame_result result = rpc_frame_read(
			&call->in, &p, &n, call->conn->limits->message_bytes, &message, &len);

		if (result == FRAME_MORE)
			break;
		if (result != FRAME_MESSAGE) {
			reject_frame(call, result);
			break;
		}
		m = unpack(call, message, len);
		rpc_frame_reader_release(&call->in);
		if (!m)
			break;
		call->ops->message(call, m);
	}
	return (size_t)(p - start);
}

static void maybe_remote_end(struct rpc_call *call)
{
	if (!call->remote_end || call->remote_end_told || call->paused || call->held.len > 0 ||
		call->deaf || call->over || call->conn->closing)
		return;
	call->remote_end_told = true;
	if (!rpc_frame_reader_idle(&call->in))
		call->ops->reject(call, RPC_INTERNAL, "the stream ended within a message");
	else
		call->ops->remote_end(call);
}

void rpc_call_receive(struct rpc_call *call, const uint8_t *p, size_t n)
{
	size_t taken = 0;

	if (call->deaf || call->over || call->conn->closing)
		return;
	if (call->held.len == 0)
		taken = deliver(call, p, n);
	if (call->deaf || call->over)
		return;
	if (taken > 0)
		nghttp2_session_consume_stream(call->conn->session, call->stream, taken);
	/* The window bounds what can be held. */
	if (taken < n && rpc_buf_append(&call->held, p + taken, n - taken) < 0)
		call->ops->reject(call, RPC_RESOURCE_EXHAUSTED, "out of memory");
	call_account(call);
}

static void call_deliver_held(struct rpc_call *call)
{
	size_t taken;

	if (call->held.len > 0 && !call->over) {
		taken = deliver(call, rpc_buf_head(&call->held), call->held.len);
		if (!call->over) {
			rpc_buf_consume(&call->held, taken);
			nghttp2_session_consume_stream(call->conn->session, call->stream, taken);
			call_account(call);
		}
	}
	maybe_remote_end(call);
}

void rpc_call_remote_end(struct rpc_call *call)
{
	call->remote_end = true;
	maybe_remote_end(call);
}

void rpc_call_pause(struct rpc_call *call)
{
	call->paused = true;
}

void rpc_call_resume(struct rpc_call *call)
{
	if (!call->paused)
		return;
	call->paused = false;
	if (!call->over)
		rpc_call_add_work(call, WORK_RESUME);
}

/* ---- what users ask ---- */

const char *rpc_call_peer(const struct rpc_call *call)
{
	return call->conn->peer;
}

const char *rpc_call_peer_address(const struct rpc_call *call)
{
	return call->conn->address;
}

const char *rpc_call_path(const struct rpc_call *call)
{
	return call->path;
}

void *rpc_call_data(const struct rpc_call *call)
{
	return call->data;
}

void rpc_call_set_data(struct rpc_call *call, void *data)
{
	call->data = data;
}

uint64_t rpc_call_time_left_ms(const struct rpc_call *call)
{
	const uint64_t now = loop_now_ms();

	if (call->deadline_ms == UINT64_MAX)
		return UINT64_MAX;
	return call->deadline_ms > now ? call->deadline_ms - now : 0;
}
