/*
 * RCU: nothing is freed while an online worker has not been quiescent; offline workers don't hold
 * anything up; polling never waits and keeps order.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dataplane/tables/rcu.h"

struct item {
	struct rcu_entry rcu;
	int *log;
	int id;
};

static void item_free(struct rcu_entry *entry)
{
	struct item *item = (struct item *)entry;

	item->log[0]++;
	item->log[item->log[0]] = item->id;
}

static void test_grace(void **state)
{
	struct rcu rcu;
	int log[8] = {0};
	struct item a = {.log = log, .id = 1}, b = {.log = log, .id = 2};

	(void)state;
	assert_int_equal(rcu_init(&rcu, 2), 0);
	assert_int_equal(rcu_worker_register(&rcu, 0), 0);
	assert_int_equal(rcu_worker_register(&rcu, 1), 0);
	rcu_worker_online(&rcu, 0);

	rcu_defer(&rcu, &a.rcu, item_free);
	assert_int_equal(rcu_poll(&rcu, 10), 0);
	rcu_worker_quiescent(&rcu, 0);
	rcu_defer(&rcu, &b.rcu, item_free);
	assert_int_equal(rcu_poll(&rcu, 10), 1);
	assert_int_equal(log[1], 1);
	assert_int_equal(rcu.pending, 1);
	rcu_worker_offline(&rcu, 0);
	assert_int_equal(rcu_poll(&rcu, 10), 1);
	assert_int_equal(log[2], 2);
	rcu_worker_unregister(&rcu, 0);
	rcu_worker_unregister(&rcu, 1);
	rcu_fini(&rcu);
}

static void test_limit_and_fini(void **state)
{
	struct rcu rcu;
	int log[8] = {0};
	struct item items[5];

	(void)state;
	assert_int_equal(rcu_init(&rcu, 1), 0);
	for (int i = 0; i < 5; i++) {
		items[i] = (struct item){.log = log, .id = i};
		rcu_defer(&rcu, &items[i].rcu, item_free);
	}
	assert_int_equal(rcu_poll(&rcu, 2), 2);
	assert_int_equal(log[0], 2);
	rcu_fini(&rcu);
	assert_int_equal(log[0], 5);
	assert_int_equal(rcu_init(&rcu, 0), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_grace),
		cmocka_unit_test(test_limit_and_fini),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
