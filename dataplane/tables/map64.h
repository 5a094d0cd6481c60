/*
 * A hash map from 64-bit keys to non-zero 32-bit values, for the main thread's own bookkeeping.
 *
 * Linear probing, at most 2/3 full, grows by doubling, deletion shifts back: no tombstones. Not for
 * concurrent use. Hash keyed by a random number, as keys hold MACs.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct map64_slot {
	uint64_t key;
	uint32_t value; /* 0 = empty */
};

struct map64 {
	struct map64_slot *slots;
	uint64_t seed;
	uint32_t mask;
	uint32_t n;
	unsigned int shift;
};

/* 0 or -ENOMEM. */
int map64_init(struct map64 *map);
void map64_fini(struct map64 *map);

/* The value, 0 = not there. */
uint32_t map64_get(const struct map64 *map, uint64_t key);

/* Set (value != 0). 0 or -ENOMEM; replacing never fails. */
int map64_put(struct map64 *map, uint64_t key, uint32_t value);

/* Remove; returns the value it had, 0 = was not there. */
uint32_t map64_del(struct map64 *map, uint64_t key);

/* Visit in no order: *pos starts at 0. False = end. The map must not change meanwhile. */
bool map64_next(const struct map64 *map, uint32_t *pos, uint64_t *key, uint32_t *value);
