/*
 * Tenants' frames that are larger than their way takes: the sender is told by ICMP where that is
 * due (icmp_answer.h), and the frame ends.
 *
 * From vxlan_encap (meta->vtep is the VTEP it was for) and, when the way is an access port, from
 * port_tx (meta->vtep is VTEP_NONE); meta->limit is what would have passed. The answer is a frame
 * of the segment like any other: where it goes, the FDB says of the sender's MAC; a sender that the
 * FDB does not know gets none. Answers are limited by segment, so that one tenant's do not use up
 * another's. An answer that is itself too large comes back here, and is not answered.
 */
#include "dataplane/nodes/node.h"

#include <rte_cycles.h>

#include "dataplane/nodes/flow.h"
#include "dataplane/nodes/icmp_answer.h"
#include "dataplane/nodes/tags.h"

enum {
	EDGE_PORT_TX = 1,
	EDGE_ENCAP,
	EDGES,
};

#define ANSWERS_A_SECOND 100 /* by segment and worker */
#define ANSWERS_AT_ONCE  50

/* Take one answer of domain `bd`: a token bucket, kept as the time at which it would be full. */
static bool answer_take(struct worker *w, uint16_t bd)
{
	const uint64_t step = rte_get_tsc_hz() / ANSWERS_A_SECOND, now = rte_rdtsc();
	uint64_t *full = &w->answers[bd];

	if (*full < now)
		*full = now;
	if (*full - now > step * (ANSWERS_AT_ONCE - 1))
		return false;
	*full += step;
	return true;
}

/* Where the sender of `frame` is; EDGE_DROP: nowhere that is known. Sets the answer's way. */
static rte_edge_t sender_edge(
	struct worker *w, uint16_t bd, const uint8_t *frame, uint16_t *ac, uint16_t *vtep)
{
	const uint64_t key = rte_cpu_to_le_64((uint64_t)bd << 48 | node_mac(frame + 6));
	uint32_t at;

	fdb_lookup_bulk(w->tables->fdb, &key, 1, &at);
	switch (fdb_dest_kind(at)) {
	case FDB_KIND_AC:
		*ac = (uint16_t)fdb_dest_index(at);
		return ac_bd(&w->tables->acs, *ac) == bd ? EDGE_PORT_TX : EDGE_DROP;
	case FDB_KIND_VTEP:
		*vtep = (uint16_t)fdb_dest_index(at);
		return EDGE_ENCAP;
	default:
		return EDGE_DROP;
	}
}

static void too_big_one(
	struct rte_graph *graph, struct rte_node *node, struct worker *w, struct rte_mbuf *m)
{
	const struct meta meta = *node_meta(m);
	const uint32_t have = RTE_MIN(m->pkt_len, (uint32_t)ICMP_HEAD_MAX);
	enum drop_reason reason = meta.vtep == VTEP_NONE ? DROP_TX_TOO_BIG : DROP_ENCAP_TOO_BIG;
	uint16_t ac = AC_NONE, vtep = VTEP_NONE;
	struct trace *trace = node_trace(w);
	uint8_t buf[ICMP_HEAD_MAX];
	struct icmp_answer a;
	struct rte_mbuf *to;
	const uint8_t *frame;
	rte_edge_t edge;

	frame = rte_pktmbuf_read(m, 0, have, buf);
	if (frame == NULL || have < RTE_ETHER_HDR_LEN ||
		!icmp_too_big_due(frame, have, m->pkt_len, meta.limit, &a))
		goto end;
	edge = sender_edge(w, meta.bd, frame, &ac, &vtep);
	if (edge == EDGE_DROP)
		goto end;
	if (!answer_take(w, meta.bd)) {
		reason = DROP_TOO_BIG_RATE;
		goto end;
	}
	to = rte_pktmbuf_alloc(w->pool);
	if (to == NULL || rte_pktmbuf_tailroom(to) < icmp_too_big_len(&a)) {
		rte_pktmbuf_free(to);
		goto end;
	}
	to->data_len = icmp_too_big_len(&a);
	to->pkt_len = to->data_len;
	to->port = m->port;
	icmp_too_big_write(&a, frame, rte_pktmbuf_mtod(to, uint8_t *));
	/* the frame may have had the tags of its way out already: the answer goes another way */
	if (a.l3 > RTE_ETHER_HDR_LEN)
		tags_pop(to, (uint16_t)(a.l3 - RTE_ETHER_HDR_LEN));
	if (edge == EDGE_PORT_TX) {
		if (ac >= AC_TAGGED)
			(void)tags_push(to, ac_get(&w->tables->acs, ac)); /* has room */
		to->port = ac_port(&w->tables->acs, ac);
	}
	node_meta(to)->hash = flow_hash_ether(rte_pktmbuf_mtod(to, uint8_t *), to->data_len);
	node_meta(to)->vtep = vtep;
	node_meta(to)->bd = meta.bd;
	rte_node_enqueue_x1(graph, node, edge, to);
	NODE_TRACE(trace, m, node, "its sender is told by ICMP: at most %u octets", a.mtu);
	reason = DROP_TOO_BIG_ANSWERED;
end:
	rte_node_enqueue_x1(graph, node, node_drop(w, node, m, reason), m);
}

static uint16_t too_big(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t n)
{
	struct worker *w = node_worker(node);

	for (unsigned int i = 0; i < n; i++)
		too_big_one(graph, node, w, objs[i]);
	return n;
}

static struct rte_node_register too_big_node = {
	.name = "too_big",
	.process = too_big,
	.nb_edges = EDGES,
	.next_nodes =
		{
			[EDGE_DROP] = "drop",
			[EDGE_PORT_TX] = "port_tx",
			[EDGE_ENCAP] = "vxlan_encap",
		},
};
RTE_NODE_REGISTER(too_big_node)
