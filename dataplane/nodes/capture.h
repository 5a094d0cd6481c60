/*
 * Captures: workers copy matching frames into a ring each, the main thread takes them out.
 *
 * A frame is seen where it comes in from the wire (port_rx), where it leaves to it (port_tx), or
 * where it ends (node_drop()). One session at a time belongs to the main thread, which publishes it
 * to the workers and takes it back, as with traces; without one it costs a predicted branch a burst
 * and nothing a frame. A ring has one writer and one reader, no lock, and a fixed size: what does
 * not fit is counted as lost.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <rte_common.h>
#include <rte_mbuf.h>

#include "dataplane/nodes/drop.h"

struct worker;

#define CAPTURE_RING     (1u << 20) /* octets a worker; a power of two */
#define CAPTURE_SNAP_MAX 16384      /* octets kept of a frame, at most */
#define CAPTURE_ANY_PORT UINT16_MAX
#define CAPTURE_FOREVER  UINT32_MAX

/* Where a frame was seen; bits of capture_filter.where. */
enum capture_where {
	CAPTURE_IN = 1,
	CAPTURE_OUT = 2,
	CAPTURE_DROP = 4,
};

struct capture_filter {
	uint16_t port;          /* where it came in, or goes out; CAPTURE_ANY_PORT */
	uint8_t where;          /* enum capture_where */
	uint32_t vni;           /* its segment; 0 = any, or none */
	uint32_t snaplen;       /* 1 .. CAPTURE_SNAP_MAX */
	bool drops[DROP_COUNT]; /* with CAPTURE_DROP: these reasons */
};

/* A frame in a ring; its first octets follow, then padding to 8. */
struct capture_frame {
	uint32_t size; /* octets up to the next one; 0: no frame, go on at the ring's begin */
	uint16_t port; /* where it came in or goes out */
	uint8_t where; /* one of enum capture_where */
	uint8_t drop;  /* enum drop_reason with CAPTURE_DROP */
	uint32_t length;
	uint32_t kept; /* of these, so many are here */
	uint64_t tsc;
	uint32_t vni;     /* 0 = none, or not known */
	const char *node; /* that dropped it, a static string; else NULL */
};

static_assert(sizeof(struct capture_frame) % 8 == 0, "frames in the ring are aligned");
static_assert(DROP_COUNT <= UINT8_MAX, "a reason fits in capture_frame.drop");

struct capture_ring {
	uint64_t head __rte_cache_aligned; /* octets ever written; the worker's */
	uint64_t lost;                     /* frames that did not fit; the worker's */
	uint64_t tail __rte_cache_aligned; /* octets ever read; the main thread's */
	uint8_t *data;                     /* CAPTURE_RING octets */
};

struct capture {
	struct capture_filter filter;
	uint32_t left; /* frames yet wanted; shared; CAPTURE_FOREVER: no limit */
	unsigned int workers;
	uint64_t base_tsc;           /* this TSC is ... */
	uint64_t base_ns;            /* ... this time since the epoch */
	struct capture_ring rings[]; /* by worker */
};

/* Main thread: a capture for so many workers, of at most `count` frames. NULL: no memory. */
struct capture *capture_create(
	const struct capture_filter *filter, uint32_t count, unsigned int workers);
/* No worker may still see it. NULL is allowed. */
void capture_destroy(struct capture *c);

/* Main thread: workers shall write no more. What is in the rings can still be read. */
void capture_close(struct capture *c);

/* Main thread: whether no more will come. */
static inline bool capture_closed(const struct capture *c)
{
	return __atomic_load_n(&c->left, __ATOMIC_RELAXED) == 0;
}

/*
 * Main thread: the oldest frame of a ring, NULL when it is empty; valid until capture_next(). Its
 * octets are at `frame + 1`.
 */
const struct capture_frame *capture_peek(struct capture *c, unsigned int worker);
void capture_next(struct capture *c, unsigned int worker);

/* Frames that did not fit, all workers. */
uint64_t capture_lost(const struct capture *c);

/* A frame's time in nanoseconds since the epoch. */
uint64_t capture_time(const struct capture *c, uint64_t tsc);

/* Worker: n frames came in by, or leave by, `port`. */
void capture_burst(struct capture *c, struct worker *w, enum capture_where where, uint16_t port,
	struct rte_mbuf *const *pkts, uint16_t n);

/* Worker: `m` ends in `node` (a static string). */
void capture_drop(struct capture *c, struct worker *w, const struct rte_mbuf *m, const char *node,
	enum drop_reason reason);
