/*
 * VXLAN for one of our VTEPs: the header is checked and taken off, the inner frame delivered.
 *
 * Accepted is only what has the I flag (reserved bits are ignored, RFC 7348 section 5), a known VNI
 * and a source that is a VTEP of that segment, sent to the segment's own address. Inner source
 * MACs are never learnt from data: EVPN is the source. What came by the overlay never returns to
 * it.
 */
#include "dataplane/nodes/node.h"
#include "dataplane/nodes/tags.h"

#include <rte_ip.h>
#include <rte_udp.h>
#include <rte_vxlan.h>

enum {
	EDGE_PORT_TX = 1,
	EDGE_FLOOD,
	EDGES,
};

#define VXLAN_FLAG_I 0x08000000u
#define DELIVER      UINT16_MAX

/* What look-ups of earlier packets gave; most packets of a burst come from few VTEPs. */
struct recent {
	uint32_t vni;
	rte_be32_t local;
	rte_be32_t remote;
	const struct bd *bd;
	uint16_t vtep;
	bool ok;
};

#define RECENT 16

/* One call of the node: what is known, and what is not yet in a segment's counters. */
struct decap {
	struct recent recent[RECENT];
	uint16_t bd;
	uint32_t packets;
	uint64_t octets;
};

static inline struct recent *recent_at(struct decap *d, uint32_t vni, rte_be32_t remote)
{
	return &d->recent[(rte_be_to_cpu_32(remote) ^ vni) % RECENT];
}

static inline void decap_keep(struct worker *w, struct decap *d)
{
	stat_add(&w->segments[d->bd].decap_packets, d->packets);
	stat_add(&w->segments[d->bd].decap_bytes, d->octets);
	d->packets = 0;
	d->octets = 0;
}

static inline enum drop_reason recent_find(
	struct worker *w, struct recent *r, uint32_t vni, const struct rte_ipv4_hdr *ip)
{
	uint16_t bd;

	if (likely(r->ok && r->vni == vni && r->remote == ip->src_addr && r->local == ip->dst_addr))
		return DROP_COUNT;
	r->ok = false;
	bd = bd_by_vni(w->tables->bds, vni);
	r->bd = bd == BD_NONE ? NULL : bd_get(w->tables->bds, bd);
	if (r->bd == NULL)
		return DROP_UNKNOWN_VNI;
	r->vtep = vtep_lookup(&w->tables->vteps, ip->dst_addr, ip->src_addr);
	if (r->vtep == VTEP_NONE || r->bd->local != ip->dst_addr || !bd_allows(r->bd, r->vtep))
		return DROP_UNKNOWN_VTEP;
	r->vni = vni;
	r->local = ip->dst_addr;
	r->remote = ip->src_addr;
	r->ok = true;
	return DROP_COUNT;
}

/* Check and take off the outer headers. DELIVER: *key is to be looked up; else the edge. */
static inline rte_edge_t decap_one(struct worker *w, const struct rte_node *node,
	struct trace *trace, struct rte_mbuf *m, struct decap *d, uint64_t *key)
{
	struct meta *meta = node_meta(m);
	const uint32_t l4 = meta->l3;
	const uint8_t *frame = rte_pktmbuf_mtod(m, const uint8_t *);
	const struct rte_ipv4_hdr *ip = (const struct rte_ipv4_hdr *)(frame + RTE_ETHER_HDR_LEN);
	const struct rte_udp_hdr *udp = (const struct rte_udp_hdr *)(frame + l4);
	const struct rte_vxlan_hdr *vxlan = (const struct rte_vxlan_hdr *)(udp + 1);
	const uint32_t head = l4 + (uint32_t)(sizeof(*udp) + sizeof(*vxlan));
	const uint8_t *inner = frame + head;
	enum drop_reason reason;
	struct recent *r;
	uint64_t smac, dmac;
	uint32_t udp_len, vni;

	udp_len = rte_be_to_cpu_16(udp->dgram_len);
	if (unlikely(m->data_len < head || udp_len < sizeof(*udp) + sizeof(*vxlan) ||
		     l4 + udp_len > m->pkt_len))
		return node_drop(w, node, m, DROP_VXLAN_TRUNCATED);
	if (unlikely(!(vxlan->vx_flags & rte_cpu_to_be_32(VXLAN_FLAG_I))))
		return node_drop(w, node, m, DROP_VXLAN_FLAGS);
	vni = rte_be_to_cpu_32(vxlan->vx_vni) >> 8;
	r = recent_at(d, vni, ip->src_addr);
	reason = recent_find(w, r, vni, ip);
	if (unlikely(reason != DROP_COUNT))
		return node_drop(w, node, m, reason);
	if (unlikely(m->data_len < head + RTE_ETHER_HDR_LEN ||
		     udp_len < sizeof(*udp) + sizeof(*vxlan) + RTE_ETHER_HDR_LEN))
		return node_drop(w, node, m, DROP_INNER_TRUNCATED);
	if (unlikely(l4 + udp_len < m->pkt_len))
		node_shorten(m, l4 + udp_len);
	dmac = node_mac(inner);
	smac = node_mac(inner + 6);
	if (unlikely(node_mac_is_group(smac) || smac == 0))
		return node_drop(w, node, m, DROP_BAD_SRC_MAC);
	if (unlikely(tag_at(inner + MACS_LEN)))
		return node_drop(w, node, m, DROP_VLAN_TAGGED);

	m->data_off = (uint16_t)(m->data_off + head);
	m->data_len = (uint16_t)(m->data_len - head);
	m->pkt_len -= head;
	meta->bd = r->bd->id;
	meta->vtep = r->vtep;
	*key = rte_cpu_to_le_64((uint64_t)r->bd->id << 48 | dmac);
	if (unlikely(r->bd->id != d->bd)) {
		decap_keep(w, d);
		d->bd = r->bd->id;
	}
	d->packets++;
	d->octets += m->pkt_len;
	stat_add(&w->vteps[r->vtep].rx_packets, 1);
	stat_add(&w->vteps[r->vtep].rx_bytes, m->pkt_len);
	NODE_TRACE(trace, m, node, "vni %u, domain %u, from vtep %u", r->vni, r->bd->id, r->vtep);
	return DELIVER;
}

static inline rte_edge_t deliver_edge(struct worker *w, const struct rte_node *node,
	struct trace *trace, struct rte_mbuf *m, uint64_t key, uint32_t to)
{
	const uint32_t index = fdb_dest_index(to);
	const struct ac *ac;

	switch (fdb_dest_kind(to)) {
	case FDB_KIND_AC:
		ac = ac_get(&w->tables->acs, index);
		if (unlikely(ac_bd(&w->tables->acs, index) != fdb_key_bd(key)))
			return node_drop(w, node, m, DROP_FDB_STALE);
		if (index >= AC_TAGGED && unlikely(!tags_push(m, ac)))
			return node_drop(w, node, m, DROP_NO_BUFFER);
		m->port = ac->port;
		NODE_TRACE(trace, m, node, "destination is at local port %s%s%s",
			w->ports[ac->port] ? w->ports[ac->port]->spec.name : "?",
			index >= AC_TAGGED ? " vlan " : "",
			ac_tags_text(&w->tables->acs, (uint16_t)index).text);
		return EDGE_PORT_TX;
	case FDB_KIND_VTEP:
		return node_drop(w, node, m, DROP_SPLIT_HORIZON);
	case FDB_KIND_DROP:
		return node_drop(w, node, m, DROP_FDB_BLACKHOLE);
	default:
		return EDGE_FLOOD;
	}
}

static void decap_chunk(struct rte_graph *graph, struct rte_node *node, struct worker *w,
	struct decap *d, struct rte_mbuf **pkts, unsigned int n)
{
	struct trace *trace = node_trace(w);
	uint64_t keys[NODE_CHUNK];
	uint32_t to[NODE_CHUNK];
	uint8_t place[NODE_CHUNK];
	rte_edge_t edges[NODE_CHUNK];
	unsigned int k = 0;

	for (unsigned int i = 0; i < n; i++) {
		edges[i] = decap_one(w, node, trace, pkts[i], d, &keys[k]);
		if (likely(edges[i] == DELIVER))
			place[k++] = (uint8_t)i;
	}
	fdb_lookup_bulk(w->tables->fdb, keys, k, to);
	for (unsigned int j = 0; j < k; j++)
		edges[place[j]] = deliver_edge(w, node, trace, pkts[place[j]], keys[j], to[j]);
	node_hand_on(graph, node, edges, (void **)pkts, n);
}

static uint16_t vxlan_decap(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t n)
{
	struct worker *w = node_worker(node);
	struct decap decap = {.bd = BD_NONE};

	for (unsigned int at = 0; at < n; at += NODE_CHUNK)
		decap_chunk(graph, node, w, &decap, (struct rte_mbuf **)objs + at,
			RTE_MIN(n - at, (unsigned int)NODE_CHUNK));
	decap_keep(w, &decap);
	return n;
}

static struct rte_node_register vxlan_decap_node = {
	.name = "vxlan_decap",
	.process = vxlan_decap,
	.nb_edges = EDGES,
	.next_nodes =
		{
			[EDGE_DROP] = "drop",
			[EDGE_PORT_TX] = "port_tx",
			[EDGE_FLOOD] = "flood",
		},
};
RTE_NODE_REGISTER(vxlan_decap_node)
