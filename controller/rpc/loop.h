/*
 * The event loop: one thread, epoll(7), timers on CLOCK_MONOTONIC, tasks at the end of a turn,
 * signals by signalfd(2), children by pidfd_open(2).
 *
 * Used by audumsd, audums-agent and audumsctl. A loop and everything on it belongs to one thread.
 *
 * Safety: a callback may add, change, remove and free anything on the loop, itself included. What
 * was removed is not called any more, not even for an event that had been reported in the same
 * turn. Handles are freed by their remove/free function only; a one-shot timer that has fired stays
 * allocated and may be armed again.
 *
 * One turn: wait for events (at most until the next timer), call the callbacks of ready
 * descriptors, of timers that are due, then of the tasks that were scheduled. A task scheduled by a
 * task runs in the next turn, which then doesn't wait.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct loop;
struct loop_fd;
struct loop_timer;
struct loop_task;
struct loop_signal;
struct loop_child;

/* ---- the loop ---- */

/* A new loop, or NULL with errno set (ENOMEM, EMFILE, ...). Free it with loop_free(). */
struct loop *loop_new(void);

/*
 * Free the loop and every handle that is still on it (descriptors that were added are not closed,
 * children not killed). Not to be called from a callback of the loop. NULL is allowed.
 */
void loop_free(struct loop *l);

/* Turn until loop_stop(). Returns the code given to loop_stop(), or a negative errno when waiting
 * for events failed. */
int loop_run(struct loop *l);

/* Make loop_run() return `code` at the end of this turn. Without a running loop_run() the next one
 * returns after its first turn. */
void loop_stop(struct loop *l, int code);

/*
 * One turn; waits at most `timeout_ms` milliseconds (0: not at all, -1: without bound). Returns the
 * number of callbacks called, or a negative errno; -EDEADLK when called from a callback.
 */
int loop_turn(struct loop *l, int timeout_ms);

/* Milliseconds of CLOCK_MONOTONIC now. */
uint64_t loop_now_ms(void);

/* ---- descriptors ---- */

enum loop_events {
	LOOP_IN = 1,  /* readable, or the peer has closed its writing side */
	LOOP_OUT = 2, /* writable, or connect(2) has finished */
	LOOP_HUP = 4, /* error or hang-up; reported whatever the interest, comes with IN and OUT */
};

/*
 * Watch `fd` (level-triggered) for `interest`, a set of LOOP_IN and LOOP_OUT, possibly empty. `cb`
 * gets the events that are ready. The descriptor stays the caller's: call loop_fd_remove() before
 * close(2). Returns NULL with errno set (EEXIST: already watched, EPERM: a regular file, ENOMEM).
 */
struct loop_fd *loop_fd_add(struct loop *l, int fd, unsigned int interest,
	void (*cb)(void *arg, int fd, unsigned int ready), void *arg);

/* Change the interest. Returns 0 or a negative errno. Cheap when nothing changes. */
int loop_fd_set(struct loop_fd *f, unsigned int interest);

/* Stop watching and free the handle; doesn't close the descriptor. NULL is allowed. */
void loop_fd_remove(struct loop_fd *f);

/* ---- timers ---- */

/* A timer that isn't armed, or NULL with errno ENOMEM. */
struct loop_timer *loop_timer_new(struct loop *l, void (*cb)(void *arg), void *arg);

/*
 * Arm (or re-arm) a timer: fires `delay_ms` milliseconds from now, then every `period_ms`
 * milliseconds (0: once). A periodic timer that was late skips the periods it missed. Never fails.
 */
void loop_timer_arm(struct loop_timer *t, uint64_t delay_ms, uint64_t period_ms);

/* Disarm; the timer may be armed again. NULL is allowed. */
void loop_timer_disarm(struct loop_timer *t);

/* Whether it will fire. */
bool loop_timer_armed(const struct loop_timer *t);

/* Disarm and free. NULL is allowed. */
void loop_timer_free(struct loop_timer *t);

/* ---- tasks: "run once at the end of this turn" ---- */

/* A task that isn't scheduled, or NULL with errno ENOMEM. */
struct loop_task *loop_task_new(struct loop *l, void (*cb)(void *arg), void *arg);

/* Run the task once at the end of this turn; scheduling it twice in a turn runs it once. Never
 * fails. */
void loop_task_schedule(struct loop_task *t);

/* Undo loop_task_schedule(). */
void loop_task_cancel(struct loop_task *t);

/* Cancel and free. NULL is allowed. */
void loop_task_free(struct loop_task *t);

/* ---- signals ---- */

/*
 * Block signal `signo` for this thread and have `cb` called in the loop when it arrives. Add
 * signals before other threads start, so that they inherit the mask. Returns NULL with errno set
 * (EINVAL, EEXIST: one callback a signal, ENOMEM). Removing it, or loop_free(), unblocks the signal
 * unless it was blocked before.
 */
struct loop_signal *loop_signal_add(
	struct loop *l, int signo, void (*cb)(void *arg, int signo), void *arg);
void loop_signal_remove(struct loop_signal *s);

/*
 * To be called in a child between fork(2) and execve(2): gives back the signal mask that was set
 * before loop_signal_add() (masks survive execve). Async-signal-safe.
 */
void loop_signal_reset(const struct loop *l);

/* ---- children ---- */

/*
 * Have `cb` called once when the child process `pid` ends; it is reaped, and `wait_status` is as
 * from waitpid(2) (-1 when somebody else had reaped it). The handle is freed after the callback.
 * Returns NULL with errno set (ESRCH, ENOMEM, EMFILE).
 */
struct loop_child *loop_child_add(
	struct loop *l, pid_t pid, void (*cb)(void *arg, pid_t pid, int wait_status), void *arg);

/* Stop watching before the child has ended; the caller has to reap it. NULL is allowed. */
void loop_child_remove(struct loop_child *c);
