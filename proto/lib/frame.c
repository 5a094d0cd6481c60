/*
 * Length-prefixed protobuf on stream sockets; see frame.h.
 *
 * Invariant of the decoder: `len` counts header and payload octets of the present frame; the first
 * four are in `head`, the payload in `buf`. A completed frame is kept until the next feed.
 */
#include "proto/lib/frame.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define FIRST_ALLOCATION 256

static size_t head_length(const uint8_t head[FRAME_HEADER_BYTES])
{
	return (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
}

static void head_write(uint8_t head[FRAME_HEADER_BYTES], size_t len)
{
	head[0] = (uint8_t)(len >> 24);
	head[1] = (uint8_t)(len >> 16);
	head[2] = (uint8_t)(len >> 8);
	head[3] = (uint8_t)len;
}

void frame_decoder_init(struct frame_decoder *decoder, size_t max)
{
	memset(decoder, 0, sizeof(*decoder));
	decoder->max = max;
}

void frame_decoder_free(struct frame_decoder *decoder)
{
	free(decoder->buf);
	frame_decoder_init(decoder, decoder->max);
}

static bool decoder_complete(const struct frame_decoder *decoder)
{
	return decoder->len >= FRAME_HEADER_BYTES &&
	       decoder->len == FRAME_HEADER_BYTES + head_length(decoder->head);
}

size_t frame_decoder_missing(const struct frame_decoder *decoder)
{
	if (decoder_complete(decoder))
		return FRAME_HEADER_BYTES;
	if (decoder->len < FRAME_HEADER_BYTES)
		return FRAME_HEADER_BYTES - decoder->len;
	return FRAME_HEADER_BYTES + head_length(decoder->head) - decoder->len;
}

/* Make room for `need` payload octets, growing by doubling so that memory follows what came. */
static int decoder_reserve(struct frame_decoder *decoder, size_t need)
{
	size_t cap = decoder->cap ? decoder->cap : FIRST_ALLOCATION;
	uint8_t *buf;

	if (need <= decoder->cap)
		return 0;
	while (cap < need)
		cap *= 2;
	buf = realloc(decoder->buf, cap);
	if (buf == NULL)
		return -ENOMEM;
	decoder->buf = buf;
	decoder->cap = cap;
	return 0;
}

ssize_t frame_decoder_feed(
	struct frame_decoder *decoder, const void *data, size_t n, struct frame *frame)
{
	const uint8_t *from = data;
	size_t took = 0, part, want;

	frame->data = NULL;
	frame->len = 0;
	if (n == 0)
		return 0;
	if (decoder_complete(decoder))
		decoder->len = 0;
	if (decoder->len < FRAME_HEADER_BYTES) {
		part = FRAME_HEADER_BYTES - decoder->len;
		if (part > n)
			part = n;
		memcpy(decoder->head + decoder->len, from, part);
		decoder->len += part;
		took = part;
		if (decoder->len < FRAME_HEADER_BYTES)
			return (ssize_t)took;
	}
	want = head_length(decoder->head);
	if (want > decoder->max)
		return -EMSGSIZE;
	part = FRAME_HEADER_BYTES + want - decoder->len;
	if (part > n - took)
		part = n - took;
	/* at least one octet, so that an empty frame has a pointer to give */
	if (decoder_reserve(decoder, decoder->len - FRAME_HEADER_BYTES + part + 1) < 0)
		return -ENOMEM;
	memcpy(decoder->buf + (decoder->len - FRAME_HEADER_BYTES), from + took, part);
	decoder->len += part;
	took += part;
	if (decoder_complete(decoder)) {
		frame->data = decoder->buf;
		frame->len = want;
	}
	return (ssize_t)took;
}

int frame_encode(const ProtobufCMessage *message, size_t max, uint8_t **out, size_t *len)
{
	const size_t payload = protobuf_c_message_get_packed_size(message);
	uint8_t *buf;

	if (payload > max || payload > UINT32_MAX)
		return -EMSGSIZE;
	buf = malloc(FRAME_HEADER_BYTES + payload);
	if (buf == NULL)
		return -ENOMEM;
	head_write(buf, payload);
	protobuf_c_message_pack(message, buf + FRAME_HEADER_BYTES);
	*out = buf;
	*len = FRAME_HEADER_BYTES + payload;
	return 0;
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t frame_deadline(int timeout_ms)
{
	return now_ms() + timeout_ms;
}

static int wait_ready(int fd, short events, int64_t deadline_ms)
{
	struct pollfd p = {.fd = fd, .events = events};

	for (;;) {
		int64_t left = deadline_ms - now_ms();
		int n;

		if (left > INT32_MAX)
			left = INT32_MAX;
		n = poll(&p, 1, left > 0 ? (int)left : 0);
		if (n > 0)
			return 0;
		if (n == 0 && left <= 0)
			return -ETIMEDOUT;
		if (n < 0 && errno != EINTR)
			return -errno;
	}
}

int frame_send(int fd, const ProtobufCMessage *message, int64_t deadline_ms)
{
	uint8_t *buf = NULL;
	size_t len = 0, at = 0;
	int err;

	err = frame_encode(message, FRAME_MAX_BYTES, &buf, &len);
	if (err < 0)
		return err;
	while (at < len) {
		const ssize_t n = send(fd, buf + at, len - at, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n > 0) {
			at += (size_t)n;
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN) {
			err = -errno;
			break;
		}
		err = wait_ready(fd, POLLOUT, deadline_ms);
		if (err < 0)
			break;
	}
	free(buf);
	return err;
}

int frame_recv(int fd, const ProtobufCMessageDescriptor *descriptor, int64_t deadline_ms,
	ProtobufCMessage **message)
{
	struct frame_decoder decoder;
	struct frame frame = {NULL, 0};
	uint8_t chunk[4096];
	ssize_t n;
	int err = 0;

	*message = NULL;
	frame_decoder_init(&decoder, FRAME_MAX_BYTES);
	while (frame.data == NULL) {
		/* never more than this frame: what follows stays in the socket */
		size_t want = frame_decoder_missing(&decoder);

		if (want > sizeof(chunk))
			want = sizeof(chunk);
		n = recv(fd, chunk, want, MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			err = wait_ready(fd, POLLIN, deadline_ms);
			if (err < 0)
				goto out;
			continue;
		}
		if (n <= 0) {
			err = n < 0 ? -errno : -ECONNRESET;
			goto out;
		}
		n = frame_decoder_feed(&decoder, chunk, (size_t)n, &frame);
		if (n < 0) {
			err = (int)n;
			goto out;
		}
	}
	*message = protobuf_c_message_unpack(descriptor, NULL, frame.len, frame.data);
	if (*message == NULL)
		err = -EBADMSG;
out:
	frame_decoder_free(&decoder);
	return err;
}
