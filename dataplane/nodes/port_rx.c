/*
 * Source: bursts from every port that may have frames, each to the node of its port's role.
 *
 * A port with a descriptor is read while its bit in `ready` is set (the worker sets it after
 * looking at descriptors, this node clears it when a burst is not full); a port without one is read
 * in each walk.
 */
#include "dataplane/nodes/node.h"

enum {
	EDGE_ACCESS = 1,
	EDGE_UNDERLAY,
	EDGES,
};

/* Bursts a port and walk: full nodes for a busy port, but no starving of others. */
#define BURSTS_A_WALK 2

static void trace_burst(struct trace *t, struct worker *w, const struct rte_node *node,
	const struct port *port, struct rte_mbuf **pkts, uint16_t n)
{
	for (uint16_t i = 0; i < n; i++) {
		trace_unmark(pkts[i]);
		if (trace_match(t, pkts[i], port->id, (uint16_t)w->id)) {
			w->traced = true;
			trace_step(t, pkts[i], node->name, "%u octets from %s", pkts[i]->pkt_len,
				port->spec.name);
		}
	}
}

static uint16_t read_port(
	struct rte_graph *graph, struct rte_node *node, struct worker *w, struct port *port)
{
	const rte_edge_t edge = port->spec.role == PORT_ROLE_ACCESS ? EDGE_ACCESS : EDGE_UNDERLAY;
	struct capture *capture = node_capture(w);
	struct trace *trace = node_trace(w);
	uint16_t total = 0;

	for (int i = 0; i < BURSTS_A_WALK; i++) {
		void **to = rte_node_next_stream_get(graph, node, edge, PORT_BURST);
		const uint16_t n = port_rx_burst(port, 0, (struct rte_mbuf **)to, PORT_BURST);

		if (unlikely(trace != NULL))
			trace_burst(trace, w, node, port, (struct rte_mbuf **)to, n);
		if (unlikely(capture != NULL))
			capture_burst(capture, w, CAPTURE_IN, port->id, (struct rte_mbuf **)to, n);
		rte_node_next_stream_put(graph, node, edge, n);
		total = (uint16_t)(total + n);
		if (n < PORT_BURST) {
			if (port->rx_fd >= 0)
				w->ready[port->id / 64] &= ~(1ULL << port->id % 64);
			break;
		}
	}
	return total;
}

static uint16_t port_rx(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t n)
{
	struct worker *w = node_worker(node);
	uint16_t total = 0;

	for (unsigned int word = 0; word < WORKER_READY_WORDS; word++) {
		uint64_t bits = w->ready[word] | w->polled[word];

		while (bits != 0) {
			const unsigned int id = word * 64 + (unsigned int)__builtin_ctzll(bits);

			bits &= bits - 1;
			total = (uint16_t)(total + read_port(graph, node, w, w->ports[id]));
		}
	}
	w->work += total;
	return total;
}

static struct rte_node_register port_rx_node = {
	.name = "port_rx",
	.flags = RTE_NODE_SOURCE_F,
	.process = port_rx,
	.nb_edges = EDGES,
	.next_nodes =
		{
			[EDGE_DROP] = "drop",
			[EDGE_ACCESS] = "access_input",
			[EDGE_UNDERLAY] = "underlay_input",
		},
};
RTE_NODE_REGISTER(port_rx_node)
