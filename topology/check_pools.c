/*
 * Checks of the providers' pools and of what draws from them; see check.h.
 *
 * Invariant: a number or an address belongs to one pool of one provider, or to none. Quarantined
 * values are not known here, so a pool that passes may still be short for a while.
 */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "topology/check_internal.h"

#define ASN_FIRST 64512u /* RFC 6996, 16 bits */
#define ASN_LAST  65534u
#define VNI_LAST  16777215u

/* A pool as an interval of numbers. */
struct pool {
	const Audums__V1__Provider *provider;
	const char *field;
	uint32_t first, last;
	char text[32]; /* as it is declared */
};

static bool range_pool(const Audums__V1__Provider *p, const char *field,
	const Audums__V1__NumberRange *range, struct pool *pool)
{
	if (range == NULL || range->first == 0 || range->last < range->first)
		return false;
	*pool = (struct pool){
		.provider = p, .field = field, .first = range->first, .last = range->last};
	snprintf(pool->text, sizeof(pool->text), "%u-%u", range->first, range->last);
	return true;
}

static uint32_t be32(const uint8_t octets[4])
{
	return (uint32_t)octets[0] << 24 | (uint32_t)octets[1] << 16 | (uint32_t)octets[2] << 8 |
	       octets[3];
}

static bool prefix_pool(
	const Audums__V1__Provider *p, const char *field, const char *text, struct pool *pool)
{
	struct prefix prefix;

	if (!prefix_parse(text, &prefix) || prefix.family != AF_INET)
		return false;
	*pool = (struct pool){.provider = p,
		.field = field,
		.first = be32(prefix.first),
		.last = be32(prefix.last)};
	snprintf(pool->text, sizeof(pool->text), "%s", text);
	return true;
}

/* ---- form
 * ---------------------------------------------------------------------------------------- */

static void range_check(struct check *check, const Audums__V1__Provider *p, const char *field,
	const Audums__V1__NumberRange *range, uint32_t least, uint32_t most, const char *what)
{
	const struct place place = place_at(p, "%s", field);

	if (range == NULL || range->first == 0 || range->last == 0)
		return;
	if (range->last < range->first)
		check_report(check, &place, 1, "the range is empty: first %u is above last %u",
			range->first, range->last);
	else if (range->first < least || range->last > most)
		check_report(check, &place, 1, "%u-%u is not within %u-%u, %s", range->first,
			range->last, least, most, what);
}

/* ---- overlaps
 * ------------------------------------------------------------------------------------ */

static int pool_compare(const void *a, const void *b)
{
	const struct pool *x = a, *y = b;

	if (x->first != y->first)
		return x->first < y->first ? -1 : 1;
	return (x->last < y->last) - (x->last > y->last);
}

/*
 * Pools of one number space: each is compared with the one that reaches farthest among those that
 * begin before it, so every pool that overlaps another is named at least once.
 */
static void overlaps_check(struct check *check, struct pool *pools, size_t n)
{
	size_t farthest = 0;

	if (n > 1)
		qsort(pools, n, sizeof(pools[0]), pool_compare);
	for (size_t i = 1; i < n; i++) {
		const struct pool *a = &pools[farthest], *b = &pools[i];

		if (b->first <= a->last) {
			/* the one declared later is the one to change */
			const bool swap =
				model_position(check->model, KIND_FIRST, b->provider->name) <
				model_position(check->model, KIND_FIRST, a->provider->name);
			const struct pool *at = swap ? a : b, *other = swap ? b : a;
			const struct place places[2] = {place_at(at->provider, "%s", at->field),
				place_at(other->provider, "%s", other->field)};

			check_report(check, places, 2,
				"%s %s of provider \"%s\" overlaps %s %s of provider \"%s\"",
				at->field, at->text, at->provider->name, other->field, other->text,
				other->provider->name);
		}
		if (b->last > a->last)
			farthest = i;
	}
}

/* ---- size
 * ---------------------------------------------------------------------------------------- */

struct demand {
	uint64_t asns, vteps, vnis, links;
};

static void demand_check(struct check *check, const Audums__V1__Provider *p, const char *field,
	const char *text, uint64_t room, uint64_t need, const char *what)
{
	const struct place place = place_at(p, "%s", field);

	if (need > room)
		check_report(check, &place, 1,
			"%s is too small: it has room for %llu, but %llu %s draw from it", text,
			(unsigned long long)room, (unsigned long long)need, what);
}

/* Everything of a provider counts, allocated or explicit, as explicit values lie in the pool too.
 */
static void demands_count(const struct model *model, struct demand *demands)
{
	const Audums__V1__Document *d = model_document(model);
	const Audums__V1__Kind kind = AUDUMS__V1__KIND__KIND_PROVIDER;

	for (size_t i = 0; i < d->n_nodes; i++) {
		const ssize_t at = model_position(model, kind, d->nodes[i]->provider);

		if (at >= 0) {
			demands[at].asns++;
			demands[at].vteps++;
		}
	}
	for (size_t i = 0; i < d->n_segments; i++) {
		const ssize_t at = model_position(model, kind, d->segments[i]->provider);

		if (at >= 0)
			demands[at].vnis++;
	}
	for (size_t i = 0; i < d->n_links; i++) {
		const ssize_t at = model_position(model, kind, d->links[i]->provider);

		if (at >= 0)
			demands[at].links++;
	}
}

static void provider_check(
	struct check *check, const Audums__V1__Provider *p, const struct demand *demand)
{
	struct pool pool;

	range_check(check, p, "asns", p->asns, ASN_FIRST, ASN_LAST,
		"the private 16-bit ASNs (RFC 6996)");
	range_check(check, p, "vnis", p->vnis, 1, VNI_LAST, "the VXLAN network identifiers");
	if (range_pool(p, "asns", p->asns, &pool)) /* the first one is for route targets */
		demand_check(
			check, p, "asns", pool.text, pool.last - pool.first, demand->asns, "nodes");
	if (range_pool(p, "vnis", p->vnis, &pool))
		demand_check(check, p, "vnis", pool.text, (uint64_t)pool.last - pool.first + 1,
			demand->vnis, "segments");
	if (prefix_pool(p, "vteps", p->vteps, &pool)) {
		/* network and broadcast address of a larger pool are left out */
		const uint64_t all = (uint64_t)pool.last - pool.first + 1;

		demand_check(check, p, "vteps", pool.text, all > 2 ? all - 2 : all, demand->vteps,
			"nodes");
	}
	if (prefix_pool(p, "links", p->links, &pool))
		demand_check(check, p, "links", pool.text,
			((uint64_t)pool.last - pool.first + 1) / 2, demand->links, "links");
}

void check_providers(struct check *check)
{
	const Audums__V1__Document *d = model_document(check->model);
	const size_t n = d->n_providers;
	struct demand *demands = calloc(n ? n : 1, sizeof(demands[0]));
	struct pool *pools = calloc(n ? n * 2 : 1, sizeof(pools[0]));
	size_t n_pools;

	if (demands == NULL || pools == NULL) {
		check->no_memory = true;
		goto out;
	}
	demands_count(check->model, demands);
	for (size_t i = 0; i < n; i++)
		provider_check(check, d->providers[i], &demands[i]);
	n_pools = 0;
	for (size_t i = 0; i < n; i++)
		n_pools +=
			range_pool(d->providers[i], "asns", d->providers[i]->asns, &pools[n_pools]);
	overlaps_check(check, pools, n_pools);
	n_pools = 0;
	for (size_t i = 0; i < n; i++)
		n_pools +=
			range_pool(d->providers[i], "vnis", d->providers[i]->vnis, &pools[n_pools]);
	overlaps_check(check, pools, n_pools);
	/* VTEPs and links are addresses of one underlay, so these pools share a number space */
	n_pools = 0;
	for (size_t i = 0; i < n; i++) {
		n_pools += prefix_pool(
			d->providers[i], "vteps", d->providers[i]->vteps, &pools[n_pools]);
		n_pools += prefix_pool(
			d->providers[i], "links", d->providers[i]->links, &pools[n_pools]);
	}
	overlaps_check(check, pools, n_pools);
out:
	free(demands);
	free(pools);
}

/* ---- nodes
 * --------------------------------------------------------------------------------------- */

/* An explicit number of an object, to find those that are given twice. */
struct claim {
	uint32_t number;
	size_t order; /* in the document */
};

static int claim_compare(const void *a, const void *b)
{
	const struct claim *x = a, *y = b;

	if (x->number != y->number)
		return x->number < y->number ? -1 : 1;
	return (x->order > y->order) - (x->order < y->order);
}

static void claims_check(
	struct check *check, struct claim *claims, size_t n, const char *field, bool address)
{
	Audums__V1__Node *const *nodes = model_document(check->model)->nodes;

	if (n > 1)
		qsort(claims, n, sizeof(claims[0]), claim_compare);
	for (size_t i = 1; i < n; i++) {
		const Audums__V1__Node *a = nodes[claims[i - 1].order], *b = nodes[claims[i].order];
		const struct place places[2] = {place_at(b, "%s", field), place_at(a, "%s", field)};

		if (claims[i].number != claims[i - 1].number)
			continue;
		if (address)
			check_report(check, places, 2, "%s is the %s of node \"%s\" already",
				b->vtep, field, a->name);
		else
			check_report(check, places, 2, "%u is the %s of node \"%s\" already",
				b->asn, field, a->name);
	}
}

static void node_check(struct check *check, const Audums__V1__Node *node)
{
	const Audums__V1__Provider *p = model_provider(check->model, node->provider);
	const struct place asn[2] = {place_at(node, "asn"), place_at(p, "asns")};
	const struct place vtep[2] = {place_at(node, "vtep"), place_at(p, "vteps")};
	uint8_t octets[4];
	struct pool pool;

	if (p == NULL)
		return;
	if (node->asn != 0 && range_pool(p, "asns", p->asns, &pool)) {
		if (node->asn < pool.first || node->asn > pool.last)
			check_report(check, asn, 2, "%u is outside the ASNs %s of provider \"%s\"",
				node->asn, pool.text, p->name);
		else if (node->asn == pool.first)
			check_report(check, asn, 2,
				"%u is the first ASN of provider \"%s\", which stands in its route "
				"targets and is not given to a node",
				node->asn, p->name);
	}
	if (node->vtep[0] != '\0' && inet_pton(AF_INET, node->vtep, octets) == 1 &&
		prefix_pool(p, "vteps", p->vteps, &pool) &&
		(be32(octets) < pool.first || be32(octets) > pool.last))
		check_report(check, vtep, 2, "%s is outside the VTEPs %s of provider \"%s\"",
			node->vtep, pool.text, p->name);
}

void check_nodes(struct check *check)
{
	const Audums__V1__Document *d = model_document(check->model);
	struct claim *asns = calloc(d->n_nodes + 1, sizeof(asns[0]));
	struct claim *vteps = calloc(d->n_nodes + 1, sizeof(vteps[0]));
	size_t n_asns = 0, n_vteps = 0;
	uint8_t octets[4];

	if (asns == NULL || vteps == NULL) {
		check->no_memory = true;
		goto out;
	}
	for (size_t i = 0; i < d->n_nodes; i++) {
		const Audums__V1__Node *node = d->nodes[i];

		node_check(check, node);
		if (node->asn != 0)
			asns[n_asns++] = (struct claim){node->asn, i};
		if (inet_pton(AF_INET, node->vtep, octets) == 1)
			vteps[n_vteps++] = (struct claim){be32(octets), i};
	}
	claims_check(check, asns, n_asns, "asn", false);
	claims_check(check, vteps, n_vteps, "vtep", true);
out:
	free(asns);
	free(vteps);
}
