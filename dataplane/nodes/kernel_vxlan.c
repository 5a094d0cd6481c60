/* See kernel_vxlan.h. */
#include "dataplane/nodes/kernel_vxlan.h"

#include <netinet/in.h>
#include <string.h>

#include <rte_ether.h>
#include <rte_ip.h>

#include "dataplane/nodes/flow.h"
#include "dataplane/port/octets.h"
#include "dataplane/tables/vtep.h"

#define REMEMBER_S   2
#define EXT_FRAGMENT 44
#define FRAG6_HLEN   8
#define FRAG6_OFFSET 0xfff8
#define FRAG6_MORE   1

/* Where UDP begins, whether this is a fragment, and of what. */
struct udp_at {
	uint32_t l4;
	bool first, more;
	uint64_t key;
};

static uint64_t packet_key(const uint8_t *addresses, unsigned int n, uint32_t id)
{
	uint64_t key = id | 1ULL << 32;

	for (unsigned int i = 0; i < n; i += 8) {
		key = (key ^ flow_load64(addresses + i)) * 0x9e3779b97f4a7c15ULL;
		key ^= key >> 29;
	}
	return key | 1;
}

static bool ip4_udp(const uint8_t *ip, uint32_t len, struct udp_at *u)
{
	if (len < sizeof(struct rte_ipv4_hdr) || ip[9] != IPPROTO_UDP)
		return false;
	u->l4 = (ip[0] & 0xfU) * 4;
	u->first = (get16(ip + 6) & RTE_IPV4_HDR_OFFSET_MASK) == 0;
	u->more = (get16(ip + 6) & RTE_IPV4_HDR_MF_FLAG) != 0;
	u->key = packet_key(ip + 12, 8, get16(ip + 4));
	return true;
}

static bool ip6_udp(const uint8_t *ip, uint32_t len, struct udp_at *u)
{
	const uint8_t *frag = ip + sizeof(struct rte_ipv6_hdr);

	u->l4 = sizeof(struct rte_ipv6_hdr);
	u->first = true;
	u->more = false;
	if (len < u->l4)
		return false;
	if (ip[6] == EXT_FRAGMENT && len >= u->l4 + FRAG6_HLEN) {
		u->l4 += FRAG6_HLEN;
		u->first = (get16(frag + 2) & FRAG6_OFFSET) == 0;
		u->more = (get16(frag + 2) & FRAG6_MORE) != 0;
		u->key = packet_key(ip + 8, 32, flow_load32(frag + 4));
		return frag[0] == IPPROTO_UDP;
	}
	return ip[6] == IPPROTO_UDP;
}

bool kernel_vxlan(struct kernel_fragmented *seen, const uint8_t *frame, uint32_t len, uint32_t now)
{
	uint32_t l3 = RTE_ETHER_HDR_LEN;
	struct kernel_fragmented *slot;
	struct udp_at u = {0};
	uint16_t type;

	if (len < l3)
		return false;
	type = get16(frame + 12);
	while ((type == RTE_ETHER_TYPE_VLAN || type == RTE_ETHER_TYPE_QINQ) &&
		l3 < RTE_ETHER_HDR_LEN + 2 * RTE_VLAN_HLEN && len >= l3 + RTE_VLAN_HLEN) {
		l3 += RTE_VLAN_HLEN;
		type = get16(frame + l3 - 2);
	}
	if (!(type == RTE_ETHER_TYPE_IPV4         ? ip4_udp(frame + l3, len - l3, &u)
		    : type == RTE_ETHER_TYPE_IPV6 ? ip6_udp(frame + l3, len - l3, &u)
						  : false))
		return false;
	slot = &seen[u.key >> 32 & (KERNEL_FRAGMENTED - 1)];
	if (!u.first)
		return slot->key == u.key && (int32_t)(slot->until - now) >= 0;
	if (len < l3 + u.l4 + 4 || get16(frame + l3 + u.l4 + 2) != VXLAN_PORT)
		return false;
	if (u.more)
		*slot = (struct kernel_fragmented){.key = u.key, .until = now + REMEMBER_S};
	return true;
}
