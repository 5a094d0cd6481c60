/*
 * Drives the mirror from two rtnetlink descriptors: one that hears events, one that dumps.
 *
 * Both are opened by somebody else (the port holder) in the site's namespace: the event socket has
 * joined RTNLGRP_LINK, NEIGH, IPV4_IFADDR, IPV4_ROUTE and NEXTHOP, with a large receive buffer; the
 * other is a plain bound NETLINK_ROUTE socket with NETLINK_GET_STRICT_CHK if it can. Neither needs
 * a privilege to be used. Invariant: events are not read while a dump runs, they wait in the
 * socket; so what a dump shows is never older than the last event taken, and replaying the waiting
 * events ends in the kernel's state. An overrun (ENOBUFS) is answered by a full dump with marks
 * (D2).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/mirror/mirror.h"

struct mirror_sock;

struct mirror_sock_stats {
	uint64_t messages; /* recv calls that gave something */
	uint64_t overruns; /* ENOBUFS on the event socket */
	uint64_t dumps;    /* full dumps completed */
	uint64_t redumps;  /* partial dumps completed (routes after a link went down) */
	uint64_t restarts; /* dumps started again: inconsistent, error or timeout */
	bool synced;       /* a full dump is complete and no other is due */
};

/*
 * Take over both descriptors (made non-blocking, closed by destroy) and start a full dump. NULL and
 * errno.
 */
struct mirror_sock *mirror_sock_create(struct mirror *m, int event_fd, int dump_fd);
void mirror_sock_destroy(struct mirror_sock *s);

/* Descriptors for the main loop's epoll, always for EPOLLIN (level-triggered). While a dump runs
 * the event descriptor may be readable without being read: take it out of the set while
 * mirror_sock_wants_events() is false, or the loop spins. */
int mirror_sock_event_fd(const struct mirror_sock *s);
int mirror_sock_dump_fd(const struct mirror_sock *s);
bool mirror_sock_wants_events(const struct mirror_sock *s);

/*
 * Do a bounded amount of work (at most about 64 receives): call it when either descriptor is
 * readable and once a turn. Settles the mirror. now_ms: monotonic milliseconds. Returns
 * milliseconds until it wants to be called again without readability: 0 = at once (more to do),
 * -1 = never; or a negative errno below -1 if a descriptor is broken for good (-EBADF, -ENOTCONN).
 */
int mirror_sock_run(struct mirror_sock *s, uint64_t now_ms);

/* Ask for a full dump (e.g. after ports were added). */
void mirror_sock_resync(struct mirror_sock *s);

void mirror_sock_stats_get(const struct mirror_sock *s, struct mirror_sock_stats *stats);
