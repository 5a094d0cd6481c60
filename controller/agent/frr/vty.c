/* The vty client; see vty.h. */
#include "controller/agent/frr/vty.h"

#include "controller/rpc/loop.h"
#include "proto/lib/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define RETRY_MS    200
#define WINDOW      64 /* commands sent and not answered */
#define READ_BYTES  65536
#define READ_BURSTS 16
#define FIRST_TEXT  1024

/* ---- answers ---- */

void vty_parser_clear(struct vty_parser *p)
{
	free(p->text);
	memset(p, 0, sizeof(*p));
}

static int parser_append(struct vty_parser *p, const char *data, size_t len)
{
	if (len > VTY_REPLY_MAX - p->len)
		return -EMSGSIZE;
	if (p->len + len + 1 > p->capacity) {
		size_t capacity = p->capacity ? p->capacity : FIRST_TEXT;
		char *grown;

		while (capacity < p->len + len + 1)
			capacity *= 2;
		grown = realloc(p->text, capacity);
		if (!grown)
			return -ENOMEM;
		p->text = grown;
		p->capacity = capacity;
	}
	memcpy(p->text + p->len, data, len);
	p->len += len;
	p->text[p->len] = '\0';
	return 0;
}

int vty_parser_feed(struct vty_parser *p, const char *data, size_t len, size_t *used)
{
	size_t i = 0;
	int err;

	/* The answer that was handed out last is over. */
	if (p->zeros == 4) {
		p->len = 0;
		p->zeros = 0;
	}
	while (i < len) {
		const char *zero;
		size_t n;

		if (p->zeros == 3) {
			p->status = (unsigned char)data[i++];
			p->zeros = 4;
			*used = i;
			err = parser_append(p, "", 0);
			return err ? err : 1;
		}
		if (data[i] == '\0') {
			p->zeros++;
			i++;
			continue;
		}
		if (p->zeros) {
			*used = i;
			return -EPROTO;
		}
		zero = memchr(data + i, '\0', len - i);
		n = zero ? (size_t)(zero - (data + i)) : len - i;
		err = parser_append(p, data + i, n);
		if (err) {
			*used = i;
			return err;
		}
		i += n;
	}
	*used = i;
	return 0;
}

/* ---- the connection ---- */

struct command {
	struct command *next;
	vty_done_fn *done;
	void *arg;
	size_t len; /* with the zero */
	char text[];
};

struct vty {
	struct loop *loop;
	struct vty_events events;
	void *arg;
	char path[108];
	int fd;
	bool up;   /* the daemon has answered "enable" */
	bool told; /* `down` was called and `up` not since */
	struct loop_fd *watch;
	struct loop_timer *timer; /* deadline while connected, next attempt otherwise */
	struct vty_parser parser;
	struct command *head, *tail; /* not answered */
	struct command *unsent;      /* first that is not wholly sent */
	size_t unsent_at;            /* octets of it that are */
	size_t pending, window;
	char instance[VTY_INSTANCE_MAX];
};

static void io(void *arg, int fd, unsigned int ready);
static void lost(struct vty *v, const char *reason);
static void pump(struct vty *v);

/* A name for the process at the other end: boot, pid and its start time. */
static void instance_read(struct vty *v)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);
	char path[64], buf[1024], boot[40] = "";
	const char *p;
	size_t n;
	FILE *f;

	v->instance[0] = '\0';
	if (getsockopt(v->fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0 || cred.pid <= 0)
		return;
	f = fopen("/proc/sys/kernel/random/boot_id", "re");
	if (f) {
		if (fgets(boot, sizeof(boot), f))
			boot[strcspn(boot, "\n")] = '\0';
		fclose(f);
	}
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)cred.pid);
	f = fopen(path, "re");
	if (!f)
		return;
	n = fread(buf, 1, sizeof(buf) - 1, f);
	fclose(f);
	buf[n] = '\0';
	/* field 22; the second, the command in brackets, may hold blanks */
	p = strrchr(buf, ')');
	for (int field = 2; p && field < 22; field++)
		p = strchr(p + 1, ' ');
	if (p)
		snprintf(v->instance, sizeof(v->instance), "%s/%d/%llu", boot, (int)cred.pid,
			strtoull(p + 1, NULL, 10));
}

static void enabled(void *arg, int status, const char *text, size_t len)
{
	struct vty *v = arg;

	if (status != VTY_OK)
		return;
	v->up = true;
	v->told = false;
	v->events.up(v->arg, v->instance);
}

static int command_queue(struct vty *v, const char *text, vty_done_fn *done, void *arg)
{
	const size_t len = strlen(text) + 1;
	struct command *c;

	if (len > VTY_COMMAND_MAX || strpbrk(text, "\r\n"))
		return -EINVAL;
	if (v->pending >= VTY_QUEUE_MAX) {
		log_error("vty_queue_full", "socket=%s commands=%zu", v->path, v->pending);
		return -ENOBUFS;
	}
	c = malloc(sizeof(*c) + len);
	if (!c)
		return -ENOMEM;
	*c = (struct command){.done = done, .arg = arg, .len = len};
	memcpy(c->text, text, len);
	if (v->tail)
		v->tail->next = c;
	else
		v->head = c;
	v->tail = c;
	if (!v->unsent)
		v->unsent = c;
	if (v->pending++ == 0)
		loop_timer_arm(v->timer, VTY_DEADLINE_MS, 0);
	return 0;
}

static void connect_try(struct vty *v)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	char reason[64];

	memcpy(a.sun_path, v->path, sizeof(v->path));
	v->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (v->fd < 0 || connect(v->fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		goto fail;
	v->watch = loop_fd_add(v->loop, v->fd, LOOP_IN, io, v);
	if (!v->watch)
		goto fail;
	instance_read(v);
	if (command_queue(v, "enable", enabled, v) == 0) {
		pump(v);
		return;
	}
	errno = ENOMEM;
fail:
	snprintf(reason, sizeof(reason), "%s",
		errno == ENOENT || errno == ECONNREFUSED ? "not running" : strerror(errno));
	lost(v, reason);
}

static void timer(void *arg)
{
	struct vty *v = arg;

	if (v->fd < 0)
		connect_try(v);
	else if (v->pending)
		lost(v, "does not answer");
}

static void lost(struct vty *v, const char *reason)
{
	struct command *c = v->head;
	char why[64];

	snprintf(why, sizeof(why), "%s", reason);
	loop_fd_remove(v->watch);
	v->watch = NULL;
	if (v->fd >= 0)
		close(v->fd);
	v->fd = -1;
	v->up = false;
	v->head = v->tail = v->unsent = NULL;
	v->pending = v->window = v->unsent_at = 0;
	vty_parser_clear(&v->parser);
	loop_timer_arm(v->timer, RETRY_MS, 0);
	while (c) {
		struct command *next = c->next;

		if (c->done && c->done != enabled)
			c->done(c->arg, VTY_LOST, "", 0);
		free(c);
		c = next;
	}
	if (!v->told) {
		v->told = true;
		v->events.down(v->arg, why);
	}
}

/* Send what the window lets through. */
static void pump(struct vty *v)
{
	while (v->unsent && v->window < WINDOW) {
		struct command *c = v->unsent;
		const ssize_t n =
			send(v->fd, c->text + v->unsent_at, c->len - v->unsent_at, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			loop_fd_set(v->watch, LOOP_IN | LOOP_OUT);
			return;
		}
		if (n < 0)
			break; /* the read side will tell */
		v->unsent_at += (size_t)n;
		if (v->unsent_at == c->len) {
			v->unsent = c->next;
			v->unsent_at = 0;
			v->window++;
		}
	}
	loop_fd_set(v->watch, LOOP_IN);
}

/* One complete answer. Returns false when the connection is gone after it. */
static bool answered(struct vty *v)
{
	struct command *c = v->head;
	const int fd = v->fd;

	if (!c || c == v->unsent) {
		lost(v, "unexpected answer");
		return false;
	}
	v->head = c->next;
	if (!v->head)
		v->tail = NULL;
	v->pending--;
	v->window--;
	if (v->pending)
		loop_timer_arm(v->timer, VTY_DEADLINE_MS, 0);
	else
		loop_timer_disarm(v->timer);
	if (c->done)
		c->done(c->arg, v->parser.status, v->parser.text, v->parser.len);
	free(c);
	return v->fd == fd;
}

static void io(void *arg, int fd, unsigned int ready)
{
	struct vty *v = arg;
	char buf[READ_BYTES];

	for (int i = 0; i < READ_BURSTS; i++) {
		const ssize_t n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
		size_t at = 0;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n <= 0) {
			lost(v, n == 0 ? "closed the connection" : strerror(errno));
			return;
		}
		while (at < (size_t)n) {
			size_t used;
			const int r = vty_parser_feed(&v->parser, buf + at, (size_t)n - at, &used);

			at += used;
			if (r < 0) {
				lost(v, r == -EMSGSIZE ? "answer too long" : "malformed answer");
				return;
			}
			if (r > 0 && !answered(v))
				return;
		}
	}
	pump(v);
}

struct vty *vty_new(struct loop *loop, const char *path, const struct vty_events *events, void *arg)
{
	struct vty *v;

	if (strlen(path) >= sizeof(v->path)) {
		errno = ENAMETOOLONG;
		return NULL;
	}
	v = calloc(1, sizeof(*v));
	if (!v)
		return NULL;
	v->loop = loop;
	v->events = *events;
	v->arg = arg;
	v->fd = -1;
	memcpy(v->path, path, strlen(path) + 1);
	v->timer = loop_timer_new(loop, timer, v);
	if (!v->timer) {
		free(v);
		return NULL;
	}
	loop_timer_arm(v->timer, 0, 0);
	return v;
}

void vty_free(struct vty *v)
{
	if (!v)
		return;
	loop_timer_free(v->timer);
	loop_fd_remove(v->watch);
	if (v->fd >= 0)
		close(v->fd);
	v->up = false;
	while (v->head) {
		struct command *c = v->head;

		v->head = c->next;
		if (c->done && c->done != enabled)
			c->done(c->arg, VTY_LOST, "", 0);
		free(c);
	}
	vty_parser_clear(&v->parser);
	free(v);
}

bool vty_is_up(const struct vty *v)
{
	return v->up;
}

size_t vty_pending(const struct vty *v)
{
	return v->pending;
}

int vty_send(struct vty *v, const char *command, vty_done_fn *done, void *arg)
{
	int err;

	if (!v->up)
		return -ENOTCONN;
	err = command_queue(v, command, done, arg);
	if (!err)
		pump(v);
	return err;
}
