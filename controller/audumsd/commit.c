/* See commit.h. */
#include "controller/audumsd/commit.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "controller/audumsd/records.h"
#include "proto/lib/log.h"

/* A chunk must fit into one transaction both as a value and when it is carried out. */
#define CHUNK_OPS     (STORE_MAX_OPS - 8)
#define CHUNK_BYTES   (STORE_MAX_BYTES - 64 * 1024)
#define OP_OVERHEAD   32  /* of the message around a key and a value */
#define COMPACT_EVERY 512 /* revisions */
#define COMPACT_KEEP  128

enum step {
	STEP_IDLE,
	STEP_LOAD,       /* list: the head, at opening */
	STEP_STAGE,      /* one chunk */
	STEP_COMMIT,     /* the head, and the operations of a small change */
	STEP_FOLD_LIST,  /* list: the chunks of the head */
	STEP_FOLD,       /* one chunk */
	STEP_FOLD_HEAD,  /* the head says: nothing to fold */
	STEP_SWEEP_LIST, /* list: chunks of nobody */
	STEP_SWEEP,
	STEP_COMPACT,
};

struct commit_log {
	struct store *store;
	enum step step;
	bool waiting; /* for the store */
	bool driving;
	bool opening;
	bool sliced;   /* one step at a time, see commit_log_settle() */
	bool unfolded; /* the head's chunks have not been carried out */
	int64_t head_rev;
	int64_t revision;             /* of the store, when it last answered */
	int64_t compacted;            /* revision at the last compaction */
	Audums__V1__StoredHead *head; /* as it is in the store */
	Audums__V1__StoredHead *next; /* as it is being written */
	struct commit_ops ops;        /* of the change, or of a sweep */
	size_t at;                    /* next of the operations, or of the chunks */
	Audums__V1__StagedChunk **chunks;
	size_t n_chunks;
	int list_status;
	commit_done_fn *done;
	void *done_arg;
};

static void drive(struct commit_log *log);

/* ---- operations --------------------------------------------------------------------------- */

int commit_ops_add(struct commit_ops *ops, const char *key, uint8_t *value, size_t len)
{
	char *copy = strdup(key);

	if (copy && ops->n == ops->room) {
		size_t room = ops->room ? ops->room * 2 : 32;
		struct store_op *items = realloc(ops->items, room * sizeof(*items));

		if (!items) {
			free(copy);
			copy = NULL;
		} else {
			ops->items = items;
			ops->room = room;
		}
	}
	if (!copy) {
		free(value);
		return -ENOMEM;
	}
	ops->items[ops->n++] =
		(struct store_op){.key = copy, .value = value, .len = len, .del = !value};
	return 0;
}

void commit_ops_free(struct commit_ops *ops)
{
	for (size_t i = 0; i < ops->n; i++) {
		free((void *)(uintptr_t)ops->items[i].key);
		free((void *)(uintptr_t)ops->items[i].value);
	}
	free(ops->items);
	*ops = (struct commit_ops){0};
}

static size_t op_bytes(const struct store_op *op)
{
	return strlen(op->key) + op->len + OP_OVERHEAD;
}

/* End of the chunk that begins with operation `from`. */
static size_t chunk_end(const struct commit_ops *ops, size_t from)
{
	size_t bytes = 0, i;

	for (i = from; i < ops->n && i - from < CHUNK_OPS; i++) {
		bytes += op_bytes(&ops->items[i]);
		if (i > from && bytes > CHUNK_BYTES)
			break;
	}
	return i;
}

static void chunks_free(struct commit_log *log)
{
	for (size_t i = 0; i < log->n_chunks; i++)
		audums__v1__staged_chunk__free_unpacked(log->chunks[i], NULL);
	free(log->chunks);
	log->chunks = NULL;
	log->n_chunks = 0;
}

static void staged_key(char *key, size_t size, const char *change, uint32_t n)
{
	snprintf(key, size, KEY_STAGED "%s/%08" PRIu32, change, n);
}

/* ---- heads -------------------------------------------------------------------------------- */

static Audums__V1__StoredHead *head_new(uint64_t generation, const char *change, uint32_t chunks)
{
	Audums__V1__StoredHead *head = malloc(sizeof(*head));

	if (!head)
		return NULL;
	audums__v1__stored_head__init(head);
	head->generation = generation;
	head->chunks = chunks;
	head->change = strdup(change);
	if (!head->change) {
		free(head);
		return NULL;
	}
	return head;
}

static void head_free(Audums__V1__StoredHead **head)
{
	if (*head)
		audums__v1__stored_head__free_unpacked(*head, NULL);
	*head = NULL;
}

/* ---- steps -------------------------------------------------------------------------------- */

static void report(struct commit_log *log, int status)
{
	commit_done_fn *done = log->done;

	log->done = NULL;
	if (done)
		done(log->done_arg, status);
}

/* The change, or the opening, is at its end. */
static void finish(struct commit_log *log, int status)
{
	log->step = STEP_IDLE;
	log->opening = false;
	commit_ops_free(&log->ops);
	chunks_free(log);
	head_free(&log->next);
	report(log, status);
}

/* What follows when nothing is to be folded any more. */
static void fold_done(struct commit_log *log)
{
	chunks_free(log);
	commit_ops_free(&log->ops);
	log->unfolded = false;
	log->step = STEP_SWEEP_LIST;
}

/* The step's transaction was done. */
static void step_done(struct commit_log *log, int status, int64_t revision)
{
	switch (log->step) {
	case STEP_STAGE:
		if (status < 0) {
			finish(log, status);
			return;
		}
		log->at = chunk_end(&log->ops, log->at);
		if (log->at == log->ops.n)
			log->step = STEP_COMMIT;
		return;
	case STEP_COMMIT:
		if (status < 0) {
			/* staged chunks, if any, are swept later */
			finish(log, status);
			return;
		}
		head_free(&log->head);
		log->head = log->next;
		log->next = NULL;
		log->head_rev = revision;
		log->unfolded = log->head->chunks;
		log->step = revision - log->compacted > COMPACT_EVERY && !log->unfolded
				    ? STEP_COMPACT
				    : STEP_IDLE;
		commit_ops_free(&log->ops);
		report(log, 0);
		return;
	case STEP_FOLD:
		if (status < 0)
			break;
		if (++log->at == log->n_chunks)
			log->step = STEP_FOLD_HEAD;
		return;
	case STEP_FOLD_HEAD:
		if (status < 0)
			break;
		head_free(&log->head);
		log->head = log->next;
		log->next = NULL;
		log->head_rev = revision;
		fold_done(log);
		return;
	case STEP_SWEEP:
		if (status < 0)
			break;
		log->at = chunk_end(&log->ops, log->at);
		if (log->at >= log->ops.n)
			log->step = STEP_COMPACT;
		return;
	case STEP_COMPACT:
		/* a failure leaves more history than needed, no harm */
		log->compacted = log->revision;
		finish(log, 0);
		return;
	default:
		break;
	}
	/* committed, but not folded or swept: tried again before the next change */
	log_error("commit_unfinished", "step=%d status=%d generation=%" PRIu64, log->step, status,
		log->head ? log->head->generation : 0);
	finish(log, log->opening ? status : 0);
}

static void on_txn(void *arg, int status, int64_t revision)
{
	struct commit_log *log = arg;

	log->waiting = false;
	if (revision)
		log->revision = revision;
	step_done(log, status, revision);
	drive(log);
}

static void on_kv(void *arg, const struct store_kv *kv)
{
	struct commit_log *log = arg;
	Audums__V1__StagedChunk **chunks;

	if (log->list_status)
		return;
	switch (log->step) {
	case STEP_LOAD:
		if (strcmp(kv->key, KEY_HEAD))
			return;
		log->head = audums__v1__stored_head__unpack(NULL, kv->len, kv->value);
		log->head_rev = kv->mod_rev;
		if (!log->head)
			log->list_status = -EBADMSG;
		return;
	case STEP_FOLD_LIST:
		chunks = realloc(log->chunks, (log->n_chunks + 1) * sizeof(*chunks));
		if (!chunks) {
			log->list_status = -ENOMEM;
			return;
		}
		log->chunks = chunks;
		chunks[log->n_chunks] = audums__v1__staged_chunk__unpack(NULL, kv->len, kv->value);
		if (!chunks[log->n_chunks])
			log->list_status = -EBADMSG;
		else
			log->n_chunks++;
		return;
	case STEP_SWEEP_LIST:
		log->list_status = commit_ops_add(&log->ops, kv->key, NULL, 0);
		return;
	default:
		return;
	}
}

static void on_listed(void *arg, int status, int64_t revision)
{
	struct commit_log *log = arg;

	log->waiting = false;
	if (revision)
		log->revision = revision;
	if (!status)
		status = log->list_status;
	if (!status && log->step == STEP_FOLD_LIST && log->n_chunks != log->head->chunks)
		status = -EBADMSG;
	log->at = 0;
	if (status < 0) {
		step_done(log, status, revision);
	} else if (log->step == STEP_LOAD) {
		log->unfolded = log->head && log->head->chunks;
		log->step = log->unfolded ? STEP_FOLD_LIST : STEP_SWEEP_LIST;
	} else if (log->step == STEP_FOLD_LIST) {
		log->step = log->n_chunks ? STEP_FOLD : STEP_FOLD_HEAD;
	} else {
		log->step = log->ops.n ? STEP_SWEEP : STEP_COMPACT;
	}
	drive(log);
}

static void list_start(struct commit_log *log, const char *prefix)
{
	log->list_status = 0;
	store_list(log->store, prefix, on_kv, on_listed, log);
}

static void stage_start(struct commit_log *log)
{
	size_t end = chunk_end(&log->ops, log->at), n = end - log->at;
	Audums__V1__StagedChunk chunk = AUDUMS__V1__STAGED_CHUNK__INIT;
	Audums__V1__StagedOp ops[CHUNK_OPS], *list[CHUNK_OPS];
	struct store_op op = {0};
	char key[STORE_MAX_KEY];
	uint8_t *value;

	for (size_t i = 0; i < n; i++) {
		const struct store_op *from = &log->ops.items[log->at + i];

		audums__v1__staged_op__init(&ops[i]);
		ops[i].key = (char *)(uintptr_t)from->key;
		ops[i].value.data = (uint8_t *)(uintptr_t)from->value;
		ops[i].value.len = from->len;
		ops[i].del = from->del;
		list[i] = &ops[i];
	}
	chunk.ops = list;
	chunk.n_ops = n;
	value = message_pack(&chunk.base, &op.len);
	if (!value) {
		on_txn(log, -ENOMEM, 0);
		return;
	}
	staged_key(key, sizeof(key), log->next->change, log->next->chunks++);
	op.key = key;
	op.value = value;
	store_txn(log->store, &(struct store_compare){key, 0}, 1, &op, 1, on_txn, log);
	free(value);
}

/* Write log->next as the head, with `ops` in the same transaction. */
static void head_start(struct commit_log *log, const struct store_op *ops, size_t n)
{
	struct store_compare compare = {KEY_HEAD, log->head_rev};
	struct store_op all[STORE_MAX_OPS] = {{.key = KEY_HEAD}};
	uint8_t *value;

	value = message_pack(&log->next->base, &all[0].len);
	if (!value) {
		on_txn(log, -ENOMEM, 0);
		return;
	}
	all[0].value = value;
	if (n)
		memcpy(&all[1], ops, n * sizeof(*ops));
	store_txn(log->store, &compare, 1, all, n + 1, on_txn, log);
	free(value);
}

static void fold_start(struct commit_log *log)
{
	const Audums__V1__StagedChunk *chunk = log->chunks[log->at];
	struct store_op ops[STORE_MAX_OPS];

	if (chunk->n_ops > STORE_MAX_OPS) {
		on_txn(log, -EBADMSG, 0);
		return;
	}
	for (size_t i = 0; i < chunk->n_ops; i++)
		ops[i] = (struct store_op){.key = chunk->ops[i]->key,
			.value = chunk->ops[i]->value.data,
			.len = chunk->ops[i]->value.len,
			.del = chunk->ops[i]->del};
	/* the comparison fences off a controller that lost its place meanwhile */
	store_txn(log->store, &(struct store_compare){KEY_HEAD, log->head_rev}, 1, ops,
		chunk->n_ops, on_txn, log);
}

/* Begin the present step; its end may come before this returns. */
static void step_start(struct commit_log *log)
{
	char prefix[STORE_MAX_KEY];
	int64_t to = log->revision - COMPACT_KEEP;

	switch (log->step) {
	case STEP_LOAD:
		list_start(log, KEY_HEAD);
		return;
	case STEP_STAGE:
		stage_start(log);
		return;
	case STEP_COMMIT:
		if (log->next->chunks)
			head_start(log, NULL, 0);
		else
			head_start(log, log->ops.items, log->ops.n);
		return;
	case STEP_FOLD_LIST:
		snprintf(prefix, sizeof(prefix), KEY_STAGED "%s/", log->head->change);
		list_start(log, prefix);
		return;
	case STEP_FOLD:
		fold_start(log);
		return;
	case STEP_FOLD_HEAD:
		log->next = head_new(log->head->generation, log->head->change, 0);
		if (log->next)
			head_start(log, NULL, 0);
		else
			on_txn(log, -ENOMEM, 0);
		return;
	case STEP_SWEEP_LIST:
		list_start(log, KEY_STAGED);
		return;
	case STEP_SWEEP:
		store_txn(log->store, &(struct store_compare){KEY_HEAD, log->head_rev}, 1,
			&log->ops.items[log->at], chunk_end(&log->ops, log->at) - log->at, on_txn,
			log);
		return;
	case STEP_COMPACT:
		store_compact(log->store, to > 0 ? to : 0, on_txn, log);
		return;
	case STEP_IDLE:
		return;
	}
}

/* Go on until the store is waited for or nothing is left. Flat however many steps end at once. */
static void drive(struct commit_log *log)
{
	if (log->driving)
		return;
	log->driving = true;
	while (!log->waiting && log->step != STEP_IDLE) {
		log->waiting = true;
		step_start(log);
		if (log->sliced)
			break;
	}
	log->driving = false;
}

/* ---- the door ----------------------------------------------------------------------------- */

struct commit_log *commit_log_new(struct store *store)
{
	struct commit_log *log = calloc(1, sizeof(*log));

	if (log)
		log->store = store;
	return log;
}

void commit_log_free(struct commit_log *log)
{
	if (!log)
		return;
	commit_ops_free(&log->ops);
	chunks_free(log);
	head_free(&log->head);
	head_free(&log->next);
	free(log);
}

void commit_log_open(struct commit_log *log, commit_done_fn *done, void *arg)
{
	log->done = done;
	log->done_arg = arg;
	log->opening = true;
	log->step = STEP_LOAD;
	drive(log);
}

uint64_t commit_log_generation(const struct commit_log *log)
{
	return log->head ? log->head->generation : 0;
}

bool commit_log_busy(const struct commit_log *log)
{
	return log->done;
}

int commit_log_settle(struct commit_log *log, bool all)
{
	if (log->done)
		return 1;
	if (log->step == STEP_IDLE && log->unfolded)
		log->step = STEP_FOLD_LIST;
	log->sliced = !all;
	drive(log);
	log->sliced = false;
	if (log->step != STEP_IDLE)
		return 1;
	return log->unfolded ? -EIO : 0;
}

static bool ops_small(const struct commit_ops *ops)
{
	size_t bytes = 0;

	for (size_t i = 0; i < ops->n && bytes <= CHUNK_BYTES; i++)
		bytes += op_bytes(&ops->items[i]);
	return ops->n <= CHUNK_OPS && bytes <= CHUNK_BYTES;
}

void commit_run(struct commit_log *log, struct commit_ops *ops, uint64_t generation,
	commit_done_fn *done, void *arg)
{
	char change[64];
	uint64_t random;

	/* a large change that was not folded yet goes first */
	if (commit_log_settle(log, true)) {
		commit_ops_free(ops);
		done(arg, log->step != STEP_IDLE ? -EBUSY : -ENOSPC);
		return;
	}
	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		random = 0;
	snprintf(change, sizeof(change), "%" PRIu64 "-%016" PRIx64, generation, random);
	log->next = head_new(generation, change, 0);
	if (!log->next) {
		commit_ops_free(ops);
		done(arg, -ENOMEM);
		return;
	}
	log->done = done;
	log->done_arg = arg;
	log->ops = *ops;
	*ops = (struct commit_ops){0};
	log->at = 0;
	log->step = ops_small(&log->ops) ? STEP_COMMIT : STEP_STAGE;
	drive(log);
}
