/*
 * The forwarding process as a whole: what its main thread owns and does each turn.
 *
 * One struct dataplane, passed down; nothing else is mutable at file scope. Everything here is the
 * main thread's; workers see `tables`, `ports` and what worker.h marks as shared. The packet tests
 * make the same structure without a holder and feed the mirror themselves.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/loop.h"
#include "dataplane/mirror/learn.h"
#include "dataplane/mirror/mirror.h"
#include "dataplane/mirror/mirror_sock.h"
#include "dataplane/nodes/trace.h"
#include "dataplane/port/port.h"
#include "dataplane/tables/tables.h"
#include "dataplane/worker.h"

struct api;
struct counters;
struct dataplane;
struct dataplane_capture;

struct dataplane_options {
	unsigned int workers;             /* 0 = 1; on lcores 1, 2 .. */
	unsigned int mbufs;               /* 0 = 4095 and what ethdev ports' rings hold */
	unsigned int ethdev_ports;        /* how many such ports there will be */
	struct tables_options tables;     /* zeros = defaults */
	const struct policer_rates *punt; /* NULL = policer_default */
	/* Kernel writes of learning, as learn_options.write; and a neighbour to be resolved. */
	int (*learn_write)(void *ctx, const struct learn_write writes[], unsigned int n);
	void (*probe)(void *ctx, const struct port *port, rte_be32_t addr);
	/* An ethdev port came or its link changed: the TAP needs its MAC, MTU. May be NULL. */
	void (*tap_set)(void *ctx, const struct port *port);
	void *ctx;
	uint32_t age_s;      /* of learnt MACs; 0 = learn's default */
	uint32_t damp_moves; /* as learn_options.damp_moves */
};

/* A port as the main thread watches it. */
struct dataplane_port {
	struct dataplane *dp;
	struct port *port;
	struct loop_watch link;
};

/* A trace that is no longer wanted, until no worker can see it. */
struct dataplane_trace {
	struct rcu_entry rcu;
	bool *leaving; /* cleared when it is freed */
	struct trace trace;
};

struct dataplane {
	struct loop loop;
	struct rte_mempool *pool;
	struct tables *tables;
	struct mirror *mirror;
	struct learn *learn;
	struct mirror_sock *netlink; /* NULL in tests */
	struct loop_watch event_watch, dump_watch, main_watch;
	bool event_watched;
	struct port *ports[PORT_MAX];
	struct dataplane_port port_watch[PORT_MAX];
	unsigned int port_count;
	struct worker *workers[WORKER_MAX];
	unsigned int worker_count;
	bool forwarding;
	struct api *api;
	struct counters *counters;
	struct dataplane_trace *trace;     /* published now, NULL = none */
	bool trace_leaving;                /* an ended trace waits for its grace period */
	struct dataplane_capture *capture; /* published now, NULL = none; see capture.h */
	bool capture_leaving;
	struct dataplane_options options;
	int main_fd;
	uint32_t main_sleeps; /* shared with workers */
	int64_t started_ms;
	int64_t link_poll_ms; /* next look at ports without link_fd; 0 = none */
};

/*
 * Make everything but ports: the EAL is up. NULL and errno. Options are copied.
 */
struct dataplane *dataplane_create(const struct dataplane_options *options);

/* Stop workers, close ports, free all. NULL is allowed. */
void dataplane_destroy(struct dataplane *dp);

/*
 * Open a port (port_open(); takes the descriptors of `spec` in any case) and enter it in the
 * tables. `ethdev_id`: as in port_options, -1 in production. Before dataplane_start(). Returns 0 or
 * a negative errno.
 */
int dataplane_port_add(struct dataplane *dp, const struct port_spec *spec, int ethdev_id);

/* Make the workers for the ports added so far; not yet running. Returns 0 or a negative errno:
 * -ENOTSUP (logged) when a port has fewer queues than there would be workers. */
int dataplane_prepare(struct dataplane *dp);

/* Launch the workers. Returns 0 or a negative errno. */
int dataplane_start(struct dataplane *dp);

/* Take over the netlink descriptors (in any case) and start the first dump. 0 or negative errno. */
int dataplane_netlink(struct dataplane *dp, int event_fd, int dump_fd);

/*
 * One turn of the main thread: everything that is due, then wait for events for at most `max_ms`
 * (-1: no limit). Returns 0, or a negative errno when the process cannot go on.
 */
int dataplane_turn(struct dataplane *dp, int max_ms);

/* Read a port's link anew and tell tables, mirror, learning and the TAP. */
void dataplane_port_link(struct dataplane *dp, struct port *port);

/*
 * Publish a trace to the workers. Returns it (valid until dataplane_trace_end()), or NULL and
 * errno: EBUSY (another runs, or has only just ended), ENOMEM. The caller fills in nothing
 * afterwards.
 */
struct trace *dataplane_trace_begin(
	struct dataplane *dp, uint16_t port, const struct rte_ether_addr *mac, uint32_t count);
void dataplane_trace_end(struct dataplane *dp);
