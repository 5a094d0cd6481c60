/*
 * All tables together. Invariant: freed in the order groups, adjacencies, the rest, RCU last, as
 * what is deferred points into the tables.
 */
#include "dataplane/tables/tables.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FREE_A_TURN 4096

#define DEFAULT(field, value)                                                                      \
	do {                                                                                       \
		if (o->field == 0)                                                                 \
			o->field = (value);                                                        \
	} while (0)

struct tables *tables_create(const struct tables_options *options)
{
	struct tables *t = aligned_alloc(
		RTE_CACHE_LINE_SIZE, RTE_ALIGN_CEIL(sizeof(*t), (size_t)RTE_CACHE_LINE_SIZE));
	struct tables_options *o;
	int rc = -ENOMEM;

	if (!t)
		return NULL;
	memset(t, 0, sizeof(*t));
	guard_init(&t->guard);
	o = &t->options;
	if (options)
		*o = *options;
	DEFAULT(max_workers, 8);
	DEFAULT(max_macs, 65536);
	DEFAULT(max_bds, 4096);
	DEFAULT(max_acs, 16384);
	DEFAULT(max_vteps, 1024);
	DEFAULT(max_adjs, 1024);
	DEFAULT(max_nhgs, 4096);
	DEFAULT(max_routes, 16384);
	DEFAULT(max_deep, 1024);
	DEFAULT(clock_hz, 1000000000);
	if (o->max_nhgs > FIB4_MAX_NHG || o->max_bds == UINT16_MAX) {
		rc = -EINVAL;
		goto out;
	}
	rc = rcu_init(&t->rcu, o->max_workers);
	if (rc != 0)
		goto out;
	rc = ac_tbl_init(&t->acs, &t->rcu, o->max_acs);
	if (rc != 0)
		goto out;
	rc = vtep_tbl_init(&t->vteps, &t->rcu, o->max_vteps);
	if (rc != 0)
		goto out;
	rc = adj_tbl_init(&t->adjs, &t->rcu, o->max_adjs);
	if (rc != 0)
		goto out;
	rc = nhg_tbl_init(&t->nhgs, &t->rcu, o->max_nhgs, &t->adjs, &t->ports);
	if (rc != 0)
		goto out;
	rc = limits_init(&t->limits, PORT_TBL_MAX, o->max_bds, o->clock_hz);
	if (rc != 0)
		goto out;
	errno = ENOMEM;
	t->bds = bd_tbl_create(&t->rcu, o->max_bds, o->max_vteps);
	if (t->bds)
		t->fdb = fdb_create(&t->rcu, o->max_macs);
	if (t->fdb)
		t->fib = fib4_create(&t->rcu, o->max_routes, o->max_deep);
	rc = t->fib ? 0 : -errno;
out:
	if (rc != 0) {
		tables_destroy(t);
		errno = -rc;
		return NULL;
	}
	return t;
}

void tables_destroy(struct tables *t)
{
	if (!t)
		return;
	if (t->rcu.qsbr)
		rcu_fini(&t->rcu); /* runs what is deferred, on tables that still exist */
	fib4_destroy(t->fib);
	nhg_tbl_fini(&t->nhgs);
	adj_tbl_fini(&t->adjs);
	vtep_tbl_fini(&t->vteps);
	ac_tbl_fini(&t->acs);
	bd_tbl_destroy(t->bds);
	fdb_destroy(t->fdb);
	limits_fini(&t->limits);
	free(t);
}

bool tables_poll(struct tables *t)
{
	struct fdb_stats fdb;

	fdb_poll(t->fdb);
	rcu_poll(&t->rcu, FREE_A_TURN);
	fdb_stats_get(t->fdb, &fdb);
	return t->rcu.pending > 0 || fdb.pending > 0;
}

static int port_flag(struct tables *t, uint16_t port, uint8_t *flag, bool up)
{
	if (*flag == (uint8_t)up)
		return 0;
	__atomic_store_n(flag, (uint8_t)up, __ATOMIC_RELEASE);
	return nhg_refresh_port(&t->nhgs, port);
}

int tables_port_link(struct tables *t, uint16_t port, bool up)
{
	return port_flag(t, port, &t->ports.ports[port].link_up, up);
}

int tables_port_admin(struct tables *t, uint16_t port, bool up)
{
	return port_flag(t, port, &t->ports.ports[port].admin_up, up);
}

int tables_adj_set(struct tables *t, uint16_t adj, const struct rte_ether_addr *src,
	const struct rte_ether_addr *dst, uint16_t mtu)
{
	int rc = adj_set(&t->adjs, adj, src, dst, mtu);
	const struct adj *now;
	int refreshed;

	if (rc <= 0)
		return rc;
	now = adj_get(&t->adjs, adj);
	guard_neighbour(&t->guard, now->port, (const uint8_t *)&now->addr, sizeof(now->addr),
		now->resolved);
	refreshed = nhg_refresh_adj(&t->nhgs, adj);
	return refreshed < 0 ? refreshed : rc;
}

uint32_t tables_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	return (uint32_t)ts.tv_sec;
}
