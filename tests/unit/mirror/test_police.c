/*
 * What keeps learning in bounds: limits by port, segment and node; MACs that flap are held; the FDB
 * is compared with the mirror, and the mirror with the kernel, and what differs is put right;
 * ageing looks at a bounded number of entries a turn; no memory never leaves a list with a VTEP
 * that is gone.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dataplane/mirror/damp.h"
#include "proto/lib/log.h"
#include "tests/unit/mirror/learn_lab.h"

static const struct rte_ether_addr MAC = LEARN_MAC;

static int setup(void **state)
{
	*state = lab_open(&(struct learn_options){0});
	return 0;
}

static struct rte_ether_addr mac_n(unsigned int n)
{
	struct rte_ether_addr mac = MAC;

	mac.addr_bytes[3] = (uint8_t)(n >> 16);
	mac.addr_bytes[4] = (uint8_t)(n >> 8);
	mac.addr_bytes[5] = (uint8_t)n;
	return mac;
}

static struct learn_stats stats(struct lab *lab)
{
	struct learn_stats st;

	learn_stats_get(lab->l, &st);
	return st;
}

static unsigned int learn_many(struct lab *lab, uint16_t port, unsigned int from, unsigned int n)
{
	const uint64_t before = stats(lab).learnt;

	for (unsigned int i = 0; i < n; i++) {
		const struct rte_ether_addr mac = mac_n(from + i);
		struct learn_event ev = {
			.key = fdb_key(lab->bd, &mac), .saw = FDB_MISS, .ac = port};

		learn_events(lab->l, &ev, 1, lab->now);
	}
	return (unsigned int)(stats(lab).learnt - before);
}

static uint32_t bd_vni(void *ctx, uint16_t bd)
{
	const struct lab *lab = ctx;

	return bd_live(lab->w.t->bds, bd) ? bd_get(lab->w.t->bds, bd)->vni : VNI_NONE;
}

/* What the operator said of a segment and a port goes before the defaults; refusals are counted. */
static void test_limits_said(void **state)
{
	struct lab *lab = *state;
	const struct limit_entry seg = {.key = 100, .limit = {.max_macs = 30}};
	const struct limit_entry port = {.key = PORT1, .limit = {.max_macs = 10}};
	struct learn_note note;

	assert_int_equal(limits_set(&lab->w.t->limits, &seg, 1, &port, 1, bd_vni, lab), 0);
	assert_int_equal(learn_many(lab, PORT1, 0, 25), 10);
	assert_int_equal(learn_refused_port(lab->l, PORT1), 15);
	assert_int_equal(learn_many(lab, PORT2, 1000, 40), 20);
	assert_int_equal(learn_refused_port(lab->l, PORT2), 20);
	assert_int_equal(learn_refused_bd(lab->l, lab->bd), 35);
	assert_int_equal(stats(lab).refused, 35);
	assert_true(learn_note_get(lab->l, 1, &note));
	assert_int_equal(note.kind, LEARN_NOTE_FULL);
	assert_int_equal(note.port, PORT1);
	assert_int_equal(note.vni, 100);
	/* one that is in the segment may go from port to port */
	event(lab, &(struct rte_ether_addr){{2, 0xaa, 0, 0, 0, 1}}, PORT2, AT1);
	assert_int_equal(stats(lab).moved, 1);
	assert_int_equal(limits_set(&lab->w.t->limits, NULL, 0, NULL, 0, bd_vni, lab), 0);
	assert_int_equal(learn_many(lab, PORT1, 2000, 50), 50);
}

/* Ports that flood do not take the FDB (1,000 here) from remote MACs, nor all of it from others. */
static void test_room_for_remote(void **state)
{
	struct lab *lab = *state;
	struct rte_ether_addr mac;

	assert_int_equal(learn_many(lab, PORT1, 0, 3000), 500);
	assert_int_equal(learn_many(lab, PORT2, 5000, 100), 62); /* the sure ones */
	for (unsigned int i = 0; i < 400; i++) {
		mac = mac_n(10000 + i);
		msg_self(lab->w.m, false, VX, &mac, "10.0.0.2", true);
		msg_master(lab->w.m, false, BR, VX, &mac, true);
		assert_int_equal(dest(lab, &mac), lab->vtep2);
	}
}

static void test_flap(void **state)
{
	struct lab *lab = *state;
	struct learn_note note;

	event(lab, &MAC, PORT1, FDB_MISS);
	for (int i = 0; i < DAMP_MOVES; i++) {
		event(lab, &MAC, i % 2 ? PORT1 : PORT2, i % 2 ? AT2 : AT1);
		assert_int_equal(dest(lab, &MAC), i % 2 ? AT1 : AT2);
		lab->now += 100;
	}
	/* one too many: it stays at p2, and its frames at p1 change nothing */
	for (int i = 0; i < 50; i++) {
		event(lab, &MAC, PORT1, AT2);
		assert_int_equal(dest(lab, &MAC), AT2);
		lab->now += 100;
	}
	assert_int_equal(stats(lab).moved, DAMP_MOVES);
	assert_int_equal(stats(lab).damped, 50);
	assert_int_equal(stats(lab).flaps, 1);
	assert_int_equal(stats(lab).held, 1);
	assert_int_equal(learn_note_last(lab->l), 1);
	assert_true(learn_note_get(lab->l, 1, &note));
	assert_int_equal(note.kind, LEARN_NOTE_FLAP);
	assert_memory_equal(&note.mac, &MAC, 6);
	assert_int_equal(note.vni, 100);
	/* another MAC moves as it likes */
	event(lab, &(struct rte_ether_addr){{2, 1, 1, 1, 1, 1}}, PORT1, FDB_MISS);
	event(lab, &(struct rte_ether_addr){{2, 1, 1, 1, 1, 1}}, PORT2, AT1);
	assert_int_equal(stats(lab).moved, DAMP_MOVES + 1);
	/* held for a while only */
	lab->now += DAMP_HOLD_MS;
	event(lab, &MAC, PORT1, AT2);
	assert_int_equal(dest(lab, &MAC), AT1);
	assert_int_equal(stats(lab).held, 0);
}

/* Between here and another site, too: each frame here would claim it back. */
static void test_flap_remote(void **state)
{
	struct lab *lab = *state;

	for (int i = 0; i <= DAMP_MOVES + 3; i++) {
		msg_self(lab->w.m, false, VX, &MAC, "10.0.0.2", true);
		msg_master(lab->w.m, false, BR, VX, &MAC, true);
		event(lab, &MAC, PORT1, lab->vtep2);
		assert_int_equal(dest(lab, &MAC), i < DAMP_MOVES ? AT1 : lab->vtep2);
		if (i < DAMP_MOVES) {
			msg_master(lab->w.m, false, BR, P1, &MAC, true);
			msg_self(lab->w.m, true, VX, &MAC, "10.0.0.2", true);
		}
	}
	assert_int_equal(stats(lab).reclaimed, DAMP_MOVES);
	assert_int_equal(stats(lab).flaps, 1);
}

/* Slow moves, as workloads make them, are no flapping. */
static void test_slow_moves(void **state)
{
	struct lab *lab = *state;

	event(lab, &MAC, PORT1, FDB_MISS);
	for (int i = 0; i < 40; i++) {
		lab->now += DAMP_WINDOW_MS / DAMP_MOVES + 1;
		event(lab, &MAC, i % 2 ? PORT1 : PORT2, i % 2 ? AT2 : AT1);
	}
	assert_int_equal(stats(lab).moved, 40);
}

/* The FDB has lost an entry, has one wrong, and one that nobody made. */
static void test_table_healed(void **state)
{
	struct lab *lab = *state;
	const struct rte_ether_addr lost = mac_n(1), wrong = mac_n(2), ghost = mac_n(3),
				    alien = mac_n(4);

	msg_master(lab->w.m, false, BR, P1, &lost, true);
	msg_master(lab->w.m, false, BR, P1, &wrong, true);
	assert_int_equal(fdb_del(lab->w.t->fdb, fdb_key(lab->bd, &lost)), 0);
	assert_int_equal(fdb_put(lab->w.t->fdb, fdb_key(lab->bd, &wrong), AT2, tables_now()), 0);
	assert_int_equal(fdb_put(lab->w.t->fdb, fdb_key(lab->bd, &ghost), AT2, tables_now()), 1);
	assert_int_equal(fdb_put(lab->w.t->fdb, fdb_key(77, &alien), AT2, tables_now()), 1);
	for (int i = 0; i < 12; i++)
		learn_poll(lab->l, lab->now += 1000);
	assert_int_equal(dest(lab, &lost), AT1);
	assert_int_equal(dest(lab, &wrong), AT1);
	assert_int_equal(dest(lab, &ghost), FDB_MISS);
	assert_false(fdb_find(lab->w.t->fdb, fdb_key(77, &alien), NULL));
	assert_int_equal(stats(lab).healed, 4);
	for (int i = 0; i < 12; i++)
		learn_poll(lab->l, lab->now += 1000);
	assert_int_equal(stats(lab).healed, 4);
}

/* Events were lost: once a minute the kernel is asked, and what differs is put right and counted.
 */
static void test_kernel_audit(void **state)
{
	struct lab *lab = *state;
	const struct rte_ether_addr stays = mac_n(1), went = mac_n(2), came = mac_n(3),
				    far = mac_n(4);
	struct mirror_stats st;
	struct mirror *m = lab->w.m;

	msg_master(m, false, BR, P1, &stays, true);
	msg_master(m, false, BR, P1, &went, true);
	mirror_poll(m, lab->now);
	(void)mirror_take_redump(m);
	for (int i = 0; i < 59; i++)
		mirror_poll(m, lab->now += 1000);
	assert_int_equal(mirror_take_redump(m), 0);
	mirror_poll(m, lab->now += 1000);
	assert_int_equal(mirror_take_redump(m), MIRROR_FDB);
	mirror_sync_begin(m, MIRROR_FDB);
	msg_of_dump(true);
	msg_self(m, false, VX, &(struct rte_ether_addr){{0}}, "10.0.0.2", false);
	msg_master(m, false, BR, P1, &stays, true);
	msg_master(m, false, BR, P2, &came, true);
	msg_self(m, false, VX, &far, "10.0.0.2", true);
	msg_master(m, false, BR, VX, &far, true);
	msg_of_dump(false);
	mirror_sync_end(m, MIRROR_FDB);
	assert_int_equal(dest(lab, &stays), AT1);
	assert_int_equal(dest(lab, &went), FDB_MISS);
	assert_int_equal(dest(lab, &came), AT2);
	assert_int_equal(dest(lab, &far), lab->vtep2);
	mirror_stats_get(m, &st);
	assert_int_equal(st.audits, 1);
	assert_int_equal(st.healed, 4); /* one went, one came, and one of two objects */
}

/* However many entries there are, a turn looks at a bounded number of them, and all get their turn.
 */
static void test_ageing_is_bounded(void **state)
{
	struct lab *lab = *state;
	const struct rte_ether_addr old = mac_n(899);
	int wait, turns = 0;

	for (unsigned int i = 0; i < 900; i++) {
		const struct rte_ether_addr mac = mac_n(i);

		msg_master(lab->w.m, false, BR, P1, &mac, true);
	}
	assert_int_equal(
		fdb_put(lab->w.t->fdb, fdb_key(lab->bd, &old), AT1, tables_now() - 301), 0);
	while (dest(lab, &old) != FDB_MISS) {
		wait = learn_poll(lab->l, lab->now);
		assert_in_range(wait, 0, 1000);
		lab->now += (uint64_t)wait;
		assert_true(++turns < 40);
	}
	assert_true(turns > 1); /* not all in one */
	assert_int_equal(stats(lab).aged, 1);
}

static bool no_memory;
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);

void *__wrap_calloc(size_t n, size_t size)
{
	return no_memory ? NULL : __real_calloc(n, size);
}

/* No memory for a domain's new lists: the old ones go on, and so must the VTEP that they name. */
static void test_no_memory(void **state)
{
	struct lab *lab = *state;
	const struct rte_ether_addr zero = {{0}};
	struct tables *t = lab->w.t;
	const uint16_t vtep = bd_get(t->bds, lab->bd)->flood[0];

	no_memory = true;
	msg_self(lab->w.m, true, VX, &zero, "10.0.0.2", false);
	assert_int_equal(bd_get(t->bds, lab->bd)->n_flood, 1);
	assert_int_equal(bd_get(t->bds, lab->bd)->flood[0], vtep);
	assert_int_not_equal(t->vteps.refs[vtep], 0);
	assert_int_not_equal(vtep_get(&t->vteps, vtep)->remote, 0);
	no_memory = false;
	mirror_settle(lab->w.m);
	assert_int_equal(bd_get(t->bds, lab->bd)->n_flood, 0);
	assert_int_equal(t->vteps.refs[vtep], 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, lab_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_limits_said),
		T(test_room_for_remote),
		T(test_flap),
		T(test_flap_remote),
		T(test_slow_moves),
		T(test_table_healed),
		T(test_kernel_audit),
		T(test_ageing_is_bounded),
		T(test_no_memory),
	};

	log_setup(LOG_LEVEL_ERROR, 2);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
