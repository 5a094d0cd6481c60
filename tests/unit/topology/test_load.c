/*
 * The ready topologies of topology/: all load, the demo tenants fit latvia.yaml, and they survive
 * printing. And loading several files with places, and placing what others found wrong.
 *
 * Takes the directory of the topologies from the environment (set by the build).
 */
#include "tests/unit/proto/test.h"

#include <errno.h>

#include "proto/lib/pbtext.h"
#include "topology/load.h"

static char paths[8][256];

static const char *ready(unsigned slot, const char *name)
{
	const char *dir = getenv("AUDUMS_TOPOLOGY_DIR");

	assert_non_null(dir);
	snprintf(paths[slot], sizeof(paths[slot]), "%s/%s", dir, name);
	return paths[slot];
}

static void load_expect(const char *const *files, size_t n, unsigned flags, struct topology *t)
{
	struct problems p;
	int err;

	problems_init(&p);
	err = topology_load(files, n, flags, t, &p);
	problems_expect(&p, "");
	assert_int_equal(err, 0);
}

static void ready_topologies(void **state)
{
	static const struct {
		const char *name;
		size_t nodes, links;
	} cases[] = {{"latvia.yaml", 4, 5}, {"chain3.yaml", 3, 2}, {"star5.yaml", 5, 4},
		{"parallel2.yaml", 2, 2}, {"single.yaml", 1, 0}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *file = ready(0, cases[i].name);
		struct topology t, back;
		struct problems p;
		char *yaml;
		size_t len;

		load_expect(&file, 1, TOPOLOGY_STANDALONE, &t);
		assert_int_equal(t.document->n_nodes, cases[i].nodes);
		assert_int_equal(t.document->n_links, cases[i].links);
		assert_int_equal(pbtext_print(&t.document->base, PBTEXT_YAML, &yaml, &len), 0);
		problems_init(&p);
		assert_int_equal(
			topology_load_text("again", yaml, len, TOPOLOGY_STANDALONE, &back, &p), 0);
		assert_true(message_equal(&t.document->base, &back.document->base));
		free(yaml);
		topology_free(&back);
		topology_free(&t);
	}
}

static void demo_tenants(void **state)
{
	const char *files[3] = {ready(0, "latvia.yaml"), ready(1, "demo-tenant.yaml"),
		ready(2, "second-tenant.yaml")};
	struct topology t;

	/* alone, with references to what only the controller knows */
	load_expect(files + 1, 1, 0, &t);
	assert_int_equal(t.document->n_segments, 1);
	assert_true(
		t.document->n_attachments >= 4); /* one at each site, and where workloads move */
	topology_free(&t);
	load_expect(files + 2, 1, 0, &t);
	topology_free(&t);
	/* together, all is there */
	load_expect(files, 3, TOPOLOGY_STANDALONE, &t);
	assert_int_equal(t.document->n_segments, 2);
	/* the second tenant uses the same addresses */
	assert_string_equal(
		t.document->segments[0]->subnets[0], t.document->segments[1]->subnets[0]);
	assert_string_equal(
		t.document->segments[0]->subnets[1], t.document->segments[1]->subnets[1]);
	assert_string_equal(t.document->providers[2]->display_name,
		"Iekšlietu ministrijas Informācijas centrs");
	topology_free(&t);
}

static void standalone_follows_references(void **state)
{
	const char *file = ready(0, "second-tenant.yaml");
	struct topology t;
	struct problems p;

	problems_init(&p);
	assert_int_equal(topology_load(&file, 1, TOPOLOGY_STANDALONE, &t, &p), -EINVAL);
	assert_true(p.n_items > 5);
	assert_int_equal(p.items[0].line, 5);
	assert_string_equal(p.items[0].path, "tenants[0].provider");
	assert_string_equal(p.items[0].message, "there is no provider \"lnb\"");
	problems_free(&p);
	topology_free(&t);
}

/* The controller's problems speak of the document; they get the places of the files. */
static void problems_of_others_get_places(void **state)
{
	const char *files[2] = {ready(0, "latvia.yaml"), ready(1, "demo-tenant.yaml")};
	struct topology t;
	struct problems p;

	load_expect(files, 2, 0, &t);
	problems_init(&p);
	problems_add(&p, "attachments[2].port", "x");
	problems_add(&p, "links[4].b.node", "x");
	problems_add(&p, "nodes[1].vtep", "x");
	problems_locate(&p, t.locations);
	assert_string_equal(p.items[0].file, files[1]);
	assert_int_equal(p.items[0].line, 36);
	assert_string_equal(p.items[1].file, files[0]);
	assert_int_equal(p.items[2].line, 58); /* the node, as it has no vtep */
	problems_free(&p);
	topology_free(&t);
}

static void broken_text_gets_no_more_than_its_syntax(void **state)
{
	static const char yaml[] = "sites:\n- name: a\n  provider: [\n";
	struct topology t;
	struct problems p;

	problems_init(&p);
	assert_int_equal(
		topology_load_text("t.yaml", yaml, strlen(yaml), TOPOLOGY_STANDALONE, &t, &p),
		-EINVAL);
	problems_expect(&p,
		"t.yaml:3:13: sites[0].provider: expected a text, got a list\n"
		"t.yaml:4:1: YAML syntax: did not find expected node content while parsing a "
		"flow node\n");
	topology_free(&t);
}

static void files_that_are_not_there(void **state)
{
	const char *files[2] = {"/nowhere/a.yaml", ready(0, "latvia.yaml")};
	struct topology t;
	struct problems p;

	problems_init(&p);
	assert_int_equal(topology_load(files, 2, 0, &t, &p), -EINVAL);
	problems_expect(&p, "/nowhere/a.yaml: can't be read: No such file or directory\n");
	topology_free(&t);
	assert_int_equal(topology_load(files, 0, 0, &t, &p), 0); /* no files, nothing wrong */
	topology_free(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ready_topologies),
		cmocka_unit_test(demo_tenants),
		cmocka_unit_test(standalone_follows_references),
		cmocka_unit_test(problems_of_others_get_places),
		cmocka_unit_test(broken_text_gets_no_more_than_its_syntax),
		cmocka_unit_test(files_that_are_not_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
