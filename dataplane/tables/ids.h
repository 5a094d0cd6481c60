/*
 * Small indexes out of a bitmap. Lowest free first, so tables stay dense. Private to the tables.
 */
#pragma once

#include <stdint.h>
#include <stdlib.h>

/* A bitmap for ids 0 .. max, all free; NULL if out of memory. */
static inline uint64_t *ids_create(uint32_t max)
{
	return calloc(max / 64 + 1, sizeof(uint64_t));
}

/* Take the lowest free id in 1 .. max; 0 = none left. */
static inline uint32_t ids_take(uint64_t *busy, uint32_t max)
{
	for (uint32_t w = 0; w <= max / 64; w++) {
		uint64_t free_bits = ~busy[w];
		uint32_t id;

		if (w == 0)
			free_bits &= ~(uint64_t)1;
		if (!free_bits)
			continue;
		id = w * 64 + (uint32_t)__builtin_ctzll(free_bits);
		if (id > max)
			return 0;
		busy[w] |= (uint64_t)1 << (id % 64);
		return id;
	}
	return 0;
}

static inline void ids_give(uint64_t *busy, uint32_t id)
{
	busy[id / 64] &= ~((uint64_t)1 << (id % 64));
}
