/*
 * The underlay's IPv4 routes: DIR-24-8, with the depth of each entry beside it.
 *
 * A look-up reads one entry by the upper 24 bits and, where longer routes are in that /24, a second
 * one by the last 8; an entry of 0 means the default route. Invariants: depth[] says which route an
 * entry's result comes from, so a new route overwrites exactly what shorter ones wrote, and a
 * removed one gives its entries to the next shorter. A second-level group is complete before the
 * first level points at it, and is used again only after a grace period. Called by the main thread
 * but for the look-ups.
 */
#include "dataplane/tables/fib4.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_common.h>
#include <rte_prefetch.h>

#include "dataplane/tables/map64.h"
#include "dataplane/tables/mem.h"

#define CHUNK      64
#define TBL24      (1u << 24)
#define TBL8       256
#define GROUPS     32768 /* what 15 bits can name */
#define EXT        0x8000u
#define MAX_RESULT (EXT - 1)

/* What the writer knows of a group. */
struct group {
	struct rcu_entry rcu;
	struct fib4 *fib;
	uint32_t routes; /* longer than /24 in it */
	uint16_t next_free;
};

struct fib4 {
	uint16_t *tbl24;        /* results, or EXT | group */
	uint16_t (*tbl8)[TBL8]; /* results */
	uint16_t default_result;
	uint8_t *depth24; /* depth of the route behind each entry; of EXT ones, unused */
	uint8_t (*depth8)[TBL8];
	struct group *groups;
	uint16_t free_group;  /* 0 = none; group 0 is never used */
	uint16_t fresh_group; /* from here on never used */
	uint32_t n_groups;
	uint32_t max_groups;
	uint32_t max_routes;
	struct map64 wanted; /* addr << 8 | depth -> result */
	struct rcu *rcu;
	uint64_t failed;
};

static uint64_t route_key(uint32_t addr, uint8_t depth)
{
	return (uint64_t)addr << 8 | depth;
}

static uint32_t depth_mask(uint8_t depth)
{
	return (uint32_t)(UINT64_C(0xffffffff) << (32 - depth));
}

struct fib4 *fib4_create(struct rcu *rcu, uint32_t max_routes, uint32_t max_groups)
{
	struct fib4 *fib;

	if (max_routes == 0 || max_groups == 0 || max_groups > GROUPS / 2) {
		errno = EINVAL;
		return NULL;
	}
	fib = calloc(1, sizeof(*fib));
	if (!fib)
		return NULL;
	fib->rcu = rcu;
	fib->max_routes = max_routes;
	fib->max_groups = max_groups;
	fib->default_result = FIB4_MISS;
	fib->fresh_group = 1;
	fib->tbl24 = mem_map(TBL24 * sizeof(*fib->tbl24), false);
	fib->depth24 = mem_map(TBL24 * sizeof(*fib->depth24), false);
	fib->tbl8 = mem_map(GROUPS * sizeof(*fib->tbl8), false);
	fib->depth8 = mem_map(GROUPS * sizeof(*fib->depth8), false);
	fib->groups = mem_map(GROUPS * sizeof(*fib->groups), false);
	if (!fib->tbl24 || !fib->depth24 || !fib->tbl8 || !fib->depth8 || !fib->groups ||
		map64_init(&fib->wanted) != 0) {
		fib4_destroy(fib);
		errno = ENOMEM;
		return NULL;
	}
	return fib;
}

void fib4_destroy(struct fib4 *fib)
{
	if (!fib)
		return;
	mem_unmap(fib->tbl24, TBL24 * sizeof(*fib->tbl24));
	mem_unmap(fib->depth24, TBL24 * sizeof(*fib->depth24));
	mem_unmap(fib->tbl8, GROUPS * sizeof(*fib->tbl8));
	mem_unmap(fib->depth8, GROUPS * sizeof(*fib->depth8));
	mem_unmap(fib->groups, GROUPS * sizeof(*fib->groups));
	map64_fini(&fib->wanted);
	free(fib);
}

void fib4_lookup_bulk(
	const struct fib4 *fib, const uint32_t addrs[], unsigned int n, uint16_t results[])
{
	uint16_t def = __atomic_load_n(&fib->default_result, __ATOMIC_RELAXED);

	for (unsigned int i = 0; i < n; i++)
		rte_prefetch0(&fib->tbl24[addrs[i] >> 8]);
	for (unsigned int i = 0; i < n; i++) {
		uint16_t e = __atomic_load_n(&fib->tbl24[addrs[i] >> 8], __ATOMIC_ACQUIRE);

		if (unlikely(e & EXT))
			e = __atomic_load_n(
				&fib->tbl8[e & ~EXT][addrs[i] & 0xff], __ATOMIC_RELAXED);
		results[i] = e ? e : def;
	}
}

uint16_t fib4_lookup(const struct fib4 *fib, uint32_t addr)
{
	uint16_t result;

	fib4_lookup_bulk(fib, &addr, 1, &result);
	return result;
}

static void group_gone(struct rcu_entry *entry)
{
	struct group *g = container_of(entry, struct group, rcu);
	struct fib4 *fib = g->fib;

	g->next_free = fib->free_group;
	fib->free_group = (uint16_t)(g - fib->groups);
}

/* A group with every entry as the /24 is now, shown instead of it. 0 = none left. */
static uint16_t group_open(struct fib4 *fib, uint32_t net)
{
	uint16_t at;

	if (fib->n_groups >= fib->max_groups)
		return 0;
	if (fib->free_group != 0) {
		at = fib->free_group;
		fib->free_group = fib->groups[at].next_free;
	} else if (fib->fresh_group < GROUPS) {
		at = fib->fresh_group++;
	} else {
		return 0;
	}
	for (unsigned int i = 0; i < TBL8; i++)
		fib->tbl8[at][i] = fib->tbl24[net];
	memset(fib->depth8[at], fib->depth24[net], TBL8);
	fib->groups[at].fib = fib;
	fib->groups[at].routes = 0;
	fib->n_groups++;
	__atomic_store_n(&fib->tbl24[net], (uint16_t)(EXT | at), __ATOMIC_RELEASE);
	return at;
}

/* No longer route is left in the group, so its entries are all alike: back to one. */
static void group_close(struct fib4 *fib, uint32_t net, uint16_t at)
{
	fib->depth24[net] = fib->depth8[at][0];
	__atomic_store_n(&fib->tbl24[net], fib->tbl8[at][0], __ATOMIC_RELEASE);
	fib->n_groups--;
	rcu_defer(fib->rcu, &fib->groups[at].rcu, group_gone);
}

/*
 * Give entries from .. from + n - 1 a new result and depth: those written by routes of depth
 * `above` .. `upto`.
 */
static void entries_set(uint16_t results[], uint8_t depths[], uint32_t from, uint32_t n,
	uint16_t result, uint8_t depth, uint8_t above, uint8_t upto)
{
	for (uint32_t i = from; i < from + n; i++) {
		if (depths[i] < above || depths[i] > upto)
			continue;
		depths[i] = depth;
		__atomic_store_n(&results[i], result, __ATOMIC_RELAXED);
	}
}

/* The same for all entries under a prefix. */
static void prefix_set(struct fib4 *fib, uint32_t addr, uint8_t prefix, uint16_t result,
	uint8_t depth, uint8_t above, uint8_t upto)
{
	uint32_t from = addr >> 8;

	if (prefix == 0) {
		__atomic_store_n(
			&fib->default_result, result ? result : FIB4_MISS, __ATOMIC_RELAXED);
		return;
	}
	if (prefix > 24) {
		uint16_t at = fib->tbl24[from] & (uint16_t)~EXT;

		entries_set(fib->tbl8[at], fib->depth8[at], addr & 0xff, 1u << (32 - prefix),
			result, depth, above, upto);
		return;
	}
	for (uint32_t i = from; i < from + (1u << (24 - prefix)); i++) {
		uint16_t e = fib->tbl24[i];

		if (e & EXT)
			entries_set(fib->tbl8[e & ~EXT], fib->depth8[e & ~EXT], 0, TBL8, result,
				depth, above, upto);
		else
			entries_set(fib->tbl24, fib->depth24, i, 1, result, depth, above, upto);
	}
}

int fib4_put(struct fib4 *fib, uint32_t addr, uint8_t depth, uint16_t result)
{
	uint64_t key = route_key(addr, depth);
	uint16_t group = 0;
	uint32_t old;
	int rc;

	if (depth > 32 || (addr & ~depth_mask(depth)) || result == 0 || result > MAX_RESULT)
		return -EINVAL;
	old = map64_get(&fib->wanted, key);
	if (old == result)
		return 0;
	if (old == 0 && fib->wanted.n >= fib->max_routes) {
		fib->failed++;
		return -ENOSPC;
	}
	if (depth > 24 && old == 0) {
		group = fib->tbl24[addr >> 8];
		group = group & EXT ? group & (uint16_t)~EXT : group_open(fib, addr >> 8);
		if (group == 0) {
			fib->failed++;
			return -ENOSPC;
		}
	}
	rc = map64_put(&fib->wanted, key, result);
	if (rc != 0) {
		if (group != 0 && fib->groups[group].routes == 0)
			group_close(fib, addr >> 8, group);
		fib->failed++;
		return rc;
	}
	if (group != 0)
		fib->groups[group].routes++;
	prefix_set(fib, addr, depth, result, depth, 0, depth);
	return 0;
}

int fib4_del(struct fib4 *fib, uint32_t addr, uint8_t depth)
{
	uint16_t result = 0, group;
	uint8_t parent = depth;

	if (depth > 32 || (addr & ~depth_mask(depth)))
		return -EINVAL;
	if (map64_del(&fib->wanted, route_key(addr, depth)) == 0)
		return -ENOENT;
	while (parent > 1 && result == 0) {
		parent--;
		result = fib4_find(fib, addr & depth_mask(parent), parent);
	}
	if (result == 0)
		parent = 0;
	prefix_set(fib, addr, depth, result, parent, depth, depth);
	if (depth > 24) {
		group = fib->tbl24[addr >> 8] & (uint16_t)~EXT;
		if (--fib->groups[group].routes == 0)
			group_close(fib, addr >> 8, group);
	}
	return 0;
}

uint16_t fib4_find(const struct fib4 *fib, uint32_t addr, uint8_t depth)
{
	return (uint16_t)map64_get(&fib->wanted, route_key(addr, depth));
}

uint16_t fib4_match(const struct fib4 *fib, uint32_t addr, uint8_t max_depth, uint8_t *depth)
{
	for (int d = max_depth; d >= 0; d--) {
		uint16_t result = fib4_find(fib, addr & depth_mask((uint8_t)d), (uint8_t)d);

		if (result != 0) {
			*depth = (uint8_t)d;
			return result;
		}
	}
	return FIB4_MISS;
}

static int key_compare(const void *a, const void *b)
{
	uint64_t x, y;

	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return (x > y) - (x < y);
}

void fib4_walk(const struct fib4 *fib,
	void (*fn)(void *ctx, uint32_t addr, uint8_t depth, uint16_t result), void *ctx)
{
	uint64_t *keys = malloc(((size_t)fib->wanted.n + 1) * sizeof(*keys)), key;
	uint32_t pos = 0, value, n = 0;

	if (!keys)
		return;
	while (map64_next(&fib->wanted, &pos, &key, &value))
		keys[n++] = key;
	qsort(keys, n, sizeof(*keys), key_compare);
	for (uint32_t i = 0; i < n; i++)
		fn(ctx, (uint32_t)(keys[i] >> 8), (uint8_t)keys[i],
			(uint16_t)map64_get(&fib->wanted, keys[i]));
	free(keys);
}

void fib4_stats_get(const struct fib4 *fib, struct fib4_stats *stats)
{
	*stats = (struct fib4_stats){
		.routes = fib->wanted.n,
		.groups = fib->n_groups,
		.failed = fib->failed,
	};
}
