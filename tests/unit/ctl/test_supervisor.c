/*
 * The supervisor: its request language, and a real one with small services, without root.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

#include "controller/ctl/lab/supervisor.h"

#define DEADLINE_MS 20000

static void test_parse(void **state)
{
	static const struct {
		const char *line;
		enum supervisor_verb verb;
		const char *name, *argument;
	} cases[] = {
		{"status", SUPERVISOR_STATUS, NULL, NULL},
		{"  status  \r", SUPERVISOR_STATUS, NULL, NULL},
		{"kill a/b 9", SUPERVISOR_KILL, "a/b", "9"},
		{"stop a/b", SUPERVISOR_STOP, "a/b", NULL},
		{"start x", SUPERVISOR_START, "x", NULL},
		{"quit", SUPERVISOR_QUIT, NULL, NULL},
		{"", SUPERVISOR_UNKNOWN, NULL, NULL},
		{"kill a", SUPERVISOR_UNKNOWN, "a", NULL},
		{"stop", SUPERVISOR_UNKNOWN, NULL, NULL},
		{"quit now", SUPERVISOR_UNKNOWN, "now", NULL},
		{"kill a 9 b c d", SUPERVISOR_UNKNOWN, "a", "9"},
		{"STATUS", SUPERVISOR_UNKNOWN, NULL, NULL},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char line[64], *name, *argument;

		strcpy(line, cases[i].line);
		assert_int_equal(supervisor_parse(line, &name, &argument), cases[i].verb);
		assert_true(cases[i].name ? name && !strcmp(name, cases[i].name) : !name);
		assert_true(cases[i].argument ? argument && !strcmp(argument, cases[i].argument)
					      : !argument);
	}
}

/* ---- a real one --------------------------------------------------------------------------- */

struct rig {
	char dir[32];
	char socket_path[LAB_PATH_LEN];
	struct service services[3];
	struct service_list list;
};

static void service_set(struct rig *rig, int i, const char *name, const char *script)
{
	static char *argv[3][4];
	struct service *s = &rig->services[i];

	memset(s, 0, sizeof(*s));
	snprintf(s->name, sizeof(s->name), "%s", name);
	snprintf(s->log, sizeof(s->log), "/dev/null");
	strcpy(s->program, "/bin/sh");
	argv[i][0] = (char *)"sh";
	argv[i][1] = (char *)"-c";
	argv[i][2] = (char *)script;
	for (int k = 0; k < 3; k++)
		s->argv[s->argc++] = argv[i][k];
}

static int rig_setup(void **state)
{
	struct rig *rig = calloc(1, sizeof(*rig));
	struct lab_err err;

	strcpy(rig->dir, "/tmp/audums-sup-XXXXXX");
	if (!mkdtemp(rig->dir))
		return -1;
	snprintf(rig->socket_path, sizeof(rig->socket_path), "%s/s", rig->dir);
	service_set(rig, 0, "good", "exec sleep 1000");
	service_set(rig, 1, "bad", "exit 3");
	service_set(rig, 2, "late", "exec sleep 1000");
	snprintf(rig->services[2].wait_path, LAB_PATH_LEN, "%s/ready", rig->dir);
	rig->list = (struct service_list){rig->services, 3};
	*state = rig;
	return supervisor_start(&rig->list, "unittest", rig->socket_path, "/dev/null", &err);
}

static json_t *ask(struct rig *rig, const char *request)
{
	struct lab_err err;
	json_t *reply;

	if (supervisor_ask(rig->socket_path, request, &reply, &err))
		fail_msg("%s: %s", request, err.text);
	return reply;
}

/* One service's status; the caller drops the reference. */
static json_t *status_of(struct rig *rig, const char *name)
{
	json_t *reply = ask(rig, "status"), *item, *found = NULL;
	size_t i;

	json_array_foreach (json_object_get(reply, "processes"), i, item)
		if (!strcmp(json_string_value(json_object_get(item, "name")), name))
			found = json_incref(item);
	json_decref(reply);
	assert_non_null(found);
	return found;
}

static int number_of(struct rig *rig, const char *name, const char *key)
{
	json_t *status = status_of(rig, name);
	int n = (int)json_integer_value(json_object_get(status, key));

	json_decref(status);
	return n;
}

static bool state_is(struct rig *rig, const char *name, const char *wanted)
{
	json_t *status = status_of(rig, name);
	bool is = !strcmp(json_string_value(json_object_get(status, "state")), wanted);

	json_decref(status);
	return is;
}

#define WAIT_FOR(condition)                                                                        \
	do {                                                                                       \
		uint64_t deadline_ = clock_ms() + DEADLINE_MS;                                     \
		while (!(condition)) {                                                             \
			if (clock_ms() > deadline_)                                                \
				fail_msg("not within %d ms: %s", DEADLINE_MS, #condition);         \
			poll(NULL, 0, 5);                                                          \
		}                                                                                  \
	} while (0)

static int rig_teardown(void **state)
{
	struct rig *rig = *state;
	struct lab_err err;
	json_t *reply;
	pid_t pid = 0;

	if (!supervisor_ask(rig->socket_path, "status", &reply, &err)) {
		pid = (pid_t)json_integer_value(json_object_get(reply, "pid"));
		json_decref(reply);
		if (!supervisor_ask(rig->socket_path, "quit", &reply, &err))
			json_decref(reply);
	}
	for (uint64_t deadline = clock_ms() + DEADLINE_MS;
		pid && !kill(pid, 0) && clock_ms() < deadline;)
		poll(NULL, 0, 5);
	path_remove(rig->dir);
	free(rig);
	return 0;
}

static void test_restart(void **state)
{
	struct rig *rig = *state;
	char request[64];
	pid_t pid;

	WAIT_FOR(state_is(rig, "good", "running"));
	pid = number_of(rig, "good", "pid");
	snprintf(request, sizeof(request), "kill good %d", SIGKILL);
	json_decref(ask(rig, request));
	WAIT_FOR(number_of(rig, "good", "pid") && number_of(rig, "good", "pid") != pid);
	assert_int_equal(number_of(rig, "good", "restarts"), 1);
}

static void test_backoff(void **state)
{
	struct rig *rig = *state;
	uint64_t start = clock_ms();

	WAIT_FOR(number_of(rig, "bad", "restarts") >= 3);
	/* 200, 400 ms, ...: not a busy loop */
	assert_true(clock_ms() - start < DEADLINE_MS);
	assert_true(number_of(rig, "bad", "restarts") < 10);
	json_t *status = status_of(rig, "bad");

	assert_string_equal(json_string_value(json_object_get(status, "last_exit")), "status 3");
	json_decref(status);
}

static void test_stop_start(void **state)
{
	struct rig *rig = *state;
	pid_t pid;

	WAIT_FOR(state_is(rig, "good", "running"));
	pid = number_of(rig, "good", "pid");
	json_decref(ask(rig, "stop good"));
	WAIT_FOR(number_of(rig, "good", "pid") == 0);
	assert_true(state_is(rig, "good", "stopped"));
	assert_int_equal(kill(pid, 0), -1);
	json_decref(ask(rig, "start good"));
	WAIT_FOR(state_is(rig, "good", "running"));
	assert_int_equal(number_of(rig, "good", "restarts"), 0);
}

static void test_waits_for_path(void **state)
{
	struct rig *rig = *state;

	assert_true(state_is(rig, "late", "waiting"));
	assert_int_equal(file_write(rig->services[2].wait_path, "", 0644), 0);
	WAIT_FOR(state_is(rig, "late", "running"));
}

static void test_refuses(void **state)
{
	struct rig *rig = *state;
	struct lab_err err;
	json_t *reply;

	WAIT_FOR(state_is(rig, "good", "running"));
	assert_int_equal(supervisor_ask(rig->socket_path, "dance", &reply, &err), -EINVAL);
	assert_int_equal(supervisor_ask(rig->socket_path, "stop nobody", &reply, &err), -EINVAL);
	assert_non_null(strstr(err.text, "nobody"));
	assert_int_equal(supervisor_ask(rig->socket_path, "kill good x", &reply, &err), -EINVAL);
	assert_int_equal(supervisor_ask(rig->socket_path, "kill good 999", &reply, &err), -EINVAL);
	assert_int_equal(supervisor_ask(rig->socket_path, "start good", &reply, &err), -EINVAL);
	assert_non_null(strstr(err.text, "runs already"));
}

/* A line without end is cut off, and harms nobody else. */
static void test_long_line(void **state)
{
	struct rig *rig = *state;
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	char junk[2048];
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	ssize_t n;

	assert_true(strlen(rig->socket_path) < sizeof(sa.sun_path));
	strcpy(sa.sun_path, rig->socket_path);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	memset(junk, 'x', sizeof(junk));
	assert_true(send(fd, junk, sizeof(junk), MSG_NOSIGNAL) > 0);
	do
		n = recv(fd, junk, sizeof(junk), 0);
	while (n > 0);
	close(fd);
	WAIT_FOR(state_is(rig, "good", "running"));
}

/* Whether a process has ended that nobody has collected yet. */
static bool is_zombie(pid_t pid)
{
	char path[64], *text, *end;
	bool zombie;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	text = file_read(path, 1024);
	end = text ? strrchr(text, ')') : NULL;
	zombie = !end || end[2] == 'Z';
	free(text);
	return zombie;
}

/* Everything ends with it, also when it is killed. */
static void test_nothing_survives(void **state)
{
	struct rig *rig = *state;
	json_t *reply;
	pid_t pid, self;

	WAIT_FOR(state_is(rig, "good", "running"));
	pid = number_of(rig, "good", "pid");
	reply = ask(rig, "status");
	self = (pid_t)json_integer_value(json_object_get(reply, "pid"));
	json_decref(reply);
	assert_int_equal(kill(self, SIGKILL), 0);
	WAIT_FOR(kill(pid, 0) == -1 || is_zombie(pid));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test_setup_teardown(test_restart, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_backoff, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_stop_start, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_waits_for_path, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_refuses, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_long_line, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_nothing_survives, rig_setup, rig_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
