/*
 * What holds when things go wrong or get large: deadlines, cancellation, bounds on messages and
 * queues, slow readers, silent peers, draining.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/rpc/fixture.h"

/* ---- deadlines and cancellation ---- */

static void deadline(void **state)
{
	struct fixture *f = *state;
	struct rpc_result r;
	uint64_t start;

	fixture_client(f, NULL);
	start = loop_now_ms();
	assert_int_equal(fixture_get(f->client, "never", 100, &r), RPC_DEADLINE_EXCEEDED);
	assert_true(loop_now_ms() - start >= 100);
	rpc_result_clear(&r);
	/* the server was told the deadline, and its call ends too */
	assert_true(f->service.time_left_ms <= 100);
	wait_for(f, f->service.dones == 1);
	assert_true(f->service.last_done == RPC_DEADLINE_EXCEEDED ||
		    f->service.last_done == RPC_CANCELLED);
	/* an answer in time is not disturbed */
	assert_int_equal(fixture_get(f->client, "later", 15000, &r), RPC_OK);
	rpc_result_clear(&r);
}

static void deadline_while_the_window_is_full(void **state)
{
	struct fixture *f = *state;
	Audums__V1__WatchRequest req = AUDUMS__V1__WATCH_REQUEST__INIT;
	struct record r = {.pause = true};
	struct rpc_call *call;

	fixture_client(f, NULL);
	call = rpc_call_start(f->client, WATCH_PATH, &audums__v1__watch_event__descriptor, 300,
		&record_events, &r);
	req.name = (char *)"1000 10000";
	assert_int_equal(rpc_send(call, &req.base), 0);
	rpc_call_half_close(call);
	wait_for(f, r.done);
	assert_int_equal(r.code, RPC_DEADLINE_EXCEEDED);
	assert_int_equal(r.messages, 1);
	wait_for(f, f->service.dones == 1);
}

static void cancel_by_client(void **state)
{
	struct fixture *f = *state;
	struct record r[2] = {0};
	struct rpc_call *a, *b;

	fixture_client(f, NULL);
	a = fixture_session(f->client, &r[0]);
	b = fixture_session(f->client, &r[1]);
	fixture_hello(a, "x");
	fixture_hello(b, "x");
	wait_for(f, r[0].messages == 1 && r[1].messages == 1);
	rpc_call_cancel(a);
	assert_false(r[0].done); /* from the loop only */
	assert_int_equal(fixture_hello(a, "x"), -EPIPE);
	wait_for(f, r[0].done && f->service.dones == 1);
	assert_int_equal(r[0].code, RPC_CANCELLED);
	assert_int_equal(f->service.last_done, RPC_CANCELLED);
	/* the other one goes on */
	fixture_hello(b, "x");
	wait_for(f, r[1].messages == 2);
	/* one that HTTP/2 has not sent yet */
	memset(&r[0], 0, sizeof(r[0]));
	a = fixture_session(f->client, &r[0]);
	rpc_call_cancel(a);
	wait_for(f, r[0].done);
	assert_int_equal(f->service.starts, 2);
	rpc_call_cancel(b);
	wait_for(f, r[1].done);
}

static void cancel_by_server(void **state)
{
	struct fixture *f = *state;
	struct record r = {0};
	struct rpc_call *call;

	f->service.pause_sessions = true;
	fixture_client(f, NULL);
	call = fixture_session(f->client, &r);
	fixture_hello(call, "x");
	wait_for(f, f->service.parked);
	rpc_call_cancel(f->service.parked);
	wait_for(f, r.done && f->service.dones == 1);
	assert_int_equal(r.code, RPC_CANCELLED);
}

/* ---- bounds ---- */

static void message_longer_than_the_server_takes(void **state)
{
	struct fixture *f = *state;
	const struct rpc_limits limits = {.message_bytes = 1000};
	char name[2000];
	struct rpc_result r;

	fixture_server(f, &limits);
	fixture_client(f, NULL);
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(fixture_get(f->client, name, 0, &r), RPC_RESOURCE_EXHAUSTED);
	rpc_result_clear(&r);
	name[900] = '\0';
	assert_int_equal(fixture_get(f->client, name, 0, &r), RPC_OK);
	rpc_result_clear(&r);
}

static void message_longer_than_the_client_takes(void **state)
{
	struct fixture *f = *state;
	struct rpc_result r;

	fixture_client(f, NULL);
	/* 4 MiB less a little pass, beyond the queue's bound and every window */
	assert_int_equal(fixture_get(f->client, "big-4194000", 0, &r), RPC_OK);
	rpc_result_clear(&r);
	assert_int_equal(fixture_get(f->client, "big-4194304", 0, &r), RPC_RESOURCE_EXHAUSTED);
	rpc_result_clear(&r);
	assert_int_equal(fixture_get(f->client, "small", 0, &r), RPC_OK);
	rpc_result_clear(&r);
}

static void message_that_unpacks_to_a_multiple(void **state)
{
	struct fixture *f = *state;
	/* each empty segment is two octets on the wire and some hundred in memory */
	const struct rpc_limits limits = {.message_bytes = 200000};
	Audums__V1__ApplyRequest req = AUDUMS__V1__APPLY_REQUEST__INIT;
	Audums__V1__Document doc = AUDUMS__V1__DOCUMENT__INIT;
	Audums__V1__Segment segment = AUDUMS__V1__SEGMENT__INIT;
	Audums__V1__Segment **list = calloc(90000, sizeof(*list));
	struct rpc_result r;

	fixture_server(f, &limits);
	fixture_client(f, NULL);
	for (int i = 0; i < 90000; i++)
		list[i] = &segment;
	doc.segments = list;
	req.document = &doc;
	doc.n_segments = 1000;
	assert_int_equal(rpc_call_sync(f->client, APPLY_PATH, &req.base,
				 &audums__v1__apply_response__descriptor, 0, &r),
		RPC_OK);
	rpc_result_clear(&r);
	doc.n_segments = 90000;
	assert_int_equal(rpc_call_sync(f->client, APPLY_PATH, &req.base,
				 &audums__v1__apply_response__descriptor, 0, &r),
		RPC_RESOURCE_EXHAUSTED);
	assert_string_equal(r.status.message, "the message unpacks to too much memory");
	rpc_result_clear(&r);
	free(list);
}

static unsigned int count_code(const struct record *r, unsigned int n, enum rpc_code code)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < n; i++)
		count += r[i].done && r[i].code == code;
	return count;
}

static void partly_received_messages_are_bounded(void **state)
{
	struct fixture *f = *state;
	const struct rpc_limits limits = {.connection_bytes = 700000};
	struct record r[8] = {0};
	struct rpc_call *call[8];
	char *name = malloc(200001);

	/* Eight sessions are held up by their handler, each with a window of messages: too much. */
	fixture_server(f, &limits);
	f->service.pause_sessions = true;
	fixture_client(f, NULL);
	memset(name, 'n', 200000);
	name[200000] = '\0';
	for (int i = 0; i < 8; i++) {
		f->service.parked = NULL;
		call[i] = fixture_session(f->client, &r[i]);
		fixture_hello(call[i], "x");
		wait_for(f, f->service.parked);
		assert_int_equal(fixture_hello(call[i], name), 0);
	}
	/* three fit, whichever way the octets came */
	wait_for(f, count_code(r, 8, RPC_RESOURCE_EXHAUSTED) == 5);
	for (int i = 0; i < 5; i++)
		assert_true(loop_turn(f->loop, 10) >= 0);
	assert_int_equal(count_code(r, 8, RPC_RESOURCE_EXHAUSTED), 5);
	for (int i = 0, alive = 0; i < 8; i++)
		assert_true((alive += !r[i].done) <= 3);
	free(name);
	rpc_client_free(f->client);
	f->client = NULL;
}

static void slow_reader_bounds_the_server(void **state)
{
	struct fixture *f = *state;
	const struct rpc_limits limits = {.send_queue_bytes = 100000};
	struct record slow = {.pause = true}, quick = {0};
	struct rpc_call *call;

	fixture_server(f, &limits);
	fixture_client(f, NULL);
	/* 20 MB, of which the reader takes one message at a time */
	call = fixture_watch(f->client, "2000 10000", &slow);
	wait_for(f, slow.messages == 1 && f->service.again > 0);
	/* the others on the connection aren't held up */
	fixture_watch(f->client, "100 1000", &quick);
	wait_for(f, quick.done);
	assert_int_equal(quick.messages, 100);
	assert_int_equal(slow.messages, 1);
	assert_true(f->service.queue_max <= 100000);
	/* it reads on, sometimes pausing: all of it arrives, in order, and then the status */
	for (unsigned int i = 2; i <= 2000; i++) {
		slow.pause = i % 100 == 0;
		rpc_call_resume(call);
		if (slow.pause)
			wait_for(f, slow.messages >= i);
		assert_true(loop_turn(f->loop, 0) >= 0);
		if (slow.done)
			break;
	}
	slow.pause = false;
	if (!slow.done)
		rpc_call_resume(call);
	wait_for(f, slow.done);
	assert_int_equal(slow.messages, 2000);
	assert_int_equal(slow.code, RPC_OK);
	assert_true(f->service.queue_max <= 100000);
}

static void slow_server_bounds_the_client(void **state)
{
	struct fixture *f = *state;
	const struct rpc_limits limits = {.send_queue_bytes = 50000};
	struct record r = {0};
	struct rpc_call *call;
	char node[5001];
	unsigned int sent = 0;

	f->service.pause_sessions = true;
	fixture_client(f, &limits);
	call = fixture_session(f->client, &r);
	memset(node, 'n', 5000);
	node[5000] = '\0';
	/* until it is stuck: the server's window and our queue are full */
	for (int quiet = 0; quiet < 10; quiet++) {
		while (fixture_hello(call, node) == 0) {
			sent++;
			quiet = 0;
		}
		assert_true(rpc_call_queued(call) <= 50000);
		assert_true(loop_turn(f->loop, 10) >= 0);
	}
	assert_int_equal(f->service.messages, 1);
	assert_true(sent * 5000 < 500000);
	assert_int_equal(r.writables > 0, 1);
	r.writables = 0;
	assert_int_equal(fixture_hello(call, node), -EAGAIN);
	rpc_call_resume(f->service.parked);
	wait_for(f, r.writables == 1 && f->service.messages == sent && r.messages == sent);
	rpc_call_half_close(call);
	wait_for(f, r.done);
	assert_int_equal(r.code, RPC_OK);
}

static void paused_client_call_gets_all_before_its_status(void **state)
{
	struct fixture *f = *state;
	struct record r = {.pause = true};
	struct rpc_call *call;

	fixture_client(f, NULL);
	call = fixture_watch(f->client, "3 10", &r);
	wait_for(f, f->service.dones == 1); /* all is on its way, the stream is closed */
	for (unsigned int i = 1; i < 3; i++) {
		wait_for(f, r.messages == i);
		assert_false(r.done);
		rpc_call_resume(call);
	}
	wait_for(f, r.messages == 3);
	assert_false(r.done);
	rpc_call_resume(call);
	wait_for(f, r.done);
	assert_int_equal(r.code, RPC_OK);
}

static void streams_beyond_the_servers_bound_wait(void **state)
{
	struct fixture *f = *state;
	const struct rpc_limits limits = {.streams = 4};
	struct record r[10] = {0};
	struct rpc_call *call[10];
	struct rpc_server_stats stats;

	fixture_server(f, &limits);
	fixture_client(f, NULL);
	for (int i = 0; i < 10; i++) {
		call[i] = fixture_session(f->client, &r[i]);
		fixture_hello(call[i], "x");
	}
	wait_for(f, f->service.messages == 4);
	for (int i = 0; i < 10; i++) {
		wait_for(f, r[i].messages == 1);
		rpc_server_stats(f->server, &stats);
		assert_true(stats.calls <= 4);
		rpc_call_half_close(call[i]);
	}
	for (int i = 0; i < 10; i++) {
		wait_for(f, r[i].done);
		assert_int_equal(r[i].code, RPC_OK);
	}
}

static void calls_of_a_client_are_bounded(void **state)
{
	struct fixture *f = *state;
	const struct rpc_limits limits = {.streams = 3};
	struct record r[4] = {0};

	fixture_client(f, &limits);
	for (int i = 0; i < 3; i++)
		assert_non_null(fixture_session(f->client, &r[i]));
	assert_null(fixture_session(f->client, &r[3]));
	assert_int_equal(errno, EAGAIN);
	rpc_client_free(f->client);
	f->client = NULL;
	assert_true(r[0].done && r[1].done && r[2].done);
}

/* ---- connections ---- */

static int plain_connection(const struct fixture *f)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
		.sin_port = htons(f->port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

static bool closed_by_peer(int fd)
{
	char c;
	const ssize_t n = recv(fd, &c, 1, MSG_DONTWAIT);

	return n == 0 || (n < 0 && errno != EAGAIN);
}

static void connections_without_handshake_are_bounded(void **state)
{
	struct fixture *f = *state;
	const struct rpc_limits limits = {.handshakes = 2, .handshake_timeout_ms = 300};
	struct rpc_server_stats stats;
	int fd[4];

	fixture_server(f, &limits);
	for (int i = 0; i < 4; i++)
		fd[i] = plain_connection(f);
	wait_for(f, closed_by_peer(fd[2]) && closed_by_peer(fd[3]));
	rpc_server_stats(f->server, &stats);
	assert_int_equal(stats.refused_connections, 2);
	assert_int_equal(stats.handshakes, 2);
	/* those that were let in are cut when they say nothing; then there is room again */
	wait_for(f, closed_by_peer(fd[0]) && closed_by_peer(fd[1]));
	rpc_server_stats(f->server, &stats);
	assert_int_equal(stats.failed_handshakes, 2);
	assert_int_equal(stats.connections, 0);
	for (int i = 0; i < 4; i++)
		close(fd[i]);
	fixture_client(f, NULL);
}

static void connections_are_bounded(void **state)
{
	struct fixture *f = *state;
	const struct rpc_limits limits = {.connections = 2};
	struct rpc_client_options o = fixture_options(f);
	struct rpc_client *second, *third;
	struct rpc_result r;
	char target[64];

	fixture_server(f, &limits);
	snprintf(target, sizeof(target), "127.0.0.1:%u", f->port);
	o.target = target;
	fixture_client(f, NULL);
	o.state = NULL;
	second = rpc_client_new(f->loop, f->node_tls, &o, NULL);
	third = rpc_client_new(f->loop, f->node_tls, &o, NULL);
	assert_int_equal(fixture_get(second, "a", 0, &r), RPC_OK);
	rpc_result_clear(&r);
	assert_int_equal(fixture_get(third, "a", 0, &r), RPC_UNAVAILABLE);
	rpc_result_clear(&r);
	rpc_client_free(second);
	/* the server sees the end, then there is room */
	for (int i = 0; i < 100 && fixture_get(third, "a", 0, &r) != RPC_OK; i++)
		rpc_result_clear(&r);
	assert_int_equal(r.status.code, RPC_OK);
	rpc_result_clear(&r);
	rpc_client_free(third);
}

/* ---- silence ---- */

static void silent_server_is_noticed(void **state)
{
	struct fixture *f = *state;
	struct rpc_client_options o = fixture_options(f);
	struct loop *other = loop_new();
	struct rpc_server *server = rpc_server_new(other, f->server_tls, NULL);
	struct record r = {0};
	uint16_t port;
	char target[64];
	uint64_t start;

	/* a server on a loop that doesn't turn any more */
	assert_int_equal(
		rpc_server_add(server, service_methods, service_method_count, &f->service), 0);
	assert_int_equal(rpc_server_listen_tcp(server, "127.0.0.1", 0, &port, NULL), 0);
	snprintf(target, sizeof(target), "127.0.0.1:%u", port);
	o.target = target;
	o.limits = (struct rpc_limits){.keepalive_ms = 50, .keepalive_timeout_ms = 400};
	f->client = rpc_client_new(f->loop, f->node_tls, &o, NULL);
	assert_int_equal(rpc_client_connect(f->client, NULL), 0);
	start = loop_now_ms();
	while (rpc_client_state(f->client) != RPC_CLIENT_READY || loop_now_ms() - start < 1000) {
		/* long enough for the pings to matter: they are answered */
		assert_true(loop_turn(f->loop, 5) >= 0);
		assert_true(loop_turn(other, 5) >= 0);
		assert_true(loop_now_ms() - start < WAIT_MS);
	}
	assert_non_null(fixture_session(f->client, &r));
	start = loop_now_ms();
	wait_for(f, r.done);
	assert_int_equal(r.code, RPC_UNAVAILABLE);
	assert_non_null(strstr(r.message, "the peer was silent"));
	assert_true(loop_now_ms() - start >= 300);
	wait_for(f, rpc_client_state(f->client) == RPC_CLIENT_IDLE);
	rpc_server_free(server);
	loop_free(other);
}

static void silent_client_is_noticed(void **state)
{
	struct fixture *f = *state;
	const struct rpc_limits limits = {.keepalive_ms = 50, .keepalive_timeout_ms = 300};
	struct rpc_client_options o;
	struct loop *other = loop_new();
	struct rpc_server_stats stats;
	struct rpc_client *client;
	struct record r = {0};

	fixture_server(f, &limits);
	o = fixture_options(f);
	client = rpc_client_new(other, f->node_tls, &o, NULL);
	assert_int_equal(rpc_client_connect(client, NULL), 0);
	fixture_hello(fixture_session(client, &r), "x");
	while (r.messages == 0) {
		assert_true(loop_turn(f->loop, 5) >= 0);
		assert_true(loop_turn(other, 5) >= 0);
	}
	wait_for(f, f->service.dones == 1);
	assert_int_equal(f->service.last_done, RPC_UNAVAILABLE);
	rpc_server_stats(f->server, &stats);
	assert_int_equal(stats.dead_peers, 1);
	assert_int_equal(stats.connections, 0);
	rpc_client_free(client);
	loop_free(other);
}

/* ---- ends ---- */

static void on_drained(void *arg)
{
	*(bool *)arg = true;
}

static void drain_lets_calls_finish(void **state)
{
	struct fixture *f = *state;
	struct record r = {0};
	struct rpc_call *call;
	bool drained = false;

	fixture_client(f, NULL);
	call = fixture_session(f->client, &r);
	fixture_hello(call, "x");
	wait_for(f, r.messages == 1);
	rpc_server_drain(f->server, WAIT_MS, on_drained, &drained);
	wait_for(f, rpc_client_state(f->client) == RPC_CLIENT_DRAINING);
	assert_null(fixture_session(f->client, &r));
	assert_int_equal(errno, ENOTCONN);
	/* nobody new is let in */
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in a = {.sin_family = AF_INET,
		.sin_port = htons(f->port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), -1);
	close(fd);
	/* the old call goes on */
	fixture_hello(call, "x");
	wait_for(f, r.messages == 2);
	assert_false(drained);
	rpc_call_half_close(call);
	wait_for(f, r.done && drained);
	assert_int_equal(r.code, RPC_OK);
	wait_for(f, rpc_client_state(f->client) == RPC_CLIENT_IDLE);
}

static void drain_cuts_after_its_grace(void **state)
{
	struct fixture *f = *state;
	struct record r = {0};
	bool drained = false;

	fixture_client(f, NULL);
	fixture_hello(fixture_session(f->client, &r), "x");
	wait_for(f, r.messages == 1);
	rpc_server_drain(f->server, 100, on_drained, &drained);
	wait_for(f, r.done && drained);
	assert_int_equal(r.code, RPC_UNAVAILABLE);
}

static void drain_without_connections(void **state)
{
	struct fixture *f = *state;
	bool drained = false;

	rpc_server_drain(f->server, 0, on_drained, &drained);
	assert_false(drained); /* from the loop only */
	wait_for(f, drained);
}

static void on_drained_free(void *arg)
{
	struct fixture *f = arg;

	rpc_server_free(f->server);
	f->server = NULL;
}

static void drained_may_free_the_server(void **state)
{
	struct fixture *f = *state;

	fixture_client(f, NULL);
	rpc_server_drain(f->server, 100, on_drained_free, f);
	wait_for(f, !f->server && rpc_client_state(f->client) == RPC_CLIENT_IDLE);
}

static void server_that_ends_tells_calls(void **state)
{
	struct fixture *f = *state;
	struct record r = {0};

	fixture_client(f, NULL);
	fixture_hello(fixture_session(f->client, &r), "x");
	wait_for(f, r.messages == 1);
	rpc_server_free(f->server);
	f->server = NULL;
	assert_int_equal(f->service.dones, 1);
	assert_int_equal(f->service.last_done, RPC_UNAVAILABLE);
	wait_for(f, r.done);
	assert_int_equal(r.code, RPC_UNAVAILABLE);
	wait_for(f, rpc_client_state(f->client) == RPC_CLIENT_IDLE);
}

static void client_that_closes_ends_calls(void **state)
{
	struct fixture *f = *state;
	struct record r[2] = {0};
	struct rpc_result result;

	fixture_client(f, NULL);
	fixture_hello(fixture_session(f->client, &r[0]), "x");
	wait_for(f, r[0].messages == 1);
	rpc_client_close(f->client);
	assert_null(fixture_session(f->client, &r[1]));
	wait_for(f, r[0].done && f->service.dones == 1);
	assert_int_equal(r[0].code, RPC_CANCELLED);
	assert_int_equal(rpc_client_state(f->client), RPC_CLIENT_IDLE);
	assert_string_equal(f->reason, "");
	/* and again */
	assert_int_equal(fixture_get(f->client, "a", 0, &result), RPC_OK);
	rpc_result_clear(&result);
	/* freeing with a call under way calls its `done` before it returns */
	fixture_session(f->client, &r[1]);
	rpc_client_free(f->client);
	f->client = NULL;
	assert_true(r[1].done);
}

static void calls_wait_for_the_connection(void **state)
{
	struct fixture *f = *state;
	struct rpc_client_options o = fixture_options(f);
	struct record r = {0};

	f->client = rpc_client_new(f->loop, f->node_tls, &o, NULL);
	assert_null(fixture_session(f->client, &r));
	assert_int_equal(errno, ENOTCONN);
	assert_int_equal(rpc_client_connect(f->client, NULL), 0);
	assert_int_equal(rpc_client_connect(f->client, NULL), -EALREADY);
	assert_int_equal(rpc_client_state(f->client), RPC_CLIENT_CONNECTING);
	fixture_watch(f->client, "5 5", &r);
	wait_for(f, r.done);
	assert_int_equal(r.code, RPC_OK);
	assert_int_equal(f->states[0], RPC_CLIENT_READY);
}

static void listening_twice(void **state)
{
	struct fixture *f = *state;
	struct rpc_server *other = rpc_server_new(f->loop, f->server_tls, NULL);
	struct rpc_error e;
	int fd;

	assert_int_equal(rpc_server_listen_tcp(other, "127.0.0.1", f->port, NULL, &e), -EADDRINUSE);
	assert_non_null(strstr(e.text, "cannot listen on 127.0.0.1:"));
	assert_int_equal(rpc_server_listen_tcp(other, "localhost", 0, NULL, &e), -EINVAL);
	assert_int_equal(
		rpc_server_listen_unix(other, fixture_path(f, "rpc.sock"), 0600, &e), -EADDRINUSE);
	/* a file that is no socket is never replaced; a socket that nobody serves is */
	assert_int_equal(
		rpc_server_listen_unix(other, fixture_path(f, "ca.crt"), 0600, &e), -EADDRINUSE);
	assert_int_equal(access(fixture_path(f, "ca.crt"), F_OK), 0);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr stale = {.sa_family = AF_UNIX};
	char mem[110] = {0};

	memcpy(mem, &stale, sizeof(stale.sa_family));
	strcpy(mem + sizeof(stale.sa_family), fixture_path(f, "stale.sock"));
	assert_int_equal(bind(fd, (struct sockaddr *)mem, sizeof(mem)), 0);
	close(fd);
	assert_int_equal(rpc_server_listen_unix(other, fixture_path(f, "stale.sock"), 0600, &e), 0);
	assert_int_equal(rpc_server_add(other, service_methods, service_method_count, NULL), 0);
	assert_int_equal(rpc_server_add(other, service_methods, 1, NULL), -EEXIST);
	rpc_server_free(other);
	assert_int_equal(access(fixture_path(f, "stale.sock"), F_OK), -1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		TEST(deadline),
		TEST(deadline_while_the_window_is_full),
		TEST(cancel_by_client),
		TEST(cancel_by_server),
		TEST(message_longer_than_the_server_takes),
		TEST(message_longer_than_the_client_takes),
		TEST(message_that_unpacks_to_a_multiple),
		TEST(partly_received_messages_are_bounded),
		TEST(slow_reader_bounds_the_server),
		TEST(slow_server_bounds_the_client),
		TEST(paused_client_call_gets_all_before_its_status),
		TEST(streams_beyond_the_servers_bound_wait),
		TEST(calls_of_a_client_are_bounded),
		TEST(connections_without_handshake_are_bounded),
		TEST(connections_are_bounded),
		TEST(silent_server_is_noticed),
		TEST(silent_client_is_noticed),
		TEST(drain_lets_calls_finish),
		TEST(drain_cuts_after_its_grace),
		TEST(drain_without_connections),
		TEST(drained_may_free_the_server),
		TEST(server_that_ends_tells_calls),
		TEST(client_that_closes_ends_calls),
		TEST(calls_wait_for_the_connection),
		TEST(listening_twice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
