/*
 * A byte queue: octets are appended at the tail and taken from the head, contiguous in memory.
 * Bounds are its users' business. All-zero is an empty queue. Used inside this folder only.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct buf {
	uint8_t *mem;
	size_t head; /* first octet in mem */
	size_t len;  /* octets held */
	size_t size; /* of mem */
};

/* Make room for `n` octets at the tail and return where they go, or NULL (no memory, nothing
 * changed). Follow with rpc_buf_commit(). */
uint8_t *rpc_buf_reserve(struct buf *b, size_t n);

/* Count `n` reserved octets as held. */
static inline void rpc_buf_commit(struct buf *b, size_t n)
{
	b->len += n;
}

/* Append a copy. Returns 0 or -ENOMEM. */
int rpc_buf_append(struct buf *b, const void *p, size_t n);

/* The first octet held; meaningless when empty. */
static inline const uint8_t *rpc_buf_head(const struct buf *b)
{
	return b->mem + b->head;
}

/* Drop `n` (<= len) octets at the head. Memory that was large is given back when empty. */
void rpc_buf_consume(struct buf *b, size_t n);

/* Free the memory; the queue is empty and usable. */
void rpc_buf_free(struct buf *b);
