/*
 * Token buckets for what goes to the kernel: one a port and class, so that a flood on one port or
 * of one class leaves the others' control traffic alone. What belongs to sessions that live is a
 * class apart from what only looks like it (control.h says which). Rates count packets, not octets.
 *
 * Each worker has its own buckets; nothing is shared.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <rte_meter.h>

#include "dataplane/nodes/drop.h"

enum punt_class {
	PUNT_ARP,     /* ARP and neighbour discovery from a MAC that carries a session */
	PUNT_ARP_NEW, /* of anybody else */
	PUNT_BGP,     /* TCP 179, of a session that the kernel holds */
	PUNT_BGP_NEW, /* without one, from a neighbour or VTEP; of strangers: PUNT_OTHER */
	PUNT_BFD,     /* UDP 3784, 4784 (RFC 5881, 5883) with a discriminator of ours */
	PUNT_BFD_NEW, /* without, from a neighbour or VTEP; echo */
	PUNT_ICMP,
	PUNT_OTHER,
	PUNT_CLASSES,
};

struct policer_rates {
	uint32_t pps[PUNT_CLASSES];   /* packets a second, at least 1 */
	uint32_t burst[PUNT_CLASSES]; /* packets at once, at least 1 */
};

extern const struct policer_rates policer_default;

struct policer {
	struct rte_meter_srtcm meter[PUNT_CLASSES];
	struct rte_meter_srtcm_profile profile[PUNT_CLASSES];
};

/* Set up full buckets. Returns 0 or -EINVAL (a rate or burst of 0). */
int policer_init(struct policer *p, const struct policer_rates *rates);

/* Take one packet of `class` at TSC `now`: true if it may pass. */
static inline bool policer_take(struct policer *p, enum punt_class class, uint64_t now)
{
	return rte_meter_srtcm_color_blind_check(&p->meter[class], &p->profile[class], now, 1) ==
	       RTE_COLOR_GREEN;
}

/* "arp", "bgp"... */
const char *punt_class_name(enum punt_class class);

/* The reason under which a class's refused packets are counted. */
enum drop_reason punt_class_drop(enum punt_class class);
