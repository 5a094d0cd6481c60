/*
 * For the tests of learning: a mirror with one segment (VNI 100: ports p1 and p2, a flood list of
 * one VTEP), learning on it, and a kernel that takes its writes, as many as the test says.
 */
#pragma once

#include <stdint.h>

#include "dataplane/mirror/learn.h"
#include "tests/unit/mirror/msg.h"
#include "tests/unit/mirror/world.h"

enum { BR = 10, VX = 11, P1 = 21, P2 = 22 }; /* ifindexes */
enum { PORT1 = 2, PORT2 = 3 };               /* port indexes of p1 and p2 */

/* Destinations: MACs behind p1 and p2. */
#define AT1       ((uint32_t)FDB_KIND_AC << 24 | PORT1)
#define AT2       ((uint32_t)FDB_KIND_AC << 24 | PORT2)

/* A MAC that no recording has; its last three octets may be counted up. */
#define LEARN_MAC ((struct rte_ether_addr){{2, 0xaa, 0, 0, 0, 1}})

struct lab {
	struct world w;
	struct learn *l;
	struct learn_write writes[8192];
	unsigned int n_writes;
	int accept; /* what the callback says: writes taken, or an error; 0 = all */
	uint64_t now;
	uint16_t bd;
	uint32_t vtep2; /* destination of the flood list's VTEP, 10.0.0.2 */
};

/* Make it; of `options` the callback and its context are the lab's own. */
struct lab *lab_open(const struct learn_options *options);

/* A cmocka teardown: takes all links away and asserts that nothing is left. */
int lab_teardown(void **state);

/* Where the FDB has a MAC of the segment: a destination, or FDB_MISS. */
uint32_t dest(struct lab *lab, const struct rte_ether_addr *mac);

/* A worker tells of a MAC at an attachment circuit; then a turn. */
void event(struct lab *lab, const struct rte_ether_addr *mac, uint16_t port, uint32_t saw);
