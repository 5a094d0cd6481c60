/*
 * The API's connections: framed requests in, replies out, one at a time. See api.h.
 *
 * A connection is in one of three states: reading a request, writing replies (then it does not
 * read), or waiting for a trace. Whatever goes wrong with it closes it.
 */
#include "dataplane/dpdk_compat.h"

#include "dataplane/api/api.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "audums/v1/dataplane.pb-c.h"
#include "dataplane/api/answer.h"
#include "dataplane/capture.h"
#include "dataplane/dataplane.h"
#include "proto/lib/frame.h"
#include "proto/lib/log.h"

#define REQUEST_MAX            65536
#define TRACE_TIMEOUT_MS       5000
#define TRACE_TIMEOUT_MAX_MS   60000
#define TRACE_RETRY_MS         5
#define CAPTURE_TIMEOUT_MS     10000
#define CAPTURE_TIMEOUT_MAX_MS 3600000
#define CAPTURE_POLL_MS        10    /* the rings are looked at; a worker tells nobody */
#define CAPTURE_SILENT_MS      1000  /* an empty reply, so that who relays them sees life */
#define CAPTURE_LINGER_MS      10000 /* a client that does not read is left after its time */

struct conn {
	struct api *api;
	struct loop_watch watch; /* fd -1: the slot is free */
	struct frame_decoder decoder;
	uint8_t *out;
	size_t out_len, out_at;
	struct answer answer;
	bool more; /* the answer goes on after what is in `out` */
	enum {
		TRACE_NONE,
		TRACE_STARTING, /* waits until the one before is gone from the workers */
		TRACE_RUNNING,
	} trace;
	uint16_t trace_port;
	bool trace_any_mac;
	struct rte_ether_addr trace_mac;
	uint32_t trace_count;
	int64_t trace_until;
	enum {
		CAPTURE_NONE,
		CAPTURE_STARTING, /* waits until the one before is gone from the workers */
		CAPTURE_RUNNING,
	} capture;
	struct capture *capture_session; /* while running */
	struct capture_filter capture_filter;
	uint32_t capture_count;
	bool capture_first; /* no reply was made yet */
	int64_t capture_until, capture_said;
};

struct api {
	struct dataplane *dp;
	struct loop_watch listen;
	struct conn conns[API_CONNECTIONS];
};

static void conn_close(struct conn *c)
{
	const int fd = c->watch.fd;

	if (c->trace == TRACE_RUNNING)
		dataplane_trace_end(c->api->dp);
	c->trace = TRACE_NONE;
	if (c->capture == CAPTURE_RUNNING)
		dataplane_capture_end(c->api->dp);
	c->capture = CAPTURE_NONE;
	loop_remove(&c->api->dp->loop, &c->watch);
	close(fd);
	frame_decoder_free(&c->decoder);
	free(c->out);
	c->out = NULL;
	c->more = false;
}

/* Write what waits, and make more of the answer while the socket takes it. Negative: close. */
static int conn_write(struct conn *c)
{
	int ret;

	while (c->out != NULL) {
		const ssize_t n = send(c->watch.fd, c->out + c->out_at, c->out_len - c->out_at,
			MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0) {
			if (errno == EAGAIN || errno == EINTR)
				return loop_change(&c->api->dp->loop, &c->watch, EPOLLOUT);
			return -errno;
		}
		c->out_at += (size_t)n;
		if (c->out_at < c->out_len)
			continue;
		free(c->out);
		c->out = NULL;
		if (c->more) {
			ret = answer_next(c->api->dp, &c->answer, &c->out, &c->out_len, &c->more);
			if (ret < 0)
				return ret;
			c->out_at = 0;
			/* one reply a call: a large table must not hold up the main thread */
			return loop_change(&c->api->dp->loop, &c->watch, EPOLLOUT);
		}
	}
	return loop_change(&c->api->dp->loop, &c->watch, EPOLLIN);
}

static int conn_error(struct conn *c, const char *text)
{
	int ret = answer_error(text, &c->out, &c->out_len);

	c->out_at = 0;
	c->more = false;
	return ret < 0 ? ret : conn_write(c);
}

static int trace_start(struct conn *c)
{
	struct dataplane *dp = c->api->dp;

	if (dp->trace != NULL)
		return conn_error(c, "another trace is running, try again when it has ended");
	if (dataplane_trace_begin(dp, c->trace_port, c->trace_any_mac ? NULL : &c->trace_mac,
		    c->trace_count) != NULL) {
		c->trace = TRACE_RUNNING;
		return 0;
	}
	if (errno != EBUSY)
		return -errno;
	c->trace = TRACE_STARTING;
	return 0;
}

static int request_trace(struct conn *c, const Audums__V1__TraceRequest *r, int64_t now)
{
	uint32_t timeout = r->timeout_ms != 0 ? r->timeout_ms : TRACE_TIMEOUT_MS;

	c->trace_port = TRACE_ANY_PORT;
	if (r->port != NULL && *r->port != '\0') {
		c->trace_port = port_by_name(&c->api->dp->tables->ports, r->port);
		if (c->trace_port == PORT_NONE)
			return conn_error(c, "no port has this name");
	}
	c->trace_any_mac = r->mac == NULL || *r->mac == '\0';
	if (!c->trace_any_mac && rte_ether_unformat_addr(r->mac, &c->trace_mac) < 0)
		return conn_error(c, "not a MAC address, expected aa:bb:cc:dd:ee:ff");
	if (r->count > TRACE_FRAMES_MAX)
		return conn_error(c, "count is above 64");
	if (timeout > TRACE_TIMEOUT_MAX_MS)
		return conn_error(c, "timeout is above 60000 ms");
	c->trace_count = r->count != 0 ? r->count : 1;
	c->trace_until = now + timeout;
	/* nothing else is read from this client until the trace ends; its leaving is noticed */
	return trace_start(c);
}

static int capture_start(struct conn *c)
{
	struct dataplane *dp = c->api->dp;

	if (dp->capture != NULL)
		return conn_error(c, "another capture is running, try again when it has ended");
	c->capture_session = dataplane_capture_begin(dp, &c->capture_filter, c->capture_count);
	if (c->capture_session != NULL) {
		c->capture = CAPTURE_RUNNING;
		return 0;
	}
	if (errno != EBUSY)
		return -errno;
	c->capture = CAPTURE_STARTING;
	return 0;
}

/* What a direction's name says; -1: it is none. */
static int capture_where(const char *direction, bool drops)
{
	if (*direction == '\0')
		return drops ? 0 : CAPTURE_IN | CAPTURE_OUT;
	if (strcmp(direction, "both") == 0)
		return CAPTURE_IN | CAPTURE_OUT;
	if (strcmp(direction, "in") == 0)
		return CAPTURE_IN;
	return strcmp(direction, "out") == 0 ? CAPTURE_OUT : -1;
}

/* Add a reason, or "any", to the filter. Returns NULL, or what is wrong. */
static const char *capture_drop_add(struct capture_filter *f, const char *name)
{
	const bool any = strcmp(name, "any") == 0;
	bool found = any;

	for (unsigned int i = 0; i < DROP_COUNT; i++)
		if (any || strcmp(name, drop_name(i)) == 0)
			found = f->drops[i] = true;
	if (!found)
		return "no drop reason has this name";
	if (!any && (f->drops[DROP_TX_FULL] || f->drops[DROP_PUNT_TAP_FULL]))
		return "what a port or a TAP does not take is gone when that is known: it cannot be "
		       "captured";
	return NULL;
}

static int request_capture(struct conn *c, const Audums__V1__CaptureRequest *r, int64_t now)
{
	const uint32_t timeout = r->timeout_ms != 0 ? r->timeout_ms : CAPTURE_TIMEOUT_MS;
	struct capture_filter *f = &c->capture_filter;
	const int where = capture_where(r->direction, r->n_drops > 0);

	*f = (struct capture_filter){.port = CAPTURE_ANY_PORT, .vni = r->vni};
	if (*r->port != '\0') {
		f->port = port_by_name(&c->api->dp->tables->ports, r->port);
		if (f->port == PORT_NONE)
			return conn_error(c, "no port has this name");
	}
	if (r->vni > VNI_MAX)
		return conn_error(c, "vni is above 16777215");
	if (where < 0)
		return conn_error(c, "direction is none of in, out and both");
	for (size_t i = 0; i < r->n_drops; i++) {
		const char *wrong = capture_drop_add(f, r->drops[i]);

		if (wrong != NULL)
			return conn_error(c, wrong);
	}
	if (timeout > CAPTURE_TIMEOUT_MAX_MS)
		return conn_error(c, "timeout is above 3600000 ms");
	if (r->snaplen > CAPTURE_SNAP_MAX)
		return conn_error(c, "snaplen is above 16384");
	f->where = (uint8_t)(where | (r->n_drops > 0 ? CAPTURE_DROP : 0));
	f->snaplen = r->snaplen != 0 ? r->snaplen : CAPTURE_SNAP_MAX;
	c->capture_count = r->count != 0 ? r->count : CAPTURE_FOREVER;
	c->capture_first = true;
	c->capture_said = now;
	c->capture_until = now + timeout;
	return capture_start(c);
}

static int request(struct conn *c, const struct frame *frame)
{
	Audums__V1__DataplaneRequest *r =
		audums__v1__dataplane_request__unpack(NULL, frame->len, frame->data);
	int ret;

	if (r == NULL)
		return -EBADMSG;
	if (r->ask_case == AUDUMS__V1__DATAPLANE_REQUEST__ASK_TRACE) {
		ret = request_trace(c, r->trace, loop_now_ms());
	} else if (r->ask_case == AUDUMS__V1__DATAPLANE_REQUEST__ASK_CAPTURE) {
		ret = request_capture(c, r->capture, loop_now_ms());
	} else {
		c->answer = (struct answer){.ask = r->ask_case};
		if (r->ask_case == AUDUMS__V1__DATAPLANE_REQUEST__ASK_FDB)
			c->answer.vni = r->fdb->vni;
		ret = answer_next(c->api->dp, &c->answer, &c->out, &c->out_len, &c->more);
		c->out_at = 0;
		if (ret == 0)
			ret = conn_write(c);
	}
	audums__v1__dataplane_request__free_unpacked(r, NULL);
	return ret;
}

static bool conn_busy(const struct conn *c)
{
	return c->out != NULL || c->trace != TRACE_NONE || c->capture != CAPTURE_NONE;
}

/* Read what has come of one request, no further than its end. Negative: close. */
static int conn_read(struct conn *c)
{
	uint8_t buf[4096];
	struct frame frame;

	while (!conn_busy(c)) {
		size_t want = RTE_MIN(sizeof(buf), frame_decoder_missing(&c->decoder));
		ssize_t n = recv(c->watch.fd, buf, want, MSG_DONTWAIT);
		int ret;

		if (n == 0)
			return -ECONNRESET;
		if (n < 0)
			return errno == EAGAIN || errno == EINTR ? 0 : -errno;
		n = frame_decoder_feed(&c->decoder, buf, (size_t)n, &frame);
		if (n < 0)
			return (int)n;
		if (frame.data == NULL)
			continue;
		ret = request(c, &frame);
		if (ret < 0)
			return ret;
	}
	return 0;
}

static void on_conn(struct loop_watch *watch, uint32_t events)
{
	struct conn *c = watch->arg;
	uint8_t byte;
	int ret;

	if (c->out != NULL) {
		ret = events & (EPOLLERR | EPOLLHUP) ? -ECONNRESET : conn_write(c);
	} else if (conn_busy(c)) {
		/* readable now is either its leaving, or a request before the answer: both end it
		 */
		ret = recv(watch->fd, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN ? 0 : -EPROTO;
	} else {
		ret = conn_read(c);
	}
	if (ret < 0) {
		if (ret != -ECONNRESET && ret != -EPIPE)
			log_info("api_client_closed", "error=%s", strerror(-ret));
		conn_close(c);
	}
}

static void on_listen(struct loop_watch *watch, uint32_t events)
{
	struct api *api = watch->arg;
	const int fd = accept4(watch->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	int ret;

	if (fd < 0)
		return;
	for (unsigned int i = 0; i < API_CONNECTIONS; i++) {
		struct conn *c = &api->conns[i];

		if (c->watch.fd >= 0)
			continue;
		frame_decoder_init(&c->decoder, REQUEST_MAX);
		ret = loop_add(&api->dp->loop, &c->watch, fd, EPOLLIN, on_conn, c);
		if (ret < 0) {
			log_error("api_accept", "error=%s", strerror(-ret));
			close(fd);
		}
		return;
	}
	log_warn("api_connections_full", "limit=%d", API_CONNECTIONS);
	close(fd);
}

struct api *api_open(struct dataplane *dp, int listen_fd)
{
	struct api *api = calloc(1, sizeof(*api));
	int ret = -ENOMEM;

	if (api == NULL)
		goto out;
	api->dp = dp;
	for (unsigned int i = 0; i < API_CONNECTIONS; i++) {
		api->conns[i].api = api;
		api->conns[i].watch.fd = -1;
	}
	ret = fcntl(listen_fd, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
	if (ret == 0)
		ret = loop_add(&dp->loop, &api->listen, listen_fd, EPOLLIN, on_listen, api);
out:
	if (ret < 0) {
		close(listen_fd);
		free(api);
		errno = -ret;
		return NULL;
	}
	return api;
}

void api_close(struct api *api)
{
	const int fd = api != NULL ? api->listen.fd : -1;

	if (api == NULL)
		return;
	for (unsigned int i = 0; i < API_CONNECTIONS; i++)
		if (api->conns[i].watch.fd >= 0)
			conn_close(&api->conns[i]);
	loop_remove(&api->dp->loop, &api->listen);
	close(fd);
	free(api);
}

/* Go on with a connection's trace. Negative: close. */
static int trace_turn(struct conn *c, int64_t now)
{
	struct dataplane *dp = c->api->dp;
	int ret;

	if (c->trace == TRACE_STARTING) {
		c->trace = TRACE_NONE;
		return trace_start(c);
	}
	if (now < c->trace_until &&
		__atomic_load_n(&dp->trace->trace.finished, __ATOMIC_ACQUIRE) < c->trace_count)
		return 0;
	ret = answer_trace(dp, &dp->trace->trace, &c->out, &c->out_len);
	c->out_at = 0;
	c->trace = TRACE_NONE;
	dataplane_trace_end(dp);
	return ret < 0 ? ret : conn_write(c);
}

/* Go on with a connection's capture. Negative: close. */
static int capture_turn(struct conn *c, int64_t now)
{
	struct dataplane *dp = c->api->dp;
	bool last = false;
	int ret;

	if (c->capture == CAPTURE_STARTING) {
		c->capture = CAPTURE_NONE;
		return capture_start(c);
	}
	if (now >= c->capture_until)
		capture_close(c->capture_session);
	/* the client is behind: its frames wait in the rings, and get lost there, not here */
	if (c->out != NULL)
		return now < c->capture_until + CAPTURE_LINGER_MS ? 0 : -ETIMEDOUT;
	if (!c->capture_first && !capture_closed(c->capture_session) &&
		!answer_capture_waits(c->capture_session) &&
		now < c->capture_said + CAPTURE_SILENT_MS)
		return 0;
	ret = answer_capture(dp, c->capture_session, c->capture_first, &last, &c->out, &c->out_len);
	c->out_at = 0;
	c->capture_first = false;
	c->capture_said = now;
	if (last) {
		c->capture = CAPTURE_NONE;
		dataplane_capture_end(dp);
	}
	return ret < 0 ? ret : conn_write(c);
}

/* Go on with what a connection waits for; until when is it to be called again? -1: never. */
static int conn_turn(struct conn *c, int64_t now)
{
	int ret = 0;

	if (c->trace != TRACE_NONE)
		ret = trace_turn(c, now);
	else if (c->capture != CAPTURE_NONE)
		ret = capture_turn(c, now);
	if (ret < 0) {
		log_info("api_client_closed", "error=%s", strerror(-ret));
		conn_close(c);
		return -1;
	}
	if (c->trace == TRACE_STARTING || c->capture == CAPTURE_STARTING)
		return TRACE_RETRY_MS;
	if (c->trace == TRACE_RUNNING)
		return (int)RTE_MAX(c->trace_until - now, 0);
	return c->capture == CAPTURE_RUNNING ? CAPTURE_POLL_MS : -1;
}

int api_turn(struct api *api, int64_t now_ms)
{
	int wait = -1;

	for (unsigned int i = 0; api != NULL && i < API_CONNECTIONS; i++) {
		struct conn *c = &api->conns[i];
		int mine;

		if (c->watch.fd < 0)
			continue;
		mine = conn_turn(c, now_ms);
		if (mine >= 0)
			wait = wait < 0 ? mine : RTE_MIN(wait, mine);
	}
	return wait;
}
