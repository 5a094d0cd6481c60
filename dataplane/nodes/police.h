/*
 * Storm control as the flood node applies it: the kind of a frame, and whether its port and its
 * segment may flood one more of that kind.
 *
 * Only frames that are about to be flooded pay for it. The port's meter is asked first: what a port
 * floods above its own rate takes nothing from the segment's other ports.
 */
#pragma once

#include "dataplane/nodes/node.h"

static inline enum storm_class police_class(const struct rte_mbuf *m)
{
	const uint64_t dmac = node_mac(rte_pktmbuf_mtod(m, const void *));

	if (!node_mac_is_group(dmac))
		return STORM_UNKNOWN;
	return dmac == 0xffffffffffffULL ? STORM_BROADCAST : STORM_MULTICAST;
}

/*
 * May `m`, from access port `port` (PORT_NONE: from the overlay), be flooded in domain `bd` at TSC
 * `now`? Counts it. DROP_COUNT: yes; else the reason to drop it for.
 */
static inline enum drop_reason police_flood(
	struct worker *w, const struct rte_mbuf *m, uint16_t port, uint16_t bd, uint64_t now)
{
	static const enum drop_reason reasons[STORM_CLASSES] = {
		[STORM_BROADCAST] = DROP_STORM_BROADCAST,
		[STORM_UNKNOWN] = DROP_STORM_UNKNOWN,
		[STORM_MULTICAST] = DROP_STORM_MULTICAST,
	};
	struct storm *s = &w->tables->limits.storm;
	const enum storm_class class = police_class(m);
	const bool access = port != PORT_NONE;
	uint64_t *port_counts = access ? &w->storms[port].flood_broadcast : NULL;
	uint64_t *bd_counts = &w->segments[bd].flood_broadcast;
	struct storm_set *set = storm_bd(s, bd, access ? STORM_ACCESS : STORM_OVERLAY);

	if (access) {
		if (unlikely(!storm_take(
			    &s->ports[port].meters[class], &s->port_default[class], now))) {
			stat_add(&port_counts[STORM_CLASSES + class], 1);
			return reasons[class];
		}
		stat_add(&port_counts[class], 1);
	}
	if (unlikely(!storm_take(&set->meters[class], &s->bd_default[class], now))) {
		stat_add(&bd_counts[STORM_CLASSES + class], 1);
		return reasons[class];
	}
	stat_add(&bd_counts[class], 1);
	return DROP_COUNT;
}
