/*
 * The embedded back end of the store: one SQLite file, WAL, synchronous=FULL.
 *
 * Invariant: `kv` is what all revisions of `log` up to meta.rev add up to; `log` holds exactly the
 * revisions above meta.compacted. A commit is one fsync, so everything runs inline in the caller's
 * thread; only watch events wait for store_dispatch(), announced by an eventfd.
 *
 * Once the outcome of a commit is unknown (fsync failed: the frames may or may not be on disk) the
 * store takes no more transactions, since what a reader sees and what a crash would leave could
 * differ. The file is opened with an exclusive lock: a second controller on it is refused.
 */
#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "controller/audumsd/store/sqlite.h"
#include "proto/lib/log.h"

struct store_watch {
	struct store_watch *next;
	char prefix[STORE_MAX_KEY + 1];
	int64_t at; /* next revision to deliver */
	store_watch_fn *event;
	void *arg;
	bool ended;   /* no more events; waits for store_unwatch() */
	bool removed; /* unwatched during dispatch; freed at its end */
};

const char *const sqlite_statements[STMT_COUNT] = {
	[STMT_BEGIN] = "BEGIN IMMEDIATE",
	[STMT_COMMIT] = "COMMIT",
	[STMT_ROLLBACK] = "ROLLBACK",
	[STMT_GET] = "SELECT mod_rev, create_rev FROM kv WHERE key = ?1",
	[STMT_PUT] = "INSERT INTO kv(key, value, create_rev, mod_rev) VALUES(?1, ?2, ?3, ?3) "
		     "ON CONFLICT(key) DO UPDATE SET value = ?2, mod_rev = ?3",
	[STMT_DELETE] = "DELETE FROM kv WHERE key = ?1",
	[STMT_LOG] = "INSERT INTO log(rev, sub, del, key, value, create_rev) "
		     "VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
	[STMT_LIST] = "SELECT key, value, create_rev, mod_rev FROM kv "
		      "WHERE key >= ?1 AND key < ?2 ORDER BY key",
	[STMT_HISTORY] = "SELECT del, key, value, create_rev FROM log WHERE rev = ?1 ORDER BY sub",
	[STMT_COMPACT] = "DELETE FROM log WHERE rev <= ?1",
	[STMT_META] = "UPDATE meta SET rev = ?1, compacted = ?2 WHERE id = 0",
};

static struct sqlite_store *sqlite_of(struct store *store)
{
	return (struct sqlite_store *)store;
}

/* ---- errors ------------------------------------------------------------------------------- */

/* The status a failed call of SQLite stands for. */
int sqlite_status(const struct sqlite_store *s)
{
	int code = sqlite3_extended_errcode(s->db), sys = sqlite3_system_errno(s->db);

	switch (code & 0xff) {
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_IOERR:
		/* EFBIG, EDQUOT and the like; SQLite does not always keep the number */
		if (code == SQLITE_IOERR_WRITE && sys != EIO)
			return -ENOSPC;
		if (code == SQLITE_IOERR_NOMEM)
			return -ENOMEM;
		return -EIO;
	default:
		return -EIO;
	}
}

static int db_error(const struct sqlite_store *s, const char *what)
{
	char text[256];

	log_error("store_error", "doing=%s code=%d errno=%d text=%s", what,
		sqlite3_extended_errcode(s->db), sqlite3_system_errno(s->db),
		log_quote(text, sizeof(text), sqlite3_errmsg(s->db)));
	return sqlite_status(s);
}

/* Step a statement that gives no rows, and reset it. Returns 0 or a status. */
static int statement_run(struct sqlite_store *s, enum statement which)
{
	int code = sqlite3_step(s->stmts[which]), ret = 0;

	if (code != SQLITE_DONE && code != SQLITE_ROW)
		ret = db_error(s, sqlite_statements[which]);
	sqlite3_reset(s->stmts[which]);
	return ret;
}

static void bind_text(sqlite3_stmt *stmt, int index, const char *text)
{
	sqlite3_bind_text(stmt, index, text, -1, SQLITE_STATIC);
}

static void bind_value(sqlite3_stmt *stmt, int index, const void *value, size_t len)
{
	/* a NULL pointer would bind SQL's NULL */
	if (len)
		sqlite3_bind_blob64(stmt, index, value, len, SQLITE_STATIC);
	else
		sqlite3_bind_zeroblob(stmt, index, 0);
}

/* ---- transactions ------------------------------------------------------------------------- */

/* Revisions of a key; 0 in *mod_rev when it is not there. */
static int key_revisions(
	struct sqlite_store *s, const char *key, int64_t *mod_rev, int64_t *create_rev)
{
	sqlite3_stmt *stmt = s->stmts[STMT_GET];
	int code, ret = 0;

	*mod_rev = 0;
	*create_rev = 0;
	bind_text(stmt, 1, key);
	code = sqlite3_step(stmt);
	if (code == SQLITE_ROW) {
		*mod_rev = sqlite3_column_int64(stmt, 0);
		*create_rev = sqlite3_column_int64(stmt, 1);
	} else if (code != SQLITE_DONE) {
		ret = db_error(s, "get");
	}
	sqlite3_reset(stmt);
	return ret;
}

/* One operation under revision `rev`; *effect is set if it changed something. */
static int op_run(
	struct sqlite_store *s, const struct store_op *op, int64_t rev, size_t sub, bool *effect)
{
	sqlite3_stmt *stmt;
	int64_t mod_rev, create_rev;
	int ret;

	ret = key_revisions(s, op->key, &mod_rev, &create_rev);
	if (ret < 0)
		return ret;
	if (op->del) {
		if (!mod_rev)
			return 0;
		bind_text(s->stmts[STMT_DELETE], 1, op->key);
		ret = statement_run(s, STMT_DELETE);
	} else {
		if (!mod_rev)
			create_rev = rev;
		stmt = s->stmts[STMT_PUT];
		bind_text(stmt, 1, op->key);
		bind_value(stmt, 2, op->value, op->len);
		sqlite3_bind_int64(stmt, 3, rev);
		ret = statement_run(s, STMT_PUT);
	}
	if (ret < 0)
		return ret;
	*effect = true;
	stmt = s->stmts[STMT_LOG];
	sqlite3_bind_int64(stmt, 1, rev);
	sqlite3_bind_int64(stmt, 2, (sqlite3_int64)sub);
	sqlite3_bind_int(stmt, 3, op->del);
	bind_text(stmt, 4, op->key);
	if (op->del)
		sqlite3_bind_null(stmt, 5);
	else
		bind_value(stmt, 5, op->value, op->len);
	sqlite3_bind_int64(stmt, 6, create_rev);
	return statement_run(s, STMT_LOG);
}

static int meta_write(struct sqlite_store *s, int64_t rev, int64_t compacted)
{
	sqlite3_bind_int64(s->stmts[STMT_META], 1, rev);
	sqlite3_bind_int64(s->stmts[STMT_META], 2, compacted);
	return statement_run(s, STMT_META);
}

/* COMMIT; what cannot be said to have failed for certain breaks the store. */
static int commit(struct sqlite_store *s)
{
	int ret = statement_run(s, STMT_COMMIT);
	int code = sqlite3_extended_errcode(s->db);

	if (ret < 0 && code != SQLITE_IOERR_WRITE && code != SQLITE_FULL && code != SQLITE_NOMEM) {
		s->broken = true;
		log_error("store_broken", "code=%d errno=%d", code, sqlite3_system_errno(s->db));
	}
	return ret;
}

static void rollback(struct sqlite_store *s)
{
	/* some errors have rolled back already */
	if (!sqlite3_get_autocommit(s->db) && statement_run(s, STMT_ROLLBACK) < 0)
		s->broken = true;
}

static void sqlite_txn(struct store *store, const struct store_compare *compares, size_t n_compares,
	const struct store_op *ops, size_t n_ops, store_done_fn *done, void *arg)
{
	struct sqlite_store *s = sqlite_of(store);
	int64_t rev = s->rev + 1, mod_rev, create_rev;
	bool effect = false;
	int ret = s->broken ? -EIO : statement_run(s, STMT_BEGIN);

	if (ret < 0) {
		done(arg, ret, s->rev);
		return;
	}
	for (size_t i = 0; i < n_compares && !ret; i++) {
		ret = key_revisions(s, compares[i].key, &mod_rev, &create_rev);
		if (!ret && mod_rev != compares[i].mod_rev)
			ret = -ECANCELED;
	}
	for (size_t i = 0; i < n_ops && !ret; i++)
		ret = op_run(s, &ops[i], rev, i, &effect);
	if (!ret && effect)
		ret = meta_write(s, rev, s->compacted);
	if (!ret && effect)
		ret = commit(s);
	if (ret < 0 || !effect)
		rollback(s);
	if (!ret && effect) {
		s->rev = rev;
		if (s->watches)
			eventfd_write(s->event_fd, 1);
	}
	done(arg, ret, s->rev);
}

static void sqlite_list(struct store *store, const char *prefix, store_each_fn *each,
	store_done_fn *done, void *arg)
{
	struct sqlite_store *s = sqlite_of(store);
	sqlite3_stmt *stmt = s->stmts[STMT_LIST];
	char end[STORE_MAX_KEY + 1];
	int code, ret = 0;

	if (!store_prefix_end(prefix, end)) {
		done(arg, -EINVAL, s->rev);
		return;
	}
	bind_text(stmt, 1, prefix);
	bind_text(stmt, 2, end);
	while ((code = sqlite3_step(stmt)) == SQLITE_ROW) {
		struct store_kv kv = {
			.key = (const char *)sqlite3_column_text(stmt, 0),
			.value = sqlite3_column_blob(stmt, 1),
			.len = (size_t)sqlite3_column_bytes(stmt, 1),
			.create_rev = sqlite3_column_int64(stmt, 2),
			.mod_rev = sqlite3_column_int64(stmt, 3),
		};

		if (!kv.key || (!kv.value && kv.len)) {
			code = SQLITE_NOMEM;
			break;
		}
		each(arg, &kv);
	}
	if (code == SQLITE_NOMEM)
		ret = -ENOMEM;
	else if (code != SQLITE_DONE)
		ret = db_error(s, "list");
	sqlite3_reset(stmt);
	done(arg, ret, s->rev);
}

static void sqlite_compact(struct store *store, int64_t revision, store_done_fn *done, void *arg)
{
	struct sqlite_store *s = sqlite_of(store);
	int ret;

	if (revision > s->rev) {
		done(arg, -EINVAL, s->rev);
		return;
	}
	if (revision <= s->compacted) {
		done(arg, 0, s->rev);
		return;
	}
	ret = s->broken ? -EIO : statement_run(s, STMT_BEGIN);
	if (!ret) {
		sqlite3_bind_int64(s->stmts[STMT_COMPACT], 1, revision);
		ret = statement_run(s, STMT_COMPACT);
		if (!ret)
			ret = meta_write(s, s->rev, revision);
		if (!ret)
			ret = commit(s);
		if (ret < 0)
			rollback(s);
	}
	if (!ret)
		s->compacted = revision;
	done(arg, ret, s->rev);
}

/* ---- watches ------------------------------------------------------------------------------ */

static int sqlite_watch(struct store *store, const char *prefix, int64_t from,
	store_watch_fn *event, void *arg, struct store_watch **watch)
{
	struct sqlite_store *s = sqlite_of(store);
	struct store_watch *w;

	if (s->n_watches >= STORE_MAX_WATCH)
		return -EUSERS;
	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	snprintf(w->prefix, sizeof(w->prefix), "%s", prefix);
	w->at = from ? from : s->rev + 1;
	w->event = event;
	w->arg = arg;
	w->next = s->watches;
	s->watches = w;
	s->n_watches++;
	if (w->at <= s->rev)
		eventfd_write(s->event_fd, 1);
	*watch = w;
	return 0;
}

/* Free the watches that were unwatched. */
static void watches_sweep(struct sqlite_store *s)
{
	struct store_watch **at = &s->watches, *w;

	while ((w = *at)) {
		if (w->removed) {
			*at = w->next;
			s->n_watches--;
			free(w);
		} else {
			at = &w->next;
		}
	}
}

static void sqlite_unwatch(struct store *store, struct store_watch *watch)
{
	struct sqlite_store *s = sqlite_of(store);

	watch->removed = true;
	if (!s->dispatching)
		watches_sweep(s);
}

static void events_free(struct store_event *events, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free((void *)(uintptr_t)events[i].kv.key);
		free((void *)(uintptr_t)events[i].kv.value);
	}
}

/* Copy the events of a revision that lie under `prefix`; their number, or a status. */
static int events_read(
	struct sqlite_store *s, int64_t rev, const char *prefix, struct store_event *events)
{
	sqlite3_stmt *stmt = s->stmts[STMT_HISTORY];
	size_t n = 0, prefix_len = strlen(prefix);
	int code, ret = 0;

	sqlite3_bind_int64(stmt, 1, rev);
	while ((code = sqlite3_step(stmt)) == SQLITE_ROW) {
		const char *key = (const char *)sqlite3_column_text(stmt, 1);
		const void *value = sqlite3_column_blob(stmt, 2);
		size_t len = (size_t)sqlite3_column_bytes(stmt, 2);
		struct store_event *e = &events[n];

		if (key && strncmp(key, prefix, prefix_len))
			continue;
		if (n == STORE_MAX_OPS) {
			ret = -EIO; /* cannot come from us */
			break;
		}
		memset(e, 0, sizeof(*e));
		n++;
		e->del = sqlite3_column_int(stmt, 0);
		e->kv.create_rev = sqlite3_column_int64(stmt, 3);
		e->kv.mod_rev = rev;
		e->kv.key = key ? strdup(key) : NULL;
		if (!e->del) {
			e->kv.len = len;
			e->kv.value = malloc(len + 1);
			if (e->kv.value && value)
				memcpy((void *)(uintptr_t)e->kv.value, value, len);
		}
		if (!e->kv.key || (!e->del && !e->kv.value)) {
			ret = -ENOMEM;
			break;
		}
	}
	if (!ret && code != SQLITE_DONE)
		ret = db_error(s, "history");
	sqlite3_reset(stmt);
	if (ret < 0) {
		events_free(events, n);
		return ret;
	}
	return (int)n;
}

static void watch_run(struct sqlite_store *s, struct store_watch *w)
{
	struct store_event events[STORE_MAX_OPS];
	int n;

	while (!w->ended && !w->removed && w->at <= s->rev) {
		int64_t rev = w->at;

		if (rev <= s->compacted) {
			w->ended = true;
			w->event(w->arg, -ESTALE, s->compacted + 1, NULL, 0);
			return;
		}
		n = events_read(s, rev, w->prefix, events);
		if (n < 0) {
			w->ended = true;
			w->event(w->arg, n, rev, NULL, 0);
			return;
		}
		w->at++;
		if (n) {
			w->event(w->arg, 0, rev, events, (size_t)n);
			events_free(events, (size_t)n);
		}
	}
}

static int sqlite_dispatch(struct store *store)
{
	struct sqlite_store *s = sqlite_of(store);
	eventfd_t value;

	if (s->dispatching)
		return 0;
	eventfd_read(s->event_fd, &value);
	s->dispatching = true;
	for (struct store_watch *w = s->watches; w; w = w->next)
		watch_run(s, w);
	s->dispatching = false;
	watches_sweep(s);
	return s->broken ? -EIO : 0;
}

static int sqlite_fd(const struct store *store)
{
	return ((const struct sqlite_store *)store)->event_fd;
}

static bool sqlite_broken(const struct store *store)
{
	return ((const struct sqlite_store *)store)->broken;
}

/* ---- close -------------------------------------------------------------------------------- */

void sqlite_close(struct store *store)
{
	struct sqlite_store *s = sqlite_of(store);

	for (int i = 0; i < STMT_COUNT; i++)
		sqlite3_finalize(s->stmts[i]);
	if (s->db && sqlite3_close(s->db) != SQLITE_OK)
		log_error("store_error", "doing=close");
	if (s->event_fd >= 0)
		close(s->event_fd);
	for (struct store_watch *w = s->watches, *next; w; w = next) {
		next = w->next;
		free(w);
	}
	free(s);
}

const struct store_ops sqlite_ops = {
	.name = "sqlite",
	.txn = sqlite_txn,
	.list = sqlite_list,
	.watch = sqlite_watch,
	.unwatch = sqlite_unwatch,
	.compact = sqlite_compact,
	.fd = sqlite_fd,
	.dispatch = sqlite_dispatch,
	.broken = sqlite_broken,
	.close = sqlite_close,
};
