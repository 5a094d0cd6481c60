/*
 * How long walks of the graph take: a histogram in TSC cycles, kept by each worker, always on.
 *
 * A frame is in the graph from the burst that took it in to the burst that sends it, which is one
 * walk; so this is the time frames spend here, queues of ports not counted. Four buckets an octave:
 * a value is known to a quarter. One writer, the worker; others read with stat_read().
 */
#pragma once

#include <stdint.h>

#include "dataplane/nodes/stats.h"

#define LATENCY_SUB_BITS 2
#define LATENCY_SUBS     (1u << LATENCY_SUB_BITS)
#define LATENCY_OCTAVES  40 /* 2^40 cycles are some minutes */
#define LATENCY_BUCKETS  (LATENCY_OCTAVES * LATENCY_SUBS)

struct latency {
	uint64_t buckets[LATENCY_BUCKETS];
	uint64_t max; /* cycles */
};

/* The bucket of a value; what is too large for the last one is in it. */
static inline unsigned int latency_bucket(uint64_t cycles)
{
	unsigned int octave, index;

	if (cycles < LATENCY_SUBS)
		return (unsigned int)cycles;
	octave = 63 - (unsigned int)__builtin_clzll(cycles);
	index = (octave - LATENCY_SUB_BITS + 1) * LATENCY_SUBS +
		((unsigned int)(cycles >> (octave - LATENCY_SUB_BITS)) & (LATENCY_SUBS - 1));
	return index < LATENCY_BUCKETS ? index : LATENCY_BUCKETS - 1;
}

/* The least value of a bucket, in cycles; that of LATENCY_BUCKETS is the last one's end. */
static inline uint64_t latency_floor(unsigned int bucket)
{
	if (bucket < LATENCY_SUBS)
		return bucket;
	return (uint64_t)(LATENCY_SUBS + bucket % LATENCY_SUBS) << (bucket / LATENCY_SUBS - 1);
}

/* How many walks a histogram holds. */
static inline uint64_t latency_walks(const struct latency *l)
{
	uint64_t n = 0;

	for (unsigned int i = 0; i < LATENCY_BUCKETS; i++)
		n += l->buckets[i];
	return n;
}

/* Cycles that `permille` of the walks did not pass, rounded up to a bucket's end; 0: no walks. */
static inline uint64_t latency_quantile(const struct latency *l, unsigned int permille)
{
	const uint64_t walks = latency_walks(l);
	const uint64_t want = walks - walks * (1000 - permille) / 1000;
	uint64_t n = 0;

	for (unsigned int i = 0; i < LATENCY_BUCKETS; i++) {
		n += l->buckets[i];
		if (n >= want && n > 0)
			return RTE_MIN(latency_floor(i + 1) - 1, l->max);
	}
	return 0;
}

/* Worker: a walk took so many cycles. */
static inline void latency_add(struct latency *l, uint64_t cycles)
{
	stat_add(&l->buckets[latency_bucket(cycles)], 1);
	if (cycles > l->max)
		__atomic_store_n(&l->max, cycles, __ATOMIC_RELAXED);
}
