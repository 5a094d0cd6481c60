/*
 * A connection: descriptor, TLS, reading and writing, keepalive, and its end; see rpc_internal.h.
 *
 * Invariants: c->out never holds more than OUT_HIGH_BYTES and a frame, HTTP/2 is asked for more
 * only below; a connection that is closing is taken down by its task, never inside a callback of
 * nghttp2; the timer always runs, so that a silent peer is noticed in every phase.
 */
#include <errno.h>
#include <openssl/err.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "controller/rpc/rpc_internal.h"

#define OUT_HIGH_BYTES 65536
#define READ_BYTES     16384 /* one TLS record */
#define READS_A_TURN   16    /* then others are served */

static void conn_io(void *arg, int fd, unsigned int ready);
static void conn_task(void *arg);
static void conn_timer(void *arg);
static void conn_read(struct rpc_conn *c);

struct rpc_conn *rpc_conn_new(struct loop *loop, struct rpc_tls *tls,
	const struct rpc_limits *limits, bool server, const struct conn_ops *ops, void *owner)
{
	struct rpc_conn *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->loop = loop;
	c->tls = tls;
	c->limits = limits;
	c->ops = ops;
	c->owner = owner;
	c->server = server;
	c->fd = -1;
	c->phase = server ? CONN_HANDSHAKE : CONN_CONNECTING;
	TAILQ_INIT(&c->calls);
	TAILQ_INIT(&c->work);
	c->flood_ms = loop_now_ms();
	c->task = loop_task_new(loop, conn_task, c);
	c->timer = loop_timer_new(loop, conn_timer, c);
	if (!c->task || !c->timer || rpc_h2_session_new(c) < 0) {
		rpc_conn_free(c);
		return NULL;
	}
	loop_timer_arm(c->timer, limits->handshake_timeout_ms, 0);
	return c;
}

static void conn_detach(struct rpc_conn *c)
{
	loop_fd_remove(c->watch);
	c->watch = NULL;
	SSL_free(c->ssl);
	c->ssl = NULL;
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
}

int rpc_conn_attach(struct rpc_conn *c, int fd)
{
	conn_detach(c);
	c->fd = fd;
	c->ssl = rpc_tls_connection(c->tls, fd, c->server, c->server_name);
	if (!c->ssl)
		return -ENOMEM;
	c->watch = loop_fd_add(c->loop, fd, c->server ? LOOP_IN : LOOP_OUT, conn_io, c);
	return c->watch ? 0 : -errno;
}

void rpc_conn_free(struct rpc_conn *c)
{
	conn_detach(c);
	nghttp2_session_del(c->session);
	loop_task_free(c->task);
	loop_timer_free(c->timer);
	rpc_buf_free(&c->out);
	free(c);
}

void rpc_conn_schedule(struct rpc_conn *c)
{
	if (c->phase != CONN_CLOSED)
		loop_task_schedule(c->task);
}

void rpc_conn_close(struct rpc_conn *c, enum conn_fault fault, const char *fmt, ...)
{
	va_list ap;

	if (c->closing || c->phase == CONN_CLOSED)
		return;
	c->closing = true;
	c->fault = fault;
	va_start(ap, fmt);
	vsnprintf(c->reason, sizeof(c->reason), fmt, ap);
	va_end(ap);
	rpc_conn_schedule(c);
}

/* ---- writing ---- */

/* Returns false when the peer takes no more now, or the connection is closing. */
static bool out_write(struct rpc_conn *c)
{
	while (c->out.len > 0) {
		const size_t n = c->out.len < READ_BYTES ? c->out.len : READ_BYTES;
		char why[REASON_SIZE];
		int ret, err;

		ERR_clear_error();
		errno = 0;
		ret = SSL_write(c->ssl, rpc_buf_head(&c->out), (int)n);
		err = errno;
		if (ret > 0) {
			rpc_buf_consume(&c->out, (size_t)ret);
			continue;
		}
		switch (SSL_get_error(c->ssl, ret)) {
		case SSL_ERROR_WANT_READ:
		case SSL_ERROR_WANT_WRITE:
			break;
		default:
			/* What the peer said before it closed (an alert) tells more. */
			rpc_tls_failure(c->ssl, ret, err, why, sizeof(why));
			conn_read(c);
			rpc_conn_close(c, FAULT_NONE, "%s", why);
		}
		return false;
	}
	return true;
}

/* Take frames from HTTP/2 up to the bound. Returns false when the connection is to be closed. */
static bool out_fill(struct rpc_conn *c)
{
	while (c->out.len < OUT_HIGH_BYTES) {
		const uint8_t *p;
		const ssize_t n = nghttp2_session_mem_send(c->session, &p);

		if (n == 0)
			return true;
		if (n < 0 || rpc_buf_append(&c->out, p, (size_t)n) < 0) {
			rpc_conn_close(c, FAULT_NONE, "HTTP/2: %s",
				n < 0 ? nghttp2_strerror((int)n) : "out of memory");
			return false;
		}
	}
	return true;
}

static void pump(struct rpc_conn *c)
{
	bool blocked = false;

	if (c->phase != CONN_SETTINGS && c->phase != CONN_OPEN)
		return;
	while (!blocked) {
		if (!out_fill(c))
			return;
		if (c->out.len == 0)
			break;
		blocked = !out_write(c);
		if (c->closing)
			return;
	}
	loop_fd_set(c->watch, LOOP_IN | (blocked ? LOOP_OUT : 0u));
	if (!nghttp2_session_want_read(c->session) && !nghttp2_session_want_write(c->session) &&
		c->out.len == 0)
		rpc_conn_close(c, FAULT_NONE, "%s",
			!c->goaway ? "HTTP/2: protocol error"
			: c->goaway_code == NGHTTP2_NO_ERROR
				? "the peer has ended the connection"
				: nghttp2_http2_strerror(c->goaway_code));
}

/* ---- reading ---- */

/* The next moment to look: when a PING is due, or when the one that was sent must be answered. */
static void keepalive_arm(struct rpc_conn *c)
{
	const uint64_t silent_ms = loop_now_ms() - c->last_rx_ms;
	const uint64_t next = c->pinged ? c->limits->keepalive_timeout_ms : c->limits->keepalive_ms;

	loop_timer_arm(c->timer, next > silent_ms ? next - silent_ms : 1, 0);
}

static void conn_read(struct rpc_conn *c)
{
	uint8_t mem[READ_BYTES];

	for (int i = 0; i < READS_A_TURN && !c->closing; i++) {
		char why[REASON_SIZE];
		ssize_t taken;
		int n, err;

		ERR_clear_error();
		errno = 0;
		n = SSL_read(c->ssl, mem, sizeof(mem));
		err = errno;
		if (n <= 0) {
			const int kind = SSL_get_error(c->ssl, n);

			if (kind == SSL_ERROR_WANT_READ || kind == SSL_ERROR_WANT_WRITE)
				return;
			rpc_tls_failure(c->ssl, n, err, why, sizeof(why));
			rpc_conn_close(c, FAULT_NONE, "%s", why);
			return;
		}
		c->last_rx_ms = loop_now_ms();
		if (c->pinged) {
			c->pinged = false;
			keepalive_arm(c);
		}
		taken = nghttp2_session_mem_recv(c->session, mem, (size_t)n);
		if (taken < 0)
			rpc_conn_close(c, taken == NGHTTP2_ERR_FLOODED ? FAULT_FLOOD : FAULT_NONE,
				"HTTP/2: %s", nghttp2_strerror((int)taken));
	}
	/* A TLS record that SSL_read() has split would not wake epoll. */
	if (!c->closing && SSL_pending(c->ssl) > 0)
		rpc_conn_schedule(c);
}

static void handshake(struct rpc_conn *c)
{
	char why[REASON_SIZE];
	int ret, err;

	ERR_clear_error();
	errno = 0;
	ret = SSL_do_handshake(c->ssl);
	err = errno;
	if (ret <= 0) {
		switch (SSL_get_error(c->ssl, ret)) {
		case SSL_ERROR_WANT_READ:
			loop_fd_set(c->watch, LOOP_IN);
			return;
		case SSL_ERROR_WANT_WRITE:
			loop_fd_set(c->watch, LOOP_IN | LOOP_OUT);
			return;
		default:
			rpc_tls_failure(c->ssl, ret, err, why, sizeof(why));
			rpc_conn_close(c, FAULT_HANDSHAKE, "%s", why);
			return;
		}
	}
	if (!rpc_tls_is_h2(c->ssl)) {
		rpc_conn_close(c, FAULT_HANDSHAKE, "the peer doesn't speak HTTP/2 (no ALPN)");
		return;
	}
	if (!rpc_tls_peer_identity(c->ssl, c->peer)) {
		rpc_conn_close(
			c, FAULT_HANDSHAKE, "the peer's certificate has a malformed URI name");
		return;
	}
	if (c->ops->verified && !c->ops->verified(c)) {
		char reason[REASON_SIZE];

		memcpy(reason, c->reason, sizeof(reason));
		rpc_conn_close(c, FAULT_HANDSHAKE, "%s", reason);
		return;
	}
	c->verified = true;
	c->phase = CONN_SETTINGS;
	c->last_rx_ms = loop_now_ms();
	loop_fd_set(c->watch, LOOP_IN);
	rpc_conn_schedule(c);
}

static void conn_io(void *arg, int fd, unsigned int ready)
{
	struct rpc_conn *c = arg;

	if (c->closing)
		return;
	if (c->phase == CONN_CONNECTING) {
		socklen_t len = sizeof(int);
		int err = 0;

		if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
			err = errno;
		if (err) {
			if (!c->ops->connect_failed || !c->ops->connect_failed(c, err))
				rpc_conn_close(c, FAULT_NONE, "cannot connect to %s: %s",
					c->address, strerror(err));
			return;
		}
		c->phase = CONN_HANDSHAKE;
	}
	if (c->phase == CONN_HANDSHAKE) {
		handshake(c);
		if (c->closing || c->phase == CONN_HANDSHAKE)
			return;
	}
	if (ready & (LOOP_IN | LOOP_HUP))
		conn_read(c);
	rpc_conn_schedule(c);
}

/* ---- keepalive ---- */

static void conn_timer(void *arg)
{
	struct rpc_conn *c = arg;
	uint64_t silent_ms;

	if (c->closing)
		return;
	if (c->phase != CONN_OPEN) {
		rpc_conn_close(c, FAULT_HANDSHAKE, "no %s with %s within %u ms",
			c->phase == CONN_CONNECTING ? "connection" : "TLS and HTTP/2 handshake",
			c->address, c->limits->handshake_timeout_ms);
		return;
	}
	silent_ms = loop_now_ms() - c->last_rx_ms;
	if (silent_ms >= c->limits->keepalive_timeout_ms) {
		/* If it was we who slept, its octets are waiting in the socket. */
		conn_read(c);
		if (c->closing)
			return;
		silent_ms = loop_now_ms() - c->last_rx_ms;
		if (silent_ms >= c->limits->keepalive_timeout_ms) {
			rpc_conn_close(c, FAULT_DEAD, "the peer was silent for %u ms",
				(unsigned int)silent_ms);
			return;
		}
	}
	if (silent_ms >= c->limits->keepalive_ms && !c->pinged) {
		nghttp2_submit_ping(c->session, NGHTTP2_FLAG_NONE, NULL);
		c->pinged = true;
		rpc_conn_schedule(c);
	}
	keepalive_arm(c);
}

void rpc_conn_settings_received(struct rpc_conn *c)
{
	if (c->phase != CONN_SETTINGS)
		return;
	c->phase = CONN_OPEN;
	keepalive_arm(c);
	if (c->ops->ready)
		c->ops->ready(c);
}

bool rpc_conn_flood_check(struct rpc_conn *c)
{
	const uint64_t now = loop_now_ms();
	const uint64_t rate = c->limits->floods_per_s;
	const uint64_t drained = (now - c->flood_ms) * rate / 1000;

	/* A leaky bucket that holds five seconds' worth. */
	if (drained > 0) {
		c->flood_level = c->flood_level > drained ? c->flood_level - drained : 0;
		c->flood_ms = now;
	}
	if (++c->flood_level <= 5 * rate)
		return true;
	rpc_conn_close(c, FAULT_FLOOD, "flood of HTTP/2 control frames");
	return false;
}

void rpc_conn_drain(struct rpc_conn *c)
{
	if (c->draining || c->closing)
		return;
	c->draining = true;
	if (c->phase != CONN_OPEN) {
		rpc_conn_close(c, FAULT_NONE, "shutting down");
		return;
	}
	/* The answer to the PING says that calls the peer started before it saw the notice are
	 * here. */
	nghttp2_submit_shutdown_notice(c->session);
	nghttp2_submit_ping(c->session, NGHTTP2_FLAG_NONE, (const uint8_t *)"drain...");
	rpc_conn_schedule(c);
}

/* ---- the task and the end ---- */

static void conn_task(void *arg)
{
	struct rpc_conn *c = arg;

	if (!c->closing && (c->phase == CONN_OPEN || c->phase == CONN_SETTINGS) &&
		SSL_pending(c->ssl) > 0)
		conn_read(c);
	rpc_calls_work(c);
	if (!c->closing)
		pump(c);
	if (c->closing)
		rpc_conn_teardown(c);
	else if (!TAILQ_EMPTY(&c->work))
		rpc_conn_schedule(c);
}

void rpc_conn_teardown(struct rpc_conn *c)
{
	struct rpc_call *call;

	if (c->phase == CONN_CLOSED)
		return;
	c->closing = true;
	if (c->phase == CONN_SETTINGS || c->phase == CONN_OPEN) {
		/* Say good-bye as far as it can be written at once. */
		if (c->fault != FAULT_DEAD && c->reason[0] == '\0')
			nghttp2_session_terminate_session(c->session, NGHTTP2_NO_ERROR);
		else if (c->fault == FAULT_FLOOD)
			nghttp2_session_terminate_session(c->session, NGHTTP2_ENHANCE_YOUR_CALM);
		if (out_fill(c) && out_write(c))
			SSL_shutdown(c->ssl);
		ERR_clear_error();
	}
	c->phase = CONN_CLOSED;
	loop_task_cancel(c->task);
	loop_timer_disarm(c->timer);
	conn_detach(c);
	TAILQ_FOREACH (call, &c->calls, entry) {
		if (call->over)
			continue;
		if (c->quiet)
			rpc_call_set_status(call, RPC_CANCELLED, "the connection was closed");
		else
			rpc_call_set_status(call, RPC_UNAVAILABLE, c->reason);
		rpc_call_end(call, -1);
	}
	rpc_calls_work(c);
	c->ops->closed(c);
}

void rpc_limits_fill(struct rpc_limits *out, const struct rpc_limits *in, bool server)
{
	const struct rpc_limits none = {0};
	const struct rpc_limits *l = in ? in : &none;

	*out = (struct rpc_limits){
		.message_bytes = l->message_bytes ? l->message_bytes : 4u << 20,
		.header_bytes = l->header_bytes ? l->header_bytes : 64u << 10,
		.send_queue_bytes = l->send_queue_bytes ? l->send_queue_bytes : 1u << 20,
		.connection_bytes = l->connection_bytes ? l->connection_bytes : 16u << 20,
		.streams = l->streams ? l->streams : 256,
		.connections = l->connections ? l->connections : 1024,
		.handshakes = l->handshakes ? l->handshakes : 64,
		.handshake_timeout_ms = l->handshake_timeout_ms ? l->handshake_timeout_ms : 5000,
		.keepalive_ms = l->keepalive_ms ? l->keepalive_ms
				: server        ? 2000
						: 1000,
		.keepalive_timeout_ms = l->keepalive_timeout_ms ? l->keepalive_timeout_ms
					: server                ? 6000
								: 3000,
		.floods_per_s = l->floods_per_s ? l->floods_per_s : 200,
	};
	if (out->message_bytes > SEND_MESSAGE_MAX)
		out->message_bytes = SEND_MESSAGE_MAX;
	if (out->keepalive_timeout_ms <= out->keepalive_ms)
		out->keepalive_timeout_ms = out->keepalive_ms + 1;
}
