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
/* The vxlan device's entry. */
void msg_self(struct mirror *m, bool gone, uint32_t vxlan, const struct rte_ether_addr *mac,
	const char *dst, bool ext);
