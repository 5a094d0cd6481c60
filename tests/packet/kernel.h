/*
 * The site's kernel as the mirror hears of it: netlink messages made here, fed to the real mirror.
 *
 * Interface indexes: TAPs are 100 + port (rig.c), bridges KERNEL_BRIDGE(vni), vxlan devices
 * KERNEL_VXLAN(vni). Addresses in host order. Each call is one or two messages as Linux 6 sends
 * them (rtnetlink(7), bridge(8)), followed by mirror_settle().
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "tests/packet/rig.h"

#define KERNEL_TAP(port)   (100 + (port))
#define KERNEL_BRIDGE(vni) (10000 + (int)(vni))
#define KERNEL_VXLAN(vni)  (20000000 + (int)(vni))

/* The TAP of a port: up or down, master = ifindex of a bridge or 0. */
void kernel_tap(struct rig *rig, unsigned int port, bool up, int master);

/* Bridge br<VNI> and vxlan device vx<VNI> in it, with this VTEP address. */
void kernel_segment(struct rig *rig, uint32_t vni, uint32_t local);
void kernel_segment_del(struct rig *rig, uint32_t vni);

/* A VLAN device on the device `lower` (ifindex), enslaved to `master` (0 = to none). */
struct kernel_vlan {
	int lower;
	uint16_t tpid, vid; /* host order */
	int master;
	bool down;
};
void kernel_vlan(struct rig *rig, int ifindex, const struct kernel_vlan *vlan);
void kernel_vlan_del(struct rig *rig, int ifindex);

/* A MAC at any device of the segment's bridge (master extern_learn). */
void kernel_mac_at(struct rig *rig, uint32_t vni, const uint8_t mac[6], int ifindex);

/* Attach an access port's TAP to a segment. */
void kernel_attach(struct rig *rig, unsigned int port, uint32_t vni);

/* Flood list: all-zero MAC, self, dst. */
void kernel_flood(struct rig *rig, uint32_t vni, uint32_t vtep);
void kernel_flood_del(struct rig *rig, uint32_t vni, uint32_t vtep);

/* A MAC at a VTEP: the vxlan device's entry (self dst) and the bridge's (master), as zebra makes.
 */
void kernel_mac_remote(struct rig *rig, uint32_t vni, const uint8_t mac[6], uint32_t vtep);
void kernel_mac_remote_del(struct rig *rig, uint32_t vni, const uint8_t mac[6], uint32_t vtep);

/* A MAC at an access port's TAP (master extern_learn): the kernel's echo of a write. */
void kernel_mac_local(struct rig *rig, uint32_t vni, const uint8_t mac[6], unsigned int port);
void kernel_mac_local_del(struct rig *rig, uint32_t vni, const uint8_t mac[6], unsigned int port);

/* Echo the writes that learning has made since the last call, as the kernel would. */
void kernel_echo(struct rig *rig);

/* An own address: the route of the table local. */
void kernel_local(struct rig *rig, uint32_t addr);

struct kernel_hop {
	unsigned int port;
	uint32_t via;
	uint8_t weight; /* 0 = 1 */
};

/* A unicast route with 1 .. 8 hops. */
void kernel_route(struct rig *rig, uint32_t addr, uint8_t len, const struct kernel_hop hops[],
	unsigned int n);
/* type: RTN_BLACKHOLE, RTN_UNREACHABLE ... */
void kernel_route_type(struct rig *rig, uint32_t addr, uint8_t len, uint8_t type);
void kernel_route_del(struct rig *rig, uint32_t addr, uint8_t len);

/* A next-hop object by an uplink; a group of such objects (weights 1 ..); a route by either. */
void kernel_nexthop(struct rig *rig, uint32_t id, unsigned int port, uint32_t via);
void kernel_nexthop_group(struct rig *rig, uint32_t id, const uint32_t members[],
	const uint8_t weights[], unsigned int n);
void kernel_route_nexthop(struct rig *rig, uint32_t addr, uint8_t len, uint32_t id);

/* A neighbour on an uplink's TAP; mac NULL = failed. */
void kernel_neigh(struct rig *rig, unsigned int port, uint32_t addr, const uint8_t *mac);
void kernel_neigh_del(struct rig *rig, unsigned int port, uint32_t addr);

/*
 * The usual site: VTEP 10.254.1.1; up0 to 10.0.0.1 and up1 to 10.0.1.1, resolved to HOP0 and HOP1;
 * VTEP 10.254.2.1 by up0, 10.254.3.1 by up1, 10.254.4.1 by both; segment 10010 with p1 and p2,
 * flooded to the first two; segment 10020 with p3, flooded to 10.254.2.1.
 */
#define SITE_LOCAL IP4(10, 254, 1, 1)
#define SITE_VTEP2 IP4(10, 254, 2, 1)
#define SITE_VTEP3 IP4(10, 254, 3, 1)
#define SITE_VTEP4 IP4(10, 254, 4, 1)
#define SITE_HOP0  IP4(10, 0, 0, 1)
#define SITE_HOP1  IP4(10, 0, 1, 1)
#define SITE_VNI   10010
#define SITE_VNI2  10020
#define HOP0       MAC(0xbb, 0)
#define HOP1       MAC(0xbb, 1)
void kernel_site(struct rig *rig);

/* The site, and in SITE_VNI MAC(1, 1) at p1, MAC(1, 2) at p2 and MAC(2, 1) behind SITE_VTEP2. */
void kernel_site_hosts(struct rig *rig);

/* VXLAN of a segment with this inner frame, octet for octet, must have left by an uplink; only the
 * UDP source port is taken from what did. */
void expect_encap(struct rig *rig, unsigned int uplink, const uint8_t hop[6], uint32_t vtep,
	uint32_t vni, const struct frame_bytes *inner);

/* This frame must have left by a port. */
void expect_plain(struct rig *rig, unsigned int port, const struct frame_bytes *want);
