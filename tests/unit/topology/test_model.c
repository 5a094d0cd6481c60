/* The model: look-up, neighbours, merging and removing. */
#include "tests/unit/topology/intent.h"

static void look_up(void **state)
{
	Audums__V1__Document *d = intent_load(intent_yaml, TOPOLOGY_STANDALONE);
	struct model *m = model_create(d);

	assert_ptr_equal(model_document(m), d);
	assert_ptr_equal(model_node(m, "nb"), d->nodes[1]);
	assert_ptr_equal(model_provider(m, "pa"), d->providers[0]);
	assert_ptr_equal(model_site(m, "sc"), d->sites[2]);
	assert_ptr_equal(model_link(m, "ca"), d->links[2]);
	assert_ptr_equal(model_tenant(m, "vid"), d->tenants[0]);
	assert_ptr_equal(model_segment(m, "reg"), d->segments[0]);
	assert_ptr_equal(model_attachment(m, "reg-b"), d->attachments[1]);
	assert_null(model_node(m, "sa"));
	assert_null(model_find(m, AUDUMS__V1__KIND__KIND_UNSPECIFIED, "na"));
	assert_int_equal(model_position(m, AUDUMS__V1__KIND__KIND_NODE, "nc"), 2);
	assert_int_equal(model_position(m, AUDUMS__V1__KIND__KIND_NODE, "nd"), -1);
	assert_int_equal(link_mtu(d->links[0]), 1600);
	assert_int_equal(segment_mtu(d->segments[0]), 1500);
	model_destroy(m);
	model_destroy(NULL);
	audums__v1__document__free_unpacked(d, NULL);
}

static void neighbours(void **state)
{
	Audums__V1__Document *d = intent_load(intent_yaml, TOPOLOGY_STANDALONE);
	struct model *m = model_create(d);
	const struct adjacency *links;
	const Audums__V1__Attachment *const *attachments;
	const Audums__V1__Node *const *nodes;
	const Audums__V1__Segment *const *segments;

	assert_int_equal(model_node_links(m, "nb", &links), 2);
	assert_string_equal(links[0].link->name, "ab");
	assert_string_equal(links[0].self->port, "up0");
	assert_string_equal(links[0].peer->node, "na");
	assert_string_equal(links[1].link->name, "bc");
	assert_string_equal(links[1].peer->node, "nc");
	assert_int_equal(model_node_links(m, "na", &links), 2);
	assert_string_equal(links[1].link->name, "ca");
	assert_string_equal(links[1].self->port, "up1");
	assert_int_equal(model_node_links(m, "nobody", &links), 0);
	assert_int_equal(model_node_attachments(m, "na", &attachments), 1);
	assert_string_equal(attachments[0]->name, "reg-a");
	assert_int_equal(model_node_attachments(m, "nc", &attachments), 0);
	assert_int_equal(model_segment_attachments(m, "reg", &attachments), 2);
	assert_string_equal(attachments[1]->name, "reg-b");
	assert_int_equal(model_site_nodes(m, "sb", &nodes), 1);
	assert_string_equal(nodes[0]->name, "nb");
	assert_int_equal(model_site_segments(m, "sb", &segments), 1);
	assert_int_equal(model_site_segments(m, "sc", &segments), 0);
	assert_int_equal(model_tenant_segments(m, "vid", &segments), 1);
	assert_string_equal(segments[0]->name, "reg");
	model_destroy(m);
	audums__v1__document__free_unpacked(d, NULL);
}

static void empty_and_dangling(void **state)
{
	Audums__V1__Document none = AUDUMS__V1__DOCUMENT__INIT;
	Audums__V1__Document *d =
		intent_load("attachments:\n- {name: x, provider: nope, segment: nope, "
			    "node: nope, port: p1}\n",
			0);
	const Audums__V1__Attachment *const *attachments;
	struct model *m = model_create(&none);

	assert_null(model_site(m, "x"));
	model_destroy(m);
	m = model_create(d);
	assert_int_equal(model_segment_attachments(m, "nope", &attachments), 0);
	model_destroy(m);
	audums__v1__document__free_unpacked(d, NULL);
}

/* Many objects, so that the hash table is exercised. */
static void many(void **state)
{
	Audums__V1__Document *d = malloc(sizeof(*d));
	struct model *m;
	char name[16];

	audums__v1__document__init(d);
	for (int i = 0; i < 5000; i++) {
		Audums__V1__Tenant *t = malloc(sizeof(*t));

		audums__v1__tenant__init(t);
		snprintf(name, sizeof(name), "t%d", i);
		t->name = strdup(name);
		assert_int_equal(document_append(d, &t->base), 0);
	}
	m = model_create(d);
	for (int i = 0; i < 5000; i++) {
		snprintf(name, sizeof(name), "t%d", i);
		assert_int_equal(model_position(m, AUDUMS__V1__KIND__KIND_TENANT, name), i);
	}
	assert_null(model_tenant(m, "t5000"));
	model_destroy(m);
	audums__v1__document__free_unpacked(d, NULL);
}

static void change_expect(const Audums__V1__Change *c, Audums__V1__Change__Action action,
	Audums__V1__Kind kind, const char *name, size_t n_fields)
{
	assert_int_equal(c->action, action);
	assert_int_equal(c->object->kind, kind);
	assert_string_equal(c->object->name, name);
	assert_int_equal(c->n_fields, n_fields);
}

static void merge(void **state)
{
	Audums__V1__Document *base = intent_load(intent_yaml, TOPOLOGY_STANDALONE);
	Audums__V1__Document *change = intent_load(
		"segments:\n"
		"- {name: new, provider: pa, tenant: vid, sites: [sa]}\n"
		"- {name: reg, provider: pa, tenant: vid, sites: [sa, sb, sc], mtu: 1400, subnets: "
		"[10.1.0.0/16]}\n"
		"tenants:\n"
		"- {name: vid, provider: pa, max_segments: 2}\n"
		"links:\n"
		"- {name: ab, provider: pa, a: {node: na, port: up0}, b: {node: nb, port: up7}}\n",
		0);
	Audums__V1__SegmentStatus *status = malloc(sizeof(*status));
	struct merge m;

	audums__v1__segment_status__init(status);
	status->vni = 1004;
	base->segments[0]->status = status;
	base->segments[0]->generation = 41;
	change->segments[1]->generation = 999; /* not for the client to say */
	assert_int_equal(model_merge(base, change, &m), 0);
	assert_int_equal(m.n_changes, 3);
	change_expect(m.changes[0], AUDUMS__V1__CHANGE__ACTION__ACTION_UPDATE,
		AUDUMS__V1__KIND__KIND_LINK, "ab", 1);
	assert_string_equal(m.changes[0]->fields[0]->path, "b");
	assert_string_equal(m.changes[0]->fields[0]->before, "{node: nb, port: up0}");
	assert_string_equal(m.changes[0]->fields[0]->after, "{node: nb, port: up7}");
	change_expect(m.changes[1], AUDUMS__V1__CHANGE__ACTION__ACTION_CREATE,
		AUDUMS__V1__KIND__KIND_SEGMENT, "new", 0);
	change_expect(m.changes[2], AUDUMS__V1__CHANGE__ACTION__ACTION_UPDATE,
		AUDUMS__V1__KIND__KIND_SEGMENT, "reg", 2);
	assert_string_equal(m.changes[2]->fields[0]->path, "sites");
	assert_string_equal(m.changes[2]->fields[0]->before, "[sa, sb]");
	assert_string_equal(m.changes[2]->fields[0]->after, "[sa, sb, sc]");
	assert_string_equal(m.changes[2]->fields[1]->path, "mtu");
	/* places are kept, new ones are last; the controller's fields stay */
	assert_int_equal(m.document->n_segments, 2);
	assert_string_equal(m.document->segments[0]->name, "reg");
	assert_int_equal(m.document->segments[0]->mtu, 1400);
	assert_int_equal(m.document->segments[0]->generation, 41);
	assert_int_equal(m.document->segments[0]->status->vni, 1004);
	assert_string_equal(m.document->segments[1]->name, "new");
	assert_int_equal(m.document->segments[1]->generation, 0);
	/* the inputs are as they were */
	assert_int_equal(base->n_segments, 1);
	assert_int_equal(base->segments[0]->mtu, 0);
	assert_int_equal(base->segments[0]->status->vni, 1004);
	model_merge_free(&m);
	/* the same again changes nothing */
	assert_int_equal(model_merge(base, base, &m), 0);
	assert_int_equal(m.n_changes, 0);
	assert_int_equal(document_count(m.document), document_count(base));
	model_merge_free(&m);
	audums__v1__document__free_unpacked(base, NULL);
	audums__v1__document__free_unpacked(change, NULL);
}

static void merge_of_a_name_twice(void **state)
{
	Audums__V1__Document none = AUDUMS__V1__DOCUMENT__INIT;
	Audums__V1__Site a = AUDUMS__V1__SITE__INIT, b = AUDUMS__V1__SITE__INIT;
	Audums__V1__Site *sites[] = {&a, &b};
	Audums__V1__Document change = AUDUMS__V1__DOCUMENT__INIT;
	struct merge m;

	a.name = b.name = "x";
	b.location = "last";
	change.sites = sites;
	change.n_sites = 2;
	assert_int_equal(model_merge(&none, &change, &m), 0);
	assert_int_equal(m.document->n_sites, 1);
	assert_string_equal(m.document->sites[0]->location, "last");
	model_merge_free(&m);
}

static void removal(void **state)
{
	Audums__V1__Document *base = intent_load(intent_yaml, TOPOLOGY_STANDALONE);
	Audums__V1__ObjectRef a = AUDUMS__V1__OBJECT_REF__INIT, b = AUDUMS__V1__OBJECT_REF__INIT;
	Audums__V1__ObjectRef *refs[] = {&a, &b, &a};
	struct merge m;

	a.kind = AUDUMS__V1__KIND__KIND_ATTACHMENT;
	a.name = "reg-a";
	b.kind = AUDUMS__V1__KIND__KIND_SEGMENT;
	b.name = "nothing";
	assert_int_equal(model_remove(base, refs, 3, &m), 0);
	assert_int_equal(m.n_changes, 1);
	change_expect(m.changes[0], AUDUMS__V1__CHANGE__ACTION__ACTION_DELETE,
		AUDUMS__V1__KIND__KIND_ATTACHMENT, "reg-a", 0);
	assert_int_equal(m.document->n_attachments, 1);
	assert_string_equal(m.document->attachments[0]->name, "reg-b");
	assert_int_equal(base->n_attachments, 2);
	model_merge_free(&m);
	/* what is left keeps its order; the changes have the request's */
	a.kind = b.kind = AUDUMS__V1__KIND__KIND_LINK;
	a.name = "ca";
	b.name = "ab";
	assert_int_equal(model_remove(base, refs, 3, &m), 0);
	assert_int_equal(m.n_changes, 2);
	assert_string_equal(m.changes[0]->object->name, "ca");
	assert_string_equal(m.changes[1]->object->name, "ab");
	assert_int_equal(m.document->n_links, 1);
	assert_string_equal(m.document->links[0]->name, "bc");
	model_merge_free(&m);
	audums__v1__document__free_unpacked(base, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(look_up),
		cmocka_unit_test(neighbours),
		cmocka_unit_test(empty_and_dangling),
		cmocka_unit_test(many),
		cmocka_unit_test(merge),
		cmocka_unit_test(merge_of_a_name_twice),
		cmocka_unit_test(removal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
