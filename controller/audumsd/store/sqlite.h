/*
 * Shared by the two files of the embedded back end, and by nobody else: sqlite_open.c makes and
 * checks the file, sqlite.c works with it.
 */
#pragma once

#include <sqlite3.h>

#include "controller/audumsd/store/store.h"

enum statement {
	STMT_BEGIN,
	STMT_COMMIT,
	STMT_ROLLBACK,
	STMT_GET,
	STMT_PUT,
	STMT_DELETE,
	STMT_LOG,
	STMT_LIST,
	STMT_HISTORY,
	STMT_COMPACT,
	STMT_META,
	STMT_COUNT,
};

struct sqlite_store {
	struct store store;
	sqlite3 *db;
	sqlite3_stmt *stmts[STMT_COUNT];
	int64_t rev;
	int64_t compacted;
	struct store_watch *watches;
	unsigned int n_watches;
	int event_fd;
	bool dispatching;
	bool broken;
};

extern const struct store_ops sqlite_ops;

/* SQL of each statement. */
extern const char *const sqlite_statements[STMT_COUNT];

/* The status (store.h) that the last failed call of SQLite stands for. */
int sqlite_status(const struct sqlite_store *s);

/* Finalise, close and free, at whatever stage of opening. */
void sqlite_close(struct store *store);
