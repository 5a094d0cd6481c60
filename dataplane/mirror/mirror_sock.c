/*
 * Two rtnetlink descriptors drive the mirror.
 *
 * States: idle (events are read), dumping class after class (events wait), and back. A dump is
 * asked for with a sequence number of its own; answers of an abandoned one are drained and ignored.
 * What goes wrong in a dump (inconsistent, error, timeout, overrun meanwhile) starts it again,
 * after a pause that grows, so a broken kernel does not make the process spin. Called by the main
 * thread.
 */
#include "dataplane/mirror/mirror_sock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/nexthop.h>
#include <linux/rtnetlink.h>

#include "proto/lib/log.h"

#define BUF_SIZE       (256u << 10)
#define RECVS_A_TURN   64
#define TIMEOUT_MS     10000
#define PAUSE_MIN_MS   10
#define PAUSE_MAX_MS   2000
#define RETRIES        8
#define REDUMP_WAIT_MS 5 /* several links often go down together */

/* In this order: what others refer to first, so that little is derived twice. */
static const enum mirror_class ORDER[] = {
	MIRROR_LINK, MIRROR_ADDR, MIRROR_NEXTHOP, MIRROR_ROUTE, MIRROR_FDB, MIRROR_NEIGH};
#define N_ORDER (sizeof(ORDER) / sizeof(ORDER[0]))

struct mirror_sock {
	struct mirror *m;
	int event_fd;
	int dump_fd;
	unsigned int wanted;  /* classes to be dumped */
	unsigned int dumping; /* classes of the running dump; 0 = idle */
	size_t at;            /* in ORDER */
	uint32_t seq;
	uint64_t started; /* ms: of the running class */
	uint64_t not_before;
	unsigned int pause_ms;
	bool full_done;
	bool broken;          /* the running class is inconsistent */
	unsigned int retries; /* of the running class */
	struct mirror_sock_stats stats;
	char *buf;
};

static int fd_nonblock(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ? -errno : 0;
}

struct mirror_sock *mirror_sock_create(struct mirror *m, int event_fd, int dump_fd)
{
	struct mirror_sock *s;
	int rc = fd_nonblock(event_fd);

	if (rc == 0)
		rc = fd_nonblock(dump_fd);
	if (rc != 0) {
		errno = -rc;
		return NULL;
	}
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->buf = malloc(BUF_SIZE);
	if (!s->buf) {
		free(s);
		errno = ENOMEM;
		return NULL;
	}
	s->m = m;
	s->event_fd = event_fd;
	s->dump_fd = dump_fd;
	s->wanted = MIRROR_ALL;
	return s;
}

void mirror_sock_destroy(struct mirror_sock *s)
{
	if (!s)
		return;
	close(s->event_fd);
	close(s->dump_fd);
	free(s->buf);
	free(s);
}

int mirror_sock_event_fd(const struct mirror_sock *s)
{
	return s->event_fd;
}

int mirror_sock_dump_fd(const struct mirror_sock *s)
{
	return s->dump_fd;
}

bool mirror_sock_wants_events(const struct mirror_sock *s)
{
	return s->dumping == 0;
}

void mirror_sock_resync(struct mirror_sock *s)
{
	s->wanted = MIRROR_ALL;
}

static int dump_request(struct mirror_sock *s, enum mirror_class class)
{
	struct {
		struct nlmsghdr h;
		union {
			struct ifinfomsg link;
			struct ifaddrmsg addr;
			struct rtmsg route;
			struct nhmsg nexthop;
			struct ndmsg neigh;
		};
	} req = {.h = {.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP, .nlmsg_seq = ++s->seq}};
	ssize_t rc;

	switch (class) {
	case MIRROR_LINK:
		req.h.nlmsg_type = RTM_GETLINK;
		req.h.nlmsg_len = NLMSG_LENGTH(sizeof(req.link));
		break;
	case MIRROR_ADDR:
		req.h.nlmsg_type = RTM_GETADDR;
		req.h.nlmsg_len = NLMSG_LENGTH(sizeof(req.addr));
		req.addr.ifa_family = AF_INET;
		break;
	case MIRROR_NEXTHOP:
		req.h.nlmsg_type = RTM_GETNEXTHOP;
		req.h.nlmsg_len = NLMSG_LENGTH(sizeof(req.nexthop));
		break;
	case MIRROR_ROUTE:
		req.h.nlmsg_type = RTM_GETROUTE;
		req.h.nlmsg_len = NLMSG_LENGTH(sizeof(req.route));
		req.route.rtm_family = AF_INET;
		break;
	default:
		req.h.nlmsg_type = RTM_GETNEIGH;
		req.h.nlmsg_len = NLMSG_LENGTH(sizeof(req.neigh));
		req.neigh.ndm_family = class == MIRROR_FDB ? AF_BRIDGE : AF_INET;
		break;
	}
	rc = send(s->dump_fd, &req, req.h.nlmsg_len, MSG_DONTWAIT);
	return rc < 0 ? -errno : 0;
}

static void dump_again(struct mirror_sock *s, uint64_t now_ms, const char *why)
{
	s->stats.restarts++;
	s->wanted |= s->dumping;
	s->dumping = 0;
	s->pause_ms = s->pause_ms ? s->pause_ms * 2 : PAUSE_MIN_MS;
	if (s->pause_ms > PAUSE_MAX_MS)
		s->pause_ms = PAUSE_MAX_MS;
	s->not_before = now_ms + s->pause_ms;
	log_warn("mirror_dump_again", "why=%s pause_ms=%u", why, s->pause_ms);
}

/* Ask for the next class, or end the dump. */
static void dump_next(struct mirror_sock *s, uint64_t now_ms)
{
	unsigned int classes = s->dumping;

	while (s->at < N_ORDER && !(classes & ORDER[s->at]))
		s->at++;
	if (s->at < N_ORDER) {
		int rc = dump_request(s, ORDER[s->at]);

		s->started = now_ms;
		if (rc != 0)
			dump_again(s, now_ms, "send");
		return;
	}
	mirror_sync_end(s->m, classes);
	s->dumping = 0;
	s->pause_ms = 0;
	s->not_before = 0;
	if (classes == MIRROR_ALL) {
		s->stats.dumps++;
		s->full_done = true;
	} else {
		s->stats.redumps++;
	}
}

static void dump_start(struct mirror_sock *s, uint64_t now_ms)
{
	s->dumping = s->wanted;
	s->wanted = 0;
	s->at = 0;
	s->broken = false;
	s->retries = 0;
	mirror_sync_begin(s->m, s->dumping);
	dump_next(s, now_ms);
}

/* One receive on the dump socket. 1 = something, 0 = nothing there, negative = broken for good. */
static int dump_read(struct mirror_sock *s, uint64_t now_ms)
{
	ssize_t len = recv(s->dump_fd, s->buf, BUF_SIZE, MSG_DONTWAIT | MSG_TRUNC);
	const struct nlmsghdr *h = (const struct nlmsghdr *)(const void *)s->buf;
	unsigned int seen;

	if (len < 0) {
		if (errno == EAGAIN || errno == EINTR)
			return 0;
		if (errno != ENOBUFS)
			return -errno;
		if (s->dumping)
			dump_again(s, now_ms, "overrun");
		return 1;
	}
	if (len == 0)
		return -ENOTCONN; /* no netlink socket says so */
	s->stats.messages++;
	if ((size_t)len < sizeof(*h) || !s->dumping || h->nlmsg_seq != s->seq)
		return 1; /* of a dump that was given up */
	if ((size_t)len > BUF_SIZE) {
		dump_again(s, now_ms, "truncated");
		return 1;
	}
	s->started = now_ms;
	seen = mirror_feed(s->m, s->buf, (size_t)len);
	if (seen & MIRROR_SEEN_ERROR) {
		dump_again(s, now_ms, "error");
		return 1;
	}
	if (seen & (MIRROR_SEEN_INTR | MIRROR_SEEN_OVERRUN))
		s->broken = true;
	if (!(seen & MIRROR_SEEN_DONE))
		return 1;
	if (s->broken && s->retries++ < RETRIES) {
		/* What it missed is asked for again; what went meanwhile comes as an event. */
		s->broken = false;
		s->stats.restarts++;
		dump_next(s, now_ms);
		return 1;
	}
	if (s->broken) {
		dump_again(s, now_ms, "inconsistent");
		return 1;
	}
	s->at++;
	s->retries = 0;
	mirror_settle(s->m);
	dump_next(s, now_ms);
	return 1;
}

static int event_read(struct mirror_sock *s)
{
	ssize_t len = recv(s->event_fd, s->buf, BUF_SIZE, MSG_DONTWAIT | MSG_TRUNC);

	if (len < 0) {
		if (errno == EAGAIN || errno == EINTR)
			return 0;
		if (errno != ENOBUFS)
			return -errno;
		s->stats.overruns++;
		s->wanted = MIRROR_ALL;
		log_warn("netlink_overrun", "overruns=%llu", (unsigned long long)s->stats.overruns);
		return 1;
	}
	if (len == 0)
		return -ENOTCONN;
	s->stats.messages++;
	if ((size_t)len > BUF_SIZE || mirror_feed(s->m, s->buf, (size_t)len) & MIRROR_SEEN_OVERRUN)
		s->wanted = MIRROR_ALL;
	return 1;
}

static int next_call(const struct mirror_sock *s, uint64_t now_ms, bool more)
{
	uint64_t due;

	if (more)
		return 0;
	if (s->dumping)
		due = s->started + TIMEOUT_MS;
	else if (s->wanted)
		due = s->not_before;
	else
		return -1;
	return due > now_ms ? (int)(due - now_ms) : 0;
}

int mirror_sock_run(struct mirror_sock *s, uint64_t now_ms)
{
	unsigned int turns = RECVS_A_TURN;
	int rc = 1;

	/* Leftovers of a dump that was given up are read too, or they would stay readable. */
	while (turns > 0 && (rc = dump_read(s, now_ms)) > 0)
		turns--;
	if (rc < 0)
		return rc;
	if (s->dumping && now_ms >= s->started + TIMEOUT_MS)
		dump_again(s, now_ms, "timeout");
	rc = 1;
	while (turns > 0 && !s->dumping && (rc = event_read(s)) > 0)
		turns--;
	if (rc < 0)
		return rc;
	mirror_settle(s->m);
	if (!s->dumping) {
		unsigned int redump = mirror_take_redump(s->m);

		if (redump && !s->wanted && s->not_before < now_ms + REDUMP_WAIT_MS)
			s->not_before = now_ms + REDUMP_WAIT_MS;
		s->wanted |= redump;
	}
	/* A new dump begins only with the waiting events read: they are older than it. */
	if (!s->dumping && s->wanted && now_ms >= s->not_before)
		dump_start(s, now_ms);
	s->stats.synced = s->full_done && s->wanted != MIRROR_ALL && s->dumping != MIRROR_ALL;
	return next_call(s, now_ms, turns == 0);
}

void mirror_sock_stats_get(const struct mirror_sock *s, struct mirror_sock_stats *stats)
{
	*stats = s->stats;
}
