/*
 * The NodeControl service: one stream for each node.
 *
 * Invariants: a stream speaks for the node that its certificate names and for no other (D20); a
 * node has at most one session, the newest; each message renews the lease.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "controller/audumsd/access.h"
#include "controller/audumsd/nodes.h"
#include "controller/audumsd/operations.h"
#include "controller/audumsd/show.h"
#include "controller/audumsd/status.h"
#include "proto/lib/log.h"

#define TEXT_MAX 300 /* of a quoted word in a log */

static void lease_renew(struct node *node)
{
	node->last_seen_ms = clock_ms();
	loop_timer_arm(node->lease, LEASE_MS, 0);
	if (node->connected)
		return;
	node->connected = true;
	log_info("node_connected", "node=%s", node->name);
	status_node_changed(node->c, node->name);
}

/* The node has no session any more. */
static void detach(struct node *node)
{
	if (node->call)
		rpc_call_set_data(node->call, NULL);
	node->call = NULL;
	desired_clear(node);
	shows_node_lost(node->c->shows, node->name);
	loop_timer_disarm(node->lease);
	if (!node->connected)
		return;
	node->connected = false;
	log_warn("node_disconnected", "node=%s", node->name);
	status_node_changed(node->c, node->name);
	operations_changed(node->c->operations);
}

void session_end(struct node *node, enum rpc_code code, const char *why)
{
	struct rpc_call *call = node->call;

	if (!call)
		return;
	detach(node);
	rpc_finish(call, code, "%s", why);
}

static void on_start(struct rpc_call *call)
{
	struct access access;

	access_parse(rpc_call_peer(call), &access);
	if (access.role != ACCESS_NODE) {
		char text[TEXT_MAX];

		log_warn("session_refused", "identity=%s from=%s",
			log_quote(text, sizeof(text), access.identity),
			rpc_call_peer_address(call));
		rpc_finish(call, RPC_PERMISSION_DENIED,
			"only a node's certificate (audums://node/NAME) may open a session, this "
			"one is %s",
			*access.identity ? access.identity : "without identity");
	}
}

static void hello_take(struct rpc_call *call, const Audums__V1__Hello *hello)
{
	struct controller *c = rpc_call_service(call);
	const Audums__V1__Node *known;
	struct access access;
	struct node *node;
	char text[TEXT_MAX];

	access_parse(rpc_call_peer(call), &access);
	if (!access_node(&access, hello->node)) {
		log_warn("session_refused", "identity=%s claims=%s", access.identity,
			log_quote(text, sizeof(text), hello->node));
		rpc_finish(call, RPC_PERMISSION_DENIED,
			"the certificate %s may not speak for node \"%.64s\"", access.identity,
			hello->node);
		return;
	}
	node = nodes_get(c->nodes, hello->node);
	if (!node) {
		known = model_node(intent_model(c->intent), hello->node);
		log_info("session_refused", "node=%s reason=%s", access.name,
			known ? "unmanaged" : "unknown");
		if (known)
			rpc_finish(call, RPC_FAILED_PRECONDITION,
				"node \"%s\" is declared as unmanaged; clear that to let its agent "
				"in",
				access.name);
		else
			rpc_finish(call, RPC_NOT_FOUND, "there is no node \"%s\"; apply it first",
				access.name);
		return;
	}
	session_end(node, RPC_ABORTED, "a newer session of the node has replaced this one");
	/* What the last session said may have ceased to be true since; of another agent process the
	 * events are void, too. */
	if (strcmp(node->instance, hello->instance))
		report_clear(node);
	else
		report_forget(node);
	snprintf(node->instance, sizeof(node->instance), "%.63s", hello->instance);
	snprintf(node->version, sizeof(node->version), "%.63s", hello->version);
	node->call = call;
	rpc_call_set_data(call, node);
	log_info("session_opened", "node=%s from=%s version=%s generation=%" PRIu64, node->name,
		rpc_call_peer_address(call), log_quote(text, sizeof(text), node->version),
		hello->generation);
	if (hello->generation > intent_generation(c->intent))
		log_warn("node_ahead", "node=%s generation=%" PRIu64 " intent=%" PRIu64, node->name,
			hello->generation, intent_generation(c->intent));
	lease_renew(node);
	/* safe whatever it holds, and a state that is the same costs it a comparison */
	desired_note_full(node);
	desired_send(node);
}

static void on_message(struct rpc_call *call, const ProtobufCMessage *message)
{
	const Audums__V1__AgentMessage *m = (const Audums__V1__AgentMessage *)message;
	struct node *node = rpc_call_data(call);

	if (m->body_case == AUDUMS__V1__AGENT_MESSAGE__BODY_HELLO) {
		if (node)
			rpc_finish(call, RPC_FAILED_PRECONDITION, "hello was said already");
		else
			hello_take(call, m->hello);
		return;
	}
	if (!node) {
		rpc_finish(call, RPC_FAILED_PRECONDITION, "the first message must be hello");
		return;
	}
	lease_renew(node);
	switch (m->body_case) {
	case AUDUMS__V1__AGENT_MESSAGE__BODY_REPORT:
		report_take(node, m->report);
		break;
	case AUDUMS__V1__AGENT_MESSAGE__BODY_EVENT:
		report_event(node, m->event);
		break;
	case AUDUMS__V1__AGENT_MESSAGE__BODY_QUERY_REPLY:
		shows_reply(node->c->shows, node->name, m->query_reply);
		break;
	default:
		break; /* of a newer agent */
	}
}

static void on_writable(struct rpc_call *call)
{
	struct node *node = rpc_call_data(call);

	if (node)
		desired_send(node);
}

static void on_done(struct rpc_call *call, const struct rpc_status *status)
{
	struct node *node = rpc_call_data(call);
	char text[TEXT_MAX];

	if (!node)
		return;
	log_info("session_closed", "node=%s status=%s text=%s", node->name,
		rpc_code_name(status->code), log_quote(text, sizeof(text), status->message));
	node->call = NULL;
	detach(node);
}

const struct rpc_method session_methods[] = {
	{.path = "/audums.v1.NodeControl/Session",
		.input = &audums__v1__agent_message__descriptor,
		.output = &audums__v1__controller_message__descriptor,
		.start = on_start,
		.message = on_message,
		.writable = on_writable,
		.done = on_done},
};
const size_t session_methods_n = sizeof(session_methods) / sizeof(session_methods[0]);
