/* What control traffic is, and whose; see control.h. */
#include "dataplane/nodes/control.h"

#include <string.h>

#include <rte_ip.h>
#include <rte_tcp.h>
#include <rte_udp.h>

#include "dataplane/port/octets.h"

#define PORT_BGP          179
#define PORT_BFD          3784
#define PORT_BFD_ECHO     3785
#define PORT_BFD_MULTIHOP 4784
#define BFD_LEN           24
#define BFD_TTL           255 /* RFC 5881 section 5, as RFC 5082 */
#define BFD_STATE_INIT    2
#define BGP_MS            240000 /* above the hold time that peers agree on, 180 s by default */
#define BFD_MS            10000
#define LIVE_MIN_MS       20
#define LIVE_MAX_MS       2000

enum kind {
	KIND_OTHER,
	KIND_ARP, /* and neighbour discovery */
	KIND_ICMP,
	KIND_BGP,
	KIND_BFD,
	KIND_BFD_FAR, /* more than one hop */
	KIND_BFD_ECHO,
	KIND_VXLAN,
};

struct parsed {
	enum kind kind;
	uint8_t ttl;
	uint8_t addr_len; /* 0: no IP */
	const uint8_t *src, *dst;
	uint16_t sport, dport;
	uint8_t tcp_flags;
	const uint8_t *bfd; /* BFD_LEN octets, or NULL: cut short */
};

static void parse_l4(struct parsed *p, uint8_t proto, const uint8_t *l4, uint32_t len)
{
	if (len < 4)
		return;
	p->sport = get16(l4);
	p->dport = get16(l4 + 2);
	if (proto == IPPROTO_TCP) {
		if (p->sport == PORT_BGP || p->dport == PORT_BGP)
			p->kind = KIND_BGP;
		p->tcp_flags = len >= sizeof(struct rte_tcp_hdr) ? l4[13] : 0;
		return;
	}
	switch (p->dport) {
	case VXLAN_PORT:
		p->kind = KIND_VXLAN;
		return;
	case PORT_BFD:
		p->kind = KIND_BFD;
		break;
	case PORT_BFD_MULTIHOP:
		p->kind = KIND_BFD_FAR;
		break;
	case PORT_BFD_ECHO:
		p->kind = KIND_BFD_ECHO;
		return;
	default:
		return;
	}
	if (len >= sizeof(struct rte_udp_hdr) + BFD_LEN)
		p->bfd = l4 + sizeof(struct rte_udp_hdr);
}

static void parse_ip4(struct parsed *p, const uint8_t *l3, uint32_t len)
{
	const struct rte_ipv4_hdr *ip = (const struct rte_ipv4_hdr *)l3;
	uint32_t ihl;

	if (len < sizeof(*ip))
		return;
	p->ttl = ip->time_to_live;
	p->src = (const uint8_t *)&ip->src_addr;
	p->dst = (const uint8_t *)&ip->dst_addr;
	p->addr_len = 4;
	if (ip->next_proto_id == IPPROTO_ICMP)
		p->kind = KIND_ICMP;
	ihl = (uint32_t)(ip->version_ihl & 0xf) * 4;
	if ((ip->next_proto_id != IPPROTO_TCP && ip->next_proto_id != IPPROTO_UDP) ||
		(ip->fragment_offset & rte_cpu_to_be_16(RTE_IPV4_HDR_OFFSET_MASK)) != 0 ||
		ihl < sizeof(*ip) || len < ihl)
		return;
	parse_l4(p, ip->next_proto_id, l3 + ihl, len - ihl);
}

static void parse_ip6(struct parsed *p, const uint8_t *l3, uint32_t len)
{
	const struct rte_ipv6_hdr *ip = (const struct rte_ipv6_hdr *)l3;
	const uint8_t *l4 = l3 + sizeof(*ip);

	if (len < sizeof(*ip))
		return;
	len -= (uint32_t)sizeof(*ip);
	p->ttl = ip->hop_limits;
	p->src = l3 + 8;
	p->dst = l3 + 24;
	p->addr_len = 16;
	if (ip->proto == IPPROTO_ICMPV6)
		/* 133..137: router and neighbour discovery, redirect (RFC 4861) */
		p->kind = len >= 1 && l4[0] >= 133 && l4[0] <= 137 ? KIND_ARP : KIND_ICMP;
	else if (ip->proto == IPPROTO_TCP || ip->proto == IPPROTO_UDP)
		parse_l4(p, ip->proto, l4, len);
}

static void parse(struct parsed *p, const struct rte_mbuf *m)
{
	const uint8_t *frame = rte_pktmbuf_mtod(m, const uint8_t *);
	const uint8_t *l3 = frame + RTE_ETHER_HDR_LEN;
	uint32_t len;

	memset(p, 0, sizeof(*p));
	if (m->data_len < RTE_ETHER_HDR_LEN)
		return;
	len = m->data_len - (uint32_t)RTE_ETHER_HDR_LEN;
	switch (get16(frame + 12)) {
	case RTE_ETHER_TYPE_ARP:
		p->kind = KIND_ARP;
		break;
	case RTE_ETHER_TYPE_IPV4:
		parse_ip4(p, l3, len);
		break;
	case RTE_ETHER_TYPE_IPV6:
		parse_ip6(p, l3, len);
		break;
	default:
		break;
	}
}

void control_times_init(struct control_times *t, uint64_t tsc_hz, unsigned int tick_shift)
{
	const uint64_t second = tsc_hz >> tick_shift;

	t->bgp = (uint32_t)(second * BGP_MS / 1000);
	t->bfd = (uint32_t)(second * BFD_MS / 1000);
	t->per_ms16 = (uint32_t)(second * 16 / 1000);
}

static uint64_t bgp_key(const struct guard *g, const struct parsed *p, bool sent)
{
	return sent ? guard_key(g, GUARD_BGP, p->src, p->dst, p->addr_len,
			      (uint64_t)p->sport << 16 | p->dport)
		    : guard_key(g, GUARD_BGP, p->dst, p->src, p->addr_len,
			      (uint64_t)p->dport << 16 | p->sport);
}

/* The sender's MAC on this port. */
static uint64_t mac_key(const struct guard *g, const struct rte_mbuf *m, uint16_t port)
{
	const uint8_t *mac = rte_pktmbuf_mtod(m, const uint8_t *) + 6;

	return guard_key(g, GUARD_MAC, NULL, NULL, 0,
		(uint64_t)port << 48 | (uint64_t)get16(mac) << 32 | get32(mac + 2));
}

/* Is the source a next hop that forwarding knows on this port, or a VTEP of ours? */
static bool source_known(struct tables *t, const struct parsed *p, uint16_t port)
{
	rte_be32_t src, dst;

	if (guard_is_neighbour(&t->guard, port, p->src, p->addr_len))
		return true;
	if (p->addr_len == 16)
		return p->src[0] == 0xfe && (p->src[1] & 0xc0) == 0x80; /* of this link */
	memcpy(&src, p->src, sizeof(src));
	memcpy(&dst, p->dst, sizeof(dst));
	return vtep_lookup(&t->vteps, dst, src) != VTEP_NONE;
}

/*
 * For how long after a packet of a live session one without a discriminator is not believed: three
 * quarters of the time in which the session would be found dead, so that a peer that has begun anew
 * is heard about when that is noticed anyway.
 */
static uint32_t live_hold(const struct control_times *times, const uint8_t *bfd)
{
	uint64_t ms = (uint64_t)bfd[2] * get32(bfd + 12) / 1000 * 3 / 4;

	ms = RTE_MIN(RTE_MAX(ms, LIVE_MIN_MS), LIVE_MAX_MS);
	return (uint32_t)(ms * times->per_ms16 / 16);
}

static enum punt_class class_of_bfd(struct tables *t, const struct control_times *times,
	const struct rte_mbuf *m, const struct parsed *p, uint16_t port, uint32_t now,
	enum drop_reason *reason)
{
	struct guard *g = &t->guard;
	uint64_t live;

	if (p->kind == KIND_BFD && p->ttl != BFD_TTL) {
		*reason = DROP_BFD_TTL;
		return PUNT_BFD_NEW;
	}
	/* version 1, whole, with a multiplier and a discriminator of the sender (RFC 5880, 6.8.6)
	 */
	if (p->bfd == NULL || p->bfd[0] >> 5 != 1 || p->bfd[2] == 0 || p->bfd[3] < BFD_LEN ||
		get32(p->bfd + 4) == 0) {
		*reason = DROP_BFD_MALFORMED;
		return PUNT_BFD_NEW;
	}
	live = guard_key(g, GUARD_BFD_LIVE, p->dst, p->src, p->addr_len, p->kind);
	if (get32(p->bfd + 8) != 0) {
		if (!guard_has(&g->sessions,
			    guard_key(g, GUARD_BFD, p->dst, p->src, p->addr_len, get32(p->bfd + 8)),
			    now)) {
			/* the kernel has not sent since we began, or it is forged */
			return source_known(t, p, port) ? PUNT_BFD_NEW : PUNT_OTHER;
		}
		guard_set(&g->sessions, live, now, live_hold(times, p->bfd));
		guard_set(&g->sessions, mac_key(g, m, port), now, times->bfd);
		return PUNT_BFD;
	}
	if (p->bfd[1] >> 6 >= BFD_STATE_INIT) {
		*reason = DROP_BFD_MALFORMED; /* nobody gets so far without our discriminator */
		return PUNT_BFD_NEW;
	}
	if (guard_has(&g->sessions, live, now)) {
		*reason = DROP_BFD_FORGED;
		return PUNT_BFD_NEW;
	}
	return source_known(t, p, port) ? PUNT_BFD_NEW : PUNT_OTHER;
}

enum punt_class control_class(struct tables *t, const struct control_times *times,
	const struct rte_mbuf *m, uint16_t port, uint32_t now, enum drop_reason *reason)
{
	struct guard *g = &t->guard;
	struct parsed p;

	*reason = DROP_COUNT;
	parse(&p, m);
	switch (p.kind) {
	case KIND_VXLAN:
		*reason = DROP_VXLAN_PUNT;
		return PUNT_OTHER;
	case KIND_ARP:
		return guard_has(&g->sessions, mac_key(g, m, port), now) ? PUNT_ARP : PUNT_ARP_NEW;
	case KIND_ICMP:
		return PUNT_ICMP;
	case KIND_BGP:
		if (guard_has(&g->sessions, bgp_key(g, &p, false), now)) {
			guard_set(&g->sessions, mac_key(g, m, port), now, times->bfd);
			return PUNT_BGP;
		}
		return source_known(t, &p, port) ? PUNT_BGP_NEW : PUNT_OTHER;
	case KIND_BFD:
	case KIND_BFD_FAR:
		return class_of_bfd(t, times, m, &p, port, now, reason);
	case KIND_BFD_ECHO:
		return PUNT_BFD_NEW;
	default:
		return PUNT_OTHER;
	}
}

void control_sent(
	struct tables *t, const struct control_times *times, const struct rte_mbuf *m, uint32_t now)
{
	struct guard *g = &t->guard;
	struct parsed p;

	parse(&p, m);
	if (p.kind == KIND_BGP) {
		const uint8_t want = RTE_TCP_ACK_FLAG, not = RTE_TCP_SYN_FLAG | RTE_TCP_RST_FLAG;

		if ((p.tcp_flags & (want | not )) == want)
			guard_set(&g->sessions, bgp_key(g, &p, true), now, times->bgp);
	} else if ((p.kind == KIND_BFD || p.kind == KIND_BFD_FAR) && p.bfd != NULL &&
		   get32(p.bfd + 4) != 0) {
		guard_set(&g->sessions,
			guard_key(g, GUARD_BFD, p.src, p.dst, p.addr_len, get32(p.bfd + 4)), now,
			times->bfd);
	}
}
