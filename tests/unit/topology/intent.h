/* A small valid intent for the tests of topology/, and loading texts. */
#pragma once

#include "tests/unit/proto/test.h"

#include "topology/load.h"
#include "topology/model.h"

/* Three nodes in a triangle, of two providers, and a tenant's segment at two of them. */
static const char intent_yaml[] =
	"providers:\n"
	"- name: pa\n"
	"  asns: {first: 64512, last: 64519}\n"
	"  vnis: {first: 1000, last: 1009}\n"
	"  vteps: 10.254.1.0/24\n"
	"  links: 10.253.1.0/24\n"
	"- name: pb\n"
	"  asns: {first: 64520, last: 64529}\n"
	"  vnis: {first: 2000, last: 2009}\n"
	"  vteps: 10.254.2.0/24\n"
	"  links: 10.253.2.0/24\n"
	"sites:\n"
	"- {name: sa, provider: pa}\n"
	"- {name: sb, provider: pb}\n"
	"- {name: sc, provider: pb}\n"
	"nodes:\n"
	"- {name: na, provider: pa, site: sa, access_ports: [p1, p2]}\n"
	"- {name: nb, provider: pb, site: sb, access_ports: [p1, p2]}\n"
	"- {name: nc, provider: pb, site: sc, access_ports: [p1, p2]}\n"
	"links:\n"
	"- {name: ab, provider: pa, a: {node: na, port: up0}, b: {node: nb, port: up0}}\n"
	"- {name: bc, provider: pb, a: {node: nb, port: up1}, b: {node: nc, port: up0}}\n"
	"- {name: ca, provider: pb, a: {node: nc, port: up1}, b: {node: na, port: up1}}\n"
	"tenants:\n"
	"- {name: vid, provider: pa, max_segments: 2}\n"
	"segments:\n"
	"- {name: reg, provider: pa, tenant: vid, sites: [sa, sb], subnets: [10.1.0.0/16]}\n"
	"attachments:\n"
	"- {name: reg-a, provider: pa, segment: reg, node: na, port: p1}\n"
	"- {name: reg-b, provider: pb, segment: reg, node: nb, port: p1}\n";

/* Load a text that must be without problems, when `flags` is 0 as a change to something else. */
static inline Audums__V1__Document *intent_load(const char *yaml, unsigned flags)
{
	Audums__V1__Document *document;
	struct topology t;
	struct problems p;

	problems_init(&p);
	if (topology_load_text("t.yaml", yaml, strlen(yaml), flags, &t, &p) < 0)
		problems_expect(&p, "");
	document = t.document;
	t.document = NULL;
	topology_free(&t);
	return document;
}
