/*
 * The FDB: (bridge domain, MAC) -> destination, for all segments of the node in one table.
 *
 * One writer (the main thread), any number of readers without locks. Seven keys and the link to an
 * overflow bucket share a cache line, their destinations and age stamps the next one: a look-up
 * normally touches two lines, both prefetched for a whole burst. Entries never move; a freed slot
 * is used again only after a grace period, so a reader that matched a key reads that key's
 * destination and no other's. The hash is keyed by a random number, and chains are bounded: MACs
 * are chosen by others.
 *
 * Age stamps are coarse seconds of the monotonic clock, written by workers only when they change.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <rte_ether.h>

#include "dataplane/tables/rcu.h"

struct fdb;

/*
 * Destinations: kind in the top 8 bits, index below. 0 = FDB_MISS.
 */
enum fdb_kind {
	FDB_KIND_NONE,
	FDB_KIND_AC,   /* index: local attachment circuit (ac.h) */
	FDB_KIND_VTEP, /* index: struct vtep */
	FDB_KIND_DROP, /* the kernel says blackhole */
};

#define FDB_MISS 0u

static inline uint32_t fdb_dest(enum fdb_kind kind, uint32_t index)
{
	return (uint32_t)kind << 24 | (index & 0xffffff);
}

static inline enum fdb_kind fdb_dest_kind(uint32_t dest)
{
	return (enum fdb_kind)(dest >> 24);
}

static inline uint32_t fdb_dest_index(uint32_t dest)
{
	return dest & 0xffffff;
}

/* Key of a MAC in bridge domain `bd` (>= 1). `mac` as in the frame. */
static inline uint64_t fdb_key(uint16_t bd, const void *mac)
{
	uint64_t key = 0;

	memcpy(&key, mac, RTE_ETHER_ADDR_LEN);
	return rte_cpu_to_le_64((uint64_t)bd << 48) | key;
}

static inline uint16_t fdb_key_bd(uint64_t key)
{
	return (uint16_t)(rte_le_to_cpu_64(key) >> 48);
}

static inline void fdb_key_mac(uint64_t key, struct rte_ether_addr *mac)
{
	memcpy(mac, &key, RTE_ETHER_ADDR_LEN);
}

struct fdb_entry {
	uint64_t key;
	uint32_t dest;
	uint32_t seen; /* coarse seconds; for local entries */
};

struct fdb_stats {
	uint32_t entries;
	uint32_t capacity;
	uint64_t full;    /* inserts refused: capacity */
	uint64_t chain;   /* inserts refused: too many keys with one hash */
	uint32_t pending; /* freed slots that wait for a grace period */
};

/* Make a table for at most `capacity` entries (1 .. 16M; about 32 octets each, touched when used).
 * NULL and errno: EINVAL, ENOMEM. */
struct fdb *fdb_create(struct rcu *rcu, uint32_t capacity);

/* Free it; no worker may be reading. */
void fdb_destroy(struct fdb *fdb);

/*
 * Workers (and main). Look up n keys; results[i] is the destination or FDB_MISS. n is any number.
 */
void fdb_lookup_bulk(
	const struct fdb *fdb, const uint64_t keys[], unsigned int n, uint32_t results[]);

/*
 * Workers: what a switch asks of each frame. to[i] is the destination of dst[i] as in
 * fdb_lookup_bulk(), from[i] that of src[i]; where it equals expect[i] (normally
 * fdb_dest(FDB_KIND_AC, ingress AC)) its age stamp becomes `now` (coarse seconds). from[i] !=
 * expect[i] is what is to be learnt.
 */
void fdb_switch_bulk(struct fdb *fdb, const uint64_t src[], const uint32_t expect[],
	const uint64_t dst[], unsigned int n, uint32_t now, uint32_t from[], uint32_t to[]);

/* One look-up, for the main thread. True: *entry is filled (entry may be NULL). */
bool fdb_find(const struct fdb *fdb, uint64_t key, struct fdb_entry *entry);

/*
 * Main thread: insert, or replace destination and stamp. 1 = inserted, 0 = replaced, -ENOSPC = full
 * or its chain is (counted), -EINVAL = dest is FDB_MISS or the domain is 0.
 */
int fdb_put(struct fdb *fdb, uint64_t key, uint32_t dest, uint32_t now);

/* Main thread: remove. 0 or -ENOENT. */
int fdb_del(struct fdb *fdb, uint64_t key);

/*
 * Main thread: visit entries from *cursor (0 at first) in slices: fn is called for about `max`
 * entries at most (a bucket is never split), and may put or delete the entry it is given, no other.
 * Returns true while there is more; *cursor goes on. An entry that stays through the whole walk is
 * visited exactly once. fn returning false stops at once: the bucket is visited again.
 */
bool fdb_walk(struct fdb *fdb, uint32_t *cursor, unsigned int max,
	bool (*fn)(void *ctx, const struct fdb_entry *entry), void *ctx);

/* Main thread: take back slots whose grace period has passed. Never waits. */
void fdb_poll(struct fdb *fdb);

void fdb_stats_get(const struct fdb *fdb, struct fdb_stats *stats);
