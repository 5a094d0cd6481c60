/*
 * Packets for the kernel: to the TAP of the port they came in by, within the rate of their class.
 *
 * The graph's only door to the kernel. VXLAN never passes it, whatever sent it here: the kernel's
 * own VXLAN devices would forward tenants' frames a second time. The frame is as it was received
 * (but for Ethernet padding).
 */
#include "dataplane/nodes/node.h"

#include <rte_cycles.h>

#include "dataplane/nodes/control.h"

enum {
	EDGES = 1,
};

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
		enum drop_reason reason;
		const enum punt_class class =
			control_class(w->tables, &w->control, m, port, w->tick, &reason);
		uint64_t *counts = &w->punts[port].arp;

		if (likely(reason == DROP_COUNT) &&
			unlikely(!policer_take(&w->policers[port], class, now)))
			reason = punt_class_drop(class);
		if (reason == DROP_COUNT && unlikely(w->ports[port]->tap.fd < 0))
			reason = DROP_PUNT_TAP_FULL;
		stat_add(&counts[class + (reason != DROP_COUNT ? PUNT_CLASSES : 0)], 1);
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
