/* The site's kernel as netlink messages; see kernel.h. */
#include "tests/packet/kernel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <arpa/inet.h>
#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/nexthop.h>
#include <linux/rtnetlink.h>

#include <cmocka.h>

#define BUF_SIZE 4096

struct message {
	union {
		struct nlmsghdr head;
		uint8_t bytes[BUF_SIZE];
	};
};

static void *message_begin(struct message *m, uint16_t type, size_t body)
{
	memset(m, 0, sizeof(*m));
	m->head.nlmsg_len = (uint32_t)(NLMSG_HDRLEN + NLMSG_ALIGN(body));
	m->head.nlmsg_type = type;
	return m->bytes + NLMSG_HDRLEN;
}

static struct rtattr *attr_put(struct message *m, unsigned short type, const void *data, size_t len)
{
	struct rtattr *a = (struct rtattr *)(m->bytes + m->head.nlmsg_len);

	assert_true(m->head.nlmsg_len + RTA_SPACE(len) <= BUF_SIZE);
	a->rta_type = type;
	a->rta_len = (unsigned short)RTA_LENGTH(len);
	if (len > 0)
		memcpy(RTA_DATA(a), data, len);
	m->head.nlmsg_len += (uint32_t)RTA_SPACE(len);
	return a;
}

static void attr_put32(struct message *m, unsigned short type, uint32_t v)
{
	attr_put(m, type, &v, sizeof(v));
}

static void attr_put_addr(struct message *m, unsigned short type, uint32_t addr)
{
	attr_put32(m, type, htonl(addr));
}

static void attr_end(struct message *m, struct rtattr *nest)
{
	nest->rta_len = (unsigned short)(m->bytes + m->head.nlmsg_len - (uint8_t *)nest);
}

static void message_feed(struct rig *rig, struct message *m)
{
	assert_int_equal(mirror_feed(rig->dp->mirror, m, NLMSG_ALIGN(m->head.nlmsg_len)), 0);
	mirror_settle(rig->dp->mirror);
}

static void link_put(struct message *m, uint16_t type, int ifindex, const char *name,
	const uint8_t mac[6], bool up, uint32_t mtu, int master)
{
	struct ifinfomsg *ifi = message_begin(m, type, sizeof(*ifi));

	ifi->ifi_type = ARPHRD_ETHER;
	ifi->ifi_index = ifindex;
	ifi->ifi_flags = IFF_BROADCAST | IFF_MULTICAST;
	ifi->ifi_change = 0xffffffff;
	if (up)
		ifi->ifi_flags |= IFF_UP | IFF_RUNNING | IFF_LOWER_UP;
	attr_put(m, IFLA_IFNAME, name, strlen(name) + 1);
	attr_put32(m, IFLA_MTU, mtu);
	attr_put(m, IFLA_ADDRESS, mac, 6);
	if (master != 0)
		attr_put32(m, IFLA_MASTER, (uint32_t)master);
}

static void kind_put(struct message *m, const char *kind)
{
	struct rtattr *info = attr_put(m, IFLA_LINKINFO | NLA_F_NESTED, NULL, 0);

	attr_put(m, IFLA_INFO_KIND, kind, strlen(kind) + 1);
	attr_end(m, info);
}

void kernel_tap(struct rig *rig, unsigned int port, bool up, int master)
{
	const struct port *p = rig->dp->ports[port];
	struct message m;

	link_put(&m, RTM_NEWLINK, KERNEL_TAP((int)port), p->spec.tap, rig_mac(port), up, p->mtu,
		master);
	kind_put(&m, "tun");
	message_feed(rig, &m);
}

static void bridge_put(struct message *m, uint16_t type, uint32_t vni)
{
	char name[16];

	snprintf(name, sizeof(name), "br%u", vni);
	link_put(m, type, KERNEL_BRIDGE(vni), name, MAC(0xcc, 0), true, 1500, 0);
	kind_put(m, "bridge");
}

static void vxlan_put(struct message *m, uint16_t type, uint32_t vni, uint32_t local)
{
	const uint16_t port = htons(4789);
	const uint8_t learning = 0;
	struct rtattr *info, *data;
	char name[16];

	snprintf(name, sizeof(name), "vx%u", vni);
	link_put(m, type, KERNEL_VXLAN(vni), name, MAC(0xcc, 1), true, 1500, KERNEL_BRIDGE(vni));
	info = attr_put(m, IFLA_LINKINFO | NLA_F_NESTED, NULL, 0);
	attr_put(m, IFLA_INFO_KIND, "vxlan", sizeof("vxlan"));
	data = attr_put(m, IFLA_INFO_DATA | NLA_F_NESTED, NULL, 0);
	attr_put32(m, IFLA_VXLAN_ID, vni);
	attr_put_addr(m, IFLA_VXLAN_LOCAL, local);
	attr_put(m, IFLA_VXLAN_LEARNING, &learning, sizeof(learning));
	attr_put(m, IFLA_VXLAN_PORT, &port, sizeof(port));
	attr_end(m, data);
	attr_end(m, info);
}

void kernel_segment(struct rig *rig, uint32_t vni, uint32_t local)
{
	struct message m;

	bridge_put(&m, RTM_NEWLINK, vni);
	message_feed(rig, &m);
	vxlan_put(&m, RTM_NEWLINK, vni, local);
	message_feed(rig, &m);
}

void kernel_segment_del(struct rig *rig, uint32_t vni)
{
	struct message m;

	vxlan_put(&m, RTM_DELLINK, vni, SITE_LOCAL);
	message_feed(rig, &m);
	bridge_put(&m, RTM_DELLINK, vni);
	message_feed(rig, &m);
}

static void vlan_put(struct message *m, uint16_t type, int ifindex, const struct kernel_vlan *v)
{
	const uint16_t tpid = htons(v->tpid);
	struct rtattr *info, *data;
	char name[16];

	snprintf(name, sizeof(name), "v%d", ifindex);
	link_put(m, type, ifindex, name, MAC(0xcc, 2), !v->down, 1500, v->master);
	attr_put32(m, IFLA_LINK, (uint32_t)v->lower);
	info = attr_put(m, IFLA_LINKINFO | NLA_F_NESTED, NULL, 0);
	attr_put(m, IFLA_INFO_KIND, "vlan", sizeof("vlan"));
	data = attr_put(m, IFLA_INFO_DATA | NLA_F_NESTED, NULL, 0);
	attr_put(m, IFLA_VLAN_ID, &v->vid, sizeof(v->vid));
	attr_put(m, IFLA_VLAN_PROTOCOL, &tpid, sizeof(tpid));
	attr_end(m, data);
	attr_end(m, info);
}

void kernel_vlan(struct rig *rig, int ifindex, const struct kernel_vlan *vlan)
{
	struct message m;

	vlan_put(&m, RTM_NEWLINK, ifindex, vlan);
	message_feed(rig, &m);
}

void kernel_vlan_del(struct rig *rig, int ifindex)
{
	const struct kernel_vlan any = {.vid = 1, .tpid = 0x8100};
	struct message m;

	vlan_put(&m, RTM_DELLINK, ifindex, &any);
	message_feed(rig, &m);
}

void kernel_attach(struct rig *rig, unsigned int port, uint32_t vni)
{
	kernel_tap(rig, port, true, KERNEL_BRIDGE(vni));
}

static void fdb_feed(struct rig *rig, uint16_t type, int ifindex, int master, uint8_t flags,
	const uint8_t mac[6], uint32_t dst)
{
	struct message m;
	struct ndmsg *nd = message_begin(&m, type, sizeof(*nd));

	nd->ndm_family = AF_BRIDGE;
	nd->ndm_ifindex = ifindex;
	nd->ndm_state = NUD_NOARP;
	nd->ndm_flags = flags;
	attr_put(&m, NDA_LLADDR, mac, 6);
	if (dst != 0)
		attr_put_addr(&m, NDA_DST, dst);
	if (master != 0)
		attr_put32(&m, NDA_MASTER, (uint32_t)master);
	message_feed(rig, &m);
}

static const uint8_t zero_mac[6];

void kernel_flood(struct rig *rig, uint32_t vni, uint32_t vtep)
{
	fdb_feed(rig, RTM_NEWNEIGH, KERNEL_VXLAN(vni), 0, NTF_SELF | NTF_EXT_LEARNED, zero_mac,
		vtep);
}

void kernel_flood_del(struct rig *rig, uint32_t vni, uint32_t vtep)
{
	fdb_feed(rig, RTM_DELNEIGH, KERNEL_VXLAN(vni), 0, NTF_SELF | NTF_EXT_LEARNED, zero_mac,
		vtep);
}

void kernel_mac_remote(struct rig *rig, uint32_t vni, const uint8_t mac[6], uint32_t vtep)
{
	fdb_feed(rig, RTM_NEWNEIGH, KERNEL_VXLAN(vni), 0, NTF_SELF | NTF_EXT_LEARNED, mac, vtep);
	fdb_feed(rig, RTM_NEWNEIGH, KERNEL_VXLAN(vni), KERNEL_BRIDGE(vni),
		NTF_MASTER | NTF_EXT_LEARNED, mac, 0);
}

void kernel_mac_remote_del(struct rig *rig, uint32_t vni, const uint8_t mac[6], uint32_t vtep)
{
	fdb_feed(rig, RTM_DELNEIGH, KERNEL_VXLAN(vni), KERNEL_BRIDGE(vni),
		NTF_MASTER | NTF_EXT_LEARNED, mac, 0);
	fdb_feed(rig, RTM_DELNEIGH, KERNEL_VXLAN(vni), 0, NTF_SELF | NTF_EXT_LEARNED, mac, vtep);
}

void kernel_mac_local(struct rig *rig, uint32_t vni, const uint8_t mac[6], unsigned int port)
{
	fdb_feed(rig, RTM_NEWNEIGH, KERNEL_TAP((int)port), KERNEL_BRIDGE(vni),
		NTF_MASTER | NTF_EXT_LEARNED, mac, 0);
}

void kernel_mac_at(struct rig *rig, uint32_t vni, const uint8_t mac[6], int ifindex)
{
	fdb_feed(rig, RTM_NEWNEIGH, ifindex, KERNEL_BRIDGE(vni), NTF_MASTER | NTF_EXT_LEARNED, mac,
		0);
}

void kernel_mac_local_del(struct rig *rig, uint32_t vni, const uint8_t mac[6], unsigned int port)
{
	fdb_feed(rig, RTM_DELNEIGH, KERNEL_TAP((int)port), KERNEL_BRIDGE(vni),
		NTF_MASTER | NTF_EXT_LEARNED, mac, 0);
}

void kernel_echo(struct rig *rig)
{
	const struct tables *t = rig->dp->tables;

	for (unsigned int i = 0; i < rig->write_n; i++) {
		const struct learn_write *w = &rig->writes[i];
		const uint16_t port = port_by_ifindex(&t->ports, w->ifindex);
		const struct bd *bd;

		assert_int_not_equal(port, PORT_NONE);
		bd = bd_get(t->bds, ac_bd(&t->acs, port));
		if (bd == NULL)
			continue;
		if (w->op == LEARN_REPLACE)
			kernel_mac_local(rig, bd->vni, w->mac.addr_bytes, port);
		else
			kernel_mac_local_del(rig, bd->vni, w->mac.addr_bytes, port);
	}
	rig->write_n = 0;
}

static struct rtmsg *route_begin(
	struct message *m, uint16_t type, uint32_t addr, uint8_t len, uint8_t table, uint8_t kind)
{
	struct rtmsg *rt = message_begin(m, type, sizeof(*rt));

	rt->rtm_family = AF_INET;
	rt->rtm_dst_len = len;
	rt->rtm_table = table;
	rt->rtm_protocol = table == RT_TABLE_LOCAL ? RTPROT_KERNEL : RTPROT_BGP;
	rt->rtm_scope = kind == RTN_LOCAL ? RT_SCOPE_HOST : RT_SCOPE_UNIVERSE;
	rt->rtm_type = kind;
	attr_put32(m, RTA_TABLE, table);
	if (len > 0)
		attr_put_addr(m, RTA_DST, addr);
	return rt;
}

void kernel_local(struct rig *rig, uint32_t addr)
{
	struct message m;

	route_begin(&m, RTM_NEWROUTE, addr, 32, RT_TABLE_LOCAL, RTN_LOCAL);
	attr_put32(&m, RTA_OIF, 1);
	message_feed(rig, &m);
}

void kernel_route(
	struct rig *rig, uint32_t addr, uint8_t len, const struct kernel_hop hops[], unsigned int n)
{
	struct message m;
	struct rtattr *multipath;

	route_begin(&m, RTM_NEWROUTE, addr, len, RT_TABLE_MAIN, RTN_UNICAST);
	m.head.nlmsg_flags = NLM_F_REPLACE;
	attr_put32(&m, RTA_PRIORITY, 20);
	if (n == 1) {
		attr_put_addr(&m, RTA_GATEWAY, hops[0].via);
		attr_put32(&m, RTA_OIF, KERNEL_TAP(hops[0].port));
		message_feed(rig, &m);
		return;
	}
	multipath = attr_put(&m, RTA_MULTIPATH, NULL, 0);
	for (unsigned int i = 0; i < n; i++) {
		struct rtnexthop *hop = (struct rtnexthop *)(m.bytes + m.head.nlmsg_len);

		hop->rtnh_ifindex = KERNEL_TAP((int)hops[i].port);
		hop->rtnh_hops = hops[i].weight > 0 ? (unsigned char)(hops[i].weight - 1) : 0;
		m.head.nlmsg_len += (uint32_t)sizeof(*hop);
		attr_put_addr(&m, RTA_GATEWAY, hops[i].via);
		hop->rtnh_len = (unsigned short)(m.bytes + m.head.nlmsg_len - (uint8_t *)hop);
	}
	attr_end(&m, multipath);
	message_feed(rig, &m);
}

void kernel_route_type(struct rig *rig, uint32_t addr, uint8_t len, uint8_t type)
{
	struct message m;

	route_begin(&m, RTM_NEWROUTE, addr, len, RT_TABLE_MAIN, type);
	attr_put32(&m, RTA_PRIORITY, 20);
	message_feed(rig, &m);
}

void kernel_route_del(struct rig *rig, uint32_t addr, uint8_t len)
{
	struct message m;

	route_begin(&m, RTM_DELROUTE, addr, len, RT_TABLE_MAIN, RTN_UNICAST);
	attr_put32(&m, RTA_PRIORITY, 20);
	message_feed(rig, &m);
}

void kernel_nexthop(struct rig *rig, uint32_t id, unsigned int port, uint32_t via)
{
	struct message m;
	struct nhmsg *nh = message_begin(&m, RTM_NEWNEXTHOP, sizeof(*nh));

	nh->nh_family = AF_INET;
	nh->nh_protocol = RTPROT_ZEBRA;
	attr_put32(&m, NHA_ID, id);
	attr_put32(&m, NHA_OIF, KERNEL_TAP(port));
	attr_put_addr(&m, NHA_GATEWAY, via);
	message_feed(rig, &m);
}

void kernel_nexthop_group(struct rig *rig, uint32_t id, const uint32_t members[],
	const uint8_t weights[], unsigned int n)
{
	struct message m;
	struct nhmsg *nh = message_begin(&m, RTM_NEWNEXTHOP, sizeof(*nh));
	struct nexthop_grp group[16] = {0};

	assert_true(n <= 16);
	nh->nh_family = AF_UNSPEC;
	nh->nh_protocol = RTPROT_ZEBRA;
	for (unsigned int i = 0; i < n; i++) {
		group[i].id = members[i];
		group[i].weight = (uint8_t)(weights[i] - 1);
	}
	attr_put32(&m, NHA_ID, id);
	attr_put(&m, NHA_GROUP, group, n * sizeof(group[0]));
	message_feed(rig, &m);
}

void kernel_route_nexthop(struct rig *rig, uint32_t addr, uint8_t len, uint32_t id)
{
	struct message m;

	route_begin(&m, RTM_NEWROUTE, addr, len, RT_TABLE_MAIN, RTN_UNICAST);
	m.head.nlmsg_flags = NLM_F_REPLACE;
	attr_put32(&m, RTA_PRIORITY, 20);
	attr_put32(&m, RTA_NH_ID, id);
	message_feed(rig, &m);
}

static void neigh_feed(struct rig *rig, uint16_t type, unsigned int port, uint32_t addr,
	uint16_t state, const uint8_t *mac)
{
	struct message m;
	struct ndmsg *nd = message_begin(&m, type, sizeof(*nd));

	nd->ndm_family = AF_INET;
	nd->ndm_ifindex = KERNEL_TAP((int)port);
	nd->ndm_state = state;
	nd->ndm_type = RTN_UNICAST;
	attr_put_addr(&m, NDA_DST, addr);
	if (mac != NULL)
		attr_put(&m, NDA_LLADDR, mac, 6);
	message_feed(rig, &m);
}

void kernel_neigh(struct rig *rig, unsigned int port, uint32_t addr, const uint8_t *mac)
{
	neigh_feed(rig, RTM_NEWNEIGH, port, addr, mac != NULL ? NUD_REACHABLE : NUD_FAILED, mac);
}

void kernel_neigh_del(struct rig *rig, unsigned int port, uint32_t addr)
{
	neigh_feed(rig, RTM_DELNEIGH, port, addr, NUD_FAILED, NULL);
}

void kernel_site(struct rig *rig)
{
	const struct kernel_hop by0 = {.port = UP0, .via = SITE_HOP0};
	const struct kernel_hop by1 = {.port = UP1, .via = SITE_HOP1};
	const struct kernel_hop both[] = {by0, by1};

	for (unsigned int i = 0; i < RIG_PORTS; i++)
		kernel_tap(rig, i, true, 0);
	kernel_local(rig, SITE_LOCAL);
	kernel_local(rig, SITE_HOP0 - 1);
	kernel_local(rig, SITE_HOP1 - 1);
	kernel_route(rig, SITE_VTEP2, 32, &by0, 1);
	kernel_route(rig, SITE_VTEP3, 32, &by1, 1);
	kernel_route(rig, SITE_VTEP4, 32, both, 2);
	kernel_neigh(rig, UP0, SITE_HOP0, HOP0);
	kernel_neigh(rig, UP1, SITE_HOP1, HOP1);
	kernel_segment(rig, SITE_VNI, SITE_LOCAL);
	kernel_attach(rig, P1, SITE_VNI);
	kernel_attach(rig, P2, SITE_VNI);
	kernel_flood(rig, SITE_VNI, SITE_VTEP2);
	kernel_flood(rig, SITE_VNI, SITE_VTEP3);
	kernel_segment(rig, SITE_VNI2, SITE_LOCAL);
	kernel_attach(rig, P3, SITE_VNI2);
	kernel_flood(rig, SITE_VNI2, SITE_VTEP2);
}

void kernel_site_hosts(struct rig *rig)
{
	kernel_site(rig);
	kernel_mac_local(rig, SITE_VNI, MAC(1, 1), P1);
	kernel_mac_local(rig, SITE_VNI, MAC(1, 2), P2);
	kernel_mac_remote(rig, SITE_VNI, MAC(2, 1), SITE_VTEP2);
}

void expect_encap(struct rig *rig, unsigned int uplink, const uint8_t hop[6], uint32_t vtep,
	uint32_t vni, const struct frame_bytes *inner)
{
	struct frame_bytes got, want;

	assert_true(rig_recv(rig, uplink, &got));
	assert_true(got.len >= 50);
	assert_true(frame_get16(&got, 34) >= 49152);
	frame_encap(
		&want, hop, rig_mac(uplink), SITE_LOCAL, vtep, frame_get16(&got, 34), vni, inner);
	assert_frame(&got, &want);
	assert_int_equal(frame_checksum(got.data + 14, 20), 0);
}

void expect_plain(struct rig *rig, unsigned int port, const struct frame_bytes *want)
{
	struct frame_bytes got;

	assert_true(rig_recv(rig, port, &got));
	assert_frame(&got, want);
}
