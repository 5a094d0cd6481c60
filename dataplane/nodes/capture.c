/* Captures: what matches, and the rings. See capture.h. */
#include "dataplane/dpdk_compat.h"

#include "dataplane/nodes/capture.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rte_cycles.h>
#include <rte_ip.h>
#include <rte_udp.h>
#include <rte_vxlan.h>

#include "dataplane/nodes/node.h"

#define RING_END 0 /* capture_frame.size, which no frame has: the rest of the ring is not used */

struct capture *capture_create(
	const struct capture_filter *filter, uint32_t count, unsigned int workers)
{
	const size_t size = sizeof(struct capture) + workers * sizeof(struct capture_ring);
	struct capture *c =
		aligned_alloc(RTE_CACHE_LINE_SIZE, RTE_ALIGN_CEIL(size, RTE_CACHE_LINE_SIZE));
	struct timespec now;

	if (c == NULL)
		return NULL;
	memset(c, 0, size);
	c->filter = *filter;
	c->left = count;
	for (c->workers = 0; c->workers < workers; c->workers++) {
		c->rings[c->workers].data = malloc(CAPTURE_RING);
		if (c->rings[c->workers].data == NULL) {
			capture_destroy(c);
			return NULL;
		}
	}
	clock_gettime(CLOCK_REALTIME, &now);
	c->base_tsc = rte_rdtsc();
	c->base_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
	return c;
}

void capture_destroy(struct capture *c)
{
	if (c == NULL)
		return;
	for (unsigned int i = 0; i < c->workers; i++)
		free(c->rings[i].data);
	free(c);
}

void capture_close(struct capture *c)
{
	__atomic_store_n(&c->left, 0, __ATOMIC_RELAXED);
}

uint64_t capture_lost(const struct capture *c)
{
	uint64_t lost = 0;

	for (unsigned int i = 0; i < c->workers; i++)
		lost += stat_read(&c->rings[i].lost);
	return lost;
}

uint64_t capture_time(const struct capture *c, uint64_t tsc)
{
	const uint64_t hz = rte_get_tsc_hz(), passed = tsc - c->base_tsc;

	return c->base_ns + passed / hz * 1000000000 + passed % hz * 1000000000 / hz;
}

/* ---- the ring ----------------------------------------------------------------------------- */

static inline struct capture_frame *ring_at(const struct capture_ring *r, uint64_t place)
{
	return (struct capture_frame *)(r->data + (place & (CAPTURE_RING - 1)));
}

const struct capture_frame *capture_peek(struct capture *c, unsigned int worker)
{
	struct capture_ring *r = &c->rings[worker];
	const uint64_t head = __atomic_load_n(&r->head, __ATOMIC_ACQUIRE);

	while (r->tail != head) {
		const struct capture_frame *f = ring_at(r, r->tail);
		const uint32_t rest = CAPTURE_RING - (uint32_t)(r->tail & (CAPTURE_RING - 1));

		if (rest >= sizeof(*f) && f->size != RING_END)
			return f;
		__atomic_store_n(&r->tail, r->tail + rest, __ATOMIC_RELEASE);
	}
	return NULL;
}

void capture_next(struct capture *c, unsigned int worker)
{
	struct capture_ring *r = &c->rings[worker];

	__atomic_store_n(&r->tail, r->tail + ring_at(r, r->tail)->size, __ATOMIC_RELEASE);
}

/* Room for `size` octets in one piece, and where; NULL: the reader is behind. */
static struct capture_frame *ring_reserve(struct capture_ring *r, uint32_t size, uint64_t *new_head)
{
	const uint64_t tail = __atomic_load_n(&r->tail, __ATOMIC_ACQUIRE);
	const uint32_t rest = CAPTURE_RING - (uint32_t)(r->head & (CAPTURE_RING - 1));
	uint64_t at = r->head;

	if (rest < size)
		at += rest;
	if (at + size - tail > CAPTURE_RING)
		return NULL;
	if (at != r->head && rest >= sizeof(struct capture_frame))
		ring_at(r, r->head)->size = RING_END;
	*new_head = at + size;
	return ring_at(r, at);
}

/* Take one off the frames that are wanted; false: none is. */
static bool left_take(struct capture *c)
{
	uint32_t left = __atomic_load_n(&c->left, __ATOMIC_RELAXED);

	while (left != 0 && left != CAPTURE_FOREVER)
		if (__atomic_compare_exchange_n(
			    &c->left, &left, left - 1, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
			return true;
	return left != 0;
}

static void frame_keep(struct capture *c, const struct worker *w, const struct rte_mbuf *m,
	struct capture_frame what)
{
	struct capture_ring *r = &c->rings[w->id];
	struct capture_frame *f;
	uint64_t head;
	uint8_t *to;

	what.length = m->pkt_len;
	what.kept = RTE_MIN(m->pkt_len, c->filter.snaplen);
	what.size = (uint32_t)(sizeof(what) + RTE_ALIGN_CEIL(what.kept, 8u));
	f = ring_reserve(r, what.size, &head);
	if (f == NULL) {
		stat_add(&r->lost, 1);
		return;
	}
	if (!left_take(c))
		return;
	*f = what;
	to = (uint8_t *)(f + 1);
	for (uint32_t at = 0; at < what.kept && m != NULL; m = m->next) {
		const uint32_t n = RTE_MIN((uint32_t)m->data_len, what.kept - at);

		memcpy(to + at, rte_pktmbuf_mtod(m, const void *), n);
		at += n;
	}
	__atomic_store_n(&r->head, head, __ATOMIC_RELEASE);
}

/* ---- what matches ------------------------------------------------------------------------- */

/* VNI of a frame on an uplink; 0 where it is no VXLAN. */
static uint32_t outer_vni(const struct rte_mbuf *m)
{
	const uint8_t *frame = rte_pktmbuf_mtod(m, const uint8_t *);
	uint32_t off = RTE_ETHER_HDR_LEN;
	const uint8_t *vxlan;
	rte_be16_t type, port;

	if (m->data_len < off + sizeof(struct rte_ipv4_hdr))
		return 0;
	memcpy(&type, frame + 12, sizeof(type));
	if (type == rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4)) {
		const struct rte_ipv4_hdr *ip = (const struct rte_ipv4_hdr *)(frame + off);

		if (ip->next_proto_id != IPPROTO_UDP ||
			(ip->fragment_offset & rte_cpu_to_be_16(RTE_IPV4_HDR_OFFSET_MASK)) != 0)
			return 0;
		off += (uint32_t)(ip->version_ihl & 0xf) * 4;
	} else if (type == rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV6)) {
		if (m->data_len < off + sizeof(struct rte_ipv6_hdr) ||
			frame[off + 6] != IPPROTO_UDP)
			return 0;
		off += (uint32_t)sizeof(struct rte_ipv6_hdr);
	} else {
		return 0;
	}
	if (m->data_len < off + sizeof(struct rte_udp_hdr) + sizeof(struct rte_vxlan_hdr))
		return 0;
	memcpy(&port, frame + off + 2, sizeof(port));
	if (port != rte_cpu_to_be_16(VXLAN_PORT))
		return 0;
	vxlan = frame + off + sizeof(struct rte_udp_hdr);
	return (uint32_t)vxlan[4] << 16 | (uint32_t)vxlan[5] << 8 | vxlan[6];
}

static uint32_t domain_vni(const struct worker *w, uint16_t id)
{
	const struct bd *bd = bd_get(w->tables->bds, id);

	return bd != NULL ? bd->vni : 0;
}

/* The attachment circuit of a frame with its tags on; the port's untagged one where no AC has them,
 * as is where such a frame is counted. */
static uint16_t tags_ac(const struct worker *w, const struct rte_mbuf *m, uint16_t port)
{
	const uint8_t *frame = rte_pktmbuf_mtod(m, const uint8_t *);
	const struct ac_tbl *acs = &w->tables->acs;
	const struct ac_outer *outer;
	const struct ac_inner *inner;
	uint16_t tag[4], ac = 0;

	if (m->data_len < RTE_ETHER_HDR_LEN + RTE_VLAN_HLEN)
		return port;
	for (unsigned int i = 0; i < RTE_DIM(tag); i++)
		tag[i] = (uint16_t)(frame[12 + 2 * i] << 8 | frame[13 + 2 * i]);
	if (tag[0] != VLAN_TPID_Q && tag[0] != VLAN_TPID_AD)
		return port;
	outer = ac_outer(acs, port, tag[0] == VLAN_TPID_AD);
	if (outer == NULL)
		return port;
	inner = ac_inner(acs, outer, tag[1] & (VLAN_VIDS - 1));
	if (inner != NULL && tag[2] == VLAN_TPID_Q &&
		m->data_len >= RTE_ETHER_HDR_LEN + 2 * RTE_VLAN_HLEN)
		ac = ac_double(inner, tag[3] & (VLAN_VIDS - 1));
	if (ac == 0)
		ac = ac_single(outer, tag[1] & (VLAN_VIDS - 1));
	return ac != 0 ? ac : port;
}

/* Segment of a frame as it is on the wire of `port`. */
static uint32_t wire_vni(const struct worker *w, const struct rte_mbuf *m, uint16_t port)
{
	if (port_get(&w->tables->ports, port)->kind != PORT_KIND_ACCESS)
		return outer_vni(m);
	return domain_vni(w, ac_bd(&w->tables->acs, tags_ac(w, m, port)));
}

void capture_burst(struct capture *c, struct worker *w, enum capture_where where, uint16_t port,
	struct rte_mbuf *const *pkts, uint16_t n)
{
	struct capture_frame what = {.port = port, .where = (uint8_t)where};

	if (!(c->filter.where & where) || capture_closed(c) ||
		(c->filter.port != CAPTURE_ANY_PORT && c->filter.port != port))
		return;
	what.tsc = rte_rdtsc();
	for (uint16_t i = 0; i < n; i++) {
		what.vni = wire_vni(w, pkts[i], port);
		if (c->filter.vni == 0 || c->filter.vni == what.vni)
			frame_keep(c, w, pkts[i], what);
	}
}

/* Segment of a frame that ends: what the nodes noted once the outer header is off, or not on yet;
 * else what the frame itself says. */
static uint32_t drop_vni(
	const struct worker *w, const struct rte_mbuf *m, const char *node, enum drop_reason reason)
{
	const uint16_t bd = node_meta((struct rte_mbuf *)(uintptr_t)m)->bd;
	const bool known = strcmp(node, "flood") == 0 || strcmp(node, "vxlan_encap") == 0;

	if (known || (strcmp(node, "vxlan_decap") == 0 &&
			     (reason == DROP_SPLIT_HORIZON || reason == DROP_FDB_STALE ||
				     reason == DROP_FDB_BLACKHOLE)))
		return domain_vni(w, bd);
	if (m->port >= PORT_TBL_MAX)
		return 0;
	/* its tags are off, and with them what said the segment */
	if (strcmp(node, "access_input") == 0 &&
		(reason == DROP_FDB_SAME_PORT || reason == DROP_FDB_STALE ||
			reason == DROP_FDB_BLACKHOLE) &&
		(ac_outer(&w->tables->acs, m->port, false) != NULL ||
			ac_outer(&w->tables->acs, m->port, true) != NULL))
		return 0;
	return wire_vni(w, m, m->port);
}

void capture_drop(struct capture *c, struct worker *w, const struct rte_mbuf *m, const char *node,
	enum drop_reason reason)
{
	struct capture_frame what = {
		.port = m->port,
		.where = CAPTURE_DROP,
		.drop = (uint8_t)reason,
		.node = node,
	};

	if (!(c->filter.where & CAPTURE_DROP) || !c->filter.drops[reason] || capture_closed(c) ||
		(c->filter.port != CAPTURE_ANY_PORT && c->filter.port != m->port))
		return;
	what.vni = drop_vni(w, m, node, reason);
	if (c->filter.vni != 0 && c->filter.vni != what.vni)
		return;
	what.tsc = rte_rdtsc();
	frame_keep(c, w, m, what);
}
