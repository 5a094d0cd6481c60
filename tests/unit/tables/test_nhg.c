/*
 * Adjacencies and next-hop groups: weights, only flows of a lost leg move, they come back with it,
 * unusable legs are left out while another remains, indexes rest for a grace period.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "dataplane/tables/nhg.h"

#define PORTS 4

struct world {
	struct rcu rcu;
	struct port_tbl *ports;
	struct adj_tbl adjs;
	struct nhg_tbl nhgs;
	uint16_t adj[PORTS]; /* one neighbour a port, resolved */
};

static const struct rte_ether_addr MAC_A = {{2, 0, 0, 0, 0, 1}};
static const struct rte_ether_addr MAC_B = {{2, 0, 0, 0, 0, 2}};

static int setup(void **state)
{
	static struct world w;
	static struct port_tbl ports;

	memset(&w, 0, sizeof(w));
	memset(&ports, 0, sizeof(ports));
	w.ports = &ports;
	assert_int_equal(rcu_init(&w.rcu, 1), 0);
	assert_int_equal(adj_tbl_init(&w.adjs, &w.rcu, 8), 0);
	assert_int_equal(nhg_tbl_init(&w.nhgs, &w.rcu, 4, &w.adjs, w.ports), 0);
	for (uint16_t i = 0; i < PORTS; i++) {
		char name[] = {'u', 'p', (char)('0' + i), 0};
		int adj;

		assert_int_equal(
			port_tbl_add(w.ports, i, PORT_KIND_UPLINK, name, name, &MAC_A, 9000), 0);
		w.ports->ports[i].link_up = w.ports->ports[i].admin_up = 1;
		adj = adj_hold(&w.adjs, i, rte_cpu_to_be_32(0x0a000000u + i), 9000);
		assert_true(adj > 0);
		w.adj[i] = (uint16_t)adj;
		assert_int_equal(adj_set(&w.adjs, w.adj[i], &MAC_A, &MAC_B, 9000), 1);
	}
	*state = &w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	rcu_fini(&w->rcu);
	nhg_tbl_fini(&w->nhgs);
	adj_tbl_fini(&w->adjs);
	return 0;
}

static unsigned int slots_of(const struct nhg *g, uint16_t adj)
{
	unsigned int n = 0;

	for (unsigned int s = 0; s <= g->mask; s++)
		n += nhg_select(g, s) == adj;
	return n;
}

static void test_adj(void **state)
{
	struct world *w = *state;
	const struct adj *a = adj_get(&w->adjs, w->adj[1]);
	struct rte_ether_hdr *eth = (struct rte_ether_hdr *)(uintptr_t)a->rewrite;
	int idx;

	assert_true(a->resolved);
	assert_memory_equal(&eth->dst_addr, &MAC_B, 6);
	assert_memory_equal(&eth->src_addr, &MAC_A, 6);
	assert_int_equal(eth->ether_type, rte_cpu_to_be_16(0x0800));
	assert_int_equal(adj_set(&w->adjs, w->adj[1], &MAC_A, &MAC_B, 9000), 0);
	assert_int_equal(adj_hold(&w->adjs, 1, rte_cpu_to_be_32(0x0a000001), 1), w->adj[1]);
	adj_release(&w->adjs, w->adj[1]);
	assert_int_equal(adj_find(&w->adjs, 1, rte_cpu_to_be_32(0x0a000001)), w->adj[1]);

	/* the index rests while a worker may hold it, and the worker still reads the old one */
	rcu_worker_register(&w->rcu, 0);
	rcu_worker_online(&w->rcu, 0);
	adj_release(&w->adjs, w->adj[1]);
	assert_int_equal(adj_find(&w->adjs, 1, rte_cpu_to_be_32(0x0a000001)), ADJ_NONE);
	assert_int_equal(adj_set(&w->adjs, w->adj[1], &MAC_A, NULL, 9000), -ENOENT);
	idx = adj_hold(&w->adjs, 1, rte_cpu_to_be_32(0x0a000001), 1);
	assert_int_not_equal(idx, w->adj[1]);
	assert_non_null(adj_get(&w->adjs, w->adj[1]));
	rcu_worker_quiescent(&w->rcu, 0);
	rcu_poll(&w->rcu, 100);
	assert_null(adj_get(&w->adjs, w->adj[1]));
	rcu_worker_unregister(&w->rcu, 0);
	/* full */
	for (uint32_t i = 0; i < 4; i++)
		assert_true(adj_hold(&w->adjs, 0, rte_cpu_to_be_32(100 + i), 1) > 0);
	assert_int_equal(adj_hold(&w->adjs, 0, 1, 1), -ENOSPC);
}

static void test_weights(void **state)
{
	struct world *w = *state;
	struct nhg_leg legs[] = {{w->adj[0], 1}, {w->adj[1], 3}};
	struct nhg_leg bad[] = {{w->adj[0], 0}};
	struct nhg_leg one[] = {{w->adj[2], 7}, {w->adj[2], 1}};
	int g = nhg_add(&w->nhgs, legs, 2);

	assert_true(g > 0);
	assert_int_equal(slots_of(nhg_get(&w->nhgs, (uint16_t)g), w->adj[0]), 16);
	assert_int_equal(slots_of(nhg_get(&w->nhgs, (uint16_t)g), w->adj[1]), 48);
	assert_int_equal(nhg_add(&w->nhgs, bad, 1), -EINVAL);
	assert_int_equal(nhg_add(&w->nhgs, legs, 0), -EINVAL);
	g = nhg_add(&w->nhgs, one, 2);
	assert_int_equal(nhg_get(&w->nhgs, (uint16_t)g)->mask, 0);
	assert_int_equal(nhg_select(nhg_get(&w->nhgs, (uint16_t)g), 12345), w->adj[2]);
}

static void test_resilience(void **state)
{
	struct world *w = *state;
	struct nhg_leg legs[] = {{w->adj[0], 1}, {w->adj[1], 1}, {w->adj[2], 1}};
	uint16_t before[64], one[64];
	int g = nhg_add(&w->nhgs, legs, 3);
	const struct nhg *x = nhg_get(&w->nhgs, (uint16_t)g);

	assert_int_equal(x->mask, 63);
	memcpy(before, x->slots, sizeof(before));
	/* link of port 1 goes: its flows move, to both others, nobody else's */
	w->ports->ports[1].link_up = 0;
	assert_int_equal(nhg_refresh_port(&w->nhgs, 1), 1);
	assert_int_equal(nhg_refresh_port(&w->nhgs, 1), 0);
	x = nhg_get(&w->nhgs, (uint16_t)g);
	assert_int_equal(x->n_live, 2);
	for (int s = 0; s < 64; s++) {
		assert_int_not_equal(x->slots[s], w->adj[1]);
		if (before[s] != w->adj[1])
			assert_int_equal(x->slots[s], before[s]);
	}
	assert_true(slots_of(x, w->adj[0]) >= 31 && slots_of(x, w->adj[2]) >= 31);
	memcpy(one, x->slots, sizeof(one));
	/* then port 0: what port 2 has stays there */
	w->ports->ports[0].link_up = 0;
	nhg_refresh_port(&w->nhgs, 0);
	x = nhg_get(&w->nhgs, (uint16_t)g);
	assert_int_equal(slots_of(x, w->adj[2]), 64);
	/* all gone: all legs are back in, there is nothing better */
	w->ports->ports[2].link_up = 0;
	nhg_refresh_port(&w->nhgs, 2);
	x = nhg_get(&w->nhgs, (uint16_t)g);
	assert_int_equal(x->n_live, 0);
	assert_memory_equal(x->slots, before, sizeof(before));
	/* and all return */
	for (uint16_t p = 0; p < 3; p++) {
		w->ports->ports[p].link_up = 1;
		nhg_refresh_port(&w->nhgs, p);
	}
	x = nhg_get(&w->nhgs, (uint16_t)g);
	assert_memory_equal(x->slots, before, sizeof(before));
	/* an unresolved leg is as good as none */
	adj_set(&w->adjs, w->adj[2], &MAC_A, NULL, 9000);
	assert_int_equal(nhg_refresh_adj(&w->nhgs, w->adj[2]), 1);
	assert_int_equal(slots_of(nhg_get(&w->nhgs, (uint16_t)g), w->adj[2]), 0);
}

static void test_set(void **state)
{
	struct world *w = *state;
	struct nhg_leg legs[] = {{w->adj[0], 1}, {w->adj[1], 1}, {w->adj[2], 1}, {w->adj[3], 1}};
	uint16_t before[64];
	int g = nhg_add(&w->nhgs, legs, 3), moved = 0;
	const struct nhg *x = nhg_get(&w->nhgs, (uint16_t)g);

	memcpy(before, x->slots, sizeof(before));
	assert_int_equal(nhg_set(&w->nhgs, (uint16_t)g, legs, 3), 0);
	/* a fourth leg takes its share and nothing else moves */
	assert_int_equal(nhg_set(&w->nhgs, (uint16_t)g, legs, 4), 1);
	x = nhg_get(&w->nhgs, (uint16_t)g);
	for (int s = 0; s < 64; s++)
		moved += x->slots[s] != before[s];
	assert_int_equal(moved, 16);
	assert_int_equal(slots_of(x, w->adj[3]), 16);
	/* a removed leg: only its flows move; its adjacency loses the group's reference */
	memcpy(before, x->slots, sizeof(before));
	assert_int_equal(nhg_set(&w->nhgs, (uint16_t)g, &legs[1], 3), 1);
	x = nhg_get(&w->nhgs, (uint16_t)g);
	for (int s = 0; s < 64; s++)
		if (before[s] != w->adj[0])
			assert_int_equal(x->slots[s], before[s]);
	assert_int_equal(w->adjs.refs[w->adj[0]], 1);
	assert_int_equal(w->adjs.refs[w->adj[1]], 2);
	assert_int_equal(nhg_set(&w->nhgs, 3, legs, 1), -ENOENT);
}

static void test_reuse(void **state)
{
	struct world *w = *state;
	struct nhg_leg leg = {w->adj[0], 1};
	int g;

	rcu_worker_register(&w->rcu, 0);
	rcu_worker_online(&w->rcu, 0);
	for (int i = 1; i <= 4; i++)
		assert_int_equal(nhg_add(&w->nhgs, &leg, 1), i);
	assert_int_equal(nhg_add(&w->nhgs, &leg, 1), -ENOSPC);
	assert_int_equal(nhg_del(&w->nhgs, 2), 0);
	assert_int_equal(nhg_del(&w->nhgs, 2), -ENOENT);
	assert_non_null(nhg_get(&w->nhgs, 2));
	assert_int_equal(nhg_add(&w->nhgs, &leg, 1), -ENOSPC);
	rcu_worker_quiescent(&w->rcu, 0);
	rcu_poll(&w->rcu, 100);
	assert_null(nhg_get(&w->nhgs, 2));
	g = nhg_add(&w->nhgs, &leg, 1);
	assert_int_equal(g, 2);
	rcu_worker_unregister(&w->rcu, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_adj, setup, teardown),
		cmocka_unit_test_setup_teardown(test_weights, setup, teardown),
		cmocka_unit_test_setup_teardown(test_resilience, setup, teardown),
		cmocka_unit_test_setup_teardown(test_set, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reuse, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
