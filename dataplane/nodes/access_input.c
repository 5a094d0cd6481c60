/*
 * Tenants' frames as they come from access ports: to which segment, from whom, where to.
 *
 * Port and tags say the attachment circuit (AC) and so the segment; tags are taken off here. An
 * untagged frame's AC has its port's number.
 * Source and destination MACs of up to NODE_CHUNK frames are looked up at once. A source that the
 * FDB does not know at this AC is told to the main thread, which learns it by way of the
 * kernel; nothing is written here but its age stamp.
 */
#include "dataplane/nodes/node.h"

#include "dataplane/nodes/flow.h"
#include "dataplane/nodes/tags.h"

enum {
	EDGE_PORT_TX = 1,
	EDGE_ENCAP,
	EDGE_FLOOD,
	EDGES,
};

/* 01:80:c2:00:00:00 .. 0f (IEEE 802.1Q table 8-1) as node_mac() gives them */
#define RESERVED_MAC      0x0000c28001ULL
#define RESERVED_MAC_MASK 0xf0ffffffffffULL

static void access_chunk(struct rte_graph *graph, struct rte_node *node, struct worker *w,
	struct rte_mbuf **pkts, unsigned int n)
{
	struct tables *tables = w->tables;
	struct trace *trace = node_trace(w);
	uint64_t src[NODE_CHUNK], dst[NODE_CHUNK];
	uint32_t expect[NODE_CHUNK], from[NODE_CHUNK], to[NODE_CHUNK];
	uint16_t in[NODE_CHUNK];
	uint8_t place[NODE_CHUNK];
	rte_edge_t edges[NODE_CHUNK];
	uint16_t port = PORT_NONE;
	uint16_t port_bd = BD_NONE; /* of the port's untagged frames */
	unsigned int k = 0;

	for (unsigned int i = 0; i < NODE_AHEAD; i++)
		node_prefetch(pkts, i, n);
	for (unsigned int i = 0; i < n; i++) {
		struct rte_mbuf *m = pkts[i];
		const uint8_t *frame = rte_pktmbuf_mtod(m, const uint8_t *);
		uint64_t smac, dmac;
		uint16_t ac, bd;

		node_prefetch(pkts, i + NODE_AHEAD, n);
		if (m->port != port) {
			port = m->port;
			port_bd = ac_bd(&tables->acs, port);
		}
		if (unlikely(m->data_len < RTE_ETHER_HDR_LEN)) {
			edges[i] = node_drop(w, node, m, DROP_TRUNCATED);
			continue;
		}
		dmac = node_mac(frame);
		smac = node_mac(frame + 6);
		if (unlikely(node_mac_is_group(smac) || smac == 0)) {
			edges[i] = node_drop(w, node, m, DROP_BAD_SRC_MAC);
			continue;
		}
		if (unlikely(smac == w->macs[port])) {
			edges[i] = node_drop(w, node, m, DROP_OWN_MAC);
			continue;
		}
		if (unlikely((dmac & RESERVED_MAC_MASK) == RESERVED_MAC)) {
			edges[i] = node_drop(w, node, m, DROP_LINK_LOCAL_MAC);
			continue;
		}
		ac = port;
		bd = port_bd;
		if (unlikely(tag_at(frame + MACS_LEN))) {
			const enum drop_reason reason = tags_input(&tables->acs, m, port, &ac);

			if (unlikely(reason != DROP_COUNT)) {
				edges[i] = node_drop(w, node, m, reason);
				continue;
			}
			bd = ac_bd(&tables->acs, ac);
		}
		if (unlikely(bd == BD_NONE)) {
			edges[i] = node_drop(w, node, m, DROP_PORT_UNATTACHED);
			continue;
		}
		src[k] = rte_cpu_to_le_64((uint64_t)bd << 48 | smac);
		dst[k] = rte_cpu_to_le_64((uint64_t)bd << 48 | dmac);
		expect[k] = fdb_dest(FDB_KIND_AC, ac);
		in[k] = ac;
		place[k++] = (uint8_t)i;
	}
	fdb_switch_bulk(tables->fdb, src, expect, dst, k, w->now, from, to);

	for (unsigned int j = 0; j < k; j++) {
		const unsigned int i = place[j];
		struct rte_mbuf *m = pkts[i];
		struct meta *meta = node_meta(m);
		const uint32_t index = fdb_dest_index(to[j]);
		const uint16_t bd = fdb_key_bd(dst[j]);
		const struct ac *ac;

		if (unlikely(from[j] != expect[j]))
			node_tell_learn(w, src[j], from[j], in[j]);
		switch (fdb_dest_kind(to[j])) {
		case FDB_KIND_VTEP:
			meta->hash =
				flow_hash_ether(rte_pktmbuf_mtod(m, const uint8_t *), m->data_len);
			meta->vtep = (uint16_t)index;
			meta->bd = bd;
			edges[i] = EDGE_ENCAP;
			NODE_TRACE(
				trace, m, node, "domain %u, destination is at vtep %u", bd, index);
			break;
		case FDB_KIND_AC:
			if (unlikely(index == in[j])) {
				edges[i] = node_drop(w, node, m, DROP_FDB_SAME_PORT);
				break;
			}
			/* the AC may have left the segment before its entries did */
			ac = ac_get(&tables->acs, index);
			if (unlikely(ac_bd(&tables->acs, index) != bd)) {
				edges[i] = node_drop(w, node, m, DROP_FDB_STALE);
				break;
			}
			if (index >= AC_TAGGED && unlikely(!tags_push(m, ac))) {
				edges[i] = node_drop(w, node, m, DROP_NO_BUFFER);
				break;
			}
			meta->bd = bd;
			m->port = ac->port;
			edges[i] = EDGE_PORT_TX;
			NODE_TRACE(trace, m, node, "domain %u, destination is at local port %s%s%s",
				bd, w->ports[ac->port] ? w->ports[ac->port]->spec.name : "?",
				index >= AC_TAGGED ? " vlan " : "",
				ac_tags_text(&tables->acs, (uint16_t)index).text);
			break;
		case FDB_KIND_DROP:
			edges[i] = node_drop(w, node, m, DROP_FDB_BLACKHOLE);
			break;
		default:
			meta->hash =
				flow_hash_ether(rte_pktmbuf_mtod(m, const uint8_t *), m->data_len);
			meta->vtep = VTEP_NONE;
			meta->bd = bd;
			node_set_ac(m, in[j]);
			edges[i] = EDGE_FLOOD;
			NODE_TRACE(trace, m, node, "domain %u, destination is %s: flood", bd,
				node_mac_is_group(rte_le_to_cpu_64(dst[j])) ? "a group"
									    : "unknown");
			break;
		}
	}
	node_hand_on(graph, node, edges, (void **)pkts, n);
}

static uint16_t access_input(
	struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t n)
{
	struct worker *w = node_worker(node);

	for (unsigned int at = 0; at < n; at += NODE_CHUNK)
		access_chunk(graph, node, w, (struct rte_mbuf **)objs + at,
			RTE_MIN(n - at, (unsigned int)NODE_CHUNK));
	return n;
}

static struct rte_node_register access_input_node = {
	.name = "access_input",
	.process = access_input,
	.nb_edges = EDGES,
	.next_nodes =
		{
			[EDGE_DROP] = "drop",
			[EDGE_PORT_TX] = "port_tx",
			[EDGE_ENCAP] = "vxlan_encap",
			[EDGE_FLOOD] = "flood",
		},
};
RTE_NODE_REGISTER(access_input_node)
