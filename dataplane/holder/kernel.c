/*
 * Requests to the site's kernel by netlink (rtnetlink(7), bridge(8)), each acknowledged before the
 * next thing is done.
 *
 * Invariant: nothing is written that was not validated by the caller; a failed request changes
 * nothing and is reported with the kernel's errno.
 */
#include "dataplane/holder/holder.h"

#include <errno.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/if_vlan.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>

#include "dataplane/port/wirelink.h"

#define MIRROR_BUFFER   (64 << 20)
#define REQUEST_SIZE    256
#define ACK_TIMEOUT_SEC 5

struct request {
	_Alignas(struct nlmsghdr) uint8_t octets[REQUEST_SIZE];
};

static struct nlmsghdr *request_begin(
	struct request *r, uint16_t type, uint16_t flags, const void *body, size_t size)
{
	struct nlmsghdr *nlh = (struct nlmsghdr *)r->octets;

	memset(r, 0, sizeof(*r));
	nlh->nlmsg_len = (uint32_t)NLMSG_LENGTH(size);
	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags);
	memcpy(NLMSG_DATA(nlh), body, size);
	return nlh;
}

/* All attributes of our requests are small: they fit by construction. */
static struct rtattr *attr_put(struct nlmsghdr *nlh, uint16_t type, const void *data, size_t size)
{
	struct rtattr *rta = (struct rtattr *)((uint8_t *)nlh + NLMSG_ALIGN(nlh->nlmsg_len));

	rta->rta_type = type;
	rta->rta_len = (uint16_t)RTA_LENGTH(size);
	if (size > 0)
		memcpy(RTA_DATA(rta), data, size);
	nlh->nlmsg_len = (uint32_t)(NLMSG_ALIGN(nlh->nlmsg_len) + RTA_ALIGN(rta->rta_len));
	return rta;
}

static void attr_end(struct nlmsghdr *nlh, struct rtattr *nest)
{
	nest->rta_len = (uint16_t)((uint8_t *)nlh + nlh->nlmsg_len - (uint8_t *)nest);
}

/* Read acknowledgements until all of [first, first + n) are in; error[i] gets what each said. */
static int acks_read(struct holder *h, uint32_t first, unsigned int n, int *error)
{
	_Alignas(struct nlmsghdr) char buffer[16384];
	unsigned int got = 0;

	while (got < n) {
		const ssize_t len = recv(h->nl_fd, buffer, sizeof(buffer), 0);
		const struct nlmsghdr *nlh = (const struct nlmsghdr *)buffer;
		unsigned int left = len > 0 ? (unsigned int)len : 0;

		if (len < 0) {
			if (errno == EINTR)
				continue;
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		}
		for (; NLMSG_OK(nlh, left); nlh = wirelink_next(nlh, &left)) {
			const struct nlmsgerr *e = NLMSG_DATA(nlh);

			if (nlh->nlmsg_type != NLMSG_ERROR || nlh->nlmsg_seq - first >= n ||
				nlh->nlmsg_len < NLMSG_LENGTH(sizeof(*e)))
				continue; /* an answer to a request that timed out */
			error[nlh->nlmsg_seq - first] = e->error;
			got++;
		}
	}
	return 0;
}

static int requests_send(struct holder *h, struct request *requests, unsigned int n, int *error)
{
	const struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	struct iovec iov[HANDOVER_BATCH];
	struct msghdr mh = {
		.msg_name = (void *)&kernel,
		.msg_namelen = sizeof(kernel),
		.msg_iov = iov,
		.msg_iovlen = n,
	};
	const uint32_t first = h->nl_seq;
	unsigned int i;

	for (i = 0; i < n; i++) {
		struct nlmsghdr *nlh = (struct nlmsghdr *)requests[i].octets;

		nlh->nlmsg_seq = first + i;
		iov[i] = (struct iovec){nlh, NLMSG_ALIGN(nlh->nlmsg_len)};
		error[i] = -EIO;
	}
	h->nl_seq += n;
	while (sendmsg(h->nl_fd, &mh, 0) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	return acks_read(h, first, n, error);
}

static int request_do(struct holder *h, struct request *request)
{
	int error = 0;
	const int rc = requests_send(h, request, 1, &error);

	return rc < 0 ? rc : error;
}

int kernel_open(struct holder *h)
{
	const struct timeval timeout = {.tv_sec = ACK_TIMEOUT_SEC};
	struct sockaddr_nl address = {.nl_family = AF_NETLINK};
	const int one = 1;

	h->nl_seq = 1;
	h->nl_fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (h->nl_fd < 0)
		return -errno;
	(void)setsockopt(h->nl_fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof(one));
	if (setsockopt(h->nl_fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) < 0 ||
		bind(h->nl_fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	return 0;
}

int kernel_link_set(struct holder *h, uint32_t ifindex, const uint8_t *mac, uint32_t mtu,
	uint32_t txqlen, bool up)
{
	const struct ifinfomsg ifi = {
		.ifi_family = AF_UNSPEC,
		.ifi_index = (int)ifindex,
		.ifi_flags = up ? IFF_UP : 0,
		.ifi_change = up ? IFF_UP : 0,
	};
	struct request r;
	struct nlmsghdr *nlh = request_begin(&r, RTM_NEWLINK, 0, &ifi, sizeof(ifi));

	if (mac != NULL)
		attr_put(nlh, IFLA_ADDRESS, mac, 6);
	if (mtu != 0)
		attr_put(nlh, IFLA_MTU, &mtu, sizeof(mtu));
	if (txqlen != 0)
		attr_put(nlh, IFLA_TXQLEN, &txqlen, sizeof(txqlen));
	return request_do(h, &r);
}

int kernel_link_announce(struct holder *h, uint32_t ifindex, bool up)
{
	const struct ifinfomsg ifi = {.ifi_family = AF_UNSPEC, .ifi_index = (int)ifindex};
	const uint8_t state = up ? IF_OPER_UP : IF_OPER_DORMANT;
	struct request r;
	struct nlmsghdr *nlh = request_begin(&r, RTM_NEWLINK, 0, &ifi, sizeof(ifi));

	attr_put(nlh, IFLA_OPERSTATE, &state, sizeof(state));
	return request_do(h, &r);
}

uint32_t kernel_vlan_lower(uint32_t ifindex)
{
	struct vlan_ioctl_args args = {.cmd = GET_VLAN_REALDEV_NAME_CMD};
	char name[IF_NAMESIZE];
	uint32_t lower = 0;
	int fd;

	if (if_indextoname(ifindex, name) == NULL)
		return 0;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return 0;
	memcpy(args.device1, name, sizeof(name));
	if (ioctl(fd, SIOCGIFVLAN, &args) == 0) {
		args.u.device2[sizeof(args.u.device2) - 1] = '\0';
		lower = if_nametoindex(args.u.device2);
	}
	close(fd);
	return lower;
}

int kernel_addrgen_none(struct holder *h, uint32_t ifindex)
{
	const struct ifinfomsg ifi = {.ifi_family = AF_UNSPEC, .ifi_index = (int)ifindex};
	const uint8_t mode = IN6_ADDR_GEN_MODE_NONE;
	struct request r;
	struct nlmsghdr *nlh = request_begin(&r, RTM_NEWLINK, 0, &ifi, sizeof(ifi));
	struct rtattr *spec = attr_put(nlh, IFLA_AF_SPEC, NULL, 0);
	struct rtattr *inet6 = attr_put(nlh, AF_INET6, NULL, 0);

	attr_put(nlh, IFLA_INET6_ADDR_GEN_MODE, &mode, sizeof(mode));
	attr_end(nlh, inet6);
	attr_end(nlh, spec);
	return request_do(h, &r);
}

void kernel_fdb_write(struct holder *h, const struct handover_fdb_write *write,
	struct handover_fdb_result *result)
{
	struct request requests[HANDOVER_BATCH];
	unsigned int where[HANDOVER_BATCH];
	int error[HANDOVER_BATCH];
	unsigned int i, n = 0;
	int rc;

	for (i = 0; i < write->n; i++) {
		const struct handover_fdb_entry *e = &write->entries[i];
		const bool replace = e->op == HANDOVER_FDB_REPLACE;
		const struct ndmsg ndm = {
			.ndm_family = PF_BRIDGE,
			.ndm_ifindex = (int)e->tap_ifindex,
			.ndm_state = NUD_NOARP | NUD_PERMANENT, /* as bridge(8) sends it */
			.ndm_flags = (uint8_t)(NTF_MASTER | (replace ? NTF_EXT_LEARNED : 0)),
		};
		struct nlmsghdr *nlh;

		if (result->error[i] != 0) /* refused by the caller */
			continue;
		nlh = request_begin(&requests[n], replace ? RTM_NEWNEIGH : RTM_DELNEIGH,
			replace ? NLM_F_CREATE | NLM_F_REPLACE : 0, &ndm, sizeof(ndm));
		attr_put(nlh, NDA_LLADDR, e->mac, sizeof(e->mac));
		where[n++] = i;
	}
	rc = n > 0 ? requests_send(h, requests, n, error) : 0;
	for (i = 0; i < n; i++) {
		int e = error[i];

		if (rc < 0 && e == -EIO)
			e = rc;
		if (e == -ENOENT && write->entries[where[i]].op == HANDOVER_FDB_DELETE)
			e = 0;
		result->error[where[i]] = e;
	}
}

int kernel_neigh_probe(struct holder *h, uint32_t ifindex, uint32_t address)
{
	const struct ndmsg ndm = {
		.ndm_family = AF_INET,
		.ndm_ifindex = (int)ifindex,
		.ndm_state = NUD_NONE,
		.ndm_flags = NTF_USE,
	};
	struct request r;
	struct nlmsghdr *nlh = request_begin(&r, RTM_NEWNEIGH, NLM_F_CREATE, &ndm, sizeof(ndm));

	attr_put(nlh, NDA_DST, &address, sizeof(address));
	return request_do(h, &r);
}

static int mirror_socket_open(const uint32_t *groups, unsigned int n_groups, bool strict)
{
	struct sockaddr_nl address = {.nl_family = AF_NETLINK};
	const int size = MIRROR_BUFFER, one = 1;
	unsigned int i;
	int rc;
	const int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0 ||
		setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof(one)) < 0 ||
		(strict && setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &one, sizeof(one)) <
				   0) ||
		bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		goto fail;
	for (i = 0; i < n_groups; i++) {
		if (setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &groups[i],
			    sizeof(groups[i])) < 0)
			goto fail;
	}
	return fd;
fail:
	rc = -errno;
	close(fd);
	return rc;
}

int kernel_mirror_open(struct handover_netlink *netlink)
{
	static const uint32_t groups[] = {
		RTNLGRP_LINK,
		RTNLGRP_NEIGH,
		RTNLGRP_IPV4_IFADDR,
		RTNLGRP_IPV6_IFADDR,
		RTNLGRP_IPV4_ROUTE,
		RTNLGRP_IPV6_ROUTE,
		RTNLGRP_NEXTHOP,
	};

	netlink->dump_fd = -1;
	netlink->event_fd = mirror_socket_open(groups, sizeof(groups) / sizeof(groups[0]), false);
	if (netlink->event_fd < 0)
		return netlink->event_fd;
	netlink->dump_fd = mirror_socket_open(NULL, 0, true);
	if (netlink->dump_fd < 0) {
		const int rc = netlink->dump_fd;

		kernel_mirror_close(netlink);
		return rc;
	}
	return 0;
}

void kernel_mirror_close(struct handover_netlink *netlink)
{
	if (netlink->event_fd >= 0)
		close(netlink->event_fd);
	if (netlink->dump_fd >= 0)
		close(netlink->dump_fd);
	netlink->event_fd = netlink->dump_fd = -1;
}
