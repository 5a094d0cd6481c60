/* Limits of segments and ports; see limit.h. */
#include "dataplane/tables/limit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct limit none;

int limits_init(struct limits *l, uint32_t max_ports, uint32_t max_bds, uint64_t hz)
{
	int rc;

	memset(l, 0, sizeof(*l));
	l->max_ports = max_ports;
	l->max_bds = max_bds;
	l->bd_macs = calloc((size_t)max_bds + 1, sizeof(*l->bd_macs));
	l->port_macs = calloc(max_ports, sizeof(*l->port_macs));
	rc = !l->bd_macs || !l->port_macs ? -ENOMEM : map64_init(&l->by_vni);
	if (rc == 0)
		rc = storm_init(&l->storm, max_ports, max_bds, hz);
	if (rc != 0)
		limits_fini(l);
	return rc;
}

void limits_fini(struct limits *l)
{
	storm_fini(&l->storm);
	map64_fini(&l->by_vni);
	free(l->segments);
	free(l->bd_macs);
	free(l->port_macs);
	memset(l, 0, sizeof(*l));
}

void limits_domain(struct limits *l, uint16_t bd, uint32_t vni)
{
	const uint32_t at = vni != 0 ? map64_get(&l->by_vni, vni) : 0;
	const struct limit *limit = at != 0 ? &l->segments[at - 1] : &none;

	if (bd > l->max_bds)
		return;
	storm_set_bd(&l->storm, bd, &limit->storm);
	l->bd_macs[bd] = limit->max_macs;
}

int limits_set(struct limits *l, const struct limit_entry segments[], uint32_t n_segments,
	const struct limit_entry ports[], uint32_t n_ports,
	uint32_t (*bd_vni)(void *ctx, uint16_t bd), void *ctx)
{
	struct limit *copy = calloc((size_t)n_segments + 1, sizeof(*copy));
	struct map64 by_vni;
	int rc;

	if (!copy)
		return -ENOMEM;
	rc = map64_init(&by_vni);
	for (uint32_t i = 0; rc == 0 && i < n_segments; i++) {
		copy[i] = segments[i].limit;
		rc = map64_put(&by_vni, segments[i].key, i + 1);
	}
	if (rc != 0) {
		map64_fini(&by_vni);
		free(copy);
		return rc;
	}
	map64_fini(&l->by_vni);
	free(l->segments);
	l->by_vni = by_vni;
	l->segments = copy;
	l->n_segments = n_segments;
	for (uint32_t bd = 1; bd <= l->max_bds; bd++) {
		const uint32_t vni = bd_vni(ctx, (uint16_t)bd);

		if (vni != 0)
			limits_domain(l, (uint16_t)bd, vni);
	}
	for (uint32_t i = 0; i < l->max_ports; i++) {
		storm_set_port(&l->storm, i, &none.storm);
		l->port_macs[i] = 0;
	}
	for (uint32_t i = 0; i < n_ports; i++) {
		if (ports[i].key >= l->max_ports)
			continue;
		storm_set_port(&l->storm, ports[i].key, &ports[i].limit.storm);
		l->port_macs[ports[i].key] = ports[i].limit.max_macs;
	}
	return 0;
}
