/*
 * A client: finding and trying addresses, the state of its connection; see rpc.h.
 *
 * Invariant: there is a connection (client->conn) exactly while the state is not IDLE.
 */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "controller/rpc/client_internal.h"

static bool client_connect_failed(struct rpc_conn *c, int err);

/* ---- targets ---- */

static int fail(struct rpc_error *error, int ret, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static int fail(struct rpc_error *error, int ret, const char *fmt, ...)
{
	va_list ap;

	if (error) {
		va_start(ap, fmt);
		vsnprintf(error->text, sizeof(error->text), fmt, ap);
		va_end(ap);
	}
	return ret;
}

/* Split "HOST:PORT" or "[IPV6]:PORT"; `host` is a copy. Returns false when it is neither. */
static bool split_target(char *host, const char **port)
{
	char *colon = strrchr(host, ':');
	char *end;
	long n;

	if (!colon || colon == host)
		return false;
	n = strtol(colon + 1, &end, 10);
	if (colon[1] < '0' || colon[1] > '9' || *end || n < 1 || n > 65535)
		return false;
	*colon = '\0';
	*port = colon + 1;
	if (host[0] == '[') {
		if (colon[-1] != ']')
			return false;
		colon[-1] = '\0';
		memmove(host, host + 1, strlen(host));
		return true;
	}
	return strchr(host, ':') == NULL;
}

/* Fill client->addresses. */
static int look_up(struct rpc_client *client, struct rpc_error *error)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
	struct addrinfo *list, *a;
	const char *port;
	char host[256];
	int ret;

	client->address_count = 0;
	client->address_next = 0;
	if (strncmp(client->target, "unix:", 5) == 0) {
		struct sockaddr_un *u = (struct sockaddr_un *)&client->addresses[0].storage;

		memset(u, 0, sizeof(*u));
		u->sun_family = AF_UNIX;
		snprintf(u->sun_path, sizeof(u->sun_path), "%s", client->target + 5);
		client->addresses[0].len = sizeof(*u);
		client->address_count = 1;
		return 0;
	}
	snprintf(host, sizeof(host), "%s", client->target);
	if (!split_target(host, &port))
		return fail(error, -EINVAL, "target \"%s\" is not HOST:PORT", client->target);
	ret = getaddrinfo(host, port, &hints, &list);
	if (ret != 0)
		return fail(error, -EHOSTUNREACH, "cannot find %s: %s", host,
			ret == EAI_SYSTEM ? strerror(errno) : gai_strerror(ret));
	for (a = list; a && client->address_count < CLIENT_ADDRESSES; a = a->ai_next) {
		if (a->ai_addrlen > sizeof(client->addresses[0].storage))
			continue;
		memcpy(&client->addresses[client->address_count].storage, a->ai_addr,
			a->ai_addrlen);
		client->addresses[client->address_count++].len = a->ai_addrlen;
	}
	freeaddrinfo(list);
	return client->address_count > 0 ? 0
					 : fail(error, -EHOSTUNREACH, "%s has no address", host);
}

/* Begin to connect to the next address that takes it. Returns 0 or the last one's errno. */
static int try_next(struct rpc_client *client)
{
	struct rpc_conn *c = client->conn;
	const int one = 1;
	int ret = -EHOSTUNREACH;

	while (client->address_next < client->address_count) {
		const struct client_address *a = &client->addresses[client->address_next++];
		const int family = a->storage.ss_family;
		const int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

		if (fd < 0) {
			ret = -errno;
			continue;
		}
		if (family != AF_UNIX)
			setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		if (connect(fd, (const struct sockaddr *)&a->storage, a->len) < 0 &&
			errno != EINPROGRESS) {
			ret = -errno;
			close(fd);
			continue;
		}
		c->phase = CONN_CONNECTING;
		ret = rpc_conn_attach(c, fd);
		if (ret == 0)
			return 0;
	}
	return ret;
}

/* ---- the connection's life ---- */

static void set_state(struct rpc_client *client, enum rpc_client_state state, const char *reason)
{
	client->state = state;
	if (client->on_state && !client->freeing)
		client->on_state(client->arg, state, reason);
}

static bool client_connect_failed(struct rpc_conn *c, int err)
{
	return try_next(c->owner) == 0;
}

static bool client_verified(struct rpc_conn *c)
{
	const struct rpc_client *client = c->owner;
	const char *prefix = client->uri_prefix;

	if (!prefix || strncmp(c->peer, prefix, strlen(prefix)) == 0)
		return true;
	snprintf(c->reason, sizeof(c->reason), "the server is \"%.100s\", expected \"%.80s...\"",
		c->peer, prefix);
	return false;
}

static void client_ready(struct rpc_conn *c)
{
	set_state(c->owner, RPC_CLIENT_READY, "");
}

static void client_goaway(struct rpc_conn *c)
{
	struct rpc_client *client = c->owner;

	if (client->state != RPC_CLIENT_DRAINING)
		set_state(client, RPC_CLIENT_DRAINING, "the server wants to end the connection");
}

static void client_closed(struct rpc_conn *c)
{
	struct rpc_client *client = c->owner;
	char reason[REASON_SIZE];

	memcpy(reason, c->reason, sizeof(reason));
	rpc_conn_free(c);
	client->conn = NULL;
	set_state(client, RPC_CLIENT_IDLE, reason);
}

static const struct conn_ops client_conn_ops = {
	.connect_failed = client_connect_failed,
	.verified = client_verified,
	.ready = client_ready,
	.goaway = client_goaway,
	.closed = client_closed,
};

/* ---- rpc.h ---- */

static char *copy(const char *s)
{
	return s ? strdup(s) : NULL;
}

struct rpc_client *rpc_client_new(struct loop *loop, struct rpc_tls *tls,
	const struct rpc_client_options *o, struct rpc_error *error)
{
	const struct sockaddr_un *u = NULL;
	struct rpc_client *client;

	if (!o->target || (!o->server_name && !o->server_uri_prefix)) {
		fail(error, -EINVAL, "a client needs a target, and a name the server must have");
		return NULL;
	}
	if (strncmp(o->target, "unix:", 5) == 0 &&
		(o->target[5] == '\0' || strlen(o->target + 5) >= sizeof(u->sun_path))) {
		fail(error, -EINVAL, "target \"%s\": a socket's path has 1 to %zu octets",
			o->target, sizeof(u->sun_path) - 1);
		return NULL;
	}
	client = calloc(1, sizeof(*client));
	if (!client)
		goto no_memory;
	client->loop = loop;
	client->tls = rpc_tls_ref(tls);
	rpc_limits_fill(&client->limits, &o->limits, false);
	client->on_state = o->state;
	client->arg = o->arg;
	client->target = copy(o->target);
	client->server_name = copy(o->server_name);
	client->uri_prefix = copy(o->server_uri_prefix);
	client->authority = strdup(o->server_name                        ? o->server_name
				   : strncmp(o->target, "unix:", 5) == 0 ? "localhost"
									 : o->target);
	if (!client->target || !client->authority || (o->server_name && !client->server_name) ||
		(o->server_uri_prefix && !client->uri_prefix))
		goto no_memory;
	return client;
no_memory:
	fail(error, -ENOMEM, "out of memory");
	rpc_client_free(client);
	return NULL;
}

int rpc_client_connect(struct rpc_client *client, struct rpc_error *error)
{
	int ret;

	if (client->conn)
		return fail(error, -EALREADY, "already connected or connecting");
	ret = look_up(client, error);
	if (ret < 0)
		return ret;
	client->conn = rpc_conn_new(
		client->loop, client->tls, &client->limits, false, &client_conn_ops, client);
	if (!client->conn)
		return fail(error, -ENOMEM, "out of memory");
	client->conn->server_name = client->server_name;
	client->conn->authority = client->authority;
	snprintf(client->conn->address, ADDRESS_SIZE, "%s",
		strncmp(client->target, "unix:", 5) == 0 ? "unix" : client->target);
	ret = try_next(client);
	if (ret < 0) {
		rpc_conn_free(client->conn);
		client->conn = NULL;
		return fail(error, ret, "cannot connect to %s: %s", client->target, strerror(-ret));
	}
	client->state = RPC_CLIENT_CONNECTING;
	return 0;
}

enum rpc_client_state rpc_client_state(const struct rpc_client *client)
{
	return client->state;
}

const char *rpc_client_peer(const struct rpc_client *client)
{
	return client->state == RPC_CLIENT_READY || client->state == RPC_CLIENT_DRAINING
		       ? client->conn->peer
		       : "";
}

void rpc_client_close(struct rpc_client *client)
{
	if (!client->conn)
		return;
	client->conn->quiet = true;
	rpc_conn_close(client->conn, FAULT_NONE, "%s", "");
}

void rpc_client_free(struct rpc_client *client)
{
	if (!client)
		return;
	client->freeing = true;
	if (client->conn) {
		rpc_client_close(client);
		rpc_conn_teardown(client->conn);
	}
	rpc_tls_free(client->tls);
	free(client->target);
	free(client->server_name);
	free(client->uri_prefix);
	free(client->authority);
	free(client);
}

/* ---- reconnecting ---- */

void rpc_backoff_init(struct rpc_backoff *b, uint32_t min_ms, uint32_t max_ms)
{
	b->min_ms = min_ms ? min_ms : 50;
	b->max_ms = max_ms ? max_ms : 2000;
	if (b->max_ms < b->min_ms)
		b->max_ms = b->min_ms;
	b->current_ms = b->min_ms;
}

uint32_t rpc_backoff_next(struct rpc_backoff *b)
{
	const uint32_t step = b->current_ms;
	uint32_t random = 0;

	/* Without entropy (early boot) the delay is only less random. */
	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) < 0)
		random = (uint32_t)loop_now_ms();
	b->current_ms = step > b->max_ms / 2 ? b->max_ms : 2 * step;
	return step - random % (step / 2 + 1);
}

void rpc_backoff_reset(struct rpc_backoff *b)
{
	b->current_ms = b->min_ms;
}
