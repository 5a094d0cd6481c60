/*
 * The routing sessions that the kernel holds, as forwarding sees them: what belongs to one goes to
 * the kernel by a rate of its own, which no stranger can use up.
 *
 * Nothing is configured. What the kernel sends says which sessions it holds: TCP port 179 with ACK
 * and without SYN or RST is an established BGP session (an answer to a stranger's SYN is none), and
 * a BFD packet names its own discriminator, 32 bits that a peer must repeat. Keys are hashes under
 * a random number, so they can't be aimed at. Marks of one table for all of it: sessions, sources
 * of live BFD sessions, MACs that carry a session.
 *
 * Workers write and read without locks: two that write one set at once may lose a mark, which comes
 * again with the next packet. Bounded; the oldest mark of a set of four goes.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <rte_common.h>

#define GUARD_WAYS 4
#define GUARD_SETS 1024

struct guard_mark {
	uint64_t key; /* 0 = free */
	uint32_t when;
	uint32_t hold; /* ticks after `when` for which it counts */
};

struct guard_marks {
	struct guard_mark sets[GUARD_SETS][GUARD_WAYS] __rte_cache_aligned;
};

struct guard {
	struct guard_marks sessions;
	struct guard_marks neighbours; /* the main thread's: next hops that are resolved */
	uint64_t seed;
};

enum guard_kind {
	GUARD_BGP = 1,   /* both addresses and ports */
	GUARD_BFD,       /* both addresses and our discriminator */
	GUARD_BFD_LIVE,  /* both addresses: such packets came just now */
	GUARD_MAC,       /* port and MAC: they came from there */
	GUARD_NEIGHBOUR, /* port and address */
};

/* Choose the random number; marks are empty. */
void guard_init(struct guard *g);

static inline uint64_t guard_mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) * UINT64_C(0x9e3779b97f4a7c15);
	return h ^ h >> 29;
}

/* Key of a mark: `addr_len` (4 or 16, 0 = none) octets each of our address and the other's, and a
 * number. Never 0. */
static inline uint64_t guard_key(const struct guard *g, enum guard_kind kind, const uint8_t *ours,
	const uint8_t *theirs, unsigned int addr_len, uint64_t number)
{
	uint64_t h = guard_mix(g->seed, (uint64_t)kind);

	for (unsigned int i = 0; i < addr_len; i++)
		h = guard_mix(h, (uint64_t)ours[i] << 8 | theirs[i]);
	h = guard_mix(h, number);
	h = guard_mix(h, g->seed);
	return h | 1;
}

/* Set a mark at `now` (ticks) for `hold` ticks. */
static inline void guard_set(struct guard_marks *g, uint64_t key, uint32_t now, uint32_t hold)
{
	struct guard_mark *set = g->sets[key >> 32 & (GUARD_SETS - 1)], *to = &set[0];

	for (unsigned int i = 0; i < GUARD_WAYS; i++) {
		const uint64_t have = __atomic_load_n(&set[i].key, __ATOMIC_RELAXED);

		if (have == key || have == 0) {
			to = &set[i];
			break;
		}
		if (now - __atomic_load_n(&set[i].when, __ATOMIC_RELAXED) >
			now - __atomic_load_n(&to->when, __ATOMIC_RELAXED))
			to = &set[i];
	}
	__atomic_store_n(&to->when, now, __ATOMIC_RELAXED);
	__atomic_store_n(&to->hold, hold, __ATOMIC_RELAXED);
	__atomic_store_n(&to->key, key, __ATOMIC_RELEASE);
}

/* Is there such a mark, and does it still count? */
static inline bool guard_has(const struct guard_marks *g, uint64_t key, uint32_t now)
{
	const struct guard_mark *set = g->sets[key >> 32 & (GUARD_SETS - 1)];

	for (unsigned int i = 0; i < GUARD_WAYS; i++)
		if (__atomic_load_n(&set[i].key, __ATOMIC_ACQUIRE) == key)
			return now - __atomic_load_n(&set[i].when, __ATOMIC_RELAXED) <=
			       __atomic_load_n(&set[i].hold, __ATOMIC_RELAXED);
	return false;
}

/* Main thread: the neighbour at `addr` (octets as on the wire) on `port` is, or is no longer, a
 * next hop that forwarding can use. */
void guard_neighbour(
	struct guard *g, uint16_t port, const uint8_t *addr, unsigned int addr_len, bool is);

/* Workers: is it? */
static inline bool guard_is_neighbour(
	const struct guard *g, uint16_t port, const uint8_t *addr, unsigned int addr_len)
{
	return guard_has(
		&g->neighbours, guard_key(g, GUARD_NEIGHBOUR, addr, addr, addr_len, port), 0);
}
