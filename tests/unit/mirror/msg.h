/*
 * Making rtnetlink messages for tests, as the kernel would send them.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/mirror/mirror.h"

/* Feed one message each, and settle. `gone`: the removal. */
void msg_link(struct mirror *m, bool gone, uint32_t ifindex, const char *name, const char *kind,
	uint32_t master, bool up);
void msg_vxlan(struct mirror *m, uint32_t ifindex, const char *name, uint32_t master, uint32_t vni,
	const char *local);
/* The bridge's entry of a MAC at a port; the state of an injected one. */
void msg_master(struct mirror *m, bool gone, uint32_t bridge, uint32_t port,
	const struct rte_ether_addr *mac, bool ext);
/* A next-hop object, resolved by a gateway. */
void msg_nexthop(struct mirror *m, bool gone, uint32_t id, const char *via, uint32_t oif);
/* An IPv4 route of table main, by a gateway or (via NULL) by a next-hop object; `flags` as the
 * kernel sets them: NLM_F_CREATE | NLM_F_EXCL, NLM_F_REPLACE ... */
void msg_route(struct mirror *m, bool gone, uint16_t flags, const char *dst, uint8_t len,
	uint32_t metric, const char *via, uint32_t oif, uint32_t nh_id);
/* Later messages are parts of a dump (NLM_F_MULTI), or again events. */
void msg_of_dump(bool dump);
/* The vxlan device's entry. */
void msg_self(struct mirror *m, bool gone, uint32_t vxlan, const struct rte_ether_addr *mac,
	const char *dst, bool ext);
