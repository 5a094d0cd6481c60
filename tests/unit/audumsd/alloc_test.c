/*
 * What allocation promises: lowest free number, nothing twice, explicit values honoured or refused,
 * what was given stays, freed VNIs and RD indexes rest, exhaustion is said.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "controller/audumsd/alloc.h"
#include "tests/unit/audumsd/fixture.h"

/* Two providers with pools that are soon empty. */
#define GROUND                                                                                     \
	"providers:\n"                                                                             \
	"- {name: a, asns: {first: 64600, last: 64603}, vnis: {first: 100, last: 103}, vteps: "    \
	"10.1.0.0/29, links: 10.2.0.0/30}\n"                                                       \
	"- {name: b, asns: {first: 64700, last: 64710}, vnis: {first: 200, last: 299}, vteps: "    \
	"10.1.1.0/24, links: 10.2.1.0/24}\n"                                                       \
	"sites:\n- {name: s1, provider: a}\n- {name: s2, provider: b}\n"                           \
	"tenants:\n- {name: t, provider: a}\n- {name: u, provider: a}\n"
#define NODES "nodes:\n- {name: n1, provider: a, site: s1}\n- {name: n2, provider: b, site: s2}\n"

struct world {
	Audums__V1__Document *doc;
	struct model *model;
	struct alloc *alloc;
	struct problems problems;
	struct touched touched;
	uint64_t now_ms;
	unsigned int n_touched;
};

static void world_init(struct world *w)
{
	*w = (struct world){.now_ms = 1000000};
	w->doc = malloc(sizeof(*w->doc));
	audums__v1__document__init(w->doc);
	w->model = model_create(w->doc);
	w->alloc = alloc_new();
	problems_init(&w->problems);
}

static void world_free(struct world *w)
{
	model_destroy(w->model);
	audums__v1__document__free_unpacked(w->doc, NULL);
	alloc_free(w->alloc);
	problems_free(&w->problems);
}

/* Go to the intent `after` (taken over); kept only if it has no problem. Gives their number. */
static size_t world_go(struct world *w, Audums__V1__Document *after, const char *change)
{
	struct alloc *next = alloc_clone(w->alloc);
	struct model *model = model_create(after), *applied = NULL;
	Audums__V1__Document *doc = change ? document_load(change) : NULL;
	struct alloc_task task = {
		.before = w->model,
		.after = model,
		.all = true,
		.now_ms = w->now_ms,
		.quarantine_ms = 60000,
		.touched = &w->touched,
		.problems = &w->problems,
	};
	size_t n;

	if (doc)
		applied = model_create(doc);
	task.change = applied;
	problems_free(&w->problems);
	problems_init(&w->problems);
	assert_int_equal(alloc_update(next, &task), 0);
	w->n_touched = (unsigned int)w->touched.keys.n;
	touched_free(&w->touched);
	n = w->problems.n_items;
	if (n) {
		alloc_free(next);
		model_destroy(model);
		audums__v1__document__free_unpacked(after, NULL);
	} else {
		alloc_free(w->alloc);
		model_destroy(w->model);
		audums__v1__document__free_unpacked(w->doc, NULL);
		w->alloc = next;
		w->model = model;
		w->doc = after;
	}
	if (applied)
		model_destroy(applied);
	if (doc)
		audums__v1__document__free_unpacked(doc, NULL);
	return n;
}

static size_t apply(struct world *w, const char *text)
{
	Audums__V1__Document *change = document_load(text);
	Audums__V1__Document *after;
	struct merge merge;

	assert_int_equal(model_merge(w->doc, change, &merge), 0);
	after = merge.document;
	merge.document = NULL;
	model_merge_free(&merge);
	audums__v1__document__free_unpacked(change, NULL);
	return world_go(w, after, text);
}

static void delete (struct world *w, Audums__V1__Kind kind, const char *name)
{
	Audums__V1__ObjectRef ref = AUDUMS__V1__OBJECT_REF__INIT, *refs[] = {&ref};
	Audums__V1__Document *after;
	struct merge merge;

	ref.kind = kind;
	ref.name = (char *)(uintptr_t)name;
	assert_int_equal(model_remove(w->doc, refs, 1, &merge), 0);
	assert_int_equal(merge.n_changes, 1);
	after = merge.document;
	merge.document = NULL;
	model_merge_free(&merge);
	assert_int_equal(world_go(w, after, NULL), 0);
}

static void delete_segment(struct world *w, const char *name)
{
	delete (w, AUDUMS__V1__KIND__KIND_SEGMENT, name);
}

static uint32_t vni(const struct world *w, const char *segment)
{
	const struct alloc_segment *s = alloc_segment(w->alloc, segment);

	return s ? s->vni : 0;
}

static uint32_t rd(const struct world *w, const char *segment, const char *node)
{
	const struct alloc_segment *s = alloc_segment(w->alloc, segment);
	const struct alloc_place *p = s ? alloc_place(s, node) : NULL;

	return p ? p->rd_index : 0;
}

static void expect_problem(const struct world *w, const char *path, const char *part)
{
	for (size_t i = 0; i < w->problems.n_items; i++)
		if (!strcmp(w->problems.items[i].path, path) &&
			strstr(w->problems.items[i].message, part))
			return;
	problems_print(&w->problems, stderr);
	fail_msg("no problem at %s with \"%s\"", path, part);
}

#define SEGMENT(name, more)                                                                        \
	"segments:\n- {name: " name ", provider: a, tenant: t, sites: [s1, s2]" more "}\n"

/* ---- nodes and links ---------------------------------------------------------------------- */

static void test_nodes(void **state)
{
	struct world w;

	world_init(&w);
	assert_int_equal(apply(&w, GROUND NODES), 0);
	/* not the pool's first ASN, not the network's address */
	assert_int_equal(alloc_node(w.alloc, "n1")->asn, 64601);
	assert_int_equal(alloc_node(w.alloc, "n1")->vtep, 0x0a010001);
	assert_int_equal(alloc_node(w.alloc, "n2")->asn, 64701);
	assert_int_equal(alloc_node(w.alloc, "n2")->vtep, 0x0a010101);
	/* an explicit value further down in the same change is not taken by an earlier node */
	assert_int_equal(apply(&w, "nodes:\n- {name: n3, provider: a, site: s1}\n"
				   "- {name: n4, provider: a, site: s1, asn: 64602, vtep: "
				   "10.1.0.2}\n"),
		0);
	assert_int_equal(alloc_node(w.alloc, "n4")->asn, 64602);
	assert_int_equal(alloc_node(w.alloc, "n3")->asn, 64603);
	assert_int_equal(alloc_node(w.alloc, "n3")->vtep, 0x0a010003);
	/* taken by an allocation */
	assert_int_equal(apply(&w, "nodes:\n- {name: n5, provider: b, site: s2, asn: 64701}\n"), 1);
	expect_problem(&w, "nodes[0].asn", "in use by node n2");
	/* nothing left; the others stay */
	assert_int_equal(apply(&w, "nodes:\n- {name: n5, provider: a, site: s1}\n"), 1);
	expect_problem(&w, "nodes[0].asn", "no ASN left");
	/* freed, and given again at once */
	delete (&w, AUDUMS__V1__KIND__KIND_NODE, "n1");
	assert_null(alloc_node(w.alloc, "n1"));
	assert_int_equal(apply(&w, "nodes:\n- {name: n5, provider: a, site: s1}\n"), 0);
	assert_int_equal(alloc_node(w.alloc, "n5")->asn, 64601);
	/* an explicit value that is dropped again stays */
	assert_int_equal(apply(&w, "nodes:\n- {name: n4, provider: a, site: s1}\n"), 0);
	assert_int_equal(alloc_node(w.alloc, "n4")->asn, 64602);
	world_free(&w);
}

static void test_links(void **state)
{
	struct world w;

	world_init(&w);
	assert_int_equal(
		apply(&w, GROUND NODES
			"links:\n"
			"- {name: l1, provider: a, a: {node: n1, port: up0}, b: {node: n2, port: "
			"up0}}\n"
			"- {name: l2, provider: a, a: {node: n1, port: up1}, b: {node: n2, port: "
			"up1}}\n"),
		0);
	assert_int_equal(alloc_link(w.alloc, "l1")->network, 0x0a020000);
	assert_int_equal(alloc_link(w.alloc, "l2")->network, 0x0a020002);
	assert_int_equal(apply(&w, "links:\n- {name: l3, provider: a, a: {node: n1, port: up2}, b: "
				   "{node: n2, port: up2}}\n"),
		1);
	expect_problem(&w, "links[0]", "no link network left");
	/* another owner, another pool */
	assert_int_equal(apply(&w, "links:\n- {name: l1, provider: b, a: {node: n1, port: up0}, b: "
				   "{node: n2, port: up0}}\n"),
		0);
	assert_int_equal(alloc_link(w.alloc, "l1")->network, 0x0a020100);
	assert_int_equal(apply(&w, "links:\n- {name: l3, provider: a, a: {node: n1, port: up2}, b: "
				   "{node: n2, port: up2}}\n"),
		0);
	assert_int_equal(alloc_link(w.alloc, "l3")->network, 0x0a020000);
	world_free(&w);
}

/* A pool that is taken from under what stands on it. */
static void test_pool_shrinks(void **state)
{
	struct world w;

	world_init(&w);
	assert_int_equal(apply(&w, GROUND NODES SEGMENT("x", "")), 0);
	assert_int_equal(apply(&w, "providers:\n"
				   "- {name: a, asns: {first: 64650, last: 64660}, vnis: {first: "
				   "101, last: 110}, vteps: 10.1.9.0/24, links: 10.2.9.0/24}\n"),
		3);
	expect_problem(&w, "providers[0].asns", "node n1 has the ASN 64601");
	expect_problem(&w, "providers[0].vteps", "node n1 has the VTEP address 10.1.0.1");
	expect_problem(&w, "providers[0].vnis", "segment x has VNI 100");
	/* growing is fine and moves nothing */
	assert_int_equal(apply(&w, "providers:\n"
				   "- {name: a, asns: {first: 64600, last: 64660}, vnis: {first: "
				   "90, last: 110}, vteps: 10.1.0.0/24, links: 10.2.0.0/24}\n"),
		0);
	assert_int_equal(vni(&w, "x"), 100);
	world_free(&w);
}

/* ---- segments ----------------------------------------------------------------------------- */

static void test_vnis(void **state)
{
	struct world w;

	world_init(&w);
	assert_int_equal(apply(&w, GROUND NODES
				 "segments:\n"
				 "- {name: x, provider: a, tenant: t, sites: [s1, s2]}\n"
				 "- {name: y, provider: a, tenant: t, sites: [s1], vni: 100}\n"),
		0);
	assert_int_equal(vni(&w, "y"), 100);
	assert_int_equal(vni(&w, "x"), 101);
	/* indexes are a node's own */
	assert_int_equal(rd(&w, "x", "n1"), 1);
	assert_int_equal(rd(&w, "x", "n2"), 1);
	assert_int_equal(rd(&w, "y", "n1"), 2);
	assert_int_equal(rd(&w, "y", "n2"), 0);
	assert_int_equal(apply(&w, SEGMENT("z", ", vni: 101")), 1);
	expect_problem(&w, "segments[0].vni", "VNI 101 is in use by segment x");
	assert_int_equal(apply(&w, "segments:\n"
				   "- {name: p, provider: a, tenant: t, sites: [s1]}\n"
				   "- {name: q, provider: a, tenant: t, sites: [s1]}\n"
				   "- {name: r, provider: a, tenant: t, sites: [s1]}\n"),
		1);
	expect_problem(&w, "segments[2].vni", "no free VNI");
	assert_int_equal(vni(&w, "p"), 0);
	/* the same again touches nothing */
	assert_int_equal(apply(&w, SEGMENT("x", "")), 0);
	assert_int_equal(w.n_touched, 0);
	world_free(&w);
}

static void test_quarantine(void **state)
{
	struct world w;

	world_init(&w);
	assert_int_equal(apply(&w, GROUND NODES SEGMENT("x", "")), 0);
	delete_segment(&w, "x");
	/* its VNI and its index rest, on each node */
	assert_int_equal(apply(&w, SEGMENT("y", "")), 0);
	assert_int_equal(vni(&w, "y"), 101);
	assert_int_equal(rd(&w, "y", "n1"), 2);
	assert_int_equal(rd(&w, "y", "n2"), 2);
	/* another tenant doesn't get it by asking, the same does */
	assert_int_equal(
		apply(&w, "segments:\n- {name: z, provider: a, tenant: u, sites: [s1], vni: "
			  "100}\n"),
		1);
	expect_problem(&w, "segments[0].vni", "freed by segment x of tenant t");
	assert_int_equal(apply(&w, SEGMENT("x", ", vni: 100")), 0);
	assert_int_equal(vni(&w, "x"), 100);
	assert_int_equal(rd(&w, "x", "n1"), 3);
	assert_null(strmap_get(&w.alloc->rests, "vni/100"));
	delete_segment(&w, "x");
	/* not a millisecond too early */
	w.now_ms += 59999;
	assert_int_equal(apply(&w, SEGMENT("p", "")), 0);
	assert_int_equal(vni(&w, "p"), 102);
	w.now_ms += 1;
	assert_int_equal(apply(&w, SEGMENT("q", "")), 0);
	assert_int_equal(vni(&w, "q"), 100);
	assert_int_equal(rd(&w, "q", "n1"), 1);
	/* what has rested is forgotten, in passing */
	assert_int_equal(w.alloc->rests.n, 0);
	world_free(&w);
}

/* What one tenant's segment leaves another's can't have in the same change, whatever the order. */
static void test_quarantine_exchange(void **state)
{
	struct world w;

	world_init(&w);
	assert_int_equal(apply(&w, GROUND NODES
				 "segments:\n"
				 "- {name: ua, provider: a, tenant: u, sites: [s1], vni: 100}\n"
				 "- {name: tb, provider: a, tenant: t, sites: [s1], vni: 101}\n"
				 "- {name: tc, provider: a, tenant: t, sites: [s1], vni: 102}\n"),
		0);
	assert_int_equal(apply(&w, "segments:\n"
				   "- {name: ua, provider: a, tenant: u, sites: [s1], vni: 101}\n"
				   "- {name: tb, provider: a, tenant: t, sites: [s1], vni: 103}\n"),
		1);
	expect_problem(&w, "segments[0].vni", "freed by segment tb of tenant t");
	/* within a tenant it is the tenant's business */
	assert_int_equal(apply(&w, "segments:\n"
				   "- {name: tb, provider: a, tenant: t, sites: [s1], vni: 102}\n"
				   "- {name: tc, provider: a, tenant: t, sites: [s1], vni: 101}\n"),
		0);
	assert_int_equal(vni(&w, "tb"), 102);
	assert_int_equal(vni(&w, "tc"), 101);
	assert_int_equal(w.alloc->rests.n, 0);
	world_free(&w);
}

/* A clock that goes back ends no rest. */
static void test_quarantine_clock(void **state)
{
	struct world w;

	world_init(&w);
	assert_int_equal(apply(&w, GROUND NODES SEGMENT("x", "")), 0);
	delete_segment(&w, "x");
	w.now_ms -= 500000;
	assert_int_equal(apply(&w, SEGMENT("y", "")), 0);
	assert_int_equal(vni(&w, "y"), 101);
	world_free(&w);
}

/* All numbers used or resting. */
static void test_exhaustion(void **state)
{
	struct world w;

	world_init(&w);
	assert_int_equal(apply(&w, GROUND NODES), 0);
	assert_int_equal(apply(&w, SEGMENT("p", "")), 0);
	assert_int_equal(apply(&w, SEGMENT("q", "")), 0);
	assert_int_equal(apply(&w, SEGMENT("r", "")), 0);
	assert_int_equal(apply(&w, SEGMENT("s", "")), 0);
	assert_int_equal(vni(&w, "s"), 103);
	assert_int_equal(apply(&w, SEGMENT("v", "")), 1);
	delete_segment(&w, "q");
	assert_int_equal(apply(&w, SEGMENT("v", "")), 1);
	expect_problem(&w, "segments[0].vni", "freed ones rest for 60 s");
	w.now_ms += 60000;
	assert_int_equal(apply(&w, SEGMENT("v", "")), 0);
	assert_int_equal(vni(&w, "v"), 101);
	world_free(&w);
}

/* A segment that comes to more sites, goes from one, changes its VNI, its owner. */
static void test_segment_changes(void **state)
{
	struct world w;

	world_init(&w);
	assert_int_equal(apply(&w, GROUND NODES
				 "segments:\n- {name: x, provider: a, tenant: t, sites: [s2]}\n"),
		0);
	assert_int_equal(rd(&w, "x", "n1"), 0);
	assert_int_equal(rd(&w, "x", "n2"), 1);
	assert_int_equal(apply(&w, SEGMENT("x", "")), 0);
	assert_int_equal(rd(&w, "x", "n1"), 1);
	assert_int_equal(rd(&w, "x", "n2"), 1);
	assert_int_equal(
		apply(&w, "segments:\n- {name: x, provider: a, tenant: t, sites: [s1]}\n"), 0);
	assert_int_equal(rd(&w, "x", "n2"), 0);
	assert_non_null(strmap_get(&w.alloc->rests, "rd/n2/1"));
	assert_int_equal(apply(&w, SEGMENT("x", ", vni: 103")), 0);
	assert_int_equal(vni(&w, "x"), 103);
	assert_int_equal(rd(&w, "x", "n2"), 2);
	assert_non_null(strmap_get(&w.alloc->rests, "vni/100"));
	assert_int_equal(
		apply(&w, "segments:\n- {name: x, provider: b, tenant: t, sites: [s1, s2]}\n"), 0);
	assert_int_equal(vni(&w, "x"), 200);
	/* a node more at a site is a place more */
	assert_int_equal(apply(&w, "nodes:\n- {name: n0, provider: a, site: s1}\n"), 0);
	assert_int_equal(rd(&w, "x", "n0"), 1);
	assert_string_equal(alloc_segment(w.alloc, "x")->places[0].node, "n0");
	world_free(&w);
}

/* Snapshots share what they don't change. */
static void test_snapshots(void **state)
{
	struct alloc *one, *two;
	struct world w;

	world_init(&w);
	assert_int_equal(apply(&w, GROUND NODES SEGMENT("x", "")), 0);
	one = alloc_clone(w.alloc);
	two = alloc_clone(one);
	assert_ptr_equal(alloc_segment(one, "x"), alloc_segment(two, "x"));
	alloc_edit_segment(two, "x")->vni = 7;
	assert_int_equal(alloc_segment(two, "x")->vni, 7);
	assert_int_equal(alloc_segment(one, "x")->vni, 100);
	assert_ptr_equal(alloc_node(one, "n1"), alloc_node(two, "n1"));
	alloc_drop_node(two, "n1");
	assert_non_null(alloc_node(one, "n1"));
	alloc_free(one);
	alloc_free(two);
	world_free(&w);
}

/* Thousands of names come and go. */
static void test_strmap(void **state)
{
	struct strmap map = {0}, copy;
	static char keys[5000][16];
	size_t at = 0, n = 0;

	for (int i = 0; i < 5000; i++) {
		snprintf(keys[i], sizeof(keys[i]), "k%d", i);
		assert_int_equal(strmap_put(&map, keys[i], keys[i]), 0);
	}
	for (int i = 0; i < 5000; i += 3)
		assert_ptr_equal(strmap_take(&map, keys[i]), keys[i]);
	assert_int_equal(strmap_copy(&copy, &map), 0);
	for (int i = 0; i < 5000; i++)
		assert_ptr_equal(strmap_get(&copy, keys[i]), i % 3 ? keys[i] : NULL);
	while (strmap_next(&map, &at))
		n++;
	assert_int_equal(n, map.n);
	assert_int_equal(n, 5000 - 1667);
	assert_null(strmap_take(&map, "nothing"));
	for (int i = 0; i < 5000; i++)
		strmap_take(&map, keys[i]);
	assert_int_equal(map.n, 0);
	assert_null(strmap_get(&map, "k1"));
	strmap_free(&map);
	strmap_free(&copy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nodes),
		cmocka_unit_test(test_links),
		cmocka_unit_test(test_pool_shrinks),
		cmocka_unit_test(test_vnis),
		cmocka_unit_test(test_quarantine),
		cmocka_unit_test(test_quarantine_exchange),
		cmocka_unit_test(test_quarantine_clock),
		cmocka_unit_test(test_exhaustion),
		cmocka_unit_test(test_segment_changes),
		cmocka_unit_test(test_snapshots),
		cmocka_unit_test(test_strmap),
	};

	return cmocka_run_group_tests_name("alloc", tests, NULL, NULL);
}
