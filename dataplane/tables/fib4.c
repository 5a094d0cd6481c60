/*
 * The underlay's IPv4 routes: rte_fib, and what is wanted of it.
 *
 * `wanted` holds every route the caller wants; a change is applied at once or, while a grace period
 * is open, queued by prefix (so the queue never holds a prefix twice, and what is applied in the
 * end is what is wanted then). A grace period is opened after a change that may have given back a
 * second-level table, which rte_fib (22.11) clears and reuses at once. It clears it after
 * unlinking, and 0 is no result of ours: a look-up that finds 0 looks again. Called by the main
 * thread but for the look-ups.
 */
#include "dataplane/dpdk_compat.h"

#include "dataplane/tables/fib4.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_common.h>
#include <rte_errno.h>
#include <rte_fib.h>
#include <rte_memory.h>
#include <rte_rib.h>

#include "dataplane/tables/map64.h"
#include "proto/lib/log.h"

#define CHUNK       64
#define RETRIES     16
#define MAX_RESULT  32767
#define DEEP        24 /* longer prefixes need a second-level table */
#define TBL8        256
#define WANT_QUEUED 0x10000u /* in a value of `wanted`: the prefix is in the queue */

struct deep {
	uint32_t net; /* first address of the /24 */
	uint32_t n;   /* applied routes longer than /24 in it */
};

struct fib4 {
	struct rte_fib *fib;
	struct rcu *rcu;
	struct map64 wanted; /* addr << 8 | depth -> result | WANT_QUEUED; result 0 = remove */
	uint32_t n_wanted;
	uint32_t max_routes;
	struct deep *deep; /* ascending */
	uint32_t n_deep;
	uint32_t deep_size;
	uint64_t *queue; /* a ring of keys */
	uint32_t q_size; /* power of two */
	uint32_t q_head;
	uint32_t q_n;
	bool open; /* a grace period must pass before the next change */
	uint64_t token;
	uint64_t held;
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

struct fib4 *fib4_create(struct rcu *rcu, const char *name, uint32_t max_routes, uint32_t num_tbl8)
{
	struct rte_fib_conf conf = {
		.type = RTE_FIB_DIR24_8,
		.default_nh = FIB4_MISS,
		.max_routes = (int)max_routes,
		.dir24_8 = {.nh_sz = RTE_FIB_DIR24_8_2B, .num_tbl8 = num_tbl8},
	};
	struct fib4 *fib;
	int error = ENOMEM;

	if (max_routes == 0 || max_routes > INT32_MAX / 4 || num_tbl8 == 0 || num_tbl8 > 32767) {
		errno = EINVAL;
		return NULL;
	}
	fib = calloc(1, sizeof(*fib));
	if (!fib)
		return NULL;
	fib->rcu = rcu;
	fib->max_routes = max_routes;
	fib->q_size = 64;
	fib->queue = calloc(fib->q_size, sizeof(*fib->queue));
	if (!fib->queue || map64_init(&fib->wanted) != 0)
		goto out;
	fib->fib = rte_fib_create(name, SOCKET_ID_ANY, &conf);
	if (!fib->fib) {
		error = rte_errno;
		goto out;
	}
	return fib;
out:
	fib4_destroy(fib);
	errno = error;
	return NULL;
}

void fib4_destroy(struct fib4 *fib)
{
	if (!fib)
		return;
	rte_fib_free(fib->fib);
	map64_fini(&fib->wanted);
	free(fib->deep);
	free(fib->queue);
	free(fib);
}

void fib4_lookup_bulk(
	const struct fib4 *fib, const uint32_t addrs[], unsigned int n, uint16_t results[])
{
	uint64_t found[CHUNK];
	uint32_t ips[CHUNK];

	for (unsigned int from = 0; from < n; from += CHUNK) {
		unsigned int len = RTE_MIN(n - from, (unsigned int)CHUNK);

		memcpy(ips, &addrs[from], len * sizeof(ips[0]));
		rte_fib_lookup_bulk(fib->fib, ips, found, (int)len);
		for (unsigned int i = 0; i < len; i++) {
			for (int tries = 0; unlikely(found[i] == 0) && tries < RETRIES; tries++)
				rte_fib_lookup_bulk(fib->fib, &ips[i], &found[i], 1);
			results[from + i] = found[i] ? (uint16_t)found[i] : FIB4_MISS;
		}
	}
}

uint16_t fib4_lookup(const struct fib4 *fib, uint32_t addr)
{
	uint16_t result;

	fib4_lookup_bulk(fib, &addr, 1, &result);
	return result;
}

/* Position of the first /24 that is >= net. */
static uint32_t deep_at(const struct fib4 *fib, uint32_t net)
{
	uint32_t lo = 0, hi = fib->n_deep;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (fib->deep[mid].net < net)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static bool deep_inside(const struct fib4 *fib, uint32_t addr, uint8_t depth)
{
	uint32_t at = deep_at(fib, addr);

	return at < fib->n_deep && (fib->deep[at].net & depth_mask(depth)) == addr;
}

static int deep_hold(struct fib4 *fib, uint32_t net)
{
	uint32_t at = deep_at(fib, net);

	if (at < fib->n_deep && fib->deep[at].net == net) {
		fib->deep[at].n++;
		return 0;
	}
	if (fib->n_deep == fib->deep_size) {
		uint32_t size = fib->deep_size ? fib->deep_size * 2 : 16;
		struct deep *deep = realloc(fib->deep, size * sizeof(*deep));

		if (!deep)
			return -ENOMEM;
		fib->deep = deep;
		fib->deep_size = size;
	}
	memmove(&fib->deep[at + 1], &fib->deep[at], (fib->n_deep - at) * sizeof(*fib->deep));
	fib->deep[at] = (struct deep){net, 1};
	fib->n_deep++;
	return 0;
}

static void deep_release(struct fib4 *fib, uint32_t net)
{
	uint32_t at = deep_at(fib, net);

	if (at == fib->n_deep || fib->deep[at].net != net || --fib->deep[at].n > 0)
		return;
	fib->n_deep--;
	memmove(&fib->deep[at], &fib->deep[at + 1], (fib->n_deep - at) * sizeof(*fib->deep));
}

/* All 256 addresses of the /24 give one result: rte_fib has no second-level table for it now. */
static bool net_uniform(const struct fib4 *fib, uint32_t net)
{
	uint32_t addrs[TBL8];
	uint16_t results[TBL8];

	for (uint32_t i = 0; i < TBL8; i++)
		addrs[i] = net + i;
	fib4_lookup_bulk(fib, addrs, TBL8, results);
	for (uint32_t i = 1; i < TBL8; i++)
		if (results[i] != results[0])
			return false;
	return true;
}

/* Is exactly this prefix in rte_fib now? */
static bool route_applied(const struct fib4 *fib, uint32_t addr, uint8_t depth)
{
	struct rte_rib *rib = rte_fib_get_rib(fib->fib);

	return rte_rib_lookup_exact(rib, addr, depth) != NULL;
}

/* Make rte_fib have this route (result 0: not have it). */
static int apply(struct fib4 *fib, uint32_t addr, uint8_t depth, uint16_t result)
{
	bool had = route_applied(fib, addr, depth);
	uint32_t net = addr & depth_mask(DEEP);
	int rc;

	if (!had && result == 0)
		return 0;
	if (depth > DEEP && !had) {
		rc = deep_hold(fib, net);
		if (rc != 0)
			return rc;
	}
	rc = result ? rte_fib_add(fib->fib, addr, depth, result)
		    : rte_fib_delete(fib->fib, addr, depth);
	if (depth > DEEP && ((rc != 0 && !had) || (rc == 0 && result == 0)))
		deep_release(fib, net);
	if (depth > DEEP ? net_uniform(fib, net) : deep_inside(fib, addr, depth)) {
		fib->open = true;
		fib->token = rcu_start(fib->rcu);
	}
	return rc;
}

static bool grace_passed(struct fib4 *fib)
{
	if (fib->open && rcu_passed(fib->rcu, fib->token))
		fib->open = false;
	return !fib->open;
}

static int queue_push(struct fib4 *fib, uint64_t key)
{
	if (fib->q_n == fib->q_size) {
		uint64_t *queue = malloc((size_t)fib->q_size * 2 * sizeof(*queue));

		if (!queue)
			return -ENOMEM;
		for (uint32_t i = 0; i < fib->q_n; i++)
			queue[i] = fib->queue[(fib->q_head + i) & (fib->q_size - 1)];
		free(fib->queue);
		fib->queue = queue;
		fib->q_head = 0;
		fib->q_size *= 2;
	}
	fib->queue[(fib->q_head + fib->q_n++) & (fib->q_size - 1)] = key;
	return 0;
}

/* Record and apply or queue one change. */
static int change(struct fib4 *fib, uint32_t addr, uint8_t depth, uint16_t result)
{
	uint64_t key = route_key(addr, depth);
	uint32_t old = map64_get(&fib->wanted, key);
	int rc;

	if (old & WANT_QUEUED) {
		(void)map64_put(&fib->wanted, key, result | WANT_QUEUED);
		return 0;
	}
	if (result) {
		rc = map64_put(&fib->wanted, key, result);
		if (rc != 0)
			return rc;
	}
	if (fib->q_n > 0 || !grace_passed(fib)) {
		fib->held++;
		rc = queue_push(fib, key);
		if (rc == 0)
			return map64_put(&fib->wanted, key, result | WANT_QUEUED);
	} else {
		rc = apply(fib, addr, depth, result);
	}
	if (rc != 0) {
		fib->failed++;
		if (old)
			(void)map64_put(&fib->wanted, key, old);
		else
			map64_del(&fib->wanted, key);
		return rc;
	}
	if (!result)
		map64_del(&fib->wanted, key);
	return 0;
}

int fib4_put(struct fib4 *fib, uint32_t addr, uint8_t depth, uint16_t result)
{
	uint16_t have;
	int rc;

	if (depth > 32 || (addr & ~depth_mask(depth)) || result == 0 || result > MAX_RESULT)
		return -EINVAL;
	have = fib4_find(fib, addr, depth);
	if (have == result)
		return 0;
	if (have == 0 && fib->n_wanted >= fib->max_routes)
		return -ENOSPC;
	rc = change(fib, addr, depth, result);
	if (rc == 0 && have == 0)
		fib->n_wanted++;
	return rc;
}

int fib4_del(struct fib4 *fib, uint32_t addr, uint8_t depth)
{
	int rc;

	if (depth > 32 || (addr & ~depth_mask(depth)))
		return -EINVAL;
	if (fib4_find(fib, addr, depth) == 0)
		return -ENOENT;
	rc = change(fib, addr, depth, 0);
	if (rc == 0)
		fib->n_wanted--;
	return rc;
}

bool fib4_poll(struct fib4 *fib)
{
	while (fib->q_n > 0 && grace_passed(fib)) {
		uint64_t key = fib->queue[fib->q_head];
		uint32_t addr = (uint32_t)(key >> 8);
		uint8_t depth = (uint8_t)key;
		uint16_t result = (uint16_t)map64_get(&fib->wanted, key);
		int rc;

		fib->q_head = (fib->q_head + 1) & (fib->q_size - 1);
		fib->q_n--;
		rc = apply(fib, addr, depth, result);
		if (rc != 0) {
			fib->failed++;
			log_error("fib_route_failed", "prefix=%u.%u.%u.%u/%u error=%d", addr >> 24,
				addr >> 16 & 0xff, addr >> 8 & 0xff, addr & 0xff, depth, rc);
			if (result)
				fib->n_wanted--;
		}
		if (rc == 0 && result)
			(void)map64_put(&fib->wanted, key, result);
		else
			map64_del(&fib->wanted, key);
	}
	return fib->q_n > 0;
}

uint16_t fib4_find(const struct fib4 *fib, uint32_t addr, uint8_t depth)
{
	return (uint16_t)map64_get(&fib->wanted, route_key(addr, depth));
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
		if ((uint16_t)value)
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
		.routes = fib->n_wanted,
		.queued = fib->q_n,
		.held = fib->held,
		.failed = fib->failed,
	};
}
