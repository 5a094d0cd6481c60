/*
 * Objects by key; see keyed.h. Invariant: between an object's home slot and its slot there is no
 * empty one.
 */
#include "dataplane/mirror/keyed.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "dataplane/mirror/state.h"

#define MIN_BITS 4

static uint64_t key_of(const struct keyed *map, uint32_t index)
{
	uint64_t key;

	memcpy(&key, (const char *)pool_at(map->pool, index) + map->key_at, sizeof(key));
	return key;
}

static uint32_t home(const struct keyed *map, uint64_t key)
{
	/* two rounds: MACs are often counted up, which one multiplication does not spread enough */
	uint64_t h = (key ^ key >> 32) * map->seed;

	return (uint32_t)(((h ^ h >> 32) * UINT64_C(0x9e3779b97f4a7c15)) >> map->shift);
}

/* The first empty slot for the key. */
static uint32_t room(const struct keyed *map, uint64_t key)
{
	uint32_t at = home(map, key);

	while (map->slots[at] != 0)
		at = (at + 1) & map->mask;
	return at;
}

static int resize(struct keyed *map, unsigned int bits)
{
	uint32_t *old = map->slots, n = old ? map->mask + 1 : 0;
	uint32_t *slots = calloc((size_t)1 << bits, sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	map->slots = slots;
	map->mask = (uint32_t)(((uint64_t)1 << bits) - 1);
	map->shift = 64 - bits;
	for (uint32_t i = 0; i < n; i++)
		if (old[i] != 0)
			slots[room(map, key_of(map, old[i]))] = old[i];
	free(old);
	return 0;
}

int keyed_init(struct keyed *map, const struct pool *pool, size_t key_at)
{
	memset(map, 0, sizeof(*map));
	map->pool = pool;
	map->key_at = key_at;
	if (getrandom(&map->seed, sizeof(map->seed), GRND_NONBLOCK) != sizeof(map->seed))
		map->seed = UINT64_C(0x9e3779b97f4a7c15);
	map->seed |= 1;
	return resize(map, MIN_BITS);
}

void keyed_fini(struct keyed *map)
{
	free(map->slots);
	memset(map, 0, sizeof(*map));
}

/* Slot of the key, or an empty one. */
static uint32_t slot_of(const struct keyed *map, uint64_t key)
{
	uint32_t at = home(map, key);

	while (map->slots[at] != 0 && key_of(map, map->slots[at]) != key)
		at = (at + 1) & map->mask;
	return at;
}

uint32_t keyed_get(const struct keyed *map, uint64_t key)
{
	return map->slots[slot_of(map, key)];
}

int keyed_add(struct keyed *map, uint64_t key, uint32_t index)
{
	if (((uint64_t)map->n + 1) * 3 > ((uint64_t)map->mask + 1) * 2 &&
		(map->shift <= 33 || resize(map, 64 - map->shift + 1) != 0))
		return -ENOMEM;
	map->slots[room(map, key)] = index;
	map->n++;
	return 0;
}

void keyed_del(struct keyed *map, uint64_t key)
{
	uint32_t at = slot_of(map, key), next;

	if (map->slots[at] == 0)
		return;
	map->n--;
	/* pull back what probed past the hole */
	for (next = (at + 1) & map->mask; map->slots[next] != 0; next = (next + 1) & map->mask) {
		const uint32_t want = home(map, key_of(map, map->slots[next]));

		if (((next - want) & map->mask) >= ((next - at) & map->mask)) {
			map->slots[at] = map->slots[next];
			at = next;
		}
	}
	map->slots[at] = 0;
}
