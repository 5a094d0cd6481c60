/* The stream to the controller; see session.h. */
#include "controller/agent/session.h"

#include "controller/agent/agent.h"
#include "controller/agent/dpclient.h"
#include "controller/rpc/loop.h"
#include "controller/rpc/rpc.h"
#include "proto/lib/log.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define SESSION_PATH    "/audums.v1.NodeControl/Session"
#define RENEW_MS        1000
#define QUERIES_MAX     16
#define PENDING_MAX     (64u * 1024 * 1024) /* octets of an unfinished desired state */
#define TRACE_MS        5000
#define TRACE_MAX_MS    60000
#define CAPTURE_MS      10000
#define CAPTURE_MAX_MS  3600000
#define CAPTURE_REST_MS 15000 /* until the last of it is read */
#define STABLE_MS       5000  /* a stream that lived this long resets the pause */

struct query {
	struct session *session;
	struct dpask *ask;
	uint64_t id;
	bool used, paused;
};

struct session {
	struct loop *loop;
	struct agent *agent;
	struct rpc_tls *tls;
	struct rpc_client *client;
	struct rpc_call *call;
	struct rpc_backoff backoff;
	struct loop_timer *reconnect, *renew;
	char *node;
	char instance[33];
	char socket[PATH_MAX];
	uint64_t started_ms;
	bool closing;
	bool told; /* the loss of the controller was logged */
	/* Desired state of which `last` has not come. */
	Audums__V1__DesiredState *pending;
	size_t pending_octets;
	/* Whether differences may be built on what the agent has: not before the stream's whole
	 * state was taken, and not after anything was refused. */
	bool in_step;
	uint64_t refused_generation; /* whose remaining chunks are passed over; 0 = none */
	struct query queries[QUERIES_MAX];
};

static int send_message(struct session *s, const Audums__V1__AgentMessage *m)
{
	return s->call ? rpc_send(s->call, &m->base) : -ENOTCONN;
}

/* ---- what the agent gives ---- */

static bool give_report(void *arg, const Audums__V1__Report *r)
{
	Audums__V1__AgentMessage m = AUDUMS__V1__AGENT_MESSAGE__INIT;

	m.body_case = AUDUMS__V1__AGENT_MESSAGE__BODY_REPORT;
	m.report = (Audums__V1__Report *)r;
	return send_message(arg, &m) == 0;
}

static bool give_event(void *arg, const Audums__V1__AgentEvent *e)
{
	Audums__V1__AgentMessage m = AUDUMS__V1__AGENT_MESSAGE__INIT;

	m.body_case = AUDUMS__V1__AGENT_MESSAGE__BODY_EVENT;
	m.event = (Audums__V1__AgentEvent *)e;
	return send_message(arg, &m) == 0;
}

static void renew(void *arg)
{
	struct session *s = arg;
	Audums__V1__Report r = AUDUMS__V1__REPORT__INIT;

	if (!s->call)
		return;
	r.renewal = true;
	r.applied_generation = s->agent->applied_generation;
	give_report(s, &r);
	/* a report that found the queue full */
	if (!s->agent->report)
		agent_listen(s->agent, give_report, give_event, s);
}

/* ---- queries ---- */

static bool answer(void *arg, const Audums__V1__DataplaneReply *reply, const char *error)
{
	struct query *q = arg;
	Audums__V1__AgentMessage m = AUDUMS__V1__AGENT_MESSAGE__INIT;
	Audums__V1__QueryReply r = AUDUMS__V1__QUERY_REPLY__INIT;

	r.id = q->id;
	r.dataplane = (Audums__V1__DataplaneReply *)reply;
	if (error)
		r.error = (char *)error;
	m.body_case = AUDUMS__V1__AGENT_MESSAGE__BODY_QUERY_REPLY;
	m.query_reply = &r;
	if (send_message(q->session, &m) == -EAGAIN) {
		q->paused = true;
		return false;
	}
	if (!reply || !reply->more)
		q->used = false;
	return true;
}

static uint32_t query_timeout(const Audums__V1__DataplaneRequest *r)
{
	uint32_t ms;

	if (r->ask_case == AUDUMS__V1__DATAPLANE_REQUEST__ASK_CAPTURE) {
		ms = r->capture->timeout_ms ? r->capture->timeout_ms : CAPTURE_MS;
		return (ms > CAPTURE_MAX_MS ? CAPTURE_MAX_MS : ms) + CAPTURE_REST_MS;
	}
	if (r->ask_case != AUDUMS__V1__DATAPLANE_REQUEST__ASK_TRACE)
		return DPCLIENT_TIMEOUT_MS;
	ms = r->trace->timeout_ms ? r->trace->timeout_ms : TRACE_MS;
	return (ms > TRACE_MAX_MS ? TRACE_MAX_MS : ms) + DPCLIENT_TIMEOUT_MS;
}

/* Nobody wants the answer any more. */
static void query_cancel(struct session *s, uint64_t id)
{
	for (size_t i = 0; i < QUERIES_MAX; i++) {
		if (!s->queries[i].used || s->queries[i].id != id)
			continue;
		dpask_cancel(s->queries[i].ask);
		s->queries[i].used = false;
	}
}

static void take_query(struct session *s, const Audums__V1__Query *m)
{
	struct query *q = NULL, none = {.session = s, .id = m->id};

	if (m->cancel) {
		query_cancel(s, m->id);
		return;
	}
	for (size_t i = 0; i < QUERIES_MAX && !q; i++)
		if (!s->queries[i].used)
			q = &s->queries[i];
	if (!m->dataplane || !q) {
		answer(&none, NULL, q ? "empty query" : "too many queries at once");
		return;
	}
	*q = (struct query){.session = s, .id = m->id, .used = true};
	q->ask =
		dpask_new(s->loop, s->socket, m->dataplane, query_timeout(m->dataplane), answer, q);
	if (!q->ask) {
		q->used = false;
		answer(&none, NULL, strerror(errno));
	}
}

static void queries_drop(struct session *s)
{
	for (size_t i = 0; i < QUERIES_MAX; i++) {
		if (s->queries[i].used)
			dpask_cancel(s->queries[i].ask);
		s->queries[i].used = false;
	}
}

/* ---- desired state ---- */

static void pending_drop(struct session *s)
{
	if (s->pending)
		audums__v1__desired_state__free_unpacked(s->pending, NULL);
	s->pending = NULL;
	s->pending_octets = 0;
}

/*
 * What follows a state that was not taken would be applied to something else than the controller
 * thinks, and reported as if all were well. After a difference the stream is begun anew: it brings
 * the whole state. One that was refused itself would only be refused again; it waits for the next
 * change.
 */
static void refuse(struct session *s, const Audums__V1__DesiredState *m, const char *why)
{
	char object[64];

	snprintf(object, sizeof(object), "node/%s", s->node);
	agent_event(s->agent, "state_refused", object, why);
	s->refused_generation = m->generation;
	if (s->in_step && !m->full && s->call)
		rpc_call_cancel(s->call);
	s->in_step = false;
	pending_drop(s);
}

/* Move the elements of one repeated field behind another's. */
static bool append(void ***to, size_t *n, void ***from, size_t *m)
{
	void **grown;

	if (!*m)
		return true;
	grown = realloc(*to, (*n + *m) * sizeof(*grown));
	if (!grown)
		return false;
	memcpy(grown + *n, *from, *m * sizeof(*grown));
	*to = grown;
	*n += *m;
	*m = 0;
	return true;
}

static bool pending_append(Audums__V1__DesiredState *p, Audums__V1__DesiredState *c)
{
	if (p->n_segments + c->n_segments > DESIRED_SEGMENT_MAX ||
		p->n_removed_segments + c->n_removed_segments > DESIRED_SEGMENT_MAX)
		return false;
	if (!append((void ***)&p->segments, &p->n_segments, (void ***)&c->segments,
		    &c->n_segments) ||
		!append((void ***)&p->removed_segments, &p->n_removed_segments,
			(void ***)&c->removed_segments, &c->n_removed_segments))
		return false;
	if (c->node_base) {
		if (p->node_base)
			audums__v1__node_base__free_unpacked(p->node_base, NULL);
		p->node_base = c->node_base;
		c->node_base = NULL;
	}
	return true;
}

/* Whether a chunk can be used: it begins a whole state, or builds on what was taken. */
static bool chunk_fits(struct session *s, const Audums__V1__DesiredState *m)
{
	if (m->full || s->pending || s->in_step)
		return true;
	if (m->generation == s->refused_generation)
		return false;
	log_warn("state_out_of_step", "generation=%lu", (unsigned long)m->generation);
	if (s->call)
		rpc_call_cancel(s->call);
	return false;
}

static Audums__V1__DesiredState *desired_copy(const Audums__V1__DesiredState *m, size_t n)
{
	uint8_t *buf = malloc(n + 1);
	Audums__V1__DesiredState *copy = NULL;

	if (buf) {
		audums__v1__desired_state__pack(m, buf);
		copy = audums__v1__desired_state__unpack(NULL, n, buf);
		free(buf);
	}
	return copy;
}

static void take_desired(struct session *s, const Audums__V1__DesiredState *m)
{
	const size_t n = audums__v1__desired_state__get_packed_size(m);
	Audums__V1__DesiredState *copy;
	char error[256];

	if (s->pending && (m->full || m->generation != s->pending->generation)) {
		log_warn("state_unfinished", "generation=%lu",
			(unsigned long)s->pending->generation);
		pending_drop(s);
	}
	if (!chunk_fits(s, m))
		return;
	copy = desired_copy(m, n);
	if (!copy) {
		refuse(s, s->pending ? s->pending : m, "out of memory");
		return;
	}
	s->pending_octets += n;
	if (!s->pending) {
		s->pending = copy;
	} else {
		const bool fits = pending_append(s->pending, copy);

		audums__v1__desired_state__free_unpacked(copy, NULL);
		if (!fits) {
			refuse(s, s->pending, "too many segments, or out of memory");
			return;
		}
	}
	if (s->pending_octets > PENDING_MAX) {
		refuse(s, s->pending, "desired state is larger than 64 MiB");
		return;
	}
	if (!m->last)
		return;
	if (agent_take(s->agent, s->pending, error, sizeof(error)) < 0) {
		refuse(s, s->pending, error);
		return;
	}
	s->in_step = true;
	s->refused_generation = 0;
	pending_drop(s);
}

/* ---- the stream ---- */

static void on_message(struct rpc_call *call, const ProtobufCMessage *message)
{
	const Audums__V1__ControllerMessage *m = (const Audums__V1__ControllerMessage *)message;
	struct session *s = rpc_call_data(call);

	switch (m->body_case) {
	case AUDUMS__V1__CONTROLLER_MESSAGE__BODY_DESIRED:
		take_desired(s, m->desired);
		break;
	case AUDUMS__V1__CONTROLLER_MESSAGE__BODY_QUERY:
		take_query(s, m->query);
		break;
	default:
		break; /* of a newer controller */
	}
}

static void on_writable(struct rpc_call *call)
{
	struct session *s = rpc_call_data(call);

	for (size_t i = 0; i < QUERIES_MAX; i++) {
		if (!s->queries[i].used || !s->queries[i].paused)
			continue;
		s->queries[i].paused = false;
		dpask_resume(s->queries[i].ask);
	}
	if (!s->agent->report)
		agent_listen(s->agent, give_report, give_event, s);
	else if (s->agent->event_count)
		agent_report_soon(s->agent);
}

static void later(struct session *s)
{
	if (!s->closing)
		loop_timer_arm(s->reconnect, rpc_backoff_next(&s->backoff), 0);
}

static void lost(struct session *s, const char *reason)
{
	char quoted[256];

	if (s->told)
		return;
	s->told = true;
	log_warn("controller_lost", "reason=%s", log_quote(quoted, sizeof(quoted), reason));
}

static void on_done(struct rpc_call *call, const struct rpc_status *status)
{
	struct session *s = rpc_call_data(call);
	char reason[256];

	s->call = NULL;
	agent_listen(s->agent, NULL, NULL, NULL);
	loop_timer_disarm(s->renew);
	queries_drop(s);
	pending_drop(s);
	snprintf(reason, sizeof(reason), "%s %s", rpc_code_name(status->code), status->message);
	lost(s, reason);
	/* The connection may live on: the controller refused the stream, or drains. */
	later(s);
}

static const struct rpc_call_events call_events = {
	.message = on_message,
	.writable = on_writable,
	.done = on_done,
};

static void start(struct session *s)
{
	Audums__V1__AgentMessage m = AUDUMS__V1__AGENT_MESSAGE__INIT;
	Audums__V1__Hello hello = AUDUMS__V1__HELLO__INIT;

	s->call = rpc_call_start(s->client, SESSION_PATH,
		&audums__v1__controller_message__descriptor, 0, &call_events, s);
	if (!s->call) {
		later(s);
		return;
	}
	s->started_ms = loop_now_ms();
	s->in_step = false;
	s->refused_generation = 0;
	hello.node = s->node;
	hello.version = (char *)AUDUMS_VERSION;
	hello.generation = s->agent->desired.base ? s->agent->desired.generation : 0;
	hello.instance = s->instance;
	m.body_case = AUDUMS__V1__AGENT_MESSAGE__BODY_HELLO;
	m.hello = &hello;
	if (send_message(s, &m) < 0) {
		rpc_call_cancel(s->call);
		return;
	}
	s->told = false;
	log_info("controller_session", "controller=%s generation=%lu", rpc_client_peer(s->client),
		(unsigned long)hello.generation);
	agent_listen(s->agent, give_report, give_event, s);
	loop_timer_arm(s->renew, RENEW_MS, RENEW_MS);
}

static void on_state(void *arg, enum rpc_client_state state, const char *reason)
{
	struct session *s = arg;

	if (state == RPC_CLIENT_READY && !s->call) {
		start(s);
	} else if (state == RPC_CLIENT_IDLE) {
		lost(s, reason);
		later(s);
	}
}

static void reconnect(void *arg)
{
	struct session *s = arg;
	struct rpc_error error;

	if (s->call)
		return;
	if (s->started_ms && loop_now_ms() - s->started_ms > STABLE_MS)
		rpc_backoff_reset(&s->backoff);
	s->started_ms = 0;
	switch (rpc_client_state(s->client)) {
	case RPC_CLIENT_READY:
		start(s);
		break;
	case RPC_CLIENT_IDLE:
		if (rpc_client_connect(s->client, &error) < 0) {
			lost(s, error.text);
			later(s);
		}
		break;
	case RPC_CLIENT_DRAINING:
		rpc_client_close(s->client);
		later(s);
		break;
	case RPC_CLIENT_CONNECTING:
		break;
	}
}

/* ---- life ---- */

struct session *session_open(struct loop *loop, struct agent *agent,
	const struct session_options *opt, char *error, size_t error_size)
{
	struct rpc_client_options co = {
		.target = opt->target,
		.server_uri_prefix = "audums://controller/",
		.state = on_state,
	};
	struct session *s = calloc(1, sizeof(*s));
	struct rpc_error e = {"out of memory"};
	uint8_t random[16];

	if (!s) {
		snprintf(error, error_size, "out of memory");
		return NULL;
	}
	s->loop = loop;
	s->agent = agent;
	s->node = strdup(opt->node);
	rpc_backoff_init(&s->backoff, 0, 0);
	if (getrandom(random, sizeof(random), 0) == (ssize_t)sizeof(random))
		for (size_t i = 0; i < sizeof(random); i++)
			snprintf(s->instance + 2 * i, 3, "%02x", random[i]);
	if (snprintf(s->socket, sizeof(s->socket), "%s/dataplane.sock", agent->opt.run_dir) >=
		(int)sizeof(s->socket))
		goto fail;
	s->reconnect = loop_timer_new(loop, reconnect, s);
	s->renew = loop_timer_new(loop, renew, s);
	if (!s->node || !s->reconnect || !s->renew)
		goto fail;
	if (rpc_tls_load(&s->tls, opt->ca, opt->cert, opt->key, &e) < 0)
		goto fail;
	co.arg = s;
	s->client = rpc_client_new(loop, s->tls, &co, &e);
	if (!s->client)
		goto fail;
	loop_timer_arm(s->reconnect, 0, 0);
	return s;
fail:
	snprintf(error, error_size, "%s", e.text);
	session_close(s);
	return NULL;
}

void session_close(struct session *s)
{
	if (!s)
		return;
	s->closing = true;
	rpc_client_free(s->client);
	agent_listen(s->agent, NULL, NULL, NULL);
	queries_drop(s);
	pending_drop(s);
	loop_timer_free(s->reconnect);
	loop_timer_free(s->renew);
	rpc_tls_free(s->tls);
	free(s->node);
	free(s);
}
