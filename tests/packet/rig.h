/*
 * The rig: the real forwarding process without a holder, in this process, stepped by the test.
 *
 * Ports are rings (net_ring through the ethdev back end), TAPs are socket pairs; the kernel is what
 * the test feeds to the mirror. One worker, walked by the test itself: nothing happens between two
 * calls, so there is nothing to wait for. No privileges.
 *
 *	 p1, p2, p3 --- [ graph ] --- up0, up1
 *	    access        | TAPs |       uplinks
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/dataplane.h"
#include "tests/packet/frame.h"

struct rte_ring;

enum {
	UP0,
	UP1,
	P1,
	P2,
	P3,
	RIG_PORTS,
};

#define RIG_WRITES 64

struct rig_options {
	const struct policer_rates *punt; /* NULL = far above what tests send */
	unsigned int mbufs;               /* 0 = 2047 */
	uint32_t max_macs;
	bool no_learn; /* the mirror alone makes FDB entries */
	bool storm;    /* the product's rates of flooded frames; else far above what tests send */
};

struct rig {
	struct dataplane *dp;
	struct worker *worker;
	struct rte_ring *rx[RIG_PORTS], *tx[RIG_PORTS];
	int tap[RIG_PORTS]; /* the kernel's end */
	struct learn_write writes[RIG_WRITES];
	unsigned int write_n;
	unsigned int probe_n;
	uint16_t probe_port;
	rte_be32_t probe_addr;
	struct rte_mempool *pool; /* of frames that the test sends */
	bool handed_over;
};

/* cmocka group fixtures: the EAL and the rings, once a process. */
int rig_group_setup(void **state);
int rig_group_teardown(void **state);

/* As rig_group_setup(), with DPDK's telemetry socket; and the run directory that it is in. */
int rig_group_setup_telemetry(void **state);
const char *rig_dir(void);

/* A fresh rig; all of its ports have link and a MAC of rig_mac(). */
struct rig *rig_open(const struct rig_options *options);
void rig_close(struct rig *rig);

const uint8_t *rig_mac(unsigned int port);

/* Give the walking over to a thread: the test no longer walks itself, and dataplane_start() may be
 * called (worker_stop() before rig_close()). */
void rig_hand_over(struct rig *rig);

/* Put a frame where port `port` receives; rig_run() takes it in. */
void rig_send(struct rig *rig, unsigned int port, const struct frame_bytes *frame);

/* As rig_send(), in segments of at most `seg` octets. */
void rig_send_chain(
	struct rig *rig, unsigned int port, const struct frame_bytes *frame, size_t seg);

/* What the kernel sends on the port's TAP. */
void rig_tap_send(struct rig *rig, unsigned int port, const struct frame_bytes *frame);

/* Walk until nothing comes in any more, and do a turn of the main thread. */
void rig_run(struct rig *rig);

/* The wire of a port gains or loses its link, and the main thread hears of it. */
void rig_link(struct rig *rig, unsigned int port, bool up);

/* The next frame that left by the port / came to the kernel by its TAP; false: none. */
bool rig_recv(struct rig *rig, unsigned int port, struct frame_bytes *frame);
bool rig_tap_recv(struct rig *rig, unsigned int port, struct frame_bytes *frame);

/* Take whatever left by any port or TAP, unseen. */
void rig_drain(struct rig *rig);

/* Nothing left by any port or TAP; whatever did is shown and fails the test. */
void rig_assert_silent(struct rig *rig, const char *file, int line);
#define assert_silent(rig) rig_assert_silent((rig), __FILE__, __LINE__)

/* Packets dropped for a reason, and for all reasons. */
uint64_t rig_drops(const struct rig *rig, enum drop_reason reason);
uint64_t rig_drops_all(const struct rig *rig);

/* mbufs in use by the dataplane and by the test: 0 when nothing leaks. */
unsigned int rig_mbufs(const struct rig *rig);
