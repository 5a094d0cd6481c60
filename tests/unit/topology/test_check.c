/*
 * The checks across objects, each with its exact text. A case is a change to the small intent of
 * intent.h: applied to it, judged as the controller does, paths into the change.
 */
#include "tests/unit/topology/intent.h"

#include "proto/lib/rules.h"
#include "topology/check.h"

/* Apply `yaml` to the intent and compare the problems. */
static void golden(const char *yaml, const char *expected)
{
	Audums__V1__Document *base = intent_load(intent_yaml, TOPOLOGY_STANDALONE);
	Audums__V1__Document *change = intent_load(yaml, 0);
	struct model *model;
	struct problems p;
	struct merge m;
	int n;

	problems_init(&p);
	assert_int_equal(model_merge(base, change, &m), 0);
	model = model_create(m.document);
	n = check_model(model, change, &p);
	assert_int_equal(n, p.n_items);
	problems_expect(&p, expected);
	model_destroy(model);
	model_merge_free(&m);
	audums__v1__document__free_unpacked(base, NULL);
	audums__v1__document__free_unpacked(change, NULL);
}

/* Judge a text as a whole intent, with places. */
static void whole(const char *yaml, const char *expected)
{
	struct topology t;
	struct problems p;

	problems_init(&p);
	topology_load_text("t.yaml", yaml, strlen(yaml), TOPOLOGY_STANDALONE, &t, &p);
	problems_expect(&p, expected);
	topology_free(&t);
}

static void good_changes(void **state)
{
	golden("{}", "");
	golden("segments:\n- {name: two, provider: pb, tenant: vid, sites: [sa, sb, sc], vni: 2003, mtu: "
	       "1550, subnets: [10.2.0.0/16, 'fd00::/64']}\n"
	       "attachments:\n- {name: two-c, provider: pb, segment: two, node: nc, port: p1}\n",
		"");
	/* two segments of different tenants may use the same addresses */
	golden("tenants:\n- {name: vm, provider: pb}\n"
	       "segments:\n- {name: v, provider: pb, tenant: vm, sites: [sc], subnets: [10.1.0.0/16]}\n",
		"");
}

static void references_to_nothing(void **state)
{
	golden("sites:\n- {name: sx, provider: px}\n"
	       "nodes:\n- {name: nx, provider: pa, site: nowhere}\n"
	       "links:\n- {name: lx, provider: pa, a: {node: na, port: up5}, b: {node: no, port: up5}}\n"
	       "tenants:\n- {name: tx, provider: px}\n"
	       "segments:\n- {name: gx, provider: pa, tenant: nobody, sites: [sa, mars]}\n"
	       "attachments:\n- {name: ax, provider: pa, segment: none, node: no, port: p2}\n",
		"sites[0].provider: there is no provider \"px\"\n"
		"nodes[0].site: there is no site \"nowhere\"\n"
		"links[0].b.node: there is no node \"no\"\n"
		"tenants[0].provider: there is no provider \"px\"\n"
		"segments[0].tenant: there is no tenant \"nobody\"\n"
		"segments[0].sites[1]: there is no site \"mars\"\n"
		"attachments[0].segment: there is no segment \"none\"\n"
		"attachments[0].node: there is no node \"no\"\n");
}

static void duplicate_names(void **state)
{
	struct topology t;
	struct problems p;
	static const char yaml[] = "sites:\n- {name: a, provider: x}\n- {name: b, provider: x}\n"
				   "- {name: a, provider: y}\n"
				   "nodes:\n- {name: a, provider: x, site: a}\n";

	problems_init(&p);
	topology_load_text("t.yaml", yaml, strlen(yaml), 0, &t, &p);
	problems_expect(&p,
		"t.yaml:4:10: sites[2].name: there are two sites named \"a\", the first is "
		"sites[0]\n");
	topology_free(&t);
}

static void links(void **state)
{
	golden("links:\n- {name: self, provider: pa, a: {node: na, port: up8}, b: {node: na, port: "
	       "up9}}\n",
		"links[0].b.node: both ends are at node \"na\", expected two different nodes\n");
	golden("links:\n- {name: x, provider: pa, a: {node: na, port: up0}, b: {node: nb, port: up9}}\n",
		"links[0].a.port: port \"up0\" of node \"na\" is taken by link \"ab\"\n");
	golden("links:\n- {name: x, provider: pa, a: {node: na, port: up9}, b: {node: nb, port: p1}}\n",
		"links[0].b.port: port \"p1\" of node \"nb\" is an access port, expected an uplink\n");
	/* the node changes, the link was there before */
	golden("nodes:\n- {name: na, provider: pa, site: sa, access_ports: [p1, p2, up0]}\n",
		"nodes[0].access_ports: port \"up0\" of node \"na\" is an access port, expected an "
		"uplink\n");
}

static void attachments(void **state)
{
	golden("attachments:\n- {name: x, provider: pa, segment: reg, node: na, port: p1}\n",
		"attachments[0].port: port \"p1\" of node \"na\" is taken by attachment \"reg-a\"\n");
	golden("attachments:\n- {name: x, provider: pa, segment: reg, node: na, port: p9}\n",
		"attachments[0].port: node \"na\" has no access port \"p9\", expected one of: p1, p2\n");
	golden("attachments:\n- {name: x, provider: pa, segment: reg, node: na, port: up0}\n",
		"attachments[0].port: node \"na\" has no access port \"up0\", expected one of: p1, p2\n");
	golden("attachments:\n- {name: x, provider: pb, segment: reg, node: nc, port: p1}\n",
		"attachments[0].node: node \"nc\" of attachment \"x\" is at site \"sc\", which is not "
		"among the sites of segment \"reg\"\n");
	golden("attachments:\n- {name: x, provider: pa, segment: reg, node: na, port: p2, vlan: 7}\n",
		"attachments[0].vlan: tagged attachments are not supported by this release, expected 0 "
		"or no vlan\n");
	/* two in one change */
	golden("attachments:\n- {name: x, provider: pa, segment: reg, node: na, port: p2}\n"
	       "- {name: y, provider: pa, segment: reg, node: na, port: p2}\n",
		"attachments[1].port: port \"p2\" of node \"na\" is taken by attachment \"x\"\n");
	/* the port or the site goes away beneath an attachment */
	golden("nodes:\n- {name: na, provider: pa, site: sa, access_ports: [p2]}\n",
		"nodes[0].access_ports: node \"na\" has no access port \"p1\", expected one of: p2\n");
	golden("nodes:\n- {name: na, provider: pa, site: sa}\n",
		"nodes[0].access_ports: node \"na\" has no access port \"p1\", expected one of: none\n");
	golden("segments:\n- {name: reg, provider: pa, tenant: vid, sites: [sa]}\n",
		"segments[0].sites: node \"nb\" of attachment \"reg-b\" is at site \"sb\", which is "
		"not among the sites of segment \"reg\"\n");
}

static void pools_of_two_providers(void **state)
{
	golden("providers:\n"
	       "- {name: pc, asns: {first: 64529, last: 64540}, vnis: {first: 1005, last: 1005}, vteps: "
	       "10.254.2.128/25, links: 10.253.0.0/16}\n",
		"providers[0].asns: asns 64529-64540 of provider \"pc\" overlaps asns 64520-64529 of "
		"provider \"pb\"\n"
		"providers[0].vnis: vnis 1005-1005 of provider \"pc\" overlaps vnis 1000-1009 of "
		"provider \"pa\"\n"
		"providers[0].links: links 10.253.0.0/16 of provider \"pc\" overlaps links "
		"10.253.1.0/24 of provider \"pa\"\n"
		"providers[0].links: links 10.253.0.0/16 of provider \"pc\" overlaps links "
		"10.253.2.0/24 of provider \"pb\"\n"
		"providers[0].vteps: vteps 10.254.2.128/25 of provider \"pc\" overlaps vteps "
		"10.254.2.0/24 of provider \"pb\"\n");
	/* VTEPs and links share the underlay's addresses, also within one provider */
	golden("providers:\n"
	       "- {name: pc, asns: {first: 64530, last: 64540}, vnis: {first: 1, last: 9}, vteps: "
	       "10.0.0.0/24, links: 10.0.0.0/25}\n",
		"providers[0].links: links 10.0.0.0/25 of provider \"pc\" overlaps vteps 10.0.0.0/24 of "
		"provider \"pc\"\n");
}

static void pools_by_themselves(void **state)
{
	golden("providers:\n"
	       "- {name: pc, asns: {first: 65535, last: 65535}, vnis: {first: 9, last: 3}, vteps: "
	       "10.0.0.0/24, links: 10.0.1.0/25}\n",
		"providers[0].asns: 65535-65535 is not within 64512-65534, the private 16-bit ASNs (RFC "
		"6996)\n"
		"providers[0].vnis: the range is empty: first 9 is above last 3\n");
	golden("providers:\n"
	       "- {name: pc, asns: {first: 4200000000, last: 4200000009}, vnis: {first: 16777215, last: "
	       "16777216}, vteps: 10.0.0.0/24, links: 10.0.1.0/25}\n",
		"providers[0].asns: 4200000000-4200000009 is not within 64512-65534, the private 16-bit "
		"ASNs (RFC 6996)\n"
		"providers[0].vnis: 16777215-16777216 is not within 1-16777215, the VXLAN network "
		"identifiers\n");
}

static void pools_too_small(void **state)
{
	golden("providers:\n"
	       "- {name: pb, asns: {first: 64520, last: 64521}, vnis: {first: 2000, last: 2009}, vteps: "
	       "10.254.2.4/31, links: 10.253.2.0/31}\n",
		"providers[0].asns: 64520-64521 is too small: it has room for 1, but 2 nodes draw from "
		"it\n"
		"providers[0].links: 10.253.2.0/31 is too small: it has room for 1, but 2 links draw "
		"from it\n");
	golden("providers:\n"
	       "- {name: pb, asns: {first: 64520, last: 64529}, vnis: {first: 2000, last: 2000}, vteps: "
	       "10.254.2.4/32, links: 10.253.2.0/30}\n"
	       "segments:\n- {name: x, provider: pb, tenant: vid, sites: [sb]}\n",
		"providers[0].vteps: 10.254.2.4/32 is too small: it has room for 1, but 2 nodes draw "
		"from it\n");
	golden("tenants:\n- {name: vid, provider: pa}\n"
	       "providers:\n"
	       "- {name: pb, asns: {first: 64520, last: 64529}, vnis: {first: 2000, last: 2000}, vteps: "
	       "10.254.2.0/24, links: 10.253.2.0/24}\n"
	       "segments:\n- {name: x, provider: pb, tenant: vid, sites: [sb]}\n"
	       "- {name: y, provider: pb, tenant: vid, sites: [sb]}\n",
		"providers[0].vnis: 2000-2000 is too small: it has room for 1, but 2 segments draw from "
		"it\n");
}

static void explicit_numbers(void **state)
{
	golden("nodes:\n- {name: nx, provider: pa, site: sc, asn: 64520, vtep: 10.254.2.1}\n",
		"nodes[0].asn: 64520 is outside the ASNs 64512-64519 of provider \"pa\"\n"
		"nodes[0].vtep: 10.254.2.1 is outside the VTEPs 10.254.1.0/24 of provider \"pa\"\n");
	golden("nodes:\n- {name: nx, provider: pa, site: sc, asn: 64512}\n",
		"nodes[0].asn: 64512 is the first ASN of provider \"pa\", which stands in its route "
		"targets and is not given to a node\n");
	golden("nodes:\n- {name: nx, provider: pa, site: sc, asn: 64513, vtep: 10.254.1.1}\n"
	       "- {name: ny, provider: pa, site: sc, asn: 64513, vtep: 10.254.1.1}\n",
		"nodes[1].asn: 64513 is the asn of node \"nx\" already\n"
		"nodes[1].vtep: 10.254.1.1 is the vtep of node \"nx\" already\n");
	golden("tenants:\n- {name: vid, provider: pa}\n"
	       "segments:\n- {name: x, provider: pb, tenant: vid, sites: [sb], vni: 1005}\n"
	       "- {name: y, provider: pb, tenant: vid, sites: [sb], vni: 2001}\n"
	       "- {name: z, provider: pb, tenant: vid, sites: [sb], vni: 2001}\n",
		"segments[2].vni: 2001 is the VNI of segment \"y\" already\n"
		"segments[0].vni: 1005 is outside the VNIs 2000-2009 of provider \"pb\"\n");
	/* the pool moves away beneath an explicit value */
	golden("providers:\n"
	       "- {name: pa, asns: {first: 64512, last: 64519}, vnis: {first: 1100, last: 1109}, vteps: "
	       "10.254.1.0/24, links: 10.253.1.0/24}\n"
	       "segments:\n- {name: x, provider: pa, tenant: vid, sites: [sa], vni: 1001}\n",
		"segments[0].vni: 1001 is outside the VNIs 1100-1109 of provider \"pa\"\n");
}

static void mtu(void **state)
{
	golden("segments:\n- {name: reg, provider: pa, tenant: vid, sites: [sa, sb], mtu: 1551}\n",
		"segments[0].mtu: segment \"reg\" with MTU 1551 needs 1601 octets on the backbone, but "
		"link \"ab\" carries 1600; expected an MTU of at most 1550\n");
	/* the link changes, the segment was there before */
	golden("links:\n- {name: bc, provider: pb, a: {node: nb, port: up1}, b: {node: nc, port: up0}, "
	       "mtu: 1500}\n",
		"links[0].mtu: segment \"reg\" with MTU 1500 needs 1550 octets on the backbone, but link "
		"\"bc\" carries 1500; expected an MTU of at most 1450\n");
	/* at one node nothing crosses the backbone */
	golden("segments:\n- {name: x, provider: pb, tenant: vid, sites: [sc], mtu: 9000}\n", "");
}

static void subnets(void **state)
{
	golden("segments:\n- {name: x, provider: pa, tenant: vid, sites: [sa], subnets: [10.2.0.0/16, "
	       "10.1.7.0/24]}\n",
		"segments[0].subnets[1]: subnet 10.1.7.0/24 of segment \"x\" overlaps 10.1.0.0/16 of "
		"segment \"reg\", both of tenant \"vid\"\n");
	golden("segments:\n- {name: x, provider: pa, tenant: vid, sites: [sa], subnets: [10.0.0.0/8]}\n",
		"segments[0].subnets[0]: subnet 10.0.0.0/8 of segment \"x\" overlaps 10.1.0.0/16 of "
		"segment \"reg\", both of tenant \"vid\"\n");
	golden("segments:\n- {name: x, provider: pa, tenant: vid, sites: [sa], subnets: ['fd00::/64']}\n"
	       "- {name: reg, provider: pa, tenant: vid, sites: [sa, sb], subnets: ['fd00::/48']}\n",
		"segments[0].subnets[0]: subnet fd00::/64 of segment \"x\" overlaps fd00::/48 of segment "
		"\"reg\", both of tenant \"vid\"\n");
}

static void quota(void **state)
{
	golden("segments:\n- {name: x, provider: pa, tenant: vid, sites: [sa]}\n"
	       "- {name: y, provider: pa, tenant: vid, sites: [sa]}\n",
		"segments[1].tenant: tenant \"vid\" would have 3 segments, its quota (max_segments) is "
		"2\n");
	golden("tenants:\n- {name: vid, provider: pa, max_segments: 1}\n", "");
}

static void quota_lowered(void **state)
{
	Audums__V1__Document *d = intent_load(intent_yaml, TOPOLOGY_STANDALONE);
	Audums__V1__Document *change = intent_load("tenants: [{name: vid, provider: pa}]", 0);
	struct problems p;
	struct model *m;

	d->tenants[0]->max_segments = 1;
	d->segments = realloc(d->segments, 2 * sizeof(d->segments[0]));
	d->segments[1] = (Audums__V1__Segment *)message_clone(&d->segments[0]->base);
	d->n_segments = 2;
	d->segments[1]->name[0] = 'x';
	d->segments[1]->subnets[0][3] = '2';
	m = model_create(d);
	problems_init(&p);
	assert_int_equal(check_model(m, change, &p), 1);
	problems_expect(&p,
		"tenants[0].max_segments: tenant \"vid\" has 2 segments, more than a quota "
		"(max_segments) of 1\n");
	model_destroy(m);
	audums__v1__document__free_unpacked(d, NULL);
	audums__v1__document__free_unpacked(change, NULL);
}

static void unreachable_nodes(void **state)
{
	golden("sites:\n- {name: sd, provider: pb}\n"
	       "nodes:\n- {name: nd, provider: pb, site: sd}\n"
	       "segments:\n- {name: reg, provider: pa, tenant: vid, sites: [sa, sb, sd]}\n",
		"segments[0].sites[2]: no path of links joins node \"na\" and node \"nd\" of segment "
		"\"reg\"\n");
}

/* What is wrong by itself, what refers to nothing and what is wrong together, in one go with
 * places. */
static void all_errors_at_once(void **state)
{
	whole("providers:\n"
	      "- name: pa\n"
	      "  asns: {first: 64512, last: 64519}\n"
	      "  vnis: {first: 1000, last: 1009}\n"
	      "  vteps: 10.254.1.1/24\n"
	      "  links: 10.253.1.0/24\n"
	      "- {name: pb, asns: {first: 64519, last: 64529}, vnis: {first: 1, last: 9}, vteps: "
	      "10.254.2.0/24, links: 10.253.2.0/24}\n"
	      "sites:\n"
	      "- {name: sa, provider: pa, colour: red}\n"
	      "- {name: sb, provider: pc}\n"
	      "nodes:\n"
	      "- {name: na, provider: pa, site: sa, access_ports: [p1]}\n"
	      "links:\n"
	      "- {name: l, provider: pa, a: {node: na, port: up0}, b: {node: na, port: up1}}\n"
	      "attachments:\n"
	      "- {name: x, provider: pa, segment: reg, node: na, port: p1, platform: cisco}\n",
		"t.yaml:5:10: providers[0].vteps: is \"10.254.1.1/24\", expected an IPv4 prefix without "
		"host bits, such as 10.254.1.0/24\n"
		"t.yaml:7:20: providers[1].asns: asns 64519-64529 of provider \"pb\" overlaps asns "
		"64512-64519 of provider \"pa\"\n"
		"t.yaml:9:28: sites[0].colour: unknown field, expected one of name, provider, "
		"display_name, labels, location\n"
		"t.yaml:10:24: sites[1].provider: there is no provider \"pc\"\n"
		"t.yaml:14:63: links[0].b.node: both ends are at node \"na\", expected two different "
		"nodes\n"
		"t.yaml:16:36: attachments[0].segment: there is no segment \"reg\"\n"
		"t.yaml:16:71: attachments[0].platform: expected bare, openstack, nutanix or vmware, got "
		"\"cisco\"\n");
}

/* ---- deletion
 * ------------------------------------------------------------------------------------ */

static void delete_golden(const char *const *texts, bool if_exists, const char *expected)
{
	Audums__V1__Document *base = intent_load(intent_yaml, TOPOLOGY_STANDALONE);
	struct model *model = model_create(base);
	Audums__V1__ObjectRef refs[8], *list[8];
	struct problems p;
	size_t n = 0;
	int found;

	for (; texts[n] != NULL; n++) {
		const char *name = "x";

		audums__v1__object_ref__init(&refs[n]);
		object_ref_parse(texts[n], &refs[n].kind, &name);
		refs[n].name = (char *)name;
		list[n] = &refs[n];
	}
	problems_init(&p);
	found = check_delete(model, list, n, if_exists, &p);
	assert_int_equal(found, p.n_items);
	problems_expect(&p, expected);
	model_destroy(model);
	audums__v1__document__free_unpacked(base, NULL);
}

static void deletion(void **state)
{
	delete_golden((const char *const[]){"attachment/reg-a", NULL}, false, "");
	delete_golden((const char *const[]){"segment/reg", NULL}, false,
		"objects[0]: segment \"reg\" can't be deleted, it is still used by attachment \"reg-a\", "
		"attachment \"reg-b\"\n");
	delete_golden(
		(const char *const[]){"attachment/reg-b", "segment/reg", "attachment/reg-a", NULL},
		false, "");
	delete_golden((const char *const[]){"provider/pb", "node/nc", NULL}, false,
		"objects[0]: provider \"pb\" can't be deleted, it is still used by site \"sb\", site "
		"\"sc\", node \"nb\" and 3 more\n"
		"objects[1]: node \"nc\" can't be deleted, it is still used by link \"bc\", link "
		"\"ca\"\n");
	delete_golden((const char *const[]){"segment/none", "thing/x", NULL}, false,
		"objects[0]: there is no segment \"none\"\n"
		"objects[1]: names no kind of object\n");
	delete_golden((const char *const[]){"segment/none", NULL}, true, "");
}

/* What would part a segment's nodes is refused: afterwards nothing could be applied any more. */
static void deletion_that_parts(void **state)
{
	/* a ring of three: each link alone may go */
	delete_golden((const char *const[]){"link/ab", NULL}, false, "");
	delete_golden((const char *const[]){"link/ca", NULL}, false, "");
	delete_golden((const char *const[]){"link/bc", "link/ab", NULL}, false,
		"objects[0]: link \"bc\" can't be deleted, no path of links would join node \"na\" and "
		"node \"nb\" of segment \"reg\" any more; take a site out of the segment first\n");
	/* with the segment, or with the node that is cut off */
	delete_golden((const char *const[]){"link/bc", "link/ab", "segment/reg", "attachment/reg-a",
			      "attachment/reg-b", NULL},
		false, "");
	delete_golden((const char *const[]){"link/bc", "link/ca", "node/nc", NULL}, false, "");
}

/* A link taken away may part the nodes of a segment: the controller checks what remains. */
static void a_link_taken_away(void **state)
{
	Audums__V1__Document *base = intent_load(intent_yaml, TOPOLOGY_STANDALONE);
	Audums__V1__Document none = AUDUMS__V1__DOCUMENT__INIT;
	Audums__V1__ObjectRef ab = AUDUMS__V1__OBJECT_REF__INIT, bc = AUDUMS__V1__OBJECT_REF__INIT;
	Audums__V1__ObjectRef *refs[] = {&ab, &bc};
	struct model *model;
	struct problems p;
	struct merge m;

	ab.kind = bc.kind = AUDUMS__V1__KIND__KIND_LINK;
	ab.name = "ab";
	bc.name = "bc";
	problems_init(&p);
	assert_int_equal(model_remove(base, refs, 1, &m), 0);
	model = model_create(m.document);
	assert_int_equal(check_model(model, &none, &p), 0);
	model_destroy(model);
	model_merge_free(&m);
	assert_int_equal(model_remove(base, refs, 2, &m), 0);
	model = model_create(m.document);
	assert_int_equal(check_model(model, &none, &p), 1);
	problems_expect(&p,
		"segment/reg.sites[1]: no path of links joins node \"na\" and node \"nb\" of "
		"segment \"reg\"\n");
	model_destroy(model);
	model_merge_free(&m);
	audums__v1__document__free_unpacked(base, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_changes),
		cmocka_unit_test(references_to_nothing),
		cmocka_unit_test(duplicate_names),
		cmocka_unit_test(links),
		cmocka_unit_test(attachments),
		cmocka_unit_test(pools_of_two_providers),
		cmocka_unit_test(pools_by_themselves),
		cmocka_unit_test(pools_too_small),
		cmocka_unit_test(explicit_numbers),
		cmocka_unit_test(mtu),
		cmocka_unit_test(subnets),
		cmocka_unit_test(quota),
		cmocka_unit_test(quota_lowered),
		cmocka_unit_test(unreachable_nodes),
		cmocka_unit_test(all_errors_at_once),
		cmocka_unit_test(deletion),
		cmocka_unit_test(deletion_that_parts),
		cmocka_unit_test(a_link_taken_away),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
