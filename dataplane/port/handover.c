/*
 * Messages between holder and forwarding process (handover.h). Both ends use this file, so that
 * what one may send is what the other accepts.
 *
 * Invariant: descriptors never leak: they are either in the returned message or closed.
 */
#include "dataplane/port/handover.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define HANDOVER_MAGIC 0x41754831U /* AuH1 */
#define FDS_MAX        4

struct header {
	uint32_t magic;
	uint16_t type;
	uint16_t size; /* of the body */
};

/* A message as it travels: the body follows the header. */
struct datagram {
	struct header header;
	uint8_t body[sizeof(struct handover_msg) + 8]; /* 8: a longer one is seen as such */
};

static const struct {
	const char *name;
	uint16_t size;
} types[HANDOVER_TYPES] = {
	[HANDOVER_HELLO] = {"hello", sizeof(uint32_t)},
	[HANDOVER_PORT] = {"port", sizeof(struct port_spec)},
	[HANDOVER_NETLINK] = {"netlink", sizeof(struct handover_netlink)},
	[HANDOVER_API] = {"api", sizeof(int)},
	[HANDOVER_START] = {"start", 0},
	[HANDOVER_READY] = {"ready", 0},
	[HANDOVER_GO] = {"go", 0},
	[HANDOVER_FDB_WRITE] = {"fdb_write", sizeof(struct handover_fdb_write)},
	[HANDOVER_FDB_RESULT] = {"fdb_result", sizeof(struct handover_fdb_result)},
	[HANDOVER_NEIGH_PROBE] = {"neigh_probe", sizeof(struct handover_neigh_probe)},
	[HANDOVER_TAP_SET] = {"tap_set", sizeof(struct handover_tap_set)},
	[HANDOVER_PING] = {"ping", sizeof(uint32_t)},
	[HANDOVER_PONG] = {"pong", sizeof(uint32_t)},
};

static bool type_valid(unsigned int type)
{
	return type < HANDOVER_TYPES && types[type].name != NULL;
}

const char *handover_type_name(enum handover_type type)
{
	return type_valid(type) ? types[type].name : "?";
}

/* Where the descriptors of a message are; returns how many its kind calls for. */
static unsigned int fds_of(struct handover_msg *msg, int *fds[FDS_MAX])
{
	switch (msg->type) {
	case HANDOVER_PORT:
		fds[0] = &msg->port.tap_fd;
		fds[1] = &msg->port.packet_fd;
		fds[2] = &msg->port.link_fd;
		return msg->port.backend == PORT_BACKEND_PACKET ? 3 : 1;
	case HANDOVER_NETLINK:
		fds[0] = &msg->netlink.event_fd;
		fds[1] = &msg->netlink.dump_fd;
		return 2;
	case HANDOVER_API:
		fds[0] = &msg->api_fd;
		return 1;
	default:
		return 0;
	}
}

static bool mac_unicast(const uint8_t mac[6])
{
	static const uint8_t zero[6];

	return (mac[0] & 1) == 0 && memcmp(mac, zero, sizeof(zero)) != 0;
}

static bool body_valid(const struct handover_msg *msg)
{
	uint32_t i, failed = 0;

	switch (msg->type) {
	case HANDOVER_PORT:
		return port_spec_check(&msg->port, NULL) == 0;
	case HANDOVER_FDB_WRITE:
		if (msg->fdb.n == 0 || msg->fdb.n > HANDOVER_BATCH)
			return false;
		for (i = 0; i < msg->fdb.n; i++) {
			const struct handover_fdb_entry *e = &msg->fdb.entries[i];

			if (e->tap_ifindex == 0 || e->tap_ifindex > INT32_MAX ||
				(e->op != HANDOVER_FDB_REPLACE && e->op != HANDOVER_FDB_DELETE) ||
				!mac_unicast(e->mac))
				return false;
		}
		return true;
	case HANDOVER_FDB_RESULT:
		if (msg->result.n == 0 || msg->result.n > HANDOVER_BATCH)
			return false;
		for (i = 0; i < msg->result.n; i++) {
			if (msg->result.error[i] > 0)
				return false;
			failed += msg->result.error[i] != 0;
		}
		return msg->result.failed == failed;
	case HANDOVER_NEIGH_PROBE:
		return msg->probe.tap_ifindex != 0 && msg->probe.tap_ifindex <= INT32_MAX &&
		       msg->probe.address != 0;
	case HANDOVER_TAP_SET:
		return msg->tap.tap_ifindex != 0 && msg->tap.tap_ifindex <= INT32_MAX &&
		       msg->tap.link <= HANDOVER_LINK_UP && mac_unicast(msg->tap.mac) &&
		       (msg->tap.mtu == 0 ||
			       (msg->tap.mtu >= PORT_MTU_MIN && msg->tap.mtu <= PORT_MTU_MAX));
	default:
		return true;
	}
}

int handover_send(int fd, const struct handover_msg *msg)
{
	union {
		struct cmsghdr align;
		char octets[CMSG_SPACE(FDS_MAX * sizeof(int))];
	} control;
	struct handover_msg copy = *msg;
	struct datagram datagram = {0};
	int *where[FDS_MAX];
	int fds[FDS_MAX];
	unsigned int i, n;
	struct iovec iov = {.iov_base = &datagram};
	struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};

	if (!type_valid(msg->type) || !body_valid(msg))
		return -EINVAL;
	n = fds_of(&copy, where);
	for (i = 0; i < n; i++) {
		fds[i] = *where[i];
		if (fds[i] < 0)
			return -EINVAL;
		*where[i] = -1; /* numbers mean nothing to the other one */
	}
	datagram.header.magic = HANDOVER_MAGIC;
	datagram.header.type = (uint16_t)msg->type;
	datagram.header.size = types[msg->type].size;
	memcpy(datagram.body, &copy.version, types[msg->type].size);
	iov.iov_len = sizeof(datagram.header) + types[msg->type].size;
	if (n > 0) {
		struct cmsghdr *cmsg;

		memset(&control, 0, sizeof(control));
		mh.msg_control = &control;
		mh.msg_controllen = CMSG_SPACE(n * sizeof(int));
		cmsg = CMSG_FIRSTHDR(&mh);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(n * sizeof(int));
		memcpy(CMSG_DATA(cmsg), fds, n * sizeof(int));
	}
	while (sendmsg(fd, &mh, MSG_NOSIGNAL) < 0) {
		if (errno == EINTR)
			continue;
		if (errno == EWOULDBLOCK)
			return -EAGAIN;
		return errno == ECONNRESET ? -EPIPE : -errno;
	}
	return 0;
}

/* Collect the descriptors of a received datagram; more than fit are closed. Returns how many came.
 */
static unsigned int fds_collect(struct msghdr *mh, int fds[FDS_MAX])
{
	struct cmsghdr *cmsg;
	unsigned int n = 0;

	for (cmsg = CMSG_FIRSTHDR(mh); cmsg != NULL; cmsg = CMSG_NXTHDR(mh, cmsg)) {
		size_t i, count;

		if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		count = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(int), sizeof(int));
			if (n < FDS_MAX)
				fds[n] = fd;
			else
				close(fd);
			n++;
		}
	}
	return n;
}

int handover_recv(int fd, struct handover_msg *msg)
{
	union {
		struct cmsghdr align;
		char octets[CMSG_SPACE(16 * sizeof(int))];
	} control;
	struct datagram datagram;
	struct iovec iov = {.iov_base = &datagram, .iov_len = sizeof(datagram)};
	struct msghdr mh = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	int *where[FDS_MAX];
	int fds[FDS_MAX];
	unsigned int i, n;
	ssize_t len;

	do {
		len = recvmsg(fd, &mh, MSG_CMSG_CLOEXEC);
	} while (len < 0 && errno == EINTR);
	if (len < 0) {
		if (errno == EWOULDBLOCK)
			return -EAGAIN;
		return errno == ECONNRESET ? -EPIPE : -errno;
	}
	n = fds_collect(&mh, fds);
	memset(msg, 0, sizeof(*msg));
	if (len == 0 && n == 0)
		return -EPIPE;
	if ((mh.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 ||
		(size_t)len < sizeof(datagram.header) || datagram.header.magic != HANDOVER_MAGIC ||
		!type_valid(datagram.header.type) ||
		datagram.header.size != types[datagram.header.type].size ||
		(size_t)len != sizeof(datagram.header) + datagram.header.size)
		goto bad;
	msg->type = datagram.header.type;
	memcpy(&msg->version, datagram.body, datagram.header.size);
	if (!body_valid(msg) || fds_of(msg, where) != n)
		goto bad;
	if (msg->type == HANDOVER_PORT)
		msg->port.tap_fd = msg->port.packet_fd = msg->port.link_fd = -1;
	for (i = 0; i < n; i++)
		*where[i] = fds[i];
	return 0;
bad:
	for (i = 0; i < n && i < FDS_MAX; i++)
		close(fds[i]);
	memset(msg, 0, sizeof(*msg));
	return -EBADMSG;
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int handover_recv_wait(int fd, int timeout_ms, struct handover_msg *msg)
{
	const int64_t deadline = now_ms() + timeout_ms;
	int wait = timeout_ms;

	for (;;) {
		struct pollfd pfd = {.fd = fd, .events = POLLIN};
		const int n = poll(&pfd, 1, wait);

		if (n > 0) {
			const int rc = handover_recv(fd, msg);

			if (rc != -EAGAIN)
				return rc;
		} else if (n < 0 && errno != EINTR) {
			return -errno;
		}
		if (timeout_ms >= 0) {
			const int64_t left = deadline - now_ms();

			if (left <= 0)
				return -ETIMEDOUT;
			wait = (int)left;
		}
	}
}

void handover_msg_close(struct handover_msg *msg)
{
	int *where[FDS_MAX];
	unsigned int i, n;

	if (!type_valid(msg->type))
		return;
	n = fds_of(msg, where);
	for (i = 0; i < n; i++) {
		if (*where[i] >= 0)
			close(*where[i]);
		*where[i] = -1;
	}
}
