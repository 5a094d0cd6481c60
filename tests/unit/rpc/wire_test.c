/*
 * What our server makes of peers that break the rules, and our client of servers that do: the
 * proper status, or the end of the connection, never more memory than the bounds say.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "tests/unit/rpc/raw.h"

#define GET_HEADERS(...)                                                                           \
	(const char *const[])                                                                      \
	{                                                                                          \
		":method", "POST", ":path", GET_PATH, "te", "trailers", __VA_ARGS__, NULL          \
	}
#define GRPC "content-type", "application/grpc"

/* A Get request for "a" with kind 1, framed. */
static const uint8_t get_a[] = {0, 0, 0, 0, 5, 0x08, 1, 0x12, 1, 'a'};

static void body(struct raw *r, const void *p, size_t n)
{
	r->body = p;
	r->body_len = n;
}

/* ---- requests ---- */

static void content_types_and_methods(void **state)
{
	static const struct {
		const char *type;
		int http, grpc;
	} types[] = {
		{"application/grpc", 200, RPC_OK},
		{"application/grpc+proto", 200, RPC_OK},
		{"application/grpc;charset=utf-8", 200, RPC_OK},
		{"application/grpc+json", 415, -1},
		{"application/grpc-web", 415, -1},
		{"application/json", 415, -1},
		{"", 415, -1},
	};
	struct fixture *f = *state;
	struct raw r;

	raw_connect(&r, f, true);
	body(&r, get_a, sizeof(get_a));
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		raw_request(&r, GET_HEADERS("content-type", types[i].type));
		raw_wait(&r, r.stream_closed);
		assert_int_equal(r.http_status, types[i].http);
		assert_int_equal(r.grpc_status, types[i].grpc);
	}
	raw_request(&r, (const char *const[]){":method", "GET", ":path", GET_PATH, GRPC, NULL});
	raw_wait(&r, r.stream_closed);
	assert_int_equal(r.http_status, 405);
	raw_request(&r, (const char *const[]){":method", "POST", ":path", GET_PATH, NULL});
	raw_wait(&r, r.stream_closed);
	assert_int_equal(r.http_status, 415);
	assert_false(r.closed);
	raw_close(&r);
}

static void timeouts_of_requests(void **state)
{
	struct fixture *f = *state;
	static const uint8_t never[] = {0, 0, 0, 0, 7, 0x12, 5, 'n', 'e', 'v', 'e', 'r'};
	struct raw r;

	raw_connect(&r, f, true);
	body(&r, get_a, sizeof(get_a));
	raw_request(&r, GET_HEADERS(GRPC, "grpc-timeout", "soon"));
	raw_wait(&r, r.stream_closed);
	assert_int_equal(r.grpc_status, RPC_INTERNAL);
	raw_request(&r, GET_HEADERS(GRPC, "grpc-timeout", "10S"));
	raw_wait(&r, r.stream_closed);
	assert_int_equal(r.grpc_status, RPC_OK);
	/* this client doesn't enforce its deadline, the server does */
	body(&r, never, sizeof(never));
	raw_request(&r, GET_HEADERS(GRPC, "grpc-timeout", "50m"));
	raw_wait(&r, r.stream_closed);
	assert_int_equal(r.grpc_status, RPC_DEADLINE_EXCEEDED);
	wait_for(f, f->service.last_done == RPC_DEADLINE_EXCEEDED);
	/* also when the request never becomes whole */
	body(&r, never, 3);
	r.body_open = true;
	raw_request(&r, GET_HEADERS(GRPC, "grpc-timeout", "50m"));
	raw_wait(&r, r.grpc_status >= 0);
	assert_int_equal(r.grpc_status, RPC_DEADLINE_EXCEEDED);
	assert_false(r.closed);
	raw_close(&r);
}

static void message_frames(void **state)
{
	static const struct {
		uint8_t wire[12];
		size_t len;
		int status;
		const char *message;
	} cases[] = {
		{{0, 0, 0, 0, 1, 0xff}, 6, RPC_INVALID_ARGUMENT, "malformed protobuf message"},
		{{1, 0, 0, 0, 1, 0}, 6, RPC_INTERNAL, "compressed messages are not supported"},
		{{7, 0, 0, 0, 1, 0}, 6, RPC_INTERNAL, "malformed message frame"},
		{{0, 0, 0, 0, 9, 0}, 6, RPC_INTERNAL, "the stream ended within a message"},
		{{0, 0}, 2, RPC_INTERNAL, "the stream ended within a message"},
		{{0, 0, 0x40, 0, 1}, 5, RPC_RESOURCE_EXHAUSTED, "message longer than the limit"},
		{{0}, 0, RPC_UNIMPLEMENTED, "no request message"},
		{{0, 0, 0, 0, 0}, 5, RPC_OK, ""},
		{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 10, RPC_UNIMPLEMENTED,
			"more than one request message"},
	};
	struct fixture *f = *state;
	struct raw r;

	raw_connect(&r, f, true);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		body(&r, cases[i].wire, cases[i].len);
		raw_request(&r, GET_HEADERS(GRPC));
		raw_wait(&r, r.stream_closed);
		assert_int_equal(r.grpc_status, cases[i].status);
		assert_string_equal(r.grpc_message, cases[i].message);
	}
	/* a named compression is told what is understood instead */
	body(&r, cases[1].wire, cases[1].len);
	raw_request(&r, GET_HEADERS(GRPC, "grpc-encoding", "gzip"));
	raw_wait(&r, r.stream_closed);
	assert_int_equal(r.grpc_status, RPC_UNIMPLEMENTED);
	assert_string_equal(r.accept_encoding, "identity");
	assert_false(r.closed);
	raw_close(&r);
}

static void long_headers(void **state)
{
	struct fixture *f = *state;
	const struct rpc_limits limits = {.header_bytes = 2000};
	struct rpc_server_stats stats;
	char value[9000];
	struct raw r;

	fixture_server(f, &limits);
	raw_connect(&r, f, true);
	body(&r, get_a, sizeof(get_a));
	memset(value, 'v', sizeof(value));
	value[1000] = '\0';
	raw_request(&r, GET_HEADERS(GRPC, "x-much", value));
	raw_wait(&r, r.stream_closed);
	assert_int_equal(r.grpc_status, RPC_OK);
	value[1000] = 'v';
	value[2000] = '\0';
	raw_request(&r, GET_HEADERS("x-much", value, GRPC));
	raw_wait(&r, r.stream_closed);
	assert_int_equal(r.grpc_status, RPC_RESOURCE_EXHAUSTED);
	value[2000] = 'v';
	value[8500] = '\0';
	raw_request(&r, GET_HEADERS(GRPC, "x-much", value));
	raw_wait(&r, r.closed);
	rpc_server_stats(f->server, &stats);
	assert_int_equal(stats.floods, 1);
	raw_close(&r);
}

static void header_bomb(void **state)
{
	struct fixture *f = *state;
	struct rpc_server_stats stats;
	uint8_t frame[9 + 16000];
	char value[3500];
	struct raw r;

	/* A header of 3.5 kB goes into the table; then one octet stands for it, 16,000 times. */
	raw_connect(&r, f, true);
	body(&r, get_a, sizeof(get_a));
	memset(value, 'v', sizeof(value));
	value[sizeof(value) - 1] = '\0';
	raw_request(&r, GET_HEADERS(GRPC, "x-much", value));
	raw_wait(&r, r.stream_closed);
	assert_int_equal(r.grpc_status, RPC_OK);
	memset(frame, 0x80 | 62, sizeof(frame));
	memcpy(frame, (const uint8_t[]){0, 16000 >> 8, 16000 & 0xff, 1, 4, 0, 0, 0, 99}, 9);
	raw_write(&r, frame, sizeof(frame));
	raw_wait(&r, r.closed);
	rpc_server_stats(f->server, &stats);
	assert_int_equal(stats.floods, 1);
	assert_int_equal(stats.connections, 0);
	raw_close(&r);
}

/* ---- floods ---- */

static void flood(struct fixture *f, const uint8_t *frame, size_t len, bool greedy)
{
	struct rpc_server_stats before, now;
	uint8_t *many = malloc(len * 1000);
	struct raw r;

	rpc_server_stats(f->server, &before);
	raw_connect(&r, f, true);
	raw_wait(&r, nghttp2_session_want_write(r.session) == 0);
	/* an open stream for frames that want one */
	body(&r, get_a, 3);
	r.body_open = true;
	raw_request(&r, GET_HEADERS(GRPC));
	for (int i = 0; i < 5; i++)
		raw_turn(&r);
	for (size_t i = 0; i < 1000; i++)
		memcpy(many + i * len, frame, len);
	r.greedy = greedy;
	for (int i = 0; i < 20 && !r.closed; i++)
		raw_write(&r, many, len * 1000);
	r.greedy = false;
	raw_wait(&r, r.closed);
	wait_for(f, (rpc_server_stats(f->server, &now), now.connections == 0));
	assert_int_equal(now.floods - before.floods, 1);
	assert_int_equal(now.calls, 0);
	raw_close(&r);
	free(many);
}

static void floods_end_the_connection(void **state)
{
	static const uint8_t ping[17] = {0, 0, 8, 6, 0, 0, 0, 0, 0, 1};
	static const uint8_t settings[9] = {0, 0, 0, 4, 0, 0, 0, 0, 0};
	static const uint8_t empty_data[9] = {0, 0, 0, 0, 0, 0, 0, 0, 1};
	static const uint8_t priority[14] = {0, 0, 5, 2, 0, 0, 0, 0, 1, 0, 0, 0, 0, 16};
	struct fixture *f = *state;

	flood(f, ping, sizeof(ping), false);
	flood(f, ping, sizeof(ping), true);
	flood(f, settings, sizeof(settings), true);
	flood(f, empty_data, sizeof(empty_data), false);
	flood(f, priority, sizeof(priority), false);
	/* the server is as good as before */
	fixture_client(f, NULL);
}

static void rapid_reset(void **state)
{
	struct fixture *f = *state;
	struct rpc_server_stats stats;
	struct raw r;

	raw_connect(&r, f, true);
	body(&r, get_a, 3);
	r.body_open = true;
	for (int i = 0; i < 5000 && !r.closed; i++) {
		const int32_t stream = raw_request(&r, GET_HEADERS(GRPC));

		raw_turn(&r);
		nghttp2_submit_rst_stream(r.session, 0, stream, NGHTTP2_CANCEL);
		r.stream_closed = false;
	}
	assert_true(r.closed);
	wait_for(f, (rpc_server_stats(f->server, &stats), stats.connections == 0));
	assert_true(stats.started <= 2000);
	assert_int_equal(stats.calls, 0);
	raw_close(&r);
}

static void silence_after_tls(void **state)
{
	struct fixture *f = *state;
	const struct rpc_limits limits = {.handshake_timeout_ms = 200};
	struct rpc_server_stats stats;
	struct raw r;

	fixture_server(f, &limits);
	raw_connect(&r, f, false);
	raw_wait(&r, r.closed);
	rpc_server_stats(f->server, &stats);
	assert_int_equal(stats.connections, 0);
	assert_int_equal(stats.failed_handshakes, 1);
	raw_close(&r);
}

static void rubbish(void **state)
{
	static const char magic[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
	struct fixture *f = *state;
	struct rpc_server_stats stats;
	unsigned int seed = 11;

	/* no preface; then random frames after a good one */
	for (int i = 0; i < 60; i++) {
		uint8_t mem[2000];
		struct raw r;

		raw_connect(&r, f, false);
		for (size_t k = 0; k < sizeof(mem); k++)
			mem[k] = (uint8_t)rand_r(&seed);
		if (i > 0) {
			raw_write(&r, magic, sizeof(magic) - 1);
			raw_write(&r, (const uint8_t[9]){0, 0, 0, 4}, 9);
			for (size_t at = 0; at + 60 < sizeof(mem); at += 9 + mem[at + 2]) {
				mem[at] = mem[at + 1] = 0;
				mem[at + 2] %= 40;
				mem[at + 3] %= 11;
				mem[at + 5] = mem[at + 6] = mem[at + 7] = 0;
				mem[at + 8] %= 4;
			}
		}
		raw_write(&r, mem, sizeof(mem));
		if (i == 0)
			raw_wait(&r, r.closed);
		for (int k = 0; k < 3; k++)
			raw_turn(&r);
		raw_close(&r);
	}
	wait_for(f, (rpc_server_stats(f->server, &stats), stats.connections == 0));
	assert_int_equal(stats.calls, 0);
	fixture_client(f, NULL);
}

/* ---- our client against strange servers ---- */

struct answer {
	bool done;
	enum rpc_code code;
	char message[256];
	bool response;
};

static void on_answer(void *arg, const struct rpc_status *status, const ProtobufCMessage *response)
{
	struct answer *a = arg;

	a->done = true;
	a->code = status->code;
	snprintf(a->message, sizeof(a->message), "%s", status->message);
	a->response = response != NULL;
}

static void strange_server(struct raw *r, struct fixture *f)
{
	const int listener = raw_listen(f);
	struct rpc_client_options o = fixture_options(f);

	f->client = rpc_client_new(f->loop, f->node_tls, &o, NULL);
	assert_int_equal(rpc_client_connect(f->client, NULL), 0);
	raw_accept(r, f, listener);
}

static void ask(struct raw *r, struct answer *a)
{
	Audums__V1__GetRequest req = AUDUMS__V1__GET_REQUEST__INIT;

	*a = (struct answer){0};
	r->request_stream = 0;
	r->stream_closed = false;
	assert_non_null(rpc_unary(r->f->client, GET_PATH, &req.base,
		&audums__v1__document__descriptor, 0, on_answer, a));
	raw_wait(r, r->request_stream > 0);
}

static void answers_that_are_no_grpc(void **state)
{
	static const struct {
		const char *http, *type, *status; /* in the headers; NULL: none */
		uint8_t wire[12];
		size_t len;
		const char *trailer;
		enum rpc_code code;
		const char *message;
	} cases[] = {
		{"503", "text/html", NULL, {0}, 0, NULL, RPC_UNAVAILABLE, "HTTP status 503"},
		{"404", "text/html", NULL, {0}, 0, NULL, RPC_UNIMPLEMENTED, "HTTP status 404"},
		{"200", "text/html", NULL, {'<'}, 1, NULL, RPC_UNKNOWN, "the answer is not gRPC"},
		{"200", "application/grpc", NULL, {0, 0, 0, 0, 0}, 5, NULL, RPC_UNKNOWN,
			"the server has sent no status"},
		{"200", "application/grpc", "99", {0}, 0, NULL, RPC_UNKNOWN, ""},
		{"200", "application/grpc", "0", {0}, 0, NULL, RPC_INTERNAL,
			"the server has sent no response"},
		{"200", "application/grpc", NULL, {0, 0, 0, 0, 0}, 5, "0", RPC_OK, ""},
		{"200", "application/grpc", NULL, {0, 0, 0, 0, 0}, 5, "5", RPC_NOT_FOUND, ""},
		{"200", "application/grpc", NULL, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 10, "0",
			RPC_INTERNAL, "more than one response"},
		{"200", "application/grpc", NULL, {0, 0, 0, 0, 1, 0xff}, 6, "0", RPC_INTERNAL,
			"malformed protobuf message"},
		{"200", "application/grpc", NULL, {0, 0, 0, 0, 9, 0}, 6, "0", RPC_INTERNAL,
			"the stream ended within a message"},
		{"200", "application/grpc", NULL, {1, 0, 0, 0, 1, 0}, 6, "0", RPC_INTERNAL,
			"compressed messages are not supported"},
		{"200", "application/grpc", NULL, {0, 0x7f, 0, 0, 1, 0}, 6, "0",
			RPC_RESOURCE_EXHAUSTED, "message longer than the limit"},
	};
	struct fixture *f = *state;
	struct answer a;
	struct raw r;

	strange_server(&r, f);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ask(&r, &a);
		body(&r, cases[i].len ? cases[i].wire : NULL, cases[i].len);
		r.trailer_status = cases[i].trailer;
		raw_respond(&r, (const char *const[]){":status", cases[i].http, "content-type",
					cases[i].type, cases[i].status ? "grpc-status" : NULL,
					cases[i].status, NULL});
		raw_wait(&r, a.done);
		assert_int_equal(a.code, cases[i].code);
		assert_string_equal(a.message, cases[i].message);
		assert_int_equal(a.response, a.code == RPC_OK);
	}
	assert_int_equal(rpc_client_state(f->client), RPC_CLIENT_READY);
	raw_close(&r);
}

static void resets_by_the_server(void **state)
{
	static const struct {
		uint32_t error;
		enum rpc_code code;
	} cases[] = {
		{NGHTTP2_NO_ERROR, RPC_INTERNAL},
		{NGHTTP2_REFUSED_STREAM, RPC_UNAVAILABLE},
		{NGHTTP2_CANCEL, RPC_CANCELLED},
		{NGHTTP2_ENHANCE_YOUR_CALM, RPC_RESOURCE_EXHAUSTED},
		{NGHTTP2_INADEQUATE_SECURITY, RPC_PERMISSION_DENIED},
		{NGHTTP2_PROTOCOL_ERROR, RPC_INTERNAL},
	};
	struct fixture *f = *state;
	struct answer a;
	struct raw r;

	strange_server(&r, f);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ask(&r, &a);
		nghttp2_submit_rst_stream(r.session, 0, r.request_stream, cases[i].error);
		raw_wait(&r, a.done);
		assert_int_equal(a.code, cases[i].code);
	}
	raw_close(&r);
}

static void goaway_refuses_later_calls(void **state)
{
	struct fixture *f = *state;
	struct answer first, second;
	struct raw r;
	int32_t stream;

	strange_server(&r, f);
	ask(&r, &first);
	stream = r.request_stream;
	ask(&r, &second);
	/* the first call was taken, the second wasn't */
	nghttp2_submit_goaway(r.session, 0, stream, NGHTTP2_NO_ERROR, NULL, 0);
	raw_wait(&r, second.done);
	assert_int_equal(second.code, RPC_UNAVAILABLE);
	assert_false(first.done);
	assert_int_equal(rpc_client_state(f->client), RPC_CLIENT_DRAINING);
	r.request_stream = stream;
	body(&r, get_a, 0);
	r.body = get_a;
	r.trailer_status = "5";
	raw_respond(&r, (const char *const[]){":status", "200", GRPC, NULL});
	raw_wait(&r, first.done);
	assert_int_equal(first.code, RPC_NOT_FOUND);
	wait_for(f, rpc_client_state(f->client) == RPC_CLIENT_IDLE);
	raw_close(&r);
}

static void connection_lost_in_a_call(void **state)
{
	struct fixture *f = *state;
	struct answer a;
	struct raw r;

	strange_server(&r, f);
	ask(&r, &a);
	shutdown(r.fd, SHUT_RDWR);
	wait_for(f, a.done);
	assert_int_equal(a.code, RPC_UNAVAILABLE);
	assert_string_equal(a.message, "closed by the peer");
	wait_for(f, rpc_client_state(f->client) == RPC_CLIENT_IDLE);
	raw_close(&r);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		TEST(content_types_and_methods),
		TEST(timeouts_of_requests),
		TEST(message_frames),
		TEST(long_headers),
		TEST(header_bomb),
		TEST(floods_end_the_connection),
		TEST(rapid_reset),
		TEST(silence_after_tls),
		TEST(rubbish),
		TEST(answers_that_are_no_grpc),
		TEST(resets_by_the_server),
		TEST(goaway_refuses_later_calls),
		TEST(connection_lost_in_a_call),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
