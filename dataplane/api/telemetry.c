/* Questions by rte_telemetry, handed to the main thread; see telemetry.h. */
#include "dataplane/dpdk_compat.h"

#include "dataplane/api/telemetry.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <rte_common.h>

#include "dataplane/api/telemetry_answer.h"
#include "dataplane/dataplane.h"
#include "proto/lib/log.h"

#define PATIENCE_MS 2000 /* until a question that nobody took is given up */

/* What a telemetry thread wants to know; it lives on that thread's stack. */
struct question {
	struct question *next;
	telemetry_answer_fn *fn;
	const char *params;
	struct rte_tel_data *data;
	int result;
	enum {
		WAITING,
		TAKEN, /* the main thread writes to `data` */
		DONE,
	} state;
};

/* Where telemetry's threads and the main thread meet: the one piece of state that is not passed
 * down, as DPDK's callbacks in 22.11 take no argument. */
static struct desk {
	pthread_mutex_t lock;
	pthread_cond_t done;
	struct question *waiting;
	struct dataplane *dp; /* NULL: nobody answers */
	struct loop_watch watch;
	bool registered;
} desk = {.lock = PTHREAD_MUTEX_INITIALIZER, .watch.fd = -1};

static void question_remove(struct question *q)
{
	struct question **at = &desk.waiting;

	while (*at != NULL && *at != q)
		at = &(*at)->next;
	if (*at == q)
		*at = q->next;
}

/* Telemetry thread: have the main thread answer. */
static int question_ask(telemetry_answer_fn *fn, const char *params, struct rte_tel_data *data)
{
	struct question q = {.fn = fn, .params = params != NULL ? params : "", .data = data};
	const uint64_t one = 1;
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += PATIENCE_MS / 1000;
	pthread_mutex_lock(&desk.lock);
	if (desk.dp == NULL || write(desk.watch.fd, &one, sizeof(one)) < 0) {
		q.result = -ESHUTDOWN;
		goto out;
	}
	q.next = desk.waiting;
	desk.waiting = &q;
	while (q.state != DONE) {
		if (pthread_cond_timedwait(&desk.done, &desk.lock, &until) == 0)
			continue;
		if (q.state == WAITING) {
			question_remove(&q);
			q.result = -ETIMEDOUT;
			break;
		}
		/* taken: it is being answered right now */
		until.tv_sec += PATIENCE_MS / 1000;
	}
out:
	pthread_mutex_unlock(&desk.lock);
	return q.result;
}

/* Main thread: answer all that wait. */
static void on_question(struct loop_watch *watch, uint32_t events)
{
	struct question *q;
	uint64_t count;

	if (read(watch->fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		log_error("telemetry_failed", "error=\"%s\"", strerror(errno));
	pthread_mutex_lock(&desk.lock);
	while ((q = desk.waiting) != NULL) {
		desk.waiting = q->next;
		q->state = TAKEN;
		pthread_mutex_unlock(&desk.lock);
		q->result = q->fn(desk.dp, q->params, q->data);
		pthread_mutex_lock(&desk.lock);
		q->state = DONE;
		pthread_cond_broadcast(&desk.done);
	}
	pthread_mutex_unlock(&desk.lock);
}

/* A callback for each command, as they are told apart by nothing else. */
#define X(id, path, help)                                                                          \
	static int on_##id(const char *cmd, const char *params, struct rte_tel_data *data)         \
	{                                                                                          \
		return question_ask(telemetry_##id, params, data);                                 \
	}
TELEMETRY_COMMANDS(X)
#undef X

static int commands_register(void)
{
	static const struct {
		const char *path;
		telemetry_cb fn;
		const char *help;
	} commands[] = {
#define X(id, path, help) {path, on_##id, help},
		TELEMETRY_COMMANDS(X)
#undef X
	};
	pthread_condattr_t attr;
	int ret;

	ret = pthread_condattr_init(&attr);
	if (ret == 0)
		ret = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	if (ret == 0)
		ret = pthread_cond_init(&desk.done, &attr);
	for (unsigned int i = 0; ret == 0 && i < RTE_DIM(commands); i++)
		ret = rte_telemetry_register_cmd(
			commands[i].path, commands[i].fn, commands[i].help);
	return ret < 0 ? ret : -ret;
}

int telemetry_open(struct dataplane *dp)
{
	int fd, ret;

	if (desk.dp != NULL)
		return -EBUSY;
	if (!desk.registered) {
		ret = commands_register();
		if (ret < 0)
			return ret;
		desk.registered = true;
	}
	fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	ret = loop_add(&dp->loop, &desk.watch, fd, EPOLLIN, on_question, NULL);
	if (ret < 0) {
		close(fd);
		return ret;
	}
	pthread_mutex_lock(&desk.lock);
	desk.dp = dp;
	pthread_mutex_unlock(&desk.lock);
	return 0;
}

void telemetry_close(struct dataplane *dp)
{
	const int fd = desk.watch.fd;

	if (dp == NULL || desk.dp != dp)
		return;
	pthread_mutex_lock(&desk.lock);
	desk.dp = NULL;
	for (struct question *q = desk.waiting; q != NULL; q = q->next) {
		q->result = -ESHUTDOWN;
		q->state = DONE;
	}
	desk.waiting = NULL;
	pthread_cond_broadcast(&desk.done);
	loop_remove(&dp->loop, &desk.watch);
	pthread_mutex_unlock(&desk.lock);
	close(fd);
}
