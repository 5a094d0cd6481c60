/*
 * The embedded back end: the conformance suite, and what only a file can suffer: foreign, damaged
 * and future files, a second process, no room on the disk.
 */
#include "tests/unit/audumsd/store_conformance.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/lib/log.h"

static char dir[] = "/tmp/controller-store-XXXXXX";
static char path[128];
static char error[512];

static void wipe(void)
{
	static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};
	char name[160];

	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		snprintf(name, sizeof(name), "%s%s", path, suffixes[i]);
		unlink(name);
	}
}

static int open_file(struct store **store)
{
	return store_sqlite_open(path, store, error, sizeof(error));
}

static void on_done(void *arg, int status, int64_t revision)
{
	*(int *)arg = status;
}

static int set(struct store *store, const char *key, const void *value, size_t len)
{
	struct store_op op = {.key = key, .value = value, .len = len};
	int status = 1;

	store_txn(store, NULL, 0, &op, 1, on_done, &status);
	return status;
}

static void on_count(void *arg, const struct store_kv *kv)
{
	(*(int *)arg)++;
}

static void on_listed(void *arg, int status, int64_t revision)
{
	assert_int_equal(status, 0);
}

static int count(struct store *store)
{
	int n = 0;

	store_list(store, "/", on_count, on_listed, &n);
	return n;
}

static int setup(void **state)
{
	wipe();
	return 0;
}

static void file_write(const char *text, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, len), (ssize_t)len);
	close(fd);
}

static size_t file_read(char *buf, size_t size)
{
	int fd = open(path, O_RDONLY);
	ssize_t n = read(fd, buf, size);

	close(fd);
	assert_true(n >= 0);
	return (size_t)n;
}

/* A file that is none of ours is refused, and left as it was. */
static void test_foreign(void **state)
{
	static const char text[] = "this is not a database, and it is somebody's only copy of it";
	static char before[65536], after[65536];
	struct store *store;
	sqlite3 *db;
	size_t n;

	file_write(text, sizeof(text));
	assert_int_equal(open_file(&store), -ENOTUNIQ);
	assert_non_null(strstr(error, path));
	assert_int_equal(file_read(after, sizeof(after)), sizeof(text));
	assert_memory_equal(after, text, sizeof(text));

	wipe();
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "CREATE TABLE kv(x); INSERT INTO kv VALUES(1)", 0, 0, 0),
		SQLITE_OK);
	sqlite3_close(db);
	n = file_read(before, sizeof(before));
	assert_int_equal(open_file(&store), -ENOTUNIQ);
	assert_non_null(strstr(error, "other program"));
	assert_int_equal(file_read(after, sizeof(after)), n);
	assert_memory_equal(after, before, n);
}

static void test_damaged(void **state)
{
	static char file[1 << 20];
	static const char value[2000];
	struct store *store;
	char key[32];
	size_t n;

	assert_int_equal(open_file(&store), 0);
	for (int i = 0; i < 100; i++) {
		snprintf(key, sizeof(key), "/k/%d", i);
		assert_int_equal(set(store, key, value, sizeof(value)), 0);
	}
	store_close(store);
	n = file_read(file, sizeof(file));
	assert_true(n > 40 * 4096);
	/* pages in the middle */
	memset(file + 10 * 4096, 0x5a, 5 * 4096);
	file_write(file, n);
	assert_int_equal(open_file(&store), -EUCLEAN);
	assert_non_null(strstr(error, "damaged"));
	/* the end is missing */
	wipe();
	file_write(file, 7 * 4096);
	assert_int_equal(open_file(&store), -EUCLEAN);
	/* only the first bytes are left */
	wipe();
	file_write(file, 50);
	assert_true(open_file(&store) < 0);
	assert_true(error[0] != '\0');
}

static void test_future(void **state)
{
	struct store *store;
	sqlite3 *db;

	assert_int_equal(open_file(&store), 0);
	assert_int_equal(set(store, "/a", "1", 1), 0);
	store_close(store);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "PRAGMA user_version = 2", 0, 0, 0), SQLITE_OK);
	sqlite3_close(db);
	assert_int_equal(open_file(&store), -EPROTONOSUPPORT);
	assert_non_null(strstr(error, "newer version"));
}

static void test_places(void **state)
{
	struct store *store;
	struct stat st;
	char saved[sizeof(path)];

	assert_int_equal(open_file(&store), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	store_close(store);
	memcpy(saved, path, sizeof(path));
	snprintf(path, sizeof(path), "%s/nowhere/x.db", dir);
	assert_int_equal(open_file(&store), -EACCES);
	snprintf(path, sizeof(path), "%s", dir);
	assert_true(open_file(&store) < 0);
	memcpy(path, saved, sizeof(path));
}

/* Only one process works on a store; when it is gone, the next one may. */
static void test_two_processes(void **state)
{
	struct store *store, *second;
	int ready[2], status;
	char c;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		if (open_file(&store) || write(ready[1], "", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	assert_int_equal(read(ready[0], &c, 1), 1);
	assert_int_equal(open_file(&second), -EBUSY);
	assert_non_null(strstr(error, "another process"));
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	close(ready[0]);
	close(ready[1]);
	assert_int_equal(open_file(&second), 0);
	assert_int_equal(set(second, "/a", "1", 1), 0);
	/* nor twice in one process, and the first one's lock outlives the attempt */
	assert_int_equal(open_file(&store), -EBUSY);
	assert_int_equal(set(second, "/a", "2", 1), 0);
	store_close(second);
}

/* No room: the transaction fails whole, what was there stays, and it works again with room. */
static void test_no_room(void **state)
{
	static char value[100000];
	struct rlimit old, tight;
	struct store *store;
	int full = 0, kept;
	char key[32];

	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(open_file(&store), 0);
	assert_int_equal(set(store, "/first", "1", 1), 0);
	tight = old;
	tight.rlim_cur = 1 << 20;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
	log_setup(LOG_LEVEL_ERROR, open("/dev/null", O_WRONLY | O_CLOEXEC));
	for (int i = 0; i < 40 && full < 5; i++) {
		int status;

		snprintf(key, sizeof(key), "/k/%d", i);
		status = set(store, key, value, sizeof(value));
		assert_true(status == 0 || status == -ENOSPC);
		full += status == -ENOSPC;
	}
	log_setup(LOG_LEVEL_INFO, 2);
	assert_int_equal(full, 5);
	assert_false(store_broken(store));
	kept = count(store);
	assert_true(kept > 1);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(set(store, "/again", value, sizeof(value)), 0);
	store_close(store);
	assert_int_equal(open_file(&store), 0);
	assert_int_equal(count(store), kept + 1);
	store_close(store);
}

int main(void)
{
	const struct store_backend sqlite = {"store_sqlite", open_file, wipe};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_foreign, setup),
		cmocka_unit_test_setup(test_damaged, setup),
		cmocka_unit_test_setup(test_future, setup),
		cmocka_unit_test_setup(test_places, setup),
		cmocka_unit_test_setup(test_two_processes, setup),
		cmocka_unit_test_setup(test_no_room, setup),
	};
	int failed;

	if (!mkdtemp(dir))
		return 1;
	snprintf(path, sizeof(path), "%s/audums.db", dir);
	failed = store_conformance_run(&sqlite);
	failed += cmocka_run_group_tests_name("store_sqlite_file", tests, NULL, NULL);
	wipe();
	rmdir(dir);
	return failed;
}
