/* See operations.h. */
#include "controller/audumsd/operations.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/audumsd/nodes.h"
#include "controller/audumsd/status.h"
#include "proto/lib/log.h"

#define STATE_RUNNING AUDUMS__V1__OPERATION__STATE__STATE_RUNNING
#define STATE_DONE    AUDUMS__V1__OPERATION__STATE__STATE_DONE
#define STATE_FAILED  AUDUMS__V1__OPERATION__STATE__STATE_FAILED

struct waiter {
	struct waiter *next;
	struct operations *ops;
	struct rpc_call *call;
	struct loop_timer *timer;
	char id[OPERATION_ID];
};

struct operations {
	struct controller *c;
	Audums__V1__Operation *list[OPERATIONS_MAX]; /* oldest first */
	size_t n;
	struct waiter *waiters;
	bool changed;
};

const Audums__V1__Operation *operations_get(const struct operations *ops, const char *id)
{
	/* the newest are asked for most */
	for (size_t i = ops->n; i-- > 0;)
		if (!strcmp(ops->list[i]->id, id))
			return ops->list[i];
	return NULL;
}

static void operation_append(struct operations *ops, Audums__V1__Operation *op)
{
	if (ops->n == OPERATIONS_MAX) {
		audums__v1__operation__free_unpacked(ops->list[0], NULL);
		memmove(ops->list, ops->list + 1, --ops->n * sizeof(ops->list[0]));
	}
	ops->list[ops->n++] = op;
}

/* ---- waiters ------------------------------------------------------------------------------ */

static void waiter_free(struct waiter *w)
{
	struct waiter **at = &w->ops->waiters;

	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
	loop_timer_free(w->timer);
	free(w);
}

static void waiter_answer(struct waiter *w)
{
	const Audums__V1__Operation *op = operations_get(w->ops, w->id);
	struct rpc_call *call = w->call;

	waiter_free(w);
	if (op)
		rpc_reply(call, &op->base);
	else
		rpc_finish(call, RPC_NOT_FOUND, "the operation is not kept any more");
}

static void on_timer(void *arg)
{
	waiter_answer(arg);
}

int operations_wait(struct operations *ops, struct rpc_call *call, const char *id, uint32_t wait_ms)
{
	const Audums__V1__Operation *op = operations_get(ops, id);
	struct waiter *w;

	if (!op)
		return -ENOENT;
	if (!wait_ms || op->state != STATE_RUNNING) {
		rpc_reply(call, &op->base);
		return 0;
	}
	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->ops = ops;
	w->call = call;
	w->timer = loop_timer_new(ops->c->loop, on_timer, w);
	if (!w->timer) {
		free(w);
		return -ENOMEM;
	}
	strncpy(w->id, op->id, sizeof(w->id) - 1);
	w->next = ops->waiters;
	ops->waiters = w;
	loop_timer_arm(w->timer, wait_ms, 0);
	return 0;
}

void operations_forget(struct operations *ops, struct rpc_call *call)
{
	for (struct waiter *w = ops->waiters; w; w = w->next)
		if (w->call == call) {
			waiter_free(w);
			return;
		}
}

static void waiters_answer(struct operations *ops, const Audums__V1__Operation *op)
{
	for (struct waiter *w = ops->waiters, *next; w; w = next) {
		next = w->next;
		if (!op || !strcmp(w->id, op->id))
			waiter_answer(w);
	}
}

void operations_release(struct operations *ops)
{
	waiters_answer(ops, NULL);
}

/* ---- progress ----------------------------------------------------------------------------- */

/* What keeps a node from having applied `generation`; "" when nothing is known to. *failed is set
 * if the node says that it can't. */
static void node_obstacle(
	const struct node *node, uint64_t generation, bool *failed, char *text, size_t size)
{
	const Audums__V1__SegmentReport *r;

	*text = '\0';
	if (!node->connected) {
		snprintf(text, size, "the node is not connected");
		return;
	}
	for (size_t at = 0; (r = strmap_next(&node->reports[REPORT_SEGMENT], &at));)
		if (r->state == AUDUMS__V1__APPLY_STATE__APPLY_STATE_FAILED &&
			r->generation == generation) {
			*failed = true;
			snprintf(text, size, "segment %s: %.160s", r->name, r->message);
			return;
		}
}

static int text_set(char **field, const char *text)
{
	char *copy;

	if (!strcmp(*field, text))
		return 0;
	copy = strdup(text);
	if (!copy)
		return -ENOMEM;
	if (*field != protobuf_c_empty_string)
		free(*field);
	*field = copy;
	return 1;
}

/* Look at one operation; true if it differs from before. */
static bool operation_look(struct operations *ops, Audums__V1__Operation *op)
{
	bool all = true, failed = false, differs = false;
	Audums__V1__Operation__State state;

	for (size_t i = 0; i < op->n_nodes; i++) {
		Audums__V1__OperationNode *n = op->nodes[i];
		const struct node *node = nodes_get(ops->c->nodes, n->node);
		char text[256] = "";
		bool applied = true;

		if (n->applied)
			continue;
		if (node) {
			applied = node->applied_generation >= op->generation;
			if (!applied)
				node_obstacle(node, op->generation, &failed, text, sizeof(text));
		} else {
			snprintf(text, sizeof(text), "the node is not managed any more");
		}
		differs |= applied;
		n->applied = applied;
		if (text_set(&n->message, text) > 0)
			differs = true;
		all &= applied;
	}
	state = all ? STATE_DONE : failed ? STATE_FAILED : STATE_RUNNING;
	if (state != op->state) {
		op->state = state;
		op->finished_ms = state == STATE_RUNNING ? 0 : clock_ms();
		differs = true;
		log_info("operation", "id=%s state=%s ms=%" PRIu64, op->id,
			state == STATE_DONE     ? "done"
			: state == STATE_FAILED ? "failed"
						: "running",
			clock_ms() - op->started_ms);
	}
	return differs;
}

void operations_changed(struct operations *ops)
{
	ops->changed = true;
	status_schedule(ops->c);
}

void operations_look(struct operations *ops)
{
	if (!ops->changed)
		return;
	ops->changed = false;
	for (size_t i = 0; i < ops->n; i++) {
		Audums__V1__Operation *op = ops->list[i];

		if (op->state == STATE_DONE || !operation_look(ops, op))
			continue;
		if (op->state == STATE_RUNNING)
			continue;
		intent_operation_store(ops->c->intent, op);
		waiters_answer(ops, op);
	}
}

void operations_committed(struct operations *ops, const Audums__V1__Operation *operation)
{
	Audums__V1__Operation *copy = (Audums__V1__Operation *)message_clone(&operation->base);

	if (!copy) {
		log_error("operation_not_tracked", "id=%s error=memory", operation->id);
		return;
	}
	operation_append(ops, copy);
	operations_changed(ops);
}

int operations_load(struct operations *ops)
{
	size_t n;
	Audums__V1__Operation **list = intent_take_operations(ops->c->intent, &n);

	for (size_t i = 0; i < n; i++)
		operation_append(ops, list[i]);
	free(list);
	operations_changed(ops);
	return 0;
}

struct operations *operations_new(struct controller *c)
{
	struct operations *ops = calloc(1, sizeof(*ops));

	if (ops)
		ops->c = c;
	return ops;
}

void operations_free(struct operations *ops)
{
	if (!ops)
		return;
	while (ops->waiters)
		waiter_free(ops->waiters);
	for (size_t i = 0; i < ops->n; i++)
		audums__v1__operation__free_unpacked(ops->list[i], NULL);
	free(ops);
}
