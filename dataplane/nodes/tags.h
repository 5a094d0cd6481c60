/*
 * VLAN tags of tenants' frames: found and taken off where a frame comes in, put on where it goes
 * out. Segments' frames carry none (RFC 7348 section 6.1).
 *
 * Only the MACs move, by four or eight octets; the payload stays where it is, so a frame whose
 * octets are shared must not be given to tags_push(). Priority bits end with the tag they are in. A
 * frame with VID 0 carries a priority and no VLAN (IEEE 802.1Q, 9.6): it counts as untagged.
 */
#pragma once

#include <string.h>

#include <rte_branch_prediction.h>
#include <rte_ether.h>
#include <rte_mbuf.h>

#include "dataplane/nodes/drop.h"
#include "dataplane/tables/tables.h"

#define TAG_LEN  4
#define TAGS_LEN (TAG_LEN * AC_TAGS_MAX) /* the most that is put on a frame */
#define MACS_LEN (2 * RTE_ETHER_ADDR_LEN)

/* Is there a tag where the type of an Ethernet header would be? */
static inline bool tag_at(const uint8_t *type)
{
	rte_be16_t v;

	memcpy(&v, type, sizeof(v));
	return v == rte_cpu_to_be_16(VLAN_TPID_Q) || v == rte_cpu_to_be_16(VLAN_TPID_AD);
}

static inline uint16_t tag_vid(const uint8_t *tag)
{
	return (uint16_t)((tag[2] & 0xf) << 8 | tag[3]);
}

static inline bool tag_is_service(const uint8_t *tag)
{
	return tag[0] == VLAN_TPID_AD >> 8;
}

static inline void macs_move(uint8_t *to, const uint8_t *from)
{
	uint64_t a;
	uint32_t b;

	memcpy(&a, from, sizeof(a));
	memcpy(&b, from + sizeof(a), sizeof(b));
	memcpy(to, &a, sizeof(a));
	memcpy(to + sizeof(a), &b, sizeof(b));
}

/* Take `len` octets of tags off; they and the header are in the first segment. */
static inline void tags_pop(struct rte_mbuf *m, uint16_t len)
{
	uint8_t *frame = rte_pktmbuf_mtod(m, uint8_t *);

	macs_move(frame + len, frame);
	m->data_off = (uint16_t)(m->data_off + len);
	m->data_len = (uint16_t)(m->data_len - len);
	m->pkt_len -= len;
}

/* Put the tags of a tagged AC on. False: no headroom, nothing was done. */
static inline bool tags_push(struct rte_mbuf *m, const struct ac *ac)
{
	const uint16_t len = (uint16_t)(ac->n_tags * TAG_LEN);
	uint8_t *frame = (uint8_t *)rte_pktmbuf_prepend(m, len);

	if (unlikely(frame == NULL))
		return false;
	macs_move(frame, frame + len);
	memcpy(frame + MACS_LEN, &ac->tags[0], TAG_LEN);
	if (ac->n_tags > 1)
		memcpy(frame + MACS_LEN + TAG_LEN, &ac->tags[1], TAG_LEN);
	return true;
}

/* A frame whose outer VID may have a second tag. *len: octets of tags that say what it is. */
static inline uint16_t tags_double(const struct ac_inner *inner, const struct rte_mbuf *m,
	const uint8_t *tag, uint16_t ac, uint16_t *len)
{
	if (!tag_at(tag + TAG_LEN))
		return ac;
	if (m->data_len < RTE_ETHER_HDR_LEN + TAGS_LEN || tag_is_service(tag + TAG_LEN))
		return 0;
	*len = TAGS_LEN;
	if (tag_vid(tag + TAG_LEN) == 0)
		return ac;
	return ac_double(inner, tag_vid(tag + TAG_LEN));
}

/*
 * The frame `m` from `port` has a tag: find its AC (*ac) and take its tags off. Returns DROP_COUNT,
 * or why it is to be dropped; it is then as it came, but for priority tags.
 */
static inline enum drop_reason tags_input(
	const struct ac_tbl *acs, struct rte_mbuf *m, uint16_t port, uint16_t *ac)
{
	const uint8_t *tag = rte_pktmbuf_mtod_offset(m, const uint8_t *, MACS_LEN);
	const struct ac_outer *outer;
	const struct ac_inner *inner;
	uint16_t vid, id, len = TAG_LEN;

	if (unlikely(m->data_len < RTE_ETHER_HDR_LEN + TAG_LEN))
		return DROP_TRUNCATED;
	vid = tag_vid(tag);
	if (unlikely(vid == 0)) {
		if (!tag_at(tag + TAG_LEN)) {
			tags_pop(m, TAG_LEN);
			*ac = port;
			return DROP_COUNT;
		}
		/* a priority tag outside of others, as Linux takes it off too; once */
		if (m->data_len < RTE_ETHER_HDR_LEN + TAGS_LEN)
			return DROP_TRUNCATED;
		vid = tag_vid(tag + TAG_LEN);
		tags_pop(m, TAG_LEN);
		tag += TAG_LEN;
	}
	outer = ac_outer(acs, port, tag_is_service(tag));
	if (unlikely(outer == NULL))
		return acs->outer[port][0] != NULL || acs->outer[port][1] != NULL
			       ? DROP_VLAN_UNKNOWN
			       : DROP_VLAN_TAGGED;
	id = ac_single(outer, vid);
	inner = ac_inner(acs, outer, vid);
	if (unlikely(inner != NULL))
		id = tags_double(inner, m, tag, id, &len);
	if (unlikely(id == 0))
		return DROP_VLAN_UNKNOWN;
	if (unlikely(tag_at(tag + len)))
		return DROP_VLAN_TAGGED;
	tags_pop(m, len);
	*ac = id;
	return DROP_COUNT;
}
