/*
 * A map from strings to pointers: open addressing, linear probing, at most three quarters full.
 *
 * Invariant: keys are borrowed; whoever puts a value keeps its key alive and unchanged as long as
 * it is in the map (normally the key lies in the value). Values are never NULL.
 * Used all over audumsd.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct strmap_slot {
	const char *key; /* NULL: free */
	void *value;
};

struct strmap {
	struct strmap_slot *slots;
	size_t n;
	size_t size; /* power of two, or 0 */
};

/* An all-zero struct strmap is an empty map. This frees the table, not the values. */
void strmap_free(struct strmap *map);

/* The value, or NULL. */
void *strmap_get(const struct strmap *map, const char *key);

/* Put or replace (the key is replaced too). Returns 0, or -ENOMEM with the map as it was. */
int strmap_put(struct strmap *map, const char *key, void *value);

/* Take a value out; NULL when there is none. */
void *strmap_take(struct strmap *map, const char *key);

/* Make `copy` (empty before) a map of the same keys and values. Returns 0 or -ENOMEM. */
int strmap_copy(struct strmap *copy, const struct strmap *map);

/*
 * Walk all values, in no order: *at starts at 0; NULL at the end. Nothing may be put or taken
 * meanwhile.
 */
void *strmap_next(const struct strmap *map, size_t *at);
