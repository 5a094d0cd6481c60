/*
 * Frames from the backbone: is it for us, is it sound, and whose is it: a VTEP's here, the
 * kernel's, or somebody's further on.
 *
 * IPv4 headers are checked in full (RFC 1812 section 5.2.2) and Ethernet padding cut off before
 * anything reads on. All destinations of a chunk are looked up in the FIB at once.
 */
#include "dataplane/nodes/node.h"

#include <rte_ip.h>
#include <rte_udp.h>

enum {
	EDGE_DECAP = 1,
	EDGE_FORWARD,
	EDGE_PUNT,
	EDGES,
};

#define BROADCAST_MAC 0xffffffffffffULL
#define NEED_LOOKUP   UINT16_MAX

/* Addresses that no frame on a wire may carry (RFC 1812 section 5.3.7, RFC 6890). */
static inline bool address_is_bad(uint32_t src, uint32_t dst)
{
	return src >= 0xe0000000u || src >> 24 == 127 || dst >> 24 == 127 || dst >> 24 == 0 ||
	       (dst >= 0xf0000000u && dst != 0xffffffffu);
}

/* Is the header's checksum right (RFC 1071)? Nearly none has options. */
static inline bool ip4_sum_ok(const struct rte_ipv4_hdr *ip, uint32_t ihl)
{
	uint32_t words[sizeof(*ip) / 4];
	uint64_t sum = 0;

	if (unlikely(ihl != sizeof(*ip)))
		return rte_raw_cksum(ip, ihl) == 0xffff;
	memcpy(words, ip, sizeof(words));
	for (unsigned int i = 0; i < RTE_DIM(words); i++)
		sum += words[i];
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum == 0xffff;
}

/* Check the IPv4 header. Returns DROP_COUNT if it is sound. */
static inline enum drop_reason ip4_check(struct rte_mbuf *m, const struct rte_ipv4_hdr *ip)
{
	const uint32_t l3_len = m->pkt_len - RTE_ETHER_HDR_LEN;
	uint32_t ihl, total;

	if (unlikely(m->data_len < RTE_ETHER_HDR_LEN + sizeof(*ip)))
		return DROP_TRUNCATED;
	ihl = (uint32_t)(ip->version_ihl & 0xf) * 4;
	if (unlikely(ip->version_ihl >> 4 != 4 || ihl < sizeof(*ip)))
		return DROP_BAD_IP_HEADER;
	total = rte_be_to_cpu_16(ip->total_length);
	if (unlikely(total < ihl || total > l3_len))
		return DROP_BAD_IP_LENGTH;
	if (unlikely(m->data_len < RTE_ETHER_HDR_LEN + ihl))
		return DROP_TRUNCATED;
	if ((m->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK) != RTE_MBUF_F_RX_IP_CKSUM_GOOD &&
		unlikely(!ip4_sum_ok(ip, ihl)))
		return DROP_BAD_IP_CHECKSUM;
	if (unlikely(total < l3_len))
		node_shorten(m, RTE_ETHER_HDR_LEN + total);
	return DROP_COUNT;
}

/* A packet for one of our addresses: VXLAN to the overlay, the rest to the kernel. */
static inline rte_edge_t local_edge(
	struct worker *w, const struct rte_node *node, struct trace *trace, struct rte_mbuf *m)
{
	const struct rte_ipv4_hdr *ip =
		rte_pktmbuf_mtod_offset(m, const struct rte_ipv4_hdr *, RTE_ETHER_HDR_LEN);
	const uint32_t ihl = (uint32_t)(ip->version_ihl & 0xf) * 4;
	const struct rte_udp_hdr *udp = (const struct rte_udp_hdr *)((const uint8_t *)ip + ihl);
	const rte_be16_t frag = rte_cpu_to_be_16(RTE_IPV4_HDR_MF_FLAG | RTE_IPV4_HDR_OFFSET_MASK);
	const bool first = (ip->fragment_offset & rte_cpu_to_be_16(RTE_IPV4_HDR_OFFSET_MASK)) == 0;

	if (ip->next_proto_id != IPPROTO_UDP || !first) {
		NODE_TRACE(trace, m, node, "to an own address");
		return EDGE_PUNT;
	}
	if (unlikely(m->data_len < RTE_ETHER_HDR_LEN + ihl + sizeof(*udp)))
		return node_drop(w, node, m, DROP_TRUNCATED);
	if (udp->dst_port != rte_cpu_to_be_16(VXLAN_PORT)) {
		NODE_TRACE(trace, m, node, "to an own address");
		return EDGE_PUNT;
	}
	if (unlikely((ip->fragment_offset & frag) != 0))
		return node_drop(w, node, m, DROP_OUTER_FRAGMENT);
	node_meta(m)->l3 = (uint16_t)(RTE_ETHER_HDR_LEN + ihl);
	NODE_TRACE(trace, m, node, "VXLAN to an own address");
	return EDGE_DECAP;
}

/* Ethernet and IPv4 checks. NEED_LOOKUP: *addr is to be looked up; else the edge. */
static inline rte_edge_t input_one(struct worker *w, const struct rte_node *node,
	struct trace *trace, struct rte_mbuf *m, uint32_t *addr)
{
	const uint8_t *frame = rte_pktmbuf_mtod(m, const uint8_t *);
	const struct rte_ipv4_hdr *ip = (const struct rte_ipv4_hdr *)(frame + RTE_ETHER_HDR_LEN);
	enum drop_reason reason;
	uint64_t dmac, smac, own;
	rte_be16_t type;

	if (unlikely(m->data_len < RTE_ETHER_HDR_LEN))
		return node_drop(w, node, m, DROP_TRUNCATED);
	own = w->macs[m->port];
	dmac = node_mac(frame);
	smac = node_mac(frame + 6);
	if (unlikely(node_mac_is_group(smac) || smac == 0))
		return node_drop(w, node, m, DROP_BAD_SRC_MAC);
	if (unlikely(smac == own))
		return node_drop(w, node, m, DROP_OWN_MAC);
	if (unlikely(dmac != own && !node_mac_is_group(dmac)))
		return node_drop(w, node, m, DROP_NOT_FOR_US);
	memcpy(&type, frame + 12, sizeof(type));
	if (unlikely(type != rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4))) {
		if (type == rte_cpu_to_be_16(RTE_ETHER_TYPE_VLAN) ||
			type == rte_cpu_to_be_16(RTE_ETHER_TYPE_QINQ))
			return node_drop(w, node, m, DROP_VLAN_TAGGED);
		NODE_TRACE(trace, m, node, "ethertype %04x", rte_be_to_cpu_16(type));
		return EDGE_PUNT;
	}
	reason = ip4_check(m, ip);
	if (unlikely(reason != DROP_COUNT))
		return node_drop(w, node, m, reason);
	*addr = rte_be_to_cpu_32(ip->dst_addr);
	if (unlikely(address_is_bad(rte_be_to_cpu_32(ip->src_addr), *addr)))
		return node_drop(w, node, m, DROP_BAD_IP_ADDRESS);
	if (unlikely(node_mac_is_group(dmac))) {
		/* a group's frame is for the kernel (OSPF and the like), never routed on */
		if (dmac == BROADCAST_MAC || *addr >= 0xe0000000u) {
			NODE_TRACE(trace, m, node, "to a group");
			return EDGE_PUNT;
		}
		return node_drop(w, node, m, DROP_NOT_FOR_US);
	}
	if (unlikely(*addr >= 0xe0000000u)) {
		NODE_TRACE(trace, m, node, "to a group");
		return EDGE_PUNT;
	}
	return NEED_LOOKUP;
}

static inline rte_edge_t route_edge(struct worker *w, const struct rte_node *node,
	struct trace *trace, struct rte_mbuf *m, uint16_t route)
{
	if (likely(fib4_is_nhg(route))) {
		node_meta(m)->group = fib4_nhg(route);
		NODE_TRACE(trace, m, node, "route by next-hop group %u", fib4_nhg(route));
		return EDGE_FORWARD;
	}
	switch (route) {
	case FIB4_LOCAL:
		return local_edge(w, node, trace, m);
	case FIB4_BLACKHOLE:
		return node_drop(w, node, m, DROP_BLACKHOLE);
	case FIB4_REJECT:
	case FIB4_PUNT:
		NODE_TRACE(trace, m, node, "the kernel's route");
		return EDGE_PUNT;
	default:
		return node_drop(w, node, m, DROP_NO_ROUTE);
	}
}

static void underlay_chunk(struct rte_graph *graph, struct rte_node *node, struct worker *w,
	struct rte_mbuf **pkts, unsigned int n)
{
	struct trace *trace = node_trace(w);
	uint32_t addrs[NODE_CHUNK];
	uint16_t routes[NODE_CHUNK];
	uint8_t place[NODE_CHUNK];
	rte_edge_t edges[NODE_CHUNK];
	unsigned int k = 0;

	for (unsigned int i = 0; i < NODE_AHEAD; i++)
		node_prefetch(pkts, i, n);
	for (unsigned int i = 0; i < n; i++) {
		node_prefetch(pkts, i + NODE_AHEAD, n);
		edges[i] = input_one(w, node, trace, pkts[i], &addrs[k]);
		if (likely(edges[i] == NEED_LOOKUP))
			place[k++] = (uint8_t)i;
	}
	if (likely(k > 0))
		fib4_lookup_bulk(w->tables->fib, addrs, k, routes);
	for (unsigned int j = 0; j < k; j++)
		edges[place[j]] = route_edge(w, node, trace, pkts[place[j]], routes[j]);
	node_hand_on(graph, node, edges, (void **)pkts, n);
}

static uint16_t underlay_input(
	struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t n)
{
	struct worker *w = node_worker(node);

	for (unsigned int at = 0; at < n; at += NODE_CHUNK)
		underlay_chunk(graph, node, w, (struct rte_mbuf **)objs + at,
			RTE_MIN(n - at, (unsigned int)NODE_CHUNK));
	return n;
}

static struct rte_node_register underlay_input_node = {
	.name = "underlay_input",
	.process = underlay_input,
	.nb_edges = EDGES,
	.next_nodes =
		{
			[EDGE_DROP] = "drop",
			[EDGE_DECAP] = "vxlan_decap",
			[EDGE_FORWARD] = "ip4_forward",
			[EDGE_PUNT] = "punt",
		},
};
RTE_NODE_REGISTER(underlay_input_node)
