/*
 * Packet traces: matching frames are marked where they enter the graph, and each node writes down
 * what it decided about them.
 *
 * One session at a time belongs to the main thread, which publishes it to the workers and takes it
 * back; it is freed only after every worker has passed a quiescent state. A frame's record is
 * written by the worker that received it and is complete when `done` is set. The mark is a bit in
 * ol_flags and a slot number in a dynamic field, both at fixed places, so an unmarked frame costs
 * one predictable branch a node.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <rte_ether.h>
#include <rte_mbuf.h>

#include "dataplane/nodes/drop.h"

#define TRACE_FRAMES_MAX 64
#define TRACE_STEPS_MAX  24
#define TRACE_HEAD_MAX   128
#define TRACE_DETAIL_MAX 96
#define TRACE_ANY_PORT   UINT16_MAX

#define TRACE_MARK_BIT   39
#define TRACE_MARK       (1ULL << TRACE_MARK_BIT)

struct trace_step {
	const char *node; /* static name */
	char detail[TRACE_DETAIL_MAX];
	int16_t drop; /* enum drop_reason, or -1 */
};

struct trace_frame {
	uint16_t port;
	uint16_t worker;
	uint16_t head_len;
	uint16_t step_count; /* may pass TRACE_STEPS_MAX: the rest was not kept */
	uint32_t length;
	uint32_t done; /* release-stored by the worker */
	uint8_t head[TRACE_HEAD_MAX];
	struct trace_step steps[TRACE_STEPS_MAX];
};

struct trace {
	uint16_t port; /* TRACE_ANY_PORT = any */
	bool any_mac;
	struct rte_ether_addr mac;
	uint32_t count;    /* frames wanted, 1..TRACE_FRAMES_MAX */
	uint32_t used;     /* slots given out; atomic; may pass count */
	uint32_t finished; /* slots complete; atomic */
	struct trace_frame frames[TRACE_FRAMES_MAX];
};

/*
 * Reserve the mark's bit and field in all mbufs of this process; after rte_eal_init, before the
 * first frame. Returns 0, or negative errno when something else has them.
 */
int trace_register(void);

/*
 * If the frame `m`, received on `port` by `worker`, is one that `t` looks for, mark it and note its
 * head. The MAC is compared with source and destination of the frame, and of the inner frame where
 * it is VXLAN. Returns whether it was marked.
 */
bool trace_match(struct trace *t, struct rte_mbuf *m, uint16_t port, uint16_t worker);

/* Note what `node` (a static string) decided about the marked frame `m`. */
void trace_step(struct trace *t, const struct rte_mbuf *m, const char *node, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* Note that the marked frame `m` ended in `node` for `reason`. */
void trace_drop(
	struct trace *t, const struct rte_mbuf *m, const char *node, enum drop_reason reason);

/* The walk in which `worker` marked frames has ended, so their records are complete. Returns how
 * many that were. */
uint32_t trace_finish(struct trace *t, uint16_t worker);

static inline bool trace_marked(const struct rte_mbuf *m)
{
	return (m->ol_flags & TRACE_MARK) != 0;
}

/* Take the mark off a frame that leaves the graph alive (by a port that may loop back). */
static inline void trace_unmark(struct rte_mbuf *m)
{
	m->ol_flags &= ~TRACE_MARK;
}
