/*
 * A port: one small interface in front of two back ends, ethdev.c (any DPDK device) and packet.c (a
 * kernel interface by AF_PACKET), and the TAP that stands for the port in the site's namespace.
 *
 * Frames that a port gives are whole Ethernet frames with finished checksums, at most MTU + 14 (+
 * 4) octets; an mbuf is a chain when a frame is longer than its room. ol_flags are 0, packet_type
 * and hash.rss are not set, mbuf->port is the port's `id`.
 *
 * Who may call: rx_burst/tx_burst of one queue, and the TAP's bursts, by one thread at a time (the
 * worker that owns the queue); link_* and open/close by the main thread. Counters have one writer,
 * the worker; others read them without a lock (each is an aligned 64-bit word).
 */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

#include <rte_mbuf.h>
#include <rte_mempool.h>

#include "dataplane/port/port_spec.h"
#include "dataplane/port/tap.h"

struct port;

/* Largest burst that the calls below take. */
#define PORT_BURST 32

/*
 * One line a counter: it is then a field, in the answers on the unix socket and in telemetry, and
 * docs/operator/counters.md must explain it.
 */
#define PORT_COUNTERS(X)                                                                           \
	X(rx_packets)                                                                              \
	X(rx_bytes)                                                                                \
	X(tx_packets)                                                                              \
	X(tx_bytes)                                                                                \
	X(tx_drops)         /* refused by the device or kernel: queue full, too long, down */      \
	X(rx_no_mbuf)       /* frames lost, or bursts put off, for want of mbufs */                \
	X(rx_errors)        /* receive calls that failed, frames too short or cut */               \
	X(rx_offload_bad)   /* frames dropped: offload header that contradicts the frame */        \
	X(rx_csum_finished) /* frames whose checksum was completed here */                         \
	X(rx_super_frames)  /* super-frames that were segmented here */                            \
	X(rx_segments)      /* frames that came out of them (also in rx_packets) */                \
	X(tx_super_frames)  /* super-frames that several frames were sent as (coalesce.h) */       \
	X(rx_kernel_drops)  /* lost before us: socket buffer full, device's imissed; refreshed by  \
			     * port_stats_refresh() */

struct port_stats {
#define X(name) uint64_t name;
	PORT_COUNTERS(X)
#undef X
};

/* A back end. Reached through the inline calls below; a member that may be NULL says so. */
struct port_ops {
	const char *name;
	uint16_t (*rx_burst)(struct port *port, uint16_t queue, struct rte_mbuf **pkts, uint16_t n);
	uint16_t (*tx_burst)(struct port *port, uint16_t queue, struct rte_mbuf **pkts, uint16_t n);
	int (*link_update)(struct port *port, bool *changed);
	int (*sleep_arm)(struct port *port, uint16_t queue);     /* may be NULL */
	void (*sleep_disarm)(struct port *port, uint16_t queue); /* may be NULL */
	void (*stats_refresh)(struct port *port);                /* may be NULL */
	void (*close)(struct port *port);
};

struct port {
	const struct port_ops *ops;
	uint16_t id;     /* spec.id: index for the graph's tables */
	uint16_t queues; /* 1 for now */
	uint32_t mtu;    /* octets of layer 3 */
	uint8_t mac[6];  /* the wire's, known in any case after port_open() */
	bool link_up;    /* written by the main thread (port_link_update), read by anyone */
	int link_fd;     /* readable when the link may have changed; -1: ask every 100 ms */
	int rx_fd;       /* readable when queue 0 has frames; -1: it can only be polled */
	struct rte_mempool *pool;
	struct port_stats stats;
	struct tap tap;        /* tap.fd is -1 when there is none (tests) */
	struct port_spec spec; /* what it was opened from; the descriptors in it are the port's */
	void *priv;            /* the back end's */
};

struct port_options {
	struct rte_mempool *pool; /* for received frames; rte_pktmbuf_pool, any data room >= 256 */
	uint16_t rx_desc;         /* ethdev: descriptors; 0 = 512 */
	uint16_t tx_desc;         /* ethdev: descriptors; 0 = 512 */
	int ethdev_id;            /* ethdev: port id that exists already (tests: net_ring);
				   * -1 = find or probe spec.device */
};

/*
 * Open a port from `spec` (copied). Takes ownership of spec's descriptors, also on failure: they
 * are closed by port_close(), or before an error is returned. EAL must be initialised. packet:
 * checks that the descriptors are what they should be (socket domain, bound ifindex), as the spec
 * came from another process. ethdev: finds the device by name, else probes it (rte_dev_probe),
 * takes its MAC and sets the spec's MTU; promiscuous. Errors: -EINVAL bad spec or descriptors,
 * -ENODEV no such device, -ENOMEM, or the driver's error.
 */
int port_open(const struct port_spec *spec, const struct port_options *options, struct port **out);

/* Close a port, its descriptors and its TAP descriptor (the TAP stays while the holder has it), and
 * free it. Threads must have stopped using it. NULL is allowed. */
void port_close(struct port *port);

/*
 * Receive up to `n` (<= PORT_BURST) frames into `pkts`; the caller owns them. Returns how many.
 * Never blocks. 0 does not mean that the port is silent for ever: look again after rx_fd is
 * readable. A port may hold frames back in itself (segments of a super-frame that did not fit in
 * `n`): when it returned n, call again before sleeping.
 */
static inline uint16_t port_rx_burst(
	struct port *port, uint16_t queue, struct rte_mbuf **pkts, uint16_t n)
{
	return port->ops->rx_burst(port, queue, pkts, n);
}

/*
 * Send `n` (<= PORT_BURST) frames. Takes all mbufs in any case: each is sent or freed. Returns how
 * many were sent; the others are counted in stats.tx_drops. The frame's bytes may be read until the
 * call returns (packet) or later by the device (ethdev).
 */
static inline uint16_t port_tx_burst(
	struct port *port, uint16_t queue, struct rte_mbuf **pkts, uint16_t n)
{
	return port->ops->tx_burst(port, queue, pkts, n);
}

/*
 * Read the link's state anew into port->link_up; *changed (may be NULL) says whether it is another
 * one. Call when link_fd is readable (drains it), or every 100 ms when link_fd is -1. Also takes
 * over a changed MTU of a packet port's wire. Never blocks. Returns 0, or a negative errno: the
 * state is then unknown and taken as down. A wire interface that was deleted is down.
 *
 * The TAP's carrier follows the wire: for packet ports the holder does that by itself; for ethdev
 * ports the forwarding process must tell it (HANDOVER_TAP_SET) at the start and after a change.
 */
static inline int port_link_update(struct port *port, bool *changed)
{
	return port->ops->link_update(port, changed);
}

/*
 * Before a worker sleeps: make rx_fd readable on frames (ethdev: enables the rx interrupt; packet:
 * nothing to do). Returns 0 when the worker may sleep on rx_fd, -ENOTSUP when it must go on polling
 * this port, -EAGAIN when frames are waiting within the port. After arming a port that has
 * sleep_disarm, look at rx_burst once more before sleeping, else a frame that came between is seen
 * late.
 */
static inline int port_sleep_arm(struct port *port, uint16_t queue)
{
	if (port->rx_fd < 0)
		return -ENOTSUP;
	return port->ops->sleep_arm ? port->ops->sleep_arm(port, queue) : 0;
}

/* After sleeping: undo port_sleep_arm(). */
static inline void port_sleep_disarm(struct port *port, uint16_t queue)
{
	if (port->ops->sleep_disarm)
		port->ops->sleep_disarm(port, queue);
}

/* Bring stats.rx_kernel_drops up to date. Main thread. */
static inline void port_stats_refresh(struct port *port)
{
	if (port->ops->stats_refresh)
		port->ops->stats_refresh(port);
}

/* The two back ends' openers, called by port_open() with everything but `ops` and `priv` set. */
int packet_port_open(struct port *port, const struct port_options *options);
int ethdev_port_open(struct port *port, const struct port_options *options);
