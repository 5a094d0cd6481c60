/* Memory for one reply; see arena.h. */
#include "dataplane/api/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_SIZE 65536
#define ALIGNMENT  16

struct arena_block {
	struct arena_block *next;
	size_t at;
	size_t size;
	char data[] __attribute__((aligned(ALIGNMENT)));
};

void *arena_alloc(struct arena *a, size_t size)
{
	const size_t need = (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
	struct arena_block *b = a->blocks;
	void *p;

	if (b == NULL || b->size - b->at < need) {
		const size_t room = need > BLOCK_SIZE ? need : BLOCK_SIZE;

		b = malloc(sizeof(*b) + room);
		if (b == NULL) {
			a->failed = 1;
			return NULL;
		}
		b->next = a->blocks;
		b->at = 0;
		b->size = room;
		a->blocks = b;
	}
	p = b->data + b->at;
	b->at += need;
	a->used += need;
	memset(p, 0, need);
	return p;
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
	static char empty[1];
	va_list ap;
	char *s;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	s = n < 0 ? NULL : arena_alloc(a, (size_t)n + 1);
	if (s == NULL)
		return empty;
	va_start(ap, fmt);
	vsnprintf(s, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return s;
}

void arena_reset(struct arena *a)
{
	while (a->blocks != NULL) {
		struct arena_block *next = a->blocks->next;

		free(a->blocks);
		a->blocks = next;
	}
	a->used = 0;
	a->failed = 0;
}
