/*
 * One frame each way: an access port's frame leaves as VXLAN, and what answers it comes back out.
 * The state is written straight into the tables: this is the graph alone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "tests/packet/direct.h"
#include "tests/packet/rig.h"

#define LOCAL  IP4(10, 254, 1, 1)
#define REMOTE IP4(10, 254, 2, 1)
#define VNI    10010

static const uint8_t hop_mac[6] = {0x02, 0xbb, 0, 0, 0, 1};

static void test_there_and_back(void **state)
{
	struct rig *rig = rig_open(NULL);
	struct tables *t = rig->dp->tables;
	struct frame_bytes inner, outer, got;
	uint16_t adj, group, vtep, bd;

	direct_ports_up(t);
	adj = direct_adj(t, UP0, IP4(10, 0, 0, 1), hop_mac);
	group = direct_group(t, &adj, 1);
	vtep = direct_vtep(t, LOCAL, REMOTE, group);
	bd = direct_bd(t, VNI, LOCAL, (const uint16_t[]){P1}, 1, &vtep, 1);
	assert_int_equal(fib4_put(t->fib, LOCAL, 32, FIB4_LOCAL), 0);
	assert_int_equal(
		fdb_put(t->fdb, fdb_key(bd, MAC(2, 1)), fdb_dest(FDB_KIND_VTEP, vtep), 0), 1);
	assert_int_equal(fdb_put(t->fdb, fdb_key(bd, MAC(1, 1)), fdb_dest(FDB_KIND_AC, P1), 0), 1);

	frame_udp4(&inner, MAC(2, 1), MAC(1, 1), IP4(192, 168, 0, 1), IP4(192, 168, 0, 2), 1000,
		2000, 100);
	rig_send(rig, P1, &inner);
	rig_run(rig);
	assert_true(rig_recv(rig, UP0, &got));
	frame_encap(
		&outer, hop_mac, rig_mac(UP0), LOCAL, REMOTE, frame_get16(&got, 34), VNI, &inner);
	assert_frame(&got, &outer);
	assert_true(frame_get16(&got, 34) >= 49152);
	assert_silent(rig);

	frame_udp4(&inner, MAC(1, 1), MAC(2, 1), IP4(192, 168, 0, 2), IP4(192, 168, 0, 1), 2000,
		1000, 100);
	frame_encap(&outer, rig_mac(UP0), hop_mac, REMOTE, LOCAL, 50000, VNI, &inner);
	rig_send(rig, UP0, &outer);
	rig_run(rig);
	assert_true(rig_recv(rig, P1, &got));
	assert_frame(&got, &inner);
	assert_silent(rig);
	assert_int_equal(rig_drops_all(rig), 0);
	rig_close(rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back),
	};

	return cmocka_run_group_tests_name("first", tests, rig_group_setup, rig_group_teardown);
}
