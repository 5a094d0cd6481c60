/* Packet traces: matching and recording. Called by nodes for marked frames only; see trace.h. */
#include "dataplane/nodes/trace.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <rte_errno.h>
#include <rte_ip.h>
#include <rte_mbuf_dyn.h>
#include <rte_udp.h>
#include <rte_vxlan.h>

/* The last of the nine dynamic words holds the slot. */
#define SLOT_WORD 8

int trace_register(void)
{
	const struct rte_mbuf_dynfield field = {
		.name = "audums_trace_slot",
		.size = sizeof(uint32_t),
		.align = __alignof__(uint32_t),
	};
	const struct rte_mbuf_dynflag flag = {.name = "audums_trace_mark"};
	const size_t offset = offsetof(struct rte_mbuf, dynfield1) + SLOT_WORD * sizeof(uint32_t);

	if (rte_mbuf_dynfield_register_offset(&field, offset) < 0)
		return -rte_errno;
	if (rte_mbuf_dynflag_register_bitnum(&flag, TRACE_MARK_BIT) < 0)
		return -rte_errno;
	return 0;
}

static bool ether_has(const struct rte_ether_hdr *eth, const struct rte_ether_addr *mac)
{
	return rte_is_same_ether_addr(&eth->dst_addr, mac) ||
	       rte_is_same_ether_addr(&eth->src_addr, mac);
}

static bool frame_has_mac(const struct rte_mbuf *m, const struct rte_ether_addr *mac)
{
	const struct rte_ether_hdr *eth = rte_pktmbuf_mtod(m, const struct rte_ether_hdr *);
	const struct rte_ipv4_hdr *ip = (const struct rte_ipv4_hdr *)(eth + 1);
	const struct rte_udp_hdr *udp;
	uint32_t off;

	if (m->data_len < sizeof(*eth))
		return false;
	if (ether_has(eth, mac))
		return true;
	if (eth->ether_type != rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4) ||
		m->data_len < sizeof(*eth) + sizeof(*ip) || ip->next_proto_id != IPPROTO_UDP)
		return false;
	off = (uint32_t)sizeof(*eth) + (uint32_t)(ip->version_ihl & 0xf) * 4;
	if (m->data_len < off + sizeof(*udp) + sizeof(struct rte_vxlan_hdr) + sizeof(*eth))
		return false;
	udp = rte_pktmbuf_mtod_offset(m, const struct rte_udp_hdr *, off);
	if (udp->dst_port != rte_cpu_to_be_16(RTE_VXLAN_DEFAULT_PORT))
		return false;
	off += (uint32_t)(sizeof(*udp) + sizeof(struct rte_vxlan_hdr));
	return ether_has(rte_pktmbuf_mtod_offset(m, const struct rte_ether_hdr *, off), mac);
}

bool trace_match(struct trace *t, struct rte_mbuf *m, uint16_t port, uint16_t worker)
{
	struct trace_frame *f;
	uint32_t slot;

	if (t->port != TRACE_ANY_PORT && t->port != port)
		return false;
	if (!t->any_mac && !frame_has_mac(m, &t->mac))
		return false;
	if (__atomic_load_n(&t->used, __ATOMIC_RELAXED) >= t->count)
		return false;
	slot = __atomic_fetch_add(&t->used, 1, __ATOMIC_RELAXED);
	if (slot >= t->count)
		return false;
	f = &t->frames[slot];
	f->port = port;
	f->worker = worker;
	f->length = m->pkt_len;
	f->step_count = 0;
	f->head_len = (uint16_t)RTE_MIN(m->data_len, TRACE_HEAD_MAX);
	memcpy(f->head, rte_pktmbuf_mtod(m, const void *), f->head_len);
	m->ol_flags |= TRACE_MARK;
	m->dynfield1[SLOT_WORD] = slot;
	return true;
}

static struct trace_step *step_next(struct trace *t, const struct rte_mbuf *m, const char *node)
{
	const uint32_t slot = m->dynfield1[SLOT_WORD];
	struct trace_frame *f;
	struct trace_step *s;

	if (slot >= TRACE_FRAMES_MAX)
		return NULL;
	f = &t->frames[slot];
	if (f->step_count >= TRACE_STEPS_MAX) {
		if (f->step_count < UINT16_MAX)
			f->step_count++;
		return NULL;
	}
	s = &f->steps[f->step_count++];
	s->node = node;
	s->detail[0] = '\0';
	s->drop = -1;
	return s;
}

void trace_step(struct trace *t, const struct rte_mbuf *m, const char *node, const char *fmt, ...)
{
	struct trace_step *s = step_next(t, m, node);
	va_list ap;

	if (s == NULL)
		return;
	va_start(ap, fmt);
	vsnprintf(s->detail, sizeof(s->detail), fmt, ap);
	va_end(ap);
}

void trace_drop(
	struct trace *t, const struct rte_mbuf *m, const char *node, enum drop_reason reason)
{
	struct trace_step *s = step_next(t, m, node);

	if (s == NULL)
		return;
	s->drop = (int16_t)reason;
	snprintf(s->detail, sizeof(s->detail), "dropped: %s", drop_text(reason));
}

uint32_t trace_finish(struct trace *t, uint16_t worker)
{
	uint32_t used = __atomic_load_n(&t->used, __ATOMIC_RELAXED);
	uint32_t n = 0;

	used = RTE_MIN(used, t->count);
	for (uint32_t i = 0; i < used; i++) {
		struct trace_frame *f = &t->frames[i];

		/* head_len is zero until its worker has filled the slot */
		if (f->worker != worker || f->done || f->head_len == 0)
			continue;
		__atomic_store_n(&f->done, 1, __ATOMIC_RELEASE);
		n++;
	}
	if (n > 0)
		__atomic_fetch_add(&t->finished, n, __ATOMIC_RELEASE);
	return n;
}
