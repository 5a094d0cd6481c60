/* What servers and clients promise each other: calls of every kind, statuses, limits, deadlines. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/rpc/fixture.h"

/* ---- kinds of calls ---- */

static void unary(void **state)
{
	struct fixture *f = *state;
	struct rpc_result r;
	const Audums__V1__Document *doc;

	fixture_client(f, NULL);
	assert_string_equal(rpc_client_peer(f->client), "audums://controller/main");
	assert_int_equal(fixture_get(f->client, "lvrtc", 0, &r), RPC_OK);
	doc = (const Audums__V1__Document *)r.response;
	assert_int_equal(doc->n_providers, 1);
	assert_string_equal(doc->providers[0]->name, "lvrtc");
	/* the server has seen whose certificate it was */
	assert_string_equal(doc->providers[0]->display_name, "audums://node/riga-1");
	rpc_result_clear(&r);
	assert_int_equal(fixture_get(f->client, "later", 0, &r), RPC_OK);
	rpc_result_clear(&r);
	wait_for(f, f->service.dones == 2);
	assert_int_equal(f->service.last_done, RPC_OK);
	assert_true(f->service.time_left_ms == UINT64_MAX);
}

static void unary_over_unix_socket(void **state)
{
	struct fixture *f = *state;
	struct rpc_client_options o = fixture_options(f);
	struct rpc_result r;

	o.target = f->unix_target;
	o.server_name = NULL;
	f->client = rpc_client_new(f->loop, f->node_tls, &o, NULL);
	/* connects by itself */
	assert_int_equal(fixture_get(f->client, "lnb", 5000, &r), RPC_OK);
	rpc_result_clear(&r);
}

static void server_stream(void **state)
{
	struct fixture *f = *state;
	struct record r = {0};

	fixture_client(f, NULL);
	fixture_watch(f->client, "1000 100", &r);
	wait_for(f, r.done);
	assert_int_equal(r.code, RPC_OK);
	assert_int_equal(r.messages, 1000);
}

static void bidirectional_stream(void **state)
{
	struct fixture *f = *state;
	struct record r = {0};
	struct rpc_call *call;

	fixture_client(f, NULL);
	call = fixture_session(f->client, &r);
	assert_non_null(call);
	for (unsigned int i = 1; i <= 100; i++) {
		assert_int_equal(fixture_hello(call, "riga-1"), 0);
		wait_for(f, r.messages == i);
		assert_int_equal(r.last_id, i);
	}
	assert_false(r.done);
	assert_int_equal(rpc_call_half_close(call), 0);
	assert_int_equal(fixture_hello(call, "riga-1"), -EPIPE);
	wait_for(f, r.done);
	assert_int_equal(r.code, RPC_OK);
	wait_for(f, f->service.dones == 1);
	assert_int_equal(f->service.half_closes, 1);
}

static void server_ends_stream_early(void **state)
{
	struct fixture *f = *state;
	struct record r = {0};
	struct rpc_call *call;

	fixture_client(f, NULL);
	call = fixture_session(f->client, &r);
	assert_int_equal(fixture_hello(call, "finish"), 0);
	wait_for(f, r.done);
	assert_int_equal(r.code, RPC_ABORTED);
	assert_string_equal(r.message, "as you like");
	wait_for(f, f->service.dones == 1);
	assert_int_equal(f->service.last_done, RPC_ABORTED);
	/* the connection is as good as before */
	memset(&r, 0, sizeof(r));
	fixture_watch(f->client, "1 1", &r);
	wait_for(f, r.done);
	assert_int_equal(r.code, RPC_OK);
}

static void many_calls_at_once(void **state)
{
	struct fixture *f = *state;
	struct record r[200] = {0};
	unsigned int done = 0;

	fixture_client(f, NULL);
	for (int i = 0; i < 200; i++)
		fixture_watch(f->client, "20 50", &r[i]);
	for (int i = 0; i < 200; i++) {
		wait_for(f, r[i].done);
		done += r[i].code == RPC_OK && r[i].messages == 20;
	}
	assert_int_equal(done, 200);
}

/* ---- statuses ---- */

static void status_and_message(void **state)
{
	struct fixture *f = *state;
	struct rpc_result r;

	fixture_client(f, NULL);
	assert_int_equal(fixture_get(f->client, "missing", 0, &r), RPC_NOT_FOUND);
	assert_string_equal(r.status.message, "no provider \"missing\"");
	assert_null(r.response);
	rpc_result_clear(&r);
	/* percent, newline and UTF-8 survive */
	assert_int_equal(fixture_get(f->client, "strange", 0, &r), RPC_ABORTED);
	assert_string_equal(r.status.message, "100% R\xc4\xabga\nline");
	rpc_result_clear(&r);
}

static void status_details(void **state)
{
	struct fixture *f = *state;
	Audums__V1__Problems *p;
	struct rpc_result r;

	fixture_client(f, NULL);
	assert_int_equal(fixture_get(f->client, "invalid", 0, &r), RPC_INVALID_ARGUMENT);
	assert_string_equal(r.status.message, "the document is wrong");
	p = (Audums__V1__Problems *)rpc_status_detail(&r.status, &audums__v1__problems__descriptor);
	assert_non_null(p);
	assert_int_equal(p->n_problems, 2);
	assert_string_equal(p->problems[1]->path, "segments[2].tenant");
	protobuf_c_message_free_unpacked(&p->base, NULL);
	assert_null(rpc_status_detail(&r.status, &audums__v1__document__descriptor));
	rpc_result_clear(&r);
	/* some hundred of them, several HTTP/2 frames of trailers */
	assert_int_equal(fixture_get(f->client, "many-problems", 0, &r), RPC_INVALID_ARGUMENT);
	p = (Audums__V1__Problems *)rpc_status_detail(&r.status, &audums__v1__problems__descriptor);
	assert_non_null(p);
	assert_int_equal(p->n_problems, 700);
	protobuf_c_message_free_unpacked(&p->base, NULL);
	rpc_result_clear(&r);
}

static void details_that_the_client_cannot_take(void **state)
{
	struct fixture *f = *state;
	const struct rpc_limits limits = {.header_bytes = 4096};
	struct rpc_result r;

	fixture_client(f, &limits);
	assert_int_equal(fixture_get(f->client, "many-problems", 0, &r), RPC_INVALID_ARGUMENT);
	assert_string_equal(r.status.message, "the document is wrong");
	assert_null(r.status.details);
	rpc_result_clear(&r);
}

static void unknown_method(void **state)
{
	struct fixture *f = *state;
	Audums__V1__GetRequest req = AUDUMS__V1__GET_REQUEST__INIT;
	struct rpc_result r;

	fixture_client(f, NULL);
	assert_int_equal(rpc_call_sync(f->client, "/audums.v1.Fabric/Nothing", &req.base,
				 &audums__v1__document__descriptor, 0, &r),
		RPC_UNIMPLEMENTED);
	assert_string_equal(r.status.message, "unknown method /audums.v1.Fabric/Nothing");
	rpc_result_clear(&r);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		TEST(unary),
		TEST(unary_over_unix_socket),
		TEST(server_stream),
		TEST(bidirectional_stream),
		TEST(server_ends_stream_early),
		TEST(many_calls_at_once),
		TEST(status_and_message),
		TEST(status_details),
		TEST(details_that_the_client_cannot_take),
		TEST(unknown_method),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
