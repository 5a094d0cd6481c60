/* The workers' counters added up; see counters.h. */
#include "dataplane/dpdk_compat.h"

#include "dataplane/counters.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/dataplane.h"

struct counters {
	uint16_t bd_max, vtep_max;
	bool *bd_seen, *vtep_seen;
	struct segment_stats *bd_base;
	struct vtep_stats *vtep_base;
};

struct counters *counters_create(const struct dataplane *dp)
{
	struct counters *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->bd_max = dp->tables->bds->max;
	c->vtep_max = dp->tables->vteps.max;
	c->bd_seen = calloc((size_t)c->bd_max + 1, sizeof(*c->bd_seen));
	c->vtep_seen = calloc((size_t)c->vtep_max + 1, sizeof(*c->vtep_seen));
	c->bd_base = calloc((size_t)c->bd_max + 1, sizeof(*c->bd_base));
	c->vtep_base = calloc((size_t)c->vtep_max + 1, sizeof(*c->vtep_base));
	if (c->bd_seen == NULL || c->vtep_seen == NULL || c->bd_base == NULL ||
		c->vtep_base == NULL) {
		counters_destroy(c);
		return NULL;
	}
	return c;
}

void counters_destroy(struct counters *c)
{
	if (c == NULL)
		return;
	free(c->bd_seen);
	free(c->vtep_seen);
	free(c->bd_base);
	free(c->vtep_base);
	free(c);
}

/* Structures of counters are arrays of them, with padding at most behind. */
#define SUM(to, from, n)                                                                           \
	do {                                                                                       \
		static_assert(sizeof(*(to)) == sizeof(*(from)), "not the same structure");         \
		array_add((uint64_t *)(to), (const uint64_t *)(from), (n));                        \
	} while (0)
#define COUNT(name) +1

static void array_add(uint64_t *to, const uint64_t *from, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		to[i] += stat_read(&from[i]);
}

static void array_take(uint64_t *from, const uint64_t *base, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		from[i] -= base[i];
}

static void segment_sum(const struct dataplane *dp, uint16_t bd, struct segment_stats *sum)
{
	memset(sum, 0, sizeof(*sum));
	for (unsigned int i = 0; i < dp->worker_count; i++)
		SUM(sum, &dp->workers[i]->segments[bd], SEGMENT_COUNTERS(COUNT));
}

static void vtep_sum(const struct dataplane *dp, uint16_t vtep, struct vtep_stats *sum)
{
	memset(sum, 0, sizeof(*sum));
	for (unsigned int i = 0; i < dp->worker_count; i++)
		SUM(sum, &dp->workers[i]->vteps[vtep], VTEP_COUNTERS(COUNT));
}

void counters_turn(struct counters *c, const struct dataplane *dp)
{
	const struct tables *t = dp->tables;
	const uint16_t end = bd_end(t->bds);

	for (uint16_t i = 1; i < end && i <= c->bd_max; i++) {
		const bool is = bd_live(t->bds, i);

		if (c->bd_seen[i] && !is)
			segment_sum(dp, i, &c->bd_base[i]);
		c->bd_seen[i] = is;
	}
	for (uint16_t i = 1; i < t->vteps.end && i <= c->vtep_max; i++) {
		const bool is = t->vteps.refs[i] != 0;

		if (c->vtep_seen[i] && !is)
			vtep_sum(dp, i, &c->vtep_base[i]);
		c->vtep_seen[i] = is;
	}
}

void counters_segment(const struct counters *c, const struct dataplane *dp, uint16_t bd,
	struct segment_stats *sum)
{
	segment_sum(dp, bd, sum);
	array_take((uint64_t *)sum, (const uint64_t *)&c->bd_base[bd], SEGMENT_COUNTERS(COUNT));
}

void counters_vtep(
	const struct counters *c, const struct dataplane *dp, uint16_t vtep, struct vtep_stats *sum)
{
	vtep_sum(dp, vtep, sum);
	array_take((uint64_t *)sum, (const uint64_t *)&c->vtep_base[vtep], VTEP_COUNTERS(COUNT));
}

uint64_t counters_drop(const struct dataplane *dp, unsigned int reason)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < dp->worker_count; i++)
		sum += stat_read(&dp->workers[i]->drops[reason]);
	return sum;
}

void counters_latency(const struct dataplane *dp, int worker, struct latency *sum)
{
	memset(sum, 0, sizeof(*sum));
	for (unsigned int i = 0; i < dp->worker_count; i++) {
		const struct latency *l = &dp->workers[i]->latency;

		if (worker >= 0 && (unsigned int)worker != i)
			continue;
		array_add(sum->buckets, l->buckets, LATENCY_BUCKETS);
		sum->max = RTE_MAX(sum->max, stat_read(&l->max));
	}
}

#define FIELD(type, prefix, field, member)                                                         \
	{                                                                                          \
		prefix #field, offsetof(type, member)                                              \
	}
#define FIELDS(list)                                                                               \
	{                                                                                          \
		list, RTE_DIM(list)                                                                \
	}

static const struct counter_field port_fields[] = {
#define X(field) FIELD(struct port_counters, "", field, wire.field),
	PORT_COUNTERS(X)
#undef X
#define X(field) FIELD(struct port_counters, "punt_", field, punt.field),
		PUNT_COUNTERS(X)
#undef X
			FIELD(struct port_counters, "", inject_packets, inject_packets),
#define X(field) FIELD(struct port_counters, "", field, storm.field),
	STORM_COUNTERS(X)
#undef X
};
static const struct counter_field segment_fields[] = {
#define X(field) FIELD(struct segment_stats, "", field, field),
	SEGMENT_COUNTERS(X)
#undef X
};
static const struct counter_field vtep_fields[] = {
#define X(field) FIELD(struct vtep_stats, "", field, field),
	VTEP_COUNTERS(X)
#undef X
};
static const struct counter_field worker_fields[] = {
#define X(field) FIELD(struct worker, "", field, field),
	WORKER_COUNTERS(X)
#undef X
};

const struct counter_fields counters_fields[COUNTERS_KINDS] = {
	[COUNTERS_PORT] = FIELDS(port_fields),
	[COUNTERS_SEGMENT] = FIELDS(segment_fields),
	[COUNTERS_VTEP] = FIELDS(vtep_fields),
	[COUNTERS_WORKER] = FIELDS(worker_fields),
};

void counters_port(const struct dataplane *dp, struct port *port, struct port_counters *sum)
{
	memset(sum, 0, sizeof(*sum));
	port_stats_refresh(port);
	SUM(&sum->wire, &port->stats, PORT_COUNTERS(COUNT));
	for (unsigned int i = 0; i < dp->worker_count; i++) {
		SUM(&sum->punt, &dp->workers[i]->punts[port->id], PUNT_COUNTERS(COUNT));
		SUM(&sum->storm, &dp->workers[i]->storms[port->id], STORM_COUNTERS(COUNT));
	}
	sum->inject_packets = stat_read(&port->tap.rx_packets);
}
