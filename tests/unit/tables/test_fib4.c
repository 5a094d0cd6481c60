/*
 * The FIB against a naive longest prefix match with random routes; a second-level group is used
 * again only after a grace period; readers beside the writer see old or new, never another's.
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

#include "dataplane/tables/fib4.h"

#define ROUTES 300

struct route {
	uint32_t addr;
	uint8_t depth;
	uint16_t result; /* 0 = not there */
};

static uint32_t mask_of(uint8_t depth)
{
	return depth ? UINT32_MAX << (32 - depth) : 0;
}

static uint16_t naive(const struct route *r, size_t n, uint32_t addr)
{
	uint16_t best = FIB4_MISS;
	int depth = -1;

	for (size_t i = 0; i < n; i++) {
		if (r[i].result == 0 || (addr & mask_of(r[i].depth)) != r[i].addr)
			continue;
		if (r[i].depth > depth) {
			depth = r[i].depth;
			best = r[i].result;
		}
	}
	return best;
}

static uint32_t random_addr(void)
{
	/* few networks, so that routes overlap */
	uint32_t a = (uint32_t)random() % 4 == 0 ? 0xffffff00u : 0x0a000000u;

	return a | ((uint32_t)random() % 3) << 8 | ((uint32_t)random() & 0xff);
}

static void routes_make(struct route *r)
{
	for (size_t i = 0; i < ROUTES; i++) {
	again:
		r[i].depth = (uint8_t)(random() % 33);
		if (r[i].depth < 20 && random() % 2)
			r[i].depth = (uint8_t)(25 + random() % 8);
		r[i].addr = random_addr() & mask_of(r[i].depth);
		r[i].result = 0;
		for (size_t k = 0; k < i; k++)
			if (r[k].addr == r[i].addr && r[k].depth == r[i].depth)
				goto again;
	}
}

static void test_model(void **state)
{
	static struct route r[ROUTES];
	struct fib4_stats st;
	struct rcu rcu;
	struct fib4 *fib;

	(void)state;
	srandom(4);
	rcu_init(&rcu, 1);
	fib = fib4_create(&rcu, 1000, 64);
	assert_non_null(fib);
	routes_make(r);
	/* few results, so that ranges become uniform and second-level tables come back often */
	for (int step = 0; step < 30000; step++) {
		struct route *x = &r[random() % ROUTES];
		uint32_t addr = random_addr();

		if (random() % 2) {
			x->result = (uint16_t)(FIB4_NHG + random() % 3);
			assert_int_equal(fib4_put(fib, x->addr, x->depth, x->result), 0);
		} else {
			assert_int_equal(fib4_del(fib, x->addr, x->depth), x->result ? 0 : -ENOENT);
			x->result = 0;
		}
		rcu_poll(&rcu, 100);
		assert_int_equal(fib4_lookup(fib, addr), naive(r, ROUTES, addr));
		assert_int_equal(fib4_find(fib, x->addr, x->depth), x->result);
	}
	fib4_stats_get(fib, &st);
	assert_int_equal(st.failed, 0);
	rcu_fini(&rcu);
	fib4_destroy(fib);
}

static void test_groups(void **state)
{
	struct fib4_stats st;
	struct rcu rcu;
	struct fib4 *fib;
	uint8_t depth;

	(void)state;
	rcu_init(&rcu, 1);
	rcu_worker_register(&rcu, 0);
	rcu_worker_online(&rcu, 0);
	fib = fib4_create(&rcu, 1000, 64);
	assert_int_equal(fib4_put(fib, 0x0a000000, 8, FIB4_PUNT), 0);
	for (uint32_t i = 0; i < 32; i++) {
		assert_int_equal(fib4_put(fib, 0x0a000001 + (i << 8), 32, FIB4_LOCAL), 0);
		assert_int_equal(fib4_put(fib, 0x0a000002 + (i << 8), 31, FIB4_REJECT), 0);
	}
	fib4_stats_get(fib, &st);
	assert_int_equal(st.groups, 32);
	assert_int_equal(fib4_match(fib, 0x0a000003, 32, &depth), FIB4_REJECT);
	assert_int_equal(depth, 31);
	assert_int_equal(fib4_match(fib, 0x0a000003, 30, &depth), FIB4_PUNT);
	assert_int_equal(depth, 8);
	assert_int_equal(fib4_match(fib, 0x0b000003, 32, &depth), FIB4_MISS);
	for (uint32_t i = 0; i < 32; i++) {
		assert_int_equal(fib4_del(fib, 0x0a000001 + (i << 8), 32), 0);
		assert_int_equal(fib4_del(fib, 0x0a000002 + (i << 8), 31), 0);
		assert_int_equal(fib4_lookup(fib, 0x0a000001 + (i << 8)), FIB4_PUNT);
	}
	fib4_stats_get(fib, &st);
	assert_int_equal(st.groups, 0);
	assert_int_equal(rcu.pending, 32);
	rcu_poll(&rcu, 100);
	assert_int_equal(rcu.pending, 32); /* they rest while the worker may be in them */
	rcu_worker_quiescent(&rcu, 0);
	rcu_poll(&rcu, 100);
	assert_int_equal(rcu.pending, 0);
	rcu_worker_unregister(&rcu, 0);
	rcu_fini(&rcu);
	fib4_destroy(fib);
}

struct seen {
	uint32_t n;
	uint64_t last;
};

static void walk(void *ctx, uint32_t addr, uint8_t depth, uint16_t result)
{
	struct seen *s = ctx;
	uint64_t key = (uint64_t)addr << 8 | depth;

	assert_true(s->n == 0 || key > s->last);
	assert_true(result != 0);
	s->last = key;
	s->n++;
}

static void test_limits(void **state)
{
	struct rcu rcu;
	struct fib4 *fib;
	struct seen s = {0, 0};
	struct fib4_stats st;

	(void)state;
	rcu_init(&rcu, 1);
	fib = fib4_create(&rcu, 10, 4);
	assert_non_null(fib);
	assert_int_equal(fib4_put(fib, 0x0a000001, 24, FIB4_LOCAL), -EINVAL);
	assert_int_equal(fib4_put(fib, 0, 33, FIB4_LOCAL), -EINVAL);
	assert_int_equal(fib4_put(fib, 0, 0, 0), -EINVAL);
	assert_int_equal(fib4_del(fib, 0, 0), -ENOENT);
	/* second-level tables run out: refused, and the rest goes on working */
	for (uint32_t i = 0; i < 4; i++)
		assert_int_equal(fib4_put(fib, 0x0a000001 + (i << 8), 32, FIB4_LOCAL), 0);
	assert_int_equal(fib4_put(fib, 0x0b000001, 32, FIB4_LOCAL), -ENOSPC);
	assert_int_equal(fib4_find(fib, 0x0b000001, 32), 0);
	assert_int_equal(fib4_lookup(fib, 0x0b000001), FIB4_MISS);
	assert_int_equal(fib4_lookup(fib, 0x0a000101), FIB4_LOCAL);
	for (uint32_t i = 0; i < 6; i++)
		assert_int_equal(fib4_put(fib, 0x0c000000 + (i << 8), 24, FIB4_PUNT), 0);
	assert_int_equal(fib4_put(fib, 0x0d000000, 24, FIB4_PUNT), -ENOSPC);
	fib4_walk(fib, walk, &s);
	assert_int_equal(s.n, 10);
	fib4_stats_get(fib, &st);
	assert_int_equal(st.routes, 10);
	assert_int_equal(st.failed, 2);
	rcu_fini(&rcu);
	fib4_destroy(fib);
}

struct race {
	struct rcu rcu;
	struct fib4 *fib;
	bool stop;
	uint64_t lookups;
	uint64_t wrong;
};

/* Network i (10.0.i.0/24) and all within it have result FIB4_NHG + i, whatever their length. */
static void *race_reader(void *arg)
{
	struct race *race = arg;
	uint32_t addrs[32], seed = 1;
	uint16_t results[32];

	rcu_worker_online(&race->rcu, 0);
	while (!__atomic_load_n(&race->stop, __ATOMIC_RELAXED)) {
		for (uint32_t i = 0; i < 32; i++) {
			seed = seed * 1664525 + 1013904223;
			addrs[i] = 0x0a000000 + ((seed >> 8) & 0x7ff);
		}
		fib4_lookup_bulk(race->fib, addrs, 32, results);
		for (uint32_t i = 0; i < 32; i++)
			race->wrong += results[i] != FIB4_NHG + (addrs[i] >> 8 & 7);
		race->lookups += 32;
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
	struct fib4_stats st;

	(void)state;
	srandom(6);
	rcu_init(&race.rcu, 1);
	rcu_worker_register(&race.rcu, 0);
	race.fib = fib4_create(&race.rcu, 1000, 8);
	for (uint32_t i = 0; i < 8; i++)
		fib4_put(race.fib, 0x0a000000 + (i << 8), 24, (uint16_t)(FIB4_NHG + i));
	assert_int_equal(pthread_create(&thread, NULL, race_reader, &race), 0);
	clock_gettime(CLOCK_MONOTONIC, &start);
	do {
		for (int k = 0; k < 100; k++) {
			uint32_t i = (uint32_t)random() & 7;
			uint32_t addr = 0x0a000000 + (i << 8) + ((uint32_t)random() & 0xff);
			uint8_t depth = (uint8_t)(25 + random() % 8);

			addr &= mask_of(depth);
			if (random() % 2)
				fib4_put(race.fib, addr, depth, (uint16_t)(FIB4_NHG + i));
			else
				(void)fib4_del(race.fib, addr, depth);
			rcu_poll(&race.rcu, 100);
		}
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (now.tv_sec - start.tv_sec < 2);
	__atomic_store_n(&race.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	fib4_stats_get(race.fib, &st);
	assert_true(race.lookups > 0);
	assert_int_equal(race.wrong, 0);
	rcu_fini(&race.rcu);
	fib4_destroy(race.fib);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_model),
		cmocka_unit_test(test_groups),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_reader_beside_writer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
