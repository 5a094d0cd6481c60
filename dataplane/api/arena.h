/*
 * Memory for one reply: everything is allocated from here and given back at once.
 *
 * `used` also bounds a reply: what is put into it encodes to fewer octets than it takes here.
 */
#pragma once

#include <stddef.h>

struct arena_block;

struct arena {
	struct arena_block *blocks;
	size_t used;
	int failed; /* an allocation failed; the reply is not to be sent */
};

/* Zeroed memory, aligned for anything; NULL and `failed` set when there is none. */
void *arena_alloc(struct arena *a, size_t size);

/* A formatted string. Never NULL: "" when there is no memory. */
char *arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Give everything back; the arena is as new. */
void arena_reset(struct arena *a);
