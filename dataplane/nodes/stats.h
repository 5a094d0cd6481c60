/*
 * Counters that a worker keeps per segment and VTEP (those of ports are in struct port and its
 * TAP).
 *
 * Invariant: each has one writer, its worker; readers (the API in the main thread) add
 * up all workers' with stat_read(). 64 bits, so they do not wrap. Counters of an index that was
 * freed and given again go on from where they were unless the reader subtracts a base.
 */
#pragma once

#include <stdint.h>

#include <rte_common.h>

/* By port: to the kernel. */
struct punt_stats {
	uint64_t packets;
	uint64_t drops; /* above a class's rate, or the TAP was full */
};

struct segment_stats {
	uint64_t encap_packets;
	uint64_t encap_bytes; /* of inner frames */
	uint64_t decap_packets;
	uint64_t decap_bytes;
	uint64_t flood_packets; /* frames, not copies */
} __rte_cache_aligned;

struct vtep_stats {
	uint64_t tx_packets;
	uint64_t tx_bytes; /* of inner frames */
	uint64_t rx_packets;
	uint64_t rx_bytes;
} __rte_aligned(32);

/* Add to a counter of one's own: no lock prefix, but no torn read for others either. */
static inline void stat_add(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

/* Read a counter that its worker may be adding to. */
static inline uint64_t stat_read(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}
