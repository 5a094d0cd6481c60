/*
 * Frames for a whole segment: a copy to each local access port and, unless they came by the
 * overlay, to each VTEP of the flood list (ingress replication, RFC 8365 section 5.1.3).
 *
 * Split horizon: what came from an access port does not return to it; what came by the overlay
 * never goes to the overlay. Small frames are copied, the payload of large ones is shared between
 * indirect mbufs; the last place gets the frame itself. Work is bounded a call. What its port or
 * segment floods above its rate ends here, before any copy is made; known unicast never comes here.
 */
#include "dataplane/nodes/node.h"

#include <rte_cycles.h>

#include "dataplane/nodes/police.h"

enum {
	EDGE_PORT_TX = 1,
	EDGE_ENCAP,
	EDGES,
};

/* Up to this length copying is cheaper than sharing (reference counts, a second mbuf). */
#define COPY_MAX   256

/* Copies that one call may make: bounds its time and the length of the next nodes' streams. */
#define COPIES_MAX 8192

/* Copies made at once. */
#define GROUP_MAX  64

/* Copies of a small frame, with headroom of their own. Returns n or 0. */
static unsigned int copies_small(
	struct worker *w, struct rte_mbuf *m, struct rte_mbuf **copies, unsigned int n)
{
	const void *data = rte_pktmbuf_mtod(m, const void *);
	const uint16_t len = m->data_len;

	if (unlikely(rte_pktmbuf_alloc_bulk(w->pool, copies, n) < 0))
		return 0;
	for (unsigned int i = 0; i < n; i++) {
		struct rte_mbuf *copy = copies[i];

		if (i + 1 < n)
			rte_prefetch0(rte_pktmbuf_mtod(copies[i + 1], void *));
		copy->data_len = len;
		copy->pkt_len = len;
		rte_memcpy(rte_pktmbuf_mtod(copy, void *), data, len);
		*node_meta(copy) = *node_meta(m);
	}
	return n;
}

/* A frame that shares the payload of `m`; for a VTEP with an mbuf in front for the outer header. */
static struct rte_mbuf *copy_shared(struct worker *w, struct rte_mbuf *m, bool head_room)
{
	struct rte_mbuf *head, *rest = rte_pktmbuf_clone(m, w->pool);

	if (unlikely(rest == NULL))
		return NULL;
	*node_meta(rest) = *node_meta(m);
	if (!head_room)
		return rest;
	head = rte_pktmbuf_alloc(w->pool);
	if (unlikely(head == NULL)) {
		rte_pktmbuf_free(rest);
		return NULL;
	}
	head->next = rest;
	head->nb_segs = (uint16_t)(rest->nb_segs + 1);
	head->pkt_len = rest->pkt_len;
	*node_meta(head) = *node_meta(m);
	return head;
}

/* Make up to n copies of `m`; returns how many there was memory for. */
static unsigned int copies_make(struct worker *w, struct rte_mbuf *m, struct rte_mbuf **copies,
	unsigned int n, bool head_room)
{
	unsigned int got = 0;

	if (n == 0)
		return 0;
	if (m->next == NULL && m->data_len <= COPY_MAX) {
		got = copies_small(w, m, copies, n);
	} else {
		while (got < n && (copies[got] = copy_shared(w, m, head_room)) != NULL)
			got++;
	}
	if (unlikely(trace_marked(m))) {
		for (unsigned int i = 0; i < got; i++) {
			copies[i]->ol_flags |= TRACE_MARK;
			memcpy(copies[i]->dynfield1, m->dynfield1, sizeof(m->dynfield1));
		}
	}
	return got;
}

/* Send `m` to each of the n places of `list` (ports or VTEPs, as `edge` says); `last`: nobody comes
 * after them, so the last one gets `m` itself. */
static void flood_to(struct rte_graph *graph, struct rte_node *node, struct worker *w,
	struct rte_mbuf *m, rte_edge_t edge, const uint16_t *list, unsigned int n, bool last)
{
	struct rte_mbuf *out[GROUP_MAX];

	for (unsigned int at = 0; at < n; at += GROUP_MAX) {
		const unsigned int count = RTE_MIN(n - at, (unsigned int)GROUP_MAX);
		const bool own = last && at + count == n;
		const unsigned int want = count - own;
		unsigned int got = copies_make(w, m, out, want, edge == EDGE_ENCAP);

		for (unsigned int i = got; unlikely(i < want); i++)
			node_drop(w, node, m, DROP_NO_BUFFER);
		for (unsigned int i = 0; i < got; i++) {
			if (edge == EDGE_ENCAP)
				node_meta(out[i])->vtep = list[at + i];
			else
				out[i]->port = list[at + i];
		}
		if (own) {
			if (edge == EDGE_ENCAP)
				node_meta(m)->vtep = list[n - 1];
			else
				m->port = list[n - 1];
			out[got++] = m;
		}
		if (got > 0)
			rte_node_enqueue(graph, node, edge, (void **)out, (uint16_t)got);
	}
}

static void flood_one(struct rte_graph *graph, struct rte_node *node, struct worker *w,
	struct rte_mbuf *m, unsigned int *budget, uint64_t now)
{
	struct trace *trace = node_trace(w);
	const struct meta meta = *node_meta(m);
	const struct bd *bd = bd_get(w->tables->bds, meta.bd);
	const bool from_overlay = meta.vtep != VTEP_NONE;
	const uint16_t in = from_overlay ? PORT_NONE : m->port;
	uint16_t ports[PORT_TBL_MAX];
	unsigned int n_ports = 0, n_vteps = 0;
	enum drop_reason reason = DROP_COUNT;

	if (likely(bd != NULL)) {
		for (unsigned int i = 0; i < bd->n_ports; i++)
			if (bd->ports[i] != in)
				ports[n_ports++] = bd->ports[i];
		n_vteps = from_overlay || bd->vni == VNI_NONE ? 0 : bd->n_flood;
	}
	if (unlikely(n_ports + n_vteps == 0))
		reason = DROP_FLOOD_NOWHERE;
	else if (unlikely(n_ports + n_vteps > *budget))
		reason = DROP_FLOOD_LIMIT;
	else
		reason = police_flood(w, m, in, meta.bd, now);
	if (unlikely(reason != DROP_COUNT)) {
		rte_node_enqueue_x1(graph, node, node_drop(w, node, m, reason), m);
		return;
	}
	*budget -= n_ports + n_vteps;
	stat_add(&w->segments[meta.bd].flood_packets, 1);
	NODE_TRACE(
		trace, m, node, "domain %u: %u local ports, %u vteps", meta.bd, n_ports, n_vteps);
	flood_to(graph, node, w, m, EDGE_PORT_TX, ports, n_ports, n_vteps == 0);
	if (n_vteps > 0)
		flood_to(graph, node, w, m, EDGE_ENCAP, bd->flood, n_vteps, true);
}

static uint16_t flood(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t n)
{
	struct worker *w = node_worker(node);
	unsigned int budget = COPIES_MAX;
	const uint64_t now = rte_rdtsc();

	for (unsigned int i = 0; i < n; i++)
		flood_one(graph, node, w, objs[i], &budget, now);
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
