/* See fixture.h. */
#include "tests/unit/audumsd/fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "controller/audumsd/plan.h"
#include "topology/load.h"

/* both sides share one thread, and a sanitised build is slow */
#define PATIENCE_MS 60000

char call_message[1024];
char call_problems[8192];

static void must(int ret, const char *what, const char *why)
{
	if (ret < 0)
		fail_msg("%s: %s (%s)", what, why, strerror(-ret));
}

static void controller_begin(struct fixture *f)
{
	const struct rpc_limits limits = {
		.message_bytes = REQUEST_BYTES, .keepalive_timeout_ms = PATIENCE_MS};
	struct rpc_error rpc_error;
	char path[128], error[512];

	if (f->external)
		return;
	snprintf(path, sizeof(path), "%s/audums.db", f->dir);
	error[0] = '\0';
	must(store_sqlite_open(path, &f->store, error, sizeof(error)), "store", error);
	must(controller_new(&f->controller, f->loop, f->store, &f->options), "controller", "");
	f->server = rpc_server_new(f->loop, f->server_tls, &limits);
	assert_non_null(f->server);
	must(controller_serve(f->controller, f->server), "serve", "");
	must(rpc_server_listen_unix(f->server, f->socket, 0600, &rpc_error), "listen",
		rpc_error.text);
}

static void controller_end(struct fixture *f)
{
	rpc_server_free(f->server);
	controller_free(f->controller);
	store_close(f->store);
	f->server = NULL;
	f->controller = NULL;
	f->store = NULL;
}

/* Issue a certificate and load it. */
static struct rpc_tls *certificate(struct fixture *f, const char *uri)
{
	static const char *const names[] = {"localhost"};
	const struct rpc_cert_request request = {
		.common_name = "test", .uri = uri, .names = names, .name_count = 1, .days = 1};
	char cert[128], key[128], ca[128];
	struct rpc_error error;
	struct rpc_tls *tls = NULL;

	snprintf(cert, sizeof(cert), "%s/cert.pem", f->dir);
	snprintf(key, sizeof(key), "%s/key.pem", f->dir);
	snprintf(ca, sizeof(ca), "%s/ca.pem", f->dir);
	must(rpc_ca_issue(f->ca, &request, cert, key, &error), "issue", error.text);
	must(rpc_tls_load(&tls, ca, cert, key, &error), "load", error.text);
	return tls;
}

void fixture_start(struct fixture *f)
{
	struct rpc_error error;
	char ca[128];

	snprintf(f->dir, sizeof(f->dir), "/tmp/controller-test-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->socket, sizeof(f->socket), "%s/socket", f->dir);
	snprintf(ca, sizeof(ca), "%s/ca.pem", f->dir);
	must(rpc_ca_create(&f->ca, "test", 1, &error), "authority", error.text);
	must(rpc_ca_write(f->ca, ca, NULL, &error), "authority", error.text);
	f->loop = loop_new();
	assert_non_null(f->loop);
	f->server_tls = certificate(f, "audums://controller/test");
	controller_begin(f);
}

void fixture_restart(struct fixture *f)
{
	controller_end(f);
	controller_begin(f);
}

void fixture_stop(struct fixture *f)
{
	static const char *const files[] = {"audums.db", "audums.db-wal", "audums.db-shm",
		"cert.pem", "key.pem", "server.pem", "server.key", "ca.pem", "socket"};
	char path[160];

	controller_end(f);
	loop_free(f->loop);
	rpc_tls_free(f->server_tls);
	rpc_ca_free(f->ca);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", f->dir, files[i]);
		unlink(path);
	}
	rmdir(f->dir);
}

static bool client_ready(void *arg)
{
	return rpc_client_state(arg) == RPC_CLIENT_READY;
}

struct rpc_client *fixture_client(struct fixture *f, const char *uri)
{
	struct rpc_tls *tls = certificate(f, uri);
	struct rpc_client_options options = {.server_uri_prefix = "audums://controller/",
		.limits = {.keepalive_timeout_ms = PATIENCE_MS}};
	struct rpc_client *client;
	struct rpc_error error;
	char target[128];

	snprintf(target, sizeof(target), "unix:%s", f->socket);
	options.target = target;
	client = rpc_client_new(f->loop, tls, &options, &error);
	if (!client)
		fail_msg("client: %s", error.text);
	rpc_tls_free(tls);
	must(rpc_client_connect(client, &error), "connect", error.text);
	fixture_wait(f, client_ready, client);
	return client;
}

void fixture_wait(struct fixture *f, bool (*condition)(void *arg), void *arg)
{
	uint64_t end = loop_now_ms() + DEADLINE_MS;

	while (!condition(arg)) {
		if (loop_now_ms() > end)
			fail_msg("nothing came of it in %d ms", DEADLINE_MS);
		loop_turn(f->loop, 50);
	}
}

Audums__V1__Document *document_load(const char *name)
{
	struct topology topology = {0};
	struct problems problems;
	char path[256];
	const char *paths[] = {path};
	int ret;

	problems_init(&problems);
	if (strchr(name, '\n')) {
		ret = topology_load_text("inline", name, strlen(name), 0, &topology, &problems);
	} else {
		snprintf(path, sizeof(path), "%s/%s", TOPOLOGY_DIR, name);
		ret = topology_load(paths, 1, 0, &topology, &problems);
	}
	if (ret < 0) {
		problems_print(&problems, stderr);
		fail_msg("%s can't be loaded", name);
	}
	locations_destroy(topology.locations);
	problems_free(&problems);
	return topology.document;
}

/* ---- calls -------------------------------------------------------------------------------- */

enum rpc_code call(struct rpc_client *client, const char *method, const ProtobufCMessage *request,
	const ProtobufCMessageDescriptor *output, ProtobufCMessage **response)
{
	struct rpc_result result;
	enum rpc_code code;
	char path[128];

	snprintf(path, sizeof(path), "/audums.v1.Fabric/%s", method);
	code = rpc_call_sync(client, path, request, output, DEADLINE_MS, &result);
	snprintf(call_message, sizeof(call_message), "%s", result.status.message);
	call_problems[0] = '\0';
	if (code) {
		Audums__V1__Problems *p = (Audums__V1__Problems *)rpc_status_detail(
			&result.status, &audums__v1__problems__descriptor);

		for (size_t i = 0; p && i < p->n_problems; i++)
			snprintf(call_problems + strlen(call_problems),
				sizeof(call_problems) - strlen(call_problems), "%s: %s\n",
				p->problems[i]->path, p->problems[i]->message);
		if (p)
			audums__v1__problems__free_unpacked(p, NULL);
	}
	if (response) {
		*response = result.response;
		result.response = NULL;
	}
	rpc_result_clear(&result);
	return code;
}

enum rpc_code call_apply(
	struct rpc_client *client, const char *document, Audums__V1__ApplyResponse **response)
{
	Audums__V1__ApplyRequest request = AUDUMS__V1__APPLY_REQUEST__INIT;
	enum rpc_code code;

	request.document = document_load(document);
	code = call(client, "Apply", &request.base, &audums__v1__apply_response__descriptor,
		(ProtobufCMessage **)response);
	audums__v1__document__free_unpacked(request.document, NULL);
	return code;
}

enum rpc_code call_delete(struct rpc_client *client, const char *refs)
{
	Audums__V1__DeleteRequest request = AUDUMS__V1__DELETE_REQUEST__INIT;
	Audums__V1__ObjectRef ref[64], *list[64];
	char *copy = strdup(refs), *save, *word;
	enum rpc_code code;

	for (word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
		const char *name;
		size_t n = request.n_objects++;

		assert_true(n < 64);
		audums__v1__object_ref__init(&ref[n]);
		assert_int_equal(object_ref_parse(word, &ref[n].kind, &name), 0);
		ref[n].name = (char *)(uintptr_t)name;
		list[n] = &ref[n];
	}
	request.objects = list;
	code = call(client, "Delete", &request.base, &audums__v1__apply_response__descriptor, NULL);
	free(copy);
	return code;
}

Audums__V1__Document *call_get(struct rpc_client *client, Audums__V1__Kind kind, const char *name)
{
	Audums__V1__GetRequest request = AUDUMS__V1__GET_REQUEST__INIT;
	ProtobufCMessage *response = NULL;

	request.kind = kind;
	request.name = (char *)(uintptr_t)name;
	call(client, "Get", &request.base, &audums__v1__document__descriptor, &response);
	return (Audums__V1__Document *)response;
}

/* ---- agents ------------------------------------------------------------------------------- */

void agent_send(struct agent *a, const Audums__V1__AgentMessage *message)
{
	must(rpc_send(a->call, &message->base), "agent sends", a->name);
}

void agent_hello(struct agent *a, const char *node)
{
	Audums__V1__AgentMessage m = AUDUMS__V1__AGENT_MESSAGE__INIT;
	Audums__V1__Hello hello = AUDUMS__V1__HELLO__INIT;

	hello.node = (char *)(uintptr_t)node;
	hello.version = (char *)"test";
	hello.generation = a->applied;
	hello.instance = a->instance;
	m.body_case = AUDUMS__V1__AGENT_MESSAGE__BODY_HELLO;
	m.hello = &hello;
	agent_send(a, &m);
}

static void segment_report(
	const struct agent *a, const Audums__V1__SegmentConfig *config, Audums__V1__Report *report)
{
	Audums__V1__SegmentReport *r = calloc(1, sizeof(*r));

	audums__v1__segment_report__init(r);
	r->name = strdup(config->name);
	r->vni = config->vni;
	r->rd = strdup(config->rd);
	r->generation = config->generation;
	r->state = AUDUMS__V1__APPLY_STATE__APPLY_STATE_APPLIED;
	if (a->failing && !strcmp(a->failing, config->name)) {
		r->state = AUDUMS__V1__APPLY_STATE__APPLY_STATE_FAILED;
		r->message = strdup("no such thing");
	}
	r->vteps = calloc(config->n_vteps + 1, sizeof(*r->vteps));
	for (size_t i = 0; i < config->n_vteps; i++)
		if (!a->blind_to || strcmp(a->blind_to, config->vteps[i]))
			r->vteps[r->n_vteps++] = strdup(config->vteps[i]);
	r->attachments = calloc(config->n_attachments + 1, sizeof(*r->attachments));
	for (size_t i = 0; i < config->n_attachments; i++) {
		Audums__V1__AttachmentReport *at = calloc(1, sizeof(*at));

		audums__v1__attachment_report__init(at);
		at->name = strdup(config->attachments[i]->name);
		at->state = AUDUMS__V1__APPLY_STATE__APPLY_STATE_APPLIED;
		at->link_up = true;
		r->attachments[r->n_attachments++] = at;
	}
	report->segments =
		realloc(report->segments, (report->n_segments + 1) * sizeof(*report->segments));
	report->segments[report->n_segments++] = r;
}

void agent_report(struct agent *a)
{
	Audums__V1__AgentMessage m = AUDUMS__V1__AGENT_MESSAGE__INIT;
	Audums__V1__Report *report = calloc(1, sizeof(*report));
	Audums__V1__SegmentConfig *config;

	audums__v1__report__init(report);
	report->full = true;
	report->applied_generation = a->failing ? a->applied : a->generation;
	a->applied = report->applied_generation;
	for (size_t at = 0; (config = strmap_next(&a->segments, &at));)
		segment_report(a, config, report);
	if (a->base) {
		report->uplinks = calloc(a->base->n_uplinks + 1, sizeof(*report->uplinks));
		for (size_t i = 0; i < a->base->n_uplinks; i++) {
			Audums__V1__UplinkReport *u = calloc(1, sizeof(*u));

			audums__v1__uplink_report__init(u);
			u->link = strdup(a->base->uplinks[i]->link);
			u->oper_up = u->bfd_up = u->bgp_established = true;
			report->uplinks[report->n_uplinks++] = u;
		}
		report->evpn_peers = calloc(a->base->n_evpn_peers + 1, sizeof(void *));
		for (size_t i = 0; i < a->base->n_evpn_peers; i++) {
			Audums__V1__EvpnPeerReport *p = calloc(1, sizeof(*p));

			audums__v1__evpn_peer_report__init(p);
			p->node = strdup(a->base->evpn_peers[i]->node);
			p->established = true;
			report->evpn_peers[report->n_evpn_peers++] = p;
		}
	}
	m.body_case = AUDUMS__V1__AGENT_MESSAGE__BODY_REPORT;
	m.report = report;
	agent_send(a, &m);
	audums__v1__report__free_unpacked(report, NULL);
}

static void segments_clear(struct agent *a)
{
	Audums__V1__SegmentConfig *config;

	for (size_t at = 0; (config = strmap_next(&a->segments, &at));)
		audums__v1__segment_config__free_unpacked(config, NULL);
	strmap_free(&a->segments);
}

static void desired_take(struct agent *a, const Audums__V1__DesiredState *d)
{
	a->n_chunks++;
	if (d->full)
		segments_clear(a);
	if (d->node_base) {
		if (a->base)
			audums__v1__node_base__free_unpacked(a->base, NULL);
		a->base = (Audums__V1__NodeBase *)message_clone(&d->node_base->base);
	}
	for (size_t i = 0; i < d->n_segments; i++) {
		Audums__V1__SegmentConfig *copy =
			(Audums__V1__SegmentConfig *)message_clone(&d->segments[i]->base);
		Audums__V1__SegmentConfig *old = strmap_take(&a->segments, copy->name);

		if (old)
			audums__v1__segment_config__free_unpacked(old, NULL);
		assert_int_equal(strmap_put(&a->segments, copy->name, copy), 0);
	}
	for (size_t i = 0; i < d->n_removed_segments; i++) {
		Audums__V1__SegmentConfig *old = strmap_take(&a->segments, d->removed_segments[i]);

		if (old)
			audums__v1__segment_config__free_unpacked(old, NULL);
	}
	a->n_full += d->full;
	if (!d->last)
		return;
	a->n_desired++;
	a->generation = d->generation;
	if (!a->silent)
		agent_report(a);
}

static void on_message(struct rpc_call *rpc, const ProtobufCMessage *message)
{
	const Audums__V1__ControllerMessage *m = (const Audums__V1__ControllerMessage *)message;
	struct agent *a = rpc_call_data(rpc);

	if (m->body_case == AUDUMS__V1__CONTROLLER_MESSAGE__BODY_DESIRED) {
		desired_take(a, m->desired);
	} else if (m->body_case == AUDUMS__V1__CONTROLLER_MESSAGE__BODY_QUERY) {
		if (a->query)
			audums__v1__query__free_unpacked(a->query, NULL);
		a->query = (Audums__V1__Query *)message_clone(&m->query->base);
	}
}

static void on_done(struct rpc_call *rpc, const struct rpc_status *status)
{
	struct agent *a = rpc_call_data(rpc);

	a->ended = status->code;
	snprintf(a->ended_text, sizeof(a->ended_text), "%s", status->message);
	a->is_over = true;
	a->call = NULL;
}

struct agent *agent_start(struct fixture *f, const char *name, const char *identity)
{
	static const struct rpc_call_events events = {.message = on_message, .done = on_done};
	struct agent *a = calloc(1, sizeof(*a));
	char uri[64];

	a->f = f;
	snprintf(a->name, sizeof(a->name), "%s", name);
	snprintf(a->instance, sizeof(a->instance), "i%u", ++f->n_agents);
	snprintf(uri, sizeof(uri), "audums://node/%s", name);
	a->client = fixture_client(f, identity ? identity : uri);
	a->call = rpc_call_start(a->client, "/audums.v1.NodeControl/Session",
		&audums__v1__controller_message__descriptor, 0, &events, a);
	assert_non_null(a->call);
	return a;
}

void agent_stop(struct agent *a)
{
	rpc_client_free(a->client);
	segments_clear(a);
	if (a->base)
		audums__v1__node_base__free_unpacked(a->base, NULL);
	if (a->query)
		audums__v1__query__free_unpacked(a->query, NULL);
	free(a);
}
