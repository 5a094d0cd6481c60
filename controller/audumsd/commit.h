/*
 * Commits a change to the store, whole or not at all, however large it is (D8).
 *
 * A small change is one transaction: compare the head, write the head, carry out the operations. A
 * large one is staged in chunks under its change id; one comparison and write of the head, which
 * names the change and its chunks, commits it; then the chunks are carried out (folded) and
 * removed. Whoever opens the store folds what was committed and removes what was not.
 *
 * Invariant: the store's records are those of the head's generation as soon as nothing is left to
 * fold; a process may die after any transaction.
 *
 * Called by intent.c. One change at a time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "controller/audumsd/store/store.h"

/* The operations of a change; keys and values are owned by it. */
struct commit_ops {
	struct store_op *items;
	size_t n;
	size_t room;
};
/* Add an operation; takes `value` over (NULL: removal), also on failure. Returns 0 or -ENOMEM. */
int commit_ops_add(struct commit_ops *ops, const char *key, uint8_t *value, size_t len);
void commit_ops_free(struct commit_ops *ops);

struct commit_log;

/* Status as in store.h; 0: committed. May be called from within the call that takes it. */
typedef void commit_done_fn(void *arg, int status);

/* A log on a store, which stays the caller's. NULL when memory is short. */
struct commit_log *commit_log_new(struct store *store);
void commit_log_free(struct commit_log *log);

/*
 * Read the head and finish what another process has left. To be done once, before anything is read
 * from the store or committed. -EBADMSG: what is there can't be understood.
 */
void commit_log_open(struct commit_log *log, commit_done_fn *done, void *arg);

/* The head's generation; 0: nothing was ever committed. */
uint64_t commit_log_generation(const struct commit_log *log);

/* True from commit_run() until its `done`. */
bool commit_log_busy(const struct commit_log *log);

/*
 * Fold what was committed, if it is not yet: all of it, or one step (a transaction of 120 records)
 * so that the caller can do other things in between. Nothing waits for it but the next change,
 * which does it first otherwise. Returns 0 when nothing is left; 1 when there is more to do or the
 * store has not answered yet: call again; -EIO when the store failed: call again after a while.
 */
int commit_log_settle(struct commit_log *log, bool all);

/*
 * Commit `ops` (taken over; *ops is empty afterwards) as generation `generation`, larger than the
 * head's. `done` is called once; a large change is to be folded after it.
 * -EBUSY: another change is not finished.
 */
void commit_run(struct commit_log *log, struct commit_ops *ops, uint64_t generation,
	commit_done_fn *done, void *arg);
