/* Building and sending changes; see write.h. */
#include "controller/agent/kernel/write.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define BATCH_BYTES (64 * 1024)
#define BATCH_OPS   256
#define REPLY_BYTES (64 * 1024)
#define REPLY_MS    5000
#define VXLAN_PORT  4789
#define VXLAN_TTL   64
#define SOCKET_BUF  (4 * 1024 * 1024)

#ifndef NETLINK_EXT_ACK
#define NETLINK_EXT_ACK 11
#endif
#ifndef NETLINK_CAP_ACK
#define NETLINK_CAP_ACK 10
#endif

static const char *const names[KOP_TYPES] = {
	[KOP_BRIDGE_ADD] = "bridge missing",
	[KOP_VXLAN_ADD] = "vxlan device missing",
	[KOP_LINK_DEL] = "device not wanted",
	[KOP_GROUP] = "device not wanted",
	[KOP_GROUP_DEL] = "devices not wanted",
	[KOP_BRIDGE_SET] = "bridge options changed",
	[KOP_ALIAS] = "alias changed",
	[KOP_MTU] = "MTU changed",
	[KOP_GENMODE] = "address generation changed",
	[KOP_MASTER] = "bridge membership changed",
	[KOP_BRPORT] = "bridge port flags changed",
	[KOP_UP] = "device down",
	[KOP_ADDR_ADD] = "address missing",
	[KOP_ADDR_DEL] = "address not wanted",
};

const char *kop_name(enum kop_type type)
{
	return type < KOP_TYPES ? names[type] : "?";
}

int kwrite_open(struct kwrite *w)
{
	const int one = 1;
	int fd;

	memset(w, 0, sizeof(*w));
	w->buf = malloc(BATCH_BYTES + REPLY_BYTES);
	w->sk = nl_socket_alloc();
	if (!w->buf || !w->sk || nl_connect(w->sk, NETLINK_ROUTE) < 0) {
		const int err = w->buf && w->sk ? -EIO : -ENOMEM;

		kwrite_close(w);
		return err;
	}
	nl_socket_set_buffer_size(w->sk, SOCKET_BUF, SOCKET_BUF);
	fd = nl_socket_get_fd(w->sk);
	/* Kernels without these give less text, nothing else. */
	setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof(one));
	setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof(one));
	return 0;
}

void kwrite_close(struct kwrite *w)
{
	if (w->sk)
		nl_socket_free(w->sk);
	free(w->buf);
	w->sk = NULL;
	w->buf = NULL;
}

/* ---- messages ---- */

static int put_linkinfo_bridge(struct nl_msg *m)
{
	struct nlattr *info = nla_nest_start(m, IFLA_LINKINFO), *data;

	if (!info || nla_put_string(m, IFLA_INFO_KIND, "bridge") < 0)
		return -ENOMEM;
	data = nla_nest_start(m, IFLA_INFO_DATA);
	if (!data || nla_put_u8(m, IFLA_BR_MCAST_SNOOPING, 0) < 0 ||
		nla_put_u32(m, IFLA_BR_STP_STATE, 0) < 0 ||
		nla_put_u32(m, IFLA_BR_FORWARD_DELAY, 0) < 0)
		return -ENOMEM;
	nla_nest_end(m, data);
	nla_nest_end(m, info);
	return 0;
}

static int put_linkinfo_vxlan(struct nl_msg *m, const struct kop *op)
{
	struct nlattr *info = nla_nest_start(m, IFLA_LINKINFO), *data;

	if (!info || nla_put_string(m, IFLA_INFO_KIND, "vxlan") < 0)
		return -ENOMEM;
	data = nla_nest_start(m, IFLA_INFO_DATA);
	if (!data || nla_put_u32(m, IFLA_VXLAN_ID, op->vni) < 0 ||
		nla_put_u32(m, IFLA_VXLAN_LOCAL, htonl(op->ip)) < 0 ||
		nla_put_u16(m, IFLA_VXLAN_PORT, htons(VXLAN_PORT)) < 0 ||
		nla_put_u8(m, IFLA_VXLAN_LEARNING, 0) < 0 ||
		nla_put_u8(m, IFLA_VXLAN_TTL, VXLAN_TTL) < 0)
		return -ENOMEM;
	nla_nest_end(m, data);
	nla_nest_end(m, info);
	return 0;
}

static int put_brport(struct nl_msg *m)
{
	struct nlattr *info = nla_nest_start(m, IFLA_LINKINFO), *data;

	if (!info || nla_put_string(m, IFLA_INFO_SLAVE_KIND, "bridge") < 0)
		return -ENOMEM;
	data = nla_nest_start(m, IFLA_INFO_SLAVE_DATA);
	if (!data || nla_put_u8(m, IFLA_BRPORT_LEARNING, 0) < 0 ||
		nla_put_u8(m, IFLA_BRPORT_ISOLATED, 1) < 0)
		return -ENOMEM;
	nla_nest_end(m, data);
	nla_nest_end(m, info);
	return 0;
}

static int put_genmode(struct nl_msg *m)
{
	struct nlattr *spec = nla_nest_start(m, IFLA_AF_SPEC), *inet6;

	if (!spec)
		return -ENOMEM;
	inet6 = nla_nest_start(m, AF_INET6);
	if (!inet6 || nla_put_u8(m, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE) < 0)
		return -ENOMEM;
	nla_nest_end(m, inet6);
	nla_nest_end(m, spec);
	return 0;
}

static struct nl_msg *build_addr(const struct kop *op, uint32_t seq)
{
	const bool add = op->type == KOP_ADDR_ADD;
	struct ifaddrmsg ifa = {.ifa_family = AF_INET,
		.ifa_prefixlen = op->plen,
		.ifa_index = (unsigned int)op->ifindex,
		.ifa_scope = RT_SCOPE_UNIVERSE};
	struct nl_msg *m = nlmsg_alloc();

	if (!m)
		return NULL;
	if (!nlmsg_put(m, NL_AUTO_PORT, seq, add ? RTM_NEWADDR : RTM_DELADDR, 0,
		    NLM_F_REQUEST | NLM_F_ACK | (add ? NLM_F_CREATE | NLM_F_EXCL : 0)) ||
		nlmsg_append(m, &ifa, sizeof(ifa), NLMSG_ALIGNTO) < 0 ||
		nla_put_u32(m, IFA_LOCAL, htonl(op->ip)) < 0 ||
		nla_put_u32(m, IFA_ADDRESS, htonl(op->ip)) < 0) {
		nlmsg_free(m);
		return NULL;
	}
	return m;
}

static int put_op(struct nl_msg *m, const struct kop *op)
{
	int err;

	switch (op->type) {
	case KOP_BRIDGE_ADD:
		err = nla_put(m, IFLA_ADDRESS, sizeof(op->mac), op->mac);
		return err ? err : put_linkinfo_bridge(m);
	case KOP_BRIDGE_SET:
		return put_linkinfo_bridge(m);
	case KOP_VXLAN_ADD:
		err = nla_put(m, IFLA_ADDRESS, sizeof(op->mac), op->mac);
		if (!err && op->master)
			err = nla_put_u32(m, IFLA_MASTER, (uint32_t)op->master);
		return err ? err : put_linkinfo_vxlan(m, op);
	case KOP_ALIAS:
		return nla_put_string(m, IFLA_IFALIAS, op->alias);
	case KOP_MTU:
		return nla_put_u32(m, IFLA_MTU, op->mtu);
	case KOP_GENMODE:
		return put_genmode(m);
	case KOP_MASTER:
		return nla_put_u32(m, IFLA_MASTER, (uint32_t)op->master);
	case KOP_BRPORT:
		return put_brport(m);
	case KOP_GROUP:
	case KOP_GROUP_DEL:
		return nla_put_u32(m, IFLA_GROUP, op->group);
	default:
		return 0;
	}
}

/* One request for `count` changes of one link, as group_size() allows. */
static struct nl_msg *build_link(const struct kop *op, size_t count, uint32_t seq)
{
	struct ifinfomsg ifi = {.ifi_family = AF_UNSPEC, .ifi_index = op->ifindex};
	const bool add = op->type == KOP_BRIDGE_ADD || op->type == KOP_VXLAN_ADD;
	const bool del = op->type == KOP_LINK_DEL || op->type == KOP_GROUP_DEL;
	const int type = del ? RTM_DELLINK : RTM_NEWLINK;
	struct nl_msg *m = nlmsg_alloc();

	if (!m)
		return NULL;
	if (op->type == KOP_UP) {
		ifi.ifi_flags = IFF_UP;
		ifi.ifi_change = IFF_UP;
	}
	if (!nlmsg_put(m, NL_AUTO_PORT, seq, type, 0,
		    NLM_F_REQUEST | NLM_F_ACK | (add ? NLM_F_CREATE | NLM_F_EXCL : 0)) ||
		nlmsg_append(m, &ifi, sizeof(ifi), NLMSG_ALIGNTO) < 0)
		goto fail;
	if (add && (nla_put_string(m, IFLA_IFNAME, op->name) < 0 ||
			   nla_put_u32(m, IFLA_MTU, op->mtu) < 0))
		goto fail;
	for (size_t i = 0; i < count; i++)
		if (put_op(m, &op[i]) < 0)
			goto fail;
	return m;
fail:
	nlmsg_free(m);
	return NULL;
}

static struct nl_msg *build(const struct kop *op, size_t count, uint32_t seq)
{
	return op->type == KOP_ADDR_ADD || op->type == KOP_ADDR_DEL ? build_addr(op, seq)
								    : build_link(op, count, seq);
}

static bool joins(enum kop_type type)
{
	return type == KOP_ALIAS || type == KOP_MTU || type == KOP_GENMODE || type == KOP_BRPORT;
}

/* How many of the changes travel in one request. The kernel tells everybody of the link once a
 * request, and bgpd walks all its routes each time it hears of a link that is up. */
static size_t group_size(const struct kop *ops, size_t count)
{
	size_t n = 1;

	while (joins(ops[0].type) && n < count && joins(ops[n].type) &&
		ops[n].ifindex == ops[0].ifindex)
		n++;
	return n;
}

/* ---- sending ---- */

static void op_failed(struct kop *op, int err, const char *text)
{
	op->err = err;
	snprintf(op->error, sizeof(op->error), "%s: %s%s%s", op->name, strerror(-err),
		text[0] ? ": " : "", text);
}

/* The kernel's own words in an error message (NLMSGERR_ATTR_MSG), or "". */
static const char *ack_text(const struct nlmsghdr *nlh, char *buf, size_t size)
{
	const struct nlmsgerr *e = nlmsg_data((struct nlmsghdr *)nlh);
	const size_t skip =
		sizeof(*nlh) + sizeof(*e) +
		(nlh->nlmsg_flags & NLM_F_CAPPED ? 0 : e->msg.nlmsg_len - sizeof(e->msg));
	const struct nlattr *a;
	int left;

	buf[0] = '\0';
	if (!(nlh->nlmsg_flags & NLM_F_ACK_TLVS) || skip > nlh->nlmsg_len)
		return buf;
	a = (const struct nlattr *)((const char *)nlh + skip);
	left = (int)(nlh->nlmsg_len - skip);
	for (; nla_ok(a, left); a = nla_next(a, &left))
		if (nla_type(a) == NLMSGERR_ATTR_MSG)
			snprintf(buf, size, "%.*s", nla_len(a), (const char *)nla_data(a));
	return buf;
}

static int replies_take(struct kwrite *w, struct kop *ops, uint32_t first, size_t count)
{
	const int fd = nl_socket_get_fd(w->sk);
	char *const in = w->buf + BATCH_BYTES;
	size_t missing = count;
	char text[KOP_ERROR_MAX];

	while (missing > 0) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		struct nlmsghdr *nlh = (struct nlmsghdr *)in;
		ssize_t n;
		int left;

		n = poll(&p, 1, REPLY_MS);
		if (n == 0)
			return -ETIMEDOUT;
		if (n > 0)
			n = recv(fd, in, REPLY_BYTES, MSG_DONTWAIT);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0)
			return -errno;
		left = (int)n;
		for (; nlmsg_ok(nlh, left); nlh = nlmsg_next(nlh, &left)) {
			const struct nlmsgerr *e = nlmsg_data(nlh);
			const uint32_t at = nlh->nlmsg_seq - first;

			if (nlh->nlmsg_type != NLMSG_ERROR || at >= count)
				continue;
			if (ops[at].err != -EINPROGRESS)
				continue;
			for (size_t i = 0; i < ops[at].group_count; i++) {
				ops[at + i].err = 0;
				if (e->error)
					op_failed(&ops[at + i], e->error,
						ack_text(nlh, text, sizeof(text)));
			}
			missing -= ops[at].group_count;
		}
	}
	return 0;
}

/* Send as many as fit into one system call; *taken says how many. */
static int send_batch(struct kwrite *w, struct kop *ops, size_t count, bool alone, size_t *taken)
{
	const uint32_t first = w->seq + 1;
	size_t n = 0, bytes = 0;
	int err = 0;

	while (n < count && n < BATCH_OPS) {
		struct kop *op = &ops[n];
		const size_t group = alone ? 1 : group_size(op, count - n);
		struct nl_msg *m = build(op, group, first + (uint32_t)n);
		size_t len;

		if (!m) {
			err = -ENOMEM;
			break;
		}
		len = NLMSG_ALIGN(nlmsg_hdr(m)->nlmsg_len);
		if (bytes + len > BATCH_BYTES) {
			nlmsg_free(m);
			break;
		}
		memcpy(w->buf + bytes, nlmsg_hdr(m), nlmsg_hdr(m)->nlmsg_len);
		bytes += len;
		nlmsg_free(m);
		for (size_t i = 0; i < group; i++) {
			op[i].err = -EINPROGRESS;
			op[i].error[0] = '\0';
			op[i].group_count = group;
		}
		w->writes++;
		n += group;
	}
	*taken = n;
	if (n == 0)
		return err;
	w->seq += (uint32_t)n;
	if (nl_sendto(w->sk, w->buf, bytes) < 0)
		err = -EIO;
	else
		err = replies_take(w, ops, first, n);
	for (size_t i = 0; i < n && err; i++)
		if (ops[i].err == -EINPROGRESS)
			op_failed(&ops[i], err, "no answer");
	return err;
}

/* Changes that were refused together are tried one by one: one of them is to blame. */
static int send_alone(struct kwrite *w, struct kop *ops, size_t count)
{
	size_t taken, i = 0;
	int err = 0;

	while (i < count && !err) {
		const size_t group = ops[i].group_count;

		if (group > 1 && ops[i].err)
			for (size_t k = 0; k < group && !err; k++)
				err = send_batch(w, &ops[i + k], 1, true, &taken);
		i += group;
	}
	return err;
}

int kwrite_run(struct kwrite *w, struct kop *ops, size_t count)
{
	size_t done = 0, taken;
	int err = 0;

	while (done < count && !err) {
		err = send_batch(w, ops + done, count - done, false, &taken);
		if (!err && taken)
			err = send_alone(w, ops + done, taken);
		done += taken;
		if (!taken)
			break;
	}
	for (size_t i = done; i < count; i++)
		op_failed(&ops[i], err ? err : -EIO, "not sent");
	return err;
}
