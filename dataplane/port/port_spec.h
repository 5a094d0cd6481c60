/*
 * What a port is, in words and descriptors: the holder makes one of each inventory line, passes it
 * over the handover socket, and the forwarding process opens a struct port from it.
 *
 * Free of DPDK, because the holder is. Invariant: a spec that was received or parsed is valid
 * (port_spec_check), so users need not check it again.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PORT_MAX         256 /* ports of one node */
#define PORT_NAME_SIZE   16  /* with the final NUL; a name is [a-z][a-z0-9-]{0,13} */
#define PORT_DEVICE_SIZE 256 /* a PCI address or vdev arguments, with the final NUL */
#define PORT_MTU_MIN     576
#define PORT_MTU_MAX     9600

enum port_role {
	PORT_ROLE_UPLINK = 1, /* a backbone link: underlay, VXLAN */
	PORT_ROLE_ACCESS = 2, /* tenants' workloads */
};

enum port_backend {
	PORT_BACKEND_PACKET = 1, /* a kernel interface, by AF_PACKET */
	PORT_BACKEND_ETHDEV = 2, /* a DPDK device */
};

struct port_spec {
	uint16_t id; /* 0 .. PORT_MAX - 1, the line's place in the inventory: dense and stable */
	enum port_role role;
	enum port_backend backend;
	char name[PORT_NAME_SIZE];
	char tap[PORT_NAME_SIZE];      /* the TAP's name in the site's namespace */
	char device[PORT_DEVICE_SIZE]; /* ethdev: "0000:03:00.0" or vdev arguments; packet: the
					* wire interface's name, for people */
	uint32_t tap_ifindex;          /* in the site's namespace */
	uint32_t wire_ifindex;         /* packet: in the wire's namespace; ethdev: 0 */
	uint8_t mac[6];                /* of wire and TAP; ethdev: may be zero (not yet known) */
	uint32_t mtu;                  /* octets of layer 3 */
	int tap_fd;                    /* non-blocking TAP (IFF_TAP | IFF_NO_PI) */
	int packet_fd;                 /* packet: bound AF_PACKET socket, see packet.h; else -1 */
	int link_fd;                   /* packet: NETLINK_ROUTE socket of the wire's namespace,
					* joined to RTNLGRP_LINK; else -1 */
};

/* The word of a role or back end, as in the inventory ("uplink", "packet"); "?" for others. */
const char *port_role_name(enum port_role role);
const char *port_backend_name(enum port_backend backend);

/* True when `name` is a port name: [a-z][a-z0-9-]{0,13}. */
bool port_name_valid(const char *name);

/*
 * Check all of a spec besides its descriptors: known role and back end, valid names, terminated
 * strings, unicast MAC (all zero allowed for ethdev), MTU in its bounds, ifindexes set. Returns 0,
 * or -EINVAL with *why (may be NULL) pointing to a constant text.
 */
int port_spec_check(const struct port_spec *spec, const char **why);
