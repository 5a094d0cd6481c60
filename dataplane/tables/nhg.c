/*
 * Next-hop groups: slot tables that keep flows where they are.
 *
 * Two layers: `base` spreads slots over all configured legs by weight, and changes as little as
 * possible when legs are added or removed; `slots` is base with the slots of unusable legs lent to
 * usable ones, so a leg that comes back gets exactly its own flows back. Invariant: a group shown
 * to workers is never written again. Called by the main thread.
 */
#include "dataplane/tables/nhg.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_common.h>

#include "dataplane/tables/ids.h"

#define SLOTS_FEW  64
#define SLOTS_MANY 256
#define FEW_LEGS   8
#define MAX_WEIGHT 256

static void nhg_free(struct rcu_entry *entry)
{
	free(container_of(entry, struct nhg, rcu));
}

static void nhg_gone(struct rcu_entry *entry)
{
	struct nhg *g = container_of(entry, struct nhg, rcu);
	struct nhg_tbl *t = g->tbl;

	t->groups[g->index] = NULL;
	for (uint16_t i = 0; i < g->n_legs; i++)
		adj_release(t->adjs, g->legs[i].adj);
	ids_give(t->busy, g->index);
	free(g);
}

int nhg_tbl_init(struct nhg_tbl *t, struct rcu *rcu, uint16_t max, struct adj_tbl *adjs,
	const struct port_tbl *ports)
{
	memset(t, 0, sizeof(*t));
	if (max == 0 || max == UINT16_MAX)
		return -EINVAL;
	t->rcu = rcu;
	t->max = max;
	t->adjs = adjs;
	t->ports = ports;
	t->groups = calloc((size_t)max + 1, sizeof(*t->groups));
	t->busy = ids_create(max);
	if (!t->groups || !t->busy) {
		nhg_tbl_fini(t);
		return -ENOMEM;
	}
	return 0;
}

void nhg_tbl_fini(struct nhg_tbl *t)
{
	for (uint32_t i = 0; t->groups && i < t->end; i++)
		free((void *)(uintptr_t)t->groups[i]);
	free(t->groups);
	free(t->busy);
	memset(t, 0, sizeof(*t));
}

static bool nhg_live(const struct nhg_tbl *t, uint16_t index)
{
	return index != NHG_NONE && index <= t->max && t->groups[index] &&
	       t->groups[index]->rcu.free == NULL;
}

/* Sort by adjacency, join doubles. Returns how many are left, or -EINVAL. */
static int legs_normalise(const struct nhg_tbl *t, const struct nhg_leg in[], unsigned int n,
	struct nhg_leg out[NHG_MAX_LEGS])
{
	int len = 0;

	if (n == 0 || n > NHG_MAX_LEGS)
		return -EINVAL;
	for (unsigned int i = 0; i < n; i++) {
		int at = len;

		if (in[i].adj == ADJ_NONE || in[i].adj > t->adjs->max ||
			t->adjs->refs[in[i].adj] == 0 || in[i].weight == 0 ||
			in[i].weight > MAX_WEIGHT)
			return -EINVAL;
		while (at > 0 && out[at - 1].adj > in[i].adj)
			at--;
		if (at > 0 && out[at - 1].adj == in[i].adj) {
			out[at - 1].weight = (uint16_t)(out[at - 1].weight + in[i].weight);
			continue;
		}
		memmove(&out[at + 1], &out[at], (size_t)(len - at) * sizeof(out[0]));
		out[at] = in[i];
		len++;
	}
	return len;
}

/* How many of `slots` slots each leg gets: by weight, largest remainders first, at least one. */
static void quotas(
	const struct nhg_leg legs[], unsigned int n, unsigned int slots, unsigned int quota[])
{
	unsigned int total = 0, given = 0;

	for (unsigned int i = 0; i < n; i++)
		total += legs[i].weight;
	for (unsigned int i = 0; i < n; i++) {
		quota[i] = slots * legs[i].weight / total;
		if (quota[i] == 0)
			quota[i] = 1;
		given += quota[i];
	}
	while (given != slots) {
		unsigned int best = 0;
		int64_t best_lack = INT64_MIN;

		/* lack: how far the leg is below its exact share, times total */
		for (unsigned int i = 0; i < n; i++) {
			int64_t lack = (int64_t)slots * legs[i].weight - (int64_t)quota[i] * total;

			if (given > slots) {
				if (quota[i] == 1)
					continue;
				lack = -lack;
			}
			if (lack > best_lack) {
				best_lack = lack;
				best = i;
			}
		}
		if (given < slots) {
			quota[best]++;
			given++;
		} else {
			quota[best]--;
			given--;
		}
	}
}

/* The leg furthest below its quota, as a share; ties to the first. */
static unsigned int neediest(const unsigned int have[], const unsigned int quota[], unsigned int n)
{
	unsigned int best = 0;
	int64_t best_lack = INT64_MIN;

	for (unsigned int i = 0; i < n; i++) {
		int64_t lack;

		if (have[i] >= quota[i])
			continue;
		lack = (int64_t)(quota[i] - have[i]) * 65536 / quota[i];
		if (lack > best_lack) {
			best_lack = lack;
			best = i;
		}
	}
	return best;
}

static unsigned int leg_index(const struct nhg_leg legs[], unsigned int n, uint16_t adj)
{
	for (unsigned int i = 0; i < n; i++)
		if (legs[i].adj == adj)
			return i;
	return n;
}

static void base_fill(uint16_t base[], unsigned int slots, const struct nhg_leg legs[],
	unsigned int n, const struct nhg *old)
{
	unsigned int quota[NHG_MAX_LEGS], have[NHG_MAX_LEGS] = {0};

	quotas(legs, n, slots, quota);
	for (unsigned int s = 0; s < slots; s++) {
		unsigned int leg = n;

		if (old && (unsigned int)old->mask + 1 == slots)
			leg = leg_index(legs, n, old->base[s]);
		if (leg < n && have[leg] < quota[leg]) {
			base[s] = old->base[s];
			have[leg]++;
		} else {
			base[s] = ADJ_NONE;
		}
	}
	for (unsigned int s = 0; s < slots; s++) {
		unsigned int leg;

		if (base[s] != ADJ_NONE)
			continue;
		leg = neediest(have, quota, n);
		base[s] = legs[leg].adj;
		have[leg]++;
	}
}

static bool leg_usable(const struct nhg_tbl *t, uint16_t adj)
{
	const struct adj *a = t->adjs->adjs[adj];

	return a && a->resolved && port_up(t->ports, a->port);
}

/* Fill slots from base; slots of unusable legs are lent, by weight, and stay lent to the same leg
 * as long as it is usable. */
static void slots_fill(const struct nhg_tbl *t, struct nhg *g, const struct nhg *old)
{
	unsigned int slots = (unsigned int)g->mask + 1;
	bool usable[NHG_MAX_LEGS];
	int64_t credit[NHG_MAX_LEGS] = {0};
	int64_t total = 0;

	g->n_live = 0;
	for (unsigned int i = 0; i < g->n_legs; i++) {
		usable[i] = leg_usable(t, g->legs[i].adj);
		if (usable[i]) {
			g->n_live++;
			total += g->legs[i].weight;
		}
	}
	memcpy(g->slots, g->base, slots * sizeof(g->slots[0]));
	if (g->n_live == 0 || g->n_live == g->n_legs)
		return;
	for (unsigned int s = 0; s < slots; s++) {
		unsigned int leg = leg_index(g->legs, g->n_legs, g->base[s]);
		unsigned int best = 0;

		if (usable[leg])
			continue;
		if (old && old->mask == g->mask) {
			leg = leg_index(g->legs, g->n_legs, old->slots[s]);
			if (leg < g->n_legs && usable[leg]) {
				g->slots[s] = old->slots[s];
				continue;
			}
		}
		for (unsigned int i = 0; i < g->n_legs; i++) {
			if (!usable[i])
				continue;
			credit[i] += g->legs[i].weight;
			if (!usable[best] || credit[i] > credit[best])
				best = i;
		}
		credit[best] -= total;
		g->slots[s] = g->legs[best].adj;
	}
}

static struct nhg *nhg_make(
	struct nhg_tbl *t, const struct nhg_leg legs[], unsigned int n, const struct nhg *old)
{
	unsigned int slots = n == 1 ? 1 : n <= FEW_LEGS ? SLOTS_FEW : SLOTS_MANY;
	size_t size = sizeof(struct nhg) + 2 * slots * sizeof(uint16_t) + n * sizeof(legs[0]);
	struct nhg *g = aligned_alloc(
		RTE_CACHE_LINE_SIZE, RTE_ALIGN_CEIL(size, (size_t)RTE_CACHE_LINE_SIZE));
	struct nhg_leg *own_legs;
	uint16_t *base;

	if (!g)
		return NULL;
	memset(g, 0, sizeof(*g));
	base = &g->slots[slots];
	own_legs = (struct nhg_leg *)(void *)&base[slots];
	memcpy(own_legs, legs, n * sizeof(legs[0]));
	base_fill(base, slots, legs, n, old);
	g->mask = (uint16_t)(slots - 1);
	g->n_legs = (uint16_t)n;
	g->legs = own_legs;
	g->base = base;
	g->tbl = t;
	if (old)
		g->index = old->index;
	slots_fill(t, g, old);
	return g;
}

int nhg_add(struct nhg_tbl *t, const struct nhg_leg in[], unsigned int n)
{
	struct nhg_leg legs[NHG_MAX_LEGS];
	struct nhg *g;
	uint32_t index;
	int len = legs_normalise(t, in, n, legs);

	if (len < 0)
		return len;
	g = nhg_make(t, legs, (unsigned int)len, NULL);
	if (!g)
		return -ENOMEM;
	index = ids_take(t->busy, t->max);
	if (index == 0) {
		free(g);
		return -ENOSPC;
	}
	for (int i = 0; i < len; i++)
		t->adjs->refs[legs[i].adj]++;
	g->index = (uint16_t)index;
	t->count++;
	if (index >= t->end)
		t->end = (uint16_t)(index + 1);
	__atomic_store_n(&t->groups[index], g, __ATOMIC_RELEASE);
	return (int)index;
}

/* Show g instead of old. */
static void nhg_swap(struct nhg_tbl *t, struct nhg *g, const struct nhg *old)
{
	__atomic_store_n(&t->groups[g->index], g, __ATOMIC_RELEASE);
	rcu_defer(t->rcu, &((struct nhg *)(uintptr_t)old)->rcu, nhg_free);
}

int nhg_set(struct nhg_tbl *t, uint16_t index, const struct nhg_leg in[], unsigned int n)
{
	struct nhg_leg legs[NHG_MAX_LEGS], gone[NHG_MAX_LEGS];
	const struct nhg *old;
	struct nhg *g;
	unsigned int n_gone;
	int len;

	if (!nhg_live(t, index))
		return -ENOENT;
	len = legs_normalise(t, in, n, legs);
	if (len < 0)
		return len;
	old = t->groups[index];
	if (old->n_legs == len && memcmp(old->legs, legs, (size_t)len * sizeof(legs[0])) == 0)
		return 0;
	g = nhg_make(t, legs, (unsigned int)len, old);
	if (!g)
		return -ENOMEM;
	for (int i = 0; i < len; i++)
		t->adjs->refs[legs[i].adj]++;
	n_gone = old->n_legs;
	memcpy(gone, old->legs, n_gone * sizeof(gone[0]));
	nhg_swap(t, g, old);
	/* Released after the swap: an adjacency lives on for a grace period of its own. */
	for (unsigned int i = 0; i < n_gone; i++)
		adj_release(t->adjs, gone[i].adj);
	return 1;
}

int nhg_del(struct nhg_tbl *t, uint16_t index)
{
	if (!nhg_live(t, index))
		return -ENOENT;
	t->count--;
	rcu_defer(t->rcu, &((struct nhg *)(uintptr_t)t->groups[index])->rcu, nhg_gone);
	return 0;
}

/* Choose usable legs anew. 1 = changed, 0 = not, -ENOMEM. */
static int nhg_refresh(struct nhg_tbl *t, const struct nhg *old)
{
	unsigned int slots = (unsigned int)old->mask + 1;
	struct nhg *g = nhg_make(t, old->legs, old->n_legs, old);

	if (!g)
		return -ENOMEM;
	if (g->n_live == old->n_live &&
		memcmp(g->slots, old->slots, slots * sizeof(g->slots[0])) == 0) {
		free(g);
		return 0;
	}
	nhg_swap(t, g, old);
	return 1;
}

static int refresh_where(struct nhg_tbl *t, bool by_port, uint16_t what)
{
	int changed = 0, rc, error = 0;

	for (uint16_t i = 1; i < t->end; i++) {
		const struct nhg *g = t->groups[i];
		bool hit = false;

		if (!nhg_live(t, i))
			continue;
		for (unsigned int l = 0; l < g->n_legs && !hit; l++)
			hit = by_port ? t->adjs->adjs[g->legs[l].adj]->port == what
				      : g->legs[l].adj == what;
		if (!hit)
			continue;
		rc = nhg_refresh(t, g);
		if (rc < 0)
			error = rc;
		else
			changed += rc;
	}
	return error ? error : changed;
}

int nhg_refresh_port(struct nhg_tbl *t, uint16_t port)
{
	return refresh_where(t, true, port);
}

int nhg_refresh_adj(struct nhg_tbl *t, uint16_t adj)
{
	return refresh_where(t, false, adj);
}
