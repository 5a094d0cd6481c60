/*
 * The two sockets: a full dump at start, events held while it runs, and each way it can go wrong
 * (overrun, inconsistent, error, silence) answered by dumping again. The kernel is played by the
 * test on socket pairs, with the recorded bytes; one test asks the real kernel.
 */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include "dataplane/mirror/mirror_sock.h"
#include "proto/lib/log.h"
#include "tests/unit/mirror/world.h"

#define CLASSES 6

static int enobufs_on = -1; /* the next recv() on this descriptor fails so */

ssize_t __real_recv(int fd, void *buf, size_t len, int flags);
ssize_t __wrap_recv(int fd, void *buf, size_t len, int flags);

ssize_t __wrap_recv(int fd, void *buf, size_t len, int flags)
{
	if (fd == enobufs_on) {
		enobufs_on = -1;
		errno = ENOBUFS;
		return -1;
	}
	return __real_recv(fd, buf, len, flags);
}

/* What the kernel says wrong in its next answer. */
enum fault {
	FAULT_NONE,
	FAULT_INTR,
	FAULT_ERROR,
	FAULT_SILENCE,
};

struct lab {
	struct world w;
	struct mirror_sock *s;
	struct recording r;
	int events, dumps;               /* the kernel's ends */
	unsigned int first[CLASSES + 1]; /* chunks of the classes */
	unsigned int requests;
	uint16_t types[64];
	enum fault fault;
	uint64_t now;
	char *want;
};

static int setup(void **state)
{
	struct lab *lab = calloc(1, sizeof(*lab));
	unsigned int class = 0;
	struct world plain;
	int e[2], d[2];

	recording_read(&lab->r, "overlay");
	world_open(&plain);
	for (unsigned int i = 0; i < lab->r.n; i++) {
		const struct chunk *c = &lab->r.chunks[i];

		if (c->kind != 'D')
			continue;
		if (class == 0 && lab->first[0] == 0)
			lab->first[0] = i;
		if (mirror_feed(plain.m, c->data, c->len) & MIRROR_SEEN_DONE)
			lab->first[++class] = i + 1;
	}
	assert_int_equal(class, CLASSES);
	mirror_settle(plain.m);
	lab->want = world_text(&plain);
	world_close(&plain);

	world_open(&lab->w);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, e), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, d), 0);
	lab->events = e[1];
	lab->dumps = d[1];
	lab->now = 5000;
	lab->s = mirror_sock_create(lab->w.m, e[0], d[0]);
	assert_non_null(lab->s);
	*state = lab;
	return 0;
}

static int teardown(void **state)
{
	struct lab *lab = *state;

	mirror_sock_destroy(lab->s);
	close(lab->events);
	close(lab->dumps);
	world_close(&lab->w);
	recording_free(&lab->r);
	free(lab->want);
	free(lab);
	return 0;
}

static unsigned int class_of(uint16_t type, uint8_t family)
{
	switch (type) {
	case RTM_GETLINK:
		return 0;
	case RTM_GETADDR:
		return 1;
	case RTM_GETNEXTHOP:
		return 2;
	case RTM_GETROUTE:
		return 3;
	default:
		assert_int_equal(type, RTM_GETNEIGH);
		return family == AF_BRIDGE ? 4 : 5;
	}
}

static void answer_error(struct lab *lab, uint32_t seq)
{
	struct {
		struct nlmsghdr h;
		struct nlmsgerr e;
	} err = {.h = {.nlmsg_len = sizeof(err), .nlmsg_type = NLMSG_ERROR, .nlmsg_seq = seq},
		.e = {.error = -EBUSY}};

	assert_int_equal(send(lab->dumps, &err, sizeof(err), 0), sizeof(err));
}

/* The kernel's turn: answer what is asked. */
static void kernel(struct lab *lab)
{
	static char copy[1 << 17];
	struct {
		struct nlmsghdr h;
		char body[64];
	} req;

	while (recv(lab->dumps, &req, sizeof(req), MSG_DONTWAIT) > 0) {
		unsigned int class = class_of(req.h.nlmsg_type, (uint8_t)req.body[0]);
		enum fault fault = lab->fault;

		assert_true(req.h.nlmsg_flags & NLM_F_DUMP);
		assert_true(lab->requests < 64);
		lab->types[lab->requests++] = (uint16_t) class;
		lab->fault = FAULT_NONE;
		if (fault == FAULT_SILENCE)
			continue;
		if (fault == FAULT_ERROR) {
			answer_error(lab, req.h.nlmsg_seq);
			continue;
		}
		for (unsigned int i = lab->first[class]; i < lab->first[class + 1]; i++) {
			const struct chunk *c = &lab->r.chunks[i];
			size_t left = c->len;

			memcpy(copy, c->data, c->len);
			for (struct nlmsghdr *h = (void *)copy; NLMSG_OK(h, left);
				h = NLMSG_NEXT(h, left)) {
				h->nlmsg_seq = req.h.nlmsg_seq;
				if (fault == FAULT_INTR)
					h->nlmsg_flags |= NLM_F_DUMP_INTR;
			}
			assert_int_equal(send(lab->dumps, copy, c->len, 0), c->len);
		}
	}
}

/* Both take turns until the mirror is content. */
static void run(struct lab *lab)
{
	for (int i = 0; i < 1000; i++) {
		int rc = mirror_sock_run(lab->s, lab->now);

		assert_true(rc >= -1);
		if (rc == -1)
			return;
		lab->now += 1;
		kernel(lab);
	}
	fail_msg("never content");
}

static void assert_same(struct lab *lab)
{
	char *text = world_text(&lab->w);

	assert_string_equal(text, lab->want);
	free(text);
}

static struct mirror_sock_stats stats(struct lab *lab)
{
	struct mirror_sock_stats st;

	mirror_sock_stats_get(lab->s, &st);
	return st;
}

static void test_start(void **state)
{
	struct lab *lab = *state;

	assert_false(stats(lab).synced);
	run(lab);
	assert_same(lab);
	assert_true(stats(lab).synced);
	assert_int_equal(stats(lab).dumps, 1);
	assert_int_equal(lab->requests, CLASSES);
	for (uint16_t i = 0; i < CLASSES; i++)
		assert_int_equal(lab->types[i], i);
}

/* Events of the whole story wait while the dump runs, are replayed, and end in the same state. */
static void test_events_wait(void **state)
{
	struct lab *lab = *state;

	/* the dump is asked for; only then do events come */
	mirror_sock_run(lab->s, lab->now);
	assert_false(mirror_sock_wants_events(lab->s));
	for (unsigned int i = 0; i < lab->r.n; i++) {
		const struct chunk *c = &lab->r.chunks[i];

		if (c->kind == 'E' && send(lab->events, c->data, c->len, 0) < 0) {
			assert_int_equal(errno, EAGAIN);
			run(lab);
			assert_int_equal(send(lab->events, c->data, c->len, 0), c->len);
		}
	}
	run(lab);
	assert_true(mirror_sock_wants_events(lab->s));
	assert_same(lab);
}

static void test_overrun(void **state)
{
	struct lab *lab = *state;

	run(lab);
	enobufs_on = mirror_sock_event_fd(lab->s);
	run(lab);
	assert_int_equal(stats(lab).overruns, 1);
	assert_int_equal(stats(lab).dumps, 2);
	assert_same(lab);
}

static void test_inconsistent(void **state)
{
	struct lab *lab = *state;

	lab->fault = FAULT_INTR;
	run(lab);
	assert_same(lab);
	assert_int_equal(stats(lab).restarts, 1);
	assert_int_equal(lab->requests, CLASSES + 1);
	assert_int_equal(lab->types[1], 0); /* the class again, not all */
}

static void test_error(void **state)
{
	struct lab *lab = *state;

	lab->fault = FAULT_ERROR;
	run(lab);
	assert_same(lab);
	assert_int_equal(stats(lab).restarts, 1);
	assert_int_equal(stats(lab).dumps, 1);
}

static void test_silence(void **state)
{
	struct lab *lab = *state;
	int rc;

	lab->fault = FAULT_SILENCE;
	mirror_sock_run(lab->s, lab->now);
	kernel(lab);
	rc = mirror_sock_run(lab->s, lab->now);
	assert_true(rc > 1000);
	lab->now += (uint64_t)rc;
	run(lab);
	assert_same(lab);
	assert_int_equal(stats(lab).restarts, 1);
}

/* A broken descriptor is said, not spun on. */
static void test_broken(void **state)
{
	struct lab *lab = *state;

	run(lab);
	shutdown(lab->events, SHUT_RDWR);
	close(lab->events);
	lab->events = dup(2);
	assert_true(mirror_sock_run(lab->s, lab->now) < -1);
}

static void test_real_kernel(void **state)
{
	struct lab *lab = *state;
	int one = 1, fds[2];
	struct mirror_stats st;
	struct mirror_sock_stats ss;
	struct mirror_sock *s;
	struct world w;

	for (int i = 0; i < 2; i++) {
		struct sockaddr_nl addr = {.nl_family = AF_NETLINK};

		fds[i] = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
		assert_true(fds[i] >= 0);
		assert_int_equal(bind(fds[i], (struct sockaddr *)&addr, sizeof(addr)), 0);
	}
	(void)setsockopt(fds[1], SOL_NETLINK, NETLINK_GET_STRICT_CHK, &one, sizeof(one));
	world_open(&w);
	s = mirror_sock_create(w.m, fds[0], fds[1]);
	for (uint64_t now = lab->now;; now += 10) {
		struct pollfd pfd = {.fd = fds[1], .events = POLLIN};

		assert_true(mirror_sock_run(s, now) >= -1);
		mirror_sock_stats_get(s, &ss);
		if (ss.synced)
			break;
		assert_true(poll(&pfd, 1, 5000) >= 0);
		assert_true(now < lab->now + 10000);
	}
	mirror_stats_get(w.m, &st);
	assert_int_equal(st.malformed, 0);
	assert_int_equal(st.last_error, 0);
	assert_true(st.links > 0);
	mirror_sock_destroy(s);
	world_close(&w);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_start),
		T(test_events_wait),
		T(test_overrun),
		T(test_inconsistent),
		T(test_error),
		T(test_silence),
		T(test_broken),
		T(test_real_kernel),
	};

	log_setup(LOG_LEVEL_ERROR, 2);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
