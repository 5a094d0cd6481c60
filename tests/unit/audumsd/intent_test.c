/*
 * The intent against a store that fails: after every single transaction of a change, small or
 * staged, the controller may die, and what it finds when it opens the store again is the intent
 * before the change or after it, whole, never between; and a store without room changes nothing.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "controller/audumsd/intent.h"
#include "proto/lib/log.h"
#include "tests/unit/audumsd/fixture.h"

/* ---- a store that dies -------------------------------------------------------------------- */

/* Passes everything on to a real store, until so many transactions were carried out. */
struct mortal {
	struct store store;
	struct store *real;
	int left;      /* transactions until death; -1: immortal */
	bool answered; /* dies after the last one was carried out but before it is told */
	int error;     /* answers with this instead of dying, for good */
	int n;         /* transactions seen */
	bool dead;
};

static struct mortal *mortal_of(struct store *store)
{
	return (struct mortal *)store;
}

static void ignore(void *arg, int status, int64_t revision)
{
}

static void mortal_txn(struct store *store, const struct store_compare *compares, size_t n_compares,
	const struct store_op *ops, size_t n_ops, store_done_fn *done, void *arg)
{
	struct mortal *m = mortal_of(store);

	m->n++;
	if (m->left == 0) {
		if (m->error) {
			done(arg, m->error, 1);
			return;
		}
		/* the process is gone: nobody hears of it any more */
		if (!m->dead && m->answered)
			store_txn(m->real, compares, n_compares, ops, n_ops, ignore, NULL);
		m->dead = true;
		return;
	}
	if (m->left > 0)
		m->left--;
	store_txn(m->real, compares, n_compares, ops, n_ops, done, arg);
}

static void mortal_list(struct store *store, const char *prefix, store_each_fn *each,
	store_done_fn *done, void *arg)
{
	if (!mortal_of(store)->dead)
		store_list(mortal_of(store)->real, prefix, each, done, arg);
}

static int mortal_watch(struct store *store, const char *prefix, int64_t from,
	store_watch_fn *event, void *arg, struct store_watch **watch)
{
	return -EINVAL;
}

static void mortal_compact(struct store *store, int64_t revision, store_done_fn *done, void *arg)
{
	if (!mortal_of(store)->dead)
		store_compact(mortal_of(store)->real, revision, done, arg);
}

static bool mortal_broken(const struct store *store)
{
	return false;
}

static const struct store_ops mortal_ops = {
	.name = "mortal",
	.txn = mortal_txn,
	.list = mortal_list,
	.watch = mortal_watch,
	.compact = mortal_compact,
	.broken = mortal_broken,
};

/* ---- the world around --------------------------------------------------------------------- */

static char dir[] = "/tmp/controller-intent-XXXXXX";
static char path[128];
static struct access operator;

struct opened {
	bool over;
	int status;
};

struct told {
	bool over;
	int status;
	char text[512];
	char operation[OPERATION_ID];
};

static void on_open(void *arg, int status)
{
	*(struct opened *)arg = (struct opened){true, status};
}

static void wipe(void)
{
	static const char *const suffixes[] = {"", "-wal", "-shm"};
	char name[160];

	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		snprintf(name, sizeof(name), "%s%s", path, suffixes[i]);
		unlink(name);
	}
}

static struct store *real_open(void)
{
	struct store *store;
	char error[512];

	if (store_sqlite_open(path, &store, error, sizeof(error)) < 0)
		fail_msg("%s", error);
	return store;
}

static struct intent *open_on(struct store *store, struct opened *o)
{
	const struct intent_options options = {.quarantine_ms = 60000};

	*o = (struct opened){0};
	return intent_open(store, &options, on_open, o);
}

static void on_changed(void *arg, struct intent_result *result)
{
	struct told *t = arg;

	t->over = true;
	t->status = result->status;
	snprintf(t->text, sizeof(t->text), "%s", result->text);
	snprintf(t->operation, sizeof(t->operation), "%s", result->operation);
}

/* Ask for a change; `t->over` stays false when the store dies on the way. */
static void apply(struct intent *intent, const char *document, struct told *t)
{
	struct intent_result result;
	struct intent_request request = {
		.document = document_load(document), .comment = "", .access = &operator};

	*t = (struct told){0};
	intent_change(intent, &request, &result, on_changed, t);
	intent_result_free(&result);
	audums__v1__document__free_unpacked((Audums__V1__Document *)request.document, NULL);
}

static size_t segments(const struct intent *intent)
{
	return model_document(intent_model(intent))->n_segments;
}

/* All that must hold between the parts of an intent. */
static void check_whole(const struct intent *intent)
{
	const Audums__V1__Document *doc = model_document(intent_model(intent));
	const struct alloc *alloc = intent_alloc(intent);
	static uint8_t rds[4][65536];

	memset(rds, 0, sizeof(rds));
	assert_int_equal(alloc->segments.n, doc->n_segments);
	assert_int_equal(alloc->nodes.n, doc->n_nodes);
	assert_int_equal(alloc->links.n, doc->n_links);
	for (size_t i = 0; i < doc->n_segments; i++) {
		const struct alloc_segment *s = alloc_segment(alloc, doc->segments[i]->name);

		assert_non_null(s);
		assert_true(s->vni >= 10000 && s->vni <= 19999);
		assert_true(doc->segments[i]->generation <= intent_generation(intent));
		assert_int_equal(s->n_places, 4);
		for (size_t k = 0; k < s->n_places; k++) {
			assert_true(s->places[k].rd_index && s->places[k].generation);
			assert_int_equal(rds[k][s->places[k].rd_index]++, 0);
		}
	}
	for (size_t i = 0; i < doc->n_nodes; i++) {
		const struct alloc_node *n = alloc_node(alloc, doc->nodes[i]->name);

		assert_true(n && n->asn && n->vtep && n->generation && n->base_generation);
		assert_true(n->generation <= intent_generation(intent));
	}
}

static char *document_of(int from, int n)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	fprintf(f, "tenants:\n- {name: t, provider: lvrtc}\nsegments:\n");
	for (int i = from; i < from + n; i++)
		fprintf(f,
			"- {name: s%d, provider: lvrtc, tenant: t, sites: [lvrtc, lnb, ic, ldc]}\n",
			i);
	fclose(f);
	return text;
}

/*
 * Apply a change of `n` segments to an intent that has 5 of them, with a store that dies at every
 * single step; check what is found then, and that the change can be made after all.
 */
static void die_everywhere(int n)
{
	char *first = document_of(0, 5), *change = document_of(100, n);
	int deaths = 0, before = 0, after = 0;

	for (int step = 0;; step++) {
		struct mortal mortal = {.store.ops = &mortal_ops, .left = -1, .answered = step % 2};
		struct intent *intent;
		struct opened o;
		struct told t;
		uint64_t generation;
		bool survived;

		wipe();
		mortal.real = real_open();
		intent = open_on(&mortal.store, &o);
		assert_true(o.over && !o.status);
		apply(intent, "latvia.yaml", &t);
		assert_int_equal(t.status, 0);
		apply(intent, first, &t);
		assert_int_equal(t.status, 0);
		generation = intent_generation(intent);

		mortal.left = step / 2;
		apply(intent, change, &t);
		while (t.over && !mortal.dead && intent_settle(intent))
			;
		survived = !mortal.dead;
		intent_free(intent);
		store_close(mortal.real);

		mortal = (struct mortal){.store.ops = &mortal_ops, .left = -1, .real = real_open()};
		intent = open_on(&mortal.store, &o);
		assert_true(o.over && !o.status);
		check_whole(intent);
		if (segments(intent) == 5) {
			before++;
			assert_false(t.over); /* nobody was told that it is done */
			assert_int_equal(intent_generation(intent), generation);
		} else {
			after++;
			assert_int_equal(segments(intent), 5 + n);
			assert_int_equal(intent_generation(intent), generation + 1);
		}
		apply(intent, change, &t);
		assert_true(t.over && !t.status);
		assert_int_equal(segments(intent), 5 + n);
		check_whole(intent);
		while (intent_settle(intent))
			;
		intent_free(intent);
		/* and nothing is left of the attempt: it opens without another write */
		mortal.n = 0;
		intent = open_on(&mortal.store, &o);
		assert_true(o.over && !o.status);
		assert_int_equal(mortal.n, 0);
		intent_free(intent);
		store_close(mortal.real);
		if (deaths++ > 100)
			fail_msg("the change has no end");
		/* until the store has lived through it all */
		if (survived)
			break;
	}
	print_message("%d segments: %d deaths, %d before, %d after the commit\n", n, deaths, before,
		after);
	assert_true(before > 0 && after > 0);
	free(first);
	free(change);
}

static void test_die_small(void **state)
{
	die_everywhere(10);
}

static void test_die_staged(void **state)
{
	die_everywhere(250);
}

/* No room at any step: the change is refused with a reason, or made; and made later. */
static void test_no_room(void **state)
{
	char *change = document_of(100, 250);

	for (int step = 0; step < 10; step++) {
		struct mortal mortal = {.store.ops = &mortal_ops, .left = -1, .error = -ENOSPC};
		struct intent *intent;
		struct opened o;
		struct told t;

		wipe();
		mortal.real = real_open();
		intent = open_on(&mortal.store, &o);
		assert_true(o.over && !o.status);
		apply(intent, "latvia.yaml", &t);
		assert_int_equal(t.status, 0);
		mortal.left = step;
		apply(intent, change, &t);
		assert_true(t.over);
		if (t.status) {
			assert_int_equal(t.status, -EDQUOT);
			assert_non_null(strstr(t.text, "no room"));
			assert_int_equal(segments(intent), 0);
			/* again without room, then with */
			apply(intent, change, &t);
			assert_int_equal(t.status, -EDQUOT);
		} else {
			assert_int_equal(segments(intent), 250);
		}
		mortal.left = -1;
		apply(intent, change, &t);
		assert_int_equal(t.status, 0);
		assert_int_equal(segments(intent), 250);
		apply(intent, "tenants:\n- {name: other, provider: lnb}\n", &t);
		assert_int_equal(t.status, 0);
		check_whole(intent);
		intent_free(intent);
		intent = open_on(&mortal.store, &o);
		assert_true(o.over && !o.status);
		assert_int_equal(segments(intent), 250);
		check_whole(intent);
		intent_free(intent);
		store_close(mortal.real);
	}
	free(change);
}

/* Somebody else has written the store: the change is refused and the intent says it is lost. */
static void test_fenced(void **state)
{
	struct store_op op = {.key = "/audums/v1/head", .value = "", .len = 0};
	struct intent *intent;
	struct store *store;
	struct opened o;
	struct told t;

	wipe();
	store = real_open();
	intent = open_on(store, &o);
	apply(intent, "latvia.yaml", &t);
	assert_int_equal(t.status, 0);
	store_txn(store, NULL, 0, &op, 1, ignore, NULL);
	apply(intent, "demo-tenant.yaml", &t);
	assert_int_equal(t.status, -EIO);
	assert_true(intent_broken(intent));
	assert_int_equal(segments(intent), 0);
	apply(intent, "demo-tenant.yaml", &t);
	assert_int_equal(t.status, -EIO);
	intent_free(intent);
	store_close(store);
}

/* Records that can't be understood are no reason to guess. */
static void test_unreadable(void **state)
{
	static const char *const keys[] = {"/audums/v1/head", "/audums/v1/intent/segment/x",
		"/audums/v1/operation/00000000000000000001", "/audums/v1/desired/x",
		"/audums/v1/rest/vni/5"};

	log_setup(LOG_LEVEL_ERROR, -1);
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		struct store_op op = {.key = keys[i], .value = "\xff\xff\xff", .len = 3};
		struct intent *intent;
		struct store *store;
		struct opened o;

		wipe();
		store = real_open();
		store_txn(store, NULL, 0, &op, 1, ignore, NULL);
		intent = open_on(store, &o);
		assert_true(o.over);
		assert_int_equal(o.status, -EBADMSG);
		intent_free(intent);
		store_close(store);
	}
	log_setup(LOG_LEVEL_ERROR, 2);
}

static void operations_free(Audums__V1__Operation **list, size_t n)
{
	for (size_t k = 0; k < n; k++)
		audums__v1__operation__free_unpacked(list[k], NULL);
	free(list);
}

/* The records of operations are bounded. */
static void test_operations(void **state)
{
	struct intent *intent;
	struct store *store;
	Audums__V1__Operation **list;
	struct opened o;
	struct told t;
	size_t n;

	wipe();
	store = real_open();
	intent = open_on(store, &o);
	apply(intent, "latvia.yaml", &t);
	assert_string_equal(t.operation, "op-1");
	for (int i = 0; i < OPERATIONS_MAX + 10; i++) {
		char text[128];

		snprintf(text, sizeof(text),
			"tenants:\n- {name: t, provider: lvrtc, max_segments: %d}\n", 5000 + i % 2);
		apply(intent, text, &t);
		assert_int_equal(t.status, 0);
	}
	intent_free(intent);
	intent = open_on(store, &o);
	assert_int_equal(o.status, 0);
	list = intent_take_operations(intent, &n);
	assert_int_equal(n, OPERATIONS_MAX);
	assert_int_equal(list[0]->generation, 12);
	assert_int_equal(list[n - 1]->generation, OPERATIONS_MAX + 11);
	operations_free(list, n);
	intent_free(intent);
	store_close(store);
}

/* So are the changes in one. */
static void test_operation_changes(void **state)
{
	struct intent *intent;
	struct store *store;
	Audums__V1__Operation **list;
	struct opened o;
	struct told t;
	size_t n;
	char *many = document_of(0, 3000);

	wipe();
	store = real_open();
	intent = open_on(store, &o);
	apply(intent, "latvia.yaml", &t);
	apply(intent, many, &t);
	assert_string_equal(t.operation, "op-2");
	intent_free(intent);
	intent = open_on(store, &o);
	list = intent_take_operations(intent, &n);
	assert_int_equal(n, 2);
	assert_string_equal(list[1]->id, "op-2");
	assert_true(list[1]->n_changes > 100 && list[1]->n_changes < 3001);
	assert_int_equal(list[1]->n_changes + list[1]->changes_left_out, 3001);
	operations_free(list, n);
	intent_free(intent);
	store_close(store);
	free(many);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_die_small),
		cmocka_unit_test(test_die_staged),
		cmocka_unit_test(test_no_room),
		cmocka_unit_test(test_fenced),
		cmocka_unit_test(test_unreadable),
		cmocka_unit_test(test_operations),
		cmocka_unit_test(test_operation_changes),
	};
	int failed;

	if (!mkdtemp(dir))
		return 1;
	snprintf(path, sizeof(path), "%s/audums.db", dir);
	access_parse("audums://client/operator/*/test", &operator);
	log_setup(LOG_LEVEL_ERROR, -1);
	failed = cmocka_run_group_tests_name("intent", tests, NULL, NULL);
	wipe();
	rmdir(dir);
	return failed;
}
