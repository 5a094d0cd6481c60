/*
 * Adjacencies. Invariant: refs[i] > 0 exactly for living ones; a removed adjacency stays readable,
 * and its index taken, until a grace period has passed. Called by the main thread.
 */
#include "dataplane/tables/adj.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_common.h>

#include "dataplane/tables/ids.h"

static void adj_free(struct rcu_entry *entry)
{
	free(container_of(entry, struct adj, rcu));
}

static void adj_gone(struct rcu_entry *entry)
{
	struct adj *adj = container_of(entry, struct adj, rcu);

	adj->tbl->adjs[adj->index] = NULL;
	ids_give(adj->tbl->busy, adj->index);
	free(adj);
}

int adj_tbl_init(struct adj_tbl *t, struct rcu *rcu, uint16_t max)
{
	memset(t, 0, sizeof(*t));
	if (max == 0 || max == UINT16_MAX)
		return -EINVAL;
	t->rcu = rcu;
	t->max = max;
	t->adjs = calloc((size_t)max + 1, sizeof(*t->adjs));
	t->refs = calloc((size_t)max + 1, sizeof(*t->refs));
	t->busy = ids_create(max);
	if (!t->adjs || !t->refs || !t->busy) {
		adj_tbl_fini(t);
		return -ENOMEM;
	}
	return 0;
}

void adj_tbl_fini(struct adj_tbl *t)
{
	for (uint32_t i = 0; t->adjs && i < t->end; i++)
		free((void *)(uintptr_t)t->adjs[i]);
	free(t->adjs);
	free(t->refs);
	free(t->busy);
	memset(t, 0, sizeof(*t));
}

uint16_t adj_find(const struct adj_tbl *t, uint16_t port, rte_be32_t addr)
{
	for (uint16_t i = 1; i < t->end; i++)
		if (t->refs[i] && t->adjs[i]->port == port && t->adjs[i]->addr == addr)
			return i;
	return ADJ_NONE;
}

int adj_hold(struct adj_tbl *t, uint16_t port, rte_be32_t addr, uint16_t mtu)
{
	uint32_t index = adj_find(t, port, addr);
	struct adj *adj;

	if (index != ADJ_NONE) {
		if (t->refs[index] == UINT32_MAX)
			return -ENOSPC;
		t->refs[index]++;
		return (int)index;
	}
	adj = calloc(1, sizeof(*adj));
	if (!adj)
		return -ENOMEM;
	index = ids_take(t->busy, t->max);
	if (index == 0) {
		free(adj);
		return -ENOSPC;
	}
	adj->index = (uint16_t)index;
	adj->port = port;
	adj->addr = addr;
	adj->mtu = mtu;
	adj->tbl = t;
	t->refs[index] = 1;
	t->count++;
	__atomic_store_n(&t->adjs[index], adj, __ATOMIC_RELEASE);
	if (index >= t->end)
		t->end = (uint16_t)(index + 1);
	return (int)index;
}

void adj_release(struct adj_tbl *t, uint16_t index)
{
	struct adj *adj;

	if (index == ADJ_NONE || index > t->max || t->refs[index] == 0)
		return;
	if (--t->refs[index] > 0)
		return;
	adj = (struct adj *)(uintptr_t)t->adjs[index];
	t->count--;
	rcu_defer(t->rcu, &adj->rcu, adj_gone);
}

int adj_set(struct adj_tbl *t, uint16_t index, const struct rte_ether_addr *src,
	const struct rte_ether_addr *dst, uint16_t mtu)
{
	struct adj *adj, *old;

	if (index == ADJ_NONE || index > t->max || t->refs[index] == 0)
		return -ENOENT;
	old = (struct adj *)(uintptr_t)t->adjs[index];
	adj = calloc(1, sizeof(*adj));
	if (!adj)
		return -ENOMEM;
	adj->index = index;
	adj->port = old->port;
	adj->addr = old->addr;
	adj->tbl = t;
	adj->mtu = mtu;
	if (dst) {
		struct rte_ether_hdr *eth = (struct rte_ether_hdr *)adj->rewrite;

		eth->dst_addr = *dst;
		eth->src_addr = *src;
		eth->ether_type = rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4);
		adj->resolved = true;
	}
	if (adj->resolved == old->resolved && adj->mtu == old->mtu &&
		memcmp(adj->rewrite, old->rewrite, sizeof(adj->rewrite)) == 0) {
		free(adj);
		return 0;
	}
	__atomic_store_n(&t->adjs[index], adj, __ATOMIC_RELEASE);
	rcu_defer(t->rcu, &old->rcu, adj_free);
	return 1;
}
