/*
 * The main thread's event loop: epoll over descriptors, plus one deadline per user.
 *
 * One struct loop belongs to the main thread; callbacks run in it, one after the other, and may
 * add, change and remove any watch, their own too. Not for workers.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct loop {
	int epoll_fd;
	bool stop; /* set by anyone in the main thread: loop_run() returns */
};

/* One descriptor of interest; embedded in its user's structure, which outlives it. */
struct loop_watch {
	int fd; /* -1: not watched */
	void (*ready)(struct loop_watch *watch, uint32_t events);
	void *arg;
};

/* Returns 0 or a negative errno. */
int loop_open(struct loop *loop);
void loop_close(struct loop *loop);

/* Watch `fd` for `events` (EPOLLIN, EPOLLOUT; level triggered). Returns 0 or a negative errno. */
int loop_add(struct loop *loop, struct loop_watch *watch, int fd, uint32_t events,
	void (*ready)(struct loop_watch *watch, uint32_t events), void *arg);

/* Change what is watched for. Returns 0 or a negative errno. */
int loop_change(struct loop *loop, struct loop_watch *watch, uint32_t events);

/* Stop watching; does not close the descriptor. Harmless when not watched. */
void loop_remove(struct loop *loop, struct loop_watch *watch);

/* Wait for events for at most `timeout_ms` (-1: no limit) and call what is ready. Returns 0 or a
 * negative errno; -EINTR is no error and gives 0. */
int loop_once(struct loop *loop, int timeout_ms);

/* CLOCK_MONOTONIC in milliseconds. */
int64_t loop_now_ms(void);
