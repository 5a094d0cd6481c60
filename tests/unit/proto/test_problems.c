/* The list of problems and the index of places: bound, order, places of ancestors, the API's form.
 */
#include "tests/unit/proto/test.h"

#include "proto/lib/locations.h"

static void bounded_and_counted(void **state)
{
	struct problems p;
	char *text;

	problems_init(&p);
	assert_false(problems_any(&p));
	for (int i = 0; i < PROBLEMS_MAX + 7; i++)
		problems_add(&p, "a", "number %d", i);
	assert_true(problems_any(&p));
	assert_int_equal(p.n_items, PROBLEMS_MAX);
	assert_int_equal(p.n_dropped, 7);
	text = problems_text(&p);
	assert_non_null(strstr(text, "a: number 99\nand 7 more errors\n"));
	free(text);
	problems_free(&p);
	assert_false(problems_any(&p));
}

static void order_is_that_of_the_file(void **state)
{
	struct problems p;

	problems_init(&p);
	problems_add(&p, "nowhere", "first");
	problems_add_at(&p, "b.yaml", 1, 1, "x", "in b");
	problems_add_at(&p, "a.yaml", 9, 1, "x", "late");
	problems_add_at(&p, "a.yaml", 2, 7, "x", "early, right");
	problems_add_at(&p, "a.yaml", 2, 3, "x", "early, left");
	problems_add_at(&p, "a.yaml", 0, 0, "", "the file as a whole");
	problems_add(&p, "nowhere", "second");
	problems_sort(&p);
	problems_expect(&p, "a.yaml: the file as a whole\n"
			    "a.yaml:2:3: x: early, left\n"
			    "a.yaml:2:7: x: early, right\n"
			    "a.yaml:9:1: x: late\n"
			    "b.yaml:1:1: x: in b\n"
			    "nowhere: first\n"
			    "nowhere: second\n");
}

static void places_of_ancestors(void **state)
{
	struct locations *l = locations_create();
	struct problems p;
	char path[32], file[16];
	const char *found;
	unsigned line, column;

	assert_non_null(l);
	assert_false(locations_find(l, "a", &found, &line, &column));
	assert_int_equal(locations_add(l, "links", "t.yaml", 5, 3), 0);
	assert_int_equal(locations_add(l, "links[0]", "t.yaml", 6, 3), 0);
	assert_int_equal(locations_add(l, "links[0].a", "t.yaml", 7, 6), 0);
	assert_int_equal(locations_add(l, "links[0].a", "u.yaml", 99, 99), 0); /* the first stays */
	problems_init(&p);
	problems_add(&p, "links[0].a.node", "one");
	problems_add(&p, "links[0].b", "two");
	problems_add(&p, "links[1]", "three");
	problems_add(&p, "linksies", "four");
	problems_locate(&p, l);
	problems_expect(&p, "t.yaml:7:6: links[0].a.node: one\n"
			    "t.yaml:6:3: links[0].b: two\n"
			    "t.yaml:5:3: links[1]: three\n"
			    "linksies: four\n");
	for (unsigned i = 0; i < 5000; i++) { /* through several growths */
		snprintf(path, sizeof(path), "nodes[%u].name", i);
		snprintf(file, sizeof(file), "f%u", i % 3);
		assert_int_equal(locations_add(l, path, file, i + 1, 2), 0);
	}
	assert_true(locations_find(l, "nodes[4321].name", &found, &line, &column));
	assert_string_equal(found, "f1");
	assert_int_equal(line, 4322);
	locations_destroy(l);
	locations_destroy(NULL);
}

static void what_covers_a_path(void **state)
{
	struct problems p;

	problems_init(&p);
	problems_add(&p, "", "as a whole");
	problems_add(&p, "a[1].b", "x");
	assert_true(problems_cover(&p, 2, "a[1].b"));
	assert_true(problems_cover(&p, 2, "a[1].b[3]"));
	assert_true(problems_cover(&p, 2, "a[1].b.c"));
	assert_false(problems_cover(&p, 2, "a[1].bc"));
	assert_false(problems_cover(&p, 2, "a[1]"));
	assert_false(problems_cover(&p, 1, "a[1].b"));
	problems_free(&p);
}

static void to_the_api_and_back(void **state)
{
	Audums__V1__Problems *message;
	struct problems p, back;

	problems_init(&p);
	problems_init(&back);
	message = problems_message(&p);
	assert_int_equal(message->n_problems, 0);
	audums__v1__problems__free_unpacked(message, NULL);
	for (int i = 0; i < PROBLEMS_MAX + 1; i++)
		problems_add(&p, "segments[0]", "100%% of %d", i);
	message = problems_message(&p);
	assert_int_equal(message->n_problems, PROBLEMS_MAX + 1);
	assert_string_equal(message->problems[3]->path, "segments[0]");
	assert_string_equal(message->problems[3]->message, "100% of 3");
	assert_string_equal(message->problems[PROBLEMS_MAX]->message, "and 1 more error");
	problems_add_message(&back, message);
	assert_int_equal(back.n_items, PROBLEMS_MAX);
	assert_string_equal(back.items[3].message, "100% of 3");
	audums__v1__problems__free_unpacked(message, NULL);
	problems_free(&p);
	problems_free(&back);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bounded_and_counted),
		cmocka_unit_test(order_is_that_of_the_file),
		cmocka_unit_test(places_of_ancestors),
		cmocka_unit_test(what_covers_a_path),
		cmocka_unit_test(to_the_api_and_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
