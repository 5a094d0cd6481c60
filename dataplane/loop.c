/* The main thread's event loop; see loop.h. */
#include "dataplane/loop.h"

#include <errno.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

/* One event a call: a callback may then remove any watch without leaving a stale one behind. */
#define EVENTS_A_CALL 1

int loop_open(struct loop *loop)
{
	loop->stop = false;
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	return loop->epoll_fd < 0 ? -errno : 0;
}

void loop_close(struct loop *loop)
{
	if (loop->epoll_fd >= 0)
		close(loop->epoll_fd);
	loop->epoll_fd = -1;
}

int loop_add(struct loop *loop, struct loop_watch *watch, int fd, uint32_t events,
	void (*ready)(struct loop_watch *watch, uint32_t events), void *arg)
{
	struct epoll_event ev = {.events = events, .data.ptr = watch};

	watch->fd = -1;
	watch->ready = ready;
	watch->arg = arg;
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0)
		return -errno;
	watch->fd = fd;
	return 0;
}

int loop_change(struct loop *loop, struct loop_watch *watch, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = watch};

	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, watch->fd, &ev) < 0)
		return -errno;
	return 0;
}

void loop_remove(struct loop *loop, struct loop_watch *watch)
{
	if (watch->fd < 0)
		return;
	epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
	watch->fd = -1;
}

int loop_once(struct loop *loop, int timeout_ms)
{
	struct epoll_event ev[EVENTS_A_CALL];
	int n = epoll_wait(loop->epoll_fd, ev, EVENTS_A_CALL, timeout_ms);

	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	for (int i = 0; i < n; i++) {
		struct loop_watch *watch = ev[i].data.ptr;

		watch->ready(watch, ev[i].events);
	}
	return 0;
}

int64_t loop_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}
