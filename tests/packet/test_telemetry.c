/*
 * Telemetry as DPDK's own client speaks it: the socket, its commands, and who answers.
 *
 * The client is a plain socket of this thread; the answer is made by the turns that are stepped
 * here, so an answer that comes without a turn would show that tables are read by another thread.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "dataplane/api/telemetry.h"
#include "tests/packet/kernel.h"
#include "tests/packet/rig.h"

#define DEADLINE_MS 5000
#define ANSWER_MAX  20000

struct site {
	struct rig *rig;
	int fd;
	char answer[ANSWER_MAX];
};

static int setup(void **state)
{
	static struct site site;
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	struct site *s = &site;

	memset(s, 0, sizeof(*s));
	s->rig = rig_open(NULL);
	kernel_site(s->rig);
	assert_int_equal(telemetry_open(s->rig->dp), 0);
	assert_int_equal(telemetry_open(s->rig->dp), -EBUSY);
	s->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_true(s->fd >= 0);
	snprintf(a.sun_path, sizeof(a.sun_path), "%s/dpdk/rte/dpdk_telemetry.v2", rig_dir());
	assert_int_equal(connect(s->fd, (struct sockaddr *)&a, sizeof(a)), 0);
	/* the greeting */
	assert_true(recv(s->fd, s->answer, sizeof(s->answer), 0) > 0);
	assert_non_null(strstr(s->answer, "max_output_len"));
	*state = s;
	return 0;
}

static int teardown(void **state)
{
	struct site *s = *state;

	close(s->fd);
	rig_close(s->rig);
	return 0;
}

/* An answer without turning; false: none within `ms`. */
static bool answer_waits(struct site *s, int ms)
{
	const struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
	ssize_t n;

	assert_int_equal(setsockopt(s->fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)), 0);
	n = recv(s->fd, s->answer, sizeof(s->answer) - 1, 0);
	if (n < 0)
		return false;
	s->answer[n] = '\0';
	return true;
}

static const char *ask(struct site *s, const char *command)
{
	const int64_t end = loop_now_ms() + DEADLINE_MS;

	assert_int_equal(send(s->fd, command, strlen(command), 0), strlen(command));
	while (!answer_waits(s, 1)) {
		assert_return_code(dataplane_turn(s->rig->dp, 1), 0);
		if (loop_now_ms() > end)
			fail_msg("%s: no answer", command);
	}
	return s->answer;
}

#define assert_has(text, part)                                                                     \
	do {                                                                                       \
		if (strstr((text), (part)) == NULL)                                                \
			fail_msg("no %s in %s", (part), (text));                                   \
	} while (0)

static void traffic(struct rig *rig)
{
	struct frame_bytes f, outer;

	kernel_mac_local(rig, SITE_VNI, MAC(1, 1), P1);
	kernel_mac_remote(rig, SITE_VNI, MAC(2, 1), SITE_VTEP2);
	frame_udp4(&f, MAC(2, 1), MAC(1, 1), 1, 2, 3, 4, 58);
	rig_send(rig, P1, &f);
	rig_send(rig, P1, &f);
	frame_udp4(&f, MAC(1, 1), MAC(2, 1), 1, 2, 3, 4, 58);
	frame_encap(&outer, rig_mac(UP0), HOP0, SITE_VTEP2, SITE_LOCAL, 50000, SITE_VNI, &f);
	rig_send(rig, UP0, &outer);
	outer.data[48] ^= 0x7f; /* another VNI */
	rig_send(rig, UP0, &outer);
	rig_run(rig);
	rig_drain(rig);
}

static void test_commands(void **state)
{
	static const char *const commands[] = {"info", "ports", "segments", "vteps", "drops",
		"workers", "latency", "nodes", "fdb/summary"};
	struct site *s = *state;
	char text[64];

	ask(s, "/");
	for (unsigned int i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		snprintf(text, sizeof(text), "\"/audums/%s\"", commands[i]);
		assert_has(s->answer, text);
	}
	assert_has(ask(s, "/help,/audums/drops"), "by reason");
}

static void test_lists(void **state)
{
	struct site *s = *state;

	assert_string_equal(ask(s, "/audums/ports"),
		"{\"/audums/ports\":[\"up0\",\"up1\",\"p1\",\"p2\",\"p3\"]}");
	assert_string_equal(ask(s, "/audums/segments"), "{\"/audums/segments\":[10010,10020]}");
	assert_string_equal(ask(s, "/audums/segments,+1"), "{\"/audums/segments\":[10020]}");
	assert_string_equal(ask(s, "/audums/segments,+2"), "{\"/audums/segments\":[]}");
	assert_has(ask(s, "/audums/vteps"), "\"10.254.2.1\"");
	assert_string_equal(ask(s, "/audums/workers"), "{\"/audums/workers\":[0]}");
}

static void test_counters(void **state)
{
	struct site *s = *state;

	traffic(s->rig);
	ask(s, "/audums/ports,p1");
	assert_has(s->answer, "\"name\":\"p1\"");
	assert_has(s->answer, "\"rx_packets\":2");
	assert_has(s->answer, "\"tx_packets\":1");
	assert_has(s->answer, "\"punt_packets\":0");
	ask(s, "/audums/segments,10010");
	assert_has(s->answer, "\"encap_packets\":2");
	assert_has(s->answer, "\"encap_bytes\":200");
	assert_has(s->answer, "\"decap_packets\":1");
	assert_has(s->answer, "\"macs_remote\":1");
	ask(s, "/audums/vteps,10.254.2.1");
	assert_has(s->answer, "\"resolved\":1");
	assert_has(s->answer, "\"tx_packets\":2");
	assert_has(ask(s, "/audums/drops"), "\"unknown_vni\":1");
	assert_has(s->answer, "\"no_route\":0");
	ask(s, "/audums/drops,unknown_vni");
	assert_has(s->answer, "\"packets\":1");
	assert_has(s->answer, "\"worker_0\":1");
	ask(s, "/audums/workers,0");
	assert_has(s->answer, "\"packets\":4");
	assert_has(s->answer, "\"drops\":1");
	assert_has(ask(s, "/audums/latency"), "\"walks\":1");
	assert_has(ask(s, "/audums/latency,0"), "\"p99_ns\":");
	assert_has(ask(s, "/audums/nodes"), "\"vxlan_encap_packets\":2");
	ask(s, "/audums/fdb/summary");
	assert_has(s->answer, "\"entries\":2");
	assert_has(s->answer, "\"local\":1");
	assert_has(ask(s, "/audums/info"), "\"version\":\"" AUDUMS_VERSION "\"");
}

/* What is not there is said, and harms nothing. */
static void test_wrong(void **state)
{
	static const char *const wrong[] = {"/audums/ports,p9", "/audums/ports,+1",
		"/audums/segments,77", "/audums/segments,0", "/audums/segments,99999999",
		"/audums/segments,-1", "/audums/segments,x", "/audums/segments,+x",
		"/audums/vteps,10.0.0.1", "/audums/drops,none", "/audums/workers,1",
		"/audums/workers,-1", "/audums/latency,8", "/audums/latency,18446744073709551616"};
	struct site *s = *state;

	for (unsigned int i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_has(ask(s, wrong[i]), "\"error\":");
	assert_has(ask(s, "/audums/ports,p1"), "\"name\":\"p1\"");
}

/* Without a turn of the main thread there is no answer: nobody else reads the tables. */
static void test_main_thread_answers(void **state)
{
	struct site *s = *state;

	assert_int_equal(send(s->fd, "/audums/ports", 13, 0), 13);
	assert_false(answer_waits(s, 100));
	assert_has(ask(s, "/info"), "up0"); /* the turn answers the first question first */
	assert_true(answer_waits(s, DEADLINE_MS));
	/* and when it never comes, the asker is not left waiting */
	assert_int_equal(send(s->fd, "/audums/ports", 13, 0), 13);
	while (!answer_waits(s, 900))
		;
	assert_string_equal(s->answer, "{\"/audums/ports\":null}");
	assert_has(ask(s, "/audums/ports"), "up0");
}

/* After the end questions are refused, not answered from freed memory. */
static void test_closed(void **state)
{
	struct site *s = *state;

	telemetry_close(s->rig->dp);
	telemetry_close(s->rig->dp);
	assert_has(ask(s, "/audums/ports"), "null");
	assert_int_equal(telemetry_open(s->rig->dp), 0);
	assert_has(ask(s, "/audums/ports"), "up0");
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_commands),
		T(test_lists),
		T(test_counters),
		T(test_wrong),
		T(test_main_thread_answers),
		T(test_closed),
	};

	return cmocka_run_group_tests_name(
		"telemetry", tests, rig_group_setup_telemetry, rig_group_teardown);
}
