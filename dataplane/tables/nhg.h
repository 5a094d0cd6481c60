/*
 * Next-hop groups: one or more adjacencies with weights, chosen by flow hash.
 *
 * Workers see an immutable slot table, replaced as a whole (RCU), so a group changes at one
 * instant. Legs on a port without link, or unresolved, are left out while another leg remains.
 * Slots stay with their leg when others come and go: only flows of a lost leg move. The main thread
 * alone writes. A group holds references on its adjacencies.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/tables/adj.h"
#include "dataplane/tables/port_tbl.h"
#include "dataplane/tables/rcu.h"

#define NHG_NONE     0 /* index 0 is never given out */
#define NHG_MAX_LEGS 64

struct nhg_leg {
	uint16_t adj;
	uint16_t weight; /* 1 .. 256 */
};

struct nhg_tbl;

struct nhg {
	uint16_t mask;   /* number of slots - 1; a power of two minus 1 */
	uint16_t n_legs; /* configured legs */
	uint16_t n_live; /* legs in use; 0: none is usable, the slots hold all legs all the same */
	uint16_t index;
	const struct nhg_leg *legs;
	const uint16_t *base; /* slots as if every leg were usable; the writer's */
	struct nhg_tbl *tbl;
	struct rcu_entry rcu;
	uint16_t slots[]; /* adjacency indexes */
};

struct nhg_tbl {
	const struct nhg **groups;
	uint64_t *busy;
	uint16_t max;
	uint16_t end;
	uint16_t count;
	struct rcu *rcu;
	struct adj_tbl *adjs;
	const struct port_tbl *ports;
};

/* Indexes 1 .. max. 0, -EINVAL or -ENOMEM. */
int nhg_tbl_init(struct nhg_tbl *t, struct rcu *rcu, uint16_t max, struct adj_tbl *adjs,
	const struct port_tbl *ports);
void nhg_tbl_fini(struct nhg_tbl *t);

/*
 * Main thread: a new group of n (1 .. NHG_MAX_LEGS) legs; takes a reference on each adjacency.
 * Returns its index, -EINVAL, -ENOSPC or -ENOMEM.
 */
int nhg_add(struct nhg_tbl *t, const struct nhg_leg legs[], unsigned int n);

/* Main thread: replace the legs of a group; flows of legs that stay keep them as far as weights
 * allow. 1 = changed, 0 = the same already, or an error as nhg_add(), -ENOENT. */
int nhg_set(struct nhg_tbl *t, uint16_t index, const struct nhg_leg legs[], unsigned int n);

/* Main thread: remove it, nothing refers to it any more; index reused after a grace period. */
int nhg_del(struct nhg_tbl *t, uint16_t index);

/* Main thread: choose usable legs anew in every group that has a leg on `port` / with `adj`.
 * Returns how many groups changed, or -ENOMEM (the others are done). */
int nhg_refresh_port(struct nhg_tbl *t, uint16_t port);
int nhg_refresh_adj(struct nhg_tbl *t, uint16_t adj);

/* Workers: the group, NULL for NHG_NONE or a free index. */
static inline const struct nhg *nhg_get(const struct nhg_tbl *t, uint16_t index)
{
	return __atomic_load_n(&t->groups[index], __ATOMIC_ACQUIRE);
}

/* Workers: adjacency index for a flow. Uses the low bits of the hash. */
static inline uint16_t nhg_select(const struct nhg *g, uint32_t hash)
{
	return g->slots[hash & g->mask];
}
