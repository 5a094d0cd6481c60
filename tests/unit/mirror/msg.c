/*
 * Making rtnetlink messages for tests: see msg.h.
 */
#include <arpa/inet.h>
#include <net/if.h>
#include <string.h>

#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/nexthop.h>
#include <linux/rtnetlink.h>

#include "tests/unit/mirror/msg.h"

struct msg {
	struct nlmsghdr h;
	char body[1000];
};

static bool of_dump;

void msg_of_dump(bool dump)
{
	of_dump = dump;
}

static void msg_start(struct msg *msg, uint16_t type, const void *head, size_t len)
{
	memset(msg, 0, sizeof(*msg));
	msg->h.nlmsg_type = type;
	msg->h.nlmsg_flags = of_dump ? NLM_F_MULTI : 0;
	msg->h.nlmsg_len = NLMSG_LENGTH(NLMSG_ALIGN(len));
	memcpy(NLMSG_DATA(&msg->h), head, len);
}

static struct nlattr *msg_attr(struct msg *msg, uint16_t type, const void *data, size_t len)
{
	struct nlattr *nla = (struct nlattr *)(void *)((char *)msg + msg->h.nlmsg_len);

	nla->nla_type = type;
	nla->nla_len = (uint16_t)(NLA_HDRLEN + len);
	if (len)
		memcpy((char *)nla + NLA_HDRLEN, data, len);
	msg->h.nlmsg_len += (uint32_t)NLA_ALIGN(nla->nla_len);
	return nla;
}

static void msg_close(const struct msg *msg, struct nlattr *nest)
{
	nest->nla_len = (uint16_t)((const char *)msg + msg->h.nlmsg_len - (const char *)nest);
}

static void msg_feed(struct mirror *m, const struct msg *msg)
{
	mirror_feed(m, msg, msg->h.nlmsg_len);
	mirror_settle(m);
}

static void link_start(
	struct msg *msg, bool gone, uint32_t ifindex, const char *name, uint32_t master, bool up)
{
	const struct ifinfomsg ifi = {.ifi_index = (int)ifindex, .ifi_flags = up ? IFF_UP : 0};
	const uint32_t mtu = 1500;

	msg_start(msg, gone ? RTM_DELLINK : RTM_NEWLINK, &ifi, sizeof(ifi));
	msg_attr(msg, IFLA_IFNAME, name, strlen(name) + 1);
	msg_attr(msg, IFLA_MTU, &mtu, 4);
	if (master)
		msg_attr(msg, IFLA_MASTER, &master, 4);
}

void msg_link(struct mirror *m, bool gone, uint32_t ifindex, const char *name, const char *kind,
	uint32_t master, bool up)
{
	struct nlattr *info;
	struct msg msg;

	link_start(&msg, gone, ifindex, name, master, up);
	if (kind) {
		info = msg_attr(&msg, IFLA_LINKINFO, NULL, 0);
		msg_attr(&msg, IFLA_INFO_KIND, kind, strlen(kind));
		msg_close(&msg, info);
	}
	msg_feed(m, &msg);
}

void msg_vxlan(struct mirror *m, uint32_t ifindex, const char *name, uint32_t master, uint32_t vni,
	const char *local)
{
	const rte_be32_t addr = inet_addr(local);
	const uint16_t port = htons(4789);
	struct nlattr *info, *data;
	struct msg msg;

	link_start(&msg, false, ifindex, name, master, true);
	info = msg_attr(&msg, IFLA_LINKINFO, NULL, 0);
	msg_attr(&msg, IFLA_INFO_KIND, "vxlan", 6);
	data = msg_attr(&msg, IFLA_INFO_DATA, NULL, 0);
	msg_attr(&msg, IFLA_VXLAN_ID, &vni, 4);
	msg_attr(&msg, IFLA_VXLAN_LOCAL, &addr, 4);
	msg_attr(&msg, IFLA_VXLAN_PORT, &port, 2);
	msg_close(&msg, data);
	msg_close(&msg, info);
	msg_feed(m, &msg);
}

static void fdb_start(struct msg *msg, bool gone, uint32_t ifindex,
	const struct rte_ether_addr *mac, bool ext, uint8_t flags)
{
	const struct ndmsg ndm = {.ndm_family = AF_BRIDGE,
		.ndm_ifindex = (int)ifindex,
		.ndm_state = NUD_REACHABLE,
		.ndm_flags = (uint8_t)(flags | (ext ? NTF_EXT_LEARNED : 0))};

	msg_start(msg, gone ? RTM_DELNEIGH : RTM_NEWNEIGH, &ndm, sizeof(ndm));
	msg_attr(msg, NDA_LLADDR, mac, 6);
}

void msg_master(struct mirror *m, bool gone, uint32_t bridge, uint32_t port,
	const struct rte_ether_addr *mac, bool ext)
{
	struct msg msg;

	fdb_start(&msg, gone, port, mac, ext, 0);
	msg_attr(&msg, NDA_MASTER, &bridge, 4);
	msg_feed(m, &msg);
}

void msg_self(struct mirror *m, bool gone, uint32_t vxlan, const struct rte_ether_addr *mac,
	const char *dst, bool ext)
{
	const rte_be32_t addr = inet_addr(dst);
	struct msg msg;

	fdb_start(&msg, gone, vxlan, mac, ext, NTF_SELF);
	msg_attr(&msg, NDA_DST, &addr, 4);
	msg_feed(m, &msg);
}

void msg_nexthop(struct mirror *m, bool gone, uint32_t id, const char *via, uint32_t oif)
{
	const struct nhmsg nhm = {.nh_family = AF_INET};
	const rte_be32_t gw = inet_addr(via);
	struct msg msg;

	msg_start(&msg, gone ? RTM_DELNEXTHOP : RTM_NEWNEXTHOP, &nhm, sizeof(nhm));
	msg_attr(&msg, NHA_ID, &id, 4);
	msg_attr(&msg, NHA_OIF, &oif, 4);
	msg_attr(&msg, NHA_GATEWAY, &gw, 4);
	msg_feed(m, &msg);
}

void msg_route(struct mirror *m, bool gone, uint16_t flags, const char *dst, uint8_t len,
	uint32_t metric, const char *via, uint32_t oif, uint32_t nh_id)
{
	const struct rtmsg rtm = {.rtm_family = AF_INET,
		.rtm_dst_len = len,
		.rtm_table = RT_TABLE_MAIN,
		.rtm_type = RTN_UNICAST};
	const rte_be32_t addr = inet_addr(dst), gw = via ? inet_addr(via) : 0;
	struct msg msg;

	msg_start(&msg, gone ? RTM_DELROUTE : RTM_NEWROUTE, &rtm, sizeof(rtm));
	msg.h.nlmsg_flags = flags;
	msg_attr(&msg, RTA_DST, &addr, 4);
	msg_attr(&msg, RTA_PRIORITY, &metric, 4);
	if (via)
		msg_attr(&msg, RTA_GATEWAY, &gw, 4);
	if (oif)
		msg_attr(&msg, RTA_OIF, &oif, 4);
	if (nh_id)
		msg_attr(&msg, RTA_NH_ID, &nh_id, 4);
	msg_feed(m, &msg);
}
