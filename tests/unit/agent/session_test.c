/*
 * The agent's stream: a controller (a real gRPC server with certificates) and a dataplane (a unix
 * socket) stand in this process, the agent too, in a network namespace of its own without FRR.
 *
 *	[controller] --TLS, unix socket-- [agent] --framed protobuf-- [dataplane]
 *
 * What must hold: hello first, then a full report; desired state is applied when its last chunk has
 * come and not before; refusals are told; queries are answered in order, also when there is no
 * dataplane; a controller that returns gets a new stream and a full report; nothing in the kernel
 * changes meanwhile.
 */
#include "tests/unit/agent/support.h"

#include "controller/agent/agent.h"
#include "controller/agent/session.h"
#include "controller/rpc/loop.h"
#include "controller/rpc/rpc.h"
#include "controller/rpc/rpc_cert.h"
#include "proto/lib/frame.h"
#include "proto/lib/log.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct world {
	char dir[64];
	struct loop *loop;
	struct rpc_ca *ca;
	struct rpc_tls *tls;
	struct rpc_server *server;
	struct rpc_call *call; /* the agent's stream, as the controller sees it */
	struct agent *agent;
	struct session *session;
	/* What the controller has got. */
	unsigned int streams, hellos, fulls, renewals, events;
	uint64_t hello_generation, applied;
	char last_event[200], state[32], message[200], gone[32];
	bool dataplane_known;
	unsigned int replies;
	uint64_t reply_id;
	char reply_error[200];
	/* The dataplane. */
	int listener;
	struct loop_fd *watch;
	unsigned int asked, answers;
};

static const char *path(const struct world *w, const char *name)
{
	static char paths[4][128];
	static unsigned int next;
	char *p = paths[next++ % 4];

	snprintf(p, sizeof(paths[0]), "%s/%s", w->dir, name);
	return p;
}

/* ---- the controller ---- */

static void on_report(struct world *w, const Audums__V1__Report *r)
{
	w->applied = r->applied_generation;
	w->renewals += r->renewal;
	w->fulls += r->full;
	for (size_t i = 0; i < r->n_segments; i++) {
		if (strcmp(r->segments[i]->name, "seg0") != 0)
			continue;
		snprintf(w->state, sizeof(w->state), "%d", r->segments[i]->state);
		snprintf(w->message, sizeof(w->message), "%s", r->segments[i]->message);
	}
	for (size_t i = 0; i < r->n_gone_segments; i++)
		snprintf(w->gone, sizeof(w->gone), "%s", r->gone_segments[i]);
	for (size_t i = 0; i < r->n_components; i++)
		if (strcmp(r->components[i]->name, "dataplane") == 0)
			w->dataplane_known = r->components[i]->up;
}

static void on_message(struct rpc_call *call, const ProtobufCMessage *message)
{
	struct world *w = rpc_call_service(call);
	const Audums__V1__AgentMessage *m = (const Audums__V1__AgentMessage *)message;

	switch (m->body_case) {
	case AUDUMS__V1__AGENT_MESSAGE__BODY_HELLO:
		w->hellos++;
		w->hello_generation = m->hello->generation;
		assert_string_equal(m->hello->node, "n1");
		assert_string_equal(rpc_call_peer(call), "audums://node/n1");
		assert_int_equal(strlen(m->hello->instance), 32);
		break;
	case AUDUMS__V1__AGENT_MESSAGE__BODY_REPORT:
		assert_true(w->hellos > 0);
		on_report(w, m->report);
		break;
	case AUDUMS__V1__AGENT_MESSAGE__BODY_EVENT:
		w->events++;
		snprintf(w->last_event, sizeof(w->last_event), "%s %s", m->event->kind,
			m->event->message);
		break;
	case AUDUMS__V1__AGENT_MESSAGE__BODY_QUERY_REPLY:
		w->replies++;
		w->reply_id = m->query_reply->id;
		snprintf(w->reply_error, sizeof(w->reply_error), "%s", m->query_reply->error);
		break;
	default:
		fail();
	}
}

static void on_start(struct rpc_call *call)
{
	struct world *w = rpc_call_service(call);

	w->streams++;
	w->call = call;
}

static void on_done(struct rpc_call *call, const struct rpc_status *status)
{
	struct world *w = rpc_call_service(call);

	if (w->call == call)
		w->call = NULL;
}

static const struct rpc_method methods[] = {
	{.path = "/audums.v1.NodeControl/Session",
		.input = &audums__v1__agent_message__descriptor,
		.output = &audums__v1__controller_message__descriptor,
		.start = on_start,
		.message = on_message,
		.done = on_done},
};

static void controller_start(struct world *w)
{
	struct rpc_error error;

	w->server = rpc_server_new(w->loop, w->tls, NULL);
	assert_non_null(w->server);
	assert_int_equal(rpc_server_add(w->server, methods, 1, w), 0);
	if (rpc_server_listen_unix(w->server, path(w, "c.sock"), 0600, &error) < 0)
		fail_msg("%s", error.text);
}

static void send_state(struct world *w, Audums__V1__DesiredState *m)
{
	Audums__V1__ControllerMessage c = AUDUMS__V1__CONTROLLER_MESSAGE__INIT;

	c.body_case = AUDUMS__V1__CONTROLLER_MESSAGE__BODY_DESIRED;
	c.desired = m;
	assert_non_null(w->call);
	assert_int_equal(rpc_send(w->call, &c.base), 0);
	audums__v1__desired_state__free_unpacked(m, NULL);
}

static void send_query(struct world *w, uint64_t id)
{
	Audums__V1__ControllerMessage c = AUDUMS__V1__CONTROLLER_MESSAGE__INIT;
	Audums__V1__Query q = AUDUMS__V1__QUERY__INIT;
	Audums__V1__DataplaneRequest r = AUDUMS__V1__DATAPLANE_REQUEST__INIT;
	Audums__V1__FdbRequest fdb = AUDUMS__V1__FDB_REQUEST__INIT;

	r.ask_case = AUDUMS__V1__DATAPLANE_REQUEST__ASK_FDB;
	r.fdb = &fdb;
	q.id = id;
	q.dataplane = &r;
	c.body_case = AUDUMS__V1__CONTROLLER_MESSAGE__BODY_QUERY;
	c.query = &q;
	assert_int_equal(rpc_send(w->call, &c.base), 0);
}

/* ---- the dataplane ---- */

static void dataplane_asked(void *arg, int fd, unsigned int ready)
{
	struct world *w = arg;
	Audums__V1__DataplaneReply r = AUDUMS__V1__DATAPLANE_REPLY__INIT;
	Audums__V1__DataplaneInfo info = AUDUMS__V1__DATAPLANE_INFO__INIT;
	Audums__V1__FdbList fdb = AUDUMS__V1__FDB_LIST__INIT;
	Audums__V1__DataplaneRequest *q;
	ProtobufCMessage *m;
	const int c = accept(fd, NULL, NULL);

	assert_true(c >= 0);
	/* the question is written right after connect(2) */
	if (frame_recv(c, &audums__v1__dataplane_request__descriptor, frame_deadline(2000), &m) <
		0) {
		close(c);
		return;
	}
	q = (Audums__V1__DataplaneRequest *)m;
	w->asked++;
	if (q->ask_case == AUDUMS__V1__DATAPLANE_REQUEST__ASK_INFO) {
		r.answer_case = AUDUMS__V1__DATAPLANE_REPLY__ANSWER_INFO;
		r.info = &info;
		frame_send(c, &r.base, frame_deadline(2000));
	} else {
		r.answer_case = AUDUMS__V1__DATAPLANE_REPLY__ANSWER_FDB;
		r.fdb = &fdb;
		for (unsigned int i = 0; i < w->answers; i++) {
			r.more = i + 1 < w->answers;
			frame_send(c, &r.base, frame_deadline(2000));
		}
	}
	audums__v1__dataplane_request__free_unpacked(q, NULL);
	close(c);
}

static void dataplane_start(struct world *w)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path(w, "dataplane.sock"));
	unlink(a.sun_path);
	w->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(w->listener, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(w->listener, 8), 0);
	w->watch = loop_fd_add(w->loop, w->listener, LOOP_IN, dataplane_asked, w);
}

static void dataplane_stop(struct world *w)
{
	loop_fd_remove(w->watch);
	w->watch = NULL;
	if (w->listener >= 0)
		close(w->listener);
	w->listener = -1;
}

/* ---- set-up ---- */

static void issue(struct world *w, const char *name, const char *uri)
{
	const struct rpc_cert_request r = {.common_name = name, .uri = uri, .days = 1};
	char cert[32], key[32];
	struct rpc_error error;

	snprintf(cert, sizeof(cert), "%s.crt", name);
	snprintf(key, sizeof(key), "%s.key", name);
	if (rpc_ca_issue(w->ca, &r, path(w, cert), path(w, key), &error) < 0)
		fail_msg("%s", error.text);
}

static void agent_start(struct world *w)
{
	static char state_dir[128], target[128];
	struct agent_options opt = {.node = "n1", .run_dir = w->dir, .vty_dir = w->dir};
	struct session_options so = {.node = "n1"};
	char error[256];

	snprintf(state_dir, sizeof(state_dir), "%s/state", w->dir);
	snprintf(target, sizeof(target), "unix:%s/c.sock", w->dir);
	opt.state_dir = state_dir;
	so.target = target;
	so.ca = path(w, "ca.crt");
	so.cert = path(w, "node.crt");
	so.key = path(w, "node.key");
	w->agent = calloc(1, sizeof(*w->agent));
	assert_non_null(w->agent);
	if (agent_open(w->agent, w->loop, &opt, error, sizeof(error)) < 0)
		fail_msg("%s", error);
	w->session = session_open(w->loop, w->agent, &so, error, sizeof(error));
	if (!w->session)
		fail_msg("%s", error);
}

static void agent_stop(struct world *w)
{
	session_close(w->session);
	agent_close(w->agent);
	free(w->agent);
	w->agent = NULL;
	w->session = NULL;
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct rpc_error error;

	assert_non_null(w);
	*state = w;
	log_setup(getenv("AGENT_TEST_LOG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR, 2);
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	strcpy(w->dir, "/tmp/audums-agent-test-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	w->listener = -1;
	w->loop = loop_new();
	assert_non_null(w->loop);
	assert_int_equal(rpc_ca_create(&w->ca, "test authority", 2, &error), 0);
	assert_int_equal(rpc_ca_write(w->ca, path(w, "ca.crt"), NULL, &error), 0);
	issue(w, "controller", "audums://controller/c1");
	issue(w, "node", "audums://node/n1");
	if (rpc_tls_load(&w->tls, path(w, "ca.crt"), path(w, "controller.crt"),
		    path(w, "controller.key"), &error) < 0)
		fail_msg("%s", error.text);
	controller_start(w);
	agent_start(w);
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	if (w->agent)
		agent_stop(w);
	rpc_server_free(w->server);
	dataplane_stop(w);
	rpc_tls_free(w->tls);
	rpc_ca_free(w->ca);
	loop_free(w->loop);
	support_try("rm -rf %s", w->dir);
	free(w);
	return 0;
}

#define FAILED  "3"
#define PENDING "1"

/* ---- tests ---- */

static void test_chunks_and_differences(void **state)
{
	struct world *w = *state;
	Audums__V1__DesiredState *m;

	wait_for(w->loop, w->fulls == 1);
	assert_int_equal(w->hellos, 1);
	assert_int_equal(w->hello_generation, 0);

	/* two chunks: nothing is made before the second */
	m = support_desired(1, 7, 1, 70001);
	m->last = false;
	send_state(w, m);
	for (int i = 0; i < 20; i++)
		loop_turn(w->loop, 5);
	assert_int_equal(w->agent->desired.generation, 0);
	assert_false(support_device("br70001"));
	m = support_desired(1, 7, 2, 70001);
	support_drop(m, 0);
	audums__v1__node_base__free_unpacked(m->node_base, NULL);
	m->node_base = NULL;
	m->full = false;
	send_state(w, m);
	wait_for(w->loop, support_device("br70001") && support_device("vx70001") &&
				  support_device("vx70002"));
	wait_for(w->loop, strcmp(w->state, PENDING) == 0);
	assert_string_equal(w->message, "bgpd is down");
	assert_int_equal(w->applied, 0);

	/* a difference takes one away */
	m = support_desired(1, 8, 0, 70001);
	audums__v1__node_base__free_unpacked(m->node_base, NULL);
	m->node_base = NULL;
	m->full = false;
	m->removed_segments = calloc(1, sizeof(char *));
	m->removed_segments[0] = strdup("seg0");
	m->n_removed_segments = 1;
	send_state(w, m);
	wait_for(w->loop, !support_device("br70001") && !support_device("vx70001"));
	wait_for(w->loop, strcmp(w->gone, "seg0") == 0);
	assert_true(support_device("vx70002"));

	/* state of another node is refused and told */
	m = support_desired(2, 9, 1, 70001);
	send_state(w, m);
	wait_for(w->loop, strncmp(w->last_event, "state_refused", 13) == 0);
	assert_int_equal(w->agent->desired.generation, 8);

	/* an unfinished one is dropped when another begins */
	m = support_desired(1, 10, 3, 80001);
	m->last = false;
	send_state(w, m);
	m = support_desired(1, 11, 1, 70001);
	send_state(w, m);
	wait_for(w->loop, w->agent->desired.generation == 11 && support_device("vx70001"));
	wait_for(w->loop, !support_device("vx70002"));
	assert_false(support_device("vx80001"));
}

/* A difference: segment seg0 with this VNI. */
static Audums__V1__DesiredState *difference(unsigned int node, uint64_t generation, uint32_t vni)
{
	Audums__V1__DesiredState *m = support_desired(node, generation, 1, vni);

	m->full = false;
	if (node == 1) {
		audums__v1__node_base__free_unpacked(m->node_base, NULL);
		m->node_base = NULL;
	}
	return m;
}

/* What follows something refused is not built on it: it would be applied, and reported as whole. */
static void test_out_of_step(void **state)
{
	struct world *w = *state;
	Audums__V1__DesiredState *m;

	/* a difference to nothing */
	wait_for(w->loop, w->fulls == 1);
	send_state(w, difference(1, 4, 80001));
	wait_for(w->loop, w->streams == 2 && w->fulls == 2 && w->call);
	assert_int_equal(w->agent->desired.generation, 0);
	send_state(w, support_desired(1, 5, 1, 70001));
	wait_for(w->loop, support_device("vx70001"));

	/* one that is refused: the next stream brings everything */
	send_state(w, difference(2, 6, 90001));
	wait_for(w->loop, w->streams == 3 && w->fulls == 3 && w->call);
	assert_int_equal(strncmp(w->last_event, "state_refused", 13), 0);
	assert_int_equal(w->agent->desired.generation, 5);
	send_state(w, support_desired(1, 6, 1, 80001));
	wait_for(w->loop, support_device("vx80001"));

	/* a whole one that is refused is not asked for again and again, its rest is passed over */
	w->last_event[0] = '\0';
	send_state(w, support_desired(2, 7, 1, 70001));
	wait_for(w->loop, strncmp(w->last_event, "state_refused", 13) == 0);
	send_state(w, difference(1, 7, 70001));
	for (int i = 0; i < 40; i++)
		loop_turn(w->loop, 5);
	assert_int_equal(w->streams, 3);
	assert_int_equal(w->agent->desired.generation, 6);
	/* until there is something new */
	m = difference(1, 8, 70001);
	send_state(w, m);
	wait_for(w->loop, w->streams == 4 && w->call);
	assert_int_equal(w->agent->desired.generation, 6);
	assert_false(support_device("vx70001"));
}

/* A state that contradicts itself (a bridge that is an uplink, with another MTU) is fought over for
 * ever, but not as fast as the kernel can. */
static void test_fruitless(void **state)
{
	struct world *w = *state;
	Audums__V1__DesiredState *m = support_desired(1, 5, 1, 70001);
	uint64_t writes, until;

	wait_for(w->loop, w->fulls == 1);
	free(m->node_base->uplinks[0]->port);
	m->node_base->uplinks[0]->port = strdup("br70001");
	send_state(w, m);
	wait_for(w->loop, support_device("vx70001") && w->agent->kernel.failures > 5);
	writes = w->agent->kernel.writes;
	until = loop_now_ms() + 1000;
	while (loop_now_ms() < until)
		loop_turn(w->loop, 20);
	assert_in_range(w->agent->kernel.writes - writes, 1, 200);
	/* and ends when it makes sense again */
	send_state(w, support_desired(1, 6, 1, 70001));
	wait_for(w->loop, w->agent->kernel_settled);
	assert_int_equal(w->agent->kernel.failures, 0);
}

static void test_controller_returns(void **state)
{
	struct world *w = *state;
	uint64_t writes;

	wait_for(w->loop, w->fulls == 1);
	send_state(w, support_desired(1, 5, 2, 70001));
	wait_for(w->loop, support_device("vx70001") && support_device("vx70002"));
	wait_for(w->loop, w->agent->kernel_settled && !w->agent->unsaved);
	wait_for(w->loop, w->renewals > 0);
	writes = w->agent->kernel.writes;

	rpc_server_free(w->server);
	w->call = NULL;
	for (int i = 0; i < 20; i++)
		loop_turn(w->loop, 10);
	assert_true(support_device("vx70001"));
	controller_start(w);
	wait_for(w->loop, w->fulls == 2);
	assert_int_equal(w->hello_generation, 5);
	assert_int_equal(w->agent->kernel.writes, writes);

	/* the agent dies; the next one knows the state and changes nothing */
	agent_stop(w);
	assert_true(support_device("vx70001") && support_device("vx70002"));
	agent_start(w);
	wait_for(w->loop, w->fulls == 3);
	assert_int_equal(w->hello_generation, 5);
	wait_for(w->loop, w->agent->kernel_settled);
	for (int i = 0; i < 20; i++)
		loop_turn(w->loop, 10);
	assert_int_equal(w->agent->kernel.writes, 0);
}

static void test_queries(void **state)
{
	struct world *w = *state;

	wait_for(w->loop, w->fulls == 1);
	send_query(w, 41);
	wait_for(w->loop, w->replies == 1);
	assert_int_equal(w->reply_id, 41);
	assert_string_equal(w->reply_error, "not running");

	dataplane_start(w);
	wait_for(w->loop, w->dataplane_known);
	w->answers = 3;
	send_query(w, 42);
	wait_for(w->loop, w->replies == 4);
	assert_int_equal(w->reply_id, 42);
	assert_string_equal(w->reply_error, "");

	/* one that closes without an answer */
	w->answers = 0;
	send_query(w, 43);
	wait_for(w->loop, w->replies == 5);
	assert_string_equal(w->reply_error, "the dataplane closed the connection");

	dataplane_stop(w);
	wait_for(w->loop, !w->dataplane_known);
	wait_for(w->loop, strncmp(w->last_event, "component_down", 14) == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_chunks_and_differences, setup, teardown),
		cmocka_unit_test_setup_teardown(test_out_of_step, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fruitless, setup, teardown),
		cmocka_unit_test_setup_teardown(test_controller_returns, setup, teardown),
		cmocka_unit_test_setup_teardown(test_queries, setup, teardown),
	};
	const int skip = support_need_root();

	return skip ? skip : cmocka_run_group_tests(tests, NULL, NULL);
}
