/*
 * Changing and reading network devices of a namespace by rtnetlink (rtnetlink(7)).
 *
 * One handle speaks to one namespace. Devices are given by name. All functions return 0 or a
 * negative errno as the kernel gave it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <linux/netlink.h>

struct rtnl;

/* Open a handle to the named namespace (NULL: the current one). */
int rtnl_open(struct rtnl **nl, const char *netns);
/* NULL is fine. */
void rtnl_close(struct rtnl *nl);

/*
 * A veth pair, both ends down: `name` here and `peer` in the namespace behind `peer_ns` (a
 * descriptor; -1: here). MTUs in octets of layer 3. `peer_index` is the peer's interface index, 0
 * for any: of two ends that happen to have the same one the kernel reports a lost carrier up to a
 * second late (linkwatch_urgent_event() takes them for one device).
 */
int rtnl_veth_add(struct rtnl *nl, const char *name, uint32_t mtu, int peer_ns, const char *peer,
	uint32_t peer_mtu, uint32_t peer_index);
/* A bridge without spanning tree, multicast snooping and forward delay. */
int rtnl_bridge_add(struct rtnl *nl, const char *name);
/* A VXLAN device without addresses, to see whether the kernel has such. */
int rtnl_vxlan_add(struct rtnl *nl, const char *name, uint32_t vni);
int rtnl_link_del(struct rtnl *nl, const char *name);
int rtnl_link_up(struct rtnl *nl, const char *name, bool up);
int rtnl_link_alias(struct rtnl *nl, const char *name, const char *alias);
int rtnl_link_mtu(struct rtnl *nl, const char *name, uint32_t mtu);
int rtnl_link_mac(struct rtnl *nl, const char *name, const uint8_t mac[6]);
int rtnl_link_master(struct rtnl *nl, const char *name, const char *master);
/* The device must be down. */
int rtnl_link_rename(struct rtnl *nl, const char *name, const char *new_name);
/* Give a device (that is down) to another namespace under another name. */
int rtnl_link_move(struct rtnl *nl, const char *name, int netns, const char *new_name);

/* Bridge port: BR_STATE_* of linux/if_bridge.h. */
int rtnl_port_state(struct rtnl *nl, const char *name, uint8_t state);
/* Bridge port: no learning, everything is flooded to the other ports. */
int rtnl_port_plain(struct rtnl *nl, const char *name);

/* Add an address like "192.0.2.1/24" or "2001:db8::1/64"; IPv6 without duplicate detection. */
int rtnl_addr_add(struct rtnl *nl, const char *name, const char *cidr);

struct rtnl_link {
	int ifindex;
	uint32_t flags; /* IFF_* */
	uint32_t mtu;
	uint8_t mac[6];
	uint8_t port_state; /* of a bridge port */
	char alias[256];
};
/* -ENODEV: there is no such device. */
int rtnl_link_get(struct rtnl *nl, const char *name, struct rtnl_link *link);

/*
 * Dump everything of a kind: `type` RTM_GET*, `family` AF_*. `fn` gets each message; a non-zero
 * return value of it ends the dump and is returned.
 */
typedef int rtnl_dump_fn(void *arg, const struct nlmsghdr *nlh);
int rtnl_dump(struct rtnl *nl, uint16_t type, uint8_t family, rtnl_dump_fn *fn, void *arg);
