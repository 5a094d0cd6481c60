/*
 * The way out: frames are gathered by port and sent in bursts.
 *
 * mbuf->port is the port to leave by. A frame that the port's MTU does not take, or whose port has
 * no link, ends here; all others are the port's.
 */
#include "dataplane/nodes/node.h"

enum {
	EDGES = 1,
};

/* A tag may ride on top of the MTU. */
#define L2_MAX (RTE_ETHER_HDR_LEN + 4)

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
		if (unlikely(m->pkt_len > (uint32_t)port_mtu(ports, port) + L2_MAX)) {
			rte_node_enqueue_x1(graph, node, node_drop(w, node, m, DROP_TX_TOO_BIG), m);
			continue;
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
	.next_nodes = {[EDGE_DROP] = "drop"},
};
RTE_NODE_REGISTER(port_tx_node)
