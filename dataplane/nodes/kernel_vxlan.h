/*
 * Which frames that the kernel sends on a TAP are VXLAN, its fragments too. Called by tap_rx.
 *
 * Only the first fragment of a packet has the UDP port. The kernel sends it first, so its source,
 * destination and identification are remembered for the ones behind it. Bounded: what is forgotten
 * because many packets are sent in pieces at once passes, as a fragment without its first is of no
 * use to any receiver.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define KERNEL_FRAGMENTED 64 /* a power of two */

struct kernel_fragmented {
	uint64_t key; /* 0: none */
	uint32_t until;
} __attribute__((aligned(16)));

/*
 * Is the Ethernet frame (untagged or with up to two tags), of which `len` octets are readable,
 * VXLAN or a later fragment of it? `seen` is the caller's table of KERNEL_FRAGMENTED, zeroed at
 * first; `now` are seconds of any clock.
 */
bool kernel_vxlan(struct kernel_fragmented *seen, const uint8_t *frame, uint32_t len, uint32_t now);
