/* The forwarding process's end of the talk with the port holder; see holder_link.h. */
#include "dataplane/holder_link.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "proto/lib/log.h"

#define RESULTS_A_CALL 16

static void fd_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void holder_given_close(struct holder_given *given)
{
	for (unsigned int i = 0; i < given->port_count; i++) {
		fd_close(&given->ports[i].tap_fd);
		fd_close(&given->ports[i].packet_fd);
		fd_close(&given->ports[i].link_fd);
	}
	fd_close(&given->netlink.event_fd);
	fd_close(&given->netlink.dump_fd);
	fd_close(&given->api_fd);
}

/* Take one message into `given`. 1: it was START; 0: go on; negative errno. */
static int given_take(struct holder_given *given, struct handover_msg *msg, bool *hello)
{
	if (!*hello && msg->type != HANDOVER_HELLO) {
		handover_msg_close(msg);
		return -EPROTO;
	}
	switch (msg->type) {
	case HANDOVER_HELLO:
		*hello = true;
		return msg->version == HANDOVER_VERSION ? 0 : -EPROTONOSUPPORT;
	case HANDOVER_PORT:
		if (given->port_count == PORT_MAX) {
			handover_msg_close(msg);
			return -ENOSPC;
		}
		given->ports[given->port_count++] = msg->port;
		return 0;
	case HANDOVER_NETLINK:
		fd_close(&given->netlink.event_fd);
		fd_close(&given->netlink.dump_fd);
		given->netlink = msg->netlink;
		return 0;
	case HANDOVER_API:
		fd_close(&given->api_fd);
		given->api_fd = msg->api_fd;
		return 0;
	case HANDOVER_START:
		return 1;
	default:
		handover_msg_close(msg);
		return -EPROTO;
	}
}

int holder_receive(int fd, int timeout_ms, struct holder_given *given)
{
	struct handover_msg msg;
	bool hello = false;
	int ret;

	memset(given, 0, sizeof(*given));
	given->api_fd = -1;
	given->netlink.event_fd = given->netlink.dump_fd = -1;
	do {
		ret = handover_recv_wait(fd, timeout_ms, &msg);
		if (ret == 0)
			ret = given_take(given, &msg, &hello);
	} while (ret == 0);
	if (ret == 1 && given->netlink.event_fd < 0)
		ret = -EPROTO;
	if (ret < 0) {
		log_error("handover_failed", "error=\"%s\" ports=%u", strerror(-ret),
			given->port_count);
		holder_given_close(given);
		return ret;
	}
	return 0;
}

static struct holder_batch *batch_find(struct holder_link *link, uint32_t seq)
{
	for (unsigned int i = 0; i < HOLDER_BATCHES; i++)
		if (link->batches[i].seq == seq)
			return &link->batches[i];
	return NULL;
}

static void result_take(struct holder_link *link, const struct handover_fdb_result *r)
{
	struct holder_batch *b = r->seq != 0 ? batch_find(link, r->seq) : NULL;

	if (b == NULL) {
		log_warn("handover_result_unknown", "seq=%u", r->seq);
		return;
	}
	for (unsigned int i = 0; r->failed > 0 && i < b->n && i < r->n; i++) {
		if (r->error[i] == 0)
			continue;
		link->failed++;
		if (link->learn != NULL)
			learn_write_failed(link->learn, &b->writes[i], r->error[i]);
	}
	b->seq = 0;
}

/* No answer, also for want of room in the queue: the holder asks again. */
static void ping_take(struct holder_link *link, uint32_t seq)
{
	const struct handover_msg pong = {.type = HANDOVER_PONG, .ping = seq};

	if (link->alive != NULL && !link->alive(link->ctx))
		return;
	if (handover_send(link->fd, &pong) < 0)
		link->busy++;
}

static void on_holder(struct loop_watch *watch, uint32_t events)
{
	struct holder_link *link = watch->arg;

	for (int i = 0; i < RESULTS_A_CALL; i++) {
		struct handover_msg msg;
		int ret = handover_recv(link->fd, &msg);

		if (ret == -EAGAIN)
			return;
		if (ret < 0) {
			log_warn("holder_gone", "error=\"%s\"", strerror(-ret));
			link->gone = true;
			loop_remove(link->loop, &link->watch);
			return;
		}
		switch (msg.type) {
		case HANDOVER_GO:
			link->go = true;
			break;
		case HANDOVER_FDB_RESULT:
			result_take(link, &msg.result);
			break;
		case HANDOVER_PING:
			ping_take(link, msg.ping);
			break;
		default:
			log_warn("handover_unexpected", "type=%s", handover_type_name(msg.type));
			handover_msg_close(&msg);
			break;
		}
	}
}

int holder_link_start(struct holder_link *link, struct loop *loop, int fd)
{
	memset(link, 0, sizeof(*link));
	link->fd = fd;
	link->loop = loop;
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return -errno;
	return loop_add(loop, &link->watch, fd, EPOLLIN, on_holder, link);
}

void holder_link_stop(struct holder_link *link)
{
	loop_remove(link->loop, &link->watch);
	fd_close(&link->fd);
}

int holder_link_ready(struct holder_link *link)
{
	const struct handover_msg msg = {.type = HANDOVER_READY};

	return handover_send(link->fd, &msg);
}

int holder_link_write(void *ctx, const struct learn_write writes[], unsigned int n)
{
	struct holder_link *link = ctx;
	struct handover_msg msg = {.type = HANDOVER_FDB_WRITE};
	struct holder_batch *b = batch_find(link, 0);
	int ret;

	if (b == NULL) {
		link->busy++;
		return 0;
	}
	if (n > HANDOVER_BATCH)
		n = HANDOVER_BATCH;
	if (++link->seq == 0)
		link->seq = 1;
	msg.fdb.seq = link->seq;
	msg.fdb.n = n;
	for (unsigned int i = 0; i < n; i++) {
		msg.fdb.entries[i].tap_ifindex = writes[i].ifindex;
		msg.fdb.entries[i].op =
			writes[i].op == LEARN_REPLACE ? HANDOVER_FDB_REPLACE : HANDOVER_FDB_DELETE;
		memcpy(msg.fdb.entries[i].mac, &writes[i].mac, sizeof(writes[i].mac));
	}
	ret = handover_send(link->fd, &msg);
	if (ret == -EAGAIN) {
		link->busy++;
		return 0;
	}
	if (ret < 0)
		return ret;
	b->seq = link->seq;
	b->n = n;
	memcpy(b->writes, writes, n * sizeof(writes[0]));
	return (int)n;
}

void holder_link_probe(struct holder_link *link, uint32_t tap_ifindex, uint32_t address)
{
	const struct handover_msg msg = {
		.type = HANDOVER_NEIGH_PROBE,
		.probe = {.tap_ifindex = tap_ifindex, .address = address},
	};

	if (handover_send(link->fd, &msg) < 0)
		link->busy++;
}

void holder_link_tap_set(
	struct holder_link *link, uint32_t tap_ifindex, uint32_t mtu, const uint8_t mac[6], bool up)
{
	struct handover_msg msg = {
		.type = HANDOVER_TAP_SET,
		.tap = {.tap_ifindex = tap_ifindex,
			.mtu = mtu,
			.link = up ? HANDOVER_LINK_UP : HANDOVER_LINK_DOWN},
	};
	int ret;

	memcpy(msg.tap.mac, mac, sizeof(msg.tap.mac));
	ret = handover_send(link->fd, &msg);
	if (ret < 0)
		log_warn("tap_set_failed", "ifindex=%u error=\"%s\"", tap_ifindex, strerror(-ret));
}
