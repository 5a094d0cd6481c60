/*
 * The way out: frames are gathered by port and sent in bursts.
 *
 * mbuf->port is the port to leave by. A frame whose port has no link ends here; a tenant's frame
 * that the port's MTU does not take goes to too_big, any other such frame ends here too.
 */
#include "dataplane/nodes/node.h"

enum {
	EDGE_TOO_BIG = 1,
	EDGES,
};

/* Tags may ride on top of the MTU: octets that are no layer 3. */
static uint32_t l2_len(const struct rte_mbuf *m)
{
	const uint8_t *frame = rte_pktmbuf_mtod(m, const uint8_t *);
	uint32_t len = RTE_ETHER_HDR_LEN;
	rte_be16_t type;

	for (unsigned int tags = 0; tags < 2 && m->data_len >= len; tags++) {
		memcpy(&type, frame + len - 2, sizeof(type));
		if (type != rte_cpu_to_be_16(RTE_ETHER_TYPE_VLAN) &&
			type != rte_cpu_to_be_16(RTE_ETHER_TYPE_QINQ))
			break;
		len += RTE_VLAN_HLEN;
	}
	return len;
}

/* Where a frame goes that is longer than MTU and Ethernet header; EDGES: out, the rest are tags. */
static rte_edge_t long_edge(struct worker *w, const struct rte_node *node, struct rte_mbuf *m)
{
	const struct port_tbl *ports = &w->tables->ports;
	const uint32_t limit = port_mtu(ports, m->port) + l2_len(m);

	if (m->pkt_len <= limit)
		return EDGES;
	if (port_get(ports, m->port)->kind != PORT_KIND_ACCESS)
		return node_drop(w, node, m, DROP_TX_TOO_BIG);
	node_meta(m)->limit = limit;
	node_meta(m)->vtep = VTEP_NONE;
	return EDGE_TOO_BIG;
}

static void tx_flush(struct worker *w, uint16_t port)
{
	struct worker_out *out = &w->out[port];
	const uint16_t sent = port_tx_burst(w->ports[port], 0, out->pkts, out->n);

	if (unlikely(sent < out->n))
		stat_add(&w->drops[DROP_TX_FULL], out->n - sent);
	out->n = 0;
}

static uint16_t port_tx(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t n)
{
	struct worker *w = node_worker(node);
	const struct port_tbl *ports = &w->tables->ports;
	struct trace *trace = node_trace(w);
	uint64_t used[WORKER_READY_WORDS] = {0};

	for (unsigned int i = 0; i < n; i++) {
		struct rte_mbuf *m = objs[i];
		const uint16_t port = m->port;
		struct worker_out *out = &w->out[port];

		if (unlikely(!port_up(ports, port) || w->ports[port] == NULL)) {
			rte_node_enqueue_x1(graph, node, node_drop(w, node, m, DROP_LINK_DOWN), m);
			continue;
		}
		if (unlikely(m->pkt_len > (uint32_t)port_mtu(ports, port) + RTE_ETHER_HDR_LEN)) {
			const rte_edge_t edge = long_edge(w, node, m);

			if (edge != EDGES) {
				rte_node_enqueue_x1(graph, node, edge, m);
				continue;
			}
		}
		if (unlikely(trace != NULL) && trace_marked(m)) {
			trace_step(trace, m, node->name, "out by %s", w->ports[port]->spec.name);
			trace_unmark(m);
		}
		used[port / 64] |= 1ULL << port % 64;
		out->pkts[out->n++] = m;
		if (out->n == PORT_BURST)
			tx_flush(w, port);
	}
	for (unsigned int word = 0; word < WORKER_READY_WORDS; word++)
		for (uint64_t bits = used[word]; bits != 0; bits &= bits - 1) {
			const uint16_t port = (uint16_t)(word * 64 + __builtin_ctzll(bits));

			if (w->out[port].n > 0)
				tx_flush(w, port);
		}
	return n;
}

static struct rte_node_register port_tx_node = {
	.name = "port_tx",
	.process = port_tx,
	.nb_edges = EDGES,
	.next_nodes =
		{
			[EDGE_DROP] = "drop",
			[EDGE_TOO_BIG] = "too_big",
		},
};
RTE_NODE_REGISTER(port_tx_node)
