/* A byte queue; see buf.h. */
#include "controller/rpc/buf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define KEEP_BYTES 16384 /* an empty queue keeps at most so much memory */

uint8_t *rpc_buf_reserve(struct buf *b, size_t n)
{
	size_t size = b->size ? b->size : 256;
	uint8_t *mem;

	if (b->size && b->size - b->head - b->len >= n)
		return b->mem + b->head + b->len;
	if (n > SIZE_MAX / 2 - b->len)
		return NULL;
	/* Moving to the front is cheap only when at least half of the memory becomes free. */
	if (b->size >= b->len + n && b->head >= b->size / 2) {
		memmove(b->mem, b->mem + b->head, b->len);
		b->head = 0;
		return b->mem + b->len;
	}
	while (size < b->len + n)
		size *= 2;
	mem = malloc(size);
	if (!mem)
		return NULL;
	if (b->len)
		memcpy(mem, b->mem + b->head, b->len);
	free(b->mem);
	b->mem = mem;
	b->size = size;
	b->head = 0;
	return mem + b->len;
}

int rpc_buf_append(struct buf *b, const void *p, size_t n)
{
	uint8_t *at;

	if (n == 0)
		return 0;
	at = rpc_buf_reserve(b, n);
	if (!at)
		return -ENOMEM;
	memcpy(at, p, n);
	b->len += n;
	return 0;
}

void rpc_buf_consume(struct buf *b, size_t n)
{
	b->head += n;
	b->len -= n;
	if (b->len)
		return;
	b->head = 0;
	if (b->size > KEEP_BYTES)
		rpc_buf_free(b);
}

void rpc_buf_free(struct buf *b)
{
	free(b->mem);
	*b = (struct buf){0};
}
