/*
 * Checks of segments: VNI, MTU, subnets, the tenant's quota, and whether their nodes reach each
 * other; see check.h.
 *
 * "Spans" means: all nodes at the segment's sites.
 */
#include <errno.h>
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

/* `doomed`: by position of a link, whether it is left out (not -1); NULL: none is. */
static bool backbone_build(const struct model *model, const ssize_t *doomed, struct backbone *b)
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

		if (l->a == NULL || l->b == NULL || (doomed != NULL && doomed[i] >= 0))
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

	if (!backbone_build(check->model, NULL, &backbone)) {
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

/* ---- deletion of links
 * --------------------------------------------------------------------------- */

/* What the deletion of a link does: the first segment it parts, and how many. */
struct parting {
	const Audums__V1__Segment *segment;
	const Audums__V1__Node *x, *y;
	size_t n;
};

struct partings {
	const struct model *model;
	struct backbone now, later;
	ssize_t *const *doomed;
	struct parting *by_ref;
};

static bool reach_equal(
	const struct partings *p, const struct backbone *b, const char *x, const char *y)
{
	const ssize_t i = model_position(p->model, AUDUMS__V1__KIND__KIND_NODE, x);
	const ssize_t k = model_position(p->model, AUDUMS__V1__KIND__KIND_NODE, y);

	return i >= 0 && k >= 0 &&
	       component_find(b->component, (size_t)i) == component_find(b->component, (size_t)k);
}

/* The first of the request's links that node `x` reaches now and that joins what will be apart. */
static ssize_t parting_link(const struct partings *p, const char *x)
{
	const Audums__V1__Document *d = model_document(p->model);
	const ssize_t *links = p->doomed[AUDUMS__V1__KIND__KIND_LINK];
	ssize_t first = -1;

	for (size_t i = 0; i < d->n_links; i++) {
		const Audums__V1__Link *l = d->links[i];

		if (links[i] < 0 || (first >= 0 && first < links[i]) ||
			!reach_equal(p, &p->now, x, l->a->node) ||
			reach_equal(p, &p->later, l->a->node, l->b->node))
			continue;
		first = links[i];
	}
	return first;
}

static void segment_partings(struct partings *p, const Audums__V1__Segment *s)
{
	const Audums__V1__Node *first = NULL;

	for (size_t i = 0; i < s->n_sites; i++) {
		const Audums__V1__Node *const *nodes;
		const size_t n = model_site_nodes(p->model, s->sites[i], &nodes);

		for (size_t k = 0; k < n; k++) {
			const ssize_t at = model_position(
				p->model, AUDUMS__V1__KIND__KIND_NODE, nodes[k]->name);
			struct parting *parting;
			ssize_t ref;

			if (p->doomed[AUDUMS__V1__KIND__KIND_NODE][at] >= 0)
				continue;
			if (first == NULL) {
				first = nodes[k];
				continue;
			}
			/* what is apart already is no deletion's doing */
			if (reach_equal(p, &p->later, first->name, nodes[k]->name) ||
				!reach_equal(p, &p->now, first->name, nodes[k]->name))
				continue;
			ref = parting_link(p, first->name);
			if (ref < 0)
				continue;
			parting = &p->by_ref[ref];
			if (parting->n++ == 0)
				*parting = (struct parting){s, first, nodes[k], 1};
			return;
		}
	}
}

static void parting_report(
	const struct parting *parting, const char *link, size_t index, struct problems *problems)
{
	char path[32], more[48] = "";

	if (parting->n > 1)
		snprintf(more, sizeof(more), " (and of %zu more segments)", parting->n - 1);
	snprintf(path, sizeof(path), "objects[%zu]", index);
	problems_add(problems, path,
		"link \"%s\" can't be deleted, no path of links would join node \"%s\" and node "
		"\"%s\" of segment \"%s\"%s any more; take a site out of the segment first",
		link, parting->x->name, parting->y->name, parting->segment->name, more);
}

int check_parting(const struct model *base, ssize_t *const doomed[KIND_COUNT], size_t n_refs,
	struct problems *problems)
{
	const Audums__V1__Document *d = model_document(base);
	const ssize_t *links = doomed[AUDUMS__V1__KIND__KIND_LINK];
	struct partings p = {.model = base, .doomed = doomed};
	int found = 0;

	p.by_ref = calloc(n_refs + 1, sizeof(p.by_ref[0]));
	if (p.by_ref == NULL || !backbone_build(base, NULL, &p.now) ||
		!backbone_build(base, links, &p.later)) {
		found = -ENOMEM;
		goto out;
	}
	for (size_t i = 0; i < d->n_segments; i++)
		if (doomed[AUDUMS__V1__KIND__KIND_SEGMENT][i] < 0)
			segment_partings(&p, d->segments[i]);
	for (size_t i = 0; i < d->n_links; i++) {
		if (links[i] < 0 || p.by_ref[links[i]].n == 0)
			continue;
		parting_report(&p.by_ref[links[i]], d->links[i]->name, (size_t)links[i], problems);
		found++;
	}
out:
	free(p.now.component);
	free(p.later.component);
	free(p.by_ref);
	return found;
}
