/*
 * Flow hashes: one for tenants' frames (it becomes the outer UDP source port and picks the leg of
 * an ECMP group, RFC 7348 section 5), one for IPv4 packets in transit.
 *
 * Invariant: all fragments of a packet hash alike (ports are left out for any fragment, the first
 * too), and a packet shorter than its headers claim is hashed over what is there.
 */
#pragma once

#include <stdint.h>
#include <string.h>

#include <rte_byteorder.h>
#include <rte_common.h>
#include <rte_ether.h>
#include <rte_hash_crc.h>
#include <rte_ip.h>

static inline uint32_t flow_mix64(uint64_t v, uint32_t seed)
{
#if defined(__SSE4_2__)
	return (uint32_t)__builtin_ia32_crc32di(seed, v);
#else
	return rte_hash_crc_8byte(v, seed);
#endif
}

static inline uint64_t flow_load64(const void *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint32_t flow_load32(const void *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* TCP, UDP, DCCP, SCTP and UDP-Lite begin with two 16-bit ports. */
static inline bool flow_has_ports(uint8_t proto)
{
	return proto == IPPROTO_TCP || proto == IPPROTO_UDP || proto == IPPROTO_SCTP ||
	       proto == IPPROTO_DCCP || proto == IPPROTO_UDPLITE;
}

/*
 * Hash of the IPv4 packet at `ip`, of which `len` octets are readable (at least 20): addresses,
 * protocol, and ports where whole.
 */
static inline uint32_t flow_hash_ip4(const struct rte_ipv4_hdr *ip, uint32_t len)
{
	uint64_t rest = ip->next_proto_id;
	const uint32_t ihl = (uint32_t)(ip->version_ihl & 0xf) * 4;
	const rte_be16_t frag = rte_cpu_to_be_16(RTE_IPV4_HDR_MF_FLAG | RTE_IPV4_HDR_OFFSET_MASK);

	if (likely((ip->fragment_offset & frag) == 0 && flow_has_ports(ip->next_proto_id) &&
		    ihl + 4 <= len))
		rest |= (uint64_t)flow_load32((const uint8_t *)ip + ihl) << 32;
	return flow_mix64(rest, flow_mix64(flow_load64(&ip->src_addr), 0x9e3779b9));
}

/*
 * What an IPv6 packet of `len` readable octets (at least 40) at `ip` carries behind extension
 * headers (RFC 8200 section 4): protocol, and ports << 32 where whole. A fragment, the first too,
 * gives the protocol alone.
 */
uint64_t flow_ip6_behind(const uint8_t *ip, uint32_t len);

/* Hash of the IPv6 packet at `ip`, of which `len` octets are readable (at least 40). */
static inline uint32_t flow_hash_ip6(const uint8_t *ip, uint32_t len)
{
	uint64_t rest = ip[6];
	uint32_t h = 0x9e3779b9;

	if (likely(flow_has_ports(ip[6]))) {
		if (len >= 44)
			rest |= (uint64_t)flow_load32(ip + 40) << 32;
	} else if (ip[6] != IPPROTO_ICMPV6) {
		rest = flow_ip6_behind(ip, len);
	}
	h = flow_mix64(flow_load64(ip + 8), h);
	h = flow_mix64(flow_load64(ip + 16), h);
	h = flow_mix64(flow_load64(ip + 24), h);
	h = flow_mix64(flow_load64(ip + 32), h);
	return flow_mix64(rest, h);
}

/*
 * Hash of the Ethernet frame at `frame`, of which `len` octets are readable (at least 14): the IP
 * flow where it is IPv4 or IPv6, under at most two VLAN tags, else both MACs.
 */
static inline uint32_t flow_hash_ether(const uint8_t *frame, uint32_t len)
{
	uint32_t off = 14;
	rte_be16_t type;

	memcpy(&type, frame + 12, sizeof(type));
	while (unlikely(type == rte_cpu_to_be_16(RTE_ETHER_TYPE_VLAN) ||
			type == rte_cpu_to_be_16(RTE_ETHER_TYPE_QINQ)) &&
		off < 22 && len >= off + 4) {
		off += 4;
		memcpy(&type, frame + off - 2, sizeof(type));
	}
	if (likely(type == rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4) && len >= off + 20))
		return flow_hash_ip4((const struct rte_ipv4_hdr *)(frame + off), len - off);
	if (type == rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV6) && len >= off + 40)
		return flow_hash_ip6(frame + off, len - off);
	return flow_mix64(flow_load32(frame + 8), flow_mix64(flow_load64(frame), 0x9e3779b9));
}

/*
 * The outer UDP source port of a flow, in host order: 49152 to 65535 (RFC 7348 section 5). The low
 * bits of the hash choose the leg of a group; the port takes the high ones, mixed first: a CRC is
 * linear, and 14 of its bits alone may use but half of the ports for addresses that count up.
 */
static inline uint16_t flow_source_port(uint32_t hash)
{
	return (uint16_t)(0xc000 | (hash * 0x9e3779b1u) >> 18);
}
