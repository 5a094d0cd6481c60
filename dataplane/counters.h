/*
 * The workers' counters added up, per segment and VTEP, since that segment or VTEP exists.
 *
 * Workers count by index and never reset. When an index is given up, the sums of that moment become
 * the base that its next user starts from: an index is free for at least one turn, so looking once
 * a turn (counters_turn) misses none. Main thread.
 */
#pragma once

#include <stdint.h>

#include "dataplane/nodes/stats.h"

struct dataplane;

struct counters;

/* Sized for the tables of `dp`. NULL: no memory. */
struct counters *counters_create(const struct dataplane *dp);
void counters_destroy(struct counters *c);

/* Once a turn, after tables changed and before their deferred work is done. */
void counters_turn(struct counters *c, const struct dataplane *dp);

void counters_segment(const struct counters *c, const struct dataplane *dp, uint16_t bd,
	struct segment_stats *sum);
void counters_vtep(const struct counters *c, const struct dataplane *dp, uint16_t vtep,
	struct vtep_stats *sum);
