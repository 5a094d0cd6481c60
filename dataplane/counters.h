/*
 * The workers' counters added up, per port, segment and VTEP, the latter two since that segment or
 * VTEP exists; and lists of all counters' names, for those who show them.
 *
 * Workers count by index and never reset. When an index is given up, the sums of that moment become
 * the base that its next user starts from: an index is free for at least one turn, so looking once
 * a turn (counters_turn) misses none. Main thread.
 */
#pragma once

#include <stdint.h>

#include "dataplane/nodes/latency.h"
#include "dataplane/nodes/stats.h"
#include "dataplane/port/port.h"

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

/* Of a port: the wire's, and those of the way to and from the kernel. */
struct port_counters {
	struct port_stats wire;
	struct punt_stats punt;
	uint64_t inject_packets;  /* from the kernel by the TAP */
	struct storm_stats storm; /* what it flooded, by its own meters */
};

void counters_port(const struct dataplane *dp, struct port *port, struct port_counters *sum);

/* Packets dropped for a reason (enum drop_reason) by all workers. */
uint64_t counters_drop(const struct dataplane *dp, unsigned int reason);

/* The latency of worker `worker`, or of all (-1). */
void counters_latency(const struct dataplane *dp, int worker, struct latency *sum);

/* Every counter of a kind by its name, made from the lists in stats.h and port.h. */
enum counter_kind {
	COUNTERS_PORT,    /* of a struct port_counters */
	COUNTERS_SEGMENT, /* of a struct segment_stats */
	COUNTERS_VTEP,    /* of a struct vtep_stats */
	COUNTERS_WORKER,  /* of a struct worker */
	COUNTERS_KINDS,
};

struct counter_field {
	const char *name;
	size_t offset;
};

struct counter_fields {
	const struct counter_field *list;
	size_t n;
};

extern const struct counter_fields counters_fields[COUNTERS_KINDS];

/* The value of `field` in the structure at `base`. */
static inline uint64_t counter_value(const void *base, const struct counter_field *field)
{
	return stat_read((const uint64_t *)((const char *)base + field->offset));
}
