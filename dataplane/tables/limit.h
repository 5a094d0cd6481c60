/*
 * What an operator allows segments and ports beyond the defaults: rates of flooded frames
 * (storm.h), and how many local MACs they may have.
 *
 * Said by VNI and by port name over the unix socket, all of it at once; what is not said has the
 * defaults. Kept by VNI, because a segment may come after its limits, or come again. The main
 * thread alone calls this; workers see the meters.
 */
#pragma once

#include <stdint.h>

#include "dataplane/tables/map64.h"
#include "dataplane/tables/storm.h"

/* 0 = the default, in each field. */
struct limit {
	struct storm_pps storm;
	uint32_t max_macs; /* local ones */
};

struct limits {
	struct storm storm;
	struct map64 by_vni; /* index in `segments` + 1 */
	struct limit *segments;
	uint32_t n_segments;
	uint32_t *bd_macs;   /* by domain: max_macs, 0 = default */
	uint32_t *port_macs; /* by port */
	uint32_t max_ports, max_bds;
};

/* One limit as it is said; `key` is a VNI or the index of a port. */
struct limit_entry {
	uint32_t key;
	struct limit limit;
};

/* As storm_init(). 0 or -ENOMEM. */
int limits_init(struct limits *l, uint32_t max_ports, uint32_t max_bds, uint64_t hz);
void limits_fini(struct limits *l);

/* A domain got this VNI (VNI_NONE: none any more): it gets what was said of it. */
void limits_domain(struct limits *l, uint16_t bd, uint32_t vni);

/*
 * Replace all that was said: of segments by VNI, of ports by index. `bd_vni` gives the VNI of each
 * domain 1 .. max_bds, for those that exist. 0 or -ENOMEM (then nothing has changed).
 */
int limits_set(struct limits *l, const struct limit_entry segments[], uint32_t n_segments,
	const struct limit_entry ports[], uint32_t n_ports,
	uint32_t (*bd_vni)(void *ctx, uint16_t bd), void *ctx);
