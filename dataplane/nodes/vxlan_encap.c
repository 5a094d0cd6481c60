/*
 * Frames for a VTEP: the outer header is put in front, a leg of the VTEP's next-hop group chosen.
 *
 * The VTEP holds its header ready made and its group resolved (RFC 7348 section 5; no route is
 * looked up here); lengths, UDP source port (from the inner flow) and VNI are filled in and the
 * checksum updated. A VTEP must not fragment (section 4.3): what is too large goes to too_big, with
 * the octets that would have passed.
 */
#include "dataplane/nodes/node.h"

#include "dataplane/nodes/flow.h"

enum {
	EDGE_PORT_TX = 1,
	EDGE_TOO_BIG,
	EDGES,
};

#define OUTER_LEN (RTE_ETHER_HDR_LEN + VTEP_HDR_LEN)

/* What was done for one segment, not yet in its counters. */
struct tally {
	uint16_t bd;
	uint32_t packets;
	uint64_t octets;
};

static inline void tally_keep(struct worker *w, struct tally *t)
{
	stat_add(&w->segments[t->bd].encap_packets, t->packets);
	stat_add(&w->segments[t->bd].encap_bytes, t->octets);
	t->packets = 0;
	t->octets = 0;
}

static inline rte_edge_t encap_one(struct worker *w, const struct rte_node *node,
	struct trace *trace, struct rte_mbuf *m, const struct bd *bd, struct tally *tally)
{
	struct meta *meta = node_meta(m);
	const struct vtep *vtep = vtep_get(&w->tables->vteps, meta->vtep);
	const struct nhg *group = nhg_get(&w->tables->nhgs, vtep_nhg(vtep));
	const uint32_t inner_len = m->pkt_len;
	const struct adj *adj;
	uint8_t *outer;

	if (unlikely(group == NULL))
		return node_drop(w, node, m, DROP_VTEP_UNREACHABLE);
	adj = adj_get(&w->tables->adjs, nhg_select(group, meta->hash));
	if (unlikely(adj == NULL || !adj->resolved)) {
		if (adj != NULL)
			node_tell_probe(w, adj->index);
		return node_drop(w, node, m, DROP_NO_ADJACENCY);
	}
	if (unlikely(inner_len + VTEP_HDR_LEN > adj->mtu)) {
		meta->limit = adj->mtu < VTEP_HDR_LEN ? 0 : adj->mtu - (uint32_t)VTEP_HDR_LEN;
		return EDGE_TOO_BIG;
	}
	outer = (uint8_t *)rte_pktmbuf_prepend(m, OUTER_LEN);
	if (unlikely(outer == NULL))
		return node_drop(w, node, m, DROP_NO_BUFFER);
	memcpy(outer, adj->rewrite, RTE_ETHER_HDR_LEN);
	vtep_hdr_write(vtep, outer + RTE_ETHER_HDR_LEN, bd->vni, (uint16_t)inner_len,
		flow_source_port(meta->hash));
	m->port = adj->port;

	tally->packets++;
	tally->octets += inner_len;
	stat_add(&w->vteps[meta->vtep].tx_packets, 1);
	stat_add(&w->vteps[meta->vtep].tx_bytes, inner_len);
	if (unlikely(trace != NULL) && trace_marked(m)) {
		const uint8_t *to = (const uint8_t *)&vtep->remote;
		const uint8_t *hop = (const uint8_t *)&adj->addr;

		trace_step(trace, m, node->name, "vni %u -> vtep %u.%u.%u.%u, next hop %u.%u.%u.%u",
			bd->vni, to[0], to[1], to[2], to[3], hop[0], hop[1], hop[2], hop[3]);
	}
	return EDGE_PORT_TX;
}

static uint16_t vxlan_encap(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t n)
{
	struct worker *w = node_worker(node);
	struct trace *trace = node_trace(w);
	struct rte_mbuf **pkts = (struct rte_mbuf **)objs;
	rte_edge_t edges[NODE_CHUNK];
	const struct bd *bd = NULL;
	struct tally tally = {.bd = BD_NONE};

	for (unsigned int at = 0; at < n; at += NODE_CHUNK) {
		const unsigned int count = RTE_MIN(n - at, (unsigned int)NODE_CHUNK);

		for (unsigned int i = 0; i < count; i++) {
			struct rte_mbuf *m = pkts[at + i];
			const struct meta *meta = node_meta(m);

			if (meta->bd != tally.bd) {
				tally_keep(w, &tally);
				tally.bd = meta->bd;
				bd = bd_get(w->tables->bds, tally.bd);
			}
			/* the domain may have been removed since the look-up */
			if (unlikely(bd == NULL || bd->vni == VNI_NONE)) {
				edges[i] = node_drop(w, node, m, DROP_VTEP_UNREACHABLE);
				continue;
			}
			edges[i] = encap_one(w, node, trace, m, bd, &tally);
		}
		node_hand_on(graph, node, edges, objs + at, count);
	}
	tally_keep(w, &tally);
	return n;
}

static struct rte_node_register vxlan_encap_node = {
	.name = "vxlan_encap",
	.process = vxlan_encap,
	.nb_edges = EDGES,
	.next_nodes =
		{
			[EDGE_DROP] = "drop",
			[EDGE_PORT_TX] = "port_tx",
			[EDGE_TOO_BIG] = "too_big",
		},
};
RTE_NODE_REGISTER(vxlan_encap_node)
