/*
 * Meters of flooded frames: how many of each kind a port, and a segment, may flood a second.
 *
 * Three kinds are told apart: broadcast, unknown unicast, multicast. A meter is a token bucket in
 * one word, the time at which it will be full again (the generic cell rate algorithm, ITU-T I.371),
 * so all workers take from the same bucket without a lock and a rate holds whatever their number is
 * (rte_meter's state belongs to one thread). Rates count frames, not octets and not copies: what a
 * flood costs is the work a frame. Workers write only the word; the main thread sets rates.
 *
 * A segment has two sets of meters, for what comes from its ports and for what comes by the
 * overlay: a storm at another site cannot take the tokens of the local ports, nor the other way.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <rte_branch_prediction.h>

enum storm_class {
	STORM_BROADCAST,
	STORM_UNKNOWN, /* unicast to a MAC that the FDB does not have */
	STORM_MULTICAST,
	STORM_CLASSES,
};

/* Where a segment's flooded frames come from. */
enum storm_side {
	STORM_ACCESS,
	STORM_OVERLAY,
	STORM_SIDES,
};

/* Frames a second by class; 0 = the default. */
struct storm_pps {
	uint32_t pps[STORM_CLASSES];
};

#define STORM_PPS_MAX 100000000u

struct storm_rate {
	uint64_t interval;  /* ticks of the clock between two frames; 0 = the default rate */
	uint64_t tolerance; /* ticks by which frames may come early: the burst */
};

struct storm_meter {
	uint64_t full_at; /* workers: when it is full again, ticks */
	struct storm_rate rate;
};

struct storm_set {
	struct storm_meter meters[STORM_CLASSES];
};

struct storm {
	struct storm_set *ports; /* by port */
	struct storm_set *bds;   /* by domain and side */
	struct storm_rate port_default[STORM_CLASSES];
	struct storm_rate bd_default[STORM_CLASSES];
	uint64_t hz; /* ticks a second */
	uint32_t max_ports, max_bds;
};

extern const struct storm_pps storm_port_default, storm_bd_default;

/* Meters for ports 0 .. max_ports - 1 and domains 1 .. max_bds, all with the default rates. `hz`:
 * the clock that workers will give to storm_take(). 0 or -ENOMEM. */
int storm_init(struct storm *s, uint32_t max_ports, uint32_t max_bds, uint64_t hz);
void storm_fini(struct storm *s);

/* Main thread: set the default rates (0 in a field leaves it as it is). */
void storm_set_default(struct storm *s, const struct storm_pps *ports, const struct storm_pps *bds);

/* Main thread: set the rates of a port / a segment (both sides), with full buckets. A burst is a
 * second's worth. */
void storm_set_port(struct storm *s, uint32_t port, const struct storm_pps *pps);
void storm_set_bd(struct storm *s, uint32_t bd, const struct storm_pps *pps);

static inline struct storm_set *storm_bd(struct storm *s, uint32_t bd, enum storm_side side)
{
	return &s->bds[bd * STORM_SIDES + (uint32_t)side];
}

/* Workers: take one frame at `now` (ticks). False: the rate is used up. */
static inline bool storm_take(
	struct storm_meter *m, const struct storm_rate *default_rate, uint64_t now)
{
	const uint64_t own = __atomic_load_n(&m->rate.interval, __ATOMIC_RELAXED);
	const struct storm_rate *rate = own != 0 ? &m->rate : default_rate;
	const uint64_t interval =
		own != 0 ? own : __atomic_load_n(&default_rate->interval, __ATOMIC_RELAXED);
	const int64_t tolerance = (int64_t)__atomic_load_n(&rate->tolerance, __ATOMIC_RELAXED);
	uint64_t at = __atomic_load_n(&m->full_at, __ATOMIC_RELAXED);
	int64_t ahead;

	do {
		ahead = (int64_t)(at - now);
		if (unlikely(ahead > tolerance))
			return false;
	} while (unlikely(!__atomic_compare_exchange_n(&m->full_at, &at,
		(ahead > 0 ? at : now) + interval, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)));
	return true;
}

/* "broadcast", "unknown unicast", "multicast". */
const char *storm_class_name(enum storm_class class);
