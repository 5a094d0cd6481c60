/*
 * Finishes what virtual interfaces leave to hardware: partial checksums and segmentation of
 * super-frames, as a virtio_net_hdr in front of a frame describes it (virtio 1.2, section 5.1.6).
 *
 * Pure functions on octets, no DPDK: used by packet.c before the graph, and by the holder's pump.
 * Everything in header and frame is untrusted: what contradicts itself is refused with -EBADMSG.
 *
 * A super-frame may itself be in a tunnel, one level deep (a Linux VTEP or a cluster's network
 * behind a virtual interface): VXLAN, Geneve, GRE without checksum and sequence number, IP in IP.
 * Outer headers are then carried along, segment by segment.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/virtio_net.h>

#ifndef VIRTIO_NET_HDR_GSO_UDP_L4 /* headers before Linux 6.2 */
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

#define OFFLOAD_HEADER_MAX   384 /* all headers of a super-frame up to the payload */
#define OFFLOAD_GSO_SIZE_MIN 8   /* smaller would make a flood of one frame */

/* True when the frame needs no work. */
static inline bool offload_none(const struct virtio_net_hdr *vh)
{
	return (vh->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) == 0 &&
	       vh->gso_type == VIRTIO_NET_HDR_GSO_NONE;
}

/*
 * Finish the checksum of the `len` octets at `frame`: the ones' complement sum from `csum_start` to
 * the end is folded in at csum_start + csum_offset, where the pseudo header's sum already is
 * (RFC 1071). `csum_start` counts from `frame`. A UDP sum that comes out as zero is written as
 * 0xffff (RFC 768). Of SCTP it is the CRC of RFC 9260, as Linux means it there. Returns 0, or
 * -EBADMSG when the positions lie outside the frame.
 */
int offload_csum_finish(uint8_t *frame, size_t len, uint16_t csum_start, uint16_t csum_offset);

/* Walks over a super-frame; made by offload_gso_init(), the frame must outlive it. */
struct offload_gso {
	const uint8_t *frame;
	uint32_t len;                /* octets of the frame */
	uint32_t header_len;         /* Ethernet up to the payload */
	uint32_t next;               /* offset of the next segment's first octet of payload */
	uint16_t gso_size;           /* payload of each segment but the last */
	uint16_t index;              /* of the next segment */
	uint16_t l3, l4;             /* offsets of the innermost IP and TCP/UDP headers */
	uint16_t outer_l3, outer_l4; /* the tunnel's, 0 = none; outer_l4 is behind its IP header */
	bool l3_v6, outer_v6, outer_udp, udp;
	bool csum_zero; /* UDP without checksum */
};

/* One frame of the walk: `header` then `payload`. */
struct offload_segment {
	uint16_t header_len;
	uint8_t header[OFFLOAD_HEADER_MAX];
	const uint8_t *payload; /* within the super-frame */
	uint32_t payload_len;
};

/*
 * Prepare to segment the `len` octets at `frame`, described by `vh` in the machine's byte order (as
 * AF_PACKET gives it): TCP over IPv4 or IPv6, UDP_L4; up to two 802.1Q or 802.1ad tags, IPv6
 * extension headers, a tunnel around it. Returns 0, or -EBADMSG: unknown kind, headers that do not
 * fit the kind or lie outside the frame, fragment, gso_size too small.
 */
int offload_gso_init(
	struct offload_gso *gso, const struct virtio_net_hdr *vh, const uint8_t *frame, size_t len);

/*
 * If it is plain UDP to VXLAN's port, give its datagrams no checksum (RFC 7348 section 5, RFC
 * 6935): they are VTEPs' packets put together by coalesce.h, which had none.
 */
void offload_gso_vxlan_plain(struct offload_gso *gso);

/*
 * Give the next segment: lengths, IPv4 identification (counting up) and header checksum, TCP
 * sequence, FIN and PSH only on the last, CWR only on the first, TCP/UDP checksum. Returns true, or
 * false when the super-frame is used up.
 */
bool offload_gso_next(struct offload_gso *gso, struct offload_segment *segment);
