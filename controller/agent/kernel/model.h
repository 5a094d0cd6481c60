/*
 * What the kernel of this network namespace holds, as far as the agent cares: links with their
 * bridge, VXLAN and bridge-port attributes, IPv4 addresses, and the flood list of VXLAN devices
 * (forwarding entries of 00:00:00:00:00:00).
 *
 * Fed with rtnetlink messages by watch.c; the same function takes those of a dump and events.
 * Invariant: after a dump has ended, an object that neither the dump nor a later event named is
 * gone from here. No I/O: recorded messages can be fed to it.
 */
#pragma once

#include <net/if.h>
#include <linux/netlink.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KLINK_KIND_MAX  16
#define KLINK_ALIAS_MAX 64
#define KLINK_FLOOD_MAX 4096 /* VTEPs kept of one flood list; more are counted and dropped */
#define KLINK_ADDR_MAX  1024
#define KMODEL_LINK_MAX 65536

#define KLINK_UNKNOWN   255 /* of a small attribute: the kernel did not say */

struct kaddr {
	uint32_t ip; /* host byte order */
	uint8_t plen;
	uint32_t mark;
};

struct kflood {
	uint32_t ip; /* host byte order */
	uint32_t mark;
};

struct klink {
	struct klink *next_index, *next_name; /* hash chains */
	int ifindex;
	char name[IFNAMSIZ];
	char kind[KLINK_KIND_MAX]; /* "bridge", "vxlan", "tun", ""... */
	char alias[KLINK_ALIAS_MAX];
	unsigned int flags; /* IFF_* */
	uint32_t mtu;
	int master; /* ifindex, 0 = none */
	uint32_t group;
	bool oper_up;
	uint8_t addrgenmode; /* IN6_ADDR_GEN_MODE_*, or KLINK_UNKNOWN */
	/* kind "vxlan" */
	uint32_t vni;
	uint32_t vxlan_local; /* host byte order */
	uint16_t vxlan_port;  /* host byte order */
	uint8_t vxlan_learning, vxlan_ttl;
	/* kind "bridge"; KLINK_UNKNOWN when the kernel lacks it */
	uint8_t mcast_snooping, stp;
	uint32_t forward_delay;
	/* port of a bridge */
	uint8_t isolated, learning, neigh_suppress;
	struct kaddr *addrs;
	size_t addr_count;
	struct kflood *flood;
	size_t flood_count;
	uint32_t mark;
	/* For the user of the model. */
	bool known; /* it was there when all was settled last */
	bool noted; /* its name stands in the journal */
};

struct kmodel {
	struct klink **by_index, **by_name;
	size_t buckets;
	size_t links;
	uint32_t mark;
	uint64_t dropped; /* objects not kept because a bound was reached */
	/* Called when something about a link changed (also before it is freed, with gone=true). */
	void (*changed)(void *arg, const struct klink *l, bool gone);
	void *arg;
};

/* Returns 0 or -ENOMEM. */
int kmodel_init(struct kmodel *m);
void kmodel_clear(struct kmodel *m);

/* Take one message: RTM_{NEW,DEL}{LINK,ADDR,NEIGH}; others are ignored. Malformed ones are ignored
 * and return -EINVAL. Returns 1 when something changed, 0 when not, -ENOMEM. */
int kmodel_feed(struct kmodel *m, const struct nlmsghdr *nlh);

/* Begin a dump: what is not named from now on is removed by kmodel_sweep(). */
void kmodel_mark(struct kmodel *m);
/* The dumps of links, addresses and neighbours have all ended. Returns 1 when something went. */
int kmodel_sweep(struct kmodel *m);

struct klink *kmodel_index(const struct kmodel *m, int ifindex);
struct klink *kmodel_name(const struct kmodel *m, const char *name);

/* Call `fn` for each link; it must not change the model. */
void kmodel_each(const struct kmodel *m, void (*fn)(void *arg, const struct klink *l), void *arg);

/* Whether the link has this address. */
bool klink_has_addr(const struct klink *l, uint32_t ip, uint8_t plen);
