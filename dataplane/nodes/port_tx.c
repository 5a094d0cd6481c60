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

static void tx_send(struct worker *w, uint16_t port, struct rte_mbuf **pkts, uint16_t n)
{
	struct capture *capture = node_capture(w);
	uint16_t sent;

	if (unlikely(capture != NULL))
		capture_burst(capture, w, CAPTURE_OUT, port, pkts, n);
	sent = port_tx_burst(w->ports[port], 0, pkts, n);

	if (unlikely(sent < n))
		stat_add(&w->drops[DROP_TX_FULL], n - sent);
}

static void tx_flush(struct worker *w, uint16_t port)
{
	struct worker_out *out = &w->out[port];

	tx_send(w, port, out->pkts, out->n);
	out->n = 0;
}

/* The longest frame without tags that may leave by the port now; 0: none. */
static uint32_t tx_limit(const struct worker *w, uint16_t port)
{
	const struct port_tbl *ports = &w->tables->ports;

	if (unlikely(!port_up(ports, port) || w->ports[port] == NULL))
		return 0;
	return (uint32_t)port_mtu(ports, port) + RTE_ETHER_HDR_LEN;
}

static void tx_trace(struct trace *trace, const struct worker *w, const struct rte_node *node,
	struct rte_mbuf **pkts, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		if (!trace_marked(pkts[i]))
			continue;
		trace_step(trace, pkts[i], node->name, "out by %s",
			w->ports[pkts[i]->port]->spec.name);
		trace_unmark(pkts[i]);
	}
}

/* How many frames from the first on leave by its port, and no longer than `limit`; one burst at
 * most. */
static unsigned int tx_run(struct rte_mbuf **pkts, unsigned int n, uint32_t limit)
{
	const uint16_t port = pkts[0]->port;
	unsigned int i = 0;

	n = RTE_MIN(n, (unsigned int)PORT_BURST);
	while (i < n && pkts[i]->port == port && likely(pkts[i]->pkt_len <= limit))
		i++;
	return i;
}

static uint16_t port_tx(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t n)
{
	struct worker *w = node_worker(node);
	struct trace *trace = node_trace(w);
	uint64_t used[WORKER_READY_WORDS] = {0};
	unsigned int run;

	for (unsigned int at = 0; at < n; at += run) {
		struct rte_mbuf **pkts = (struct rte_mbuf **)objs + at;
		const uint16_t port = pkts[0]->port;
		struct worker_out *out = &w->out[port];
		const uint32_t limit = tx_limit(w, port);

		run = tx_run(pkts, n - at, limit);
		if (unlikely(run == 0)) {
			const rte_edge_t edge =
				limit == 0 ? node_drop(w, node, pkts[0], DROP_LINK_DOWN)
					   : long_edge(w, node, pkts[0]);

			run = 1;
			if (edge != EDGES) {
				rte_node_enqueue_x1(graph, node, edge, pkts[0]);
				continue;
			}
		}
		if (unlikely(trace != NULL))
			tx_trace(trace, w, node, pkts, run);
		/* a full burst goes as it is; others are gathered */
		if (likely(run == PORT_BURST && out->n == 0)) {
			tx_send(w, port, pkts, PORT_BURST);
			continue;
		}
		used[port / 64] |= 1ULL << port % 64;
		for (unsigned int i = 0; i < run; i++) {
			out->pkts[out->n++] = pkts[i];
			if (out->n == PORT_BURST)
				tx_flush(w, port);
		}
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
