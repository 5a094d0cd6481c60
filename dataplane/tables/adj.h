/*
 * Adjacencies: a neighbour on an uplink port, with the Ethernet header that reaches it.
 *
 * Workers see an immutable struct adj, replaced as a whole (RCU). The index stays while the
 * neighbour changes its MAC. Keyed by (port, IPv4 address). The main thread alone writes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rte_byteorder.h>
#include <rte_ether.h>

#include "dataplane/tables/rcu.h"

#define ADJ_NONE 0 /* index 0 is never given out */

struct adj {
	uint8_t rewrite[RTE_ETHER_HDR_LEN]; /* whole header, type IPv4; only if resolved */
	uint16_t port;
	uint16_t mtu;    /* octets of layer 3 the port takes */
	bool resolved;   /* false: punt so that the kernel resolves, or drop */
	rte_be32_t addr; /* the neighbour */
	uint16_t index;
	struct rcu_entry rcu; /* the rest is the writer's */
	struct adj_tbl *tbl;
};

struct adj_tbl {
	const struct adj **adjs;
	uint32_t *refs; /* holders; 0 = free or going */
	uint64_t *busy;
	uint16_t max;
	uint16_t end;
	uint16_t count;
	struct rcu *rcu;
};

/* Indexes 1 .. max. 0, -EINVAL or -ENOMEM. */
int adj_tbl_init(struct adj_tbl *t, struct rcu *rcu, uint16_t max);
void adj_tbl_fini(struct adj_tbl *t);

/*
 * Main thread: the adjacency of neighbour `addr` on `port`, made unresolved if it does not exist;
 * takes a reference. Returns its index, -ENOSPC or -ENOMEM.
 */
int adj_hold(struct adj_tbl *t, uint16_t port, rte_be32_t addr, uint16_t mtu);

/* Main thread: give back a reference; the last one removes it (index reused after a grace period).
 */
void adj_release(struct adj_tbl *t, uint16_t index);

/* Main thread: index of the neighbour or ADJ_NONE, without a reference. */
uint16_t adj_find(const struct adj_tbl *t, uint16_t port, rte_be32_t addr);

/*
 * Main thread: set MACs and MTU. dst NULL = unresolved. Groups that use it are to be refreshed
 * afterwards: use tables_adj_set() in tables.h, which does. 1 = changed, 0 = the same already,
 * -ENOENT, -ENOMEM.
 */
int adj_set(struct adj_tbl *t, uint16_t index, const struct rte_ether_addr *src,
	const struct rte_ether_addr *dst, uint16_t mtu);

/* Workers: never NULL for an index found in a next-hop group; NULL for ADJ_NONE or a free one. */
static inline const struct adj *adj_get(const struct adj_tbl *t, uint16_t index)
{
	return __atomic_load_n(&t->adjs[index], __ATOMIC_ACQUIRE);
}
