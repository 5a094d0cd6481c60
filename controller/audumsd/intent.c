/* See intent.h. */
#include "controller/audumsd/intent.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "controller/audumsd/change.h"
#include "controller/audumsd/commit.h"
#include "controller/audumsd/records.h"
#include "proto/lib/log.h"

#define RECORDED_CHANGES_BYTES (32 * 1024) /* of an operation's changes that are kept */

struct intent {
	struct store *store;
	struct commit_log *log;
	struct intent_options options;
	struct intent_state state;
	void (*committed)(void *arg, const struct intent_commit *commit);
	void *committed_arg;
	bool lost; /* the store is not what we think it is */

	/* opening */
	void (*opened)(void *arg, int status);
	void *opened_arg;
	int load_status;
	Audums__V1__Operation **operations; /* found in the store */
	size_t n_operations;

	/* the change under way */
	struct change change;
	struct intent_result *result;
	Audums__V1__Operation *operation;
	void (*done)(void *arg, struct intent_result *result);
	void *done_arg;
	struct intent_result own_result; /* of a new plan at opening */

	/* generations of the operations in the store, oldest first */
	uint64_t kept[OPERATIONS_MAX + 1];
	size_t n_kept;
};

static uint64_t now_ms(const struct intent *intent)
{
	struct timespec t;

	if (intent->options.now_ms)
		return intent->options.now_ms(intent->options.arg);
	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void operation_key(char *key, size_t size, uint64_t generation)
{
	snprintf(key, size, KEY_OPERATION "%020" PRIu64, generation);
}

/* ---- committing --------------------------------------------------------------------------- */

/* An operation's record, with at most so many of the changes. Borrows everything but its nodes'
 * array, id and elements. */
static Audums__V1__Operation *operation_make(
	struct intent *intent, const struct intent_request *request)
{
	const struct plan_changes *plan = &intent->change.plan;
	Audums__V1__Operation op = AUDUMS__V1__OPERATION__INIT, *copy;
	struct strmap seen = {0};
	Audums__V1__OperationNode *nodes = NULL, **list = NULL;
	char id[OPERATION_ID];
	size_t bytes = 0;

	snprintf(id, sizeof(id), "op-%" PRIu64, intent->change.next.generation);
	op.id = id;
	op.generation = intent->change.next.generation;
	op.comment = (char *)(uintptr_t)(request && request->comment ? request->comment : "");
	op.actor = (char *)(uintptr_t)(request ? request->access->identity : "audums://controller");
	op.started_ms = now_ms(intent);
	op.changes = intent->result->changes;
	while (op.n_changes < intent->result->n_changes) {
		bytes += audums__v1__change__get_packed_size(op.changes[op.n_changes]);
		if (bytes > RECORDED_CHANGES_BYTES)
			break;
		op.n_changes++;
	}
	op.changes_left_out = (uint32_t)(intent->result->n_changes - op.n_changes);
	nodes = calloc(plan->n + 1, sizeof(*nodes));
	list = calloc(plan->n + 1, sizeof(*list));
	copy = NULL;
	if (!nodes || !list)
		goto out;
	for (size_t i = 0; i < plan->n; i++) {
		const char *name = plan->items[i].node;

		const Audums__V1__Node *node = model_node(intent->change.next.model, name);

		/* nothing waits for a node that is gone or somebody else's */
		if (strmap_get(&seen, name) || !node || node->unmanaged)
			continue;
		if (strmap_put(&seen, name, &nodes[i]) < 0)
			goto out;
		audums__v1__operation_node__init(&nodes[i]);
		nodes[i].node = (char *)(uintptr_t)name;
		list[op.n_nodes++] = &nodes[i];
	}
	op.nodes = list;
	op.state = op.n_nodes ? AUDUMS__V1__OPERATION__STATE__STATE_RUNNING
			      : AUDUMS__V1__OPERATION__STATE__STATE_DONE;
	if (!op.n_nodes)
		op.finished_ms = op.started_ms;
	copy = (Audums__V1__Operation *)message_clone(&op.base);
out:
	strmap_free(&seen);
	free(nodes);
	free(list);
	return copy;
}

/* The store's operations for the change: its records, the operation's, the oldest operation's. */
static int ops_make(struct intent *intent, struct commit_ops *ops)
{
	struct touched_record *record;
	uint8_t *value;
	size_t len;
	char key[STORE_MAX_KEY];
	int ret = 0;

	for (size_t at = 0; !ret && (record = strmap_next(&intent->change.touched.keys, &at));) {
		ret = record_encode(
			record, intent->change.next.model, intent->change.next.alloc, &value, &len);
		if (!ret)
			ret = commit_ops_add(ops, record->key, value, len);
	}
	if (ret)
		return ret;
	value = message_pack(&intent->operation->base, &len);
	if (!value)
		return -ENOMEM;
	operation_key(key, sizeof(key), intent->operation->generation);
	ret = commit_ops_add(ops, key, value, len);
	if (!ret && intent->n_kept >= OPERATIONS_MAX) {
		operation_key(key, sizeof(key), intent->kept[0]);
		ret = commit_ops_add(ops, key, NULL, 0);
	}
	return ret;
}

static void operation_keep(struct intent *intent, uint64_t generation)
{
	if (intent->n_kept >= OPERATIONS_MAX)
		memmove(intent->kept, intent->kept + 1, --intent->n_kept * sizeof(intent->kept[0]));
	intent->kept[intent->n_kept++] = generation;
}

/* Say in the result what the store's status means. */
static void status_explain(struct intent *intent, int status, struct intent_result *result)
{
	result->status = status;
	switch (status) {
	case -ENOSPC:
		result->status = -EDQUOT;
		snprintf(result->text, sizeof(result->text),
			"the controller's store has no room left; nothing was changed");
		break;
	case -ENOMEM:
		snprintf(result->text, sizeof(result->text), "the controller is out of memory");
		break;
	case -EBUSY:
		result->status = -EAGAIN;
		snprintf(result->text, sizeof(result->text),
			"another change is being committed; ask again");
		break;
	default:
		if (status == -ECANCELED)
			intent->lost = true;
		result->status = -EIO;
		snprintf(result->text, sizeof(result->text),
			"the controller's store failed (%s); see the controller's log",
			status == -ECANCELED ? "somebody else wrote it" : strerror(-status));
		break;
	}
}

static void on_committed(void *arg, int status)
{
	struct intent *intent = arg;
	struct intent_result *result = intent->result;
	struct intent_state old = {0};
	struct intent_commit commit;

	if (status < 0) {
		status_explain(intent, status, result);
		log_error("change_failed", "generation=%" PRIu64 " status=%d",
			intent->change.next.generation, status);
	} else {
		old = intent->state;
		intent->state = intent->change.next;
		intent->change.next = (struct intent_state){0};
		operation_keep(intent, intent->state.generation);
		snprintf(result->operation, sizeof(result->operation), "%s", intent->operation->id);
		result->generation = intent->state.generation;
		commit = (struct intent_commit){
			.generation = intent->state.generation,
			.plan = &intent->change.plan,
			.changes = result->changes,
			.n_changes = result->n_changes,
			.operation = intent->operation,
		};
		if (intent->committed)
			intent->committed(intent->committed_arg, &commit);
	}
	change_free(&intent->change);
	intent_state_free(&old); /* the plan's names may have pointed into it */
	if (intent->operation)
		audums__v1__operation__free_unpacked(intent->operation, NULL);
	intent->operation = NULL;
	intent->result = NULL;
	intent->done(intent->done_arg, result);
}

/* Commit intent->change. */
static void change_commit(struct intent *intent, const struct intent_request *request,
	struct intent_result *result, void (*done)(void *arg, struct intent_result *result),
	void *arg)
{
	struct commit_ops ops = {0};

	intent->result = result;
	intent->done = done;
	intent->done_arg = arg;
	intent->operation = operation_make(intent, request);
	if (!intent->operation || ops_make(intent, &ops) < 0) {
		commit_ops_free(&ops);
		on_committed(intent, -ENOMEM);
		return;
	}
	commit_run(intent->log, &ops, intent->change.next.generation, on_committed, intent);
}

/* ---- opening ------------------------------------------------------------------------------ */

static void opened(struct intent *intent, int status)
{
	if (status < 0)
		log_error("intent_load_failed", "status=%d", status);
	else
		log_info("intent_loaded", "generation=%" PRIu64 " objects=%zu operations=%zu",
			intent->state.generation, document_count(intent->state.document),
			intent->n_kept);
	intent->opened(intent->opened_arg, status);
}

static int operation_load(struct intent *intent, const struct store_kv *kv)
{
	Audums__V1__Operation *op = audums__v1__operation__unpack(NULL, kv->len, kv->value);
	Audums__V1__Operation **list;

	if (!op)
		return -EBADMSG;
	list = realloc(intent->operations, (intent->n_operations + 1) * sizeof(*list));
	if (!list) {
		audums__v1__operation__free_unpacked(op, NULL);
		return -ENOMEM;
	}
	intent->operations = list;
	list[intent->n_operations++] = op;
	operation_keep(intent, op->generation);
	return 0;
}

static void on_record(void *arg, const struct store_kv *kv)
{
	struct intent *intent = arg;
	char text[300];
	int ret;

	if (intent->load_status)
		return;
	if (!strncmp(kv->key, KEY_OPERATION, strlen(KEY_OPERATION)))
		ret = operation_load(intent, kv);
	else
		ret = record_decode(
			intent->state.document, intent->state.alloc, kv->key, kv->value, kv->len);
	if (ret < 0)
		log_error("record_unreadable", "key=%s status=%d",
			log_quote(text, sizeof(text), kv->key), ret);
	intent->load_status = ret;
}

static void on_replanned(void *arg, struct intent_result *result)
{
	struct intent *intent = arg;
	int status = result->status;

	if (!status)
		log_info("intent_replanned", "generation=%" PRIu64, result->generation);
	intent_result_free(result);
	opened(intent, status);
}

static void on_loaded(void *arg, int status, int64_t revision)
{
	struct intent *intent = arg;
	struct intent_result *result = &intent->own_result;
	int ret;

	if (!status)
		status = intent->load_status;
	if (!status) {
		intent->state.generation = commit_log_generation(intent->log);
		intent->state.model = model_create(intent->state.document);
		if (!intent->state.model)
			status = -ENOMEM;
	}
	if (status < 0) {
		opened(intent, status);
		return;
	}
	/* a program that plans differently makes that a change like any other */
	problems_init(&result->problems);
	ret = change_prepare(&intent->state, &intent->options, NULL, intent->state.generation + 1,
		now_ms(intent), &intent->change, result);
	if (ret < 0 || intent->change.empty) {
		if (ret < 0)
			log_error("replan_failed", "status=%d text=\"%s\"", ret, result->text);
		else
			change_free(&intent->change);
		intent_result_free(result);
		opened(intent, 0);
		return;
	}
	change_commit(intent, NULL, result, on_replanned, intent);
}

static void on_log_open(void *arg, int status)
{
	struct intent *intent = arg;

	if (status < 0)
		opened(intent, status);
	else
		store_list(intent->store, KEY_ROOT, on_record, on_loaded, intent);
}

struct intent *intent_open(struct store *store, const struct intent_options *options,
	void (*done)(void *arg, int status), void *arg)
{
	struct intent *intent = calloc(1, sizeof(*intent));

	if (!intent)
		return NULL;
	intent->store = store;
	intent->options = *options;
	intent->opened = done;
	intent->opened_arg = arg;
	intent->log = commit_log_new(store);
	intent->state.alloc = alloc_new();
	intent->state.document = malloc(sizeof(*intent->state.document));
	if (intent->state.document)
		audums__v1__document__init(intent->state.document);
	if (!intent->log || !intent->state.alloc || !intent->state.document) {
		intent_free(intent);
		return NULL;
	}
	commit_log_open(intent->log, on_log_open, intent);
	return intent;
}

void intent_free(struct intent *intent)
{
	if (!intent)
		return;
	commit_log_free(intent->log);
	change_free(&intent->change);
	intent_state_free(&intent->state);
	for (size_t i = 0; i < intent->n_operations; i++)
		audums__v1__operation__free_unpacked(intent->operations[i], NULL);
	free(intent->operations);
	if (intent->operation)
		audums__v1__operation__free_unpacked(intent->operation, NULL);
	free(intent);
}

/* ---- the door ----------------------------------------------------------------------------- */

void intent_listen(struct intent *intent,
	void (*committed)(void *arg, const struct intent_commit *commit), void *arg)
{
	intent->committed = committed;
	intent->committed_arg = arg;
}

uint64_t intent_generation(const struct intent *intent)
{
	return intent->state.generation;
}

const struct model *intent_model(const struct intent *intent)
{
	return intent->state.model;
}

const struct alloc *intent_alloc(const struct intent *intent)
{
	return intent->state.alloc;
}

bool intent_broken(const struct intent *intent)
{
	return intent->lost || store_broken(intent->store);
}

void intent_result_free(struct intent_result *result)
{
	problems_free(&result->problems);
	model_merge_free(&result->merge);
	*result = (struct intent_result){0};
}

void intent_diff(
	struct intent *intent, const struct intent_request *request, struct intent_result *result)
{
	struct change change;

	*result = (struct intent_result){0};
	problems_init(&result->problems);
	if (!change_prepare(&intent->state, &intent->options, request, intent->state.generation + 1,
		    now_ms(intent), &change, result))
		change_free(&change);
}

void intent_change(struct intent *intent, const struct intent_request *request,
	struct intent_result *result, void (*done)(void *arg, struct intent_result *result),
	void *arg)
{
	*result = (struct intent_result){0};
	problems_init(&result->problems);
	if (intent->result || commit_log_busy(intent->log)) {
		status_explain(intent, -EBUSY, result);
		done(arg, result);
		return;
	}
	if (intent_broken(intent)) {
		status_explain(intent, -EIO, result);
		done(arg, result);
		return;
	}
	if (change_prepare(&intent->state, &intent->options, request, intent->state.generation + 1,
		    now_ms(intent), &intent->change, result)) {
		done(arg, result);
		return;
	}
	if (intent->change.empty) {
		change_free(&intent->change);
		done(arg, result);
		return;
	}
	change_commit(intent, request, result, done, arg);
}

int intent_settle(struct intent *intent)
{
	return commit_log_settle(intent->log, false);
}

Audums__V1__Operation **intent_take_operations(struct intent *intent, size_t *n)
{
	Audums__V1__Operation **list = intent->operations;

	*n = intent->n_operations;
	intent->operations = NULL;
	intent->n_operations = 0;
	return list;
}

static void on_operation_stored(void *arg, int status, int64_t revision)
{
	if (status < 0)
		log_warn("operation_not_stored", "status=%d", status);
}

void intent_operation_store(struct intent *intent, const Audums__V1__Operation *operation)
{
	struct store_op op = {0};
	char key[STORE_MAX_KEY];
	uint8_t *value;

	value = message_pack(&operation->base, &op.len);
	if (!value) {
		on_operation_stored(intent, -ENOMEM, 0);
		return;
	}
	operation_key(key, sizeof(key), operation->generation);
	op.key = key;
	op.value = value;
	store_txn(intent->store, NULL, 0, &op, 1, on_operation_stored, intent);
	free(value);
}
