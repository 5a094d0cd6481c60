/* Frames: cut anywhere, empty, too large, memory that follows what came, and the blocking helpers.
 */
#include "tests/unit/proto/test.h"

#include <errno.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "audums/v1/dataplane.pb-c.h"
#include "proto/lib/frame.h"

static Audums__V1__DataplaneReply *reply_create(const char *error)
{
	Audums__V1__DataplaneReply *reply = malloc(sizeof(*reply));

	assert_non_null(reply);
	audums__v1__dataplane_reply__init(reply);
	reply->more = 1;
	reply->error = strdup(error);
	return reply;
}

static void reply_free(void *reply)
{
	protobuf_c_message_free_unpacked(reply, NULL);
}

/* Two frames and an empty one, fed in pieces of every size. */
static void frames_cut_anywhere(void **state)
{
	const uint8_t stream[] = {0, 0, 0, 3, 'a', 'b', 'c', 0, 0, 0, 0, 0, 0, 0, 1, 'z'};

	for (size_t piece = 1; piece <= sizeof(stream); piece++) {
		struct frame_decoder d;
		char got[32] = "";

		frame_decoder_init(&d, 16);
		for (size_t from = 0; from < sizeof(stream); from += piece) {
			const size_t n =
				piece < sizeof(stream) - from ? piece : sizeof(stream) - from;
			struct frame frame;

			for (size_t at = 0; at < n;) {
				const ssize_t took =
					frame_decoder_feed(&d, stream + from + at, n - at, &frame);

				assert_true(took > 0);
				at += (size_t)took;
				if (frame.data != NULL) {
					strncat(got, (const char *)frame.data, frame.len);
					strcat(got, ";");
				}
			}
		}
		assert_string_equal(got, "abc;;z;");
		frame_decoder_free(&d);
	}
}

static void missing_octets(void **state)
{
	struct frame_decoder d;
	struct frame frame;

	frame_decoder_init(&d, 16);
	assert_int_equal(frame_decoder_missing(&d), 4);
	assert_int_equal(frame_decoder_feed(&d, "\0\0", 2, &frame), 2);
	assert_int_equal(frame_decoder_missing(&d), 2);
	assert_int_equal(frame_decoder_feed(&d, "\0\5", 2, &frame), 2);
	assert_null(frame.data);
	assert_int_equal(frame_decoder_missing(&d), 5);
	assert_int_equal(frame_decoder_feed(&d, "12345678", 8, &frame), 5);
	assert_int_equal(frame.len, 5);
	assert_int_equal(frame_decoder_missing(&d), 4);
	frame_decoder_free(&d);
}

static void too_large_is_refused(void **state)
{
	struct frame_decoder d;
	struct frame frame;

	frame_decoder_init(&d, 16);
	assert_int_equal(frame_decoder_feed(&d, "\0\0\0\21", 4, &frame), -EMSGSIZE);
	assert_null(frame.data);
	frame_decoder_free(&d);
	frame_decoder_init(&d, 16);
	assert_int_equal(frame_decoder_feed(&d, "\xff\xff\xff\xff", 4, &frame), -EMSGSIZE);
	frame_decoder_free(&d);
}

/* A header that announces much does not allocate much. */
static void memory_follows_what_came(void **state)
{
	struct frame_decoder d;
	struct frame frame;

	frame_decoder_init(&d, FRAME_MAX_BYTES);
	assert_int_equal(frame_decoder_feed(&d, "\0\20\0\0x", 5, &frame), 5);
	assert_true(d.cap < 4096);
	frame_decoder_free(&d);
}

static void encoding(void **state)
{
	Audums__V1__DataplaneReply *reply = reply_create("no such port");
	struct frame_decoder d;
	struct frame frame;
	Audums__V1__DataplaneReply *back;
	uint8_t *buf;
	size_t len;

	assert_int_equal(frame_encode(&reply->base, FRAME_MAX_BYTES, &buf, &len), 0);
	frame_decoder_init(&d, FRAME_MAX_BYTES);
	assert_int_equal(frame_decoder_feed(&d, buf, len, &frame), len);
	back = audums__v1__dataplane_reply__unpack(NULL, frame.len, frame.data);
	assert_non_null(back);
	assert_string_equal(back->error, "no such port");
	assert_int_equal(frame_encode(&reply->base, 4, &buf, &len), -EMSGSIZE);
	reply_free(back);
	reply_free(reply);
	frame_decoder_free(&d);
	free(buf);
}

/* ---- sockets -----------------------------------------------------------------------------------
 */

static int pair[2];

static int pair_setup(void **state)
{
	return socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
}

static int pair_teardown(void **state)
{
	close(pair[0]);
	if (pair[1] >= 0)
		close(pair[1]);
	return 0;
}

static void send_and_receive_in_order(void **state)
{
	static const char *const texts[] = {"one", "", "three"};
	ProtobufCMessage *got;

	for (unsigned i = 0; i < 3; i++) {
		Audums__V1__DataplaneReply *reply = reply_create(texts[i]);

		assert_int_equal(frame_send(pair[0], &reply->base, frame_deadline(1000)), 0);
		reply_free(reply);
	}
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(frame_recv(pair[1], &audums__v1__dataplane_reply__descriptor,
					 frame_deadline(1000), &got),
			0);
		assert_string_equal(((Audums__V1__DataplaneReply *)got)->error, texts[i]);
		reply_free(got);
	}
}

static void *receive_large(void *unused)
{
	ProtobufCMessage *got = NULL;

	assert_int_equal(frame_recv(pair[1], &audums__v1__dataplane_reply__descriptor,
				 frame_deadline(10000), &got),
		0);
	return got;
}

/* Larger than any socket buffer: both sides have to wait for each other. */
static void large_message(void **state)
{
	Audums__V1__DataplaneReply *reply, *got;
	char *text = malloc(1000001);
	void *result;
	pthread_t thread;

	memset(text, 'q', 1000000);
	text[1000000] = '\0';
	reply = reply_create(text);
	assert_int_equal(pthread_create(&thread, NULL, receive_large, NULL), 0);
	assert_int_equal(frame_send(pair[0], &reply->base, frame_deadline(10000)), 0);
	pthread_join(thread, &result);
	got = result;
	assert_string_equal(got->error, text);
	reply_free(got);
	reply_free(reply);
	free(text);
}

static void deadlines(void **state)
{
	Audums__V1__DataplaneReply *reply;
	char *text = malloc(900001);
	ProtobufCMessage *got;

	assert_int_equal(frame_recv(pair[1], &audums__v1__dataplane_reply__descriptor,
				 frame_deadline(20), &got),
		-ETIMEDOUT);
	assert_int_equal(write(pair[0], "\0\0\0\5ab", 6), 6);
	assert_int_equal(frame_recv(pair[1], &audums__v1__dataplane_reply__descriptor,
				 frame_deadline(20), &got),
		-ETIMEDOUT);
	assert_null(got);
	memset(text, 'q', 900000);
	text[900000] = '\0';
	reply = reply_create(text);
	assert_int_equal(frame_send(pair[0], &reply->base, frame_deadline(20)), -ETIMEDOUT);
	reply_free(reply);
	free(text);
}

static void peer_goes_away(void **state)
{
	Audums__V1__DataplaneReply *reply = reply_create("x");
	ProtobufCMessage *got;

	close(pair[1]);
	pair[1] = -1;
	assert_int_equal(frame_send(pair[0], &reply->base, frame_deadline(1000)), -EPIPE);
	assert_int_equal(frame_recv(pair[0], &audums__v1__dataplane_reply__descriptor,
				 frame_deadline(1000), &got),
		-ECONNRESET);
	reply_free(reply);
}

static void bad_payload_leaves_the_stream_in_step(void **state)
{
	Audums__V1__DataplaneReply *reply = reply_create("next");
	ProtobufCMessage *got;

	assert_int_equal(write(pair[0], "\0\0\0\2\xff\xff", 6), 6);
	assert_int_equal(frame_send(pair[0], &reply->base, frame_deadline(1000)), 0);
	assert_int_equal(frame_recv(pair[1], &audums__v1__dataplane_reply__descriptor,
				 frame_deadline(1000), &got),
		-EBADMSG);
	assert_int_equal(frame_recv(pair[1], &audums__v1__dataplane_reply__descriptor,
				 frame_deadline(1000), &got),
		0);
	reply_free(got);
	assert_int_equal(write(pair[0], "\0\20\0\1", 4), 4);
	assert_int_equal(frame_recv(pair[1], &audums__v1__dataplane_reply__descriptor,
				 frame_deadline(1000), &got),
		-EMSGSIZE);
	reply_free(reply);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_cut_anywhere),
		cmocka_unit_test(missing_octets),
		cmocka_unit_test(too_large_is_refused),
		cmocka_unit_test(memory_follows_what_came),
		cmocka_unit_test(encoding),
		cmocka_unit_test_setup_teardown(
			send_and_receive_in_order, pair_setup, pair_teardown),
		cmocka_unit_test_setup_teardown(large_message, pair_setup, pair_teardown),
		cmocka_unit_test_setup_teardown(deadlines, pair_setup, pair_teardown),
		cmocka_unit_test_setup_teardown(peer_goes_away, pair_setup, pair_teardown),
		cmocka_unit_test_setup_teardown(
			bad_payload_leaves_the_stream_in_step, pair_setup, pair_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
