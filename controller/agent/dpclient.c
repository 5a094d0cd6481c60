/* Questions to the forwarding process; see dpclient.h. */
#include "controller/agent/dpclient.h"

#include "controller/rpc/loop.h"
#include "proto/lib/frame.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define READ_BYTES  65536
#define READ_BURSTS 16

struct dpask {
	struct loop *loop;
	dpask_fn *fn;
	void *arg;
	int fd;
	struct loop_fd *watch;
	struct loop_timer *timer; /* deadline, and the delayed news of a failed connect */
	struct frame_decoder decoder;
	uint8_t *out;
	size_t out_len, out_at;
	Audums__V1__DataplaneReply *held; /* an answer that was not taken yet */
	char error[96];                   /* not empty: to be told as soon as possible */
};

void dpask_cancel(struct dpask *q)
{
	if (!q)
		return;
	loop_timer_free(q->timer);
	loop_fd_remove(q->watch);
	if (q->fd >= 0)
		close(q->fd);
	frame_decoder_free(&q->decoder);
	if (q->held)
		audums__v1__dataplane_reply__free_unpacked(q->held, NULL);
	free(q->out);
	free(q);
}

/* It is over: tell, now or when the asker resumes. */
static void fail(struct dpask *q, const char *error)
{
	if (error != q->error)
		snprintf(q->error, sizeof(q->error), "%s", error);
	loop_timer_disarm(q->timer);
	loop_fd_remove(q->watch);
	q->watch = NULL;
	if (q->fn(q->arg, NULL, q->error))
		dpask_cancel(q);
}

static void timer(void *arg)
{
	struct dpask *q = arg;

	fail(q, q->error[0] ? q->error : "the dataplane did not answer in time");
}

/* Hand q->held over. Returns false when it is to be kept, or the question is over (*gone). */
static bool deliver(struct dpask *q, bool *gone)
{
	const bool last = !q->held->more;

	*gone = false;
	if (!q->fn(q->arg, q->held, NULL)) {
		if (q->watch)
			loop_fd_set(q->watch, 0);
		return false;
	}
	audums__v1__dataplane_reply__free_unpacked(q->held, NULL);
	q->held = NULL;
	if (last) {
		dpask_cancel(q);
		*gone = true;
		return false;
	}
	return true;
}

static void send_rest(struct dpask *q)
{
	while (q->out_at < q->out_len) {
		const ssize_t n =
			send(q->fd, q->out + q->out_at, q->out_len - q->out_at, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			break; /* EAGAIN; anything else is told by reading */
		q->out_at += (size_t)n;
	}
	loop_fd_set(q->watch, q->out_at < q->out_len ? LOOP_IN | LOOP_OUT : LOOP_IN);
}

static void io(void *arg, int fd, unsigned int ready)
{
	struct dpask *q = arg;
	uint8_t buf[READ_BYTES];

	if (q->held) {
		/* Paused, and the other side has gone meanwhile: look again after dpask_resume().
		 */
		loop_fd_remove(q->watch);
		q->watch = NULL;
		return;
	}
	if (q->out_at < q->out_len)
		send_rest(q);
	for (int i = 0; i < READ_BURSTS; i++) {
		/* exactly what is missing, so nothing is left over when we pause */
		size_t want = frame_decoder_missing(&q->decoder);
		struct frame frame;
		bool gone;
		ssize_t n;

		if (want > sizeof(buf))
			want = sizeof(buf);
		n = recv(fd, buf, want, MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			fail(q, n == 0 ? "the dataplane closed the connection" : strerror(errno));
			return;
		}
		if (frame_decoder_feed(&q->decoder, buf, (size_t)n, &frame) < 0) {
			fail(q, "the dataplane's answer is too long");
			return;
		}
		if (!frame.data)
			continue;
		q->held = audums__v1__dataplane_reply__unpack(NULL, frame.len, frame.data);
		if (!q->held) {
			fail(q, "the dataplane's answer is malformed");
			return;
		}
		if (!deliver(q, &gone))
			return;
	}
}

void dpask_resume(struct dpask *q)
{
	bool gone;

	if (q->error[0]) {
		fail(q, q->error);
		return;
	}
	if (!q->held || !deliver(q, &gone))
		return;
	if (!q->watch)
		q->watch = loop_fd_add(q->loop, q->fd, LOOP_IN, io, q);
	if (!q->watch) {
		fail(q, strerror(errno));
		return;
	}
	loop_fd_set(q->watch, LOOP_IN);
}

struct dpask *dpask_new(struct loop *loop, const char *socket_path,
	const Audums__V1__DataplaneRequest *request, uint32_t timeout_ms, dpask_fn *fn, void *arg)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	struct dpask *q = calloc(1, sizeof(*q));
	int err = ENOMEM;

	if (!q)
		return NULL;
	*q = (struct dpask){.loop = loop, .fn = fn, .arg = arg, .fd = -1};
	frame_decoder_init(&q->decoder, FRAME_MAX_BYTES);
	q->timer = loop_timer_new(loop, timer, q);
	if (!q->timer)
		goto fail;
	err = -frame_encode(&request->base, FRAME_MAX_BYTES, &q->out, &q->out_len);
	if (err)
		goto fail;
	loop_timer_arm(q->timer, timeout_ms, 0);
	if (strlen(socket_path) >= sizeof(a.sun_path)) {
		err = ENAMETOOLONG;
		goto fail;
	}
	memcpy(a.sun_path, socket_path, strlen(socket_path) + 1);
	q->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (q->fd < 0 || connect(q->fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
		snprintf(q->error, sizeof(q->error), "%s",
			errno == ENOENT || errno == ECONNREFUSED ? "not running" : strerror(errno));
		loop_timer_arm(q->timer, 0, 0);
		return q;
	}
	q->watch = loop_fd_add(loop, q->fd, LOOP_IN, io, q);
	if (!q->watch) {
		err = errno;
		goto fail;
	}
	send_rest(q);
	return q;
fail:
	dpask_cancel(q);
	errno = err;
	return NULL;
}
