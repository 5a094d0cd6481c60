/*
 * VTEPs: pairs (our address, their address) with the outer header ready made (RFC 7348, 5).
 *
 * The 36 octets of IPv4 + UDP + VXLAN are written once; per packet only lengths, UDP source port
 * and VNI are filled in, and the IPv4 checksum is updated, not computed (RFC 1624). The next-hop
 * group is resolved by the control side, so no route is looked up per packet: one 16-bit store
 * moves all traffic of a VTEP. The main thread alone writes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rte_byteorder.h>
#include <rte_common.h>
#include <rte_ip.h>
#include <rte_udp.h>

#include "dataplane/tables/rcu.h"

#define VTEP_NONE     0 /* index 0 is never given out */
#define VXLAN_PORT    4789
#define VXLAN_HDR_LEN 8
#define VTEP_HDR_LEN  36 /* IPv4 + UDP + VXLAN */

struct vtep_hdr {
	struct rte_ipv4_hdr ip; /* DF set, TTL 64, total_length 0 and hdr_checksum to match */
	struct rte_udp_hdr udp; /* destination 4789, checksum 0 */
	rte_be32_t flags;       /* 0x08000000 */
	rte_be32_t vni;         /* 0: the VNI << 8 goes here */
} __rte_packed __rte_aligned(2);

struct vtep {
	struct vtep_hdr hdr;
	uint16_t nhg;      /* hot: next-hop group; NHG_NONE = unreachable */
	rte_be32_t local;  /* = hdr.ip.src_addr */
	rte_be32_t remote; /* = hdr.ip.dst_addr */
} __rte_cache_aligned;

struct vtep_index; /* the look-up by address */
struct vtep_gone;

struct vtep_tbl {
	struct vtep *vteps;
	const struct vtep_index *index;
	uint32_t *refs; /* holders; 0 = free or going */
	uint64_t *busy;
	struct vtep_gone *gone; /* what waits for a grace period, by index */
	uint16_t max;
	uint16_t end;
	uint16_t count;
	struct rcu *rcu;
};

/* Indexes 1 .. max. 0, -EINVAL or -ENOMEM. */
int vtep_tbl_init(struct vtep_tbl *t, struct rcu *rcu, uint16_t max);
void vtep_tbl_fini(struct vtep_tbl *t);

/* Main thread: the VTEP of this pair, made if needed (next-hop group NHG_NONE); takes a reference.
 * Returns its index, -EINVAL, -ENOSPC or -ENOMEM. */
int vtep_hold(struct vtep_tbl *t, rte_be32_t local, rte_be32_t remote);

/* Main thread: give back a reference; the last one removes it. */
void vtep_release(struct vtep_tbl *t, uint16_t index);

/* Main thread: from now on send by this group. */
void vtep_set_nhg(struct vtep_tbl *t, uint16_t index, uint16_t nhg);

/* Workers and main: index of the VTEP (their source address, our destination address), VTEP_NONE
 * if unknown. */
uint16_t vtep_lookup(const struct vtep_tbl *t, rte_be32_t local, rte_be32_t remote);

/* Workers: the VTEP `index` (as found in FDB, flood list or look-up). */
static inline const struct vtep *vtep_get(const struct vtep_tbl *t, uint16_t index)
{
	return &t->vteps[index];
}

static inline uint16_t vtep_nhg(const struct vtep *v)
{
	return __atomic_load_n(&v->nhg, __ATOMIC_ACQUIRE);
}

/*
 * Workers: write the outer header for an inner frame of `inner_len` octets (Ethernet header
 * included, no FCS) to `to` (VTEP_HDR_LEN octets). `src_port` in host order.
 */
static inline void vtep_hdr_write(
	const struct vtep *v, void *to, uint32_t vni, uint16_t inner_len, uint16_t src_port)
{
	struct vtep_hdr *h = (struct vtep_hdr *)to;
	uint16_t len = rte_cpu_to_be_16((uint16_t)(inner_len + VTEP_HDR_LEN));
	uint32_t sum = (uint16_t)~v->hdr.ip.hdr_checksum;

	*h = v->hdr;
	sum += len;
	sum = (sum & 0xffff) + (sum >> 16);
	h->ip.total_length = len;
	h->ip.hdr_checksum = (uint16_t)~sum;
	h->udp.src_port = rte_cpu_to_be_16(src_port);
	h->udp.dgram_len = rte_cpu_to_be_16((uint16_t)(inner_len + VTEP_HDR_LEN - 20));
	h->vni = rte_cpu_to_be_32(vni << 8);
}
