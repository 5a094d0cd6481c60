/*
 * The netlink mirror: rtnetlink bytes in, table entries out.
 *
 * One pass serves a dump and events alike: every message is an upsert or a removal of one kernel
 * object. The objects are kept in the mirror's own bounded maps, in whatever order they come, and
 * the tables' entries are derived from them, so a route may come before its neighbour and an FDB
 * entry before its vxlan device. mirror_feed() only notes what became dirty where deriving is
 * costly; mirror_settle() applies it. Called by the main thread alone; nothing here waits or makes
 * a system call. Only what these man pages describe is used: rtnetlink(7), bridge(8), ip-route(8).
 *
 * Of the kernel's objects: bridge = bridge domain; vxlan device enslaved to it = VNI and our VTEP
 * address; TAP of an access port enslaved to it = access port; FDB entries of the vxlan device
 * ("self" with a destination; all-zero MAC = flood list) and of the bridge ("master"; it decides
 * where a MAC is); IPv4 routes of the tables main and local, next-hop objects, IPv4 neighbours on
 * uplink TAPs. `isolated` and other bridge port flags mean nothing here.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/tables/tables.h"

struct mirror;
struct learn;

/* Classes of kernel objects; each is dumped and swept by itself. */
enum mirror_class {
	MIRROR_LINK = 1 << 0,
	MIRROR_ADDR = 1 << 1,
	MIRROR_NEXTHOP = 1 << 2,
	MIRROR_ROUTE = 1 << 3,
	MIRROR_FDB = 1 << 4,
	MIRROR_NEIGH = 1 << 5,
	MIRROR_ALL = (1 << 6) - 1,
};

/* What mirror_feed() saw besides objects (bits). */
enum mirror_seen {
	MIRROR_SEEN_DONE = 1 << 0,    /* NLMSG_DONE: the dump is complete */
	MIRROR_SEEN_INTR = 1 << 1,    /* NLM_F_DUMP_INTR: it is not consistent, dump again */
	MIRROR_SEEN_ERROR = 1 << 2,   /* NLMSG_ERROR with an error; see mirror_stats.last_error */
	MIRROR_SEEN_OVERRUN = 1 << 3, /* NLMSG_OVERRUN */
};

struct mirror_options {
	struct tables *tables;
	uint32_t max_links;  /* 0 = 16384 (at most 65535) */
	uint32_t max_fdb;    /* kernel FDB objects; 0 = 4 x the FDB's capacity */
	uint32_t max_routes; /* 0 = the FIB's */
	uint32_t max_neighs; /* 0 = 4096 */
	/*
	 * Please resolve: a next hop in use has no neighbour entry (addr in network order, on an
	 * uplink port). Called from mirror_poll(), repeated about once a second as long as it is
	 * so, at most 64 a turn. NULL: nobody cares.
	 */
	void (*resolve)(void *ctx, uint16_t port, rte_be32_t addr);
	void *ctx;
};

struct mirror_stats {
	uint64_t messages;    /* netlink messages taken */
	uint64_t malformed;   /* refused: truncated, or an attribute of wrong length */
	uint64_t unsupported; /* well-formed, but nothing we can forward by (IPv6 next hop, VLAN
				 ...) */
	uint64_t full;        /* objects refused: a map or table was full */
	uint64_t conflicts;   /* second vxlan device in a bridge, a VNI twice, route appended */
	uint64_t sweeps;      /* objects removed because a dump did not show them */
	uint64_t audits;      /* looks at the kernel's whole FDB although no event was missed */
	uint64_t healed;      /* FDB entries that one found different, put right */
	int last_error;       /* negative errno of the last NLMSG_ERROR, 0 = none */
	uint32_t links, nexthops, routes, neighs, macs, vxlan_macs;
};

/* NULL and errno. The mirror writes to `tables` from now on; it must outlive the mirror. */
struct mirror *mirror_create(const struct mirror_options *options);

/* Removes nothing from the tables (they are freed next, or taken over by nobody). */
void mirror_destroy(struct mirror *m);

/*
 * Take `len` octets of netlink messages as one recv(2) gave them (native byte order, aligned to 4).
 * Everything is validated; malformed messages are counted and skipped. Returns enum mirror_seen
 * bits. Afterwards call mirror_settle(), at latest before going to sleep.
 */
unsigned int mirror_feed(struct mirror *m, const void *buf, size_t len);

/* Derive what became dirty. Cheap when nothing did. */
void mirror_settle(struct mirror *m);

/*
 * Mark and sweep (D2): what of these classes is not fed between begin and end is removed at end.
 * abort: forget the marks, nothing is removed.
 */
void mirror_sync_begin(struct mirror *m, unsigned int classes);
void mirror_sync_end(struct mirror *m, unsigned int classes);

/*
 * Classes that are to be dumped again because the kernel changes them without telling (IPv4 routes
 * and next hops when a link goes down or an address goes, routes when their next hop goes), or
 * because an object could not be
 * understood from the event alone. Returns the bits and clears them.
 */
unsigned int mirror_take_redump(struct mirror *m);

/* Once a turn: repeats requests to resolve, gives groups back. now_ms: monotonic milliseconds.
 * Returns milliseconds until it wants to be called again, -1 = no need. */
int mirror_poll(struct mirror *m, uint64_t now_ms);

/* A port was added, renamed, or its wire's link changed (after tables_port_link()): derive again
 * what depends on it (flood lists, memberships). Then mirror_settle(). */
void mirror_port_changed(struct mirror *m, uint16_t port);

/* Name of the bridge of a domain ("" if none); valid until the next mirror_feed(). */
const char *mirror_bd_name(const struct mirror *m, uint16_t bd);

/* Number of MACs of a domain in the FDB: local and remote. */
void mirror_bd_macs(const struct mirror *m, uint16_t bd, uint32_t *local, uint32_t *remote);

void mirror_stats_get(const struct mirror *m, struct mirror_stats *stats);

/* For tests and for the operator: print the mirror's objects and what is derived, sorted, one a
 * line, to a stdio stream (FILE *). Equal states print equal text. */
void mirror_print(const struct mirror *m, void *file);
