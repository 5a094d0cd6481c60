/*
 * The underlay's IPv4 routes: longest prefix match by DIR-24-8 with 2-octet results.
 *
 * A table of our own: rte_fib of DPDK 22.11 gives back second-level tables while readers may be in
 * them, and corrupts other networks' entries when prefixes that end at 255.255.255.255 nest. The
 * tables are 48 MB of address space, of which only what routes touch is memory; the default route
 * touches none. The main thread alone writes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/tables/rcu.h"

struct fib4;

/* Results of a look-up. From FIB4_NHG on: next-hop group index + FIB4_NHG. */
enum fib4_result {
	FIB4_MISS = 1,  /* no route */
	FIB4_LOCAL,     /* an address of the node */
	FIB4_BLACKHOLE, /* drop silently */
	FIB4_REJECT,    /* unreachable, prohibit: the kernel answers; punt */
	FIB4_PUNT,      /* connected without a known neighbour, or a route we can't take: punt */
	FIB4_NHG = 16,
};

#define FIB4_MAX_NHG (32767 - FIB4_NHG)

static inline bool fib4_is_nhg(uint16_t result)
{
	return result >= FIB4_NHG;
}

static inline uint16_t fib4_nhg(uint16_t result)
{
	return (uint16_t)(result - FIB4_NHG);
}

struct fib4_stats {
	uint32_t routes;
	uint32_t groups; /* /24 networks with longer routes in them */
	uint64_t failed; /* routes refused: a limit, or no memory */
};

/* At most max_routes routes, and max_groups (1 .. 16384) networks of /24 with longer routes in
 * them. Plain memory, no EAL. NULL and errno: EINVAL, ENOMEM. */
struct fib4 *fib4_create(struct rcu *rcu, uint32_t max_routes, uint32_t max_groups);

/* Free it; no worker may be reading, and what it deferred on the RCU has run. */
void fib4_destroy(struct fib4 *fib);

/*
 * Workers and main: look up n addresses in host order; results as above, never 0.
 */
void fib4_lookup_bulk(
	const struct fib4 *fib, const uint32_t addrs[], unsigned int n, uint16_t results[]);

/* One address, host order. */
uint16_t fib4_lookup(const struct fib4 *fib, uint32_t addr);

/*
 * Main thread: add the route or replace its result (address in host order, depth 0 .. 32, bits
 * below must be 0). A reader sees the old or the new result at each address. 0, -EINVAL, -ENOSPC,
 * -ENOMEM. Time grows with the addresses covered: /24 0.1 us, /8 about 0.1 ms, /1 some 10 ms.
 */
int fib4_put(struct fib4 *fib, uint32_t addr, uint8_t depth, uint16_t result);

/* Main thread: remove it. 0, -EINVAL or -ENOENT. */
int fib4_del(struct fib4 *fib, uint32_t addr, uint8_t depth);

/* Main thread: the route with exactly this prefix, 0 if none. */
uint16_t fib4_find(const struct fib4 *fib, uint32_t addr, uint8_t depth);

/* Main thread: the longest route of at most max_depth that covers addr; FIB4_MISS if none. */
uint16_t fib4_match(const struct fib4 *fib, uint32_t addr, uint8_t max_depth, uint8_t *depth);

/* Main thread: visit the routes, in order of address and depth; fn must not change them. */
void fib4_walk(const struct fib4 *fib,
	void (*fn)(void *ctx, uint32_t addr, uint8_t depth, uint16_t result), void *ctx);

void fib4_stats_get(const struct fib4 *fib, struct fib4_stats *stats);
