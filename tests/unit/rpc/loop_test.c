/*
 * What the event loop promises: descriptors, timers, tasks, signals and children, and that a
 * callback may remove anything.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "controller/rpc/loop.h"

struct state {
	struct loop *loop;
	int pipe[2][2];
	struct loop_fd *fd[2];
	struct loop_timer *timer[4];
	struct loop_task *task[2];
	struct loop_signal *signal;
	int calls;
	char order[64];
	int status;
};

static int setup(void **state)
{
	struct state *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	s->loop = loop_new();
	assert_non_null(s->loop);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pipe2(s->pipe[i], O_NONBLOCK | O_CLOEXEC), 0);
	*state = s;
	return 0;
}

static int teardown(void **state)
{
	struct state *s = *state;

	loop_free(s->loop);
	for (int i = 0; i < 2; i++) {
		close(s->pipe[i][0]);
		close(s->pipe[i][1]);
	}
	free(s);
	return 0;
}

static void note(struct state *s, char c)
{
	const size_t n = strlen(s->order);

	if (n + 1 < sizeof(s->order))
		s->order[n] = c;
	s->calls++;
}

/* ---- descriptors ---- */

static void on_read(void *arg, int fd, unsigned int ready)
{
	struct state *s = arg;
	char c;

	assert_true(ready & LOOP_IN);
	assert_int_equal(read(fd, &c, 1), 1);
	note(s, c);
}

static void fd_reports_what_is_ready(void **state)
{
	struct state *s = *state;
	struct loop_fd *f = loop_fd_add(s->loop, s->pipe[0][0], LOOP_IN, on_read, s);

	assert_non_null(f);
	assert_int_equal(loop_turn(s->loop, 0), 0);
	assert_int_equal(write(s->pipe[0][1], "ab", 2), 2);
	/* level-triggered: one octet is read a turn */
	assert_int_equal(loop_turn(s->loop, 0), 1);
	assert_int_equal(loop_turn(s->loop, 0), 1);
	assert_int_equal(loop_turn(s->loop, 0), 0);
	assert_string_equal(s->order, "ab");
	assert_int_equal(write(s->pipe[0][1], "c", 1), 1);
	assert_int_equal(loop_fd_set(f, 0), 0);
	assert_int_equal(loop_turn(s->loop, 0), 0);
	assert_int_equal(loop_fd_set(f, LOOP_IN), 0);
	assert_int_equal(loop_turn(s->loop, 0), 1);
	loop_fd_remove(f);
	assert_int_equal(write(s->pipe[0][1], "d", 1), 1);
	assert_int_equal(loop_turn(s->loop, 0), 0);
}

static void fd_errors(void **state)
{
	struct state *s = *state;

	assert_non_null(loop_fd_add(s->loop, s->pipe[0][0], LOOP_IN, on_read, s));
	assert_null(loop_fd_add(s->loop, s->pipe[0][0], LOOP_IN, on_read, s));
	assert_int_equal(errno, EEXIST);
	assert_null(loop_fd_add(s->loop, -1, LOOP_IN, on_read, s));
	assert_int_equal(errno, EBADF);
}

static void on_hup(void *arg, int fd, unsigned int ready)
{
	struct state *s = arg;

	if (ready & LOOP_HUP) {
		note(s, 'h');
		loop_fd_remove(s->fd[0]);
	}
}

static void fd_hang_up_is_told_without_interest(void **state)
{
	struct state *s = *state;

	s->fd[0] = loop_fd_add(s->loop, s->pipe[0][0], 0, on_hup, s);
	close(s->pipe[0][1]);
	assert_int_equal(loop_turn(s->loop, 1000), 1);
	assert_string_equal(s->order, "h");
	s->pipe[0][1] = dup(s->pipe[1][1]);
}

static void on_remove_both(void *arg, int fd, unsigned int ready)
{
	struct state *s = arg;

	note(s, 'x');
	loop_fd_remove(s->fd[0]);
	loop_fd_remove(s->fd[1]);
	s->fd[0] = s->fd[1] = NULL;
}

static void fd_callback_removes_itself_and_others(void **state)
{
	struct state *s = *state;

	for (int i = 0; i < 2; i++) {
		s->fd[i] = loop_fd_add(s->loop, s->pipe[i][0], LOOP_IN, on_remove_both, s);
		assert_int_equal(write(s->pipe[i][1], "z", 1), 1);
	}
	/* both are ready; the first one called removes both, so the other is never called */
	assert_int_equal(loop_turn(s->loop, 0), 1);
	assert_int_equal(loop_turn(s->loop, 0), 0);
	assert_string_equal(s->order, "x");
}

static void on_replace(void *arg, int fd, unsigned int ready)
{
	struct state *s = arg;

	loop_fd_remove(s->fd[0]);
	s->fd[0] = loop_fd_add(s->loop, fd, LOOP_IN, on_read, s);
	assert_non_null(s->fd[0]);
}

static void fd_callback_replaces_itself(void **state)
{
	struct state *s = *state;

	s->fd[0] = loop_fd_add(s->loop, s->pipe[0][0], LOOP_IN, on_replace, s);
	assert_int_equal(write(s->pipe[0][1], "r", 1), 1);
	assert_int_equal(loop_turn(s->loop, 0), 1);
	assert_string_equal(s->order, "");
	assert_int_equal(loop_turn(s->loop, 0), 1);
	assert_string_equal(s->order, "r");
}

/* ---- timers ---- */

static void on_a(void *arg)
{
	note(arg, 'a');
}

static void on_b(void *arg)
{
	note(arg, 'b');
}

static void on_c(void *arg)
{
	note(arg, 'c');
}

static void on_stop(void *arg)
{
	struct state *s = arg;

	note(s, '.');
	loop_stop(s->loop, 7);
}

static void timers_fire_in_order(void **state)
{
	struct state *s = *state;
	struct loop_timer *a = loop_timer_new(s->loop, on_a, s);
	struct loop_timer *b = loop_timer_new(s->loop, on_b, s);
	struct loop_timer *c = loop_timer_new(s->loop, on_c, s);
	struct loop_timer *stop = loop_timer_new(s->loop, on_stop, s);
	const uint64_t start = loop_now_ms();

	loop_timer_arm(stop, 30, 0);
	loop_timer_arm(c, 20, 0);
	loop_timer_arm(a, 10, 0);
	loop_timer_arm(b, 10, 0); /* same time: in the order of arming */
	assert_true(loop_timer_armed(a));
	assert_int_equal(loop_run(s->loop), 7);
	assert_true(loop_now_ms() - start >= 30);
	assert_string_equal(s->order, "abc.");
	assert_false(loop_timer_armed(a));
	loop_timer_arm(a, 0, 0);
	assert_int_equal(loop_turn(s->loop, 1000), 1);
	assert_string_equal(s->order, "abc.a");
}

static void timer_heap_keeps_order(void **state)
{
	struct state *s = *state;
	struct loop_timer *t[200];
	unsigned int seed = 1;

	/* arm, re-arm and disarm in a scrambled way; then all of what is left must fire */
	for (int i = 0; i < 200; i++)
		t[i] = loop_timer_new(s->loop, on_a, s);
	for (int i = 0; i < 2000; i++) {
		const int k = rand_r(&seed) % 200;

		if (rand_r(&seed) % 3 == 0)
			loop_timer_disarm(t[k]);
		else
			loop_timer_arm(t[k], (uint64_t)(rand_r(&seed) % 5), 0);
	}
	for (int i = 0; i < 200; i += 2)
		loop_timer_free(t[i]);
	for (int i = 1; i < 200; i += 2)
		loop_timer_arm(t[i], (uint64_t)(rand_r(&seed) % 5), 0);
	while (s->calls < 100)
		assert_true(loop_turn(s->loop, 1000) >= 0);
	assert_int_equal(loop_turn(s->loop, 10), 0);
}

static void on_periodic(void *arg)
{
	struct state *s = arg;

	note(s, 'p');
	if (s->calls == 3) {
		loop_timer_free(s->timer[0]);
		s->timer[0] = NULL;
	}
}

static void timer_periodic_frees_itself(void **state)
{
	struct state *s = *state;
	const uint64_t start = loop_now_ms();

	s->timer[0] = loop_timer_new(s->loop, on_periodic, s);
	loop_timer_arm(s->timer[0], 1, 5);
	while (s->timer[0])
		assert_true(loop_turn(s->loop, 1000) >= 0);
	assert_true(loop_now_ms() - start >= 10);
	assert_string_equal(s->order, "ppp");
	assert_int_equal(loop_turn(s->loop, 0), 0);
}

static void on_rearm(void *arg)
{
	struct state *s = arg;

	note(s, 'r');
	loop_timer_arm(s->timer[0], 0, 0);
	loop_timer_free(s->timer[1]);
	s->timer[1] = NULL;
}

static void timer_rearmed_with_zero_waits_a_turn(void **state)
{
	struct state *s = *state;

	s->timer[0] = loop_timer_new(s->loop, on_rearm, s);
	s->timer[1] = loop_timer_new(s->loop, on_b, s);
	loop_timer_arm(s->timer[0], 0, 0);
	loop_timer_arm(s->timer[1], 0, 0);
	assert_int_equal(loop_turn(s->loop, 0), 1); /* and it freed the second one */
	assert_int_equal(loop_turn(s->loop, 0), 1);
	assert_string_equal(s->order, "rr");
}

/* ---- tasks ---- */

static void on_again(void *arg)
{
	struct state *s = arg;

	note(s, 't');
	if (s->calls < 3)
		loop_task_schedule(s->task[0]);
	else {
		loop_task_free(s->task[0]);
		loop_task_free(s->task[1]);
	}
}

static void task_runs_once_a_turn(void **state)
{
	struct state *s = *state;

	s->task[0] = loop_task_new(s->loop, on_again, s);
	s->task[1] = loop_task_new(s->loop, on_b, s);
	loop_task_schedule(s->task[0]);
	loop_task_schedule(s->task[0]);
	assert_int_equal(loop_turn(s->loop, -1), 1);
	assert_int_equal(loop_turn(s->loop, -1), 1);
	loop_task_schedule(s->task[1]);
	/* the first in line frees the second */
	assert_int_equal(loop_turn(s->loop, -1), 1);
	assert_int_equal(loop_turn(s->loop, 0), 0);
	assert_string_equal(s->order, "ttt");
}

static void on_nested(void *arg)
{
	struct state *s = arg;

	s->status = loop_turn(s->loop, 0);
}

static void nested_turn_is_refused(void **state)
{
	struct state *s = *state;

	s->task[0] = loop_task_new(s->loop, on_nested, s);
	loop_task_schedule(s->task[0]);
	assert_int_equal(loop_turn(s->loop, 0), 1);
	assert_int_equal(s->status, -EDEADLK);
}

/* ---- signals and children ---- */

static void on_signal(void *arg, int signo)
{
	struct state *s = arg;

	assert_int_equal(signo, SIGUSR1);
	note(s, 's');
	loop_signal_remove(s->signal);
	s->signal = NULL;
}

static void signal_comes_through_the_loop(void **state)
{
	struct state *s = *state;
	sigset_t now;

	s->signal = loop_signal_add(s->loop, SIGUSR1, on_signal, s);
	assert_non_null(s->signal);
	assert_null(loop_signal_add(s->loop, SIGUSR1, on_signal, s));
	assert_int_equal(errno, EEXIST);
	assert_null(loop_signal_add(s->loop, SIGKILL, on_signal, s));
	assert_int_equal(errno, EINVAL);
	raise(SIGUSR1);
	assert_int_equal(loop_turn(s->loop, 1000), 1);
	assert_string_equal(s->order, "s");
	pthread_sigmask(SIG_BLOCK, NULL, &now);
	assert_int_equal(sigismember(&now, SIGUSR1), 0);
}

static void on_child(void *arg, pid_t pid, int wait_status)
{
	struct state *s = arg;

	note(s, 'c');
	s->status = wait_status;
}

static void child_end_is_told(void **state)
{
	struct state *s = *state;
	const pid_t pid = fork();
	struct loop_child *other;

	if (pid == 0)
		_exit(42);
	assert_non_null(loop_child_add(s->loop, pid, on_child, s));
	assert_int_equal(loop_turn(s->loop, 5000), 1);
	assert_true(WIFEXITED(s->status));
	assert_int_equal(WEXITSTATUS(s->status), 42);
	assert_int_equal(waitpid(pid, NULL, WNOHANG), -1); /* reaped */

	/* stop watching one that lives */
	const pid_t second = fork();

	if (second == 0) {
		pause();
		_exit(0);
	}
	other = loop_child_add(s->loop, second, on_child, s);
	assert_non_null(other);
	loop_child_remove(other);
	kill(second, SIGKILL);
	assert_int_equal(waitpid(second, NULL, 0), second);
	assert_int_equal(loop_turn(s->loop, 0), 0);
}

static void free_takes_everything_along(void **state)
{
	struct state *s = *state;

	/* what is left is freed by loop_free() in the teardown: the sanitisers watch */
	loop_fd_add(s->loop, s->pipe[0][0], LOOP_IN, on_read, s);
	loop_timer_arm(loop_timer_new(s->loop, on_a, s), 1000, 0);
	loop_task_schedule(loop_task_new(s->loop, on_b, s));
	assert_non_null(loop_signal_add(s->loop, SIGUSR2, on_signal, s));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(fd_reports_what_is_ready, setup, teardown),
		cmocka_unit_test_setup_teardown(fd_errors, setup, teardown),
		cmocka_unit_test_setup_teardown(
			fd_hang_up_is_told_without_interest, setup, teardown),
		cmocka_unit_test_setup_teardown(
			fd_callback_removes_itself_and_others, setup, teardown),
		cmocka_unit_test_setup_teardown(fd_callback_replaces_itself, setup, teardown),
		cmocka_unit_test_setup_teardown(timers_fire_in_order, setup, teardown),
		cmocka_unit_test_setup_teardown(timer_heap_keeps_order, setup, teardown),
		cmocka_unit_test_setup_teardown(timer_periodic_frees_itself, setup, teardown),
		cmocka_unit_test_setup_teardown(
			timer_rearmed_with_zero_waits_a_turn, setup, teardown),
		cmocka_unit_test_setup_teardown(task_runs_once_a_turn, setup, teardown),
		cmocka_unit_test_setup_teardown(nested_turn_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(signal_comes_through_the_loop, setup, teardown),
		cmocka_unit_test_setup_teardown(child_end_is_told, setup, teardown),
		cmocka_unit_test_setup_teardown(free_takes_everything_along, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
