/*
 * Mutator of sequences of netlink messages: links with their kinds, FDB entries, neighbours,
 * addresses, routes, next hops of a small world, so that they refer to each other; or a message
 * with one attribute changed and its lengths right.
 */
#include "tests/fuzz/records.h"

#include <string.h>

#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/nexthop.h>
#include <linux/rtnetlink.h>

struct writer {
	uint8_t *out;
	size_t len, max;
};

static void put(struct writer *w, const void *data, size_t len)
{
	if (len == 0 || w->len + len > w->max)
		return;
	memcpy(w->out + w->len, data, len);
	w->len += len;
}

static size_t attr(struct writer *w, uint16_t type, const void *data, size_t len)
{
	static const uint8_t zero[4];
	const struct nlattr a = {.nla_type = type, .nla_len = (uint16_t)(NLA_HDRLEN + len)};
	const size_t at = w->len;

	put(w, &a, sizeof(a));
	put(w, data, len);
	put(w, zero, NLA_ALIGN(len) - len);
	return at;
}

static void attr32(struct writer *w, uint16_t type, uint32_t v)
{
	attr(w, type, &v, sizeof(v));
}

/* A nested attribute that began at `at` ends here. */
static void attr_end(struct writer *w, size_t at)
{
	const uint16_t len = (uint16_t)(w->len - at);

	if (at + sizeof(len) <= w->len)
		memcpy(w->out + at, &len, sizeof(len));
}

static uint32_t ifindex(uint64_t *dice)
{
	return 1 + records_roll(dice, 12);
}

/* 10.0.0.0/8 with few different octets, network order. */
static uint32_t address(uint64_t *dice)
{
	const uint8_t a[4] = {10, (uint8_t)(254 * records_roll(dice, 2)),
		(uint8_t)records_roll(dice, 4), (uint8_t)records_roll(dice, 4)};
	uint32_t v;

	memcpy(&v, a, sizeof(v));
	return v;
}

static void make_link(uint64_t *dice, struct writer *w)
{
	static const char *const names[] = {
		"up0", "up1", "p1", "p2", "p3", "br1", "br2", "vx1", "vx2", "lo", "x"};
	static const char *const kinds[] = {"tun", "bridge", "vxlan", "vxlan", "vlan", "vrf", ""};
	const char *name = names[records_roll(dice, 11)], *kind = kinds[records_roll(dice, 7)];
	const struct ifinfomsg ifi = {
		.ifi_index = (int)ifindex(dice), .ifi_flags = records_roll(dice, 4) ? IFF_UP : 0};
	const uint8_t mac[6] = {2, 0, 0, 0, 0, (uint8_t)records_roll(dice, 8)}, no = 0;
	const uint16_t port = records_roll(dice, 8) ? 0xb512 : (uint16_t)records_roll(dice, 65536);
	size_t info, data;

	put(w, &ifi, sizeof(ifi));
	attr(w, IFLA_IFNAME, name, strlen(name) + 1);
	attr32(w, IFLA_MTU, 1400 + records_roll(dice, 300));
	attr(w, IFLA_ADDRESS, mac, sizeof(mac));
	if (records_roll(dice, 2))
		attr32(w, IFLA_MASTER, ifindex(dice));
	if (records_roll(dice, 4) == 0)
		attr32(w, IFLA_LINK, ifindex(dice));
	info = attr(w, IFLA_LINKINFO, NULL, 0);
	attr(w, IFLA_INFO_KIND, kind, strlen(kind) + 1);
	if (strcmp(kind, "vxlan") == 0) {
		data = attr(w, IFLA_INFO_DATA, NULL, 0);
		attr32(w, IFLA_VXLAN_ID, 100 + records_roll(dice, 4));
		attr32(w, IFLA_VXLAN_LOCAL, address(dice));
		attr(w, IFLA_VXLAN_PORT, &port, sizeof(port));
		attr(w, IFLA_VXLAN_LEARNING, &no, 1);
		attr_end(w, data);
	} else if (strcmp(kind, "vlan") == 0) {
		const uint16_t id = (uint16_t)records_roll(dice, 5);

		data = attr(w, IFLA_INFO_DATA, NULL, 0);
		attr(w, IFLA_VLAN_ID, &id, sizeof(id));
		attr_end(w, data);
	}
	attr_end(w, info);
}

static void make_neigh(uint64_t *dice, struct writer *w)
{
	const uint8_t mac[6] = {2, 0, 0, 0, 1, (uint8_t)records_roll(dice, 8)}, zero[6] = {0};
	const uint32_t kind = records_roll(dice, 4);
	struct ndmsg nd = {.ndm_ifindex = (int)ifindex(dice),
		.ndm_state = (uint16_t)(1u << records_roll(dice, 8)),
		.ndm_family = kind == 3 ? AF_INET : AF_BRIDGE};

	if (kind < 3)
		nd.ndm_flags = (uint8_t)((kind == 2 ? NTF_MASTER : NTF_SELF) |
					 (records_roll(dice, 4) ? NTF_EXT_LEARNED : 0));
	put(w, &nd, sizeof(nd));
	attr(w, NDA_LLADDR, kind == 0 ? zero : mac, 6);
	if (kind != 2)
		attr32(w, NDA_DST, address(dice));
	else
		attr32(w, NDA_MASTER, ifindex(dice));
}

static void make_address(uint64_t *dice, struct writer *w)
{
	const struct ifaddrmsg ifa = {.ifa_family = AF_INET,
		.ifa_prefixlen = (uint8_t)records_roll(dice, 33),
		.ifa_index = ifindex(dice)};
	const uint32_t a = address(dice);

	put(w, &ifa, sizeof(ifa));
	attr32(w, IFA_LOCAL, a);
	attr32(w, IFA_ADDRESS, a);
}

static void make_route(uint64_t *dice, struct writer *w)
{
	static const uint8_t lens[] = {32, 32, 32, 24, 16, 8, 0, 31};
	static const uint8_t types[] = {RTN_UNICAST, RTN_UNICAST, RTN_UNICAST, RTN_LOCAL,
		RTN_BLACKHOLE, RTN_UNREACHABLE, RTN_PROHIBIT, RTN_THROW};
	const uint8_t len = lens[records_roll(dice, 8)];
	struct rtmsg rt = {.rtm_family = AF_INET,
		.rtm_dst_len = len,
		.rtm_table = records_roll(dice, 3) ? RT_TABLE_MAIN : RT_TABLE_LOCAL,
		.rtm_type = types[records_roll(dice, 8)]};
	const uint32_t legs = records_roll(dice, 4);
	uint32_t dst = __builtin_bswap32(address(dice));
	size_t at;

	dst = len == 0 ? 0 : __builtin_bswap32(dst & 0xffffffffu << (32 - len));
	put(w, &rt, sizeof(rt));
	if (len > 0)
		attr32(w, RTA_DST, dst);
	attr32(w, RTA_PRIORITY, records_roll(dice, 3));
	if (records_roll(dice, 4) == 0) {
		attr32(w, RTA_NH_ID, 1 + records_roll(dice, 6));
		return;
	}
	if (legs < 2) {
		attr32(w, RTA_OIF, ifindex(dice));
		if (legs == 1)
			attr32(w, RTA_GATEWAY, address(dice));
		return;
	}
	at = attr(w, RTA_MULTIPATH, NULL, 0);
	for (uint32_t i = 0; i < legs; i++) {
		const struct rtnexthop hop = {.rtnh_len = sizeof(hop) + 8,
			.rtnh_hops = (uint8_t)records_roll(dice, 4),
			.rtnh_flags = (uint8_t)records_roll(dice, 2),
			.rtnh_ifindex = (int)ifindex(dice)};

		put(w, &hop, sizeof(hop));
		attr32(w, RTA_GATEWAY, address(dice));
	}
	attr_end(w, at);
}

static void make_nexthop(uint64_t *dice, struct writer *w)
{
	const struct nhmsg nh = {.nh_family = AF_INET};
	struct nexthop_grp group[4] = {{0}};

	put(w, &nh, sizeof(nh));
	attr32(w, NHA_ID, 1 + records_roll(dice, 6));
	if (records_roll(dice, 2)) {
		const uint32_t n = 1 + records_roll(dice, 4);

		for (uint32_t i = 0; i < n; i++) {
			group[i].id = 1 + records_roll(dice, 6);
			group[i].weight = (uint8_t)records_roll(dice, 256);
		}
		attr(w, NHA_GROUP, group, n * sizeof(group[0]));
		return;
	}
	attr32(w, NHA_OIF, ifindex(dice));
	if (records_roll(dice, 8))
		attr32(w, NHA_GATEWAY, address(dice));
	else
		attr(w, NHA_BLACKHOLE, NULL, 0);
}

static void make_message(uint64_t *dice, struct writer *w)
{
	static void (*const make[])(uint64_t *, struct writer *) = {
		make_link, make_neigh, make_neigh, make_address, make_route, make_nexthop};
	static const uint16_t types[] = {
		RTM_NEWLINK, RTM_NEWNEIGH, RTM_NEWNEIGH, RTM_NEWADDR, RTM_NEWROUTE, RTM_NEWNEXTHOP};
	const uint32_t which = records_roll(dice, 6);
	struct nlmsghdr h = {0};
	const size_t at = w->len;

	put(w, &h, sizeof(h));
	make[which](dice, w);
	h.nlmsg_type = (uint16_t)(types[which] + (records_roll(dice, 4) == 0));
	h.nlmsg_flags = records_roll(dice, 4) == 0 ? NLM_F_REPLACE : 0;
	h.nlmsg_len = (uint32_t)(w->len - at);
	if (at + sizeof(h) <= w->len)
		memcpy(w->out + at, &h, sizeof(h));
}

static size_t make(uint64_t *dice, const struct record *old, uint8_t *op, uint8_t *out, size_t max)
{
	struct writer w = {.out = out, .max = max};

	if (old != NULL && old->len >= sizeof(struct nlmsghdr) && old->len < max / 2) {
		uint32_t len;

		/* as it was but for its inside */
		memcpy(out, old->data, old->len);
		len = (uint32_t)(sizeof(struct nlmsghdr) +
				 LLVMFuzzerMutate(out + sizeof(struct nlmsghdr),
					 old->len - sizeof(struct nlmsghdr),
					 max - sizeof(struct nlmsghdr)));
		if (records_roll(dice, 4))
			memcpy(out, &len, sizeof(len));
		return len;
	}
	*op = records_roll(dice, 8) ? 0 : (uint8_t)records_roll(dice, 256);
	for (uint32_t n = 1 + records_roll(dice, 3); n > 0; n--)
		make_message(dice, &w);
	return w.len;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
	return records_mutate(data, size, max_size, seed, make);
}
