/*
 * Frames for a whole segment: a copy to each local access port and, unless they came by the
 * overlay, to each VTEP of the flood list (ingress replication, RFC 8365 section 5.1.3).
 *
 * Split horizon: what came from an access port does not return to it; what came by the overlay
 * never goes to the overlay. Small frames are copied, the payload of large ones is shared between
 * indirect mbufs; the last place gets the frame itself. Work is bounded a call.
 */
#include "dataplane/nodes/node.h"

enum {
	EDGE_PORT_TX = 1,
	EDGE_ENCAP,
	EDGES,
};

/* Up to this length copying is cheaper than sharing (reference counts, a second mbuf). */
#define COPY_MAX   256

/* Copies that one call may make: bounds its time and the length of the next nodes' streams. */
#define COPIES_MAX 8192

/* A frame with the same content, for a port. NULL: no mbuf. */
static struct rte_mbuf *copy_for_port(struct worker *w, struct rte_mbuf *m)
{
	struct rte_mbuf *copy;

	if (m->pkt_len <= COPY_MAX)
		copy = rte_pktmbuf_copy(m, w->pool, 0, UINT32_MAX);
	else
		copy = rte_pktmbuf_clone(m, w->pool);
	if (likely(copy != NULL))
		*node_meta(copy) = *node_meta(m);
	return copy;
}

/* The same, with room of its own in front for the outer header. */
static struct rte_mbuf *copy_for_vtep(struct worker *w, struct rte_mbuf *m)
{
	struct rte_mbuf *head, *rest;

	if (m->pkt_len <= COPY_MAX)
		return copy_for_port(w, m);
	head = rte_pktmbuf_alloc(w->pool);
	if (unlikely(head == NULL))
		return NULL;
	rest = rte_pktmbuf_clone(m, w->pool);
	if (unlikely(rest == NULL)) {
		rte_pktmbuf_free(head);
		return NULL;
	}
	head->next = rest;
	head->nb_segs = (uint16_t)(rest->nb_segs + 1);
	head->pkt_len = rest->pkt_len;
	if (unlikely(trace_marked(m))) {
		head->ol_flags |= TRACE_MARK;
		memcpy(head->dynfield1, m->dynfield1, sizeof(head->dynfield1));
	}
	*node_meta(head) = *node_meta(m);
	return head;
}

static void flood_one(struct rte_graph *graph, struct rte_node *node, struct worker *w,
	struct rte_mbuf *m, unsigned int *budget)
{
	struct trace *trace = node_trace(w);
	const struct meta meta = *node_meta(m);
	const struct bd *bd = bd_get(w->tables->bds, meta.bd);
	const bool from_overlay = meta.vtep != VTEP_NONE;
	const uint16_t in = from_overlay ? PORT_NONE : m->port;
	unsigned int n_ports = 0, n_vteps, left;

	if (unlikely(bd == NULL)) {
		rte_node_enqueue_x1(graph, node, node_drop(w, node, m, DROP_FLOOD_NOWHERE), m);
		return;
	}
	for (unsigned int i = 0; i < bd->n_ports; i++)
		n_ports += bd->ports[i] != in;
	n_vteps = from_overlay || bd->vni == VNI_NONE ? 0 : bd->n_flood;
	left = n_ports + n_vteps;
	if (unlikely(left == 0)) {
		rte_node_enqueue_x1(graph, node, node_drop(w, node, m, DROP_FLOOD_NOWHERE), m);
		return;
	}
	if (unlikely(left > *budget)) {
		rte_node_enqueue_x1(graph, node, node_drop(w, node, m, DROP_FLOOD_LIMIT), m);
		return;
	}
	*budget -= left;
	stat_add(&w->segments[meta.bd].flood_packets, 1);
	NODE_TRACE(
		trace, m, node, "domain %u: %u local ports, %u vteps", meta.bd, n_ports, n_vteps);

	for (unsigned int i = 0; i < bd->n_ports; i++) {
		struct rte_mbuf *copy;

		if (bd->ports[i] == in)
			continue;
		copy = --left == 0 ? m : copy_for_port(w, m);
		if (unlikely(copy == NULL)) {
			node_drop(w, node, m, DROP_NO_BUFFER);
			continue;
		}
		copy->port = bd->ports[i];
		rte_node_enqueue_x1(graph, node, EDGE_PORT_TX, copy);
	}
	for (unsigned int i = 0; i < n_vteps; i++) {
		struct rte_mbuf *copy = --left == 0 ? m : copy_for_vtep(w, m);

		if (unlikely(copy == NULL)) {
			node_drop(w, node, m, DROP_NO_BUFFER);
			continue;
		}
		node_meta(copy)->vtep = bd->flood[i];
		rte_node_enqueue_x1(graph, node, EDGE_ENCAP, copy);
	}
}

static uint16_t flood(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t n)
{
	struct worker *w = node_worker(node);
	unsigned int budget = COPIES_MAX;

	for (unsigned int i = 0; i < n; i++)
		flood_one(graph, node, w, objs[i], &budget);
	return n;
}

static struct rte_node_register flood_node = {
	.name = "flood",
	.process = flood,
	.nb_edges = EDGES,
	.next_nodes =
		{
			[EDGE_DROP] = "drop",
			[EDGE_PORT_TX] = "port_tx",
			[EDGE_ENCAP] = "vxlan_encap",
		},
};
RTE_NODE_REGISTER(flood_node)
