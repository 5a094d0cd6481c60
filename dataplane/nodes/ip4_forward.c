/*
 * IPv4 packets in transit: TTL, a leg of the next-hop group, the next hop's Ethernet header.
 *
 * The header was checked by underlay_input. What needs an ICMP error (TTL over, larger than the
 * next link takes) goes to the kernel, which sends it (RFC 1812 sections 4.3 and 5.3.1); VXLAN does
 * not, the kernel must not see it.
 */
#include "dataplane/nodes/node.h"

#include <rte_ip.h>
#include <rte_udp.h>

#include "dataplane/nodes/flow.h"

enum {
	EDGE_PORT_TX = 1,
	EDGE_PUNT,
	EDGES,
};

static inline bool is_vxlan(const struct rte_ipv4_hdr *ip, uint32_t len)
{
	const uint32_t ihl = (uint32_t)(ip->version_ihl & 0xf) * 4;
	const struct rte_udp_hdr *udp = (const struct rte_udp_hdr *)((const uint8_t *)ip + ihl);

	return ip->next_proto_id == IPPROTO_UDP && len >= ihl + sizeof(*udp) &&
	       (ip->fragment_offset & rte_cpu_to_be_16(RTE_IPV4_HDR_OFFSET_MASK)) == 0 &&
	       udp->dst_port == rte_cpu_to_be_16(VXLAN_PORT);
}

static inline rte_edge_t forward_one(
	struct worker *w, const struct rte_node *node, struct trace *trace, struct rte_mbuf *m)
{
	uint8_t *frame = rte_pktmbuf_mtod(m, uint8_t *);
	struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)(frame + RTE_ETHER_HDR_LEN);
	const uint32_t len = m->data_len - RTE_ETHER_HDR_LEN;
	const struct nhg *group = nhg_get(&w->tables->nhgs, node_meta(m)->group);
	const struct adj *adj;
	uint32_t sum;

	/* the group may have been removed since the look-up */
	if (unlikely(group == NULL))
		return node_drop(w, node, m, DROP_NO_ROUTE);
	if (unlikely(ip->time_to_live <= 1)) {
		if (is_vxlan(ip, len))
			return node_drop(w, node, m, DROP_TTL_EXPIRED);
		NODE_TRACE(trace, m, node, "time to live is over");
		return EDGE_PUNT;
	}
	adj = adj_get(&w->tables->adjs, nhg_select(group, flow_hash_ip4(ip, len)));
	if (unlikely(adj == NULL || !adj->resolved)) {
		if (adj != NULL)
			node_tell_probe(w, adj->index);
		return node_drop(w, node, m, DROP_NO_ADJACENCY);
	}
	if (unlikely(m->pkt_len - RTE_ETHER_HDR_LEN > adj->mtu)) {
		if (is_vxlan(ip, len))
			return node_drop(w, node, m, DROP_MTU_EXCEEDED);
		NODE_TRACE(trace, m, node, "larger than the next link's %u octets", adj->mtu);
		return EDGE_PUNT;
	}
	/* RFC 1624: HC' = ~(~HC + ~m + m'), with m' = m - 0x0100 in the TTL's word */
	ip->time_to_live--;
	sum = (uint32_t)ip->hdr_checksum + rte_cpu_to_be_16(0x0100);
	ip->hdr_checksum = (uint16_t)(sum + (sum >= 0xffff));
	memcpy(frame, adj->rewrite, RTE_ETHER_HDR_LEN);
	m->port = adj->port;
	if (unlikely(trace != NULL) && trace_marked(m)) {
		const uint8_t *hop = (const uint8_t *)&adj->addr;

		trace_step(trace, m, node->name, "next hop %u.%u.%u.%u", hop[0], hop[1], hop[2],
			hop[3]);
	}
	return EDGE_PORT_TX;
}

static uint16_t ip4_forward(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t n)
{
	struct worker *w = node_worker(node);
	struct trace *trace = node_trace(w);
	rte_edge_t edges[NODE_CHUNK];

	for (unsigned int at = 0; at < n; at += NODE_CHUNK) {
		const unsigned int count = RTE_MIN(n - at, (unsigned int)NODE_CHUNK);

		for (unsigned int i = 0; i < count; i++)
			edges[i] = forward_one(w, node, trace, objs[at + i]);
		node_hand_on(graph, node, edges, objs + at, count);
	}
	return n;
}

static struct rte_node_register ip4_forward_node = {
	.name = "ip4_forward",
	.process = ip4_forward,
	.nb_edges = EDGES,
	.next_nodes =
		{
			[EDGE_DROP] = "drop",
			[EDGE_PORT_TX] = "port_tx",
			[EDGE_PUNT] = "punt",
		},
};
RTE_NODE_REGISTER(ip4_forward_node)
