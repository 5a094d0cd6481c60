/*
 * Frames of one flow that leave by a virtual interface together are handed to the kernel as one
 * super-frame: what such a frame costs there (an skb, the way through veth and bridge, a wake-up, a
 * pass of the receiver's TCP) is paid once. The inverse of offload.h.
 *
 * Two kinds: TCP for a workload, which arrives there as if its own kernel had received it by GRO,
 * and VXLAN packets between VTEPs, as UDP segmentation offload knows them. Pure functions on
 * octets; called by packet.c with what one burst sends.
 *
 * Invariant: a super-frame, segmented by offload.h or by the kernel, gives the very frames it was
 * made of (but for the identification of IPv4 headers with DF, RFC 6864), in their order. What
 * would not come out so, a wrong checksum for one, is left as it is. Frames of one flow never
 * overtake each other.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <linux/virtio_net.h>

#define COALESCE_FRAMES   32  /* a burst */
#define COALESCE_HEAD_MAX 160 /* Ethernet, two tags, IPv6 and a TCP header with all options */

enum coalesce_kind {
	COALESCE_TCP,   /* to workloads */
	COALESCE_VXLAN, /* to VTEPs */
};

struct coalesce_frame {
	const uint8_t *octets;
	uint32_t len;
};

/* Frames that are sent together: those of the batch from `first`, linked by `next`. */
struct coalesce_run {
	struct virtio_net_hdr vh; /* all zero when there is but one frame, which is sent as it is */
	uint8_t head[COALESCE_HEAD_MAX]; /* of several: their headers in one, instead of their own
					  */
	uint16_t head_len;
	uint8_t frames;
	uint8_t first, last;

	/* private */
	bool open, v6, known;
	uint16_t l3, l4;
	uint16_t size;  /* payload of each frame but the last */
	uint32_t total; /* payload so far */
};

struct coalesce {
	unsigned int n; /* runs */
	struct coalesce_run runs[COALESCE_FRAMES];
	uint8_t next[COALESCE_FRAMES]; /* frame -> the run's next one; COALESCE_FRAMES: none */
};

/*
 * Sort the n (<= COALESCE_FRAMES) frames of a burst into runs, each frame into one, in the order of
 * their first frames. A frame of length 0 is not to be looked at: it is a run of its own.
 */
void coalesce(struct coalesce *c, enum coalesce_kind kind, const struct coalesce_frame *frames,
	unsigned int n);
