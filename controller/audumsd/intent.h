/*
 * The intent: what people asked for, as one model in memory that is the fold of the store.
 *
 * A change is judged (rules of the schema, rights, sense of the whole), allocated for and planned
 * on copies, and committed; only then the copies become the intent and the listener is told, in the
 * same call. Nothing of a change that fails is seen by anybody.
 *
 * Invariant: generation 0 is the empty intent; each commit raises the generation; memory equals the
 * store except while a commit is under way.
 *
 * Called by api.c (changes) and, for reading, by everybody in audumsd.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "audums/v1/fabric.pb-c.h"
#include "controller/audumsd/access.h"
#include "controller/audumsd/alloc.h"
#include "controller/audumsd/plan.h"
#include "controller/audumsd/store/store.h"
#include "proto/lib/problems.h"
#include "topology/model.h"

#define OPERATION_ID   32   /* room for an operation's id */
#define OPERATIONS_MAX 1000 /* kept in the store */

struct intent;

/* What was committed; everything is valid during the call. */
struct intent_commit {
	uint64_t generation;
	const struct plan_changes *plan; /* what became different on nodes */
	Audums__V1__Change *const *changes;
	size_t n_changes;
	const Audums__V1__Operation *operation;
};

struct intent_options {
	uint64_t quarantine_ms;
	char *const *providers; /* that this controller acts for; none: all */
	size_t n_providers;
	uint64_t (*now_ms)(void *arg); /* since the epoch; NULL: the clock */
	void *arg;                     /* of now_ms */
};

/*
 * The intent of a store (which stays the caller's): finishes what a controller that died has left,
 * loads, and commits a new plan if this program plans differently from the one that wrote it.
 * Calls `done` once: 0, or a status of store.h, -EBADMSG (records that can't be understood). Free
 * it with intent_free() in any case. NULL when memory is short.
 */
struct intent *intent_open(struct store *store, const struct intent_options *options,
	void (*done)(void *arg, int status), void *arg);
void intent_free(struct intent *intent);

/* Have `committed` called when a change was committed and is the intent now. It must not begin
 * another one. */
void intent_listen(struct intent *intent,
	void (*committed)(void *arg, const struct intent_commit *commit), void *arg);

uint64_t intent_generation(const struct intent *intent);
const struct model *intent_model(const struct intent *intent);
const struct alloc *intent_alloc(const struct intent *intent);

/* ---- changes ---- */

/* What is asked for: a document to apply, or objects to delete. */
struct intent_request {
	const Audums__V1__Document *document; /* NULL: a deletion */
	Audums__V1__ObjectRef *const *refs;
	size_t n_refs;
	bool if_exists;
	const char *comment;
	uint64_t expect_generation;  /* 0: any */
	const struct access *access; /* whose rights count; NULL (intent_diff() only): nobody's */
};

/* What came of it. Release with intent_result_free(). */
struct intent_result {
	/*
	 * 0            done, or nothing to do (then `operation` is empty)
	 * -EINVAL      the document is wrong: `problems`
	 * -ENOSPC      a pool has nothing left, or a number is taken or rests: `problems`
	 * -EBUSY       something still refers to an object that is to be deleted: `problems`
	 * -ENOENT      an object that is to be deleted is not there
	 * -EACCES      not allowed
	 * -ESTALE      the intent is not at expect_generation
	 * -EAGAIN      another change is being committed
	 * -EIO         the store failed (or another controller wrote it)
	 * -EDQUOT      the store has no room
	 * -ENOMEM
	 */
	int status;
	char text[512]; /* a sentence that says what is wrong and what to do; "" when 0 */
	struct problems problems;
	char operation[OPERATION_ID];
	uint64_t generation;          /* of the intent afterwards */
	Audums__V1__Change **changes; /* borrowed from `merge` */
	size_t n_changes;
	struct merge merge;
};
void intent_result_free(struct intent_result *result);

/* What would change: fills `result` (also its generation, the present one). */
void intent_diff(
	struct intent *intent, const struct intent_request *request, struct intent_result *result);

/*
 * Change the intent. `request` must live until this returns, *result until `done`, which is called
 * once, possibly before this returns.
 */
void intent_change(struct intent *intent, const struct intent_request *request,
	struct intent_result *result, void (*done)(void *arg, struct intent_result *result),
	void *arg);

/*
 * Do a step of what a large change has left to be done in the store (commit_log_settle()): 0
 * when nothing is left, 1: call again, -EIO: the store failed, call again after a while.
 */
int intent_settle(struct intent *intent);

/* ---- operations (see operations.h) ---- */

/* The operations that were in the store when it was opened, oldest first, to be taken over once;
 * the array and its elements are the caller's then. */
Audums__V1__Operation **intent_take_operations(struct intent *intent, size_t *n);

/* Write an operation's record again. A failure is logged: after a restart the operation is looked
 * at anew. */
void intent_operation_store(struct intent *intent, const Audums__V1__Operation *operation);

/* True when the store is broken or was written by somebody else: the program must end and begin
 * anew. */
bool intent_broken(const struct intent *intent);
