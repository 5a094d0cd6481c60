/*
 * Packets for the kernel: to the TAP of the port they came in by, within the rate of their class.
 *
 * The graph's only door to the kernel. VXLAN never passes it, whatever sent it here: the kernel's
 * own VXLAN devices would forward tenants' frames a second time. The frame is as it was received
 * (but for Ethernet padding).
 */
#include "dataplane/nodes/node.h"

#include <rte_cycles.h>
#include <rte_icmp.h>
#include <rte_ip.h>
#include <rte_tcp.h>
#include <rte_udp.h>

enum {
	EDGES = 1,
};

#define PORT_BGP          179
#define PORT_BFD          3784
#define PORT_BFD_ECHO     3785
#define PORT_BFD_MULTIHOP 4784

#define CLASS_VXLAN       PUNT_CLASSES

static enum punt_class class_of_ports(uint8_t proto, const uint8_t *l4, uint32_t len)
{
	uint16_t src, dst;

	if (len < 4)
		return PUNT_OTHER;
	src = (uint16_t)(l4[0] << 8 | l4[1]);
	dst = (uint16_t)(l4[2] << 8 | l4[3]);
	if (proto == IPPROTO_TCP)
		return src == PORT_BGP || dst == PORT_BGP ? PUNT_BGP : PUNT_OTHER;
	if (dst == VXLAN_PORT)
		return CLASS_VXLAN;
	return dst == PORT_BFD || dst == PORT_BFD_ECHO || dst == PORT_BFD_MULTIHOP ? PUNT_BFD
										   : PUNT_OTHER;
}

static enum punt_class class_of_ip4(const uint8_t *l3, uint32_t len)
{
	const struct rte_ipv4_hdr *ip = (const struct rte_ipv4_hdr *)l3;
	uint32_t ihl;

	if (len < sizeof(*ip))
		return PUNT_OTHER;
	if (ip->next_proto_id == IPPROTO_ICMP)
		return PUNT_ICMP;
	ihl = (uint32_t)(ip->version_ihl & 0xf) * 4;
	if ((ip->next_proto_id != IPPROTO_TCP && ip->next_proto_id != IPPROTO_UDP) ||
		(ip->fragment_offset & rte_cpu_to_be_16(RTE_IPV4_HDR_OFFSET_MASK)) != 0 ||
		len < ihl)
		return PUNT_OTHER;
	return class_of_ports(ip->next_proto_id, l3 + ihl, len - ihl);
}

static enum punt_class class_of_ip6(const uint8_t *l3, uint32_t len)
{
	if (len < sizeof(struct rte_ipv6_hdr))
		return PUNT_OTHER;
	l3 += sizeof(struct rte_ipv6_hdr);
	len -= (uint32_t)sizeof(struct rte_ipv6_hdr);
	switch (l3[6 - (int)sizeof(struct rte_ipv6_hdr)]) {
	case IPPROTO_ICMPV6:
		/* 133..137: router and neighbour discovery, redirect (RFC 4861) */
		return len >= 1 && l3[0] >= 133 && l3[0] <= 137 ? PUNT_ARP : PUNT_ICMP;
	case IPPROTO_TCP:
		return class_of_ports(IPPROTO_TCP, l3, len);
	case IPPROTO_UDP:
		return class_of_ports(IPPROTO_UDP, l3, len);
	default:
		return PUNT_OTHER;
	}
}

static enum punt_class class_of(const struct rte_mbuf *m)
{
	const uint8_t *frame = rte_pktmbuf_mtod(m, const uint8_t *);
	const uint8_t *l3 = frame + RTE_ETHER_HDR_LEN;
	const uint32_t len = m->data_len - RTE_ETHER_HDR_LEN;
	rte_be16_t type;

	memcpy(&type, frame + 12, sizeof(type));
	if (type == rte_cpu_to_be_16(RTE_ETHER_TYPE_ARP))
		return PUNT_ARP;
	if (type == rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4))
		return class_of_ip4(l3, len);
	if (type == rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV6))
		return class_of_ip6(l3, len);
	return PUNT_OTHER;
}

/* Give the frames gathered for `port` to its TAP. */
static void punt_flush(struct worker *w, uint16_t port)
{
	struct worker_out *out = &w->out[port];
	const uint16_t sent = tap_tx_burst(&w->ports[port]->tap, out->pkts, out->n);

	stat_add(&w->punts[port].packets, sent);
	if (unlikely(sent < out->n)) {
		stat_add(&w->drops[DROP_PUNT_TAP_FULL], out->n - sent);
		stat_add(&w->punts[port].drops, out->n - sent);
	}
	out->n = 0;
}

static uint16_t punt(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t n)
{
	struct worker *w = node_worker(node);
	struct trace *trace = node_trace(w);
	const uint64_t now = rte_rdtsc();
	uint16_t last = PORT_NONE;

	for (unsigned int i = 0; i < n; i++) {
		struct rte_mbuf *m = objs[i];
		const uint16_t port = m->port;
		const enum punt_class class = class_of(m);
		enum drop_reason reason = DROP_COUNT;

		if (class == CLASS_VXLAN)
			reason = DROP_VXLAN_PUNT;
		else if (!policer_take(&w->policers[port], class, now))
			reason = punt_class_drop(class);
		else if (w->ports[port]->tap.fd < 0)
			reason = DROP_PUNT_TAP_FULL;
		if (unlikely(reason != DROP_COUNT)) {
			stat_add(&w->punts[port].drops, 1);
			rte_node_enqueue_x1(graph, node, node_drop(w, node, m, reason), m);
			continue;
		}
		NODE_TRACE(trace, m, node, "class %s, to the kernel by %s", punt_class_name(class),
			w->ports[port]->spec.tap);
		if (port != last && last != PORT_NONE && w->out[last].n > 0)
			punt_flush(w, last);
		last = port;
		w->out[port].pkts[w->out[port].n++] = m;
		if (w->out[port].n == PORT_BURST)
			punt_flush(w, port);
	}
	if (last != PORT_NONE && w->out[last].n > 0)
		punt_flush(w, last);
	return n;
}

static struct rte_node_register punt_node = {
	.name = "punt",
	.process = punt,
	.nb_edges = EDGES,
	.next_nodes = {[EDGE_DROP] = "drop"},
};
RTE_NODE_REGISTER(punt_node)
