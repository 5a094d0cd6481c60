/*
 * The streams of the Fabric service and what hangs on nodes: Watch, NodeShow, events.
 */
#include "tests/unit/audumsd/fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/lib/log.h"

#define OPERATOR "audums://client/operator/*/ops"

/* ---- Watch -------------------------------------------------------------------------------- */

struct watch {
	struct rpc_call *call;
	char text[65536]; /* "+kind/name ", "-kind/name ", "SYNCED " */
	unsigned int n;
	bool synced;
	bool is_over;
	enum rpc_code ended;
	uint32_t mtu; /* of the last segment */
	const char *until;
};

static void on_event(struct rpc_call *rpc, const ProtobufCMessage *message)
{
	const Audums__V1__WatchEvent *e = (const Audums__V1__WatchEvent *)message;
	struct watch *w = rpc_call_data(rpc);
	size_t len = strlen(w->text);

	w->n++;
	if (e->type == AUDUMS__V1__WATCH_EVENT__TYPE__TYPE_SYNCED) {
		w->synced = true;
		snprintf(w->text + len, sizeof(w->text) - len, "SYNCED ");
		return;
	}
	snprintf(w->text + len, sizeof(w->text) - len, "%c%s/%s ",
		e->type == AUDUMS__V1__WATCH_EVENT__TYPE__TYPE_PUT ? '+' : '-',
		kind_name(e->ref->kind), e->ref->name);
	if (e->type == AUDUMS__V1__WATCH_EVENT__TYPE__TYPE_PUT) {
		assert_int_equal(document_count(e->object), 1);
		if (e->object->n_segments)
			w->mtu = e->object->segments[0]->mtu;
	}
}

static void on_watch_done(struct rpc_call *rpc, const struct rpc_status *status)
{
	struct watch *w = rpc_call_data(rpc);

	w->is_over = true;
	w->ended = status->code;
	w->call = NULL;
}

static void watch_start(
	struct watch *w, struct rpc_client *client, Audums__V1__Kind kind, const char *name)
{
	static const struct rpc_call_events events = {.message = on_event, .done = on_watch_done};
	Audums__V1__WatchRequest request = AUDUMS__V1__WATCH_REQUEST__INIT;

	*w = (struct watch){0};
	request.kinds = &kind;
	request.n_kinds = kind != AUDUMS__V1__KIND__KIND_UNSPECIFIED;
	request.name = (char *)(uintptr_t)name;
	w->call = rpc_call_start(client, "/audums.v1.Fabric/Watch",
		&audums__v1__watch_event__descriptor, 0, &events, w);
	assert_non_null(w->call);
	assert_int_equal(rpc_send(w->call, &request.base), 0);
	rpc_call_half_close(w->call);
}

static bool watch_synced(void *arg)
{
	return ((struct watch *)arg)->synced;
}

static bool watch_says(void *arg)
{
	struct watch *w = arg;

	return strstr(w->text, w->until);
}

static void test_watch(void **state)
{
	struct fixture f = {0};
	struct rpc_client *ops;
	struct watch all, segments, one;

	fixture_start(&f);
	ops = fixture_client(&f, OPERATOR);
	watch_start(&all, ops, 0, "");
	fixture_wait(&f, watch_synced, &all);
	assert_string_equal(all.text, "SYNCED ");
	assert_int_equal(call_apply(ops, "latvia.yaml", NULL), RPC_OK);
	assert_int_equal(call_apply(ops, "demo-tenant.yaml", NULL), RPC_OK);
	watch_start(&segments, ops, AUDUMS__V1__KIND__KIND_SEGMENT, "");
	fixture_wait(&f, watch_synced, &segments);
	assert_string_equal(segments.text, "+segment/registri SYNCED ");
	watch_start(&one, ops, 0, "registri-ic");
	fixture_wait(&f, watch_synced, &one);
	assert_string_equal(one.text, "+attachment/registri-ic SYNCED ");
	assert_int_equal(
		call_delete(ops, "attachment/registri-ic attachment/registri-lvrtc"), RPC_OK);
	one.until = "SYNCED -attachment/registri-ic ";
	fixture_wait(&f, watch_says, &one);
	/* the segment's configuration on these nodes is another: its status is told again */
	segments.until = "SYNCED +segment/registri ";
	fixture_wait(&f, watch_says, &segments);
	all.until = "+segment/registri ";
	fixture_wait(&f, watch_says, &all);
	assert_non_null(strstr(all.text, "+provider/lvrtc "));
	assert_non_null(strstr(all.text, "-attachment/registri-lvrtc "));
	/* a status that changes is an event */
	one.until = "+node/lnb1 ";
	watch_start(&one, ops, AUDUMS__V1__KIND__KIND_NODE, "lnb1");
	fixture_wait(&f, watch_synced, &one);
	{
		struct agent *a = agent_start(&f, "lnb1", NULL);

		agent_hello(a, "lnb1");
		one.until = "SYNCED +node/lnb1 ";
		fixture_wait(&f, watch_says, &one);
		agent_stop(a);
	}
	rpc_client_free(ops);
	fixture_stop(&f);
}

static bool watch_newest(void *arg)
{
	return ((struct watch *)arg)->mtu == 1444;
}

/* A watcher that doesn't read gets the newest state when it does, not the history. */
static void test_watch_slow(void **state)
{
	struct fixture f = {0};
	struct rpc_client *ops, *slow;
	struct watch w;
	char *text, pad[200];
	size_t len;

	memset(pad, 'x', sizeof(pad));
	pad[sizeof(pad) - 1] = '\0';
	fixture_start(&f);
	ops = fixture_client(&f, OPERATOR);
	slow = fixture_client(&f, "audums://client/reader/*/slow");
	assert_int_equal(call_apply(ops, "latvia.yaml", NULL), RPC_OK);
	assert_int_equal(call_apply(ops, "demo-tenant.yaml", NULL), RPC_OK);
	watch_start(&w, slow, AUDUMS__V1__KIND__KIND_SEGMENT, "");
	fixture_wait(&f, watch_synced, &w);
	w.n = 0;
	rpc_call_pause(w.call);
	for (uint32_t i = 0; i < 600; i++) {
		/* about 5 kB each: far more than all queues together hold */
		FILE *out = open_memstream(&text, &len);

		fprintf(out,
			"segments:\n- {name: registri, provider: lvrtc, tenant: vid, sites: [lvrtc, "
			"lnb, ic, ldc], mtu: %u, labels: [",
			i == 599 ? 1444 : 1300 + (i & 1));
		for (int k = 0; k < 25; k++)
			fprintf(out, "{key: k%d, value: %s}, ", k, pad);
		fprintf(out, "]}\n");
		fclose(out);
		assert_int_equal(call_apply(ops, text, NULL), RPC_OK);
		free(text);
	}
	rpc_call_resume(w.call);
	fixture_wait(&f, watch_newest, &w);
	assert_true(w.n < 500);
	print_message("600 changes: %u events\n", w.n);
	rpc_client_free(slow);
	rpc_client_free(ops);
	fixture_stop(&f);
}

/* ---- NodeShow ----------------------------------------------------------------------------- */

struct show {
	struct rpc_call *call;
	unsigned int n;
	char text[256];
	bool is_over;
	enum rpc_code ended;
	char why[512];
};

static void on_answer(struct rpc_call *rpc, const ProtobufCMessage *message)
{
	const Audums__V1__DataplaneReply *r = (const Audums__V1__DataplaneReply *)message;
	struct show *s = rpc_call_data(rpc);

	s->n++;
	if (r->info)
		snprintf(s->text, sizeof(s->text), "%s", r->info->version);
}

static void on_show_done(struct rpc_call *rpc, const struct rpc_status *status)
{
	struct show *s = rpc_call_data(rpc);

	s->is_over = true;
	s->ended = status->code;
	snprintf(s->why, sizeof(s->why), "%s", status->message);
}

static bool show_over(void *arg)
{
	return ((struct show *)arg)->is_over;
}

static void show_start(struct show *s, struct rpc_client *client, const char *node)
{
	static const struct rpc_call_events events = {.message = on_answer, .done = on_show_done};
	Audums__V1__NodeShowRequest request = AUDUMS__V1__NODE_SHOW_REQUEST__INIT;
	Audums__V1__DataplaneRequest ask = AUDUMS__V1__DATAPLANE_REQUEST__INIT;
	Audums__V1__InfoRequest info = AUDUMS__V1__INFO_REQUEST__INIT;

	*s = (struct show){0};
	ask.ask_case = AUDUMS__V1__DATAPLANE_REQUEST__ASK_INFO;
	ask.info = &info;
	request.node = (char *)(uintptr_t)node;
	request.dataplane = &ask;
	s->call = rpc_call_start(client, "/audums.v1.Fabric/NodeShow",
		&audums__v1__dataplane_reply__descriptor, 0, &events, s);
	assert_non_null(s->call);
	assert_int_equal(rpc_send(s->call, &request.base), 0);
	rpc_call_half_close(s->call);
}

static bool agent_asked(void *arg)
{
	return ((struct agent *)arg)->query;
}

static uint64_t question(struct fixture *f, struct agent *a)
{
	uint64_t id;

	fixture_wait(f, agent_asked, a);
	assert_int_equal(a->query->dataplane->ask_case, AUDUMS__V1__DATAPLANE_REQUEST__ASK_INFO);
	id = a->query->id;
	audums__v1__query__free_unpacked(a->query, NULL);
	a->query = NULL;
	return id;
}

static void answer(struct agent *a, uint64_t id, const char *version, bool more, const char *error)
{
	Audums__V1__AgentMessage m = AUDUMS__V1__AGENT_MESSAGE__INIT;
	Audums__V1__QueryReply reply = AUDUMS__V1__QUERY_REPLY__INIT;
	Audums__V1__DataplaneReply dataplane = AUDUMS__V1__DATAPLANE_REPLY__INIT;
	Audums__V1__DataplaneInfo info = AUDUMS__V1__DATAPLANE_INFO__INIT;

	info.version = (char *)(uintptr_t)version;
	dataplane.answer_case = AUDUMS__V1__DATAPLANE_REPLY__ANSWER_INFO;
	dataplane.info = &info;
	dataplane.more = more;
	reply.id = id;
	if (error)
		reply.error = (char *)(uintptr_t)error;
	else
		reply.dataplane = &dataplane;
	m.body_case = AUDUMS__V1__AGENT_MESSAGE__BODY_QUERY_REPLY;
	m.query_reply = &reply;
	agent_send(a, &m);
}

static void test_node_show(void **state)
{
	struct fixture f = {0};
	struct rpc_client *ops;
	struct show show, second;
	struct agent *a, *other;
	uint64_t id;

	fixture_start(&f);
	ops = fixture_client(&f, OPERATOR);
	assert_int_equal(call_apply(ops, "latvia.yaml", NULL), RPC_OK);
	show_start(&show, ops, "nobody");
	fixture_wait(&f, show_over, &show);
	assert_int_equal(show.ended, RPC_NOT_FOUND);
	show_start(&show, ops, "ic1");
	fixture_wait(&f, show_over, &show);
	assert_int_equal(show.ended, RPC_UNAVAILABLE);
	a = agent_start(&f, "ic1", NULL);
	agent_hello(a, "ic1");
	other = agent_start(&f, "lnb1", NULL);
	agent_hello(other, "lnb1");
	/* two at a time, several answers each */
	do {
		show_start(&show, ops, "ic1");
		loop_turn(f.loop, 50);
		loop_turn(f.loop, 50);
	} while (show.is_over); /* the session is not there yet */
	id = question(&f, a);
	show_start(&second, ops, "ic1");
	answer(a, question(&f, a), "second", false, NULL);
	fixture_wait(&f, show_over, &second);
	assert_int_equal(second.ended, RPC_OK);
	assert_string_equal(second.text, "second");
	answer(a, id, "one", true, NULL);
	answer(other, id, "forged", false, NULL); /* not asked */
	answer(a, id, "two", true, NULL);
	answer(a, id, "three", false, NULL);
	answer(a, id, "too late", false, NULL);
	fixture_wait(&f, show_over, &show);
	assert_int_equal(show.ended, RPC_OK);
	assert_int_equal(show.n, 3);
	assert_string_equal(show.text, "three");
	/* the dataplane can't be asked; the node goes */
	show_start(&show, ops, "ic1");
	answer(a, question(&f, a), "", false, "no dataplane");
	fixture_wait(&f, show_over, &show);
	assert_int_equal(show.ended, RPC_UNAVAILABLE);
	assert_string_equal(show.why, "node ic1: no dataplane");
	show_start(&show, ops, "ic1");
	question(&f, a);
	agent_stop(a);
	fixture_wait(&f, show_over, &show);
	assert_int_equal(show.ended, RPC_UNAVAILABLE);
	agent_stop(other);
	rpc_client_free(ops);
	fixture_stop(&f);
}

/* A client that leaves ends the question at the node; one that goes on is told again. */
static void test_node_show_left(void **state)
{
	struct fixture f = {0};
	struct rpc_client *ops;
	struct show show;
	struct agent *a;
	uint64_t id;

	fixture_start(&f);
	ops = fixture_client(&f, OPERATOR);
	assert_int_equal(call_apply(ops, "latvia.yaml", NULL), RPC_OK);
	a = agent_start(&f, "ic1", NULL);
	agent_hello(a, "ic1");
	do {
		show_start(&show, ops, "ic1");
		loop_turn(f.loop, 50);
		loop_turn(f.loop, 50);
	} while (show.is_over); /* the session is not there yet */
	id = question(&f, a);
	rpc_call_cancel(show.call);
	for (int i = 0; i < 2; i++) {
		fixture_wait(&f, agent_asked, a);
		assert_true(a->query->cancel);
		assert_null(a->query->dataplane);
		assert_int_equal(a->query->id, id);
		audums__v1__query__free_unpacked(a->query, NULL);
		a->query = NULL;
		answer(a, id, "still at it", true, NULL);
	}
	agent_stop(a);
	rpc_client_free(ops);
	fixture_stop(&f);
}

/* What is kept of a node is bounded, whatever it says. */
static void test_events(void **state)
{
	struct fixture f = {0};
	struct rpc_client *ops;
	struct agent *a;
	Audums__V1__Document *d;

	fixture_start(&f);
	ops = fixture_client(&f, OPERATOR);
	assert_int_equal(call_apply(ops, "latvia.yaml", NULL), RPC_OK);
	a = agent_start(&f, "ic1", NULL);
	agent_hello(a, "ic1");
	for (uint64_t i = 1; i <= 40; i++) {
		Audums__V1__AgentMessage m = AUDUMS__V1__AGENT_MESSAGE__INIT;
		Audums__V1__AgentEvent event = AUDUMS__V1__AGENT_EVENT__INIT;

		event.time_ms = i;
		event.kind = (char *)"kernel_drift";
		event.object = (char *)"segment/registri";
		event.message = (char *)"device vx10000 was \"gone\"\n";
		m.body_case = AUDUMS__V1__AGENT_MESSAGE__BODY_EVENT;
		m.event = &event;
		agent_send(a, &m);
	}
	for (;;) {
		d = call_get(ops, AUDUMS__V1__KIND__KIND_NODE, "ic1");
		if (d->nodes[0]->status->n_events == NODE_EVENTS &&
			d->nodes[0]->status->events[NODE_EVENTS - 1]->time_ms == 40)
			break;
		audums__v1__document__free_unpacked(d, NULL);
		loop_turn(f.loop, 20);
	}
	assert_int_equal(d->nodes[0]->status->events[0]->time_ms, 40 - NODE_EVENTS + 1);
	audums__v1__document__free_unpacked(d, NULL);
	agent_stop(a);
	rpc_client_free(ops);
	fixture_stop(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_watch),
		cmocka_unit_test(test_watch_slow),
		cmocka_unit_test(test_node_show),
		cmocka_unit_test(test_node_show_left),
		cmocka_unit_test(test_events),
	};

	log_setup(LOG_LEVEL_ERROR, 2);
	return cmocka_run_group_tests_name("streams", tests, NULL, NULL);
}
