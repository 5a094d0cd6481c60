/*
 * gRPC's message framing: one octet "compressed", four octets length (big-endian), the message.
 * Knows neither HTTP/2 nor protobuf, so that it can be tested and fuzzed alone.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "controller/rpc/buf.h"

#define FRAME_HEAD_BYTES 5

struct frame_reader {
	uint8_t head[FRAME_HEAD_BYTES];
	unsigned int head_len; /* of the message that is being read; 0 between messages */
	struct buf body;       /* its octets so far, when it didn't come in one piece */
};

enum frame_result {
	FRAME_MORE,       /* everything given was taken, no whole message yet */
	FRAME_MESSAGE,    /* one message; call again for the rest */
	FRAME_TOO_LONG,   /* longer than `max` */
	FRAME_COMPRESSED, /* flag 1 */
	FRAME_BAD,        /* flag neither 0 nor 1 */
	FRAME_NO_MEMORY,
};

/*
 * Take octets from *p (*n of them; both are advanced) up to the end of one message. On
 * FRAME_MESSAGE *message and *len say where it is: in the input or in the reader, valid until the
 * next call on the reader. After any error the reader is only good for rpc_frame_reader_clear().
 * Memory held never exceeds twice what has been received of the message.
 */
enum frame_result rpc_frame_read(struct frame_reader *r, const uint8_t **p, size_t *n, size_t max,
	const uint8_t **message, size_t *len);

/* Whether it stands between two messages. */
static inline int rpc_frame_reader_idle(const struct frame_reader *r)
{
	return r->head_len == 0;
}

/* Forget the message that was given out last; gives large memory back. */
static inline void rpc_frame_reader_release(struct frame_reader *r)
{
	rpc_buf_consume(&r->body, r->body.len);
}

void rpc_frame_reader_clear(struct frame_reader *r);

/* Write the head of an uncompressed message of `len` octets. */
void rpc_frame_head(uint8_t head[FRAME_HEAD_BYTES], uint32_t len);
