/*
 * Opening the embedded back end's file: its lock, its identity, its schema, its soundness.
 *
 * Invariant: a file that is not ours, is damaged or comes from a newer version is left as it was.
 *
 * Called through store_sqlite_open().
 */
#include "controller/audumsd/store/sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define APPLICATION_ID 0x41754d53 /* "AuMS" in the file's header */
#define SCHEMA_VERSION 1

static const char schema_text[] =
	"CREATE TABLE kv(key TEXT PRIMARY KEY, value BLOB NOT NULL, create_rev INTEGER NOT NULL, "
	"mod_rev INTEGER NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE log(rev INTEGER NOT NULL, sub INTEGER NOT NULL, del INTEGER NOT NULL, "
	"key TEXT NOT NULL, value BLOB, create_rev INTEGER NOT NULL, PRIMARY KEY(rev, sub)) "
	"WITHOUT ROWID;"
	"CREATE TABLE meta(id INTEGER PRIMARY KEY CHECK(id = 0), rev INTEGER NOT NULL, "
	"compacted INTEGER NOT NULL);"
	"INSERT INTO meta VALUES(0, 0, 0);";

/* Value of a statement that gives one integer. */
static int query_number(struct sqlite_store *s, const char *sql, int64_t *number)
{
	sqlite3_stmt *stmt = NULL;
	int code = sqlite3_prepare_v2(s->db, sql, -1, &stmt, NULL);

	if (code == SQLITE_OK)
		code = sqlite3_step(stmt);
	if (code == SQLITE_ROW)
		*number = sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	return code == SQLITE_ROW ? 0 : code;
}

static int exec(struct sqlite_store *s, const char *sql)
{
	return sqlite3_exec(s->db, sql, NULL, NULL, NULL);
}

/* True if SQLite's own check finds the file whole. */
static bool file_whole(struct sqlite_store *s)
{
	sqlite3_stmt *stmt = NULL;
	bool whole = false;

	if (sqlite3_prepare_v2(s->db, "PRAGMA quick_check(1)", -1, &stmt, NULL) == SQLITE_OK &&
		sqlite3_step(stmt) == SQLITE_ROW) {
		const char *text = (const char *)sqlite3_column_text(stmt, 0);

		whole = text && !strcmp(text, "ok");
	}
	sqlite3_finalize(stmt);
	return whole;
}

/* Say in `error` what `code` of SQLite means for the file; the errno for it. */
static int open_error(struct sqlite_store *s, const char *path, int code, char *error, size_t size)
{
	int sys = s->db ? sqlite3_system_errno(s->db) : 0;

	switch (code & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		snprintf(error, size, "%s is in use by another process", path);
		return -EBUSY;
	case SQLITE_NOTADB:
		snprintf(error, size, "%s is not a database", path);
		return -ENOTUNIQ;
	case SQLITE_CORRUPT:
		snprintf(error, size, "%s is damaged; restore it from a backup", path);
		return -EUCLEAN;
	case SQLITE_NOMEM:
		snprintf(error, size, "out of memory");
		return -ENOMEM;
	case SQLITE_CANTOPEN:
	case SQLITE_READONLY:
	case SQLITE_PERM:
		snprintf(error, size, "cannot open %s for writing%s%s", path, sys ? ": " : "",
			sys ? strerror(sys) : "");
		return -EACCES;
	case SQLITE_FULL:
		snprintf(error, size, "no room to write %s", path);
		return -ENOSPC;
	default:
		snprintf(
			error, size, "%s: %s", path, s->db ? sqlite3_errmsg(s->db) : "cannot open");
		return s->db ? sqlite_status(s) : -EIO;
	}
}

/* Check that the file is empty (*empty is set) or a sound store of ours. Writes nothing. */
static int file_check(
	struct sqlite_store *s, const char *path, bool *empty, char *error, size_t size)
{
	int64_t app = 0, version = 0, tables = 0;
	int code;

	code = query_number(s, "PRAGMA application_id", &app);
	if (!code)
		code = query_number(s, "PRAGMA user_version", &version);
	if (!code)
		code = query_number(s, "SELECT count(*) FROM sqlite_master", &tables);
	if (code)
		return open_error(s, path, code, error, size);
	*empty = !app && !version && !tables;
	if (*empty)
		return 0;
	if (app != APPLICATION_ID) {
		snprintf(error, size, "%s is a database of some other program", path);
		return -ENOTUNIQ;
	}
	if (version > SCHEMA_VERSION) {
		snprintf(error, size,
			"%s was written by a newer version (schema %lld, this program knows %d); "
			"run that version",
			path, (long long)version, SCHEMA_VERSION);
		return -EPROTONOSUPPORT;
	}
	if (version < 1 || !file_whole(s)) {
		snprintf(error, size, "%s is damaged; restore it from a backup", path);
		return -EUCLEAN;
	}
	return 0;
}

/* Make the tables of an empty file. Returns SQLite's code. */
static int schema_make(struct sqlite_store *s)
{
	char sql[1536];

	snprintf(sql, sizeof(sql),
		"BEGIN IMMEDIATE; %s PRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT;",
		schema_text, APPLICATION_ID, SCHEMA_VERSION);
	return exec(s, sql);
}

static int statements_prepare(struct sqlite_store *s)
{
	for (int i = 0; i < STMT_COUNT; i++) {
		int code = sqlite3_prepare_v3(s->db, sqlite_statements[i], -1,
			SQLITE_PREPARE_PERSISTENT, &s->stmts[i], NULL);

		if (code)
			return code;
	}
	return 0;
}

int store_sqlite_open(const char *path, struct store **store, char *error, size_t size)
{
	struct sqlite_store *s = calloc(1, sizeof(*s));
	bool empty = false;
	int fd, code, ret;

	snprintf(error, size, "out of memory");
	if (!s)
		return -ENOMEM;
	s->store.ops = &sqlite_ops;
	s->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (s->event_fd < 0) {
		ret = -errno;
		goto fail;
	}
	/* SQLite would make the file with the umask's mode; intent is not for everyone to read. Not
	 * opened otherwise: closing it would drop the locks of this process on it. */
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd >= 0) {
		close(fd);
	} else if (errno != EEXIST) {
		ret = errno == ENOSPC ? -ENOSPC : -EACCES;
		snprintf(error, size, "cannot create %s: %s", path, strerror(errno));
		goto fail;
	}
	code = sqlite3_open_v2(path, &s->db,
		SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
	/* first the lock, which also keeps a second controller from looking, then the identity */
	if (!code)
		code = exec(s, "PRAGMA locking_mode = EXCLUSIVE; PRAGMA trusted_schema = OFF; "
			       "PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY");
	if (!code)
		code = exec(s, "BEGIN IMMEDIATE; COMMIT");
	if (code) {
		ret = open_error(s, path, code, error, size);
		goto fail;
	}
	ret = file_check(s, path, &empty, error, size);
	if (ret < 0)
		goto fail;
	code = exec(s, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; "
		       "PRAGMA wal_autocheckpoint = 1000");
	if (!code && empty)
		code = schema_make(s);
	if (code) {
		ret = open_error(s, path, code, error, size);
		goto fail;
	}
	code = statements_prepare(s);
	if (!code)
		code = query_number(s, "SELECT rev FROM meta WHERE id = 0", &s->rev);
	if (!code)
		code = query_number(s, "SELECT compacted FROM meta WHERE id = 0", &s->compacted);
	if (code) {
		snprintf(error, size, "%s is damaged; restore it from a backup", path);
		ret = -EUCLEAN;
		goto fail;
	}
	error[0] = '\0';
	*store = &s->store;
	return 0;
fail:
	sqlite_close(&s->store);
	return ret;
}
