/*
 * The port holder's state and the doors between its files.
 *
 * One thread, one epoll loop. Invariant: TAPs and sockets of `ports` are open from holder_open() to
 * holder_close(), whatever happens to the forwarding process; at any time either the forwarding
 * process reads them (CHILD_RUNNING) or the pump does, never both.
 */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "dataplane/port/handover.h"
#include "dataplane/port/inventory.h"
#include "proto/lib/log.h"

#define HOLDER_PATH_SIZE 256

/* What an epoll event is about; the upper half of its data, an index is the lower half. */
enum holder_source {
	SOURCE_SIGNAL = 1,
	SOURCE_CHILD,     /* the handover socket */
	SOURCE_SITE,      /* links of our own namespace */
	SOURCE_WIRE,      /* index into wires */
	SOURCE_PUMP_WIRE, /* index into ports */
	SOURCE_PUMP_TAP,  /* index into ports */
};

struct holder_options {
	const char *inventory;
	const char *run;
	const char *dataplane;
	const char *user;
	const char *log_level;
	bool keep;
};

/* A namespace that holds wires. */
struct holder_wire {
	char netns[INVENTORY_NETNS_SIZE]; /* "" = our own */
	int fd;                           /* of the namespace */
	int link_fd;                      /* our own watch of its links */
};

struct pump_stats {
	uint64_t to_kernel, to_wire, tenants, dropped;
};

struct holder_port {
	struct port_spec spec;
	uint16_t wire; /* index into wires; packet ports only */
	bool wire_up;
	bool wire_gone;
	bool wire_seen; /* in the dump that follows an overrun */
	bool pumping;
	uint32_t tokens; /* frames the pump may move until the next refill */
	struct pump_stats pump;
};

enum child_state {
	CHILD_ABSENT,   /* dead; starts again at child.start_at */
	CHILD_STARTING, /* running, has not said READY */
	CHILD_RUNNING,  /* READY and GO: the ports are its own */
	CHILD_DYING,    /* we, or its closed socket, said so; waiting for its end */
};

struct child {
	enum child_state state;
	pid_t pid;
	int fd;            /* handover socket, -1 when there is none */
	unsigned int next; /* message of the list to send next */
	bool list_sent;
	int64_t started_ms;
	int64_t ready_ms;         /* since when it forwards; 0: it does not */
	int64_t ping_at;          /* CHILD_RUNNING: when to ask again whether it lives */
	uint32_t ping;            /* seq of the last PING */
	unsigned int unanswered;  /* PINGs in a row */
	int64_t start_at;         /* CHILD_ABSENT: when to start; INT64_MAX: never */
	int64_t deadline;         /* CHILD_STARTING and DYING: then it is killed */
	unsigned int fast_deaths; /* in a row, before it was ready */
	uint64_t restarts;
	uid_t uid;
	gid_t gid;
	struct handover_netlink netlink; /* of this start; closed when sent */
};

struct holder {
	struct holder_options options;
	struct inventory inventory;
	unsigned int n_ports;
	struct holder_port ports[PORT_MAX];
	unsigned int n_wires;
	struct holder_wire wires[PORT_MAX];
	int site_fd;      /* our own namespace */
	int site_link_fd; /* watch of its links */
	int nl_fd;        /* kernel writes, with acknowledgements */
	uint32_t nl_seq;
	int epoll_fd;
	int signal_fd;
	int api_fd;
	char api_path[HOLDER_PATH_SIZE];
	char dataplane_path[PATH_MAX]; /* absolute */
	char run_path[PATH_MAX];       /* absolute */
	struct child child;
	int64_t pump_since; /* 0: not pumping */
	int64_t pump_refill;
	uint8_t *pump_buffer;
	bool stopping;
};

/* Monotonic time in milliseconds. */
int64_t holder_now(void);

/* Watch `fd` for reading under a source; `what` is for the log. Returns 0 or a negative errno. */
int holder_watch(struct holder *h, int fd, enum holder_source source, uint32_t index);
void holder_unwatch(struct holder *h, int fd);

/* wires.c: open all that the inventory names. Returns 0, or a negative errno after logging. */
int wires_open(struct holder *h);
void wires_close(struct holder *h);
/* Links of a namespace may have changed: carry them over to the TAPs. */
void wires_event(struct holder *h, unsigned int wire);

/* taps.c: make the TAP of a port (spec.tap, mac, mtu, role are set), set tap_fd and tap_ifindex. */
int tap_make(struct holder *h, struct holder_port *port);
/* Close a TAP; removes the device unless `keep`. */
void tap_unmake(struct holder_port *port, bool keep);
/* The wire's link is up or down: so is the TAP's carrier, and the kernel says so at once. */
void tap_link_set(struct holder *h, struct holder_port *port, bool up);
/* Watch our namespace's links; a TAP that somebody deletes is made again. */
int taps_watch(struct holder *h);
void taps_event(struct holder *h);

/* kernel.c: requests to the site's kernel, each acknowledged. Negative errno on failure. */
int kernel_open(struct holder *h);
int kernel_link_set(struct holder *h, uint32_t ifindex, const uint8_t *mac, uint32_t mtu,
	uint32_t txqlen, bool up);
/* The device under a VLAN device; 0: `ifindex` is none, or there is no such. */
uint32_t kernel_vlan_lower(uint32_t ifindex);
int kernel_addrgen_none(struct holder *h, uint32_t ifindex);
/*
 * Make a changed carrier known at once. The kernel by itself says it (RTM_NEWLINK, routes
 * "linkdown") at most once a second for all devices together; a change of the operational state,
 * up to dormant and back, is said immediately. The kernel sets the state right when its turn comes.
 */
int kernel_link_announce(struct holder *h, uint32_t ifindex, bool up);
/* Carry out a batch; result->error[] per entry. */
void kernel_fdb_write(struct holder *h, const struct handover_fdb_write *write,
	struct handover_fdb_result *result);
int kernel_neigh_probe(struct holder *h, uint32_t ifindex, uint32_t address);
/* The forwarding process's two sockets (see handover.h). */
int kernel_mirror_open(struct handover_netlink *netlink);
void kernel_mirror_close(struct handover_netlink *netlink);

/* child.c: the forwarding process. */
int child_prepare(struct holder *h);
void child_event(struct holder *h, uint32_t events);
void child_reaped(struct holder *h, int status);
/* Ask it to end (SIGTERM), with a deadline; it starts again unless the holder is stopping. */
void child_stop(struct holder *h, const char *why);
/* Do what is due; returns milliseconds until the next thing is, -1 for never. */
int child_tick(struct holder *h);

/* requests.c: what the forwarding process asks for. Returns 0, or -EBADMSG: give it up. */
int request_serve(struct holder *h, const struct handover_msg *msg);

/* pump.c */
int pump_open(struct holder *h);
void pump_start(struct holder *h);
void pump_stop(struct holder *h);
void pump_event(struct holder *h, unsigned int port, bool from_wire);
