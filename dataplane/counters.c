/* The workers' counters added up; see counters.h. */
#include "dataplane/dpdk_compat.h"

#include "dataplane/counters.h"

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

static void segment_sum(const struct dataplane *dp, uint16_t bd, struct segment_stats *sum)
{
	memset(sum, 0, sizeof(*sum));
	for (unsigned int i = 0; i < dp->worker_count; i++) {
		const struct segment_stats *s = &dp->workers[i]->segments[bd];

		sum->encap_packets += stat_read(&s->encap_packets);
		sum->encap_bytes += stat_read(&s->encap_bytes);
		sum->decap_packets += stat_read(&s->decap_packets);
		sum->decap_bytes += stat_read(&s->decap_bytes);
		sum->flood_packets += stat_read(&s->flood_packets);
	}
}

static void vtep_sum(const struct dataplane *dp, uint16_t vtep, struct vtep_stats *sum)
{
	memset(sum, 0, sizeof(*sum));
	for (unsigned int i = 0; i < dp->worker_count; i++) {
		const struct vtep_stats *s = &dp->workers[i]->vteps[vtep];

		sum->tx_packets += stat_read(&s->tx_packets);
		sum->tx_bytes += stat_read(&s->tx_bytes);
		sum->rx_packets += stat_read(&s->rx_packets);
		sum->rx_bytes += stat_read(&s->rx_bytes);
	}
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
	const struct segment_stats *base = &c->bd_base[bd];

	segment_sum(dp, bd, sum);
	sum->encap_packets -= base->encap_packets;
	sum->encap_bytes -= base->encap_bytes;
	sum->decap_packets -= base->decap_packets;
	sum->decap_bytes -= base->decap_bytes;
	sum->flood_packets -= base->flood_packets;
}

void counters_vtep(
	const struct counters *c, const struct dataplane *dp, uint16_t vtep, struct vtep_stats *sum)
{
	const struct vtep_stats *base = &c->vtep_base[vtep];

	vtep_sum(dp, vtep, sum);
	sum->tx_packets -= base->tx_packets;
	sum->tx_bytes -= base->tx_bytes;
	sum->rx_packets -= base->rx_packets;
	sum->rx_bytes -= base->rx_bytes;
}
