/* See strmap.h. */
#include "controller/audumsd/strmap.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* FNV-1a; keys come from validated names, so no attacker chooses collisions at will. */
static size_t key_hash(const char *key)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (; *key; key++)
		h = (h ^ (uint8_t)*key) * 0x100000001b3u;
	return (size_t)(h ^ (h >> 32));
}

/* Slot of the key, or the free one where it would go. The table is not full. */
static size_t slot_find(const struct strmap *map, const char *key)
{
	size_t i = key_hash(key) & (map->size - 1);

	while (map->slots[i].key && strcmp(map->slots[i].key, key))
		i = (i + 1) & (map->size - 1);
	return i;
}

static int grow(struct strmap *map)
{
	struct strmap bigger = {.n = map->n, .size = map->size ? map->size * 2 : 16};

	bigger.slots = calloc(bigger.size, sizeof(*bigger.slots));
	if (!bigger.slots)
		return -ENOMEM;
	for (size_t i = 0; i < map->size; i++)
		if (map->slots[i].key)
			bigger.slots[slot_find(&bigger, map->slots[i].key)] = map->slots[i];
	free(map->slots);
	*map = bigger;
	return 0;
}

void strmap_free(struct strmap *map)
{
	free(map->slots);
	*map = (struct strmap){0};
}

void *strmap_get(const struct strmap *map, const char *key)
{
	return map->n ? map->slots[slot_find(map, key)].value : NULL;
}

int strmap_put(struct strmap *map, const char *key, void *value)
{
	size_t i;

	if ((map->n + 1) * 4 > map->size * 3 && grow(map) < 0)
		return -ENOMEM;
	i = slot_find(map, key);
	map->n += !map->slots[i].key;
	map->slots[i] = (struct strmap_slot){key, value};
	return 0;
}

void *strmap_take(struct strmap *map, const char *key)
{
	size_t i, j, home;
	void *value;

	if (!map->n)
		return NULL;
	i = slot_find(map, key);
	value = map->slots[i].value;
	if (!map->slots[i].key)
		return NULL;
	map->n--;
	/* close the gap: move back whatever could not be at its place because of it */
	for (j = (i + 1) & (map->size - 1); map->slots[j].key; j = (j + 1) & (map->size - 1)) {
		home = key_hash(map->slots[j].key) & (map->size - 1);
		if (((j - home) & (map->size - 1)) >= ((j - i) & (map->size - 1))) {
			map->slots[i] = map->slots[j];
			i = j;
		}
	}
	map->slots[i] = (struct strmap_slot){0};
	return value;
}

int strmap_copy(struct strmap *copy, const struct strmap *map)
{
	*copy = *map;
	if (!map->size)
		return 0;
	copy->slots = malloc(map->size * sizeof(*copy->slots));
	if (!copy->slots) {
		*copy = (struct strmap){0};
		return -ENOMEM;
	}
	memcpy(copy->slots, map->slots, map->size * sizeof(*copy->slots));
	return 0;
}

void *strmap_next(const struct strmap *map, size_t *at)
{
	while (*at < map->size) {
		const struct strmap_slot *slot = &map->slots[(*at)++];

		if (slot->key)
			return slot->value;
	}
	return NULL;
}
