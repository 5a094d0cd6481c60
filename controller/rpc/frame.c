/* gRPC's message framing; see frame.h. Called by call.c for every DATA chunk. */
#include "controller/rpc/frame.h"

#include <string.h>

enum frame_result rpc_frame_read(struct frame_reader *r, const uint8_t **p, size_t *n, size_t max,
	const uint8_t **message, size_t *len)
{
	size_t need;
	size_t take;

	if (r->head_len == 0)
		rpc_buf_consume(&r->body, r->body.len); /* the message given out last */
	while (r->head_len < FRAME_HEAD_BYTES) {
		if (*n == 0)
			return FRAME_MORE;
		r->head[r->head_len++] = **p;
		(*p)++;
		(*n)--;
	}
	if (r->head[0] != 0)
		return r->head[0] == 1 ? FRAME_COMPRESSED : FRAME_BAD;
	need = (size_t)r->head[1] << 24 | (size_t)r->head[2] << 16 | (size_t)r->head[3] << 8 |
	       (size_t)r->head[4];
	if (need > max)
		return FRAME_TOO_LONG;
	if (r->body.len == 0 && *n >= need) {
		*message = *p;
		*len = need;
		*p += need;
		*n -= need;
		r->head_len = 0;
		return FRAME_MESSAGE;
	}
	take = need - r->body.len;
	if (take > *n)
		take = *n;
	if (rpc_buf_append(&r->body, *p, take) < 0)
		return FRAME_NO_MEMORY;
	*p += take;
	*n -= take;
	if (r->body.len < need)
		return FRAME_MORE;
	*message = rpc_buf_head(&r->body);
	*len = need;
	r->head_len = 0;
	return FRAME_MESSAGE;
}

void rpc_frame_reader_clear(struct frame_reader *r)
{
	rpc_buf_free(&r->body);
	r->head_len = 0;
}

void rpc_frame_head(uint8_t head[FRAME_HEAD_BYTES], uint32_t len)
{
	head[0] = 0;
	head[1] = (uint8_t)(len >> 24);
	head[2] = (uint8_t)(len >> 16);
	head[3] = (uint8_t)(len >> 8);
	head[4] = (uint8_t)len;
}
