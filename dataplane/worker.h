/*
 * A worker: one lcore that walks the graph, sleeps when there is nothing, and counts.
 *
 * Invariant: after worker_start() everything here belongs to the worker's thread, except what is
 * marked as shared; the main thread talks to it through `events`, `trace`, `stop` and the two
 * eventfds. A worker never waits for anyone: it reads tables between quiescent states, and its
 * queue to the main thread is bounded (what does not fit is counted and comes again).
 */
#pragma once

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#include <rte_common.h>
#include <rte_graph.h>
#include <rte_mempool.h>
#include <rte_ring.h>

#include "dataplane/nodes/control.h"
#include "dataplane/nodes/drop.h"
#include "dataplane/nodes/kernel_vxlan.h"
#include "dataplane/nodes/latency.h"
#include "dataplane/nodes/policer.h"
#include "dataplane/nodes/stats.h"
#include "dataplane/nodes/trace.h"
#include "dataplane/port/port.h"
#include "dataplane/tables/tables.h"

#define WORKER_MAX          8
#define WORKER_EVENTS       1024 /* slots of the queue to the main thread */
#define WORKER_FILTER_SLOTS 4096
#define WORKER_READY_WORDS  (PORT_MAX / 64)

enum worker_event_type {
	WORKER_EVENT_LEARN, /* key was seen at an AC, where the FDB said `saw` */
	WORKER_EVENT_PROBE, /* a packet waits for adjacency `key` */
};

/* What a worker tells the main thread; the ring's element. */
struct worker_event {
	uint64_t key; /* LEARN: fdb_key(); PROBE: adjacency index */
	uint16_t type;
	uint16_t ac;  /* LEARN: where it came in */
	uint32_t saw; /* LEARN: the FDB's destination */
};

/* What was told lately, so that a talking MAC is reported once until the FDB follows. */
struct worker_filter {
	uint64_t key;
	uint32_t when; /* TSC >> WORKER_TICK_SHIFT */
	uint32_t saw;
	uint16_t ac;
};

#define WORKER_TICK_SHIFT 16 /* 20-30 us */

struct worker_options {
	unsigned int id; /* index, RCU id */
	unsigned int lcore;
	struct tables *tables;
	struct port *const *ports; /* PORT_MAX pointers, NULL where there is none; fixed */
	struct rte_mempool *pool;
	const struct policer_rates *rates; /* copied; NULL = policer_default */
	int main_fd;                       /* eventfd that wakes the main thread; -1: none */
	const uint32_t *main_sleeps;       /* shared: not 0 when main_fd must be written */
};

struct worker {
	/* read by nodes for every burst */
	struct tables *tables;
	struct port *const *ports;
	struct rte_mempool *pool;
	struct trace *trace;     /* shared: published by the main thread */
	struct capture *capture; /* shared: likewise */
	struct rte_graph *graph;
	struct segment_stats *segments; /* by bridge domain */
	struct vtep_stats *vteps;       /* by VTEP index */
	struct punt_stats *punts;       /* by port */
	struct storm_stats *storms;     /* by port */
	uint64_t *macs;                 /* by port: MAC as a 48-bit number, see node_mac() */
	struct worker_filter *filter;
	uint32_t *probed;  /* by adjacency: tick of the last probe */
	uint64_t *answers; /* by bridge domain: TSC up to which ICMP answers are used up */
	struct rte_ring *events;
	uint64_t ready[WORKER_READY_WORDS];     /* ports that may have frames */
	uint64_t tap_ready[WORKER_READY_WORDS]; /* TAPs that may have frames */
	uint64_t polled[WORKER_READY_WORDS];    /* ports without a descriptor */
	uint32_t now;                           /* tables_now() of this walk */
	uint32_t tick;                          /* TSC >> WORKER_TICK_SHIFT of this walk */
	uint32_t tick_learn;                    /* ticks until the same MAC is told again */
	uint32_t tick_probe;
	uint32_t work; /* frames taken in by this walk */
	uint32_t told; /* events queued by this walk */
	bool traced;   /* frames were marked in this walk */
	uint64_t drops[DROP_COUNT];
	WORKER_COUNTERS(COUNTER_FIELD)
	struct latency latency; /* of the walks that took frames in */

	/* port_tx: frames gathered a port */
	struct worker_out {
		uint16_t n;
		struct rte_mbuf *pkts[PORT_BURST];
	} * out;                                                /* by port */
	struct policer *policers;                               /* by port and class */
	struct kernel_fragmented fragmented[KERNEL_FRAGMENTED]; /* VXLAN by the kernel, in pieces */
	struct policer_rates rates;
	struct control_times control;

	/* sleeping */
	struct pollfd *fds; /* [0] = wake_fd, then up to two a port */
	struct worker_fd {
		int fd;
		uint16_t port;
		bool tap;
		uint8_t errors; /* wake-ups in a row by an error alone */
	} * fd_info;
	unsigned int fd_n;
	unsigned int fd_parked;
	bool can_sleep;     /* every port can be slept on */
	bool must_arm;      /* some port must be asked before sleeping on it */
	bool must_reread;   /* ... and read once more afterwards */
	uint64_t poll_next; /* TSC when descriptors are looked at again while busy */
	uint64_t park_until;

	unsigned int id;
	unsigned int lcore;
	rte_graph_t graph_id;
	int wake_fd; /* shared: eventfd, makes the worker return from ppoll */
	int main_fd;
	const uint32_t *main_sleeps;
	uint32_t stop; /* shared */
	bool running;
};

/*
 * Make a worker: graph, counters, queue. EAL is up, trace_register() was called. Ports in
 * options->ports may be added until worker_ports_changed(). NULL and errno.
 */
struct worker *worker_create(const struct worker_options *options);

/* Free it; it has stopped. NULL is allowed. */
void worker_destroy(struct worker *w);

/* Take over the ports' descriptors and MACs; before the first walk, and again (worker stopped) when
 * ports came or went. Returns 0 or -ENOMEM. */
int worker_ports_changed(struct worker *w);

/* Launch on its lcore. Returns 0 or a negative errno. */
int worker_start(struct worker *w);

/* Make it end and wait for that (it looks at `stop` each walk). Harmless when not running. */
void worker_stop(struct worker *w);

/* Make it look at everything once, also when it sleeps. Any thread. */
void worker_wake(struct worker *w);

/*
 * One round without sleeping: look at descriptors, walk the graph, pass a quiescent state. For
 * tests and for the loop itself. The caller is registered and online. Returns frames taken in.
 */
uint32_t worker_round(struct worker *w);

/* Of such a round the walk alone: ports and TAPs already known to be ready. */
void worker_walk(struct worker *w);

/* Main thread: take up to `n` events. Returns how many. */
unsigned int worker_events_take(struct worker *w, struct worker_event *events, unsigned int n);
