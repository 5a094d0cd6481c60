/* See show.h. */
#include "controller/audumsd/show.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/audumsd/access.h"
#include "controller/audumsd/api.h"
#include "controller/audumsd/nodes.h"

#define TIMEOUT_MS       5000 /* without an answer */
#define TRACE_MAX_MS     60000
#define TRACE_DEFAULT_MS 5000

struct answer {
	struct answer *next;
	ProtobufCMessage *reply;
	size_t bytes;
};

struct show {
	struct show *next;
	struct shows *shows;
	struct rpc_call *call;
	struct loop_timer *timer;
	uint64_t timeout_ms;
	uint64_t id;
	char node[64];
	struct answer *head;
	struct answer **tail;
	size_t bytes;
	bool complete; /* the node has said all; the queue is to be sent yet */
	bool ended;
};

struct shows {
	struct controller *c;
	struct show *list;
	uint64_t last_id;
};

static void queue_clear(struct show *s)
{
	struct answer *next;

	for (struct answer *a = s->head; a; a = next) {
		next = a->next;
		protobuf_c_message_free_unpacked(a->reply, NULL);
		free(a);
	}
	s->head = NULL;
	s->tail = &s->head;
	s->bytes = 0;
}

/* The call's `done` frees it. */
static void show_end(struct show *s, enum rpc_code code, const char *why)
{
	if (s->ended)
		return;
	s->ended = true;
	loop_timer_disarm(s->timer);
	queue_clear(s);
	rpc_finish(s->call, code, "%s", why);
}

static void on_timer(void *arg)
{
	show_end(arg, RPC_DEADLINE_EXCEEDED,
		"the node's agent did not answer in time; look at its log and its dataplane's");
}

/* Send what is queued as far as the client takes it. */
static void show_send(struct show *s)
{
	while (s->head && !s->ended) {
		struct answer *a = s->head;
		int ret = rpc_send(s->call, a->reply);

		if (ret == -EAGAIN)
			return;
		if (ret < 0) {
			show_end(s, RPC_INTERNAL, "an answer could not be sent");
			return;
		}
		s->bytes -= a->bytes;
		s->head = a->next;
		if (!s->head)
			s->tail = &s->head;
		protobuf_c_message_free_unpacked(a->reply, NULL);
		free(a);
	}
	if (s->complete && !s->ended)
		show_end(s, RPC_OK, "");
}

static void answer_queue(struct show *s, const Audums__V1__DataplaneReply *reply)
{
	struct answer *a = calloc(1, sizeof(*a));

	if (a) {
		a->reply = message_clone(&reply->base);
		a->bytes = audums__v1__dataplane_reply__get_packed_size(reply);
	}
	if (!a || !a->reply) {
		free(a);
		show_end(s, RPC_RESOURCE_EXHAUSTED, "the controller is out of memory");
		return;
	}
	*s->tail = a;
	s->tail = &a->next;
	s->bytes += a->bytes;
}

/* Nobody waits for the answer any more: the node need not go on. When its queue is full it is told
 * with its next reply. */
static void node_cancel(struct controller *c, const char *name, uint64_t id)
{
	Audums__V1__ControllerMessage m = AUDUMS__V1__CONTROLLER_MESSAGE__INIT;
	Audums__V1__Query query = AUDUMS__V1__QUERY__INIT;
	const struct node *node = nodes_get(c->nodes, name);

	if (!node || !node->call)
		return;
	query.id = id;
	query.cancel = true;
	m.body_case = AUDUMS__V1__CONTROLLER_MESSAGE__BODY_QUERY;
	m.query = &query;
	(void)rpc_send(node->call, &m.base);
}

void shows_reply(struct shows *shows, const char *node, const Audums__V1__QueryReply *reply)
{
	struct show *s = shows->list;

	while (s && (s->id != reply->id || s->ended || s->complete))
		s = s->next;
	/* a client that has gone, or an id that was never given to this node */
	if (!s || strcmp(s->node, node)) {
		if (!*reply->error && reply->dataplane && reply->dataplane->more)
			node_cancel(shows->c, node, reply->id);
		return;
	}
	if (*reply->error) {
		char why[300];

		snprintf(why, sizeof(why), "node %s: %.200s", node, reply->error);
		s->complete = true;
		show_end(s, RPC_UNAVAILABLE, why);
		return;
	}
	if (!reply->dataplane) {
		show_end(s, RPC_INTERNAL, "the node's agent sent an empty answer");
		return;
	}
	answer_queue(s, reply->dataplane);
	if (s->ended)
		return;
	s->complete = !reply->dataplane->more;
	if (s->complete)
		loop_timer_disarm(s->timer);
	else
		loop_timer_arm(s->timer, s->timeout_ms, 0);
	show_send(s);
	if (s->bytes > SHOW_QUEUE_BYTES)
		show_end(s, RPC_RESOURCE_EXHAUSTED, "the client reads too slowly");
}

void shows_node_lost(struct shows *shows, const char *node)
{
	char why[128];

	snprintf(why, sizeof(why), "node %s is not connected any more", node);
	for (struct show *s = shows->list; s; s = s->next)
		if (!strcmp(s->node, node) && !s->complete)
			show_end(s, RPC_UNAVAILABLE, why);
}

/* ---- the method --------------------------------------------------------------------------- */

/* How long the node may be silent. */
static uint64_t silence_ms(const Audums__V1__DataplaneRequest *ask)
{
	uint64_t trace;

	if (ask->ask_case != AUDUMS__V1__DATAPLANE_REQUEST__ASK_TRACE)
		return TIMEOUT_MS;
	trace = ask->trace->timeout_ms ? ask->trace->timeout_ms : TRACE_DEFAULT_MS;
	return TIMEOUT_MS + (trace > TRACE_MAX_MS ? TRACE_MAX_MS : trace);
}

static struct show *show_new(struct shows *shows, struct rpc_call *call, const char *node)
{
	struct show *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->timer = loop_timer_new(shows->c->loop, on_timer, s);
	if (!s->timer) {
		free(s);
		return NULL;
	}
	s->shows = shows;
	s->call = call;
	s->id = ++shows->last_id;
	s->tail = &s->head;
	snprintf(s->node, sizeof(s->node), "%.63s", node);
	s->next = shows->list;
	shows->list = s;
	rpc_call_set_data(call, s);
	return s;
}

static size_t shows_of(const struct shows *shows, const char *node)
{
	size_t n = 0;

	for (const struct show *s = shows->list; s; s = s->next)
		n += !strcmp(s->node, node);
	return n;
}

/* Captures are for those who may change the node. */
static bool may_capture(struct rpc_call *call, const Audums__V1__Node *node)
{
	struct access access;
	char why[300];

	access_parse(rpc_call_peer(call), &access);
	if (access_change_provider(&access, node->provider, NULL, 0, why, sizeof(why)))
		return true;
	rpc_finish(call, RPC_PERMISSION_DENIED, "%s", why);
	return false;
}

void show_request(struct rpc_call *call, const ProtobufCMessage *request)
{
	const Audums__V1__NodeShowRequest *r = (const Audums__V1__NodeShowRequest *)request;
	struct controller *c = rpc_call_service(call);
	Audums__V1__ControllerMessage m = AUDUMS__V1__CONTROLLER_MESSAGE__INIT;
	Audums__V1__Query query = AUDUMS__V1__QUERY__INIT;
	const Audums__V1__Node *known;
	struct node *node;
	struct show *s;

	if (!api_may_read(call))
		return;
	if (!r->dataplane || !r->dataplane->ask_case) {
		rpc_finish(call, RPC_INVALID_ARGUMENT, "dataplane: expected a question");
		return;
	}
	known = model_node(intent_model(c->intent), r->node);
	if (!known) {
		rpc_finish(call, RPC_NOT_FOUND, "there is no node \"%.64s\"", r->node);
		return;
	}
	/* tenants' own traffic, not figures about it */
	if (r->dataplane->ask_case == AUDUMS__V1__DATAPLANE_REQUEST__ASK_CAPTURE &&
		!may_capture(call, known))
		return;
	node = nodes_get(c->nodes, r->node);
	if (!node || !node->call) {
		rpc_finish(call, RPC_UNAVAILABLE, "node %.64s is not connected%s", r->node,
			node ? "; look at its agent" : ": it is unmanaged");
		return;
	}
	if (shows_of(c->shows, r->node) >= SHOW_MAX) {
		rpc_finish(call, RPC_RESOURCE_EXHAUSTED,
			"node %s has %d questions open already; ask again", node->name, SHOW_MAX);
		return;
	}
	s = show_new(c->shows, call, r->node);
	if (!s) {
		rpc_finish(call, RPC_RESOURCE_EXHAUSTED, "the controller is out of memory");
		return;
	}
	query.id = s->id;
	query.dataplane = r->dataplane;
	m.body_case = AUDUMS__V1__CONTROLLER_MESSAGE__BODY_QUERY;
	m.query = &query;
	if (rpc_send(node->call, &m.base) < 0) {
		show_end(s, RPC_UNAVAILABLE, "the node is busy; ask again");
		return;
	}
	s->timeout_ms = silence_ms(r->dataplane);
	loop_timer_arm(s->timer, s->timeout_ms, 0);
}

void show_writable(struct rpc_call *call)
{
	struct show *s = rpc_call_data(call);

	if (s)
		show_send(s);
}

static void show_free(struct show *s)
{
	struct show **at = &s->shows->list;

	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	queue_clear(s);
	loop_timer_free(s->timer);
	free(s);
}

void show_done(struct rpc_call *call, const struct rpc_status *status)
{
	struct show *s = rpc_call_data(call);

	if (!s)
		return;
	if (!s->complete)
		node_cancel(s->shows->c, s->node, s->id);
	show_free(s);
}

struct shows *shows_new(struct controller *c)
{
	struct shows *shows = calloc(1, sizeof(*shows));

	if (shows)
		shows->c = c;
	return shows;
}

void shows_free(struct shows *shows)
{
	if (!shows)
		return;
	while (shows->list)
		show_free(shows->list);
	free(shows);
}
