/* A segment with learning, for tests; see learn_lab.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/mirror/learn_lab.h"

static int write_cb(void *ctx, const struct learn_write writes[], unsigned int n)
{
	struct lab *lab = ctx;

	if (lab->accept < 0)
		return lab->accept;
	if (lab->accept > 0 && n > (unsigned int)lab->accept)
		n = (unsigned int)lab->accept;
	memcpy(&lab->writes[lab->n_writes], writes, n * sizeof(writes[0]));
	lab->n_writes += n;
	return (int)n;
}

struct lab *lab_open(const struct learn_options *options)
{
	struct lab *lab = calloc(1, sizeof(*lab));
	struct learn_options o = *options;

	assert_non_null(lab);
	o.write = write_cb;
	o.ctx = lab;
	world_open(&lab->w);
	lab->l = learn_create(lab->w.m, &o);
	assert_non_null(lab->l);
	assert_null(learn_create(lab->w.m, &o));
	lab->now = 1000;
	msg_link(lab->w.m, false, BR, "br100", "bridge", 0, true);
	msg_vxlan(lab->w.m, VX, "vx100", BR, 100, "10.0.0.1");
	msg_link(lab->w.m, false, P1, "p1", "tun", BR, true);
	msg_link(lab->w.m, false, P2, "p2", "tun", BR, true);
	msg_self(lab->w.m, false, VX, &(struct rte_ether_addr){{0}}, "10.0.0.2", false);
	lab->bd = ac_bd(&lab->w.t->acs, PORT1);
	assert_int_not_equal(lab->bd, 0);
	lab->vtep2 = fdb_dest(FDB_KIND_VTEP, bd_get(lab->w.t->bds, lab->bd)->flood[0]);
	return lab;
}

int lab_teardown(void **state)
{
	struct lab *lab = *state;

	msg_link(lab->w.m, true, P1, "p1", "tun", 0, false);
	msg_link(lab->w.m, true, P2, "p2", "tun", 0, false);
	msg_link(lab->w.m, true, VX, "vx100", "vxlan", 0, false);
	msg_link(lab->w.m, true, BR, "br100", "bridge", 0, false);
	/* the audit forgets what is gone */
	for (int i = 0; i < 5; i++)
		learn_poll(lab->l, lab->now += 2000);
	world_assert_empty(&lab->w);
	learn_destroy(lab->l);
	world_close(&lab->w);
	free(lab);
	return 0;
}

uint32_t dest(struct lab *lab, const struct rte_ether_addr *mac)
{
	struct fdb_entry e;

	return fdb_find(lab->w.t->fdb, fdb_key(lab->bd, mac), &e) ? e.dest : FDB_MISS;
}

void event(struct lab *lab, const struct rte_ether_addr *mac, uint16_t port, uint32_t saw)
{
	struct learn_event ev = {.key = fdb_key(lab->bd, mac), .saw = saw, .ac = port};

	learn_events(lab->l, &ev, 1, lab->now);
	learn_poll(lab->l, lab->now);
}
