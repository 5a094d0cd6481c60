/*
 * Source: what the kernel sends on a port's TAP, to leave by that port.
 *
 * Control traffic only: VXLAN of the kernel's own is dropped, and so is anything on an access
 * port's TAP, because the kernel of a node must not forward tenants' frames.
 */
#include "dataplane/nodes/node.h"

#include "dataplane/nodes/control.h"
#include "dataplane/nodes/kernel_vxlan.h"

enum {
	EDGE_PORT_TX = 1,
	EDGES,
};

static uint16_t read_tap(
	struct rte_graph *graph, struct rte_node *node, struct worker *w, struct port *port)
{
	struct trace *trace = node_trace(w);
	struct rte_mbuf *pkts[PORT_BURST];
	rte_edge_t edges[PORT_BURST];
	const uint16_t n = tap_rx_burst(&port->tap, w->pool, pkts, PORT_BURST);

	for (uint16_t i = 0; i < n; i++) {
		struct rte_mbuf *m = pkts[i];

		m->port = port->id;
		if (unlikely(trace != NULL) && trace_match(trace, m, port->id, (uint16_t)w->id)) {
			w->traced = true;
			trace_step(trace, m, node->name, "%u octets from the kernel by %s",
				m->pkt_len, port->spec.tap);
		}
		if (port->spec.role == PORT_ROLE_ACCESS)
			edges[i] = node_drop(w, node, m, DROP_KERNEL_ACCESS);
		else if (kernel_vxlan(w->fragmented, rte_pktmbuf_mtod(m, const uint8_t *),
				 m->data_len, w->now))
			edges[i] = node_drop(w, node, m, DROP_KERNEL_VXLAN);
		else
			edges[i] = EDGE_PORT_TX;
		if (likely(edges[i] == EDGE_PORT_TX))
			control_sent(w->tables, &w->control, m, w->tick);
	}
	node_hand_on(graph, node, edges, (void **)pkts, n);
	if (n < PORT_BURST)
		w->tap_ready[port->id / 64] &= ~(1ULL << port->id % 64);
	return n;
}

static uint16_t tap_rx(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t n)
{
	struct worker *w = node_worker(node);
	uint16_t total = 0;

	for (unsigned int word = 0; word < WORKER_READY_WORDS; word++) {
		uint64_t bits = w->tap_ready[word];

		while (bits != 0) {
			const unsigned int id = word * 64 + (unsigned int)__builtin_ctzll(bits);

			bits &= bits - 1;
			total = (uint16_t)(total + read_tap(graph, node, w, w->ports[id]));
		}
	}
	w->work += total;
	return total;
}

static struct rte_node_register tap_rx_node = {
	.name = "tap_rx",
	.flags = RTE_NODE_SOURCE_F,
	.process = tap_rx,
	.nb_edges = EDGES,
	.next_nodes =
		{
			[EDGE_DROP] = "drop",
			[EDGE_PORT_TX] = "port_tx",
		},
};
RTE_NODE_REGISTER(tap_rx_node)
