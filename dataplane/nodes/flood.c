/*
 * Frames for a whole segment: a copy to each local attachment circuit (AC) and, unless they came by
 * the overlay, to each VTEP of the flood list (ingress replication, RFC 8365 section 5.1.3).
 *
 * Split horizon: what came from an AC does not return to it; what came by the overlay
 * never goes to the overlay. Small frames are copied, the payload of large ones is shared between
 * indirect mbufs; the last place gets the frame itself. Work is bounded a call. What its port or
 * segment floods above its rate ends here, before any copy is made; known unicast never comes here.
 */
#include "dataplane/nodes/node.h"
#include "dataplane/nodes/tags.h"

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
		copy->port = m->port;
		rte_memcpy(rte_pktmbuf_mtod(copy, void *), data, len);
		*node_meta(copy) = *node_meta(m);
	}
	return n;
}

/* A frame that shares the payload of `m`; for a VTEP with an mbuf in front for the outer
 * header. */
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
	head->port = m->port;
	*node_meta(head) = *node_meta(m);
	return head;
}

/* A frame for a tagged AC that shares the payload of `m`: MACs and tags are in an mbuf in front. */
static struct rte_mbuf *copy_tagged(struct worker *w, struct rte_mbuf *m, const struct ac *ac)
{
	struct rte_mbuf *head = copy_shared(w, m, true), *rest;

	if (unlikely(head == NULL))
		return NULL;
	rest = head->next;
	rest->data_off = (uint16_t)(rest->data_off + MACS_LEN);
	rest->data_len = (uint16_t)(rest->data_len - MACS_LEN);
	memcpy(rte_pktmbuf_mtod(head, void *), rte_pktmbuf_mtod(m, const void *), MACS_LEN);
	head->data_len = MACS_LEN;
	if (unlikely(!tags_push(head, ac))) {
		rte_pktmbuf_free(head);
		return NULL;
	}
	return head;
}

/* Make up to n copies of `m`, for the ACs or VTEPs of `list`; returns how many there was memory
 * for. Copies for tagged ACs have their tags. */
static unsigned int copies_make(struct worker *w, struct rte_mbuf *m, struct rte_mbuf **copies,
	rte_edge_t edge, const uint16_t *list, unsigned int n)
{
	const struct ac_tbl *acs = &w->tables->acs;
	const bool vteps = edge == EDGE_ENCAP;
	unsigned int got = 0;

	if (n == 0)
		return 0;
	if (m->next == NULL && m->data_len <= COPY_MAX) {
		got = copies_small(w, m, copies, n);
		for (unsigned int i = 0; !vteps && i < got; i++)
			if (list[i] >= AC_TAGGED)
				(void)tags_push(copies[i], ac_get(acs, list[i])); /* has room */
	} else {
		for (; got < n; got++) {
			copies[got] = !vteps && list[got] >= AC_TAGGED
					      ? copy_tagged(w, m, ac_get(acs, list[got]))
					      : copy_shared(w, m, vteps);
			if (copies[got] == NULL)
				break;
		}
	}
	if (unlikely(trace_marked(m))) {
		for (unsigned int i = 0; i < got; i++) {
			copies[i]->ol_flags |= TRACE_MARK;
			memcpy(copies[i]->dynfield1, m->dynfield1, sizeof(m->dynfield1));
		}
	}
	return got;
}

/* May `m` itself go to this place? Not when its octets would change that others share. */
static bool own_fits(struct worker *w, struct rte_mbuf *m, rte_edge_t edge, uint16_t place)
{
	if (edge == EDGE_ENCAP || place < AC_TAGGED)
		return true;
	return RTE_MBUF_DIRECT(m) && rte_mbuf_refcnt_read(m) == 1 &&
	       tags_push(m, ac_get(&w->tables->acs, place));
}

/* Send `m` to the `count` (1 .. GROUP_MAX) places of `list`; `own`: the last one gets `m` itself.
 */
static void group_to(struct rte_graph *graph, struct rte_node *node, struct worker *w,
	struct rte_mbuf *m, rte_edge_t edge, const uint16_t *list, unsigned int count, bool own)
{
	struct rte_mbuf *out[GROUP_MAX];
	unsigned int want = count - own;
	unsigned int got = copies_make(w, m, out, edge, list, want);
	bool spent = false; /* `m` was in no state to be sent itself */

	for (unsigned int i = got; unlikely(i < want); i++)
		node_drop(w, node, m, DROP_NO_BUFFER);
	if (own && unlikely(!own_fits(w, m, edge, list[want]))) {
		spent = true;
		own = false;
		if (got == want && copies_make(w, m, &out[got], edge, &list[want], 1) == 1)
			got = ++want;
		else
			node_drop(w, node, m, DROP_NO_BUFFER);
	}
	for (unsigned int i = 0; i < got; i++) {
		if (edge == EDGE_ENCAP)
			node_meta(out[i])->vtep = list[i];
		else
			out[i]->port = ac_port(&w->tables->acs, list[i]);
	}
	if (own) {
		if (edge == EDGE_ENCAP)
			node_meta(m)->vtep = list[count - 1];
		else
			m->port = ac_port(&w->tables->acs, list[count - 1]);
		out[got++] = m;
	}
	if (spent)
		rte_pktmbuf_free(m);
	if (got > 0)
		rte_node_enqueue(graph, node, edge, (void **)out, (uint16_t)got);
}

/* Send `m` to each of the n places (not 0) of `list` but `skip` (ACs or VTEPs, as `edge` says);
 * `last`: nobody comes after them, so the last one gets `m` itself. */
static void flood_to(struct rte_graph *graph, struct rte_node *node, struct worker *w,
	struct rte_mbuf *m, rte_edge_t edge, const uint16_t *list, unsigned int n, uint16_t skip,
	bool last)
{
	uint16_t places[GROUP_MAX];

	for (unsigned int at = 0, left = n; left > 0;) {
		unsigned int count = 0;

		for (; count < RTE_MIN(left, (unsigned int)GROUP_MAX); at++) {
			places[count] = list[at];
			count += list[at] != skip;
		}
		left -= count;
		group_to(graph, node, w, m, edge, places, count, last && left == 0);
	}
}

/* How many ACs of the domain a frame from the AC `in` goes to. */
static unsigned int acs_count(const struct bd *bd, uint16_t in)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < bd->n_acs; i++)
		n += bd->acs[i] != in;
	return n;
}

static void flood_one(struct rte_graph *graph, struct rte_node *node, struct worker *w,
	struct rte_mbuf *m, unsigned int *budget, uint64_t now)
{
	struct trace *trace = node_trace(w);
	const struct meta meta = *node_meta(m);
	const struct bd *bd = bd_get(w->tables->bds, meta.bd);
	const bool from_overlay = meta.vtep != VTEP_NONE;
	const uint16_t in = from_overlay ? AC_NONE : node_ac(m);
	unsigned int n_acs = 0, n_vteps = 0;
	enum drop_reason reason = DROP_COUNT;

	if (likely(bd != NULL)) {
		n_acs = acs_count(bd, in);
		n_vteps = from_overlay || bd->vni == VNI_NONE ? 0 : bd->n_flood;
	}
	if (unlikely(n_acs + n_vteps == 0))
		reason = DROP_FLOOD_NOWHERE;
	else if (unlikely(n_acs + n_vteps > *budget))
		reason = DROP_FLOOD_LIMIT;
	else
		reason = police_flood(w, m, from_overlay ? PORT_NONE : m->port, meta.bd, now);
	if (unlikely(reason != DROP_COUNT)) {
		rte_node_enqueue_x1(graph, node, node_drop(w, node, m, reason), m);
		return;
	}
	*budget -= n_acs + n_vteps;
	stat_add(&w->segments[meta.bd].flood_packets, 1);
	NODE_TRACE(trace, m, node, "domain %u: %u local attachments, %u vteps", meta.bd, n_acs,
		n_vteps);
	flood_to(graph, node, w, m, EDGE_PORT_TX, bd->acs, n_acs, in, n_vteps == 0);
	if (n_vteps > 0)
		flood_to(graph, node, w, m, EDGE_ENCAP, bd->flood, n_vteps, VTEP_NONE, true);
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
