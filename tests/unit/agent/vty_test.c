/*
 * The vty client: answers recorded from real daemons, cut anywhere; a server in this process that
 * answers in pieces, dies, comes back, or says nonsense.
 */
#include "tests/unit/agent/support.h"

#include "controller/agent/frr/vty.h"
#include "controller/rpc/loop.h"
#include "proto/lib/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static const struct {
	const char *file;
	int status;
	const char *begins;
} recorded[] = {
	{"bgpd-8.4.4-vni.bin", VTY_OK, "{"},
	{"bgpd-8.4.4-summary.bin", VTY_OK, "{\n\"ipv4Unicast\""},
	{"bfdd-8.4.4-peers.bin", VTY_OK, "["},
	{"zebra-8.4.4-echo.bin", VTY_OK, "audums"},
	{"bgpd-8.4.4-configure.bin", VTY_OK, ""},
	{"bgpd-8.4.4-unknown.bin", VTY_NO_MATCH, "% [BGP] Unknown command"},
	{"bgpd-8.4.4-incomplete.bin", VTY_INCOMPLETE, "%"},
	{"bgpd-8.4.4-wrong-as.bin", VTY_CONFIG_FAILED, "BGP is already running"},
	{"bgpd-8.4.4-evpn-disabled.bin", VTY_WARNING, "This command is only"},
	{"bgpd-8.4.4-no-instance-vni.bin", VTY_WARNING, ""},
};
#define RECORDED (sizeof(recorded) / sizeof(recorded[0]))

static void test_recorded_cut_anywhere(void **state)
{
	for (size_t r = 0; r < RECORDED; r++) {
		size_t len;
		char *buf = support_read(recorded[r].file, &len);

		for (size_t step = 1; step <= len; step = step < 8 ? step + 1 : step * 2) {
			struct vty_parser p = {0};
			int done = 0;

			for (size_t at = 0; at < len;) {
				const size_t n = len - at < step ? len - at : step;
				size_t used;

				done = vty_parser_feed(&p, buf + at, n, &used);
				assert_true(done >= 0);
				at += used;
				assert_true(done == (at == len));
			}
			assert_int_equal(done, 1);
			assert_int_equal(p.status, recorded[r].status);
			assert_int_equal(p.len, len - 4);
			assert_int_equal(strlen(p.text), p.len);
			assert_memory_equal(p.text, buf, p.len);
			assert_int_equal(
				strncmp(p.text, recorded[r].begins, strlen(recorded[r].begins)), 0);
			vty_parser_clear(&p);
		}
		free(buf);
	}
}

static void test_many_in_one_read(void **state)
{
	static const char data[] = "a\0\0\0\0\0\0\0\001bc\0\0\0\015";
	static const int status[] = {0, 1, 13};
	static const char *const texts[] = {"a", "", "bc"};
	struct vty_parser p = {0};
	size_t at = 0, used;

	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(vty_parser_feed(&p, data + at, sizeof(data) - 1 - at, &used), 1);
		at += used;
		assert_int_equal(p.status, status[i]);
		assert_string_equal(p.text, texts[i]);
	}
	assert_int_equal(at, sizeof(data) - 1);
	vty_parser_clear(&p);
}

static void test_nonsense(void **state)
{
	struct vty_parser p = {0};
	size_t used, total = 0;
	char *big;

	assert_int_equal(vty_parser_feed(&p, "a\0b", 3, &used), -EPROTO);
	vty_parser_clear(&p);

	big = malloc(1 << 20);
	assert_non_null(big);
	memset(big, 'x', 1 << 20);
	for (;;) {
		const int r = vty_parser_feed(&p, big, 1 << 20, &used);

		total += used;
		if (r == -EMSGSIZE)
			break;
		assert_int_equal(r, 0);
		assert_true(total <= VTY_REPLY_MAX);
	}
	assert_true(p.len <= VTY_REPLY_MAX);
	vty_parser_clear(&p);
	free(big);
}

/* ---- against a server ---- */

struct world {
	struct loop *loop;
	char path[96];
	int listener, client;
	struct loop_fd *accept_watch, *read_watch;
	char input[65536];
	size_t input_len;
	unsigned int commands;
	int die_at; /* close the connection instead of answering this command */
	bool silent;
	struct vty *vty;
	unsigned int ups, downs, answers, losts, oks;
	char reason[64];
	char order[256];
};

static void server_close(struct world *w)
{
	loop_fd_remove(w->read_watch);
	w->read_watch = NULL;
	if (w->client >= 0)
		close(w->client);
	w->client = -1;
	w->input_len = 0;
}

static void server_answer(struct world *w, const char *command)
{
	const unsigned char status = strncmp(command, "bad", 3) == 0 ? VTY_NO_MATCH : VTY_OK;
	char out[300];
	size_t n = 0;

	if (w->silent)
		return;
	if (strcmp(command, "enable") != 0)
		n = (size_t)snprintf(out, sizeof(out) - 4, "answer to %s\n", command);
	memset(out + n, 0, 3);
	out[n + 3] = (char)status;
	/* in two pieces */
	assert_true(send(w->client, out, n / 2, MSG_NOSIGNAL) >= 0);
	assert_true(send(w->client, out + n / 2, n + 4 - n / 2, MSG_NOSIGNAL) >= 0);
}

static void server_read(void *arg, int fd, unsigned int ready)
{
	struct world *w = arg;
	const ssize_t n = recv(fd, w->input + w->input_len, sizeof(w->input) - w->input_len, 0);

	if (n <= 0) {
		server_close(w);
		return;
	}
	w->input_len += (size_t)n;
	for (;;) {
		char *zero = memchr(w->input, 0, w->input_len);
		const size_t len = zero ? (size_t)(zero - w->input) + 1 : 0;

		if (!zero)
			return;
		if (w->die_at && (int)++w->commands == w->die_at) {
			w->die_at = 0;
			server_close(w);
			return;
		}
		server_answer(w, w->input);
		memmove(w->input, zero + 1, w->input_len - len);
		w->input_len -= len;
	}
}

static void server_accept(void *arg, int fd, unsigned int ready)
{
	struct world *w = arg;

	server_close(w);
	w->client = accept(fd, NULL, NULL);
	assert_true(w->client >= 0);
	w->read_watch = loop_fd_add(w->loop, w->client, LOOP_IN, server_read, w);
}

static void server_start(struct world *w)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", w->path);
	unlink(w->path);
	w->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(w->listener, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(w->listener, 4), 0);
	w->accept_watch = loop_fd_add(w->loop, w->listener, LOOP_IN, server_accept, w);
}

static void server_stop(struct world *w)
{
	server_close(w);
	loop_fd_remove(w->accept_watch);
	w->accept_watch = NULL;
	if (w->listener >= 0)
		close(w->listener);
	w->listener = -1;
	unlink(w->path);
}

static void on_up(void *arg, const char *instance)
{
	struct world *w = arg;

	w->ups++;
	assert_true(strlen(instance) > 0); /* ourselves */
}

static void on_down(void *arg, const char *reason)
{
	struct world *w = arg;

	w->downs++;
	snprintf(w->reason, sizeof(w->reason), "%s", reason);
}

static const struct vty_events events = {.up = on_up, .down = on_down};

static void on_answer(void *arg, int status, const char *text, size_t len)
{
	struct world *w = arg;

	w->answers++;
	w->losts += status == VTY_LOST;
	w->oks += status == VTY_OK;
	assert_int_equal(strlen(text), len);
	if (len && strlen(w->order) < sizeof(w->order) - 20)
		snprintf(w->order + strlen(w->order), 20, "%.*s,", (int)strcspn(text + 10, "\n"),
			text + 10);
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	*state = w;
	log_setup(LOG_LEVEL_ERROR, 2);
	w->loop = loop_new();
	w->listener = w->client = -1;
	snprintf(w->path, sizeof(w->path), "/tmp/audums-agent-vty-%d.sock", (int)getpid());
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	vty_free(w->vty);
	server_stop(w);
	loop_free(w->loop);
	free(w);
	return 0;
}

static void test_waits_for_the_daemon(void **state)
{
	struct world *w = *state;

	w->vty = vty_new(w->loop, w->path, &events, w);
	assert_non_null(w->vty);
	assert_int_equal(vty_send(w->vty, "x", on_answer, w), -ENOTCONN);
	wait_for(w->loop, w->downs == 1);
	assert_string_equal(w->reason, "not running");
	for (int i = 0; i < 30; i++)
		loop_turn(w->loop, 10);
	assert_int_equal(w->downs, 1); /* told once */
	server_start(w);
	wait_for(w->loop, w->ups == 1);
	assert_int_equal(vty_send(w->vty, "one", on_answer, w), 0);
	assert_int_equal(vty_send(w->vty, "bad", on_answer, w), 0);
	assert_int_equal(vty_send(w->vty, "two\nlines", on_answer, w), -EINVAL);
	wait_for(w->loop, w->answers == 2);
	assert_int_equal(w->oks, 1);
	assert_string_equal(w->order, "one,bad,");
}

static void test_pipeline(void **state)
{
	struct world *w = *state;
	char line[32];

	server_start(w);
	w->vty = vty_new(w->loop, w->path, &events, w);
	wait_for(w->loop, w->ups == 1);
	for (unsigned int i = 0; i < 1000; i++) {
		snprintf(line, sizeof(line), "%u", i);
		assert_int_equal(vty_send(w->vty, line, on_answer, w), 0);
	}
	wait_for(w->loop, w->answers == 1000);
	assert_int_equal(w->oks, 1000);
	assert_int_equal(strncmp(w->order, "0,1,2,3,4,5,6,7,8,9,10,11,", 26), 0);
	assert_int_equal(vty_pending(w->vty), 0);
}

static void test_daemon_dies_and_returns(void **state)
{
	struct world *w = *state;

	server_start(w);
	w->vty = vty_new(w->loop, w->path, &events, w);
	wait_for(w->loop, w->ups == 1);
	w->commands = 0;
	w->die_at = 3;
	for (unsigned int i = 0; i < 5; i++)
		assert_int_equal(vty_send(w->vty, "x", on_answer, w), 0);
	wait_for(w->loop, w->answers == 5);
	assert_int_equal(w->oks, 2);
	assert_int_equal(w->losts, 3);
	assert_int_equal(w->downs, 1);
	wait_for(w->loop, w->ups == 2);
	assert_int_equal(vty_send(w->vty, "x", on_answer, w), 0);
	wait_for(w->loop, w->oks == 3);
}

static void test_answer_nobody_asked_for(void **state)
{
	struct world *w = *state;

	server_start(w);
	w->vty = vty_new(w->loop, w->path, &events, w);
	wait_for(w->loop, w->ups == 1);
	assert_int_equal(send(w->client, "\0\0\0\0", 4, MSG_NOSIGNAL), 4);
	wait_for(w->loop, w->downs == 1);
	assert_string_equal(w->reason, "unexpected answer");
	wait_for(w->loop, w->ups == 2);
}

static void test_free_with_commands_pending(void **state)
{
	struct world *w = *state;

	server_start(w);
	w->vty = vty_new(w->loop, w->path, &events, w);
	wait_for(w->loop, w->ups == 1);
	w->silent = true;
	assert_int_equal(vty_send(w->vty, "x", on_answer, w), 0);
	assert_int_equal(vty_send(w->vty, "y", on_answer, w), 0);
	vty_free(w->vty);
	w->vty = NULL;
	assert_int_equal(w->losts, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_recorded_cut_anywhere),
		cmocka_unit_test(test_many_in_one_read),
		cmocka_unit_test(test_nonsense),
		cmocka_unit_test_setup_teardown(test_waits_for_the_daemon, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pipeline, setup, teardown),
		cmocka_unit_test_setup_teardown(test_daemon_dies_and_returns, setup, teardown),
		cmocka_unit_test_setup_teardown(test_answer_nobody_asked_for, setup, teardown),
		cmocka_unit_test_setup_teardown(test_free_with_commands_pending, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
