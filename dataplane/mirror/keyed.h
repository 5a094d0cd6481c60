/*
 * Objects of a pool by their 64-bit key: a hash table of nothing but their indexes.
 *
 * A key stands once, in its object: 4 octets a slot instead of 16, which is what a million MACs
 * are about. Linear probing, at most 2/3 full, grows by doubling, deletion shifts back. The hash is
 * keyed by a random number, as keys hold MACs. Used by the mirror alone.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct pool;

struct keyed {
	const struct pool *pool;
	size_t key_at; /* where an object has its key */
	uint32_t *slots;
	uint64_t seed;
	uint32_t mask;
	uint32_t n;
	unsigned int shift;
};

/* For objects of `pool` that have a uint64_t key at this offset. 0 or -ENOMEM. */
int keyed_init(struct keyed *map, const struct pool *pool, size_t key_at);
void keyed_fini(struct keyed *map);

/* The object's index, 0 = not there. */
uint32_t keyed_get(const struct keyed *map, uint64_t key);

/* Add the object `index`, whose key (not there yet) will be `key` before the next call. 0 or
 * -ENOMEM. */
int keyed_add(struct keyed *map, uint64_t key, uint32_t index);

/* Remove the object with this key, which it must still have; nothing if there is none. */
void keyed_del(struct keyed *map, uint64_t key);
