/* A loop, certificates, a server and clients; see fixture.h. */
#include "tests/unit/rpc/fixture.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/lib/log.h"

const char *fixture_path(const struct fixture *f, const char *name)
{
	static char paths[4][256];
	static unsigned int next;
	char *p = paths[next++ % 4];

	snprintf(p, sizeof(paths[0]), "%s/%s", f->dir, name);
	return p;
}

void fixture_issue(const struct fixture *f, const char *name, const char *uri, unsigned int days)
{
	static const char *const names[] = {"localhost", "127.0.0.1", "::1"};
	const struct rpc_cert_request r = {
		.common_name = name, .uri = uri, .names = names, .name_count = 3, .days = days};
	char cert[64], key[64];
	struct rpc_error error;

	snprintf(cert, sizeof(cert), "%s.crt", name);
	snprintf(key, sizeof(key), "%s.key", name);
	if (rpc_ca_issue(f->ca, &r, fixture_path(f, cert), fixture_path(f, key), &error) < 0)
		fail_msg("%s", error.text);
}

struct rpc_tls *fixture_tls(const struct fixture *f, const char *name)
{
	struct rpc_tls *tls = NULL;
	struct rpc_error error;
	char cert[64], key[64];

	snprintf(cert, sizeof(cert), "%s.crt", name);
	snprintf(key, sizeof(key), "%s.key", name);
	if (rpc_tls_load(&tls, fixture_path(f, "ca.crt"), fixture_path(f, cert),
		    fixture_path(f, key), &error) < 0)
		fail_msg("%s", error.text);
	return tls;
}

void fixture_server(struct fixture *f, const struct rpc_limits *limits)
{
	struct rpc_error error;

	rpc_server_free(f->server);
	f->server = rpc_server_new(f->loop, f->server_tls, limits);
	assert_non_null(f->server);
	assert_int_equal(
		rpc_server_add(f->server, service_methods, service_method_count, &f->service), 0);
	if (rpc_server_listen_tcp(f->server, "127.0.0.1", 0, &f->port, &error) < 0)
		fail_msg("%s", error.text);
	if (rpc_server_listen_unix(f->server, fixture_path(f, "rpc.sock"), 0600, &error) < 0)
		fail_msg("%s", error.text);
	snprintf(f->unix_target, sizeof(f->unix_target), "unix:%s", fixture_path(f, "rpc.sock"));
}

int fixture_setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct rpc_error error;

	assert_non_null(f);
	*state = f;
	log_setup(getenv("RPC_TEST_LOG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR, 2);
	strcpy(f->dir, "/tmp/audums-rpc-test-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	f->loop = loop_new();
	assert_non_null(f->loop);
	f->service.loop = f->loop;
	assert_int_equal(rpc_ca_create(&f->ca, "test authority", 2, &error), 0);
	assert_int_equal(rpc_ca_write(f->ca, fixture_path(f, "ca.crt"), NULL, &error), 0);
	fixture_issue(f, "server", "audums://controller/main", 2);
	fixture_issue(f, "node", "audums://node/riga-1", 2);
	f->server_tls = fixture_tls(f, "server");
	f->node_tls = fixture_tls(f, "node");
	fixture_server(f, NULL);
	return 0;
}

int fixture_teardown(void **state)
{
	struct fixture *f = *state;
	const struct dirent *e;
	DIR *d;

	rpc_client_free(f->client);
	rpc_server_free(f->server);
	rpc_tls_free(f->server_tls);
	rpc_tls_free(f->node_tls);
	rpc_ca_free(f->ca);
	loop_free(f->loop);
	d = opendir(f->dir);
	while (d && (e = readdir(d)))
		if (e->d_name[0] != '.')
			unlink(fixture_path(f, e->d_name));
	closedir(d);
	rmdir(f->dir);
	free(f);
	return 0;
}

static void on_state(void *arg, enum rpc_client_state state, const char *reason)
{
	struct fixture *f = arg;

	if (f->state_count < sizeof(f->states) / sizeof(f->states[0]))
		f->states[f->state_count++] = state;
	if (state == RPC_CLIENT_IDLE)
		snprintf(f->reason, sizeof(f->reason), "%s", reason);
}

struct rpc_client_options fixture_options(struct fixture *f)
{
	static char target[64];

	snprintf(target, sizeof(target), "127.0.0.1:%u", f->port);
	return (struct rpc_client_options){
		.target = target,
		.server_name = "localhost",
		.server_uri_prefix = "audums://controller/",
		.state = on_state,
		.arg = f,
	};
}

void fixture_client(struct fixture *f, const struct rpc_limits *limits)
{
	struct rpc_client_options o = fixture_options(f);
	struct rpc_error error;

	if (limits)
		o.limits = *limits;
	f->client = rpc_client_new(f->loop, f->node_tls, &o, &error);
	assert_non_null(f->client);
	if (rpc_client_connect(f->client, &error) < 0)
		fail_msg("%s", error.text);
	wait_for(f, rpc_client_state(f->client) == RPC_CLIENT_READY);
}

enum rpc_code fixture_get(
	struct rpc_client *client, const char *name, uint64_t timeout_ms, struct rpc_result *result)
{
	Audums__V1__GetRequest req = AUDUMS__V1__GET_REQUEST__INIT;

	req.kind = AUDUMS__V1__KIND__KIND_PROVIDER;
	req.name = (char *)name;
	return rpc_call_sync(
		client, GET_PATH, &req.base, &audums__v1__document__descriptor, timeout_ms, result);
}

static void on_message(struct rpc_call *call, const ProtobufCMessage *message)
{
	struct record *r = rpc_call_data(call);

	r->messages++;
	if (message->descriptor == &audums__v1__controller_message__descriptor)
		r->last_id = ((const Audums__V1__ControllerMessage *)message)->query->id;
	if (r->pause)
		rpc_call_pause(call);
}

static void on_writable(struct rpc_call *call)
{
	struct record *r = rpc_call_data(call);

	r->writables++;
}

static void on_done(struct rpc_call *call, const struct rpc_status *status)
{
	struct record *r = rpc_call_data(call);

	assert_false(r->done);
	r->done = true;
	r->code = status->code;
	snprintf(r->message, sizeof(r->message), "%s", status->message);
}

const struct rpc_call_events record_events = {
	.message = on_message, .writable = on_writable, .done = on_done};

struct rpc_call *fixture_watch(struct rpc_client *client, const char *name, struct record *r)
{
	Audums__V1__WatchRequest req = AUDUMS__V1__WATCH_REQUEST__INIT;
	struct rpc_call *call = rpc_call_start(
		client, WATCH_PATH, &audums__v1__watch_event__descriptor, 0, &record_events, r);

	assert_non_null(call);
	req.name = (char *)name;
	assert_int_equal(rpc_send(call, &req.base), 0);
	assert_int_equal(rpc_call_half_close(call), 0);
	return call;
}

struct rpc_call *fixture_session(struct rpc_client *client, struct record *r)
{
	return rpc_call_start(client, SESSION_PATH, &audums__v1__controller_message__descriptor, 0,
		&record_events, r);
}

int fixture_hello(struct rpc_call *call, const char *node)
{
	Audums__V1__AgentMessage m = AUDUMS__V1__AGENT_MESSAGE__INIT;
	Audums__V1__Hello hello = AUDUMS__V1__HELLO__INIT;

	hello.node = (char *)node;
	m.body_case = AUDUMS__V1__AGENT_MESSAGE__BODY_HELLO;
	m.hello = &hello;
	return rpc_send(call, &m.base);
}
