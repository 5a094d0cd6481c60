/*
 * Learning: what workers report enters the FDB and is told to the kernel; the kernel's word beats
 * what was seen before it (D17); what is not confirmed is written again; ages, limits, withdrawal.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/lib/log.h"
#include "tests/unit/mirror/learn_lab.h"

static const struct rte_ether_addr MAC = LEARN_MAC;

static int setup(void **state)
{
	*state = lab_open(&(struct learn_options){.max_macs_port = 100});
	return 0;
}

static void assert_write(struct lab *lab, unsigned int i, enum learn_op op, uint32_t ifindex)
{
	assert_true(i < lab->n_writes);
	assert_int_equal(lab->writes[i].op, op);
	assert_int_equal(lab->writes[i].ifindex, ifindex);
}

static void test_new(void **state)
{
	struct lab *lab = *state;
	struct learn_stats st;

	event(lab, &MAC, PORT1, FDB_MISS);
	assert_int_equal(dest(lab, &MAC), AT1);
	assert_int_equal(lab->n_writes, 1);
	assert_write(lab, 0, LEARN_REPLACE, P1);
	assert_memory_equal(&lab->writes[0].mac, &MAC, 6);
	event(lab, &MAC, PORT1, FDB_MISS); /* another frame before the first was taken */
	assert_int_equal(lab->n_writes, 1);
	msg_master(lab->w.m, false, BR, P1, &MAC, true);
	for (int i = 0; i < 20; i++)
		learn_poll(lab->l, lab->now += 500);
	assert_int_equal(lab->n_writes, 1); /* confirmed: no rewrite */
	learn_stats_get(lab->l, &st);
	assert_int_equal(st.learnt, 1);
	assert_int_equal(st.macs, 1);
	assert_int_equal(st.unconfirmed, 0);
	/* the bridge forgets it by somebody's hand: so do we, and the next frame teaches it anew */
	msg_master(lab->w.m, true, BR, P1, &MAC, true);
	assert_int_equal(dest(lab, &MAC), FDB_MISS);
	event(lab, &MAC, PORT1, FDB_MISS);
	assert_int_equal(lab->n_writes, 2);
}

static void test_unconfirmed(void **state)
{
	struct lab *lab = *state;
	struct learn_stats st;

	lab->accept = -EAGAIN;
	event(lab, &MAC, PORT1, FDB_MISS);
	assert_int_equal(lab->n_writes, 0);
	lab->accept = 0;
	learn_poll(lab->l, lab->now += 100);
	assert_int_equal(lab->n_writes, 1);
	learn_poll(lab->l, lab->now += 800);
	assert_int_equal(lab->n_writes, 1);
	learn_poll(lab->l, lab->now += 101);
	assert_int_equal(lab->n_writes, 2);
	for (int i = 0; i < 64; i++)
		learn_poll(lab->l, lab->now += 1000);
	/* looks 1, 2, 4, 8, 16, 32, 64: the pauses grow */
	assert_int_equal(lab->n_writes, 8);
	learn_stats_get(lab->l, &st);
	assert_int_equal(st.rewrites, 7);
	assert_int_equal(dest(lab, &MAC), AT1);
}

static void test_kernel_decides(void **state)
{
	struct lab *lab = *state;
	struct learn_stats st;

	msg_self(lab->w.m, false, VX, &MAC, "10.0.0.2", true);
	assert_int_equal(dest(lab, &MAC), FDB_MISS); /* half of FRR's pair says nothing */
	msg_master(lab->w.m, false, BR, VX, &MAC, true);
	assert_int_equal(dest(lab, &MAC), lab->vtep2);
	/* frames from before the entry: dropped */
	event(lab, &MAC, PORT1, FDB_MISS);
	event(lab, &MAC, PORT1, AT2);
	assert_int_equal(dest(lab, &MAC), lab->vtep2);
	assert_int_equal(lab->n_writes, 0);
	/* a frame after it: the MAC is here again, FRR hears it */
	event(lab, &MAC, PORT1, lab->vtep2);
	assert_int_equal(dest(lab, &MAC), AT1);
	assert_write(lab, 0, LEARN_REPLACE, P1);
	learn_stats_get(lab->l, &st);
	assert_int_equal(st.stale, 2);
	assert_int_equal(st.reclaimed, 1);
	/* the kernel takes ours; the vxlan device's entry stays behind and means nothing */
	msg_master(lab->w.m, false, BR, P1, &MAC, true);
	assert_int_equal(dest(lab, &MAC), AT1);
	/* the other site claims it again before or after: the kernel's last word counts */
	event(lab, &MAC, PORT2, AT1);
	assert_int_equal(dest(lab, &MAC), AT2);
	msg_master(lab->w.m, false, BR, VX, &MAC, true);
	assert_int_equal(dest(lab, &MAC), lab->vtep2);
	/* gone there, the stale entry must not draw traffic */
	msg_master(lab->w.m, true, BR, VX, &MAC, true);
	assert_int_equal(dest(lab, &MAC), FDB_MISS);
}

/* A workload that moves announces itself by one frame; the site it left may withdraw it before that
 * is told of. Then nothing speaks against the frame. */
static void test_withdrawn_meanwhile(void **state)
{
	struct lab *lab = *state;

	msg_self(lab->w.m, false, VX, &MAC, "10.0.0.2", true);
	msg_master(lab->w.m, false, BR, VX, &MAC, true);
	msg_master(lab->w.m, true, BR, VX, &MAC, true);
	assert_int_equal(dest(lab, &MAC), FDB_MISS);
	event(lab, &MAC, PORT1, lab->vtep2);
	assert_int_equal(dest(lab, &MAC), AT1);
	assert_write(lab, 0, LEARN_REPLACE, P1);
}

/* A write that waits when the kernel says that the MAC is remote is not sent any more: no frame was
 * received after that. */
static void test_kernel_decides_while_waiting(void **state)
{
	struct lab *lab = *state;

	lab->accept = -EAGAIN;
	event(lab, &MAC, PORT1, FDB_MISS);
	assert_int_equal(dest(lab, &MAC), AT1);
	msg_self(lab->w.m, false, VX, &MAC, "10.0.0.2", true);
	msg_master(lab->w.m, false, BR, VX, &MAC, true);
	assert_int_equal(dest(lab, &MAC), lab->vtep2);
	lab->accept = 0;
	for (int i = 0; i < 4; i++)
		learn_poll(lab->l, lab->now += 1000);
	assert_int_equal(lab->n_writes, 0);
	assert_int_equal(dest(lab, &MAC), lab->vtep2);
	/* then one comes */
	event(lab, &MAC, PORT1, lab->vtep2);
	assert_write(lab, 0, LEARN_REPLACE, P1);
}

/* The MAC goes from p1 to p2 before the kernel has answered the first write. */
static void test_own_echo(void **state)
{
	struct lab *lab = *state;

	event(lab, &MAC, PORT1, FDB_MISS);
	event(lab, &MAC, PORT2, AT1);
	assert_write(lab, 0, LEARN_REPLACE, P1);
	assert_write(lab, 1, LEARN_REPLACE, P2);
	msg_master(lab->w.m, false, BR, P1, &MAC, true);
	assert_int_equal(dest(lab, &MAC), AT2);
	msg_master(lab->w.m, false, BR, P2, &MAC, true);
	assert_int_equal(dest(lab, &MAC), AT2);
	msg_master(lab->w.m, true, BR, P1, &MAC, true); /* late removal of the old place */
	assert_int_equal(dest(lab, &MAC), AT2);
}

static void make_old(struct lab *lab, const struct rte_ether_addr *mac)
{
	assert_int_equal(fdb_put(lab->w.t->fdb, fdb_key(lab->bd, mac), AT1, tables_now() - 301), 0);
}

static void age_all(struct lab *lab)
{
	for (int i = 0; i < 12; i++)
		learn_poll(lab->l, lab->now += 1000);
}

static void test_age(void **state)
{
	struct lab *lab = *state;
	const struct rte_ether_addr fixed = {{2, 0xcc, 0, 0, 0, 1}};
	struct learn_stats st;

	/* found at start: the kernel's extern_learn entry is ours with a fresh age */
	msg_master(lab->w.m, false, BR, P1, &MAC, true);
	msg_master(lab->w.m, false, BR, P1, &fixed, false); /* a person's: never ages */
	age_all(lab);
	assert_int_equal(dest(lab, &MAC), AT1);
	assert_int_equal(lab->n_writes, 0);
	make_old(lab, &MAC);
	make_old(lab, &fixed);
	age_all(lab);
	assert_int_equal(dest(lab, &MAC), FDB_MISS);
	assert_int_equal(dest(lab, &fixed), AT1);
	assert_write(lab, 0, LEARN_DELETE, P1);
	/* not confirmed: deleted again */
	assert_true(lab->n_writes > 1);
	msg_master(lab->w.m, true, BR, P1, &MAC, true);
	learn_stats_get(lab->l, &st);
	assert_int_equal(st.aged, 1);
	assert_int_equal(st.macs, 1);
}

/* It speaks again while the kernel is being told to forget it. */
static void test_back_while_expiring(void **state)
{
	struct lab *lab = *state;

	msg_master(lab->w.m, false, BR, P1, &MAC, true);
	make_old(lab, &MAC);
	for (int i = 0; i < 12 && lab->n_writes == 0; i++)
		learn_poll(lab->l, lab->now += 1000);
	event(lab, &MAC, PORT1, FDB_MISS);
	assert_int_equal(dest(lab, &MAC), AT1);
	assert_write(lab, 0, LEARN_DELETE, P1);
	assert_write(lab, 1, LEARN_REPLACE, P1);
	msg_master(lab->w.m, true, BR, P1, &MAC, true);
	assert_int_equal(dest(lab, &MAC), AT1);
	msg_master(lab->w.m, false, BR, P1, &MAC, true);
	assert_int_equal(dest(lab, &MAC), AT1);
}

static void test_port_down(void **state)
{
	struct lab *lab = *state;
	struct learn_stats st;

	event(lab, &MAC, PORT1, FDB_MISS);
	msg_master(lab->w.m, false, BR, P1, &MAC, true);
	tables_port_link(lab->w.t, PORT1, false);
	mirror_port_changed(lab->w.m, PORT1);
	mirror_settle(lab->w.m);
	learn_poll(lab->l, lab->now);
	assert_int_equal(dest(lab, &MAC), FDB_MISS);
	assert_write(lab, 1, LEARN_DELETE, P1);
	assert_int_equal(bd_get(lab->w.t->bds, lab->bd)->n_acs, 1);
	/* a frame that was under way is forgotten after half a second */
	event(lab, &MAC, PORT1, FDB_MISS);
	assert_int_equal(dest(lab, &MAC), FDB_MISS);
	msg_master(lab->w.m, true, BR, P1, &MAC, true);
	lab->now += 600;
	learn_poll(lab->l, lab->now);
	tables_port_link(lab->w.t, PORT1, true);
	mirror_port_changed(lab->w.m, PORT1);
	mirror_settle(lab->w.m);
	assert_int_equal(bd_get(lab->w.t->bds, lab->bd)->n_acs, 2);
	event(lab, &MAC, PORT1, FDB_MISS);
	assert_int_equal(dest(lab, &MAC), AT1);
	/* IFF_UP of the TAP counts as well */
	msg_link(lab->w.m, false, P1, "p1", "tun", BR, false);
	assert_int_equal(dest(lab, &MAC), FDB_MISS);
	learn_stats_get(lab->l, &st);
	assert_int_equal(st.withdrawn, 2);
	assert_int_equal(st.stale, 1);
}

/* The first frame is here before the news that the wire has link. */
static void test_frame_before_link(void **state)
{
	struct lab *lab = *state;

	msg_self(lab->w.m, false, VX, &MAC, "10.0.0.2", true);
	msg_master(lab->w.m, false, BR, VX, &MAC, true);
	tables_port_link(lab->w.t, PORT1, false);
	mirror_port_changed(lab->w.m, PORT1);
	mirror_settle(lab->w.m);
	event(lab, &MAC, PORT1, dest(lab, &MAC));
	event(lab, &MAC, PORT1, dest(lab, &MAC));
	assert_true(dest(lab, &MAC) != AT1);
	tables_port_link(lab->w.t, PORT1, true);
	mirror_port_changed(lab->w.m, PORT1);
	assert_int_equal(dest(lab, &MAC), AT1);
	learn_poll(lab->l, lab->now);
	assert_write(lab, 0, LEARN_REPLACE, P1);
}

static void test_port_leaves(void **state)
{
	struct lab *lab = *state;
	unsigned int before;

	event(lab, &MAC, PORT1, FDB_MISS);
	msg_master(lab->w.m, false, BR, P1, &MAC, true);
	before = lab->n_writes;
	msg_link(lab->w.m, false, P1, "p1", "tun", 0, true);
	learn_poll(lab->l, lab->now);
	assert_int_equal(dest(lab, &MAC), FDB_MISS);
	assert_int_equal(lab->n_writes, before); /* the bridge forgets by itself */
	assert_int_equal(ac_bd(&lab->w.t->acs, PORT1), BD_NONE);
	event(lab, &MAC, PORT1, FDB_MISS);
	assert_int_equal(dest(lab, &MAC), FDB_MISS);
}

/* Started again while the wire has no link: the kernel still has what was learnt before. */
static void test_found_without_link(void **state)
{
	struct lab *lab = *state;

	learn_poll(lab->l, lab->now);
	tables_port_link(lab->w.t, PORT1, false);
	mirror_port_changed(lab->w.m, PORT1);
	msg_master(lab->w.m, false, BR, P1, &MAC, true);
	learn_poll(lab->l, lab->now);
	assert_int_equal(dest(lab, &MAC), FDB_MISS);
	assert_write(lab, 0, LEARN_DELETE, P1);
	msg_master(lab->w.m, true, BR, P1, &MAC, true);
	assert_int_equal(lab->n_writes, 1);
}

/* The FDB (1,000 here) is full of the kernel's entries; what was refused comes in when room is
 * made. */
static void test_full(void **state)
{
	struct lab *lab = *state;
	struct rte_ether_addr mac = {{2, 0xdd, 0, 0, 0, 0}};
	struct mirror_stats st;

	for (unsigned int i = 0; i < 1010; i++) {
		mac.addr_bytes[4] = (uint8_t)(i >> 8);
		mac.addr_bytes[5] = (uint8_t)i;
		msg_master(lab->w.m, false, BR, P1, &mac, false);
	}
	assert_int_equal(dest(lab, &mac), FDB_MISS);
	mirror_stats_get(lab->w.m, &st);
	assert_int_equal(st.full, 10);
	event(lab, &MAC, PORT2, FDB_MISS);
	assert_int_equal(dest(lab, &MAC), FDB_MISS);
	for (unsigned int i = 0; i < 100; i++) {
		mac.addr_bytes[4] = 0;
		mac.addr_bytes[5] = (uint8_t)i;
		msg_master(lab->w.m, true, BR, P1, &mac, false);
	}
	mirror_poll(lab->w.m, lab->now += 6000);
	mac.addr_bytes[4] = (uint8_t)(1009 >> 8);
	mac.addr_bytes[5] = (uint8_t)1009;
	assert_int_equal(dest(lab, &mac), AT1);
	event(lab, &MAC, PORT2, FDB_MISS);
	assert_int_equal(dest(lab, &MAC), AT2);
}

static void test_limits(void **state)
{
	struct lab *lab = *state;
	const struct rte_ether_addr group = {{3, 0, 0, 0, 0, 1}}, own = {{2, 9, 9, 9, 9, 9}};
	struct rte_ether_addr mac = MAC;
	struct learn_stats st;

	for (unsigned int i = 0; i < 150; i++) {
		mac.addr_bytes[4] = (uint8_t)i;
		event(lab, &mac, PORT1, FDB_MISS);
	}
	learn_stats_get(lab->l, &st);
	assert_int_equal(st.macs, 100);
	assert_int_equal(st.refused, 50);
	event(lab, &group, PORT1, FDB_MISS);
	event(lab, &(struct rte_ether_addr){{0}}, PORT1, FDB_MISS);
	event(lab, &own, AC_NONE, FDB_MISS);
	learn_stats_get(lab->l, &st);
	assert_int_equal(st.refused, 53);
	assert_int_equal(dest(lab, &own), FDB_MISS);
}

/* Writes come in order, bounded in rate, and none is lost when few are taken. */
static void test_rate(void **state)
{
	struct lab *lab = *state;
	struct rte_ether_addr mac = MAC;

	lab->accept = 3;
	for (unsigned int i = 0; i < 50; i++) {
		struct learn_event ev = {.saw = FDB_MISS, .ac = PORT1};

		mac.addr_bytes[4] = (uint8_t)i;
		ev.key = fdb_key(lab->bd, &mac);
		learn_events(lab->l, &ev, 1, lab->now);
	}
	for (int i = 0; i < 20; i++)
		assert_true(learn_poll(lab->l, lab->now += 10) >= 0);
	assert_int_equal(lab->n_writes, 50);
	for (unsigned int i = 0; i < 50; i++)
		assert_int_equal(lab->writes[i].mac.addr_bytes[4], i);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, lab_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_new),
		T(test_unconfirmed),
		T(test_kernel_decides),
		T(test_withdrawn_meanwhile),
		T(test_kernel_decides_while_waiting),
		T(test_own_echo),
		T(test_age),
		T(test_back_while_expiring),
		T(test_port_down),
		T(test_frame_before_link),
		T(test_port_leaves),
		T(test_found_without_link),
		T(test_full),
		T(test_limits),
		T(test_rate),
	};

	log_setup(LOG_LEVEL_ERROR, 2);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
