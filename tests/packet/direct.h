/*
 * State written straight into the tables, for benchmarks and tests of the graph alone. Tests of
 * behaviour say it by netlink (kernel.h) instead.
 */
#pragma once

#include <stdint.h>

#include "dataplane/tables/tables.h"

/* An adjacency on `port`, resolved to `mac` (NULL: unresolved). Returns its index. */
uint16_t direct_adj(struct tables *t, uint16_t port, uint32_t addr, const uint8_t *mac);

/* A group of `n` adjacencies of weight 1. Returns its index. */
uint16_t direct_group(struct tables *t, const uint16_t adjs[], unsigned int n);

/* A VTEP pair, reached by `group`. Returns its index. */
uint16_t direct_vtep(struct tables *t, uint32_t local, uint32_t remote, uint16_t group);

/* A domain with these access ports (attached to it) and flood list. Returns its id. */
uint16_t direct_bd(struct tables *t, uint32_t vni, uint32_t local, const uint16_t ports[],
	unsigned int n_ports, const uint16_t vteps[], unsigned int n_vteps);

/* All ports of the rig IFF_UP. */
void direct_ports_up(struct tables *t);
