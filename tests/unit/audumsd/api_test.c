/*
 * The Fabric service as its clients see it: who may do what, what bad requests get, Diff, List,
 * Watch, NodeShow.
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

#include "controller/audumsd/access.h"
#include "controller/audumsd/controller.h"
#include "proto/lib/log.h"

#define OPERATOR "audums://client/operator/*/ops"

static const char tenant[] = "tenants:\n- {name: t, provider: lvrtc}\n";

/* ---- rights ------------------------------------------------------------------------------- */

static void test_access_parse(void **state)
{
	static const struct {
		const char *identity;
		enum access_role role;
		const char *name, *provider;
	} cases[] = {
		{"audums://node/ic1", ACCESS_NODE, "ic1", ""},
		{"audums://client/operator/lnb/anna", ACCESS_OPERATOR, "anna", "lnb"},
		{"audums://client/operator/*/anna", ACCESS_OPERATOR, "anna", "*"},
		{"audums://client/reader/lnb/soc", ACCESS_READER, "soc", "lnb"},
		{"audums://client/owner/lnb/anna", ACCESS_NONE, NULL, NULL},
		{"audums://client/operator/lnb", ACCESS_NONE, NULL, NULL},
		{"audums://client/operator/lnb/", ACCESS_NONE, NULL, NULL},
		{"audums://client/operator//anna", ACCESS_NONE, NULL, NULL},
		{"audums://client/operator/lnb/anna/more", ACCESS_NONE, NULL, NULL},
		{"audums://client/operator/**/anna", ACCESS_NONE, NULL, NULL},
		{"audums://client/OPERATOR/lnb/anna", ACCESS_NONE, NULL, NULL},
		{"audums://controller/main", ACCESS_NONE, NULL, NULL},
		{"audums://node/", ACCESS_NONE, NULL, NULL},
		{"audums://node/ic1/x", ACCESS_NONE, NULL, NULL},
		{"audums://node/IC1", ACCESS_NONE, NULL, NULL},
		{"audums://node", ACCESS_NONE, NULL, NULL},
		{"https://node/ic1", ACCESS_NONE, NULL, NULL},
		{"audums://", ACCESS_NONE, NULL, NULL},
		{"", ACCESS_NONE, NULL, NULL},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct access a;

		access_parse(cases[i].identity, &a);
		if (a.role != cases[i].role)
			fail_msg("%s: role %d", cases[i].identity, a.role);
		if (!a.role)
			continue;
		assert_string_equal(a.name, cases[i].name);
		assert_string_equal(a.provider, cases[i].provider);
	}
}

static void test_access_rights(void **state)
{
	char *some[] = {(char *)"lvrtc", (char *)"lnb"};
	struct access operator, all, reader, node;
	char why[300];

	access_parse("audums://client/operator/lnb/a", &operator);
	access_parse("audums://client/operator/*/a", &all);
	access_parse("audums://client/reader/*/a", &reader);
	access_parse("audums://node/lnb1", &node);
	assert_true(access_change_provider(&operator, "lnb", NULL, 0, why, sizeof(why)));
	assert_false(access_change_provider(&operator, "ic", NULL, 0, why, sizeof(why)));
	assert_non_null(strstr(why, "ask an operator of ic"));
	assert_true(access_change_provider(&all, "ic", NULL, 0, why, sizeof(why)));
	assert_true(access_change_provider(&all, "lnb", some, 2, why, sizeof(why)));
	assert_false(access_change_provider(&all, "ic", some, 2, why, sizeof(why)));
	assert_non_null(strstr(why, "does not act for provider ic"));
	assert_false(access_change_provider(&reader, "lnb", NULL, 0, why, sizeof(why)));
	assert_false(access_change_provider(&node, "lnb", NULL, 0, why, sizeof(why)));
	assert_true(access_read(&operator) && access_read(&reader) && !access_read(&node));
	assert_true(access_node(&node, "lnb1") && !access_node(&node, "lnb2"));
	assert_false(access_node(&all, "lnb1"));
}

/* Each kind of certificate against each method. */
static void test_matrix(void **state)
{
	static const struct {
		const char *identity;
		enum rpc_code read, change_lvrtc, change_lnb;
	} cases[] = {
		{"audums://client/operator/*/x", RPC_OK, RPC_OK, RPC_OK},
		{"audums://client/operator/lvrtc/x", RPC_OK, RPC_OK, RPC_PERMISSION_DENIED},
		{"audums://client/operator/ic/x", RPC_OK, RPC_PERMISSION_DENIED,
			RPC_PERMISSION_DENIED},
		{"audums://client/reader/*/x", RPC_OK, RPC_PERMISSION_DENIED,
			RPC_PERMISSION_DENIED},
		{"audums://node/lnb1", RPC_PERMISSION_DENIED, RPC_PERMISSION_DENIED,
			RPC_PERMISSION_DENIED},
		{"audums://controller/other", RPC_PERMISSION_DENIED, RPC_PERMISSION_DENIED,
			RPC_PERMISSION_DENIED},
		{NULL, RPC_PERMISSION_DENIED, RPC_PERMISSION_DENIED, RPC_PERMISSION_DENIED},
	};
	static const struct {
		const char *method;
		const ProtobufCMessageDescriptor *input, *output;
	} reads[] = {
		{"Get", &audums__v1__get_request__descriptor, &audums__v1__document__descriptor},
		{"List", &audums__v1__list_request__descriptor, &audums__v1__document__descriptor},
		{"Diff", &audums__v1__diff_request__descriptor,
			&audums__v1__diff_response__descriptor},
		{"GetOperation", &audums__v1__get_operation_request__descriptor,
			&audums__v1__operation__descriptor},
		{"NodeShow", &audums__v1__node_show_request__descriptor,
			&audums__v1__dataplane_reply__descriptor},
	};
	struct fixture f = {0};
	struct rpc_client *ops;

	fixture_start(&f);
	ops = fixture_client(&f, OPERATOR);
	assert_int_equal(call_apply(ops, "latvia.yaml", NULL), RPC_OK);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rpc_client *c = fixture_client(&f, cases[i].identity);
		char text[128];

		for (size_t k = 0; k < sizeof(reads) / sizeof(reads[0]); k++) {
			ProtobufCMessage *m = malloc(reads[k].input->sizeof_message);
			enum rpc_code code;

			protobuf_c_message_init(reads[k].input, m);
			code = call(c, reads[k].method, m, reads[k].output, NULL);
			free(m);
			if ((code == RPC_PERMISSION_DENIED) != (cases[i].read != RPC_OK))
				fail_msg("%s %s: %s", cases[i].identity, reads[k].method,
					rpc_code_name(code));
		}
		snprintf(text, sizeof(text), "tenants:\n- {name: t%zu, provider: lvrtc}\n", i);
		assert_int_equal(call_apply(c, text, NULL), cases[i].change_lvrtc);
		snprintf(text, sizeof(text), "tenants:\n- {name: u%zu, provider: lnb}\n", i);
		assert_int_equal(call_apply(c, text, NULL), cases[i].change_lnb);
		/* deleting, taking over and giving away are changes of the owner's object */
		assert_int_equal(call_delete(c, "site/lnb"),
			cases[i].change_lnb ? RPC_PERMISSION_DENIED : RPC_FAILED_PRECONDITION);
		rpc_client_free(c);
	}
	assert_int_equal(call_apply(ops, tenant, NULL), RPC_OK);
	rpc_client_free(ops);
	ops = fixture_client(&f, "audums://client/operator/lnb/x");
	assert_int_equal(call_apply(ops, "tenants:\n- {name: t, provider: lnb}\n", NULL),
		RPC_PERMISSION_DENIED);
	assert_non_null(strstr(call_message, "ask an operator of lvrtc"));
	/* what is not changed may stand in the file, whoever owns it */
	assert_int_equal(call_apply(ops, "latvia.yaml", NULL), RPC_OK);
	rpc_client_free(ops);
	fixture_stop(&f);
}

/* A controller acts for its providers only. */
static void test_providers(void **state)
{
	char *providers[] = {(char *)"lvrtc"};
	struct fixture f = {.options = {.providers = providers, .n_providers = 1}};
	struct rpc_client *ops;

	fixture_start(&f);
	ops = fixture_client(&f, OPERATOR);
	assert_int_equal(call_apply(ops, "latvia.yaml", NULL), RPC_PERMISSION_DENIED);
	assert_non_null(strstr(call_message, "does not act for provider"));
	rpc_client_free(ops);
	fixture_stop(&f);
}

/* ---- bad requests ------------------------------------------------------------------------- */

static void test_bad_documents(void **state)
{
	Audums__V1__ApplyRequest request = AUDUMS__V1__APPLY_REQUEST__INIT;
	Audums__V1__ApplyResponse *response;
	Audums__V1__Document *d;
	struct fixture f = {0};
	struct rpc_client *ops;
	uint64_t generation;

	fixture_start(&f);
	ops = fixture_client(&f, OPERATOR);
	assert_int_equal(call_apply(ops, "latvia.yaml", &response), RPC_OK);
	generation = response->generation;
	audums__v1__apply_response__free_unpacked(response, NULL);
	/* all problems, each at its place; nothing is applied */
	assert_int_equal(
		call_apply(ops,
			"tenants:\n- {name: good, provider: lvrtc}\nsegments:\n"
			"- {name: a, provider: lvrtc, tenant: nobody, sites: [lvrtc]}\n"
			"- {name: b, provider: lvrtc, tenant: good, sites: [moon], vni: 5}\n",
			NULL),
		RPC_INVALID_ARGUMENT);
	assert_non_null(strstr(call_problems, "segments[0].tenant: "));
	assert_non_null(strstr(call_problems, "segments[1].sites[0]: "));
	assert_non_null(strstr(call_problems, "segments[1].vni: "));
	assert_null(call_get(ops, AUDUMS__V1__KIND__KIND_TENANT, "good"));
	/* what no loader would let through */
	request.document = document_load(tenant);
	free(request.document->tenants[0]->name);
	request.document->tenants[0]->name = strdup("No Name");
	request.document->tenants[0]->generation = 7;
	assert_int_equal(
		call(ops, "Apply", &request.base, &audums__v1__apply_response__descriptor, NULL),
		RPC_INVALID_ARGUMENT);
	assert_non_null(strstr(call_problems, "tenants[0].name"));
	assert_non_null(strstr(call_problems, "tenants[0].generation"));
	audums__v1__document__free_unpacked(request.document, NULL);
	/* somebody else was faster */
	request.document = document_load(tenant);
	request.expect_generation = generation + 1;
	assert_int_equal(
		call(ops, "Apply", &request.base, &audums__v1__apply_response__descriptor, NULL),
		RPC_ABORTED);
	request.expect_generation = generation;
	assert_int_equal(
		call(ops, "Apply", &request.base, &audums__v1__apply_response__descriptor, NULL),
		RPC_OK);
	audums__v1__document__free_unpacked(request.document, NULL);
	/* a comment without end */
	request = (Audums__V1__ApplyRequest)AUDUMS__V1__APPLY_REQUEST__INIT;
	request.comment = calloc(1, 2000);
	memset(request.comment, 'x', 1999);
	assert_int_equal(
		call(ops, "Apply", &request.base, &audums__v1__apply_response__descriptor, NULL),
		RPC_INVALID_ARGUMENT);
	free(request.comment);
	/* nothing at all is no change */
	request.comment = (char *)protobuf_c_empty_string;
	assert_int_equal(call(ops, "Apply", &request.base, &audums__v1__apply_response__descriptor,
				 (ProtobufCMessage **)&response),
		RPC_OK);
	assert_string_equal(response->operation, "");
	audums__v1__apply_response__free_unpacked(response, NULL);
	d = call_get(ops, AUDUMS__V1__KIND__KIND_UNSPECIFIED, "x");
	assert_null(d);
	rpc_client_free(ops);
	fixture_stop(&f);
}

/* So many problems that they don't fit: some are told, and how many more there are. */
static void test_many_problems(void **state)
{
	struct fixture f = {0};
	struct rpc_client *ops;
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	fprintf(out, "segments:\n");
	for (int i = 0; i < 200; i++)
		fprintf(out, "- {name: s%d, provider: nobody, tenant: nobody, sites: [moon]}\n", i);
	fclose(out);
	fixture_start(&f);
	ops = fixture_client(&f, OPERATOR);
	assert_int_equal(call_apply(ops, text, NULL), RPC_INVALID_ARGUMENT);
	assert_true(strlen(call_problems) > 2000 && strlen(call_problems) < 7000);
	assert_non_null(strstr(call_problems, " more problems\n"));
	assert_non_null(strstr(call_message, "and more problems"));
	rpc_client_free(ops);
	fixture_stop(&f);
	free(text);
}

/* ---- Diff and List ------------------------------------------------------------------------ */

static void test_diff(void **state)
{
	Audums__V1__DiffRequest request = AUDUMS__V1__DIFF_REQUEST__INIT;
	Audums__V1__DiffResponse *response;
	struct fixture f = {0};
	struct rpc_client *ops;

	fixture_start(&f);
	ops = fixture_client(&f, OPERATOR);
	assert_int_equal(call_apply(ops, "latvia.yaml", NULL), RPC_OK);
	assert_int_equal(call_apply(ops, "demo-tenant.yaml", NULL), RPC_OK);
	request.document = document_load("demo-tenant.yaml");
	request.document->segments[0]->mtu = 1400;
	assert_int_equal(call(ops, "Diff", &request.base, &audums__v1__diff_response__descriptor,
				 (ProtobufCMessage **)&response),
		RPC_OK);
	assert_int_equal(response->n_changes, 1);
	assert_int_equal(response->generation, 2);
	assert_int_equal(response->changes[0]->action, AUDUMS__V1__CHANGE__ACTION__ACTION_UPDATE);
	assert_string_equal(response->changes[0]->object->name, "registri");
	assert_string_equal(response->changes[0]->fields[0]->path, "mtu");
	audums__v1__diff_response__free_unpacked(response, NULL);
	audums__v1__document__free_unpacked(request.document, NULL);
	/* it says what Apply would refuse, too */
	request.document = document_load(
		"segments:\n- {name: x, provider: lvrtc, tenant: none, sites: [lvrtc]}\n");
	assert_int_equal(
		call(ops, "Diff", &request.base, &audums__v1__diff_response__descriptor, NULL),
		RPC_INVALID_ARGUMENT);
	audums__v1__document__free_unpacked(request.document, NULL);
	rpc_client_free(ops);
	fixture_stop(&f);
}

static size_t list_count(struct rpc_client *c, Audums__V1__Kind kind, const char *provider,
	const char *key, const char *value)
{
	Audums__V1__ListRequest request = AUDUMS__V1__LIST_REQUEST__INIT;
	Audums__V1__Label label = AUDUMS__V1__LABEL__INIT, *labels[] = {&label};
	ProtobufCMessage *response;
	size_t n;

	request.kind = kind;
	request.provider = (char *)(uintptr_t)provider;
	label.key = (char *)(uintptr_t)key;
	label.value = (char *)(uintptr_t)value;
	request.labels = labels;
	request.n_labels = key != NULL;
	assert_int_equal(
		call(c, "List", &request.base, &audums__v1__document__descriptor, &response),
		RPC_OK);
	n = document_count((Audums__V1__Document *)response);
	protobuf_c_message_free_unpacked(response, NULL);
	return n;
}

static size_t file_count(const char *name)
{
	Audums__V1__Document *d = document_load(name);
	size_t n = document_count(d);

	audums__v1__document__free_unpacked(d, NULL);
	return n;
}

static void test_list(void **state)
{
	struct fixture f = {0};
	struct rpc_client *ops;

	fixture_start(&f);
	ops = fixture_client(&f, OPERATOR);
	assert_int_equal(list_count(ops, 0, "", NULL, NULL), 0);
	assert_int_equal(call_apply(ops, "latvia.yaml", NULL), RPC_OK);
	assert_int_equal(call_apply(ops, "demo-tenant.yaml", NULL), RPC_OK);
	assert_int_equal(list_count(ops, 0, "", NULL, NULL),
		file_count("latvia.yaml") + file_count("demo-tenant.yaml"));
	assert_int_equal(list_count(ops, AUDUMS__V1__KIND__KIND_LINK, "", NULL, NULL), 5);
	assert_int_equal(list_count(ops, AUDUMS__V1__KIND__KIND_LINK, "lvrtc", NULL, NULL), 2);
	assert_int_equal(list_count(ops, AUDUMS__V1__KIND__KIND_PROVIDER, "lnb", NULL, NULL), 1);
	assert_int_equal(list_count(ops, 0, "", "sector", "finance"), 1);
	assert_int_equal(list_count(ops, 0, "", "sector", "health"), 0);
	rpc_client_free(ops);
	fixture_stop(&f);
}

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
		cmocka_unit_test(test_access_parse),
		cmocka_unit_test(test_access_rights),
		cmocka_unit_test(test_matrix),
		cmocka_unit_test(test_providers),
		cmocka_unit_test(test_bad_documents),
		cmocka_unit_test(test_many_problems),
		cmocka_unit_test(test_diff),
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_watch),
		cmocka_unit_test(test_watch_slow),
		cmocka_unit_test(test_node_show),
		cmocka_unit_test(test_events),
	};

	log_setup(LOG_LEVEL_ERROR, 2);
	return cmocka_run_group_tests_name("api", tests, NULL, NULL);
}
