/*
 * The event loop's turn, descriptors, timers and tasks; see loop.h.
 *
 * Invariants: a handle that is removed while a turn runs goes to the graveyard and is freed when
 * the turn ends, because the array epoll filled may still point to it. Timers are a binary heap
 * ordered by (due, sequence); the heap always has room for every timer that exists, so arming can't
 * fail.
 */
#include "controller/rpc/loop_internal.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_A_TURN 64

struct loop_timer {
	struct loop *loop;
	void (*cb)(void *arg);
	void *arg;
	uint64_t due;
	uint64_t period;
	uint64_t seq;
	size_t at; /* place in the heap; NOT_ARMED */
	LIST_ENTRY(loop_timer) all;
};
#define NOT_ARMED SIZE_MAX

struct loop_task {
	struct loop *loop;
	void (*cb)(void *arg);
	void *arg;
	uint64_t seq;
	bool scheduled;
	TAILQ_ENTRY(loop_task) queue;
	LIST_ENTRY(loop_task) all;
};

uint64_t loop_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

struct loop *loop_new(void)
{
	struct loop *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	l->signal_fd = -1;
	TAILQ_INIT(&l->scheduled);
	if (l->epoll_fd < 0) {
		free(l);
		return NULL;
	}
	return l;
}

static void graveyard_clear(struct loop *l)
{
	struct loop_fd *f;

	while ((f = LIST_FIRST(&l->graveyard))) {
		LIST_REMOVE(f, all);
		free(f);
	}
}

void loop_free(struct loop *l)
{
	struct loop_timer *t;
	struct loop_task *k;
	struct loop_fd *f;

	if (!l)
		return;
	loop_children_free(l);
	loop_signals_free(l);
	while ((t = LIST_FIRST(&l->timers)))
		loop_timer_free(t);
	while ((k = LIST_FIRST(&l->tasks)))
		loop_task_free(k);
	while ((f = LIST_FIRST(&l->fds)))
		loop_fd_remove(f);
	graveyard_clear(l);
	free(l->heap);
	close(l->epoll_fd);
	free(l);
}

/* ---- descriptors ---- */

static uint32_t epoll_events(unsigned int interest)
{
	return (interest & LOOP_IN ? EPOLLIN | EPOLLRDHUP : 0) |
	       (interest & LOOP_OUT ? EPOLLOUT : 0);
}

struct loop_fd *loop_fd_add(struct loop *l, int fd, unsigned int interest,
	void (*cb)(void *arg, int fd, unsigned int ready), void *arg)
{
	struct loop_fd *f = calloc(1, sizeof(*f));
	struct epoll_event ev = {.events = epoll_events(interest), .data.ptr = f};

	if (!f)
		return NULL;
	f->loop = l;
	f->fd = fd;
	f->interest = interest;
	f->cb = cb;
	f->arg = arg;
	if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0) {
		const int saved = errno;

		free(f);
		errno = saved;
		return NULL;
	}
	LIST_INSERT_HEAD(&l->fds, f, all);
	return f;
}

int loop_fd_set(struct loop_fd *f, unsigned int interest)
{
	struct epoll_event ev = {.events = epoll_events(interest), .data.ptr = f};

	if (f->interest == interest)
		return 0;
	if (epoll_ctl(f->loop->epoll_fd, EPOLL_CTL_MOD, f->fd, &ev) < 0)
		return -errno;
	f->interest = interest;
	return 0;
}

void loop_fd_remove(struct loop_fd *f)
{
	struct epoll_event ev = {0};

	if (!f)
		return;
	epoll_ctl(f->loop->epoll_fd, EPOLL_CTL_DEL, f->fd, &ev);
	LIST_REMOVE(f, all);
	if (!f->loop->in_turn) {
		free(f);
		return;
	}
	f->dead = true;
	LIST_INSERT_HEAD(&f->loop->graveyard, f, all);
}

static int fds_dispatch(struct loop *l, const struct epoll_event *events, int count)
{
	int called = 0;

	for (int i = 0; i < count; i++) {
		struct loop_fd *f = events[i].data.ptr;
		unsigned int ready = 0;

		if (f->dead)
			continue;
		if (events[i].events & (EPOLLERR | EPOLLHUP))
			ready = LOOP_IN | LOOP_OUT | LOOP_HUP;
		if (events[i].events & (EPOLLIN | EPOLLRDHUP))
			ready |= LOOP_IN;
		if (events[i].events & EPOLLOUT)
			ready |= LOOP_OUT;
		/* An earlier callback of this turn may have taken the interest back. */
		ready &= f->interest | LOOP_HUP;
		if (!ready)
			continue;
		f->cb(f->arg, f->fd, ready);
		called++;
	}
	return called;
}

/* ---- timers ---- */

static bool timer_before(const struct loop_timer *a, const struct loop_timer *b)
{
	return a->due != b->due ? a->due < b->due : a->seq < b->seq;
}

static void heap_put(struct loop *l, size_t at, struct loop_timer *t)
{
	l->heap[at] = t;
	t->at = at;
}

static void heap_up(struct loop *l, size_t at, struct loop_timer *t)
{
	while (at > 0 && timer_before(t, l->heap[(at - 1) / 2])) {
		heap_put(l, at, l->heap[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	heap_put(l, at, t);
}

static void heap_down(struct loop *l, size_t at, struct loop_timer *t)
{
	for (;;) {
		size_t child = 2 * at + 1;

		if (child >= l->armed)
			break;
		if (child + 1 < l->armed && timer_before(l->heap[child + 1], l->heap[child]))
			child++;
		if (!timer_before(l->heap[child], t))
			break;
		heap_put(l, at, l->heap[child]);
		at = child;
	}
	heap_put(l, at, t);
}

struct loop_timer *loop_timer_new(struct loop *l, void (*cb)(void *arg), void *arg)
{
	struct loop_timer *t;

	if (l->timer_count == l->heap_size) {
		const size_t size = l->heap_size ? 2 * l->heap_size : 16;
		struct loop_timer **heap = reallocarray(l->heap, size, sizeof(*heap));

		if (!heap)
			return NULL;
		l->heap = heap;
		l->heap_size = size;
	}
	t = calloc(1, sizeof(*t));
	if (!t)
		return NULL;
	t->loop = l;
	t->cb = cb;
	t->arg = arg;
	t->at = NOT_ARMED;
	l->timer_count++;
	LIST_INSERT_HEAD(&l->timers, t, all);
	return t;
}

static void timer_insert(struct loop_timer *t)
{
	t->seq = t->loop->seq++;
	heap_up(t->loop, t->loop->armed++, t);
}

void loop_timer_arm(struct loop_timer *t, uint64_t delay_ms, uint64_t period_ms)
{
	const uint64_t now = loop_now_ms();

	loop_timer_disarm(t);
	t->due = delay_ms > UINT64_MAX - now ? UINT64_MAX : now + delay_ms;
	t->period = period_ms;
	timer_insert(t);
}

void loop_timer_disarm(struct loop_timer *t)
{
	struct loop_timer *last;
	struct loop *l;
	size_t at;

	if (!t || t->at == NOT_ARMED)
		return;
	l = t->loop;
	at = t->at;
	t->at = NOT_ARMED;
	last = l->heap[--l->armed];
	if (last == t)
		return;
	if (at > 0 && timer_before(last, l->heap[(at - 1) / 2]))
		heap_up(l, at, last);
	else
		heap_down(l, at, last);
}

bool loop_timer_armed(const struct loop_timer *t)
{
	return t->at != NOT_ARMED;
}

void loop_timer_free(struct loop_timer *t)
{
	if (!t)
		return;
	loop_timer_disarm(t);
	t->loop->timer_count--;
	LIST_REMOVE(t, all);
	free(t);
}

static int timers_dispatch(struct loop *l)
{
	const uint64_t now = loop_now_ms();
	const uint64_t first_new = l->seq;
	int called = 0;

	/* What callbacks arm now waits for the next turn, so that a delay of 0 can't hold it up. */
	while (l->armed > 0 && l->heap[0]->due <= now && l->heap[0]->seq < first_new) {
		struct loop_timer *t = l->heap[0];

		loop_timer_disarm(t);
		if (t->period) {
			t->due += t->period * ((now - t->due) / t->period + 1);
			timer_insert(t);
		}
		t->cb(t->arg); /* may free t */
		called++;
	}
	return called;
}

/* ---- tasks ---- */

struct loop_task *loop_task_new(struct loop *l, void (*cb)(void *arg), void *arg)
{
	struct loop_task *k = calloc(1, sizeof(*k));

	if (!k)
		return NULL;
	k->loop = l;
	k->cb = cb;
	k->arg = arg;
	LIST_INSERT_HEAD(&l->tasks, k, all);
	return k;
}

void loop_task_schedule(struct loop_task *k)
{
	if (k->scheduled)
		return;
	k->scheduled = true;
	k->seq = k->loop->seq++;
	TAILQ_INSERT_TAIL(&k->loop->scheduled, k, queue);
}

void loop_task_cancel(struct loop_task *k)
{
	if (!k || !k->scheduled)
		return;
	k->scheduled = false;
	TAILQ_REMOVE(&k->loop->scheduled, k, queue);
}

void loop_task_free(struct loop_task *k)
{
	if (!k)
		return;
	loop_task_cancel(k);
	LIST_REMOVE(k, all);
	free(k);
}

static int tasks_dispatch(struct loop *l)
{
	const uint64_t first_new = l->seq;
	struct loop_task *k;
	int called = 0;

	while ((k = TAILQ_FIRST(&l->scheduled)) && k->seq < first_new) {
		loop_task_cancel(k);
		k->cb(k->arg); /* may free k */
		called++;
	}
	return called;
}

/* ---- the turn ---- */

static int wait_ms(const struct loop *l, int timeout_ms)
{
	uint64_t now;
	uint64_t left;

	if (!TAILQ_EMPTY(&l->scheduled))
		return 0;
	if (l->armed == 0 || timeout_ms == 0)
		return timeout_ms;
	now = loop_now_ms();
	left = l->heap[0]->due > now ? l->heap[0]->due - now : 0;
	if (timeout_ms > 0 && (uint64_t)timeout_ms < left)
		return timeout_ms;
	return left > INT_MAX ? INT_MAX : (int)left;
}

int loop_turn(struct loop *l, int timeout_ms)
{
	struct epoll_event events[EVENTS_A_TURN];
	int called;
	int n;

	if (l->in_turn)
		return -EDEADLK;
	n = epoll_wait(l->epoll_fd, events, EVENTS_A_TURN, wait_ms(l, timeout_ms));
	if (n < 0) {
		if (errno != EINTR)
			return -errno;
		n = 0;
	}
	l->in_turn = true;
	called = fds_dispatch(l, events, n);
	called += timers_dispatch(l);
	called += tasks_dispatch(l);
	l->in_turn = false;
	graveyard_clear(l);
	return called;
}

int loop_run(struct loop *l)
{
	int ret;

	do {
		ret = loop_turn(l, -1);
	} while (ret >= 0 && !l->stop);
	if (l->stop && ret >= 0)
		ret = l->stop_code;
	l->stop = false;
	return ret;
}

void loop_stop(struct loop *l, int code)
{
	l->stop = true;
	l->stop_code = code;
}
