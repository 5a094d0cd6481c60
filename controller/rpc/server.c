/*
 * A server: its methods, listening sockets and connections; see rpc.h.
 *
 * Invariants: every connection stands in server->conns until its `closed`; the counters of
 * connections and handshakes follow that list; nothing is logged more than LOGS_A_SECOND times a
 * second because of what strangers do.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "controller/rpc/rpc_internal.h"
#include "proto/lib/log.h"

#define ACCEPTS_A_TURN 16
#define LOGS_A_SECOND  10
#define ACCEPT_REST_MS 100 /* after accept(2) failed for want of descriptors or memory */

struct table {
	const struct rpc_method *methods;
	size_t count;
	void *service;
	LIST_ENTRY(table) entry;
};

struct listener {
	struct rpc_server *server;
	int fd;
	struct loop_fd *watch;
	char *path; /* unix */
	LIST_ENTRY(listener) entry;
};

struct rpc_server {
	struct loop *loop;
	struct rpc_tls *tls;
	struct rpc_limits limits;
	LIST_HEAD(, table) tables;
	LIST_HEAD(, listener) listeners;
	TAILQ_HEAD(, rpc_conn) conns;
	struct rpc_server_stats stats;
	struct loop_timer *rest; /* accept again */
	uint64_t log_second;
	unsigned int logs;

	bool draining;
	struct loop_timer *grace;
	struct loop_task *drained_task;
	void (*drained)(void *arg);
	void *drained_arg;
};

static bool may_log(struct rpc_server *s)
{
	const uint64_t second = loop_now_ms() / 1000;

	if (s->log_second != second) {
		s->log_second = second;
		s->logs = 0;
	}
	return s->logs++ < LOGS_A_SECOND;
}

/* ---- connections ---- */

static bool server_verified(struct rpc_conn *c)
{
	struct rpc_server *s = c->owner;

	s->stats.handshakes--;
	return true;
}

static void server_closed(struct rpc_conn *c)
{
	struct rpc_server *s = c->owner;
	char reason[REASON_SIZE + 16];

	if (!c->verified)
		s->stats.handshakes--;
	switch (c->fault) {
	case FAULT_HANDSHAKE:
		s->stats.failed_handshakes++;
		break;
	case FAULT_FLOOD:
		s->stats.floods++;
		break;
	case FAULT_DEAD:
		s->stats.dead_peers++;
		break;
	case FAULT_NONE:
		break;
	}
	log_quote(reason, sizeof(reason), c->reason);
	if (c->fault == FAULT_NONE)
		log_debug("rpc_connection_closed", "address=%s peer=%s reason=%s", c->address,
			c->peer, reason);
	else if (may_log(s))
		log_warn("rpc_connection_cut", "address=%s peer=%s reason=%s", c->address, c->peer,
			reason);
	TAILQ_REMOVE(&s->conns, c, all);
	s->stats.connections--;
	rpc_conn_free(c);
	if (s->draining && TAILQ_EMPTY(&s->conns))
		loop_task_schedule(s->drained_task);
}

static const struct conn_ops server_conn_ops = {
	.verified = server_verified,
	.closed = server_closed,
};

static void address_text(char out[ADDRESS_SIZE], const struct sockaddr_storage *a)
{
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)a;
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)a;
	char text[INET6_ADDRSTRLEN];

	if (a->ss_family == AF_INET)
		snprintf(out, ADDRESS_SIZE, "%s:%u",
			inet_ntop(AF_INET, &v4->sin_addr, text, sizeof(text)), ntohs(v4->sin_port));
	else if (a->ss_family == AF_INET6)
		snprintf(out, ADDRESS_SIZE, "[%s]:%u",
			inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof(text)),
			ntohs(v6->sin6_port));
	else
		snprintf(out, ADDRESS_SIZE, "unix");
}

static void take_connection(struct rpc_server *s, int fd, const struct sockaddr_storage *from)
{
	struct rpc_conn *c;
	const int one = 1;

	s->stats.accepted++;
	if (s->stats.connections >= s->limits.connections ||
		s->stats.handshakes >= s->limits.handshakes) {
		s->stats.refused_connections++;
		if (may_log(s))
			log_warn("rpc_connection_refused", "connections=%u handshakes=%u",
				s->stats.connections, s->stats.handshakes);
		close(fd);
		return;
	}
	if (from->ss_family != AF_UNIX)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	c = rpc_conn_new(s->loop, s->tls, &s->limits, true, &server_conn_ops, s);
	if (!c) {
		s->stats.refused_connections++;
		close(fd);
		return;
	}
	c->stats = &s->stats;
	address_text(c->address, from);
	s->stats.connections++;
	s->stats.handshakes++;
	TAILQ_INSERT_TAIL(&s->conns, c, all);
	if (rpc_conn_attach(c, fd) < 0)
		rpc_conn_close(c, FAULT_NONE, "out of memory");
}

static void listeners_set(struct rpc_server *s, unsigned int interest)
{
	struct listener *l;

	LIST_FOREACH (l, &s->listeners, entry)
		loop_fd_set(l->watch, interest);
}

static void on_rested(void *arg)
{
	listeners_set(arg, LOOP_IN);
}

static void on_accept(void *arg, int fd, unsigned int ready)
{
	struct listener *l = arg;
	struct rpc_server *s = l->server;

	for (int i = 0; i < ACCEPTS_A_TURN; i++) {
		struct sockaddr_storage from = {0};
		socklen_t len = sizeof(from);
		const int client =
			accept4(fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (client >= 0) {
			take_connection(s, client, &from);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			/* It stays readable: without a rest the loop would spin. */
			if (may_log(s))
				log_error("rpc_accept_failed", "error=\"%s\"", strerror(errno));
			listeners_set(s, 0);
			loop_timer_arm(s->rest, ACCEPT_REST_MS, 0);
		}
		return;
	}
}

/* ---- listening ---- */

static int fail(struct rpc_error *error, int err, const char *what, const char *where)
{
	if (error)
		snprintf(error->text, sizeof(error->text), "cannot %s %s: %s", what, where,
			strerror(err));
	return -err;
}

/* Takes over `fd` and `path`. */
static int listener_add(struct rpc_server *s, int fd, char *path)
{
	struct listener *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->server = s;
	l->fd = fd;
	l->path = path;
	l->watch = loop_fd_add(s->loop, fd, LOOP_IN, on_accept, l);
	if (!l->watch) {
		free(l);
		return -ENOMEM;
	}
	LIST_INSERT_HEAD(&s->listeners, l, entry);
	return 0;
}

int rpc_server_listen_tcp(struct rpc_server *s, const char *address, uint16_t port,
	uint16_t *bound_port, struct rpc_error *error)
{
	struct sockaddr_storage a = {0};
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&a;
	struct sockaddr_in *v4 = (struct sockaddr_in *)&a;
	socklen_t len;
	const int one = 1;
	char where[ADDRESS_SIZE];
	int fd;

	if (inet_pton(AF_INET, address, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		len = sizeof(*v4);
	} else if (inet_pton(AF_INET6, address, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(port);
		len = sizeof(*v6);
	} else {
		return fail(error, EINVAL, "listen: not an IPv4 or IPv6 address:", address);
	}
	address_text(where, &a);
	fd = socket(a.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return fail(error, errno, "listen on", where);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (a.ss_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&a, len) < 0 || listen(fd, 512) < 0 ||
		getsockname(fd, (struct sockaddr *)&a, &len) < 0 ||
		(errno = -listener_add(s, fd, NULL)) != 0) {
		const int err = errno;

		close(fd);
		return fail(error, err, "listen on", where);
	}
	if (bound_port)
		*bound_port = ntohs(a.ss_family == AF_INET ? v4->sin_port : v6->sin6_port);
	address_text(where, &a);
	log_info("rpc_listening", "address=%s", where);
	return 0;
}

/* Whether a socket file is a leftover: nobody accepts on it. */
static bool is_stale(const struct sockaddr_un *a)
{
	struct stat st;
	bool stale;
	int fd;

	if (lstat(a->sun_path, &st) < 0 || !S_ISSOCK(st.st_mode))
		return false;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	stale = connect(fd, (const struct sockaddr *)a, sizeof(*a)) < 0 && errno == ECONNREFUSED;
	close(fd);
	return stale;
}

int rpc_server_listen_unix(
	struct rpc_server *s, const char *path, mode_t mode, struct rpc_error *error)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	bool bound = false;
	char *copy;
	int fd, err;

	if (strlen(path) >= sizeof(a.sun_path))
		return fail(error, ENAMETOOLONG, "listen on", path);
	memcpy(a.sun_path, path, strlen(path) + 1);
	copy = strdup(path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (!copy || fd < 0)
		goto fail;
	if (is_stale(&a))
		unlink(path);
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		goto fail;
	bound = true;
	/* Nobody can connect before listen(2), so the mode is right from the start. */
	if (chmod(path, mode) < 0 || listen(fd, 512) < 0)
		goto fail;
	errno = -listener_add(s, fd, copy);
	if (errno != 0)
		goto fail;
	log_info("rpc_listening", "address=unix:%s", path);
	return 0;
fail:
	err = errno;
	if (bound)
		unlink(path);
	if (fd >= 0)
		close(fd);
	free(copy);
	return fail(error, err, "listen on", path);
}

static void listeners_close(struct rpc_server *s)
{
	struct listener *l;

	while ((l = LIST_FIRST(&s->listeners))) {
		LIST_REMOVE(l, entry);
		loop_fd_remove(l->watch);
		close(l->fd);
		if (l->path)
			unlink(l->path);
		free(l->path);
		free(l);
	}
}

/* ---- the server ---- */

static void on_drained(void *arg)
{
	struct rpc_server *s = arg;
	void (*drained)(void *) = s->drained;

	loop_timer_disarm(s->grace);
	s->drained = NULL;
	if (drained)
		drained(s->drained_arg);
}

static void on_grace_over(void *arg)
{
	struct rpc_server *s = arg;
	struct rpc_conn *c;

	TAILQ_FOREACH (c, &s->conns, all)
		rpc_conn_close(c, FAULT_NONE, "shutting down");
}

struct rpc_server *rpc_server_new(
	struct loop *loop, struct rpc_tls *tls, const struct rpc_limits *limits)
{
	struct rpc_server *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->loop = loop;
	s->tls = rpc_tls_ref(tls);
	rpc_limits_fill(&s->limits, limits, true);
	TAILQ_INIT(&s->conns);
	s->rest = loop_timer_new(loop, on_rested, s);
	s->grace = loop_timer_new(loop, on_grace_over, s);
	s->drained_task = loop_task_new(loop, on_drained, s);
	if (!s->rest || !s->grace || !s->drained_task) {
		rpc_server_free(s);
		errno = ENOMEM;
		return NULL;
	}
	return s;
}

static const struct rpc_method *find(const struct rpc_server *s, const char *path, void **service)
{
	const struct table *t;

	LIST_FOREACH (t, &s->tables, entry) {
		for (size_t i = 0; i < t->count; i++) {
			if (strcmp(t->methods[i].path, path) == 0) {
				*service = t->service;
				return &t->methods[i];
			}
		}
	}
	return NULL;
}

int rpc_server_add(
	struct rpc_server *s, const struct rpc_method *methods, size_t count, void *service)
{
	struct table *t;
	void *other;

	for (size_t i = 0; i < count; i++) {
		if (!methods[i].request == !methods[i].message)
			return -EINVAL;
		if (find(s, methods[i].path, &other))
			return -EEXIST;
		for (size_t k = 0; k < i; k++)
			if (strcmp(methods[i].path, methods[k].path) == 0)
				return -EEXIST;
	}
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->methods = methods;
	t->count = count;
	t->service = service;
	LIST_INSERT_HEAD(&s->tables, t, entry);
	return 0;
}

bool rpc_server_find_method(struct rpc_conn *c, struct rpc_call *call)
{
	call->method = find(c->owner, call->path, &call->service);
	if (!call->method)
		return false;
	call->input = call->method->input;
	call->output = call->method->output;
	return true;
}

void rpc_server_drain(
	struct rpc_server *s, uint64_t grace_ms, void (*drained)(void *arg), void *arg)
{
	struct rpc_conn *c;

	s->draining = true;
	s->drained = drained;
	s->drained_arg = arg;
	loop_timer_disarm(s->rest);
	listeners_close(s);
	TAILQ_FOREACH (c, &s->conns, all)
		rpc_conn_drain(c);
	if (TAILQ_EMPTY(&s->conns))
		loop_task_schedule(s->drained_task);
	else
		loop_timer_arm(s->grace, grace_ms, 0);
}

void rpc_server_stats(const struct rpc_server *s, struct rpc_server_stats *stats)
{
	*stats = s->stats;
}

void rpc_server_free(struct rpc_server *s)
{
	struct rpc_conn *c;
	struct table *t;

	if (!s)
		return;
	s->draining = false;
	listeners_close(s);
	while ((c = TAILQ_FIRST(&s->conns))) {
		rpc_conn_close(c, FAULT_NONE, "the server has ended");
		rpc_conn_teardown(c);
	}
	while ((t = LIST_FIRST(&s->tables))) {
		LIST_REMOVE(t, entry);
		free(t);
	}
	loop_timer_free(s->rest);
	loop_timer_free(s->grace);
	loop_task_free(s->drained_task);
	rpc_tls_free(s->tls);
	free(s);
}
