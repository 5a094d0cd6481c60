/*
 * Checks of segments: VNI, MTU, subnets, the tenant's quota, and whether their nodes reach each
 * other; see check.h.
 *
 * "Spans" means: all nodes at the segment's sites.
 */
#include <stdlib.h>
#include <string.h>

#include "topology/check_internal.h"

/* What is known of the backbone, computed once for all segments. */
struct backbone {
	size_t *component; /* by node's position: a representative of the nodes it reaches */
};

/* ---- VNI
 * ----------------------------------------------------------------------------------------- */

struct vni_claim {
	uint32_t vni;
	size_t order;
};

static int vni_compare(const void *a, const void *b)
{
	const struct vni_claim *x = a, *y = b;

	if (x->vni != y->vni)
		return x->vni < y->vni ? -1 : 1;
	return (x->order > y->order) - (x->order < y->order);
}

static void vnis_check(struct check *check)
{
	const Audums__V1__Document *d = model_document(check->model);
	struct vni_claim *claims = calloc(d->n_segments + 1, sizeof(claims[0]));
	size_t n = 0;

	if (claims == NULL) {
		check->no_memory = true;
		return;
	}
	for (size_t i = 0; i < d->n_segments; i++)
		if (d->segments[i]->vni != 0)
			claims[n++] = (struct vni_claim){d->segments[i]->vni, i};
	if (n > 1)
		qsort(claims, n, sizeof(claims[0]), vni_compare);
	for (size_t i = 1; i < n; i++) {
		const Audums__V1__Segment *a = d->segments[claims[i - 1].order];
		const Audums__V1__Segment *b = d->segments[claims[i].order];
		const struct place places[2] = {place_at(b, "vni"), place_at(a, "vni")};

		if (a->vni == b->vni)
			check_report(check, places, 2, "%u is the VNI of segment \"%s\" already",
				b->vni, a->name);
	}
	free(claims);
}

static void vni_check(struct check *check, const Audums__V1__Segment *s)
{
	const Audums__V1__Provider *p = model_provider(check->model, s->provider);
	const struct place places[2] = {place_at(s, "vni"), place_at(p, "vnis")};

	if (s->vni == 0 || p == NULL || p->vnis == NULL || p->vnis->last < p->vnis->first)
		return;
	if (s->vni < p->vnis->first || s->vni > p->vnis->last)
		check_report(check, places, 2, "%u is outside the VNIs %u-%u of provider \"%s\"",
			s->vni, p->vnis->first, p->vnis->last, p->name);
}

/* ---- MTU
 * ----------------------------------------------------------------------------------------- */

static void mtu_check(struct check *check, const Audums__V1__Segment *s)
{
	const Audums__V1__Link *narrowest = NULL;
	struct place places[2];
	size_t n_spanned = 0;
	uint32_t need;

	for (size_t i = 0; i < s->n_sites; i++) {
		const Audums__V1__Node *const *nodes;
		const size_t n = model_site_nodes(check->model, s->sites[i], &nodes);

		n_spanned += n;
		for (size_t k = 0; k < n; k++) {
			const struct adjacency *links;
			const size_t n_links =
				model_node_links(check->model, nodes[k]->name, &links);

			for (size_t j = 0; j < n_links; j++)
				if (narrowest == NULL ||
					link_mtu(links[j].link) < link_mtu(narrowest))
					narrowest = links[j].link;
		}
	}
	need = segment_mtu(s) + VXLAN_OVERHEAD_IPV4;
	if (n_spanned < 2 || narrowest == NULL || need <= link_mtu(narrowest))
		return;
	places[0] = place_at(s, "mtu");
	places[1] = place_at(narrowest, "mtu");
	check_report(check, places, 2,
		"segment \"%s\" with MTU %u needs %u octets on the backbone, but link \"%s\" carries %u; "
		"expected an MTU of at most %u",
		s->name, segment_mtu(s), need, narrowest->name, link_mtu(narrowest),
		link_mtu(narrowest) - VXLAN_OVERHEAD_IPV4);
}

/* ---- subnets
 * ------------------------------------------------------------------------------------- */

struct subnet {
	struct prefix prefix;
	const Audums__V1__Segment *segment;
	size_t index; /* in its list */
	size_t order; /* of the segment in the document */
};

static int subnet_compare(const void *a, const void *b)
{
	const struct subnet *x = a, *y = b;
	int order;

	order = strcmp(x->segment->tenant, y->segment->tenant);
	if (order == 0)
		order = x->prefix.family - y->prefix.family;
	if (order == 0)
		order = memcmp(x->prefix.first, y->prefix.first, sizeof(x->prefix.first));
	if (order == 0)
		order = memcmp(y->prefix.last, x->prefix.last, sizeof(x->prefix.last));
	if (order == 0)
		order = (x->order > y->order) - (x->order < y->order);
	return order;
}

static void subnets_overlap(struct check *check, const struct subnet *a, const struct subnet *b)
{
	const struct subnet *at = a->order > b->order ? a : b, *other = at == a ? b : a;
	const struct place places[2] = {place_at(at->segment, "subnets[%zu]", at->index),
		place_at(other->segment, "subnets[%zu]", other->index)};

	check_report(check, places, 2,
		"subnet %s of segment \"%s\" overlaps %s of segment \"%s\", both of tenant \"%s\"",
		at->segment->subnets[at->index], at->segment->name,
		other->segment->subnets[other->index], other->segment->name, at->segment->tenant);
}

/* Prefixes nest or are apart, so each is compared with the widest one that began before it. */
static void subnets_check(struct check *check)
{
	const Audums__V1__Document *d = model_document(check->model);
	struct subnet *subnets;
	size_t n = 0, widest = 0;

	for (size_t i = 0; i < d->n_segments; i++)
		n += d->segments[i]->n_subnets;
	subnets = calloc(n + 1, sizeof(subnets[0]));
	if (subnets == NULL) {
		check->no_memory = true;
		return;
	}
	n = 0;
	for (size_t i = 0; i < d->n_segments; i++) {
		const Audums__V1__Segment *s = d->segments[i];

		for (size_t k = 0; k < s->n_subnets; k++) {
			if (s->tenant[0] == '\0' ||
				!prefix_parse(s->subnets[k], &subnets[n].prefix))
				continue;
			subnets[n].segment = s;
			subnets[n].index = k;
			subnets[n++].order = i;
		}
	}
	if (n > 1)
		qsort(subnets, n, sizeof(subnets[0]), subnet_compare);
	for (size_t i = 1; i < n; i++) {
		const struct subnet *a = &subnets[widest], *b = &subnets[i];
		const bool within =
			a->prefix.family == b->prefix.family &&
			strcmp(a->segment->tenant, b->segment->tenant) == 0 &&
			memcmp(b->prefix.first, a->prefix.last, sizeof(a->prefix.last)) <= 0;

		if (!within)
			widest = i;
		else if (a->order != b->order)
			subnets_overlap(check, a, b);
	}
	free(subnets);
}

/* ---- quota
 * --------------------------------------------------------------------------------------- */

static void quota_check(struct check *check, const Audums__V1__Tenant *tenant)
{
	const Audums__V1__Segment *const *segments;
	const size_t n = model_tenant_segments(check->model, tenant->name, &segments);
	struct place places[2];

	if (tenant->max_segments == 0 || n <= tenant->max_segments)
		return;
	/* shown at the last segment that is being applied, else at the quota */
	places[0] = place_at(tenant, "max_segments");
	for (size_t i = n; i-- > 0;) {
		if (model_position(
			    check->change, AUDUMS__V1__KIND__KIND_SEGMENT, segments[i]->name) < 0)
			continue;
		places[1] = places[0];
		places[0] = place_at(segments[i], "tenant");
		check_report(check, places, 2,
			"tenant \"%s\" would have %zu segments, its quota (max_segments) is %u",
			tenant->name, n, tenant->max_segments);
		return;
	}
	check_report(check, places, 1,
		"tenant \"%s\" has %zu segments, more than a quota (max_segments) of %u",
		tenant->name, n, tenant->max_segments);
}

/* ---- reachability
 * -------------------------------------------------------------------------------- */

static size_t component_find(size_t *component, size_t i)
{
	while (component[i] != i) {
		component[i] = component[component[i]]; /* halve the path */
		i = component[i];
	}
	return i;
}

static bool backbone_build(const struct model *model, struct backbone *b)
{
	const Audums__V1__Document *d = model_document(model);

	b->component = calloc(d->n_nodes + 1, sizeof(b->component[0]));
	if (b->component == NULL)
		return false;
	for (size_t i = 0; i < d->n_nodes; i++)
		b->component[i] = i;
	for (size_t i = 0; i < d->n_links; i++) {
		const Audums__V1__Link *l = d->links[i];
		ssize_t x, y;

		if (l->a == NULL || l->b == NULL)
			continue;
		x = model_position(model, AUDUMS__V1__KIND__KIND_NODE, l->a->node);
		y = model_position(model, AUDUMS__V1__KIND__KIND_NODE, l->b->node);
		if (x >= 0 && y >= 0)
			b->component[component_find(b->component, (size_t)x)] =
				component_find(b->component, (size_t)y);
	}
	return true;
}

/* One problem a segment: the first node that the first one does not reach. */
static void reach_check(struct check *check, const struct backbone *b, const Audums__V1__Segment *s)
{
	const Audums__V1__Node *first = NULL;
	size_t component = 0;

	for (size_t i = 0; i < s->n_sites; i++) {
		const Audums__V1__Node *const *nodes;
		const size_t n = model_site_nodes(check->model, s->sites[i], &nodes);

		for (size_t k = 0; k < n; k++) {
			const ssize_t at = model_position(
				check->model, AUDUMS__V1__KIND__KIND_NODE, nodes[k]->name);
			const size_t mine = component_find(b->component, (size_t)at);
			const struct place places[2] = {
				place_at(s, "sites[%zu]", i), place_at(nodes[k], "site")};

			if (first == NULL) {
				first = nodes[k];
				component = mine;
			} else if (mine != component) {
				check_report(check, places, 2,
					"no path of links joins node \"%s\" and node \"%s\" of segment "
					"\"%s\"",
					first->name, nodes[k]->name, s->name);
				return;
			}
		}
	}
}

void check_segments(struct check *check)
{
	const Audums__V1__Document *d = model_document(check->model);
	struct backbone backbone;

	if (!backbone_build(check->model, &backbone)) {
		check->no_memory = true;
		return;
	}
	vnis_check(check);
	for (size_t i = 0; i < d->n_segments; i++) {
		vni_check(check, d->segments[i]);
		mtu_check(check, d->segments[i]);
		reach_check(check, &backbone, d->segments[i]);
	}
	subnets_check(check);
	for (size_t i = 0; i < d->n_tenants; i++)
		quota_check(check, d->tenants[i]);
	free(backbone.component);
}
