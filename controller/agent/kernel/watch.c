/* Reading the kernel; see watch.h. */
#include "controller/agent/kernel/watch.h"

#include "controller/agent/kernel/model.h"
#include "proto/lib/log.h"

#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define BUF_BYTES   (256 * 1024)
#define RCVBUF      (64 * 1024 * 1024)
#define STAGE_NONE  3
#define READ_BURSTS 4096 /* messages batches taken in one call, so that others get their turn */

static const uint16_t stage_type[] = {RTM_GETLINK, RTM_GETADDR, RTM_GETNEIGH};

int kwatch_open(struct kwatch *w, struct kmodel *model)
{
	static const int groups[] = {RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_NEIGH};
	const int size = RCVBUF;
	int fd, err;

	memset(w, 0, sizeof(*w));
	w->model = model;
	w->dump_stage = STAGE_NONE;
	w->buf = malloc(BUF_BYTES);
	if (!w->buf)
		return -ENOMEM;
	w->nl = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (!w->nl || mnl_socket_bind(w->nl, 0, MNL_SOCKET_AUTOPID) < 0)
		goto fail;
	fd = mnl_socket_get_fd(w->nl);
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0 &&
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)) < 0)
		goto fail;
	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++)
		if (mnl_socket_setsockopt(w->nl, NETLINK_ADD_MEMBERSHIP, (void *)&groups[i],
			    sizeof(groups[i])) < 0)
			goto fail;
	return 0;
fail:
	err = errno ? -errno : -EIO;
	kwatch_close(w);
	return err;
}

void kwatch_close(struct kwatch *w)
{
	if (w->nl)
		mnl_socket_close(w->nl);
	w->nl = NULL;
	free(w->buf);
	w->buf = NULL;
}

int kwatch_fd(const struct kwatch *w)
{
	return mnl_socket_get_fd(w->nl);
}

static int stage_request(struct kwatch *w)
{
	char buf[128];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);

	nlh->nlmsg_type = stage_type[w->dump_stage];
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	nlh->nlmsg_seq = ++w->seq;
	if (w->dump_stage == 0) {
		struct ifinfomsg *ifi = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifi));

		ifi->ifi_family = AF_UNSPEC;
		mnl_attr_put_u32(nlh, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
	} else if (w->dump_stage == 1) {
		struct ifaddrmsg *ifa = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifa));

		ifa->ifa_family = AF_INET;
	} else {
		struct ndmsg *ndm = mnl_nlmsg_put_extra_header(nlh, sizeof(*ndm));

		ndm->ndm_family = AF_BRIDGE;
	}
	return mnl_socket_sendto(w->nl, nlh, nlh->nlmsg_len) < 0 ? -errno : 0;
}

int kwatch_dump(struct kwatch *w)
{
	if (w->dump_stage != STAGE_NONE) {
		w->dump_again = true;
		return 0;
	}
	kmodel_mark(w->model);
	w->dump_stage = 0;
	w->dump_again = false;
	w->dumps++;
	return stage_request(w);
}

/* The dump of one kind has ended. Returns 1 when all have, 0 or a negative errno. */
static int stage_done(struct kwatch *w)
{
	int err;

	if (w->dump_again) {
		w->dump_stage = STAGE_NONE;
		return kwatch_dump(w);
	}
	if (++w->dump_stage < STAGE_NONE) {
		err = stage_request(w);
		return err;
	}
	kmodel_sweep(w->model);
	w->synced = true;
	return 1;
}

static int handle(struct kwatch *w, const char *buf, size_t len)
{
	const struct nlmsghdr *nlh = (const struct nlmsghdr *)buf;
	int left = (int)len, changed = 0, r;

	for (; mnl_nlmsg_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left)) {
		const bool ours = w->dump_stage != STAGE_NONE && nlh->nlmsg_seq == w->seq;

		if (ours && (nlh->nlmsg_flags & NLM_F_DUMP_INTR))
			w->dump_again = true;
		if (nlh->nlmsg_type == NLMSG_DONE || nlh->nlmsg_type == NLMSG_ERROR) {
			if (!ours)
				continue;
			r = stage_done(w);
			if (r < 0)
				return r;
			changed |= r;
			continue;
		}
		r = kmodel_feed(w->model, nlh);
		if (r == -ENOMEM)
			return r;
		if (r == -EINVAL)
			log_warn("netlink_malformed", "type=%u len=%u", nlh->nlmsg_type,
				nlh->nlmsg_len);
		changed |= r > 0;
	}
	return changed;
}

int kwatch_read(struct kwatch *w)
{
	int changed = 0, err;

	for (int i = 0; i < READ_BURSTS; i++) {
		const ssize_t n = mnl_socket_recvfrom(w->nl, w->buf, BUF_BYTES);

		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			break;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == ENOBUFS || errno == ENOSPC)) {
			w->overruns++;
			log_warn("netlink_overrun", "count=%lu", (unsigned long)w->overruns);
			err = kwatch_dump(w);
			if (err)
				return err;
			continue;
		}
		if (n < 0)
			return -errno;
		err = handle(w, w->buf, (size_t)n);
		if (err < 0)
			return err;
		changed |= err;
	}
	return changed;
}

int kwatch_sync(struct kwatch *w, int timeout_ms)
{
	struct timespec t;
	int64_t end, now;

	clock_gettime(CLOCK_MONOTONIC, &t);
	end = t.tv_sec * 1000 + t.tv_nsec / 1000000 + timeout_ms;
	for (;;) {
		struct pollfd p = {.fd = kwatch_fd(w), .events = POLLIN};
		const int r = kwatch_read(w);

		if (r < 0)
			return r;
		if (w->dump_stage == STAGE_NONE)
			return 0;
		clock_gettime(CLOCK_MONOTONIC, &t);
		now = t.tv_sec * 1000 + t.tv_nsec / 1000000;
		if (now >= end)
			return -ETIMEDOUT;
		if (poll(&p, 1, (int)(end - now)) < 0 && errno != EINTR)
			return -errno;
	}
}
