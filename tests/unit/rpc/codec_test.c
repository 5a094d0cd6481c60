/*
 * The wire formats without a wire: the byte queue, message framing cut at every place, statuses,
 * base64, timeouts, details.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "audums/v1/fabric.pb-c.h"
#include "controller/rpc/buf.h"
#include "controller/rpc/frame.h"
#include "controller/rpc/status.h"

static void buf_keeps_order(void **state)
{
	struct buf b = {0};
	uint8_t next_in = 0, next_out = 0;
	unsigned int seed = 7;

	for (int i = 0; i < 20000; i++) {
		uint8_t chunk[300];
		const size_t n = (size_t)(rand_r(&seed) % 300);

		if (rand_r(&seed) % 2) {
			for (size_t k = 0; k < n; k++)
				chunk[k] = next_in++;
			assert_int_equal(rpc_buf_append(&b, chunk, n), 0);
		} else {
			const size_t take = n < b.len ? n : b.len;

			for (size_t k = 0; k < take; k++)
				assert_int_equal(rpc_buf_head(&b)[k], next_out++);
			rpc_buf_consume(&b, take);
		}
	}
	/* what is drained gives its memory back */
	assert_int_equal(rpc_buf_append(&b, rpc_buf_reserve(&b, 100000), 100000), 0);
	rpc_buf_consume(&b, b.len);
	assert_int_equal(b.size, 0);
	rpc_buf_free(&b);
}

/* ---- framing ---- */

/* Feed `wire` in pieces of `step` octets; returns the last result and counts messages. */
static enum frame_result feed(const uint8_t *wire, size_t len, size_t step, size_t max,
	unsigned int *messages, size_t *octets)
{
	struct frame_reader r = {0};
	enum frame_result result = FRAME_MORE;

	*messages = 0;
	*octets = 0;
	for (size_t at = 0; at < len; at += step) {
		uint8_t *copy = malloc(step); /* so that the sanitiser sees the ends */
		const uint8_t *p = copy;
		size_t n = len - at < step ? len - at : step;

		memcpy(copy, wire + at, n);
		while (n > 0) {
			const uint8_t *m;
			size_t m_len;

			result = rpc_frame_read(&r, &p, &n, max, &m, &m_len);
			if (result == FRAME_MESSAGE) {
				for (size_t i = 0; i < m_len; i++)
					assert_int_equal(m[i], (uint8_t)(*messages + i));
				(*messages)++;
				*octets += m_len;
				rpc_frame_reader_release(&r);
			} else if (result != FRAME_MORE) {
				break;
			}
		}
		free(copy);
		if (result != FRAME_MORE && result != FRAME_MESSAGE)
			break;
	}
	rpc_frame_reader_clear(&r);
	return result;
}

static void frame_cut_anywhere(void **state)
{
	static const size_t sizes[] = {0, 1, 5, 0, 0, 300, 2};
	uint8_t wire[512];
	size_t len = 0, total = 0;

	for (size_t i = 0; i < 7; i++) {
		rpc_frame_head(wire + len, (uint32_t)sizes[i]);
		len += FRAME_HEAD_BYTES;
		for (size_t k = 0; k < sizes[i]; k++)
			wire[len++] = (uint8_t)(i + k);
		total += sizes[i];
	}
	for (size_t step = 1; step <= len; step++) {
		unsigned int messages;
		size_t octets;

		assert_int_equal(feed(wire, len, step, 300, &messages, &octets), FRAME_MESSAGE);
		assert_int_equal(messages, 7);
		assert_int_equal(octets, total);
	}
}

static void frame_refusals(void **state)
{
	static const uint8_t too_long[] = {0, 0, 0, 1, 45, 1};
	static const uint8_t huge[] = {0, 0xff, 0xff, 0xff, 0xff, 1};
	static const uint8_t compressed[] = {1, 0, 0, 0, 1, 1};
	static const uint8_t bad[] = {2, 0, 0, 0, 1, 1};
	unsigned int messages;
	size_t octets;

	assert_int_equal(feed(too_long, 6, 6, 300, &messages, &octets), FRAME_TOO_LONG);
	assert_int_equal(feed(huge, 6, 1, 300, &messages, &octets), FRAME_TOO_LONG);
	assert_int_equal(feed(compressed, 6, 2, 300, &messages, &octets), FRAME_COMPRESSED);
	assert_int_equal(feed(bad, 6, 3, 300, &messages, &octets), FRAME_BAD);
	assert_int_equal(messages, 0);
}

static void frame_memory_follows_what_came(void **state)
{
	/* a head that promises 4 MiB, and 1,000 octets of it */
	uint8_t wire[FRAME_HEAD_BYTES + 1000] = {0};
	struct frame_reader r = {0};
	const uint8_t *p = wire, *m;
	size_t n = sizeof(wire), len;

	rpc_frame_head(wire, 4u << 20);
	assert_int_equal(rpc_frame_read(&r, &p, &n, 4u << 20, &m, &len), FRAME_MORE);
	assert_int_equal(n, 0);
	assert_true(r.body.size <= 2048);
	assert_false(rpc_frame_reader_idle(&r));
	rpc_frame_reader_clear(&r);
}

/* ---- texts ---- */

static void percent_encoding(void **state)
{
	char out[64];

	assert_int_equal(rpc_percent_encode(out, sizeof(out), "plain ~text"), 11);
	assert_string_equal(out, "plain ~text");
	rpc_percent_encode(out, sizeof(out), "100%\n");
	assert_string_equal(out, "100%25%0A");
	rpc_percent_encode(out, sizeof(out), "R\xc4\xabga");
	assert_string_equal(out, "R%C4%ABga");
	/* cut at a whole character: not within the escape, nor between the two of one letter */
	rpc_percent_encode(out, 7, "R\xc4\xabga");
	assert_string_equal(out, "R");
	rpc_percent_encode(out, 8, "R\xc4\xabga");
	assert_string_equal(out, "R%C4%AB");
	rpc_percent_encode(out, 9, "R\xc4\xabga");
	assert_string_equal(out, "R%C4%ABg");
	rpc_percent_encode(out, 1, "x");
	assert_string_equal(out, "");
}

static void percent_decoding(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{"", ""},
		{"R%C4%abga", "R\xc4\xabga"},
		{"100%", "100%"},
		{"%4", "%4"},
		{"%zz%41", "%zzA"},
		{"a%00b", "a?b"},
	};
	char out[8];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		rpc_percent_decode(
			out, sizeof(out), (const uint8_t *)cases[i].in, strlen(cases[i].in));
		assert_string_equal(out, cases[i].out);
	}
	rpc_percent_decode(out, sizeof(out), (const uint8_t *)"0123456789", 10);
	assert_string_equal(out, "0123456");
}

static void base64_both_ways(void **state)
{
	uint8_t in[60], out[64];
	char text[100];

	for (size_t n = 0; n < sizeof(in); n++) {
		size_t len;

		in[n] = (uint8_t)(n * 37 + 200);
		len = rpc_base64_encode(text, in, n + 1);
		assert_int_equal(
			rpc_base64_decode(out, (const uint8_t *)text, len), (ssize_t)(n + 1));
		assert_memory_equal(in, out, n + 1);
	}
	assert_int_equal(rpc_base64_encode(text, (const uint8_t *)"foob", 4), 6);
	assert_string_equal(text, "Zm9vYg");
	assert_int_equal(rpc_base64_decode(out, (const uint8_t *)"Zm9vYg==", 8), 4);
	assert_int_equal(rpc_base64_decode(out, (const uint8_t *)"", 0), 0);
	assert_int_equal(rpc_base64_decode(out, (const uint8_t *)"Zm9vY", 5), -EINVAL);
	assert_int_equal(rpc_base64_decode(out, (const uint8_t *)"Zm9*", 4), -EINVAL);
}

static void timeouts(void **state)
{
	static const struct {
		const char *text;
		int64_t ms;
	} cases[] = {
		{"1S", 1000},
		{"99999999H", INT64_C(359999996400000)},
		{"5M", 300000},
		{"0m", 0},
		{"1u", 1},
		{"1000001n", 2},
		{"", -EINVAL},
		{"S", -EINVAL},
		{"100000000m", -EINVAL},
		{"-1S", -EINVAL},
		{"1s", -EINVAL},
		{"1 S", -EINVAL},
	};
	char out[16];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(
			rpc_timeout_parse((const uint8_t *)cases[i].text, strlen(cases[i].text)),
			cases[i].ms);
	rpc_timeout_format(out, 0);
	assert_string_equal(out, "1m");
	rpc_timeout_format(out, 99999999);
	assert_string_equal(out, "99999999m");
	rpc_timeout_format(out, 100000000);
	assert_string_equal(out, "100000S");
	rpc_timeout_format(out, UINT64_MAX);
	assert_string_equal(out, "99999999H");
}

static void codes(void **state)
{
	assert_int_equal(rpc_code_parse((const uint8_t *)"5", 1), RPC_NOT_FOUND);
	assert_int_equal(rpc_code_parse((const uint8_t *)"16", 2), RPC_UNAUTHENTICATED);
	assert_int_equal(rpc_code_parse((const uint8_t *)"17", 2), RPC_UNKNOWN);
	assert_int_equal(rpc_code_parse((const uint8_t *)"x", 1), RPC_UNKNOWN);
	assert_int_equal(rpc_code_parse((const uint8_t *)"", 0), RPC_UNKNOWN);
	assert_string_equal(rpc_code_name(RPC_NOT_FOUND), "NOT_FOUND");
	assert_string_equal(rpc_code_name((enum rpc_code)99), "UNKNOWN");
	assert_int_equal(rpc_code_from_http(404), RPC_UNIMPLEMENTED);
	assert_int_equal(rpc_code_from_http(503), RPC_UNAVAILABLE);
}

static void details(void **state)
{
	Audums__V1__Problems problems = AUDUMS__V1__PROBLEMS__INIT;
	struct rpc_status status = {.code = RPC_INVALID_ARGUMENT};
	Audums__V1__StatusDetails *all;
	ProtobufCMessage *m;
	uint8_t *packed;

	packed = rpc_details_pack(
		RPC_INVALID_ARGUMENT, "wrong", &problems.base, &status.details_len);
	assert_non_null(packed);
	status.details = packed;
	all = audums__v1__status_details__unpack(NULL, status.details_len, packed);
	assert_int_equal(all->code, RPC_INVALID_ARGUMENT);
	assert_string_equal(all->message, "wrong");
	assert_string_equal(all->details[0]->type_url, "type.googleapis.com/audums.v1.Problems");
	audums__v1__status_details__free_unpacked(all, NULL);
	m = rpc_status_detail(&status, &audums__v1__problems__descriptor);
	assert_non_null(m);
	protobuf_c_message_free_unpacked(m, NULL);
	/* malformed ones are as good as none */
	memset(packed, 0xff, status.details_len);
	assert_null(rpc_status_detail(&status, &audums__v1__problems__descriptor));
	free(packed);
}

static void backoff(void **state)
{
	struct rpc_backoff b;
	uint32_t step = 50;

	rpc_backoff_init(&b, 0, 0);
	for (int i = 0; i < 10; i++) {
		const uint32_t ms = rpc_backoff_next(&b);

		assert_true(ms >= step / 2 && ms <= step);
		step = step * 2 < 2000 ? step * 2 : 2000;
	}
	rpc_backoff_reset(&b);
	assert_true(rpc_backoff_next(&b) <= 50);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(buf_keeps_order),
		cmocka_unit_test(frame_cut_anywhere),
		cmocka_unit_test(frame_refusals),
		cmocka_unit_test(frame_memory_follows_what_came),
		cmocka_unit_test(percent_encoding),
		cmocka_unit_test(percent_decoding),
		cmocka_unit_test(base64_both_ways),
		cmocka_unit_test(timeouts),
		cmocka_unit_test(codes),
		cmocka_unit_test(details),
		cmocka_unit_test(backoff),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
