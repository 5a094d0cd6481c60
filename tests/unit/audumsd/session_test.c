/*
 * The way of an intent through a whole controller: from Apply over the node streams to READY, with
 * fake agents over the real gRPC.
 *
 *	operator --Apply--> controller --DesiredState--> lvrtc1, lnb1, ic1, ldc1
 *	         <--Watch--            <--Report-------
 */
#include "tests/unit/audumsd/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

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
					      "segment/registri tenant/vid"),
		RPC_OK);
	for (int i = 0; i < NODES; i++)
		wait_phase(&lab, NODE, names[i], READY);
	for (int i = 0; i < NODES; i++)
		assert_int_equal(lab.agents[i]->segments.n, 0);
	lab_stop(&lab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_apply_to_ready),
	};

	return cmocka_run_group_tests_name("session", tests, NULL, NULL);
}
