/*
 * What every back end of the store must do, written against store.h alone: a back end comes as a
 * function table (struct store_backend). Includes the promise that counts most: a writer that is
 * killed at any moment leaves a store in which each transaction is there whole or not at all, and
 * none that was reported as committed is missing.
 */
#include "tests/unit/audumsd/store_conformance.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define KILLS       50
#define DEADLINE_MS 10000
#define CRASH_KEYS  6

static const struct store_backend *backend;

struct result {
	bool over;
	int status;
	int64_t revision;
};

/* What a list or a watch has given, as text: "key=value ", "[+key=value -key]". */
struct record {
	char text[65536];
	size_t len;
	int status;
	int64_t revision;
	unsigned int calls;
	struct store *store;
	struct store_watch *unwatch;
	void *user;
};

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void put(struct record *r, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(r->text + r->len, sizeof(r->text) - r->len, fmt, ap);
	va_end(ap);
	assert_true(n >= 0 && (size_t)n < sizeof(r->text) - r->len);
	r->len += (size_t)n;
}

static struct store *open_store(void)
{
	struct store *store = NULL;

	assert_int_equal(backend->open(&store), 0);
	return store;
}

/* Let the store work until `over` is set. */
static void wait_for(struct store *store, const bool *over)
{
	int64_t end = now_ms() + DEADLINE_MS;

	while (!*over) {
		struct pollfd p = {.fd = store_fd(store), .events = POLLIN};

		assert_true(now_ms() < end);
		poll(&p, 1, 100);
		assert_int_equal(store_dispatch(store), 0);
	}
}

/* Deliver what is due, until the watch has had `calls` calls. */
static void wait_calls(struct store *store, const struct record *r, unsigned int calls)
{
	int64_t end = now_ms() + DEADLINE_MS;

	while (r->calls < calls) {
		struct pollfd p = {.fd = store_fd(store), .events = POLLIN};

		assert_true(now_ms() < end);
		poll(&p, 1, 100);
		assert_int_equal(store_dispatch(store), 0);
	}
}

static void on_done(void *arg, int status, int64_t revision)
{
	struct result *r = arg;

	assert_false(r->over);
	*r = (struct result){true, status, revision};
}

static int txn(struct store *store, const struct store_compare *compares, size_t n_compares,
	const struct store_op *ops, size_t n_ops, int64_t *revision)
{
	struct result r = {0};

	store_txn(store, compares, n_compares, ops, n_ops, on_done, &r);
	wait_for(store, &r.over);
	if (revision)
		*revision = r.revision;
	return r.status;
}

static int64_t set(struct store *store, const char *key, const char *value)
{
	struct store_op op = {.key = key, .value = value, .len = strlen(value)};
	int64_t revision;

	assert_int_equal(txn(store, NULL, 0, &op, 1, &revision), 0);
	return revision;
}

static int64_t unset(struct store *store, const char *key)
{
	struct store_op op = {.key = key, .del = true};
	int64_t revision;

	assert_int_equal(txn(store, NULL, 0, &op, 1, &revision), 0);
	return revision;
}

static void on_each(void *arg, const struct store_kv *kv)
{
	put(arg, "%s=%.*s ", kv->key, (int)kv->len, (const char *)kv->value);
}

static void on_each_revisions(void *arg, const struct store_kv *kv)
{
	put(arg, "%s@%lld,%lld ", kv->key, (long long)kv->create_rev, (long long)kv->mod_rev);
}

static void on_list_done(void *arg, int status, int64_t revision)
{
	struct record *r = arg;

	r->status = status;
	r->revision = revision;
}

/* List into r->text; the revision of the list. */
static int64_t list(struct store *store, const char *prefix, store_each_fn *each, struct record *r)
{
	int64_t end = now_ms() + DEADLINE_MS;

	r->len = 0;
	r->text[0] = '\0';
	r->status = 1;
	store_list(store, prefix, each, on_list_done, r);
	while (r->status == 1) {
		assert_true(now_ms() < end);
		assert_int_equal(store_dispatch(store), 0);
	}
	assert_int_equal(r->status, 0);
	return r->revision;
}

static void on_events(
	void *arg, int status, int64_t revision, const struct store_event *events, size_t n)
{
	struct record *r = arg;

	r->calls++;
	r->status = status;
	if (status < 0) {
		r->revision = revision;
		return;
	}
	assert_true(revision > r->revision);
	r->revision = revision;
	put(r, "[");
	for (size_t i = 0; i < n; i++) {
		const struct store_event *e = &events[i];

		assert_int_equal(e->kv.mod_rev, revision);
		assert_true(e->kv.create_rev <= revision);
		put(r, "%s%s%s", i ? " " : "", e->del ? "-" : "+", e->kv.key);
		if (!e->del)
			put(r, "=%.*s", (int)e->kv.len, (const char *)e->kv.value);
	}
	put(r, "]");
	if (r->unwatch)
		store_unwatch(r->store, r->unwatch);
}

/* ---- transactions and lists --------------------------------------------------------------- */

static void test_compare_and_swap(void **state)
{
	struct store *store = open_store();
	struct store_op a1 = {.key = "/c/a", .value = "1", .len = 1};
	struct store_op both[] = {
		{.key = "/c/a", .value = "2", .len = 1}, {.key = "/c/b", .value = "3", .len = 1}};
	struct store_compare absent = {"/c/a", 0}, here;
	struct store_compare two[2];
	struct record r = {0};
	int64_t rev1, rev2;

	assert_int_equal(txn(store, &absent, 1, &a1, 1, &rev1), 0);
	assert_true(rev1 > 0);
	assert_int_equal(txn(store, &absent, 1, &a1, 1, NULL), -ECANCELED);
	here = (struct store_compare){"/c/a", rev1};
	assert_int_equal(txn(store, &here, 1, &a1, 1, &rev2), 0);
	assert_int_equal(rev2, rev1 + 1);
	/* an old revision; then one good and one bad comparison: nothing is written */
	assert_int_equal(txn(store, &here, 1, &a1, 1, NULL), -ECANCELED);
	two[0] = (struct store_compare){"/c/a", rev2};
	two[1] = (struct store_compare){"/c/b", 77};
	assert_int_equal(txn(store, two, 2, both, 2, NULL), -ECANCELED);
	assert_int_equal(list(store, "/c/", on_each, &r), rev2);
	assert_string_equal(r.text, "/c/a=1 ");
	two[1].mod_rev = 0;
	assert_int_equal(txn(store, two, 2, both, 2, &rev1), 0);
	assert_int_equal(rev1, rev2 + 1);
	assert_int_equal(list(store, "/c/", on_each, &r), rev1);
	assert_string_equal(r.text, "/c/a=2 /c/b=3 ");
	/* comparisons alone */
	two[0].mod_rev = two[1].mod_rev = rev1;
	assert_int_equal(txn(store, two, 2, NULL, 0, &rev2), 0);
	assert_int_equal(rev2, rev1);
	store_close(store);
}

static void test_delete(void **state)
{
	struct store *store = open_store();
	struct store_op op = {.key = "/c/a", .value = "1", .len = 1};
	struct store_compare absent = {"/c/a", 0};
	struct record r = {0};
	char expect[64];
	int64_t rev, again;

	rev = set(store, "/c/a", "x");
	assert_int_equal(unset(store, "/c/a"), rev + 1);
	/* not there any more: no error, and no revision */
	assert_int_equal(unset(store, "/c/a"), rev + 1);
	list(store, "/c/", on_each, &r);
	assert_string_equal(r.text, "");
	assert_int_equal(txn(store, &absent, 1, &op, 1, &again), 0);
	assert_int_equal(again, rev + 2);
	set(store, "/c/a", "y");
	list(store, "/c/", on_each_revisions, &r);
	snprintf(expect, sizeof(expect), "/c/a@%lld,%lld ", (long long)again, (long long)again + 1);
	assert_string_equal(r.text, expect);
	store_close(store);
}

static void test_list(void **state)
{
	struct store *store = open_store();
	struct record r = {0};

	set(store, "/a/2", "b");
	set(store, "/a/10", "a");
	set(store, "/a", "parent");
	set(store, "/ab", "sibling");
	set(store, "/a/2/x", "");
	set(store, "/a0", "after the slash");
	list(store, "/a/", on_each, &r);
	assert_string_equal(r.text, "/a/10=a /a/2=b /a/2/x= ");
	list(store, "/ab", on_each, &r);
	assert_string_equal(r.text, "/ab=sibling ");
	list(store, "/nothing/", on_each, &r);
	assert_string_equal(r.text, "");
	store_close(store);
}

static void on_each_bytes(void *arg, const struct store_kv *kv)
{
	put(arg, "%s:", kv->key);
	for (size_t i = 0; i < kv->len; i++)
		put(arg, "%02x", ((const uint8_t *)kv->value)[i]);
}

/* Values are any bytes, none included. */
static void test_values(void **state)
{
	struct store *store = open_store();
	struct store_op ops[] = {{.key = "/v", .value = "a\0\xff", .len = 3}, {.key = "/w"}};
	struct record r = {0};

	assert_int_equal(txn(store, NULL, 0, ops, 2, NULL), 0);
	store_close(store);
	store = open_store();
	list(store, "/", on_each_bytes, &r);
	assert_string_equal(r.text, "/v:6100ff/w:");
	store_close(store);
}

static void test_limits(void **state)
{
	static char value[STORE_MAX_BYTES + 1];
	struct store *store = open_store();
	struct store_op ops[STORE_MAX_OPS + 1], one = {.key = "/big", .value = value};
	struct store_op twice[] = {
		{.key = "/t", .value = "", .len = 0}, {.key = "/t", .del = true}};
	struct store_compare bad = {"", 0};
	char keys[STORE_MAX_OPS + 1][16], longkey[STORE_MAX_KEY + 2];
	struct record r = {0};
	int64_t rev = set(store, "/first", "");

	for (int i = 0; i <= STORE_MAX_OPS; i++) {
		snprintf(keys[i], sizeof(keys[i]), "/l/%03d", i);
		ops[i] = (struct store_op){.key = keys[i], .value = value, .len = 10};
	}
	assert_int_equal(txn(store, NULL, 0, ops, STORE_MAX_OPS + 1, NULL), -E2BIG);
	one.len = STORE_MAX_BYTES - 3; /* with a key of four bytes one too many */
	assert_int_equal(txn(store, NULL, 0, &one, 1, NULL), -E2BIG);
	one.len = SIZE_MAX - 2;
	assert_int_equal(txn(store, NULL, 0, &one, 1, NULL), -E2BIG);
	assert_int_equal(txn(store, NULL, 0, twice, 2, NULL), -EINVAL);
	assert_int_equal(txn(store, &bad, 1, ops, 1, NULL), -EINVAL);
	memset(longkey, 'k', sizeof(longkey));
	longkey[sizeof(longkey) - 1] = '\0';
	one = (struct store_op){.key = longkey, .value = "", .len = 0};
	assert_int_equal(txn(store, NULL, 0, &one, 1, NULL), -EINVAL);
	one.key = "/with blank";
	assert_int_equal(txn(store, NULL, 0, &one, 1, NULL), -EINVAL);
	one.key = "/n\xc4\x81";
	assert_int_equal(txn(store, NULL, 0, &one, 1, NULL), -EINVAL);
	/* what is allowed goes through, and nothing of the above was written */
	assert_int_equal(list(store, "/", on_each, &r), rev);
	assert_string_equal(r.text, "/first= ");
	assert_int_equal(txn(store, NULL, 0, ops, STORE_MAX_OPS, NULL), 0);
	one = (struct store_op){.key = "/big", .value = value, .len = STORE_MAX_BYTES - 4};
	assert_int_equal(txn(store, NULL, 0, &one, 1, NULL), 0);
	longkey[STORE_MAX_KEY] = '\0';
	one = (struct store_op){.key = longkey, .value = "", .len = 0};
	assert_int_equal(txn(store, NULL, 0, &one, 1, NULL), 0);
	store_close(store);
}

static void test_reopen(void **state)
{
	struct store *store = open_store();
	struct record r = {0};
	int64_t rev;

	set(store, "/a", "1");
	set(store, "/b", "2");
	rev = unset(store, "/a");
	store_close(store);
	store = open_store();
	assert_int_equal(list(store, "/", on_each, &r), rev);
	assert_string_equal(r.text, "/b=2 ");
	assert_int_equal(set(store, "/c", "3"), rev + 1);
	store_close(store);
}

/* ---- watches ------------------------------------------------------------------------------ */

static void test_watch(void **state)
{
	struct store *store = open_store();
	struct store_op both[] = {{.key = "/c/a", .value = "3", .len = 1},
		{.key = "/d/x", .value = "9", .len = 1}, {.key = "/c/b", .value = "1", .len = 1}};
	struct store_watch *history, *live;
	struct record h = {0}, l = {0};
	int64_t rev = set(store, "/c/a", "1");

	set(store, "/c/a", "2");
	set(store, "/d/x", "8");
	assert_int_equal(txn(store, NULL, 0, both, 3, NULL), 0);
	assert_int_equal(store_watch(store, "/c/", rev, on_events, &h, &history), 0);
	assert_int_equal(store_watch(store, "/c/", 0, on_events, &l, &live), 0);
	assert_int_equal(h.calls, 0); /* never from within the call */
	wait_calls(store, &h, 3);
	assert_string_equal(h.text, "[+/c/a=1][+/c/a=2][+/c/a=3 +/c/b=1]");
	unset(store, "/c/a");
	set(store, "/d/x", "7");
	set(store, "/c/c", "");
	wait_calls(store, &h, 5);
	wait_calls(store, &l, 2);
	assert_string_equal(h.text, "[+/c/a=1][+/c/a=2][+/c/a=3 +/c/b=1][-/c/a][+/c/c=]");
	assert_string_equal(l.text, "[-/c/a][+/c/c=]");
	store_unwatch(store, live);
	set(store, "/c/d", "");
	wait_calls(store, &h, 6);
	assert_int_equal(l.calls, 2);
	store_unwatch(store, history);
	store_close(store);
}

static void test_watch_from_future(void **state)
{
	struct store *store = open_store();
	struct store_watch *w;
	struct record r = {0};
	int64_t rev = set(store, "/a", "1");

	assert_int_equal(store_watch(store, "/", rev + 2, on_events, &r, &w), 0);
	set(store, "/a", "2");
	set(store, "/a", "3");
	wait_calls(store, &r, 1);
	assert_string_equal(r.text, "[+/a=3]");
	store_unwatch(store, w);
	store_close(store);
}

/* A watch may end itself, or others, from its own event; and write. */
static void test_watch_ends_itself(void **state)
{
	struct store *store = open_store();
	struct record a = {.store = store}, b = {0};
	struct store_watch *other;

	assert_int_equal(store_watch(store, "/", 0, on_events, &b, &other), 0);
	assert_int_equal(store_watch(store, "/", 0, on_events, &a, &a.unwatch), 0);
	set(store, "/x", "1");
	set(store, "/x", "2");
	wait_calls(store, &a, 1);
	wait_calls(store, &b, 2);
	assert_int_equal(a.calls, 1);
	store_unwatch(store, other);
	store_close(store);
}

static void test_watch_bounds(void **state)
{
	struct store *store = open_store();
	struct store_watch *w[STORE_MAX_WATCH + 1];
	struct record r = {0};

	for (int i = 0; i < STORE_MAX_WATCH; i++)
		assert_int_equal(store_watch(store, "/", 0, on_events, &r, &w[i]), 0);
	assert_int_equal(store_watch(store, "/", 0, on_events, &r, &w[STORE_MAX_WATCH]), -EUSERS);
	assert_int_equal(store_watch(store, "", 0, on_events, &r, &w[STORE_MAX_WATCH]), -EINVAL);
	store_unwatch(store, w[0]);
	assert_int_equal(store_watch(store, "/", 0, on_events, &r, &w[0]), 0);
	store_close(store); /* the rest goes with it */
}

static int compact(struct store *store, int64_t revision)
{
	struct result r = {0};

	store_compact(store, revision, on_done, &r);
	wait_for(store, &r.over);
	return r.status;
}

static void test_compaction(void **state)
{
	struct store *store = open_store();
	struct store_watch *gone, *above, *late;
	struct record g = {0}, a = {0}, r = {0}, l = {0};
	int64_t first = set(store, "/a", "1"), last;

	set(store, "/a", "2");
	set(store, "/b", "3");
	last = unset(store, "/b");
	/* a watch that has not been served yet loses its history */
	assert_int_equal(store_watch(store, "/", first, on_events, &l, &late), 0);
	assert_int_equal(compact(store, last + 1), -EINVAL);
	assert_int_equal(compact(store, first + 1), 0);
	assert_int_equal(compact(store, first), 0); /* already */
	assert_int_equal(store_watch(store, "/", first, on_events, &g, &gone), 0);
	assert_int_equal(store_watch(store, "/", first + 2, on_events, &a, &above), 0);
	wait_calls(store, &g, 1);
	wait_calls(store, &l, 1);
	assert_int_equal(g.status, -ESTALE);
	assert_int_equal(l.status, -ESTALE);
	assert_int_equal(g.revision, first + 2);
	wait_calls(store, &a, 2);
	assert_string_equal(a.text, "[+/b=3][-/b]");
	store_unwatch(store, gone);
	store_unwatch(store, above);
	store_unwatch(store, late);
	assert_int_equal(compact(store, last), 0);
	list(store, "/", on_each, &r);
	assert_string_equal(r.text, "/a=2 ");
	store_close(store);
	/* the bound outlives the process */
	store = open_store();
	g = (struct record){0};
	assert_int_equal(store_watch(store, "/", last, on_events, &g, &gone), 0);
	wait_calls(store, &g, 1);
	assert_int_equal(g.status, -ESTALE);
	store_unwatch(store, gone);
	assert_int_equal(set(store, "/z", ""), last + 1);
	store_close(store);
}

/* ---- kill -9 ------------------------------------------------------------------------------ */

/*
 * The writer: transaction i writes i to all keys (a delete now and then for the last one), and
 * tells the parent each i that was reported as committed.
 */
static void crash_writer(int fd, uint64_t from)
{
	struct store *store;
	struct store_op ops[CRASH_KEYS];
	char keys[CRASH_KEYS][32], value[32], pad[512];

	if (backend->open(&store) < 0)
		_exit(2);
	for (uint64_t i = from;; i++) {
		struct result r = {0};

		memset(pad, 'p', sizeof(pad));
		snprintf(value, sizeof(value), "%llu", (unsigned long long)i);
		memcpy(pad, value, strlen(value) + 1);
		for (int k = 0; k < CRASH_KEYS; k++) {
			snprintf(keys[k], sizeof(keys[k]), "/crash/%d", k);
			ops[k] =
				(struct store_op){.key = keys[k], .value = pad, .len = sizeof(pad)};
		}
		if (i % 3 == 0)
			ops[CRASH_KEYS - 1] =
				(struct store_op){.key = keys[CRASH_KEYS - 1], .del = true};
		store_txn(store, NULL, 0, ops, CRASH_KEYS, on_done, &r);
		while (!r.over)
			if (store_dispatch(store) < 0)
				_exit(3);
		if (r.status || write(fd, &i, sizeof(i)) != sizeof(i))
			_exit(4);
		if (i % 50 == 0)
			store_compact(store, r.revision - 10, on_done, &(struct result){0});
	}
}

struct crash_seen {
	uint64_t value; /* of all keys */
	int keys;
	bool differ;
};

static void on_crash_key(void *arg, const struct store_kv *kv)
{
	struct record *r = arg;
	struct crash_seen *seen = r->user;
	uint64_t value = strtoull(kv->value, NULL, 10);

	if (seen->keys++ && seen->value != value)
		seen->differ = true;
	seen->value = value;
}

static void test_kill(void **state)
{
	uint64_t reported = 0, from = 1;
	unsigned int seed = 1;

	for (int n = 0; n < KILLS; n++) {
		struct crash_seen seen = {0};
		struct record r = {.user = &seen};
		struct store *store;
		uint64_t last;
		int fds[2], status;
		pid_t pid;

		assert_int_equal(pipe(fds), 0);
		pid = fork();
		assert_true(pid >= 0);
		if (!pid) {
			close(fds[0]);
			crash_writer(fds[1], from);
		}
		close(fds[1]);
		/* let it commit once, then strike at any moment within 10 ms */
		if (read(fds[0], &last, sizeof(last)) != sizeof(last))
			fail_msg("the writer does not come up");
		reported = last;
		usleep((useconds_t)(rand_r(&seed) % 10000));
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		while (read(fds[0], &last, sizeof(last)) == sizeof(last))
			reported = last;
		close(fds[0]);

		store = open_store();
		list(store, "/crash/", on_crash_key, &r);
		assert_false(seen.differ);
		assert_int_equal(seen.keys, seen.value % 3 ? CRASH_KEYS : CRASH_KEYS - 1);
		/* nothing that was reported is missing; at most one more is there */
		assert_true(seen.value >= reported && seen.value <= reported + 1);
		store_close(store);
		from = seen.value + 1;
	}
}

static int setup(void **state)
{
	backend->wipe();
	return 0;
}

int store_conformance_run(const struct store_backend *which)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_compare_and_swap, setup),
		cmocka_unit_test_setup(test_delete, setup),
		cmocka_unit_test_setup(test_list, setup),
		cmocka_unit_test_setup(test_values, setup),
		cmocka_unit_test_setup(test_limits, setup),
		cmocka_unit_test_setup(test_reopen, setup),
		cmocka_unit_test_setup(test_watch, setup),
		cmocka_unit_test_setup(test_watch_from_future, setup),
		cmocka_unit_test_setup(test_watch_ends_itself, setup),
		cmocka_unit_test_setup(test_watch_bounds, setup),
		cmocka_unit_test_setup(test_compaction, setup),
		cmocka_unit_test_setup(test_kill, setup),
	};

	backend = which;
	return cmocka_run_group_tests_name(which->name, tests, NULL, NULL);
}
