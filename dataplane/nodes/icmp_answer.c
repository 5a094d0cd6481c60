/* See icmp_answer.h. */
#include "dataplane/nodes/icmp_answer.h"

#include <string.h>

#include <rte_byteorder.h>
#include <rte_ether.h>
#include <rte_ip.h>

#include "dataplane/port/octets.h"

#define IP4_MTU_MIN       68   /* RFC 791 section 3.2 */
#define IP6_MTU_MIN       1280 /* RFC 8200 section 5 */
#define IP4_ANSWER_MAX    576  /* RFC 1812 section 4.3.2.3 */
#define IP6_ANSWER_MAX    1280
#define ICMP_LEN          8
#define HOPS              64
#define TOS_CONTROL       0xc0 /* internetwork control, RFC 1812 section 4.3.2.5 */

#define ICMP4_UNREACHABLE 3
#define ICMP4_FRAG_NEEDED 4
#define ICMP6_TOO_BIG     2
#define ICMP6_ERRORS_END  128 /* types below are errors */
#define ICMP6_REDIRECT    137

#define EXTENSIONS_MAX    8
#define EXT_HOP_BY_HOP    0
#define EXT_ROUTING       43
#define EXT_FRAGMENT      44
#define EXT_DESTINATION   60

/* Errors, and what is unassigned, are not answered: only the queries and their replies are. */
static bool icmp4_is_error(uint8_t type)
{
	static const uint8_t queries[] = {0, 8, 9, 10, 13, 14, 15, 16, 17, 18, 42, 43};

	return memchr(queries, type, sizeof(queries)) == NULL;
}

/* Does the address name one host that may be answered? (RFC 1812 section 4.3.2.7) */
static bool ip4_is_host(const uint8_t a[4])
{
	return a[0] != 0 && a[0] != 127 && a[0] < 224;
}

static bool ip4_due(const uint8_t *ip, uint32_t have, uint32_t len, struct icmp_answer *a)
{
	uint32_t ihl, total;

	if (have < sizeof(struct rte_ipv4_hdr) || ip[0] >> 4 != 4)
		return false;
	ihl = (ip[0] & 0xfU) * 4;
	total = get16(ip + 2);
	if (ihl < sizeof(struct rte_ipv4_hdr) || have < ihl || total < ihl || total > len ||
		total <= a->mtu || a->mtu < IP4_MTU_MIN || rte_raw_cksum(ip, ihl) != 0xffff)
		return false;
	/* DF is not asked for: on this way nobody fragments. Later fragments have no ports to tell
	 */
	if ((get16(ip + 6) & RTE_IPV4_HDR_OFFSET_MASK) != 0)
		return false;
	if (!ip4_is_host(ip + 12) || !ip4_is_host(ip + 16))
		return false;
	if (ip[9] == IPPROTO_ICMP && (have <= ihl || icmp4_is_error(ip[ihl])))
		return false;
	a->quote = (uint16_t)RTE_MIN(
		total, (uint32_t)(IP4_ANSWER_MAX - sizeof(struct rte_ipv4_hdr) - ICMP_LEN));
	a->v6 = false;
	return true;
}

static bool ip6_is_host(const uint8_t a[16])
{
	static const uint8_t unspecified[16];
	static const uint8_t loopback[16] = {[15] = 1};

	return a[0] != 0xff && memcmp(a, unspecified, 16) != 0 && memcmp(a, loopback, 16) != 0;
}

/* Find what the packet carries. False: nothing that may be answered. */
static bool ip6_payload_ok(const uint8_t *ip, uint32_t have)
{
	uint32_t at = sizeof(struct rte_ipv6_hdr), next_at;
	uint8_t next = ip[6];

	for (unsigned int i = 0; i < EXTENSIONS_MAX; i++) {
		if (next == IPPROTO_ICMPV6)
			return have > at && ip[at] >= ICMP6_ERRORS_END && ip[at] != ICMP6_REDIRECT;
		if (next != EXT_HOP_BY_HOP && next != EXT_ROUTING && next != EXT_FRAGMENT &&
			next != EXT_DESTINATION)
			return true;
		if (have < at + 8)
			return false;
		if (next == EXT_FRAGMENT && (get16(ip + at + 2) & 0xfff8) != 0)
			return false;
		next_at = at + (next == EXT_FRAGMENT ? 8U : (ip[at + 1] + 1U) * 8);
		next = ip[at];
		at = next_at;
	}
	return false;
}

static bool ip6_due(const uint8_t *ip, uint32_t have, uint32_t len, struct icmp_answer *a)
{
	uint32_t total;

	if (have < sizeof(struct rte_ipv6_hdr) || ip[0] >> 4 != 6)
		return false;
	total = (uint32_t)sizeof(struct rte_ipv6_hdr) + get16(ip + 4);
	/* a host would not go below the minimum (RFC 8201 section 4), nor be helped by it */
	if (total > len || total <= a->mtu || a->mtu < IP6_MTU_MIN)
		return false;
	if (!ip6_is_host(ip + 8) || !ip6_is_host(ip + 24) || !ip6_payload_ok(ip, have))
		return false;
	a->quote = (uint16_t)RTE_MIN(
		total, (uint32_t)(IP6_ANSWER_MAX - sizeof(struct rte_ipv6_hdr) - ICMP_LEN));
	a->v6 = true;
	return true;
}

bool icmp_too_big_due(
	const uint8_t *frame, uint32_t have, uint32_t len, uint32_t limit, struct icmp_answer *a)
{
	uint32_t l3 = RTE_ETHER_HDR_LEN;
	uint16_t type = get16(frame + 12);

	if ((frame[0] & 1) != 0 || (frame[6] & 1) != 0)
		return false;
	for (unsigned int tags = 0; type == RTE_ETHER_TYPE_VLAN || type == RTE_ETHER_TYPE_QINQ;
		tags++) {
		l3 += RTE_VLAN_HLEN;
		if (tags == 2 || have < l3)
			return false;
		type = get16(frame + l3 - 2);
	}
	if (limit <= l3 || len <= l3)
		return false;
	a->l3 = (uint16_t)l3;
	a->mtu = (uint16_t)RTE_MIN(limit - l3, (uint32_t)UINT16_MAX);
	if (type == RTE_ETHER_TYPE_IPV4)
		return ip4_due(frame + l3, have - l3, len - l3, a);
	return type == RTE_ETHER_TYPE_IPV6 && ip6_due(frame + l3, have - l3, len - l3, a);
}

uint16_t icmp_too_big_len(const struct icmp_answer *a)
{
	const size_t ip = a->v6 ? sizeof(struct rte_ipv6_hdr) : sizeof(struct rte_ipv4_hdr);

	return (uint16_t)(a->l3 + ip + ICMP_LEN + a->quote);
}

static void ip4_write(const struct icmp_answer *a, const uint8_t *ip, uint8_t *to)
{
	uint8_t *icmp = to + sizeof(struct rte_ipv4_hdr);

	memset(to, 0, sizeof(struct rte_ipv4_hdr) + ICMP_LEN);
	to[0] = RTE_IPV4_VHL_DEF;
	to[1] = TOS_CONTROL;
	put16(to + 2, (uint32_t)(sizeof(struct rte_ipv4_hdr) + ICMP_LEN) + a->quote);
	put16(to + 6, RTE_IPV4_HDR_DF_FLAG); /* so the identification may be 0, RFC 6864 */
	to[8] = HOPS;
	to[9] = IPPROTO_ICMP;
	memcpy(to + 12, ip + 16, 4);
	memcpy(to + 16, ip + 12, 4);
	sum_store(to + 10, sum_add(0, to, sizeof(struct rte_ipv4_hdr)), false);
	icmp[0] = ICMP4_UNREACHABLE;
	icmp[1] = ICMP4_FRAG_NEEDED;
	put16(icmp + 6, a->mtu);
	memcpy(icmp + ICMP_LEN, ip, a->quote);
	sum_store(icmp + 2, sum_add(0, icmp, (size_t)ICMP_LEN + a->quote), false);
}

static void ip6_write(const struct icmp_answer *a, const uint8_t *ip, uint8_t *to)
{
	uint8_t *icmp = to + sizeof(struct rte_ipv6_hdr);
	uint64_t sum;

	memset(to, 0, sizeof(struct rte_ipv6_hdr) + ICMP_LEN);
	to[0] = 0x60;
	put16(to + 4, (uint32_t)ICMP_LEN + a->quote);
	to[6] = IPPROTO_ICMPV6;
	to[7] = HOPS;
	memcpy(to + 8, ip + 24, 16);
	memcpy(to + 24, ip + 8, 16);
	icmp[0] = ICMP6_TOO_BIG;
	put16(icmp + 6, a->mtu);
	memcpy(icmp + ICMP_LEN, ip, a->quote);
	/* the pseudo header, then the message (RFC 4443 section 2.3) */
	sum = sum_pseudo(to, true, IPPROTO_ICMPV6, (uint32_t)ICMP_LEN + a->quote);
	sum_store(icmp + 2, sum_add(sum, icmp, (size_t)ICMP_LEN + a->quote), false);
}

void icmp_too_big_write(const struct icmp_answer *a, const uint8_t *frame, uint8_t *to)
{
	memcpy(to, frame + 6, 6);
	memcpy(to + 6, frame, 6);
	memcpy(to + 12, frame + 12, a->l3 - 12U);
	if (a->v6)
		ip6_write(a, frame + a->l3, to + a->l3);
	else
		ip4_write(a, frame + a->l3, to + a->l3);
}
