/*
 * Protobuf messages on a stream socket: each is preceded by its length, four octets in network byte
 * order (see proto/audums/v1/dataplane.proto).
 *
 * The decoder is incremental and bounded: it never holds more than one frame, and memory follows
 * the octets that have come, not the length that was announced. Used by the dataplane's API
 * (feeding what a non-blocking socket gave) and by clients (the blocking helpers).
 */
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define FRAME_HEADER_BYTES 4
#define FRAME_MAX_BYTES    (1u << 20) /* payload of the dataplane's protocol */

struct frame_decoder {
	uint8_t *buf;
	size_t len; /* octets of the present frame, header and payload, that have come */
	size_t cap;
	size_t max; /* greatest payload */
	uint8_t head[FRAME_HEADER_BYTES];
};

/* A complete payload; it belongs to the decoder and is valid until the next feed. */
struct frame {
	const uint8_t *data; /* NULL = no complete frame yet */
	size_t len;
};

/* `max`: greatest payload accepted, in octets. Allocates nothing. */
void frame_decoder_init(struct frame_decoder *decoder, size_t max);
void frame_decoder_free(struct frame_decoder *decoder);

/*
 * Take octets from `data` up to the end of the present frame. Returns how many were taken (the
 *caller comes again with the rest); when the frame is complete, `frame` holds it (an empty frame
 *has data != NULL and len 0). Errors: -EMSGSIZE (announced length above max; the stream is lost),
 * -ENOMEM.
 *
 *	for (at = 0; at < n; at += (size_t)took) {
 *		took = frame_decoder_feed(&decoder, buf + at, n - at, &frame);
 *		if (took < 0)
 *			close the connection
 *		if (frame.data != NULL)
 *			handle(frame.data, frame.len);
 *	}
 */
ssize_t frame_decoder_feed(
	struct frame_decoder *decoder, const void *data, size_t n, struct frame *frame);

/* Octets that are missing until the next step (header or payload complete); never 0. */
size_t frame_decoder_missing(const struct frame_decoder *decoder);

/*
 * Encode `message` with its length in front. *out is to be freed by the caller. Errors: -EMSGSIZE
 * (above `max`), -ENOMEM.
 */
int frame_encode(const ProtobufCMessage *message, size_t max, uint8_t **out, size_t *len);

/* Milliseconds of CLOCK_MONOTONIC `timeout_ms` from now: the deadline the helpers below take. */
int64_t frame_deadline(int timeout_ms);

/*
 * Blocking helpers for clients; they work on blocking and non-blocking sockets and never raise
 * SIGPIPE. After any error but -EBADMSG the stream is out of step and must be closed.
 *
 * frame_send: write one message (at most FRAME_MAX_BYTES). frame_recv: read one; *message is freed
 * with protobuf_c_message_free_unpacked(*message, NULL).
 * Errors: -ETIMEDOUT (deadline), -EPIPE/-ECONNRESET (peer has gone; end of file before a frame is
 * -ECONNRESET), -EMSGSIZE, -EBADMSG (payload is not such a message), -ENOMEM, others of poll, send
 * and recv.
 */
int frame_send(int fd, const ProtobufCMessage *message, int64_t deadline_ms);
int frame_recv(int fd, const ProtobufCMessageDescriptor *descriptor, int64_t deadline_ms,
	ProtobufCMessage **message);
