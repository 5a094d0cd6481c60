/*
 * The FDB: what is put is found until it is deleted; full is said; chains are bounded; slots of
 * removed entries are not reused within a grace period; readers running beside the writer never get
 * a destination that belongs to another key.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "dataplane/tables/fdb.h"

static uint64_t key_of(uint32_t i)
{
	uint8_t mac[6] = {
		2, 0, (uint8_t)(i >> 24), (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i};

	return fdb_key((uint16_t)(1 + i % 7), mac);
}

static void test_key(void **state)
{
	uint8_t mac[6] = {0x02, 0x11, 0x22, 0x33, 0x44, 0x55};
	struct rte_ether_addr back;
	uint64_t key = fdb_key(0x1234, mac);

	(void)state;
	assert_int_equal(fdb_key_bd(key), 0x1234);
	fdb_key_mac(key, &back);
	assert_memory_equal(&back, mac, 6);
	assert_int_equal(fdb_dest_kind(fdb_dest(FDB_KIND_VTEP, 77)), FDB_KIND_VTEP);
	assert_int_equal(fdb_dest_index(fdb_dest(FDB_KIND_VTEP, 77)), 77);
}

static void test_put_find_del(void **state)
{
	struct rcu rcu;
	struct fdb *fdb;
	struct fdb_entry e;
	struct fdb_stats st;
	uint64_t keys[100], others[100];
	uint32_t results[100], expect[100], to[100];

	(void)state;
	rcu_init(&rcu, 1);
	fdb = fdb_create(&rcu, 1000);
	assert_non_null(fdb);
	for (uint32_t i = 0; i < 100; i++) {
		keys[i] = key_of(i);
		others[i] = key_of(99 - i);
		expect[i] = fdb_dest(FDB_KIND_AC, i + 1);
		if (i % 2)
			assert_int_equal(fdb_put(fdb, keys[i], expect[i], 10), 1);
	}
	assert_int_equal(fdb_put(fdb, keys[1], expect[1], 10), 0);
	fdb_lookup_bulk(fdb, keys, 100, results);
	for (uint32_t i = 0; i < 100; i++)
		assert_int_equal(results[i], i % 2 ? expect[i] : FDB_MISS);
	/* the same MAC in another domain is another key */
	assert_false(fdb_find(fdb, (keys[1] & 0xffffffffffff) | (uint64_t)99 << 48, NULL));

	/* stamps change only where the destination is the expected one */
	expect[3] = fdb_dest(FDB_KIND_VTEP, 3);
	fdb_switch_bulk(fdb, keys, expect, others, 100, 20, results, to);
	assert_true(fdb_find(fdb, keys[1], &e));
	assert_int_equal(e.seen, 20);
	assert_true(fdb_find(fdb, keys[3], &e));
	assert_int_equal(e.seen, 10);
	assert_int_equal(results[3], fdb_dest(FDB_KIND_AC, 4));
	for (uint32_t i = 0; i < 100; i++)
		assert_int_equal(to[i], i % 2 ? FDB_MISS : fdb_dest(FDB_KIND_AC, 100 - i));

	assert_int_equal(fdb_del(fdb, keys[1]), 0);
	assert_int_equal(fdb_del(fdb, keys[1]), -ENOENT);
	assert_false(fdb_find(fdb, keys[1], NULL));
	fdb_stats_get(fdb, &st);
	assert_int_equal(st.entries, 49);
	assert_int_equal(fdb_put(fdb, keys[0], FDB_MISS, 0), -EINVAL);
	assert_int_equal(fdb_put(fdb, fdb_key(0, "abcdef"), 1, 0), -EINVAL);
	fdb_destroy(fdb);
	rcu_fini(&rcu);
}

static bool count(void *ctx, const struct fdb_entry *e)
{
	uint8_t *seen = ctx;

	seen[fdb_dest_index(e->dest)]++;
	return true;
}

/*
 * Whatever key the table drew and however MACs are counted up, the capacity is what was asked for:
 * a hash that spreads some of them badly fills single chains long before.
 */
static void test_every_seed_holds_all(void **state)
{
	static const uint64_t steps[] = {1, 2, 7, 256, 257, 65536, 16777216, 4294967296};
	const uint32_t capacity = 1024;
	struct rcu rcu;

	(void)state;
	rcu_init(&rcu, 1);
	for (unsigned int round = 0; round < 400; round++) {
		const uint64_t step = steps[round % (sizeof(steps) / sizeof(steps[0]))];
		struct fdb *fdb = fdb_create(&rcu, capacity);

		assert_non_null(fdb);
		for (uint32_t i = 0; i < capacity; i++) {
			const uint64_t n = UINT64_C(0x020000000000) + i * step;
			const uint8_t mac[6] = {(uint8_t)(n >> 40), (uint8_t)(n >> 32),
				(uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8),
				(uint8_t)n};

			if (fdb_put(fdb, fdb_key(7, mac), fdb_dest(FDB_KIND_AC, 1), 10) != 1)
				fail_msg("round %u, step %#llx: %u of %u MACs went in", round,
					(unsigned long long)step, i, capacity);
		}
		fdb_destroy(fdb);
	}
	rcu_fini(&rcu);
}

static void test_full_and_walk(void **state)
{
	enum { CAP = 5000 };
	static uint8_t seen[CAP + 1];
	struct rcu rcu;
	struct fdb *fdb;
	struct fdb_stats st;
	uint32_t cursor = 0, slices = 0;

	(void)state;
	rcu_init(&rcu, 1);
	fdb = fdb_create(&rcu, CAP);
	for (uint32_t i = 0; i < CAP; i++)
		assert_int_equal(fdb_put(fdb, key_of(i), fdb_dest(FDB_KIND_VTEP, i), 0), 1);
	assert_int_equal(fdb_put(fdb, key_of(CAP), 1, 0), -ENOSPC);
	assert_int_equal(fdb_put(fdb, key_of(CAP - 1), fdb_dest(FDB_KIND_VTEP, CAP - 1), 0), 0);
	fdb_stats_get(fdb, &st);
	assert_int_equal(st.entries, CAP);
	assert_int_equal(st.full, 1);
	while (fdb_walk(fdb, &cursor, 100, count, seen))
		slices++;
	assert_true(slices > CAP / 200);
	for (uint32_t i = 0; i < CAP; i++)
		assert_int_equal(seen[i], 1);
	for (uint32_t i = 0; i < CAP; i++)
		assert_int_equal(fdb_del(fdb, key_of(i)), 0);
	fdb_poll(fdb);
	fdb_stats_get(fdb, &st);
	assert_int_equal(st.entries, 0);
	assert_int_equal(st.pending, 0);
	fdb_destroy(fdb);
	rcu_fini(&rcu);
	assert_null(fdb_create(&rcu, 0));
	assert_int_equal(errno, EINVAL);
}

/* A small table refuses by its chains at some point, and recovers wholly after deletion. */
static void test_churn_against_model(void **state)
{
	enum { KEYS = 800, CAP = 400 };
	static uint32_t model[KEYS];
	struct rcu rcu;
	struct fdb *fdb;
	struct fdb_stats st;
	uint32_t n = 0;

	(void)state;
	srandom(2);
	rcu_init(&rcu, 1);
	rcu_worker_register(&rcu, 0);
	rcu_worker_online(&rcu, 0);
	fdb = fdb_create(&rcu, CAP);
	for (int step = 0; step < 300000; step++) {
		uint32_t k = (uint32_t)random() % KEYS;
		struct fdb_entry e;

		if (random() % 2) {
			uint32_t dest = fdb_dest(FDB_KIND_AC, (uint32_t)random() % 1000 + 1);
			int rc = fdb_put(fdb, key_of(k), dest, 0);

			if (model[k] != 0) {
				assert_int_equal(rc, 0);
				model[k] = dest;
			} else if (rc == 1) {
				model[k] = dest;
				n++;
			} else {
				assert_int_equal(rc, -ENOSPC);
			}
		} else {
			assert_int_equal(fdb_del(fdb, key_of(k)), model[k] ? 0 : -ENOENT);
			n -= model[k] != 0;
			model[k] = 0;
		}
		if (step % 64 == 0) {
			rcu_worker_quiescent(&rcu, 0);
			fdb_poll(fdb);
		}
		k = (uint32_t)random() % KEYS;
		assert_int_equal(fdb_find(fdb, key_of(k), &e), model[k] != 0);
		if (model[k])
			assert_int_equal(e.dest, model[k]);
	}
	fdb_stats_get(fdb, &st);
	assert_int_equal(st.entries, n);
	for (uint32_t k = 0; k < KEYS; k++)
		(void)fdb_del(fdb, key_of(k));
	rcu_worker_quiescent(&rcu, 0);
	for (int i = 0; i < 3; i++) {
		fdb_poll(fdb);
		rcu_worker_quiescent(&rcu, 0);
	}
	fdb_stats_get(fdb, &st);
	assert_int_equal(st.entries, 0);
	assert_int_equal(st.pending, 0);
	for (uint32_t k = 0; k < CAP; k++)
		assert_int_equal(fdb_put(fdb, key_of(k), 1u << 24, 0), 1);
	fdb_destroy(fdb);
	rcu_fini(&rcu);
}

/* Without a quiescent state no slot comes back: the table fills with waiting slots. */
static void test_no_reuse_within_grace(void **state)
{
	struct rcu rcu;
	struct fdb *fdb;
	uint32_t puts = 0;
	struct fdb_stats st;

	(void)state;
	rcu_init(&rcu, 1);
	rcu_worker_register(&rcu, 0);
	rcu_worker_online(&rcu, 0);
	fdb = fdb_create(&rcu, 64);
	/* 16 home buckets and 20 for overflow: 252 slots at most */
	for (uint32_t i = 0; i < 1000; i++) {
		if (fdb_put(fdb, key_of(i), 1u << 24, 0) != 1)
			continue;
		puts++;
		assert_int_equal(fdb_del(fdb, key_of(i)), 0);
	}
	fdb_stats_get(fdb, &st);
	assert_int_equal(st.entries, 0);
	assert_int_equal(st.pending, puts);
	assert_true(puts >= 64 && puts <= 252);
	assert_true(st.chain > 0);
	rcu_worker_quiescent(&rcu, 0);
	fdb_poll(fdb);
	assert_int_equal(fdb_put(fdb, key_of(5000), 1u << 24, 0), 1);
	fdb_destroy(fdb);
	rcu_fini(&rcu);
}

struct race {
	struct rcu rcu;
	struct fdb *fdb;
	bool stop;
	uint64_t lookups;
	uint64_t wrong;
	uint64_t lost;
};

#define RACE_KEYS  512
#define RACE_FIXED 64 /* the first keys are never deleted */

static void *race_reader(void *arg)
{
	struct race *race = arg;
	uint64_t keys[64];
	uint32_t results[64], at = 0;

	rcu_worker_online(&race->rcu, 0);
	while (!__atomic_load_n(&race->stop, __ATOMIC_RELAXED)) {
		for (uint32_t i = 0; i < 64; i++)
			keys[i] = key_of((at + i) % RACE_KEYS);
		fdb_lookup_bulk(race->fdb, keys, 64, results);
		for (uint32_t i = 0; i < 64; i++) {
			uint32_t k = (at + i) % RACE_KEYS;

			/* destinations of key k are always k + RACE_KEYS * something */
			if (results[i] == FDB_MISS)
				race->lost += k < RACE_FIXED;
			else
				race->wrong += fdb_dest_index(results[i]) % RACE_KEYS != k;
		}
		race->lookups += 64;
		at = (at + 64) % RACE_KEYS;
		rcu_worker_quiescent(&race->rcu, 0);
	}
	rcu_worker_offline(&race->rcu, 0);
	return NULL;
}

static void test_reader_beside_writer(void **state)
{
	static struct race race;
	pthread_t thread;
	struct timespec start, now;
	uint32_t round = 0;

	(void)state;
	srandom(3);
	rcu_init(&race.rcu, 1);
	rcu_worker_register(&race.rcu, 0);
	race.fdb = fdb_create(&race.rcu, RACE_KEYS);
	for (uint32_t k = 0; k < RACE_FIXED; k++)
		fdb_put(race.fdb, key_of(k), fdb_dest(FDB_KIND_AC, k), 0);
	assert_int_equal(pthread_create(&thread, NULL, race_reader, &race), 0);
	clock_gettime(CLOCK_MONOTONIC, &start);
	do {
		for (int i = 0; i < 1000; i++) {
			uint32_t k = (uint32_t)random() % RACE_KEYS;

			round = (round + 1) % 1000;
			if (k < RACE_FIXED || random() % 2)
				fdb_put(race.fdb, key_of(k),
					fdb_dest(FDB_KIND_AC, k + RACE_KEYS * round), 0);
			else
				fdb_del(race.fdb, key_of(k));
			fdb_poll(race.fdb);
		}
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (now.tv_sec - start.tv_sec < 2);
	__atomic_store_n(&race.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	assert_true(race.lookups > 0);
	assert_int_equal(race.wrong, 0);
	assert_int_equal(race.lost, 0);
	fdb_destroy(race.fdb);
	rcu_fini(&race.rcu);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_key),
		cmocka_unit_test(test_put_find_del),
		cmocka_unit_test(test_every_seed_holds_all),
		cmocka_unit_test(test_full_and_walk),
		cmocka_unit_test(test_churn_against_model),
		cmocka_unit_test(test_no_reuse_within_grace),
		cmocka_unit_test(test_reader_beside_writer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
