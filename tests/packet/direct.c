/* State written straight into the tables; see direct.h. */
#include "tests/packet/direct.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

uint16_t direct_adj(struct tables *t, uint16_t port, uint32_t addr, const uint8_t *mac)
{
	const struct port_entry *p = port_get(&t->ports, port);
	int adj = adj_hold(&t->adjs, port, rte_cpu_to_be_32(addr), p->mtu);

	assert_true(adj > 0);
	if (mac != NULL) {
		struct rte_ether_addr dst;

		memcpy(&dst, mac, sizeof(dst));
		assert_true(tables_adj_set(t, (uint16_t)adj, &p->mac, &dst, p->mtu) >= 0);
	}
	return (uint16_t)adj;
}

uint16_t direct_group(struct tables *t, const uint16_t adjs[], unsigned int n)
{
	struct nhg_leg legs[NHG_MAX_LEGS];
	int group;

	for (unsigned int i = 0; i < n; i++)
		legs[i] = (struct nhg_leg){.adj = adjs[i], .weight = 1};
	group = nhg_add(&t->nhgs, legs, n);
	assert_true(group > 0);
	return (uint16_t)group;
}

uint16_t direct_vtep(struct tables *t, uint32_t local, uint32_t remote, uint16_t group)
{
	int vtep = vtep_hold(&t->vteps, rte_cpu_to_be_32(local), rte_cpu_to_be_32(remote));

	assert_true(vtep > 0);
	vtep_set_nhg(&t->vteps, (uint16_t)vtep, group);
	return (uint16_t)vtep;
}

uint16_t direct_bd(struct tables *t, uint32_t vni, uint32_t local, const uint16_t ports[],
	unsigned int n_ports, const uint16_t vteps[], unsigned int n_vteps)
{
	const struct bd_config config = {
		.vni = vni,
		.mtu = 1500,
		.local = rte_cpu_to_be_32(local),
		.acs = ports,
		.n_acs = (uint16_t)n_ports,
		.flood = vteps,
		.n_flood = (uint16_t)n_vteps,
	};
	int bd = bd_add(t->bds, &config);

	assert_true(bd > 0);
	for (unsigned int i = 0; i < n_ports; i++)
		ac_set_bd(&t->acs, ports[i], (uint16_t)bd);
	return (uint16_t)bd;
}

void direct_ports_up(struct tables *t)
{
	for (uint16_t i = 0; i < t->ports.n; i++) {
		tables_port_admin(t, i, true);
		tables_port_link(t, i, true);
	}
}
