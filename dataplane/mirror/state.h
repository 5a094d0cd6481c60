/*
 * Inside the mirror: the kernel's objects as it keeps them, and what its files call of each other.
 *
 * Objects live in growing arrays and are named by index (0 = none); hash maps find them by the
 * kernel's key. `gen` of an object is the generation of its class in which it was last fed: what a
 * dump does not bring up to date is swept. Used by dataplane/mirror alone.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/netlink.h>

#include "dataplane/mirror/keyed.h"
#include "dataplane/mirror/learn.h"
#include "dataplane/mirror/mirror.h"
#include "dataplane/tables/map64.h"

/* An array of objects named by index, with a list of free ones. */
struct pool {
	void *items;
	size_t item_size;
	uint32_t n;    /* in use */
	uint32_t end;  /* highest index ever used + 1 */
	uint32_t size; /* allocated */
	uint32_t max;
	uint32_t free; /* first free one; the next is in its first four octets */
};

enum link_kind {
	LINK_OTHER,
	LINK_BRIDGE,
	LINK_VXLAN,
	LINK_VLAN,
};

/* A VTEP that a vxlan device's FDB names. */
struct link_vtep {
	rte_be32_t addr;
	uint32_t n_macs;    /* entries of MACs that name it */
	uint32_t flood_gen; /* generation of its flood entry; 0 = not in the flood list */
	uint16_t vtep;      /* held in the tables; VTEP_NONE: no local address yet, or full */
};

struct link {
	uint32_t next_free;
	uint32_t ifindex; /* 0 = free slot */
	uint32_t gen;
	uint32_t flags; /* IFF_* */
	uint32_t mtu;
	uint32_t master;     /* slot of the bridge it is enslaved to, 0 = none */
	uint32_t next, prev; /* among the master's members */
	uint32_t members;    /* first member */
	uint32_t refs;       /* objects that name this slot */
	uint32_t legs;       /* legs of routes and next hops by this interface */
	uint8_t kind;
	bool known; /* the kernel told of it; else only named by others */
	bool dirty; /* bridge: derive the domain again */
	char name[16];
	uint16_t port; /* ours by its TAP, or PORT_NONE */
	uint16_t ac;   /* frames go in and out by it: access TAP or VLAN device; or AC_NONE */
	/* VLAN device */
	uint16_t tpid, vid;        /* host order */
	uint32_t lower;            /* slot of the device it is on, 0 = none known */
	uint32_t up_next, up_prev; /* among the VLAN devices on that one */
	uint32_t uppers;           /* any: first VLAN device on this one */
	bool fit;                  /* TAP: the port was up when the devices on it were told */
	bool ac_refused;           /* VLAN device: there was no AC left */
	/* vxlan */
	uint32_t vni;
	rte_be32_t local;
	struct link_vtep *vteps; /* ascending by address (host order) */
	uint32_t n_vteps, vteps_size;
	uint32_t selfs; /* first of its vxmac entries */
	/* bridge */
	uint16_t bd;
	uint32_t vx;   /* slot of the vxlan device that is used; 0 = none */
	uint32_t macs; /* first of its mac entries */
	uint32_t n_local, n_remote;
	bool vni_refused; /* another domain has the VNI */
	bool underived;   /* the tables have an older state of the domain */
};

/* Flags of struct mac. */
#define MAC_K_EXT    (1u << 0) /* the kernel's entry is extern_learn */
#define MAC_K_OWN    (1u << 1) /* ... is an address of the bridge itself (permanent) */
#define MAC_EXPIRING (1u << 2) /* we have asked the kernel to forget it */
#define MAC_AUDIT    (1u << 3) /* is in the audit queue */

/* A MAC in a bridge: what the kernel's `master` entry says, what we have learnt, what the FDB has.
 */
struct mac {
	uint32_t next, prev; /* among the bridge's; `next` also links free ones */
	uint64_t key;        /* link slot of the bridge << 48 | MAC */
	uint32_t gen;
	uint32_t kport; /* link slot of the kernel's entry, 0 = none */
	uint32_t dest;  /* in the FDB */
	uint16_t lac;   /* learnt there and not confirmed by the kernel, or AC_NONE */
	uint8_t flags;
	uint8_t tries; /* writes not confirmed */
};

/* A MAC of a vxlan device's own FDB (`self`). */
struct vxmac {
	uint32_t next, prev; /* among the device's; `next` also links free ones */
	uint64_t key;        /* link slot of the device << 48 | MAC */
	uint32_t gen;
	rte_be32_t dst;
	bool ext;
};

/* One way of a route or next hop as the kernel says it. */
struct leg {
	uint32_t link; /* slot, 0 = none */
	rte_be32_t gw; /* 0 = directly connected */
	uint16_t weight;
	uint8_t flags; /* RTNH_F_DEAD, RTNH_F_LINKDOWN */
	bool foreign;  /* a gateway we can't use (IPv6, encapsulated) */
};

struct nexthop {
	uint32_t next_free;
	uint32_t id;
	uint32_t gen;
	bool known;
	bool is_group;
	bool blackhole;
	uint16_t n_members;
	uint32_t refs; /* groups (struct group) by this id */
	struct leg leg;
	struct nexthop_member {
		uint32_t id;
		uint16_t weight;
	} * members;
};

/* A next-hop group of the tables: of a kernel next-hop id, or of equal inline legs. */
struct group {
	uint32_t next_free;
	uint64_t key;
	uint32_t refs;
	uint32_t nh_id;
	uint16_t nhg;    /* in the tables */
	uint16_t result; /* what a route by it gives in the FIB */
	bool dirty;
	uint16_t n_legs;
	struct leg *legs; /* of equal inline legs */
};

enum route_table {
	ROUTE_LOCAL, /* in the order the kernel asks them */
	ROUTE_MAIN,
	ROUTE_DERIVED, /* a neighbour in a connected network */
};

struct route {
	uint32_t next_free;
	uint32_t next; /* of the same prefix, best first */
	uint32_t gen;
	uint32_t addr; /* host order */
	uint32_t prio;
	uint32_t group;
	uint32_t nh_id;
	uint32_t connected; /* link slot of a route without gateway, 0 = not such */
	uint8_t depth;
	uint8_t table;
	uint8_t type; /* RTN_* */
	bool shares;  /* the kernel has another of the same prefix, table and metric */
};

struct neigh {
	uint32_t next_free;
	uint32_t gen;
	uint32_t link; /* slot */
	rte_be32_t addr;
	struct rte_ether_addr mac;
	bool valid;
	bool host_route; /* has a derived route */
};

struct mirror {
	struct mirror_options options;
	struct tables *t;
	struct mirror_stats stats;
	struct learn *learn;
	uint32_t gen[6]; /* by class */
	unsigned int redump;

	struct pool links;
	struct map64 link_by_ifindex;
	struct pool macs, vxmacs;
	struct keyed mac_by_key, vxmac_by_key;
	struct pool nexthops, groups, routes, neighs;
	struct map64 nexthop_by_id, group_by_key, route_by_prefix, neigh_by_key;

	uint32_t *bd_link;                /* slot of the bridge by domain id */
	uint32_t port_macs[PORT_TBL_MAX]; /* FDB entries at the port */
	uint16_t *scratch;                /* lists for bd_config: ACs, flood, allowed */
	uint32_t *dirty_links;            /* slots of bridges with `dirty` */
	uint32_t n_dirty_links;
	bool derive_failed; /* no memory for a domain: what it named stays, and it is tried again */
	bool vnis_moved;    /* a VNI was given up: try refused ones again */
	bool vteps_dirty;   /* resolve VTEPs again */
	bool hosts_dirty;   /* derive neighbours' routes again */
	bool groups_dirty;  /* some group is */
	uint16_t *dead_nhgs; /* to be removed at the end of settle */
	uint32_t n_dead_nhgs, dead_nhgs_size;
	uint16_t *dead_vteps; /* to be released then, when no list names them any more */
	uint32_t n_dead_vteps, dead_vteps_size;
	uint16_t *dead_acs; /* likewise */
	uint32_t n_dead_acs, dead_acs_size;
	bool acs_refused;      /* there was no AC left for some VLAN device */
	bool fdb_refused;      /* the FDB was full for some MAC */
	uint64_t full_said;    /* stats.full when it was last logged */
	uint64_t full_at;      /* ms: look at both again */
	uint64_t resolve_at;   /* ms */
	uint64_t audit_at;     /* ms: the next look at the kernel's FDB; 0 = not fixed yet */
	uint64_t fdb_changes;  /* entries that were news */
	bool auditing;
};

static inline uint32_t class_gen(const struct mirror *m, enum mirror_class class)
{
	return m->gen[__builtin_ctz(class)];
}

/* pool.c */
bool list16_push(uint16_t **list, uint32_t *n, uint32_t *size, uint16_t value);
int pool_init(struct pool *p, size_t item_size, uint32_t max);
void pool_fini(struct pool *p);
uint32_t pool_take(struct pool *p); /* zeroed; 0 = full or no memory */
void pool_give(struct pool *p, uint32_t index);

static inline void *pool_at(const struct pool *p, uint32_t index)
{
	return (char *)p->items + (size_t)index * p->item_size;
}

#define LINK(m, i)    ((struct link *)pool_at(&(m)->links, (i)))
#define MAC(m, i)     ((struct mac *)pool_at(&(m)->macs, (i)))
#define VXMAC(m, i)   ((struct vxmac *)pool_at(&(m)->vxmacs, (i)))
#define NEXTHOP(m, i) ((struct nexthop *)pool_at(&(m)->nexthops, (i)))
#define GROUP(m, i)   ((struct group *)pool_at(&(m)->groups, (i)))
#define ROUTE(m, i)   ((struct route *)pool_at(&(m)->routes, (i)))
#define NEIGH(m, i)   ((struct neigh *)pool_at(&(m)->neighs, (i)))

/* What a message is: parsed by the file of its class. False: malformed. */
bool link_message(struct mirror *m, const struct nlmsghdr *h);
bool addr_message(struct mirror *m, const struct nlmsghdr *h);
bool fdb_message(struct mirror *m, const struct nlmsghdr *h);
bool neigh_message(struct mirror *m, const struct nlmsghdr *h);
bool route_message(struct mirror *m, const struct nlmsghdr *h);
bool nexthop_message(struct mirror *m, const struct nlmsghdr *h);

/* links.c */
uint32_t link_slot(struct mirror *m, uint32_t ifindex); /* made if needed; 0 = full */
uint32_t link_find(const struct mirror *m, uint32_t ifindex);
void link_ref(struct mirror *m, uint32_t slot);
void link_unref(struct mirror *m, uint32_t slot);
void link_dirty(struct mirror *m, uint32_t slot); /* a bridge, or a member's bridge */
void links_sweep(struct mirror *m);
void links_settle(struct mirror *m);
void link_match_port(struct mirror *m, uint32_t slot);
/* A leg's uplink port, PORT_NONE if its interface is none of ours. */
uint16_t link_uplink(const struct mirror *m, uint32_t slot);

/* vlans.c */
void vlan_set(struct mirror *m, uint32_t slot, uint32_t lower, uint16_t tpid, uint16_t vid);
void vlan_unset(struct mirror *m, uint32_t slot);          /* it is no VLAN device any more */
void vlan_derive(struct mirror *m, uint32_t slot);         /* its AC */
void vlans_lower_changed(struct mirror *m, uint32_t slot); /* derive those of all on top of it */
void vlans_port_changed(struct mirror *m, uint32_t slot);  /* the TAP's port may be up or down */
void vlans_retry(struct mirror *m);                        /* ACs may be free again */
void vlans_finish(struct mirror *m);                       /* at the end of settle */

/* macs.c */
struct link_vtep *link_vtep_find(const struct link *l, rte_be32_t addr);
void macs_sweep(struct mirror *m);
void macs_retry(struct mirror *m);
void macs_bridge_changed(struct mirror *m, uint32_t bridge); /* derive all its MACs again */
void macs_bridge_gone(struct mirror *m, uint32_t bridge);
void macs_vxlan_gone(struct mirror *m, uint32_t vx);
void macs_port_left(struct mirror *m, uint32_t bridge, uint32_t slot);
void macs_vteps_hold(struct mirror *m, uint32_t vx); /* take VTEPs with the local address */
void macs_vteps_drop(struct mirror *m, uint32_t vx); /* give them back */
void macs_finish(struct mirror *m);                  /* at the end of settle */
uint32_t mac_find(const struct mirror *m, uint32_t bridge, uint64_t mac48);
uint32_t mac_make(struct mirror *m, uint32_t bridge, uint64_t mac48);
int mac_derive(struct mirror *m, uint32_t index);   /* 0, or the error of fdb_put() */
void mac_release(struct mirror *m, uint32_t index); /* free it if nothing says anything of it */
uint64_t mac_fdb_key(const struct mirror *m, const struct mac *e);

/* groups.c */
uint32_t group_hold(struct mirror *m, uint32_t nh_id, const struct leg legs[], uint16_t n);
void group_release(struct mirror *m, uint32_t index);
void groups_settle(struct mirror *m);
void groups_port_changed(struct mirror *m);
void groups_finish(struct mirror *m); /* at the end of settle */
void nexthops_sweep(struct mirror *m);
void legs_count(struct mirror *m, const struct leg legs[], unsigned int n, int by);
void groups_fini(struct mirror *m);

/* routes.c */
void routes_sweep(struct mirror *m);
void routes_group_changed(struct mirror *m, uint32_t group); /* its result is another */
void routes_derived_set(struct mirror *m, uint32_t addr, uint32_t link, bool want);
uint32_t route_connected_link(const struct mirror *m, uint32_t addr); /* slot or 0 */

/* neighs.c */
void neighs_sweep(struct mirror *m);
void neighs_settle(struct mirror *m);
void neigh_apply(struct mirror *m, uint16_t adj); /* set an adjacency from what is known */
void neighs_link_changed(struct mirror *m, uint32_t slot);
void vteps_settle(struct mirror *m);
int resolve_poll(struct mirror *m, uint64_t now_ms);

/* learn.c, called from macs.c and links.c; l may be NULL */
void learn_withdraw(struct learn *l, uint32_t bridge, uint16_t ac, bool kernel_too);
void learn_found(struct learn *l, uint32_t mac); /* the kernel has an extern_learn entry */
