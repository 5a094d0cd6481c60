/*
 * The door to the forwarding tables: all of them, made and freed together, on one RCU.
 *
 * Workers only read: between two quiescent states what they have looked up stays valid. The main
 * thread alone writes (through the mirror) and calls tables_poll() once a turn of its loop. Indexes
 * (ports, domains, VTEPs, adjacencies, groups) may be used by others to index counters: an index is
 * given out again only after a grace period.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/tables/ac.h"
#include "dataplane/tables/adj.h"
#include "dataplane/tables/bd.h"
#include "dataplane/tables/fdb.h"
#include "dataplane/tables/fib4.h"
#include "dataplane/tables/guard.h"
#include "dataplane/tables/limit.h"
#include "dataplane/tables/nhg.h"
#include "dataplane/tables/port_tbl.h"
#include "dataplane/tables/rcu.h"
#include "dataplane/tables/vtep.h"

/* 0 in a field means the default in the comment. */
struct tables_options {
	unsigned int max_workers; /* 8 */
	uint32_t max_macs;        /* 65536 */
	uint16_t max_bds;         /* 4096 */
	uint16_t max_acs;         /* 16384: the ports' untagged ones and tagged ones */
	uint16_t max_vteps;       /* 1024 */
	uint16_t max_adjs;        /* 1024 */
	uint16_t max_nhgs;        /* 4096 */
	uint32_t max_routes;      /* 16384 */
	uint32_t max_deep;        /* 1024: /24 networks with longer routes in them */
	uint64_t clock_hz;        /* of the clock that workers meter by; 1 GHz */
};

struct tables {
	struct rcu rcu;
	struct port_tbl ports;
	struct ac_tbl acs;
	struct bd_tbl *bds;
	struct fdb *fdb;
	struct vtep_tbl vteps;
	struct adj_tbl adjs;
	struct nhg_tbl nhgs;
	struct fib4 *fib;
	struct limits limits;
	struct guard guard;
	struct tables_options options; /* with defaults filled in */
};

/* Make all tables, in plain memory: no EAL needed. NULL and errno. */
struct tables *tables_create(const struct tables_options *options);

/* Free all; workers have ended. NULL is allowed. */
void tables_destroy(struct tables *t);

/* Main thread, once a turn: free what may be freed. Never waits. True: something still waits for a
 * grace period, come back within some milliseconds. */
bool tables_poll(struct tables *t);

/* Main thread: the wire of a port has (no) link / the TAP is IFF_UP or not. Groups with a leg on it
 * are refreshed. Returns as nhg_refresh_port(). */
int tables_port_link(struct tables *t, uint16_t port, bool up);
int tables_port_admin(struct tables *t, uint16_t port, bool up);

/* Main thread: adj_set() and refresh of the groups that use it. As adj_set(). */
int tables_adj_set(struct tables *t, uint16_t adj, const struct rte_ether_addr *src,
	const struct rte_ether_addr *dst, uint16_t mtu);

/* Coarse seconds of the monotonic clock, as the FDB's stamps use. */
uint32_t tables_now(void);
