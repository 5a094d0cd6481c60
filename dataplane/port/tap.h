/*
 * The TAP end of a port: bursts of mbufs between the forwarding process and the site's kernel.
 *
 * The descriptor is a persistent TAP made by the holder (IFF_TAP | IFF_NO_PI, O_NONBLOCK, no
 * offloads), which keeps one of its own, so that the TAP outlives the forwarding process. One
 * thread at a time. Linux: Documentation/networking/tuntap.rst.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/port/tapdev.h"

struct rte_mbuf;
struct rte_mempool;

struct tap {
	int fd;              /* -1: none; the calls below then do nothing */
	uint8_t *overflow;   /* what does not fit in one mbuf is read here first */
	uint64_t rx_packets; /* from the kernel */
	uint64_t rx_drops;   /* no mbufs */
	uint64_t tx_packets; /* to the kernel */
	uint64_t tx_drops;   /* the TAP's queue is full, it is down or has no carrier */
};

/* Take over `fd` (-1 allowed). Returns 0, or -ENOMEM (fd then stays the caller's). */
int tap_init(struct tap *tap, int fd);

/* Close the descriptor and free the buffer. */
void tap_fini(struct tap *tap);

/* Read up to `n` frames that the kernel sent, into mbufs of `pool` (chained when longer than their
 * room); the caller owns them. mbuf->port is not set. Returns how many; never blocks. */
uint16_t tap_rx_burst(
	struct tap *tap, struct rte_mempool *pool, struct rte_mbuf **pkts, uint16_t n);

/* Give `n` frames to the kernel. All mbufs are freed. Returns how many the kernel took. */
uint16_t tap_tx_burst(struct tap *tap, struct rte_mbuf **pkts, uint16_t n);
