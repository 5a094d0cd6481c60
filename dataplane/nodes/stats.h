/*
 * Counters that a worker keeps per segment and VTEP (those of ports are in struct port and its
 * TAP).
 *
 * A counter is one line of a list below: it is then in the structure, in the answers on the unix
 * socket and in telemetry, and docs/operator/counters.md must explain it. What is counted for each
 * packet goes first (the first cache line). Names are part of the API: never reuse one.
 *
 * Invariant: each has one writer, its worker; readers (the API in the main thread) add
 * up all workers' with stat_read(). 64 bits, so they do not wrap. Counters of an index that was
 * freed and given again go on from where they were unless the reader subtracts a base.
 */
#pragma once

#include <stdint.h>

#include <rte_common.h>

#include "dataplane/tables/storm.h"

/* A list's line as a field. */
#define COUNTER_FIELD(name) uint64_t name;

/* By class as its rate lets them pass, then those that it or a check of the class did not: in enum
 * punt_class's order both. */
#define PUNT_CLASS_COUNTERS(X)                                                                     \
	X(arp)                                                                                     \
	X(arp_new)                                                                                 \
	X(bgp)                                                                                     \
	X(bgp_new)                                                                                 \
	X(bfd)                                                                                     \
	X(bfd_new)                                                                                 \
	X(icmp)                                                                                    \
	X(other)                                                                                   \
	X(arp_drops)                                                                               \
	X(arp_new_drops)                                                                           \
	X(bgp_drops)                                                                               \
	X(bgp_new_drops)                                                                           \
	X(bfd_drops)                                                                               \
	X(bfd_new_drops)                                                                           \
	X(icmp_drops)                                                                              \
	X(other_drops)

/* By port: to the kernel. Shown with the prefix "punt_". */
#define PUNT_COUNTERS(X)                                                                           \
	X(packets)                                                                                 \
	X(drops) /* above a class's rate, or the TAP was full */                                   \
	PUNT_CLASS_COUNTERS(X)

struct punt_stats {
	PUNT_COUNTERS(COUNTER_FIELD)
};

/* Flooded frames by class as meters let them pass, then those above the rate: in enum storm_class's
 * order both. */
#define STORM_COUNTERS(X)                                                                          \
	X(flood_broadcast)                                                                         \
	X(flood_unknown)                                                                           \
	X(flood_multicast)                                                                         \
	X(flood_broadcast_drops)                                                                   \
	X(flood_unknown_drops)                                                                     \
	X(flood_multicast_drops)

/* By access port. */
struct storm_stats {
	STORM_COUNTERS(COUNTER_FIELD)
};

/* By bridge domain; octets are of inner frames. */
#define SEGMENT_COUNTERS(X)                                                                        \
	X(encap_packets)                                                                           \
	X(encap_bytes)                                                                             \
	X(decap_packets)                                                                           \
	X(decap_bytes)                                                                             \
	X(flood_packets) /* frames, not copies */                                                  \
	STORM_COUNTERS(X)

struct segment_stats {
	SEGMENT_COUNTERS(COUNTER_FIELD)
} __rte_cache_aligned;

/* By VTEP; octets are of inner frames. */
#define VTEP_COUNTERS(X)                                                                           \
	X(tx_packets)                                                                              \
	X(tx_bytes)                                                                                \
	X(rx_packets)                                                                              \
	X(rx_bytes)

struct vtep_stats {
	VTEP_COUNTERS(COUNTER_FIELD)
} __rte_aligned(32);

/* Of the worker itself; fields of struct worker. */
#define WORKER_COUNTERS(X)                                                                         \
	X(walks)       /* of the graph */                                                          \
	X(busy_walks)  /* ... that took frames in */                                               \
	X(busy_cycles) /* TSC cycles in those */                                                   \
	X(packets)     /* frames taken in */                                                       \
	X(sleeps)                                                                                  \
	X(events_told)     /* LEARN events queued */                                               \
	X(events_overflow) /* events lost, the ring was full */

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
