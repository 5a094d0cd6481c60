/*
 * The underlay's IPv4 routes: longest prefix match (rte_fib, DIR-24-8 with 2-octet results, 32 MB).
 *
 * rte_fib of 22.11 gives second-level tables back at once; what could take one up again is held
 * back, in order, until a grace period has passed: changes are queued and applied by fib4_poll(),
 * which never waits. The main thread alone writes.
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
	uint32_t routes; /* wanted */
	uint32_t queued; /* changes not applied yet */
	uint64_t held;   /* times a change waited for a grace period */
	uint64_t failed; /* changes rte_fib refused (no second-level table or node left) */
};

/* At most max_routes routes, num_tbl8 second-level tables (/24s with longer routes in them). Needs
 * the EAL's memory. NULL and errno. */
struct fib4 *fib4_create(struct rcu *rcu, const char *name, uint32_t max_routes, uint32_t num_tbl8);
void fib4_destroy(struct fib4 *fib);

/*
 * Workers and main: look up n addresses in host order; results as above, never 0.
 */
void fib4_lookup_bulk(
	const struct fib4 *fib, const uint32_t addrs[], unsigned int n, uint16_t results[]);

/* One address, host order. */
uint16_t fib4_lookup(const struct fib4 *fib, uint32_t addr);

/*
 * Main thread: want the route (address in host order, depth 0 .. 32, bits below must be 0), add or
 * replace. Applied at once when it can be, else by fib4_poll(). 0, -EINVAL, -ENOSPC, -ENOMEM.
 */
int fib4_put(struct fib4 *fib, uint32_t addr, uint8_t depth, uint16_t result);

/* Main thread: no longer want it. 0, -EINVAL or -ENOENT. */
int fib4_del(struct fib4 *fib, uint32_t addr, uint8_t depth);

/* Main thread: apply what waits, as far as grace periods have passed. True: something still waits,
 * call again soon (a next-hop group that a queued change replaces may still be in use). */
bool fib4_poll(struct fib4 *fib);

/* Main thread: the wanted route with exactly this prefix, 0 if none. */
uint16_t fib4_find(const struct fib4 *fib, uint32_t addr, uint8_t depth);

/* Main thread: visit the wanted routes, in order of address and depth; fn must not change them. */
void fib4_walk(const struct fib4 *fib,
	void (*fn)(void *ctx, uint32_t addr, uint8_t depth, uint16_t result), void *ctx);

void fib4_stats_get(const struct fib4 *fib, struct fib4_stats *stats);
