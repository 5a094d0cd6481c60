/*
 * The way of an intent through a whole controller: from Apply over the node streams to READY, with
 * fake agents over the real gRPC.
 *
 *	operator --Apply--> controller --DesiredState--> lvrtc1, lnb1, ic1, ldc1
 *	         <--Watch--            <--Report-------
 */
#include "controller/audumsd/nodes.h"
#include "tests/unit/audumsd/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/lib/log.h"

#define OPERATOR "audums://client/operator/*/ops"
#define NODES    4

static const char *const names[NODES] = {"ic1", "ldc1", "lnb1", "lvrtc1"};

struct lab {
	struct fixture f;
	struct rpc_client *ops;
	struct agent *agents[NODES];
};

/* latvia.yaml with all agents connected and reporting. */
static void lab_start(struct lab *lab)
{
	*lab = (struct lab){0};
	fixture_start(&lab->f);
	lab->ops = fixture_client(&lab->f, OPERATOR);
	assert_int_equal(call_apply(lab->ops, "latvia.yaml", NULL), RPC_OK);
	for (int i = 0; i < NODES; i++) {
		lab->agents[i] = agent_start(&lab->f, names[i], NULL);
		agent_hello(lab->agents[i], names[i]);
	}
}

static void lab_stop(struct lab *lab)
{
	for (int i = 0; i < NODES; i++)
		if (lab->agents[i])
			agent_stop(lab->agents[i]);
	rpc_client_free(lab->ops);
	fixture_stop(&lab->f);
}

static bool all_told(void *arg)
{
	struct lab *lab = arg;

	for (int i = 0; i < NODES; i++)
		if (!lab->agents[i]->n_desired)
			return false;
	return true;
}

static Audums__V1__Phase phase(struct lab *lab, Audums__V1__Kind kind, const char *name)
{
	Audums__V1__Document *d = call_get(lab->ops, kind, name);
	Audums__V1__Phase p = AUDUMS__V1__PHASE__PHASE_UNSPECIFIED;

	if (!d)
		return p;
	if (d->n_nodes)
		p = d->nodes[0]->status->phase;
	if (d->n_links)
		p = d->links[0]->status->phase;
	if (d->n_segments)
		p = d->segments[0]->status->phase;
	if (d->n_attachments)
		p = d->attachments[0]->status->phase;
	audums__v1__document__free_unpacked(d, NULL);
	return p;
}

struct expect {
	struct lab *lab;
	Audums__V1__Kind kind;
	const char *name;
	Audums__V1__Phase phase;
};

static bool phase_is(void *arg)
{
	struct expect *e = arg;

	return phase(e->lab, e->kind, e->name) == e->phase;
}

static void wait_phase(
	struct lab *lab, Audums__V1__Kind kind, const char *name, Audums__V1__Phase p)
{
	struct expect e = {lab, kind, name, p};

	fixture_wait(&lab->f, phase_is, &e);
}

#define SEGMENT    AUDUMS__V1__KIND__KIND_SEGMENT
#define NODE       AUDUMS__V1__KIND__KIND_NODE
#define LINK       AUDUMS__V1__KIND__KIND_LINK
#define ATTACHMENT AUDUMS__V1__KIND__KIND_ATTACHMENT
#define READY      AUDUMS__V1__PHASE__PHASE_READY
#define PENDING    AUDUMS__V1__PHASE__PHASE_PENDING
#define DEGRADED   AUDUMS__V1__PHASE__PHASE_DEGRADED
#define FAILED     AUDUMS__V1__PHASE__PHASE_FAILED

static Audums__V1__Operation *operation(struct lab *lab, const char *id, uint32_t wait_ms)
{
	Audums__V1__GetOperationRequest request = AUDUMS__V1__GET_OPERATION_REQUEST__INIT;
	ProtobufCMessage *response = NULL;

	request.id = (char *)(uintptr_t)id;
	request.wait_ms = wait_ms;
	assert_int_equal(call(lab->ops, "GetOperation", &request.base,
				 &audums__v1__operation__descriptor, &response),
		RPC_OK);
	return (Audums__V1__Operation *)response;
}

/* From nothing to a tenant whose segment is ready at all four sites, and back. */
static void test_apply_to_ready(void **state)
{
	Audums__V1__ApplyResponse *response;
	Audums__V1__Operation *op;
	Audums__V1__Document *d;
	uint64_t begin;
	struct lab lab;

	lab_start(&lab);
	fixture_wait(&lab.f, all_told, &lab);
	for (int i = 0; i < NODES; i++) {
		wait_phase(&lab, NODE, names[i], READY);
		assert_int_equal(lab.agents[i]->n_full, 1);
	}
	wait_phase(&lab, LINK, "lvrtc-ic", READY);

	begin = loop_now_ms();
	assert_int_equal(call_apply(lab.ops, "demo-tenant.yaml", &response), RPC_OK);
	op = operation(&lab, response->operation, DEADLINE_MS);
	assert_int_equal(op->state, AUDUMS__V1__OPERATION__STATE__STATE_DONE);
	assert_int_equal(op->n_nodes, NODES);
	assert_int_equal(op->n_changes, response->n_changes);
	assert_string_equal(op->actor, OPERATOR);
	assert_int_equal(op->generation, response->generation);
	audums__v1__operation__free_unpacked(op, NULL);
	wait_phase(&lab, SEGMENT, "registri", READY);
	print_message("apply to ready: %llu ms\n", (unsigned long long)(loop_now_ms() - begin));
	wait_phase(&lab, ATTACHMENT, "registri-ic", READY);
	for (int i = 0; i < NODES; i++) {
		/* a difference, with one segment */
		assert_int_equal(lab.agents[i]->n_full, 1);
		assert_int_equal(lab.agents[i]->segments.n, 1);
		assert_int_equal(lab.agents[i]->generation, response->generation);
	}
	d = call_get(lab.ops, SEGMENT, "registri");
	assert_int_equal(d->segments[0]->status->vni, 10000);
	assert_string_equal(d->segments[0]->status->route_target, "64512:10000");
	assert_int_equal(d->segments[0]->status->n_nodes, NODES);
	assert_int_equal(d->segments[0]->status->nodes[0]->n_vteps, NODES - 1);
	assert_int_equal(d->segments[0]->generation, response->generation);
	audums__v1__document__free_unpacked(d, NULL);
	audums__v1__apply_response__free_unpacked(response, NULL);

	/* the same again is no change */
	assert_int_equal(call_apply(lab.ops, "demo-tenant.yaml", &response), RPC_OK);
	assert_string_equal(response->operation, "");
	assert_int_equal(response->n_changes, 0);
	audums__v1__apply_response__free_unpacked(response, NULL);

	/* what is referred to stays; all together go */
	assert_int_equal(call_delete(lab.ops, "segment/registri"), RPC_FAILED_PRECONDITION);
	assert_non_null(strstr(call_problems, "registri-lvrtc"));
	assert_int_equal(call_delete(lab.ops, "segment/nothing"), RPC_NOT_FOUND);
	assert_int_equal(call_delete(lab.ops, "attachment/registri-lvrtc attachment/registri-lnb "
					      "attachment/registri-ic attachment/registri-ldc "
					      "attachment/registri-standby "
					      "segment/registri tenant/vid"),
		RPC_OK);
	for (int i = 0; i < NODES; i++)
		wait_phase(&lab, NODE, names[i], READY);
	for (int i = 0; i < NODES; i++)
		assert_int_equal(lab.agents[i]->segments.n, 0);
	lab_stop(&lab);
}

/* ---- what makes a segment not ready ------------------------------------------------------- */

static void wait_ready(struct lab *lab)
{
	fixture_wait(&lab->f, all_told, lab);
	for (int i = 0; i < NODES; i++)
		wait_phase(lab, NODE, names[i], READY);
}

static void message_of(struct lab *lab, const char *segment, char *text, size_t size)
{
	Audums__V1__Document *d = call_get(lab->ops, SEGMENT, segment);

	assert_non_null(d);
	snprintf(text, size, "%s", d->segments[0]->status->message);
	audums__v1__document__free_unpacked(d, NULL);
}

/* A node that doesn't flood to all others keeps a segment from being ready. */
static void test_not_seen(void **state)
{
	struct lab lab;
	char text[300];

	lab_start(&lab);
	wait_ready(&lab);
	lab.agents[2]->blind_to = "10.254.3.1"; /* lnb1 doesn't see ic1 */
	assert_int_equal(call_apply(lab.ops, "demo-tenant.yaml", NULL), RPC_OK);
	wait_ready(&lab);
	assert_int_equal(phase(&lab, SEGMENT, "registri"), PENDING);
	message_of(&lab, "registri", text, sizeof(text));
	assert_string_equal(text, "node lnb1: does not see ic1 (10.254.3.1) yet");
	lab.agents[2]->blind_to = NULL;
	agent_report(lab.agents[2]);
	wait_phase(&lab, SEGMENT, "registri", READY);
	/* and it is missed when it is lost again */
	lab.agents[2]->blind_to = "10.254.3.1";
	agent_report(lab.agents[2]);
	wait_phase(&lab, SEGMENT, "registri", DEGRADED);
	lab_stop(&lab);
}

/* A node that fails makes the operation and the segment fail, until it heals. */
static void test_failure(void **state)
{
	Audums__V1__ApplyResponse *response;
	Audums__V1__Operation *op;
	struct lab lab;
	char text[300];

	lab_start(&lab);
	wait_ready(&lab);
	lab.agents[0]->failing = "registri";
	assert_int_equal(call_apply(lab.ops, "demo-tenant.yaml", &response), RPC_OK);
	op = operation(&lab, response->operation, DEADLINE_MS);
	assert_int_equal(op->state, AUDUMS__V1__OPERATION__STATE__STATE_FAILED);
	assert_string_equal(op->nodes[0]->node, "ic1");
	assert_false(op->nodes[0]->applied);
	assert_string_equal(op->nodes[0]->message, "segment registri: no such thing");
	audums__v1__operation__free_unpacked(op, NULL);
	wait_phase(&lab, SEGMENT, "registri", FAILED);
	message_of(&lab, "registri", text, sizeof(text));
	assert_string_equal(text, "node ic1: no such thing");
	lab.agents[0]->failing = NULL;
	agent_report(lab.agents[0]);
	wait_phase(&lab, SEGMENT, "registri", READY);
	op = operation(&lab, response->operation, 0);
	assert_int_equal(op->state, AUDUMS__V1__OPERATION__STATE__STATE_DONE);
	audums__v1__operation__free_unpacked(op, NULL);
	audums__v1__apply_response__free_unpacked(response, NULL);
	lab_stop(&lab);
}

/* ---- liveness ----------------------------------------------------------------------------- */

/* A node that goes is not connected, nothing that touches it is ready, and it heals. */
static void test_disconnect(void **state)
{
	struct lab lab;
	char text[300];

	lab_start(&lab);
	wait_ready(&lab);
	assert_int_equal(call_apply(lab.ops, "demo-tenant.yaml", NULL), RPC_OK);
	wait_phase(&lab, SEGMENT, "registri", READY);
	agent_stop(lab.agents[0]);
	lab.agents[0] = NULL;
	wait_phase(&lab, SEGMENT, "registri", DEGRADED);
	message_of(&lab, "registri", text, sizeof(text));
	assert_string_equal(text, "node ic1: not connected");
	assert_int_equal(phase(&lab, NODE, "ic1"), DEGRADED);
	assert_int_equal(phase(&lab, LINK, "lvrtc-ic"), DEGRADED);
	assert_int_equal(phase(&lab, LINK, "lvrtc-lnb"), READY);
	assert_int_equal(phase(&lab, ATTACHMENT, "registri-ic"), DEGRADED);
	assert_int_equal(phase(&lab, ATTACHMENT, "registri-lnb"), READY);
	lab.agents[0] = agent_start(&lab.f, "ic1", NULL);
	agent_hello(lab.agents[0], "ic1");
	wait_phase(&lab, SEGMENT, "registri", READY);
	/* it was given everything, once */
	assert_int_equal(lab.agents[0]->n_desired, 1);
	assert_int_equal(lab.agents[0]->segments.n, 1);
	lab_stop(&lab);
}

static bool lease_over(void *arg)
{
	struct lab *lab = arg;
	Audums__V1__Document *d = call_get(lab->ops, NODE, "ic1");
	bool over = !d->nodes[0]->status->connected;

	audums__v1__document__free_unpacked(d, NULL);
	return over;
}

/* A session that says nothing is no news, and no news means down. */
static void test_lease(void **state)
{
	uint64_t begin;
	struct lab lab;

	lab_start(&lab);
	wait_ready(&lab);
	begin = loop_now_ms();
	fixture_wait(&lab.f, lease_over, &lab);
	assert_true(loop_now_ms() - begin > LEASE_MS / 2);
	assert_non_null(lab.agents[0]->call);
	assert_int_equal(phase(&lab, NODE, "ic1"), DEGRADED);
	agent_report(lab.agents[0]);
	fixture_wait(&lab.f, all_told, &lab);
	for (int i = 1; i < NODES; i++)
		agent_report(lab.agents[i]);
	wait_ready(&lab);
	lab_stop(&lab);
}

static bool agent_over(void *arg)
{
	return ((struct agent *)arg)->is_over;
}

static bool connected(void *arg)
{
	struct lab *lab = arg;
	Audums__V1__Document *d = call_get(lab->ops, NODE, "ic1");
	bool is = d->nodes[0]->status->connected;

	audums__v1__document__free_unpacked(d, NULL);
	return is;
}

static bool disconnected(void *arg)
{
	return !connected(arg);
}

/* A node that comes back is not ready because it was when it went. */
static void test_stale_reports(void **state)
{
	Audums__V1__Document *d;
	struct agent *again;
	struct lab lab;

	lab_start(&lab);
	wait_ready(&lab);
	again = agent_start(&lab.f, "ic1", NULL);
	/* the same process, over a new connection */
	snprintf(again->instance, sizeof(again->instance), "%s", lab.agents[0]->instance);
	again->silent = true;
	agent_stop(lab.agents[0]);
	lab.agents[0] = again;
	fixture_wait(&lab.f, disconnected, &lab);
	agent_hello(again, "ic1");
	fixture_wait(&lab.f, connected, &lab);
	assert_int_equal(phase(&lab, NODE, "ic1"), DEGRADED);
	assert_int_equal(phase(&lab, LINK, "lvrtc-ic"), DEGRADED);
	d = call_get(lab.ops, NODE, "ic1");
	assert_int_equal(d->nodes[0]->status->applied_generation, 0);
	audums__v1__document__free_unpacked(d, NULL);
	again->silent = false;
	agent_report(again);
	wait_ready(&lab);
	lab_stop(&lab);
}

/* A node speaks of what the intent has of it, and of nothing else. */
static void test_liar(void **state)
{
	Audums__V1__AgentMessage m = AUDUMS__V1__AGENT_MESSAGE__INIT;
	Audums__V1__Report r = AUDUMS__V1__REPORT__INIT;
	Audums__V1__UplinkReport u = AUDUMS__V1__UPLINK_REPORT__INIT;
	Audums__V1__EvpnPeerReport p = AUDUMS__V1__EVPN_PEER_REPORT__INIT;
	Audums__V1__ComponentReport c = AUDUMS__V1__COMPONENT_REPORT__INIT;
	Audums__V1__UplinkReport *us[] = {&u};
	Audums__V1__EvpnPeerReport *ps[] = {&p};
	Audums__V1__ComponentReport *cs[] = {&c};
	const struct node *node;
	struct lab lab;

	lab_start(&lab);
	wait_ready(&lab);
	node = nodes_get(lab.f.controller->nodes, "ic1");
	m.body_case = AUDUMS__V1__AGENT_MESSAGE__BODY_REPORT;
	m.report = &r;
	r.applied_generation = lab.agents[0]->generation;
	r.uplinks = us;
	r.evpn_peers = ps;
	r.components = cs;
	r.n_uplinks = r.n_evpn_peers = r.n_components = 1;
	/* somebody else's link, a node that is not there, what would colour a terminal */
	u.link = (char *)"lvrtc-lnb";
	p.node = (char *)"nobody";
	c.name = (char *)"\033[31mred";
	agent_send(lab.agents[0], &m);
	/* a generation that nobody asked for */
	r.applied_generation = UINT64_MAX;
	r.n_uplinks = r.n_evpn_peers = 0;
	c.name = (char *)"kernel";
	agent_send(lab.agents[0], &m);
	wait_phase(&lab, NODE, "ic1", DEGRADED);
	assert_int_equal(node->reports[REPORT_UPLINK].n, lab.agents[0]->base->n_uplinks);
	assert_int_equal(node->reports[REPORT_PEER].n, NODES - 1);
	assert_int_equal(node->reports[REPORT_COMPONENT].n, 1);
	assert_int_equal(node->applied_generation, 0);
	assert_int_equal(phase(&lab, LINK, "lvrtc-lnb"), READY);
	agent_report(lab.agents[0]);
	wait_ready(&lab);
	lab_stop(&lab);
}

/* The newest session of a node counts. */
static void test_replaced(void **state)
{
	struct agent *again;
	struct lab lab;

	lab_start(&lab);
	wait_ready(&lab);
	again = agent_start(&lab.f, "ic1", NULL);
	agent_hello(again, "ic1");
	fixture_wait(&lab.f, agent_over, lab.agents[0]);
	assert_int_equal(lab.agents[0]->ended, RPC_ABORTED);
	agent_stop(lab.agents[0]);
	lab.agents[0] = again;
	wait_ready(&lab);
	lab_stop(&lab);
}

/* The controller ends and begins again: same intent, same numbers, and the nodes are told nothing
 * that differs. */
static void test_restart(void **state)
{
	Audums__V1__ApplyResponse *response;
	Audums__V1__Operation *op;
	Audums__V1__Document *before, *after;
	uint64_t generations[NODES];
	struct lab lab;

	lab_start(&lab);
	wait_ready(&lab);
	assert_int_equal(call_apply(lab.ops, "demo-tenant.yaml", &response), RPC_OK);
	wait_phase(&lab, SEGMENT, "registri", READY);
	before = call_get(lab.ops, SEGMENT, "registri");
	for (int i = 0; i < NODES; i++) {
		generations[i] = lab.agents[i]->generation;
		agent_stop(lab.agents[i]);
	}
	rpc_client_free(lab.ops);
	fixture_restart(&lab.f);
	lab.ops = fixture_client(&lab.f, OPERATOR);
	assert_int_equal(phase(&lab, SEGMENT, "registri"), PENDING);
	for (int i = 0; i < NODES; i++) {
		lab.agents[i] = agent_start(&lab.f, names[i], NULL);
		agent_hello(lab.agents[i], names[i]);
	}
	wait_ready(&lab);
	after = call_get(lab.ops, SEGMENT, "registri");
	for (int i = 0; i < NODES; i++)
		assert_int_equal(lab.agents[i]->generation, generations[i]);
	assert_int_equal(after->segments[0]->generation, before->segments[0]->generation);
	assert_int_equal(after->segments[0]->status->vni, before->segments[0]->status->vni);
	assert_string_equal(after->segments[0]->status->nodes[1]->rd,
		before->segments[0]->status->nodes[1]->rd);
	op = operation(&lab, response->operation, 0);
	assert_int_equal(op->state, AUDUMS__V1__OPERATION__STATE__STATE_DONE);
	audums__v1__operation__free_unpacked(op, NULL);
	audums__v1__document__free_unpacked(before, NULL);
	audums__v1__document__free_unpacked(after, NULL);
	audums__v1__apply_response__free_unpacked(response, NULL);
	lab_stop(&lab);
}

/* ---- who may be who ----------------------------------------------------------------------- */

static void refused(struct fixture *f, const char *identity, const char *says, enum rpc_code code)
{
	struct agent *a = agent_start(f, says, identity);

	agent_hello(a, says);
	fixture_wait(f, agent_over, a);
	if (a->ended != code)
		fail_msg("%s as %s: %s (%s)", identity, says, rpc_code_name(a->ended),
			a->ended_text);
	assert_int_equal(a->n_desired, 0);
	agent_stop(a);
}

static void test_sessions_refused(void **state)
{
	struct agent *a;
	struct lab lab;

	lab_start(&lab);
	refused(&lab.f, "audums://node/lnb1", "ic1", RPC_PERMISSION_DENIED);
	refused(&lab.f, "audums://node/nobody", "nobody", RPC_NOT_FOUND);
	refused(&lab.f, OPERATOR, "ic1", RPC_PERMISSION_DENIED);
	refused(&lab.f, "audums://controller/x", "ic1", RPC_PERMISSION_DENIED);
	/* something else before hello */
	a = agent_start(&lab.f, "ic1", NULL);
	agent_report(a);
	fixture_wait(&lab.f, agent_over, a);
	assert_int_equal(a->ended, RPC_FAILED_PRECONDITION);
	agent_stop(a);
	/* hello twice */
	agent_hello(lab.agents[1], "ldc1");
	fixture_wait(&lab.f, agent_over, lab.agents[1]);
	assert_int_equal(lab.agents[1]->ended, RPC_FAILED_PRECONDITION);
	lab_stop(&lab);
}

/* A node that is taken out of the intent loses its session; its neighbours lose their peer. */
static void test_node_deleted(void **state)
{
	struct lab lab;

	lab_start(&lab);
	wait_ready(&lab);
	assert_int_equal(
		call_delete(lab.ops, "link/ldc-lvrtc link/ic-ldc node/ldc1 site/ldc"), RPC_OK);
	fixture_wait(&lab.f, agent_over, lab.agents[1]);
	assert_int_equal(lab.agents[1]->ended, RPC_NOT_FOUND);
	wait_phase(&lab, NODE, "ic1", READY);
	assert_int_equal(lab.agents[0]->base->n_evpn_peers, NODES - 2);
	assert_int_equal(lab.agents[0]->base->n_uplinks, 2);
	lab_stop(&lab);
}

/* Nothing waits for a node that somebody else runs; the others are configured towards it. */
static void test_unmanaged(void **state)
{
	static const char foreign[] = "sites:\n"
				      "- {name: foreign, provider: ldc}\n"
				      "nodes:\n"
				      "- {name: foreign1, provider: ldc, site: foreign, "
				      "unmanaged: true, asn: 64900, vtep: 10.254.4.99}\n"
				      "links:\n"
				      "- {name: ldc-foreign, provider: ldc, a: {node: ldc1, port: "
				      "up7}, b: {node: foreign1, port: eth0}}\n"
				      "tenants:\n"
				      "- {name: t, provider: ldc}\n"
				      "segments:\n"
				      "- {name: s, provider: ldc, tenant: t, sites: [ldc, foreign, "
				      "ic]}\n";
	Audums__V1__ApplyResponse *response;
	Audums__V1__SegmentConfig *config;
	Audums__V1__Operation *op;
	struct lab lab;

	lab_start(&lab);
	wait_ready(&lab);
	assert_int_equal(call_apply(lab.ops, foreign, &response), RPC_OK);
	op = operation(&lab, response->operation, DEADLINE_MS);
	assert_int_equal(op->state, AUDUMS__V1__OPERATION__STATE__STATE_DONE);
	assert_int_equal(op->n_nodes, NODES);
	audums__v1__operation__free_unpacked(op, NULL);
	audums__v1__apply_response__free_unpacked(response, NULL);
	wait_phase(&lab, SEGMENT, "s", READY);
	wait_phase(&lab, LINK, "ldc-foreign", READY);
	assert_int_equal(lab.agents[0]->base->n_evpn_peers, NODES);
	config = strmap_get(&lab.agents[0]->segments, "s");
	assert_int_equal(config->n_vteps, 2);
	assert_string_equal(config->vteps[0], "10.254.4.99");
	refused(&lab.f, "audums://node/foreign1", "foreign1", RPC_FAILED_PRECONDITION);
	lab_stop(&lab);
}

/* ---- size --------------------------------------------------------------------------------- */

#define MANY 3000

static char *many_segments(int n)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	fprintf(f, "tenants:\n- {name: t, provider: lvrtc}\nsegments:\n");
	for (int i = 0; i < n; i++)
		fprintf(f,
			"- {name: s%d, provider: lvrtc, tenant: t, sites: [lvrtc, lnb, ic, ldc]}\n",
			i);
	fclose(f);
	return text;
}

static bool many_there(void *arg)
{
	struct lab *lab = arg;

	for (int i = 0; i < NODES; i++)
		if (lab->agents[i]->segments.n != MANY)
			return false;
	return true;
}

/* A change far above what one transaction and one message hold goes through whole. */
static void test_many(void **state)
{
	char *text = many_segments(MANY);
	Audums__V1__ApplyResponse *response;
	Audums__V1__Operation *op;
	uint64_t begin;
	struct lab lab;

	lab_start(&lab);
	wait_ready(&lab);
	begin = loop_now_ms();
	assert_int_equal(call_apply(lab.ops, text, &response), RPC_OK);
	fixture_wait(&lab.f, many_there, &lab);
	op = operation(&lab, response->operation, DEADLINE_MS);
	assert_int_equal(op->state, AUDUMS__V1__OPERATION__STATE__STATE_DONE);
	assert_int_equal(op->n_changes + op->changes_left_out, MANY + 1);
	wait_phase(&lab, SEGMENT, "s2999", READY);
	print_message("%d segments: %llu ms\n", MANY, (unsigned long long)(loop_now_ms() - begin));
	audums__v1__operation__free_unpacked(op, NULL);
	audums__v1__apply_response__free_unpacked(response, NULL);
	/* a node that comes again gets all of it, in chunks */
	agent_stop(lab.agents[3]);
	lab.agents[3] = agent_start(&lab.f, "lvrtc1", NULL);
	agent_hello(lab.agents[3], "lvrtc1");
	fixture_wait(&lab.f, many_there, &lab);
	assert_int_equal(lab.agents[3]->n_full, 1);
	assert_true(lab.agents[3]->n_chunks > 1);
	wait_ready(&lab);
	free(text);
	lab_stop(&lab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_apply_to_ready),
		cmocka_unit_test(test_not_seen),
		cmocka_unit_test(test_failure),
		cmocka_unit_test(test_disconnect),
		cmocka_unit_test(test_lease),
		cmocka_unit_test(test_stale_reports),
		cmocka_unit_test(test_liar),
		cmocka_unit_test(test_replaced),
		cmocka_unit_test(test_restart),
		cmocka_unit_test(test_sessions_refused),
		cmocka_unit_test(test_node_deleted),
		cmocka_unit_test(test_unmanaged),
		cmocka_unit_test(test_many),
	};

	log_setup(LOG_LEVEL_ERROR, 2);
	return cmocka_run_group_tests_name("session", tests, NULL, NULL);
}
