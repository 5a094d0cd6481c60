/*
 * libFuzzer: any octets as a stream of frames, cut as the first octet says. Cutting changes
 * nothing: the frames are those of the stream in one piece. Payloads are then messages from
 * anywhere: they are checked and printed.
 */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "audums/v1/fabric.pb-c.h"
#include "proto/lib/frame.h"
#include "proto/lib/pbtext.h"
#include "proto/lib/rules.h"

#define MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void payload_use(const struct frame *frame)
{
	ProtobufCMessage *message = protobuf_c_message_unpack(
		&audums__v1__apply_request__descriptor, NULL, frame->len, frame->data);
	struct problems problems;
	char *text;

	if (message == NULL)
		return;
	problems_init(&problems);
	if (rules_check(message, "", &problems) < 0)
		abort();
	if (pbtext_print(message, PBTEXT_YAML, &text, NULL) < 0)
		abort();
	free(text);
	if (pbtext_print(message, PBTEXT_JSON_PRETTY, &text, NULL) < 0)
		abort();
	free(text);
	problems_free(&problems);
	protobuf_c_message_free_unpacked(message, NULL);
}

/* Number of frames and a sum over them; ends at the first error as a server would. */
static uint64_t stream_sum(const uint8_t *data, size_t size, size_t piece, bool use)
{
	struct frame_decoder decoder;
	uint64_t sum = 0;

	frame_decoder_init(&decoder, MAX);
	for (size_t from = 0; from < size; from += piece) {
		const size_t n = piece < size - from ? piece : size - from;

		for (size_t at = 0; at < n;) {
			struct frame frame;
			const ssize_t took =
				frame_decoder_feed(&decoder, data + from + at, n - at, &frame);

			if (took == -EMSGSIZE) {
				frame_decoder_free(&decoder);
				return sum ^ 1;
			}
			if (took <= 0 || frame_decoder_missing(&decoder) == 0 ||
				decoder.cap > 2 * (MAX + 1))
				abort();
			at += (size_t)took;
			if (frame.data == NULL)
				continue;
			sum = (sum + 2) * 1099511628211u;
			for (size_t i = 0; i < frame.len; i++)
				sum = (sum ^ frame.data[i]) * 1099511628211u;
			if (use)
				payload_use(&frame);
		}
	}
	frame_decoder_free(&decoder);
	return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t piece;

	if (size < 2)
		return 0;
	piece = data[0] % 16 + 1u;
	if (stream_sum(data + 1, size - 1, size, true) !=
		stream_sum(data + 1, size - 1, piece, false))
		abort();
	return 0;
}
