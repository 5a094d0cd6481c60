/*
 * Growing arrays of objects named by index. Invariant: an object's first four octets are free for
 * the list of free ones while it is free, and index 0 is never given out. Pointers into a pool are
 * valid until the next pool_take().
 */
#include <stdlib.h>
#include <string.h>

#include "dataplane/mirror/state.h"

int pool_init(struct pool *p, size_t item_size, uint32_t max)
{
	memset(p, 0, sizeof(*p));
	p->item_size = item_size;
	p->max = max;
	p->end = 1;
	p->size = 16;
	p->items = calloc(p->size, item_size);
	return p->items ? 0 : -1;
}

void pool_fini(struct pool *p)
{
	free(p->items);
	memset(p, 0, sizeof(*p));
}

uint32_t pool_take(struct pool *p)
{
	uint32_t index = p->free;

	if (p->n >= p->max)
		return 0;
	if (index != 0) {
		memcpy(&p->free, pool_at(p, index), sizeof(p->free));
	} else {
		if (p->end == p->size) {
			void *items = realloc(p->items, (size_t)p->size * 2 * p->item_size);

			if (!items)
				return 0;
			p->items = items;
			p->size *= 2;
		}
		index = p->end++;
	}
	memset(pool_at(p, index), 0, p->item_size);
	p->n++;
	return index;
}

void pool_give(struct pool *p, uint32_t index)
{
	memset(pool_at(p, index), 0, p->item_size);
	memcpy(pool_at(p, index), &p->free, sizeof(p->free));
	p->free = index;
	p->n--;
}

/* Append to a growing list; false = no memory. */
bool list16_push(uint16_t **list, uint32_t *n, uint32_t *size, uint16_t value)
{
	if (*n == *size) {
		uint32_t more = *size ? *size * 2 : 64;
		uint16_t *grown = realloc(*list, more * sizeof(*grown));

		if (!grown)
			return false;
		*list = grown;
		*size = more;
	}
	(*list)[(*n)++] = value;
	return true;
}
