/*
 * What every graph node shares: its worker, what travels with a packet, drops, traces, and handing
 * packets on.
 *
 * A node file has one order: purpose, includes, edges, process function, registration. Edge 0 of
 * each node is `drop`. Nodes read tables, write only their worker's state and the packets.
 *
 * mbuf->port is where the packet came in, until a node has chosen where it goes out; then it is
 * that. struct meta says the rest; a tenant's frame to be flooded also carries the attachment
 * circuit it came in by (node_ac()).
 */
#pragma once

#include "dataplane/dpdk_compat.h"

#include <assert.h>
#include <string.h>

#include <rte_branch_prediction.h>
#include <rte_graph.h>
#include <rte_graph_worker.h>
#include <rte_mbuf.h>
#include <rte_prefetch.h>

#include "dataplane/nodes/capture.h"
#include "dataplane/worker.h"

/* Packets looked up together. */
#define NODE_CHUNK 64

#define EDGE_DROP  0

/* Travels with a packet between nodes, in the place of mbuf->hash (8 octets, first cache line). */
struct meta {
	union {
		uint32_t hash;  /* flow */
		uint32_t limit; /* to too_big: octets of frame that would have passed */
	};
	union {
		uint16_t vtep; /* to vxlan_encap: where to; to flood: where from, VTEP_NONE = access
				*/
		uint16_t group; /* to ip4_forward: next-hop group */
		uint16_t l3;    /* to vxlan_decap: octets up to the UDP header */
	};
	uint16_t bd; /* the segment: to vxlan_encap, flood, and by port_tx to too_big */
};

static_assert(sizeof(struct meta) == sizeof(((struct rte_mbuf *)0)->hash.fdir.lo) * 2,
	"struct meta does not fit its place");

static inline struct meta *node_meta(struct rte_mbuf *m)
{
	return (struct meta *)&m->hash;
}

/* The AC by which a frame that is to be flooded came in, from access_input to flood; in the place
 * of mbuf->vlan_tci, which is not used for tags here. */
static inline uint16_t node_ac(const struct rte_mbuf *m)
{
	return m->vlan_tci;
}

static inline void node_set_ac(struct rte_mbuf *m, uint16_t ac)
{
	m->vlan_tci = ac;
}

static inline struct worker *node_worker(const struct rte_node *node)
{
	struct worker *w;

	memcpy(&w, node->ctx, sizeof(w));
	return w;
}

/* The six octets at `mac` as a number; eight must be readable there. */
static inline uint64_t node_mac(const void *mac)
{
	uint64_t v;

	memcpy(&v, mac, sizeof(v));
	return rte_le_to_cpu_64(v) & 0xffffffffffffULL;
}

/* The group bit of such a number. */
static inline bool node_mac_is_group(uint64_t mac)
{
	return (mac & 1) != 0;
}

/* Note what a node decided; costs nothing without a session. */
#define NODE_TRACE(t, m, node, ...)                                                                \
	do {                                                                                       \
		if (unlikely((t) != NULL) && trace_marked(m))                                      \
			trace_step((t), (m), (node)->name, __VA_ARGS__);                           \
	} while (0)

static inline struct trace *node_trace(const struct worker *w)
{
	return __atomic_load_n(&w->trace, __ATOMIC_ACQUIRE);
}

static inline struct capture *node_capture(const struct worker *w)
{
	return __atomic_load_n(&w->capture, __ATOMIC_ACQUIRE);
}

/* Count (and trace, capture) the end of `m`; gives the edge on which it goes to its end. */
static inline rte_edge_t node_drop(struct worker *w, const struct rte_node *node,
	const struct rte_mbuf *m, enum drop_reason reason)
{
	struct trace *t = node_trace(w);
	struct capture *c = node_capture(w);

	stat_add(&w->drops[reason], 1);
	if (unlikely(c != NULL))
		capture_drop(c, w, m, node->name, reason);
	if (unlikely(t != NULL) && trace_marked(m))
		trace_drop(t, m, node->name, reason);
	return EDGE_DROP;
}

/* How far ahead of the present packet the next ones' octets are fetched. */
#define NODE_AHEAD 4

/* Fetch the first octets of packet `i` of n, if there is one. */
static inline void node_prefetch(struct rte_mbuf **pkts, unsigned int i, unsigned int n)
{
	if (likely(i < n))
		rte_prefetch0(rte_pktmbuf_mtod(pkts[i], const void *));
}

/* Hand each of n packets to its edge, runs of the same one together. All of a node's packets on
 * one edge, which is the rule, go as they are: the two nodes swap their arrays. */
static inline void node_hand_on(struct rte_graph *graph, struct rte_node *node,
	const rte_edge_t *edges, void **objs, unsigned int n)
{
	unsigned int start = 0;

	if (likely(n > 0 && objs == node->objs && n == node->idx &&
		    memcmp(edges, edges + 1, (n - 1) * sizeof(*edges)) == 0)) {
		rte_node_next_stream_move(graph, node, edges[0]);
		return;
	}
	while (start < n) {
		unsigned int end = start + 1;

		while (end < n && edges[end] == edges[start])
			end++;
		rte_node_enqueue(graph, node, edges[start], &objs[start], (uint16_t)(end - start));
		start = end;
	}
}

/* Cut a packet to `len` octets (not above its length), through segments. */
static inline void node_shorten(struct rte_mbuf *m, uint32_t len)
{
	uint32_t left = len;
	uint16_t segs = 1;
	struct rte_mbuf *s = m;

	if (likely(m->next == NULL)) {
		m->data_len = (uint16_t)len;
		m->pkt_len = len;
		return;
	}
	while (left > s->data_len && s->next != NULL) {
		left -= s->data_len;
		s = s->next;
		segs++;
	}
	s->data_len = (uint16_t)left;
	rte_pktmbuf_free(s->next);
	s->next = NULL;
	m->nb_segs = segs;
	m->pkt_len = len;
}

/*
 * Tell the main thread something, once in a while for the same thing. Bounded: when the queue is
 * full the event is counted as lost and comes again with the next packet after a pause.
 */
void node_tell_learn(struct worker *w, uint64_t key, uint32_t saw, uint16_t ac);
void node_tell_probe(struct worker *w, uint16_t adj);
