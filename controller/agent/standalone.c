/* Desired state from a file; see standalone.h. */
#include "controller/agent/standalone.h"

#include "controller/agent/agent.h"
#include "controller/rpc/loop.h"
#include "proto/lib/log.h"
#include "proto/lib/pbtext.h"
#include "proto/lib/pbyaml.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#define LOOK_MS 10

struct standalone {
	struct loop *loop;
	struct agent *agent;
	char path[PATH_MAX];
	bool once, printed;
	int inotify;
	struct loop_fd *watch;
	struct loop_timer *look;
	uint64_t deadline_ms;
	uint64_t generation;
};

static Audums__V1__DesiredState *load(const char *path, char *error, size_t error_size)
{
	const size_t n = strlen(path);
	ProtobufCMessage *m = NULL;
	struct problems problems;
	int err;

	if (n > 3 && strcmp(path + n - 3, ".pb") == 0) {
		Audums__V1__DesiredState *d = desired_read(path);

		if (!d)
			snprintf(error, error_size, "%s: %s", path,
				errno == EINVAL ? "not a DesiredState message" : strerror(errno));
		return d;
	}
	problems_init(&problems);
	err = pbyaml_load_file(&audums__v1__desired_state__descriptor, &m, path, NULL, &problems);
	if (err) {
		problems_print(&problems, stderr);
		snprintf(error, error_size, "%s: not a desired state", path);
		if (m)
			protobuf_c_message_free_unpacked(m, NULL);
		m = NULL;
	}
	problems_free(&problems);
	return (Audums__V1__DesiredState *)m;
}

static int take(struct standalone *s, char *error, size_t error_size)
{
	Audums__V1__DesiredState *m = load(s->path, error, error_size);
	int err;

	if (!m)
		return -EINVAL;
	m->full = m->last = true;
	/* A file is written by hand: every version of it is a newer generation. */
	if (m->generation <= s->agent->desired.generation)
		m->generation = s->agent->desired.generation + 1;
	err = agent_take(s->agent, m, error, error_size);
	audums__v1__desired_state__free_unpacked(m, NULL);
	return err;
}

static bool print_report(void *arg, const Audums__V1__Report *r)
{
	char *text;

	if (pbtext_print(&r->base, PBTEXT_YAML, &text, NULL) == 0) {
		fputs(text, stdout);
		fflush(stdout);
		free(text);
	}
	((struct standalone *)arg)->printed = true;
	return true;
}

static void look(void *arg)
{
	struct standalone *s = arg;

	if (s->printed) {
		loop_stop(s->loop, agent_applied(s->agent) ? 0 : 1);
	} else if (agent_applied(s->agent) || loop_now_ms() >= s->deadline_ms) {
		/* one full report, then the end */
		if (!s->agent->report)
			agent_listen(s->agent, print_report, NULL, s);
	}
}

static void file_event(void *arg, int fd, unsigned int ready)
{
	struct standalone *s = arg;
	char buf[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	const char *base = strrchr(s->path, '/');
	bool ours = false;
	ssize_t n;

	base = base ? base + 1 : s->path;
	while ((n = read(fd, buf, sizeof(buf))) > 0) {
		for (ssize_t at = 0; at < n;) {
			const struct inotify_event *e = (const struct inotify_event *)(buf + at);

			ours = ours || (e->len && strcmp(e->name, base) == 0);
			at += (ssize_t)(sizeof(*e) + e->len);
		}
	}
	if (ours) {
		char error[256];

		if (take(s, error, sizeof(error)) < 0)
			log_error("desired_file_refused", "error=\"%s\"", error);
	}
}

static int watch(struct standalone *s)
{
	char dir[PATH_MAX];
	char *slash;

	snprintf(dir, sizeof(dir), "%s", s->path);
	slash = strrchr(dir, '/');
	if (slash)
		slash[slash == dir ? 1 : 0] = '\0';
	s->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (s->inotify < 0 ||
		inotify_add_watch(s->inotify, slash ? dir : ".", IN_CLOSE_WRITE | IN_MOVED_TO) < 0)
		return -errno;
	s->watch = loop_fd_add(s->loop, s->inotify, LOOP_IN, file_event, s);
	return s->watch ? 0 : -errno;
}

struct standalone *standalone_open(struct loop *loop, struct agent *agent, const char *path,
	bool once, unsigned int timeout_ms, char *error, size_t error_size)
{
	struct standalone *s = calloc(1, sizeof(*s));
	int err;

	if (!s) {
		snprintf(error, error_size, "out of memory");
		return NULL;
	}
	*s = (struct standalone){.loop = loop, .agent = agent, .once = once, .inotify = -1};
	if (snprintf(s->path, sizeof(s->path), "%s", path) >= (int)sizeof(s->path)) {
		snprintf(error, error_size, "path is too long");
		goto fail;
	}
	if (once) {
		s->deadline_ms = loop_now_ms() + timeout_ms;
		s->look = loop_timer_new(loop, look, s);
		err = s->look ? 0 : -ENOMEM;
		if (!err)
			loop_timer_arm(s->look, LOOK_MS, LOOK_MS);
	} else {
		err = watch(s);
	}
	if (err) {
		snprintf(error, error_size, "%s: %s", path, strerror(-err));
		goto fail;
	}
	if (take(s, error, error_size) < 0)
		goto fail;
	return s;
fail:
	standalone_close(s);
	return NULL;
}

void standalone_close(struct standalone *s)
{
	if (!s)
		return;
	loop_fd_remove(s->watch);
	if (s->inotify >= 0)
		close(s->inotify);
	loop_timer_free(s->look);
	free(s);
}
