/*
 * The bookkeeping map: against a plain array, through growth and backward-shift deletion.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dataplane/tables/map64.h"

#define KEYS 3000

static void test_model(void **state)
{
	static uint32_t model[KEYS];
	struct map64 map;
	uint64_t key;
	uint32_t pos = 0, value, n = 0;

	(void)state;
	srandom(1);
	assert_int_equal(map64_init(&map), 0);
	for (int step = 0; step < 200000; step++) {
		uint32_t k = (uint32_t)random() % KEYS;

		if (random() % 3) {
			model[k] = (uint32_t)random() % 1000 + 1;
			assert_int_equal(map64_put(&map, (uint64_t)k << 40, model[k]), 0);
		} else {
			assert_int_equal(map64_del(&map, (uint64_t)k << 40), model[k]);
			model[k] = 0;
		}
		k = (uint32_t)random() % KEYS;
		assert_int_equal(map64_get(&map, (uint64_t)k << 40), model[k]);
	}
	for (uint32_t k = 0; k < KEYS; k++)
		n += model[k] != 0;
	assert_int_equal(map.n, n);
	while (map64_next(&map, &pos, &key, &value)) {
		assert_int_equal(model[key >> 40], value);
		n--;
	}
	assert_int_equal(n, 0);
	map64_fini(&map);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_model)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
