/*
 * The Fabric service as its clients see it: who may do what, what bad requests get, Diff and
 * List. The streams are in streams_test.c.
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

/* Ask a node, which is not connected, for its tenants' frames. */
static enum rpc_code call_capture(struct rpc_client *c, const char *node)
{
	Audums__V1__NodeShowRequest request = AUDUMS__V1__NODE_SHOW_REQUEST__INIT;
	Audums__V1__DataplaneRequest ask = AUDUMS__V1__DATAPLANE_REQUEST__INIT;
	Audums__V1__CaptureRequest capture = AUDUMS__V1__CAPTURE_REQUEST__INIT;

	ask.ask_case = AUDUMS__V1__DATAPLANE_REQUEST__ASK_CAPTURE;
	ask.capture = &capture;
	request.node = (char *)(uintptr_t)node;
	request.dataplane = &ask;
	return call(c, "NodeShow", &request.base, &audums__v1__dataplane_reply__descriptor, NULL);
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
		/* who may read may not read tenants' frames */
		assert_int_equal(call_capture(c, "lvrtc1"),
			cases[i].change_lvrtc ? RPC_PERMISSION_DENIED : RPC_UNAVAILABLE);
		assert_int_equal(call_capture(c, "lnb1"),
			cases[i].change_lnb ? RPC_PERMISSION_DENIED : RPC_UNAVAILABLE);
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

/* What one owns must not take hold of what others own. */
static void test_foreign_ground(void **state)
{
	static const struct {
		const char *document;
		enum rpc_code code;
	} cases[] = {
		/* a node at somebody's site would join all of the segments there */
		{"nodes:\n- {name: spy, provider: ldc, site: lnb}\n", RPC_PERMISSION_DENIED},
		{"sites:\n- {name: ldc-b, provider: ldc}\n"
		 "nodes:\n- {name: ldc2, provider: ldc, site: ldc-b}\n",
			RPC_OK},
		/* somebody's port */
		{"attachments:\n- {name: a1, provider: ldc, segment: registri, node: lnb1, port: "
		 "p3}\n",
			RPC_PERMISSION_DENIED},
		/* somebody's segment at one's own port: its owner has it span our site */
		{"attachments:\n- {name: a1, provider: ldc, segment: registri, node: ldc1, port: "
		 "p3}\n",
			RPC_OK},
		/* somebody's tenant */
		{"segments:\n- {name: s1, provider: ldc, tenant: vid, sites: [ldc]}\n",
			RPC_PERMISSION_DENIED},
		{"tenants:\n- {name: own, provider: ldc}\n"
		 "segments:\n- {name: s1, provider: ldc, tenant: own, sites: [ldc]}\n",
			RPC_OK},
		/* a link between two others */
		{"links:\n- {name: l1, provider: ldc, a: {node: lnb1, port: up7}, b: {node: lvrtc1, "
		 "port: up7}}\n",
			RPC_PERMISSION_DENIED},
		{"links:\n- {name: l1, provider: ldc, a: {node: lnb1, port: up7}, b: {node: ldc1, "
		 "port: up7}}\n",
			RPC_OK},
	};
	struct fixture f = {0};
	struct rpc_client *ops;

	fixture_start(&f);
	ops = fixture_client(&f, OPERATOR);
	assert_int_equal(call_apply(ops, "latvia.yaml", NULL), RPC_OK);
	assert_int_equal(call_apply(ops, "demo-tenant.yaml", NULL), RPC_OK);
	rpc_client_free(ops);
	ops = fixture_client(&f, "audums://client/operator/ldc/x");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const enum rpc_code code = call_apply(ops, cases[i].document, NULL);

		if (code != cases[i].code)
			fail_msg("%s%s: %s", cases[i].document, rpc_code_name(code), call_message);
		if (code)
			assert_non_null(strstr(call_message, "ask an operator of l"));
	}
	/* one's own may be taken back from there */
	assert_int_equal(call_delete(ops, "attachment/a1"), RPC_OK);
	/* the only paths to ic1 and lnb1: afterwards nothing could be applied any more */
	rpc_client_free(ops);
	ops = fixture_client(&f, OPERATOR);
	assert_int_equal(
		call_delete(ops, "link/l1 link/lvrtc-lnb link/lnb-ic"), RPC_FAILED_PRECONDITION);
	assert_non_null(strstr(call_message, "node \"lnb1\" of segment \"registri\""));
	assert_int_equal(call_delete(ops, "link/l1"), RPC_OK);
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
	/* what only the controller sets is passed over, not judged */
	assert_null(strstr(call_problems, "generation"));
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_access_parse),
		cmocka_unit_test(test_access_rights),
		cmocka_unit_test(test_matrix),
		cmocka_unit_test(test_foreign_ground),
		cmocka_unit_test(test_providers),
		cmocka_unit_test(test_bad_documents),
		cmocka_unit_test(test_many_problems),
		cmocka_unit_test(test_diff),
		cmocka_unit_test(test_list),
	};

	log_setup(LOG_LEVEL_ERROR, 2);
	return cmocka_run_group_tests_name("api", tests, NULL, NULL);
}
