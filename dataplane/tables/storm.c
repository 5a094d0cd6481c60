/* Rates of flooded frames; see storm.h. Called by the main thread. */
#include "dataplane/tables/storm.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "dataplane/tables/mem.h"

#define BURST_MIN 64

/*
 * A port: two thousand hosts that ask by ARP once a second; a video wall; a host that only listens
 * and whose MAC aged. Far below what a loop makes (the port's line rate). A segment gets as much as
 * some busy ports together.
 */
const struct storm_pps storm_port_default = {
	.pps = {[STORM_BROADCAST] = 2000, [STORM_UNKNOWN] = 10000, [STORM_MULTICAST] = 10000},
};
const struct storm_pps storm_bd_default = {
	.pps = {[STORM_BROADCAST] = 5000, [STORM_UNKNOWN] = 25000, [STORM_MULTICAST] = 25000},
};

static size_t ports_size(const struct storm *s)
{
	return s->max_ports * sizeof(struct storm_set);
}

static size_t bds_size(const struct storm *s)
{
	return ((size_t)s->max_bds + 1) * STORM_SIDES * sizeof(struct storm_set);
}

static struct storm_rate rate_make(const struct storm *s, uint32_t pps)
{
	const uint64_t burst = pps > BURST_MIN ? pps : BURST_MIN;
	struct storm_rate r = {0};

	if (pps == 0)
		return r;
	if (pps > STORM_PPS_MAX)
		pps = STORM_PPS_MAX;
	r.interval = s->hz / pps > 0 ? s->hz / pps : 1;
	r.tolerance = (burst - 1) * r.interval;
	return r;
}

/* A worker between the two stores has a wrong burst for one frame, which harms nobody. */
static void rate_store(struct storm_rate *to, struct storm_rate rate)
{
	__atomic_store_n(&to->tolerance, rate.tolerance, __ATOMIC_RELAXED);
	__atomic_store_n(&to->interval, rate.interval, __ATOMIC_RELAXED);
}

static void set_store(const struct storm *s, struct storm_set *set, const struct storm_pps *pps)
{
	for (int c = 0; c < STORM_CLASSES; c++) {
		rate_store(&set->meters[c].rate, rate_make(s, pps->pps[c]));
		__atomic_store_n(&set->meters[c].full_at, 0, __ATOMIC_RELAXED);
	}
}

int storm_init(struct storm *s, uint32_t max_ports, uint32_t max_bds, uint64_t hz)
{
	memset(s, 0, sizeof(*s));
	s->max_ports = max_ports;
	s->max_bds = max_bds;
	s->hz = hz;
	s->ports = mem_map(ports_size(s), false);
	s->bds = mem_map(bds_size(s), false);
	if (!s->ports || !s->bds) {
		storm_fini(s);
		return -ENOMEM;
	}
	storm_set_default(s, &storm_port_default, &storm_bd_default);
	return 0;
}

void storm_fini(struct storm *s)
{
	mem_unmap(s->ports, ports_size(s));
	mem_unmap(s->bds, bds_size(s));
	s->ports = s->bds = NULL;
}

void storm_set_default(struct storm *s, const struct storm_pps *ports, const struct storm_pps *bds)
{
	for (int c = 0; c < STORM_CLASSES; c++) {
		if (ports->pps[c] != 0)
			rate_store(&s->port_default[c], rate_make(s, ports->pps[c]));
		if (bds->pps[c] != 0)
			rate_store(&s->bd_default[c], rate_make(s, bds->pps[c]));
	}
}

void storm_set_port(struct storm *s, uint32_t port, const struct storm_pps *pps)
{
	if (port < s->max_ports)
		set_store(s, &s->ports[port], pps);
}

void storm_set_bd(struct storm *s, uint32_t bd, const struct storm_pps *pps)
{
	if (bd > s->max_bds)
		return;
	set_store(s, storm_bd(s, bd, STORM_ACCESS), pps);
	set_store(s, storm_bd(s, bd, STORM_OVERLAY), pps);
}

const char *storm_class_name(enum storm_class class)
{
	static const char *const names[STORM_CLASSES] = {
		[STORM_BROADCAST] = "broadcast",
		[STORM_UNKNOWN] = "unknown unicast",
		[STORM_MULTICAST] = "multicast",
	};

	return class < STORM_CLASSES ? names[class] : NULL;
}
