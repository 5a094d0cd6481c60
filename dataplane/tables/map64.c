/*
 * A hash map from 64-bit keys to 32-bit values. Invariant: between a key's home slot and its slot
 * there is no empty slot.
 */
#include "dataplane/tables/map64.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define MAP64_MIN_BITS 4

static uint32_t home(const struct map64 *map, uint64_t key)
{
	/* Two rounds: MACs are often counted up, which one multiplication does not spread enough. */
	uint64_t h = (key ^ key >> 32) * map->seed;

	return (uint32_t)(((h ^ h >> 32) * UINT64_C(0x9e3779b97f4a7c15)) >> map->shift);
}

static int resize(struct map64 *map, unsigned int bits)
{
	struct map64 old = *map;

	map->slots = calloc((size_t)1 << bits, sizeof(*map->slots));
	if (!map->slots) {
		*map = old;
		return -ENOMEM;
	}
	map->mask = (uint32_t)(((uint64_t)1 << bits) - 1);
	map->shift = 64 - bits;
	for (uint32_t i = 0; old.slots && i <= old.mask; i++) {
		uint32_t at;

		if (old.slots[i].value == 0)
			continue;
		for (at = home(map, old.slots[i].key); map->slots[at].value != 0;)
			at = (at + 1) & map->mask;
		map->slots[at] = old.slots[i];
	}
	free(old.slots);
	return 0;
}

int map64_init(struct map64 *map)
{
	memset(map, 0, sizeof(*map));
	if (getrandom(&map->seed, sizeof(map->seed), GRND_NONBLOCK) != sizeof(map->seed))
		map->seed = 0x9e3779b97f4a7c15u;
	map->seed |= 1;
	return resize(map, MAP64_MIN_BITS);
}

void map64_fini(struct map64 *map)
{
	free(map->slots);
	memset(map, 0, sizeof(*map));
}

uint32_t map64_get(const struct map64 *map, uint64_t key)
{
	uint32_t at;

	for (at = home(map, key); map->slots[at].value != 0; at = (at + 1) & map->mask)
		if (map->slots[at].key == key)
			return map->slots[at].value;
	return 0;
}

int map64_put(struct map64 *map, uint64_t key, uint32_t value)
{
	uint32_t at;

	for (at = home(map, key); map->slots[at].value != 0; at = (at + 1) & map->mask) {
		if (map->slots[at].key == key) {
			map->slots[at].value = value;
			return 0;
		}
	}
	if (((uint64_t)map->n + 1) * 3 > ((uint64_t)map->mask + 1) * 2) {
		if (map->shift <= 32)
			return -ENOMEM;
		if (resize(map, 64 - map->shift + 1) != 0)
			return -ENOMEM;
		for (at = home(map, key); map->slots[at].value != 0;)
			at = (at + 1) & map->mask;
	}
	map->slots[at].key = key;
	map->slots[at].value = value;
	map->n++;
	return 0;
}

uint32_t map64_del(struct map64 *map, uint64_t key)
{
	uint32_t at, next, value;

	for (at = home(map, key);; at = (at + 1) & map->mask) {
		if (map->slots[at].value == 0)
			return 0;
		if (map->slots[at].key == key)
			break;
	}
	value = map->slots[at].value;
	map->n--;
	/* Pull back what probed past the hole. */
	for (next = (at + 1) & map->mask; map->slots[next].value != 0;
		next = (next + 1) & map->mask) {
		uint32_t want = home(map, map->slots[next].key);

		if (((next - want) & map->mask) >= ((next - at) & map->mask)) {
			map->slots[at] = map->slots[next];
			at = next;
		}
	}
	map->slots[at].value = 0;
	return value;
}

bool map64_next(const struct map64 *map, uint32_t *pos, uint64_t *key, uint32_t *value)
{
	for (; *pos <= map->mask; (*pos)++) {
		if (map->slots[*pos].value == 0)
			continue;
		*key = map->slots[*pos].key;
		*value = map->slots[*pos].value;
		(*pos)++;
		return true;
	}
	return false;
}
