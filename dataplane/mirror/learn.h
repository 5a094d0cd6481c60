/*
 * MAC learning, the main thread's side (D17): events of workers in, FDB entries and kernel writes
 * out.
 *
 * A worker that looks up a source MAC and does not find it at the ingress AC reports what it
 * found. A new MAC enters the FDB at once and is told to the kernel (bridge fdb replace MAC dev TAP
 * or VLAN device, master extern_learn), from where FRR advertises it. If the kernel says that a MAC
 * is remote, only a frame whose worker already saw that entry makes it local again: an event that
 * reports another find is stale and dropped. What the kernel does not confirm by an event within a
 * second is written again. Local entries age; those of a port that goes down, or leaves its bridge,
 * are withdrawn. The kernel's extern_learn entries on our access ports found at start are taken as
 * ours, with a fresh age.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/mirror/mirror.h"

/* What a worker puts on its ring; 16 octets. */
struct learn_event {
	uint64_t key; /* fdb_key(domain, source MAC) */
	uint32_t saw; /* what the FDB said: FDB_MISS, another AC, a VTEP */
	uint16_t ac;  /* where it came in */
	uint16_t pad;
};

enum learn_op {
	LEARN_REPLACE, /* bridge fdb replace MAC dev IFINDEX master extern_learn */
	LEARN_DELETE,  /* bridge fdb del MAC dev IFINDEX master */
};

struct learn_write {
	enum learn_op op;
	uint32_t ifindex; /* the TAP's or the VLAN device's */
	struct rte_ether_addr mac;
};

struct learn_options {
	/*
	 * Hand over n (1 .. 64) writes for the kernel, in order. Returns how many were taken (the
	 * rest comes again later), or a negative errno (all come again).
	 */
	int (*write)(void *ctx, const struct learn_write writes[], unsigned int n);
	void *ctx;
	uint32_t age_s; /* 0 = 300 */
	/*
	 * Local MACs: in all, a segment, a port. 0 = half, a quarter and an eighth of the FDB (at
	 * least 1024): so local MACs, however many ports flood, leave room for remote ones, and
	 * none takes all. A port with few MACs (64) learns also when the first is reached. What an
	 * operator said of a segment or port (tables/limit.h) goes before the last two.
	 */
	uint32_t max_macs, max_macs_segment, max_macs_port;
	uint32_t writes_per_second; /* 0 = 20000 */
	uint32_t damp_moves;        /* of a MAC in 180 s, more is flapping; 0 = 5 */
};

struct learn_stats {
	uint64_t events;    /* taken from workers */
	uint64_t stale;     /* dropped: the kernel has said otherwise since, or the port left */
	uint64_t learnt;    /* new */
	uint64_t moved;     /* from another local AC */
	uint64_t reclaimed; /* from a VTEP back to here */
	uint64_t aged;
	uint64_t withdrawn; /* port down */
	uint64_t refused;   /* a limit or the FDB was full */
	uint64_t damped;    /* moves refused, the MAC flaps */
	uint64_t flaps;     /* MACs that began to be held for that */
	uint64_t healed;    /* FDB entries that were not as the mirror has them, put right */
	uint64_t writes;    /* handed to the kernel */
	uint64_t rewrites;  /* of these, again because not confirmed in time */
	uint32_t macs;      /* local now */
	uint32_t held;      /* MACs held now because they flap */
	uint32_t unconfirmed;
	uint32_t queued; /* writes waiting */
};

/* Something an operator shall hear of; kept in a ring of LEARN_NOTES. */
#define LEARN_NOTES 32

enum learn_note_kind {
	LEARN_NOTE_FLAP, /* the MAC moved too often and is held at `port`, or where it was */
	LEARN_NOTE_FULL, /* no further MAC is learnt at `port` in this segment, a limit is reached
			  */
};

struct learn_note {
	uint64_t seq; /* from 1; 0 = none */
	enum learn_note_kind kind;
	uint16_t bd, port;
	uint32_t vni;
	struct rte_ether_addr mac;
};

/* The note `seq`, false when there is none (any more, or yet). */
bool learn_note_get(const struct learn *l, uint64_t seq, struct learn_note *note);
/* The newest; 0 = none. */
uint64_t learn_note_last(const struct learn *l);

/* Refused at a port / in a segment because of a limit or a full FDB. */
uint64_t learn_refused_port(const struct learn *l, uint16_t port);
uint64_t learn_refused_bd(const struct learn *l, uint16_t bd);

/* Attach learning to a mirror (one each). NULL and errno. */
struct learn *learn_create(struct mirror *m, const struct learn_options *options);
void learn_destroy(struct learn *l);

/* Take n events from workers, now_ms as everywhere monotonic milliseconds. */
void learn_events(
	struct learn *l, const struct learn_event events[], unsigned int n, uint64_t now_ms);

/* Once a turn: hand out writes, audit, age in slices. Returns milliseconds until it wants to be
 * called again, -1 = no need. */
int learn_poll(struct learn *l, uint64_t now_ms);

/* The wire of an access port lost its link or the port is going away: withdraw its MACs. (IFF_UP
 * and membership of the TAP come by the mirror; mirror_port_changed() calls this too.) */
void learn_port_down(struct learn *l, uint16_t port);

/* The wire of an access port has link: what its frames told before that was known is taken now.
 * (The mirror calls this when the port has become fit for use.) */
void learn_port_up(struct learn *l, uint16_t port);

/* A write of these failed in the kernel (asynchronous answer): counted, the audit writes again. */
void learn_write_failed(struct learn *l, const struct learn_write *write, int error);

void learn_stats_get(const struct learn *l, struct learn_stats *stats);
