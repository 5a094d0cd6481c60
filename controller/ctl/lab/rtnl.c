/*
 * rtnetlink for the lab: builds one message, sends it, waits for the kernel's word.
 *
 * Written over libmnl because it hands the kernel's errno through unchanged, and because bridge
 * ports need attributes that libnl-route 3.7 does not know.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "controller/ctl/lab/internal.h"
#include "controller/ctl/lab/rtnl.h"

#define RTNL_BUFFER 65536

struct rtnl {
	struct mnl_socket *sock;
	uint32_t seq;
	struct nlmsghdr *nlh; /* request under construction */
	char request[4096];
	char reply[RTNL_BUFFER];
};

int rtnl_open(struct rtnl **out, const char *netns)
{
	struct rtnl *nl;
	int back = -1, ret = 0;

	*out = NULL;
	nl = calloc(1, sizeof(*nl));
	if (!nl)
		return -ENOMEM;
	if (netns) {
		back = lab_netns_enter(netns);
		if (back < 0) {
			ret = back;
			goto out;
		}
	}
	nl->sock = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (!nl->sock)
		ret = -errno;
	else if (mnl_socket_bind(nl->sock, 0, MNL_SOCKET_AUTOPID) < 0)
		ret = -errno;
	if (back >= 0)
		lab_netns_leave(back);
	if (ret)
		goto out;
	nl->seq = (uint32_t)time(NULL);
	*out = nl;
	return 0;
out:
	rtnl_close(nl);
	return ret;
}

void rtnl_close(struct rtnl *nl)
{
	if (!nl)
		return;
	if (nl->sock)
		mnl_socket_close(nl->sock);
	free(nl);
}

static struct nlmsghdr *rtnl_request(struct rtnl *nl, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(nl->request);

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | flags;
	nlh->nlmsg_seq = ++nl->seq;
	nl->nlh = nlh;
	return nlh;
}

static int rtnl_run(struct rtnl *nl, mnl_cb_t fn, void *arg)
{
	unsigned int port = mnl_socket_get_portid(nl->sock);
	ssize_t n;
	int ret;

	if (mnl_socket_sendto(nl->sock, nl->nlh, nl->nlh->nlmsg_len) < 0)
		return -errno;
	do {
		n = mnl_socket_recvfrom(nl->sock, nl->reply, sizeof(nl->reply));
		if (n < 0)
			return -errno;
		ret = mnl_cb_run(nl->reply, (size_t)n, nl->seq, port, fn, arg);
	} while (ret > 0);
	return ret < 0 ? -errno : 0;
}

/* Send the request and wait for the acknowledgement. */
static int rtnl_commit(struct rtnl *nl)
{
	nl->nlh->nlmsg_flags |= NLM_F_ACK;
	return rtnl_run(nl, NULL, NULL);
}

static struct ifinfomsg *rtnl_link_request(struct rtnl *nl, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *nlh = rtnl_request(nl, type, flags);
	struct ifinfomsg *ifi = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifi));

	ifi->ifi_family = AF_UNSPEC;
	return ifi;
}

/* A change of an existing device. */
static struct ifinfomsg *rtnl_link_change(struct rtnl *nl, const char *name)
{
	struct ifinfomsg *ifi = rtnl_link_request(nl, RTM_NEWLINK, 0);

	mnl_attr_put_strz(nl->nlh, IFLA_IFNAME, name);
	return ifi;
}

int rtnl_veth_add(struct rtnl *nl, const char *name, uint32_t mtu, int peer_ns, const char *peer,
	uint32_t peer_mtu, uint32_t peer_index)
{
	struct nlattr *info, *data, *end;
	struct ifinfomsg *ifi;

	rtnl_link_request(nl, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
	mnl_attr_put_strz(nl->nlh, IFLA_IFNAME, name);
	mnl_attr_put_u32(nl->nlh, IFLA_MTU, mtu);
	info = mnl_attr_nest_start(nl->nlh, IFLA_LINKINFO);
	mnl_attr_put_strz(nl->nlh, IFLA_INFO_KIND, "veth");
	data = mnl_attr_nest_start(nl->nlh, IFLA_INFO_DATA);
	end = mnl_attr_nest_start(nl->nlh, VETH_INFO_PEER);
	ifi = mnl_nlmsg_put_extra_header(nl->nlh, sizeof(*ifi));
	ifi->ifi_family = AF_UNSPEC;
	ifi->ifi_index = (int)peer_index;
	mnl_attr_put_strz(nl->nlh, IFLA_IFNAME, peer);
	mnl_attr_put_u32(nl->nlh, IFLA_MTU, peer_mtu);
	if (peer_ns >= 0)
		mnl_attr_put_u32(nl->nlh, IFLA_NET_NS_FD, (uint32_t)peer_ns);
	mnl_attr_nest_end(nl->nlh, end);
	mnl_attr_nest_end(nl->nlh, data);
	mnl_attr_nest_end(nl->nlh, info);
	return rtnl_commit(nl);
}

int rtnl_bridge_add(struct rtnl *nl, const char *name)
{
	struct nlattr *info, *data;

	rtnl_link_request(nl, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
	mnl_attr_put_strz(nl->nlh, IFLA_IFNAME, name);
	info = mnl_attr_nest_start(nl->nlh, IFLA_LINKINFO);
	mnl_attr_put_strz(nl->nlh, IFLA_INFO_KIND, "bridge");
	data = mnl_attr_nest_start(nl->nlh, IFLA_INFO_DATA);
	mnl_attr_put_u32(nl->nlh, IFLA_BR_STP_STATE, 0);
	mnl_attr_put_u32(nl->nlh, IFLA_BR_FORWARD_DELAY, 0);
	mnl_attr_put_u8(nl->nlh, IFLA_BR_MCAST_SNOOPING, 0);
	mnl_attr_nest_end(nl->nlh, data);
	mnl_attr_nest_end(nl->nlh, info);
	return rtnl_commit(nl);
}

int rtnl_vxlan_add(struct rtnl *nl, const char *name, uint32_t vni)
{
	struct nlattr *info, *data;

	rtnl_link_request(nl, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
	mnl_attr_put_strz(nl->nlh, IFLA_IFNAME, name);
	info = mnl_attr_nest_start(nl->nlh, IFLA_LINKINFO);
	mnl_attr_put_strz(nl->nlh, IFLA_INFO_KIND, "vxlan");
	data = mnl_attr_nest_start(nl->nlh, IFLA_INFO_DATA);
	mnl_attr_put_u32(nl->nlh, IFLA_VXLAN_ID, vni);
	mnl_attr_put_u16(nl->nlh, IFLA_VXLAN_PORT, htons(4789));
	mnl_attr_nest_end(nl->nlh, data);
	mnl_attr_nest_end(nl->nlh, info);
	return rtnl_commit(nl);
}

int rtnl_link_del(struct rtnl *nl, const char *name)
{
	rtnl_link_request(nl, RTM_DELLINK, 0);
	mnl_attr_put_strz(nl->nlh, IFLA_IFNAME, name);
	return rtnl_commit(nl);
}

int rtnl_link_up(struct rtnl *nl, const char *name, bool up)
{
	struct ifinfomsg *ifi = rtnl_link_change(nl, name);

	ifi->ifi_change = IFF_UP;
	ifi->ifi_flags = up ? IFF_UP : 0;
	return rtnl_commit(nl);
}

int rtnl_link_alias(struct rtnl *nl, const char *name, const char *alias)
{
	rtnl_link_change(nl, name);
	mnl_attr_put_str(nl->nlh, IFLA_IFALIAS, alias);
	return rtnl_commit(nl);
}

int rtnl_link_mtu(struct rtnl *nl, const char *name, uint32_t mtu)
{
	rtnl_link_change(nl, name);
	mnl_attr_put_u32(nl->nlh, IFLA_MTU, mtu);
	return rtnl_commit(nl);
}

int rtnl_link_mac(struct rtnl *nl, const char *name, const uint8_t mac[6])
{
	rtnl_link_change(nl, name);
	mnl_attr_put(nl->nlh, IFLA_ADDRESS, 6, mac);
	return rtnl_commit(nl);
}

int rtnl_link_move(struct rtnl *nl, const char *name, int netns, const char *new_name)
{
	struct rtnl_link link;
	struct ifinfomsg *ifi;
	int ret = rtnl_link_get(nl, name, &link);

	if (ret)
		return ret;
	/* by index: the name in the message is the one it gets over there */
	ifi = rtnl_link_request(nl, RTM_NEWLINK, 0);
	ifi->ifi_index = link.ifindex;
	mnl_attr_put_strz(nl->nlh, IFLA_IFNAME, new_name);
	mnl_attr_put_u32(nl->nlh, IFLA_NET_NS_FD, (uint32_t)netns);
	return rtnl_commit(nl);
}

int rtnl_link_rename(struct rtnl *nl, const char *name, const char *new_name)
{
	struct rtnl_link link;
	struct ifinfomsg *ifi;
	int ret = rtnl_link_get(nl, name, &link);

	if (ret)
		return ret;
	ifi = rtnl_link_request(nl, RTM_NEWLINK, 0);
	ifi->ifi_index = link.ifindex;
	mnl_attr_put_strz(nl->nlh, IFLA_IFNAME, new_name);
	return rtnl_commit(nl);
}

int rtnl_link_master(struct rtnl *nl, const char *name, const char *master)
{
	struct rtnl_link link;
	int ret = rtnl_link_get(nl, master, &link);

	if (ret)
		return ret;
	rtnl_link_change(nl, name);
	mnl_attr_put_u32(nl->nlh, IFLA_MASTER, (uint32_t)link.ifindex);
	return rtnl_commit(nl);
}

/* Begin a change of a bridge port; the caller puts IFLA_BRPORT_* and ends the nest. */
static int rtnl_port_change(struct rtnl *nl, const char *name, struct nlattr **nest)
{
	struct rtnl_link link;
	struct ifinfomsg *ifi;
	int ret = rtnl_link_get(nl, name, &link);

	if (ret)
		return ret;
	ifi = rtnl_link_request(nl, RTM_SETLINK, 0);
	ifi->ifi_family = AF_BRIDGE;
	ifi->ifi_index = link.ifindex;
	*nest = mnl_attr_nest_start(nl->nlh, IFLA_PROTINFO);
	return 0;
}

int rtnl_port_state(struct rtnl *nl, const char *name, uint8_t state)
{
	struct nlattr *nest;
	int ret = rtnl_port_change(nl, name, &nest);

	if (ret)
		return ret;
	mnl_attr_put_u8(nl->nlh, IFLA_BRPORT_STATE, state);
	mnl_attr_nest_end(nl->nlh, nest);
	return rtnl_commit(nl);
}

int rtnl_port_plain(struct rtnl *nl, const char *name)
{
	struct nlattr *nest;
	int ret = rtnl_port_change(nl, name, &nest);

	if (ret)
		return ret;
	mnl_attr_put_u8(nl->nlh, IFLA_BRPORT_LEARNING, 0);
	mnl_attr_put_u8(nl->nlh, IFLA_BRPORT_UNICAST_FLOOD, 1);
	mnl_attr_put_u8(nl->nlh, IFLA_BRPORT_MCAST_FLOOD, 1);
	mnl_attr_put_u8(nl->nlh, IFLA_BRPORT_BCAST_FLOOD, 1);
	mnl_attr_nest_end(nl->nlh, nest);
	return rtnl_commit(nl);
}

int rtnl_addr_add(struct rtnl *nl, const char *name, const char *cidr)
{
	char text[64], *slash, *end;
	struct rtnl_link link;
	struct nlmsghdr *nlh;
	struct ifaddrmsg *ifa;
	struct in6_addr ip;
	unsigned long len;
	size_t size;
	int ret;
	uint8_t family;

	if (snprintf(text, sizeof(text), "%s", cidr) >= (int)sizeof(text))
		return -EINVAL;
	slash = strchr(text, '/');
	if (!slash)
		return -EINVAL;
	*slash = '\0';
	family = strchr(text, ':') ? AF_INET6 : AF_INET;
	size = family == AF_INET ? 4 : 16;
	if (inet_pton(family, text, &ip) != 1)
		return -EINVAL;
	len = strtoul(slash + 1, &end, 10);
	if (*end || end == slash + 1 || len > size * 8)
		return -EINVAL;
	ret = rtnl_link_get(nl, name, &link);
	if (ret)
		return ret;

	nlh = rtnl_request(nl, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL);
	ifa = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifa));
	ifa->ifa_family = family;
	ifa->ifa_prefixlen = (uint8_t)len;
	ifa->ifa_index = (uint32_t)link.ifindex;
	ifa->ifa_flags = family == AF_INET6 ? IFA_F_NODAD : 0;
	mnl_attr_put(nlh, IFA_LOCAL, size, &ip);
	mnl_attr_put(nlh, IFA_ADDRESS, size, &ip);
	if (family == AF_INET && len < 31) {
		struct in_addr mask = {htonl(len ? ~0u << (32 - len) : 0)}, brd;

		memcpy(&brd, &ip, 4);
		brd.s_addr |= ~mask.s_addr;
		mnl_attr_put(nlh, IFA_BROADCAST, 4, &brd);
	}
	return rtnl_commit(nl);
}

static int port_attr(const struct nlattr *attr, void *arg)
{
	struct rtnl_link *link = arg;

	if (mnl_attr_get_type(attr) == IFLA_BRPORT_STATE)
		link->port_state = mnl_attr_get_u8(attr);
	return MNL_CB_OK;
}

static int info_attr(const struct nlattr *attr, void *arg)
{
	if (mnl_attr_get_type(attr) == IFLA_INFO_SLAVE_DATA)
		mnl_attr_parse_nested(attr, port_attr, arg);
	return MNL_CB_OK;
}

static int link_attr(const struct nlattr *attr, void *arg)
{
	struct rtnl_link *link = arg;

	switch (mnl_attr_get_type(attr)) {
	case IFLA_MTU:
		link->mtu = mnl_attr_get_u32(attr);
		break;
	case IFLA_ADDRESS:
		if (mnl_attr_get_payload_len(attr) == 6)
			memcpy(link->mac, mnl_attr_get_payload(attr), 6);
		break;
	case IFLA_IFALIAS:
		snprintf(link->alias, sizeof(link->alias), "%.*s",
			(int)mnl_attr_get_payload_len(attr), mnl_attr_get_str(attr));
		break;
	case IFLA_LINKINFO:
		mnl_attr_parse_nested(attr, info_attr, link);
		break;
	default:
		break;
	}
	return MNL_CB_OK;
}

static int link_message(const struct nlmsghdr *nlh, void *arg)
{
	struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);
	struct rtnl_link *link = arg;

	if (nlh->nlmsg_type != RTM_NEWLINK)
		return MNL_CB_OK;
	link->ifindex = ifi->ifi_index;
	link->flags = ifi->ifi_flags;
	mnl_attr_parse(nlh, sizeof(*ifi), link_attr, link);
	return MNL_CB_OK;
}

int rtnl_link_get(struct rtnl *nl, const char *name, struct rtnl_link *link)
{
	int ret;

	memset(link, 0, sizeof(*link));
	rtnl_link_request(nl, RTM_GETLINK, NLM_F_ACK);
	mnl_attr_put_strz(nl->nlh, IFLA_IFNAME, name);
	ret = rtnl_run(nl, link_message, link);
	if (ret)
		return ret;
	return link->ifindex ? 0 : -ENODEV;
}

struct dump {
	rtnl_dump_fn *fn;
	void *arg;
	int result;
};

static int dump_message(const struct nlmsghdr *nlh, void *arg)
{
	struct dump *dump = arg;

	if (!dump->result)
		dump->result = dump->fn(dump->arg, nlh);
	return MNL_CB_OK;
}

int rtnl_dump(struct rtnl *nl, uint16_t type, uint8_t family, rtnl_dump_fn *fn, void *arg)
{
	struct dump dump = {.fn = fn, .arg = arg};
	struct nlmsghdr *nlh = rtnl_request(nl, type, NLM_F_DUMP);
	int ret;

	/* each kind has its own fixed header; a bridge's FDB is asked for with a link's */
	if (type == RTM_GETADDR) {
		struct ifaddrmsg *m = mnl_nlmsg_put_extra_header(nlh, sizeof(*m));

		m->ifa_family = family;
	} else if (type == RTM_GETROUTE) {
		struct rtmsg *m = mnl_nlmsg_put_extra_header(nlh, sizeof(*m));

		m->rtm_family = family;
	} else if (type == RTM_GETNEIGH && family != AF_BRIDGE) {
		struct ndmsg *m = mnl_nlmsg_put_extra_header(nlh, sizeof(*m));

		m->ndm_family = family;
	} else {
		struct ifinfomsg *m = mnl_nlmsg_put_extra_header(nlh, sizeof(*m));

		m->ifi_family = family;
	}
	ret = rtnl_run(nl, dump_message, &dump);
	return ret ? ret : dump.result;
}
