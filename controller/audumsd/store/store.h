/*
 * The store: ordered keys, one global revision, compare-and-swap transactions, watch from a
 * revision. Everything the controller must not forget is kept behind this interface.
 *
 * Invariant: what a transaction reported as committed is durable; a transaction is visible whole or
 * not at all; revisions grow by one with each transaction that changed something.
 *
 * The interface is asynchronous so that a remote back end fits: a `done` function may be called
 * from within the call that takes it, or later from store_dispatch(); callers handle both. One
 * thread uses a store.
 *
 * Called by controller/audumsd/intent (all writes) and by the tests.
 *
 * Status of an operation, given to its `done` function:
 *   0           done
 *   -ECANCELED  a comparison did not hold; nothing was written
 *   -E2BIG      more than STORE_MAX_OPS operations or STORE_MAX_BYTES; nothing was written
 *   -EINVAL     bad key, a key twice in one transaction, revision of the future
 *   -ESTALE     (watch) the history from the revision asked for is gone
 *   -ENOSPC     the back end has no room; nothing was written
 *   -EIO        the back end failed; nothing was written, or the store is broken, see
 * store_broken() -ENOMEM     nothing was written
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STORE_MAX_OPS   128       /* comparisons, and operations, of one transaction */
#define STORE_MAX_BYTES (1 << 20) /* keys and values of one transaction together */
#define STORE_MAX_KEY   255       /* bytes; printable ASCII without blank */
#define STORE_MAX_WATCH 64        /* watches at a time */

struct store_kv {
	const char *key;
	const void *value;
	size_t len;
	int64_t create_rev; /* revision that made the key */
	int64_t mod_rev;    /* revision that wrote it last */
};

/* Holds if `key` was last written by revision `mod_rev`; 0: if it does not exist. */
struct store_compare {
	const char *key;
	int64_t mod_rev;
};

struct store_op {
	const char *key;
	const void *value;
	size_t len;
	bool del; /* remove the key; no error if it is not there */
};

struct store_event {
	bool del; /* kv.value is then NULL */
	struct store_kv kv;
};

struct store_watch;
struct store;

/* End of an operation: its status and the store's revision after it. */
typedef void store_done_fn(void *arg, int status, int64_t revision);
/* One key of a list, in order of keys. The memory is valid during the call; do not call the store
 * from here. */
typedef void store_each_fn(void *arg, const struct store_kv *kv);
/*
 * All events of one revision that lie under the watch's prefix. With status -ESTALE (n = 0) the
 * watch has ended and `revision` is the oldest that can be watched from: list, then watch again.
 * Any other negative status ends the watch too. The memory is valid during the call. The store may
 * be called from here, store_unwatch() of this very watch included.
 */
typedef void store_watch_fn(
	void *arg, int status, int64_t revision, const struct store_event *events, size_t n);

/* What a back end provides; arguments have been checked by the functions below. */
struct store_ops {
	const char *name;
	void (*txn)(struct store *store, const struct store_compare *compares, size_t n_compares,
		const struct store_op *ops, size_t n_ops, store_done_fn *done, void *arg);
	void (*list)(struct store *store, const char *prefix, store_each_fn *each,
		store_done_fn *done, void *arg);
	int (*watch)(struct store *store, const char *prefix, int64_t from, store_watch_fn *event,
		void *arg, struct store_watch **watch);
	void (*unwatch)(struct store *store, struct store_watch *watch);
	void (*compact)(struct store *store, int64_t revision, store_done_fn *done, void *arg);
	int (*fd)(const struct store *store);
	int (*dispatch)(struct store *store);
	bool (*broken)(const struct store *store);
	void (*close)(struct store *store);
};

struct store {
	const struct store_ops *ops;
};

/*
 * If all comparisons hold, carry out all operations under one new revision. A key may stand in one
 * operation only. `compares`, `ops` and what they point to need to live until this returns. Without
 * operations it only compares. A transaction that removes nothing and writes nothing makes no new
 * revision.
 */
void store_txn(struct store *store, const struct store_compare *compares, size_t n_compares,
	const struct store_op *ops, size_t n_ops, store_done_fn *done, void *arg);

/* Call `each` for every key that begins with `prefix` (not empty), as of one revision, then `done`.
 */
void store_list(struct store *store, const char *prefix, store_each_fn *each, store_done_fn *done,
	void *arg);

/*
 * Call `event` for each revision >= `from` (0: from the next one on) with events under `prefix`, in
 * order and without gaps, until store_unwatch() or an error. Events are delivered by
 * store_dispatch() only. Returns 0 and the watch in *watch; -EINVAL, -ENOMEM, -EUSERS (too many).
 */
int store_watch(struct store *store, const char *prefix, int64_t from, store_watch_fn *event,
	void *arg, struct store_watch **watch);

/* End a watch and free it. Needed for watches that ended with an error, too. */
void store_unwatch(struct store *store, struct store_watch *watch);

/* Forget the history up to and including `revision` (not the keys). */
void store_compact(struct store *store, int64_t revision, store_done_fn *done, void *arg);

/* Descriptor that polls readable when store_dispatch() has something to do. */
int store_fd(const struct store *store);

/* Run what is due: pending `done` functions, watch events. Returns 0, or the error that broke the
 * store. */
int store_dispatch(struct store *store);

/*
 * True when the outcome of a transaction became unknown (a failed fsync): all further transactions
 * get -EIO. Close and open the store to learn what it holds.
 */
bool store_broken(const struct store *store);

/* Close and free; ends all watches without calling them. NULL is allowed. */
void store_close(struct store *store);

/* A back end's helper: smallest key above all keys that begin with `prefix`, in `end` of
 * STORE_MAX_KEY + 1 bytes. Returns false when there is none. */
bool store_prefix_end(const char *prefix, char *end);

/*
 * Open, or create, the embedded back end: one SQLite file in WAL mode with synchronous=FULL. Only
 * one process may have it open.
 * Returns 0 and the store, or -EBUSY (another process has it), -ENOTUNIQ (a file that is not a
 * store of ours), -EUCLEAN (damaged), -EPROTONOSUPPORT (written by a newer version), -EACCES,
 * -ENOSPC, -EIO, -ENOMEM; `error` (`size` bytes) then holds a sentence for people.
 */
int store_sqlite_open(const char *path, struct store **store, char *error, size_t size);
