/* What loop.c and loop_process.c share; nobody else includes it. */
#pragma once

#include <signal.h>
#include <stddef.h>
#include <sys/queue.h>

#include "controller/rpc/loop.h"

struct loop_fd {
	struct loop *loop;
	int fd;
	unsigned int interest;
	bool dead;
	void (*cb)(void *arg, int fd, unsigned int ready);
	void *arg;
	LIST_ENTRY(loop_fd) all; /* in loop.fds, or in loop.graveyard */
};

LIST_HEAD(loop_fd_list, loop_fd);

struct loop {
	int epoll_fd;
	bool in_turn;
	bool stop;
	int stop_code;
	uint64_t seq; /* orders timers of one millisecond, and tasks */
	struct loop_fd_list fds;
	struct loop_fd_list graveyard;

	struct loop_timer **heap;
	size_t armed;       /* in the heap */
	size_t heap_size;   /* >= timer_count */
	size_t timer_count; /* armed or not */
	LIST_HEAD(, loop_timer) timers;

	TAILQ_HEAD(, loop_task) scheduled;
	LIST_HEAD(, loop_task) tasks;

	int signal_fd; /* -1: none yet */
	struct loop_fd *signal_watch;
	sigset_t signals; /* that have a callback */
	sigset_t blocked; /* those of them that we blocked */
	struct loop_signal *by_signo[_NSIG];

	LIST_HEAD(, loop_child) children;
};

/* Parts of loop_free(). */
void loop_signals_free(struct loop *l);
void loop_children_free(struct loop *l);
