/*
 * Control traffic between the backbone and the kernel: what a packet is, whether it belongs to a
 * session that the kernel holds, and so by which rate it may go to the kernel.
 *
 * punt asks for what comes in, tap_rx tells of what the kernel sends. Reads the frame as it is and
 * trusts nothing in it.
 */
#pragma once

#include <stdint.h>

#include <rte_mbuf.h>

#include "dataplane/nodes/drop.h"
#include "dataplane/nodes/policer.h"
#include "dataplane/tables/tables.h"

/* Durations in ticks of the worker's clock (struct worker's tick), see control_times_init(). */
struct control_times {
	uint32_t bgp;      /* an established session counts for so long after the kernel sent */
	uint32_t bfd;      /* a discriminator */
	uint32_t per_ms16; /* ticks in 16 ms */
};

void control_times_init(struct control_times *t, uint64_t tsc_hz, unsigned int tick_shift);

/*
 * The class of a frame received on `port` for the kernel. *reason: DROP_COUNT, or why it must not
 * go there whatever its rate. `now` in ticks.
 */
enum punt_class control_class(struct tables *tables, const struct control_times *times,
	const struct rte_mbuf *m, uint16_t port, uint32_t now, enum drop_reason *reason);

/* The kernel has sent this frame. */
void control_sent(struct tables *tables, const struct control_times *times,
	const struct rte_mbuf *m, uint32_t now);
