/*
 * The plan for topology/latvia.yaml with topology/demo-tenant.yaml, as a golden text: every
 * address, number and peer of every node. When a difference is intended, write the new text with
 * AUDUMS_GOLDEN=write and read it before it is committed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "controller/audumsd/plan.h"
#include "proto/lib/pbtext.h"
#include "tests/unit/audumsd/fixture.h"

struct world {
	Audums__V1__Document *doc;
	struct model *model;
	struct alloc *alloc;
	struct touched touched;
	struct plan_changes changes;
};

/* Go from `before` to the document (taken over) as generation `generation`. */
static struct world world_after(
	const struct world *before, Audums__V1__Document *doc, uint64_t generation)
{
	struct world w = {.doc = doc, .model = model_create(doc)};
	struct problems problems;
	struct alloc_task task = {
		.before = before ? before->model : NULL,
		.after = w.model,
		.all = true,
		.now_ms = 1,
		.touched = &w.touched,
		.problems = &problems,
	};
	struct alloc *nothing = alloc_new();

	problems_init(&problems);
	w.alloc = before ? alloc_clone(before->alloc) : alloc_new();
	assert_int_equal(alloc_update(w.alloc, &task), 0);
	assert_false(problems_any(&problems));
	assert_int_equal(plan_update(w.alloc, before ? before->alloc : nothing, w.model, true, NULL,
				 generation, &w.touched, &w.changes),
		0);
	alloc_free(nothing);
	problems_free(&problems);
	return w;
}

static void world_free(struct world *w)
{
	touched_free(&w->touched);
	plan_changes_free(&w->changes);
	alloc_free(w->alloc);
	model_destroy(w->model);
	audums__v1__document__free_unpacked(w->doc, NULL);
}

static Audums__V1__Document *merged(Audums__V1__Document *base, const char *file)
{
	Audums__V1__Document *change = document_load(file), *result;
	struct merge merge;

	assert_int_equal(model_merge(base, change, &merge), 0);
	result = merge.document;
	merge.document = NULL;
	model_merge_free(&merge);
	audums__v1__document__free_unpacked(change, NULL);
	return result;
}

static Audums__V1__Document *latvia_and_tenant(void)
{
	Audums__V1__Document *latvia = document_load("latvia.yaml");
	Audums__V1__Document *both = merged(latvia, "demo-tenant.yaml");

	audums__v1__document__free_unpacked(latvia, NULL);
	return both;
}

static void print(FILE *out, const ProtobufCMessage *message)
{
	char *text;

	assert_int_equal(pbtext_print(message, PBTEXT_YAML, &text, NULL), 0);
	fputs(text, out);
	free(text);
}

static char *plan_text(const struct world *w)
{
	static const char *const names[] = {"ic1", "ldc1", "lnb1", "lvrtc1"};
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const struct alloc_segment *s = alloc_segment(w->alloc, "registri");
		Audums__V1__NodeBase *base = plan_base(w->model, w->alloc, names[i]);
		Audums__V1__SegmentConfig *config =
			plan_segment(w->model, w->alloc, s, alloc_place(s, names[i]));

		assert_true(base && config);
		fprintf(out, "--- # %s\n", names[i]);
		print(out, &base->base);
		fprintf(out, "# segment\n");
		print(out, &config->base);
		audums__v1__node_base__free_unpacked(base, NULL);
		audums__v1__segment_config__free_unpacked(config, NULL);
	}
	fclose(out);
	return text;
}

static void test_golden(void **state)
{
	struct world w = world_after(NULL, latvia_and_tenant(), 1);
	char *text = plan_text(&w), *golden = NULL;
	size_t len = 0;
	FILE *f;

	if (getenv("AUDUMS_GOLDEN")) {
		f = fopen(GOLDEN_FILE, "w");
		assert_non_null(f);
		fputs(text, f);
		fclose(f);
	}
	f = fopen(GOLDEN_FILE, "r");
	assert_non_null(f);
	assert_true(getdelim(&golden, &len, '\0', f) > 0);
	fclose(f);
	assert_string_equal(text, golden);
	free(golden);
	free(text);
	world_free(&w);
}

static void reverse(void *list, size_t n)
{
	void **p = list;

	for (size_t i = 0; i < n / 2; i++) {
		void *other = p[i];

		p[i] = p[n - 1 - i];
		p[n - 1 - i] = other;
	}
}

/* The order of objects changes nothing, once the numbers are given. */
static void test_order(void **state)
{
	struct world w = world_after(NULL, latvia_and_tenant(), 1), again;
	Audums__V1__Document *other = latvia_and_tenant();

	reverse(other->nodes, other->n_nodes);
	reverse(other->links, other->n_links);
	reverse(other->attachments, other->n_attachments);
	reverse(other->segments[0]->sites, other->segments[0]->n_sites);
	again = world_after(&w, other, 2);
	assert_int_equal(again.changes.n, 0);
	assert_int_equal(again.touched.keys.n, 0);
	assert_int_equal(alloc_node(again.alloc, "ic1")->generation, 1);
	world_free(&again);
	world_free(&w);
}

/* Which nodes a change is one for, and their generations. */
static void test_generations(void **state)
{
	struct world w = world_after(NULL, latvia_and_tenant(), 1), next;
	const struct alloc_segment *s;

	/* an attachment more at ic1: its place there, no other */
	next = world_after(&w,
		merged(w.doc, "attachments:\n- {name: more, provider: ic, segment: registri, node: "
			      "ic1, port: p2}\n"),
		2);
	assert_int_equal(next.changes.n, 1);
	assert_string_equal(next.changes.items[0].node, "ic1");
	assert_string_equal(next.changes.items[0].segment, "registri");
	s = alloc_segment(next.alloc, "registri");
	assert_int_equal(alloc_place(s, "ic1")->generation, 2);
	assert_int_equal(alloc_place(s, "lnb1")->generation, 1);
	assert_int_equal(alloc_node(next.alloc, "ic1")->generation, 2);
	assert_int_equal(alloc_node(next.alloc, "ic1")->base_generation, 1);
	assert_int_equal(alloc_node(next.alloc, "lnb1")->generation, 1);
	world_free(&w);
	w = next;

	/* a link's MTU: the bases of its two ends */
	next = world_after(&w,
		merged(w.doc,
			"links:\n- {name: lnb-ic, provider: lnb, a: {node: lnb1, port: up1}, b: "
			"{node: ic1, port: up0}, mtu: 9000}\n"),
		3);
	assert_int_equal(next.changes.n, 2);
	assert_null(next.changes.items[0].segment);
	assert_int_equal(alloc_node(next.alloc, "lnb1")->base_generation, 3);
	assert_int_equal(alloc_node(next.alloc, "ic1")->base_generation, 3);
	assert_int_equal(alloc_node(next.alloc, "ldc1")->generation, 1);
	world_free(&w);
	w = next;

	/* a segment leaves a site: all its nodes have a VTEP less, one has it no more */
	next = world_after(&w,
		merged(w.doc, "attachments:\n"
			      "- {name: registri-ldc, provider: ldc, segment: registri, node: ic1, "
			      "port: p3}\n"
			      "- {name: registri-standby, provider: ldc, segment: registri, node: "
			      "ic1, port: p4}\n"
			      "segments:\n- {name: registri, provider: lvrtc, tenant: vid, sites: "
			      "[lvrtc, lnb, ic]}\n"),
		4);
	assert_int_equal(next.changes.n, 4);
	s = alloc_segment(next.alloc, "registri");
	assert_int_equal(s->n_places, 3);
	assert_null(alloc_place(s, "ldc1"));
	assert_int_equal(alloc_node(next.alloc, "ldc1")->generation, 4);
	world_free(&w);
	world_free(&next);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_generations),
	};

	return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
