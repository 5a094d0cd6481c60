/*
 * Tagged attachments: 802.1Q and QinQ by VLAN devices in the segments' bridges.
 *
 *	trunk P1: VLAN 100 --+                              +-- R (remote)
 *	trunk P2: VLAN 7 ----+-- SITE_VNI -- VTEP 10.254.2.1 +
 *	P1, 300 / 5 (QinQ) --+
 *
 * A frame that comes in tagged leaves as the attachment of its destination says, and carries no tag
 * in the overlay.
 */
#include "dataplane/dpdk_compat.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/packet/kernel.h"

#define A    MAC(1, 1)
#define B    MAC(1, 2)
#define R    MAC(9, 1)
#define Q    0x8100
#define AD   0x88a8

#define V100 500 /* ifindexes of VLAN devices */
#define V7   501
#define V300 502
#define V305 503

static int setup(void **state)
{
	struct rig *rig = rig_open(NULL);

	kernel_site(rig);
	/* trunks alone: no untagged attachment */
	kernel_tap(rig, P1, true, 0);
	kernel_tap(rig, P2, true, 0);
	*state = rig;
	return 0;
}

static int teardown(void **state)
{
	rig_close(*state);
	return 0;
}

static void vlan(struct rig *rig, int ifindex, int lower, uint16_t tpid, uint16_t vid, int master)
{
	const struct kernel_vlan v = {.lower = lower, .tpid = tpid, .vid = vid, .master = master};

	kernel_vlan(rig, ifindex, &v);
}

/* The two trunks of the picture. */
static void trunks(struct rig *rig)
{
	vlan(rig, V100, KERNEL_TAP(P1), Q, 100, KERNEL_BRIDGE(SITE_VNI));
	vlan(rig, V7, KERNEL_TAP(P2), Q, 7, KERNEL_BRIDGE(SITE_VNI));
}

static void plain(struct frame_bytes *f, const uint8_t dst[6], const uint8_t src[6], size_t payload)
{
	frame_udp4(f, dst, src, IP4(10, 1, 0, 1), IP4(10, 1, 0, 2), 1000, 2000, payload);
}

/* The frame with a tag (TPID << 16 | TCI) in front of its type. */
static void tag(struct frame_bytes *f, uint16_t tpid, uint16_t tci)
{
	struct frame_bytes in = *f;

	frame_reset(f);
	frame_put(f, in.data, 12);
	frame_put16(f, tpid);
	frame_put16(f, tci);
	frame_put(f, in.data + 12, in.len - 12);
}

/* The frame as a trunk brings it: tagged. */
static void send_tagged(struct rig *rig, unsigned int port, const struct frame_bytes *f,
	uint16_t tpid, uint16_t tci)
{
	struct frame_bytes in = *f;

	tag(&in, tpid, tci);
	rig_send(rig, port, &in);
	rig_run(rig);
}

static void overlay_send(struct rig *rig, const struct frame_bytes *inner)
{
	struct frame_bytes f;

	frame_encap(&f, rig_mac(UP0), HOP0, SITE_VTEP2, SITE_LOCAL, 50000, SITE_VNI, inner);
	rig_send(rig, UP0, &f);
}

static void test_dot1q(void **state)
{
	struct rig *rig = *state;
	struct frame_bytes f;
	const size_t sizes[] = {0, 4, 64, 1472};

	trunks(rig);
	kernel_mac_remote(rig, SITE_VNI, R, SITE_VTEP2);
	kernel_mac_at(rig, SITE_VNI, A, V100);
	kernel_mac_at(rig, SITE_VNI, B, V7);
	for (unsigned int i = 0; i < 4; i++) {
		/* to the overlay, with a priority that ends here */
		plain(&f, R, A, sizes[i]);
		send_tagged(rig, P1, &f, Q, 0xa000 | 100);
		expect_encap(rig, UP0, HOP0, SITE_VTEP2, SITE_VNI, &f);
		/* from it */
		plain(&f, A, R, sizes[i]);
		overlay_send(rig, &f);
		tag(&f, Q, 100);
		rig_run(rig);
		expect_plain(rig, P1, &f);
		/* to another VLAN of the segment at another port */
		plain(&f, B, A, sizes[i]);
		send_tagged(rig, P1, &f, Q, 100);
		tag(&f, Q, 7);
		expect_plain(rig, P2, &f);
	}
	assert_silent(rig);
	assert_int_equal(rig_drops_all(rig), 0);
}

static void qinq(struct rig *rig, uint16_t outer)
{
	struct frame_bytes f, in;

	/* the inner device comes before the outer one and before its bridge's other members */
	vlan(rig, V305, V300, Q, 5, KERNEL_BRIDGE(SITE_VNI));
	vlan(rig, V300, KERNEL_TAP(P1), outer, 300, 0);
	trunks(rig);
	kernel_mac_at(rig, SITE_VNI, A, V305);
	kernel_mac_at(rig, SITE_VNI, B, V7);
	kernel_mac_remote(rig, SITE_VNI, R, SITE_VTEP2);
	plain(&f, R, A, 1472);
	in = f;
	tag(&in, Q, 5);
	tag(&in, outer, 300);
	rig_send(rig, P1, &in);
	rig_run(rig);
	expect_encap(rig, UP0, HOP0, SITE_VTEP2, SITE_VNI, &f);
	plain(&f, A, R, 1472);
	overlay_send(rig, &f);
	tag(&f, Q, 5);
	tag(&f, outer, 300);
	rig_run(rig);
	expect_plain(rig, P1, &f);
	assert_int_equal(rig_drops_all(rig), 0);
	/* another inner VID, the outer one alone, the other TPID outside */
	plain(&f, R, A, 64);
	in = f;
	tag(&in, Q, 6);
	tag(&in, outer, 300);
	rig_send(rig, P1, &in);
	in = f;
	tag(&in, outer, 300);
	rig_send(rig, P1, &in);
	in = f;
	tag(&in, Q, 5);
	tag(&in, outer == Q ? AD : Q, 300);
	rig_send(rig, P1, &in);
	rig_run(rig);
	assert_int_equal(rig_drops(rig, DROP_VLAN_UNKNOWN), 3);
	assert_silent(rig);
	/* the outer device attached too: its own frames, and no others */
	vlan(rig, V300, KERNEL_TAP(P1), outer, 300, KERNEL_BRIDGE(SITE_VNI2));
	send_tagged(rig, P1, &f, outer, 300);
	expect_plain(rig, P3, &f);
	expect_encap(rig, UP0, HOP0, SITE_VTEP2, SITE_VNI2, &f);
	assert_silent(rig);
	/* without the outer device the inner one is nothing */
	kernel_vlan_del(rig, V300);
	plain(&f, R, A, 64);
	tag(&f, Q, 5);
	tag(&f, outer, 300);
	rig_send(rig, P1, &f);
	rig_run(rig);
	assert_silent(rig);
}

static void test_qinq_ad(void **state)
{
	qinq(*state, AD);
}

static void test_qinq_q(void **state)
{
	qinq(*state, Q);
}

/* Each copy has its own tags, small (copied) or large (shared), and the original is not harmed. */
static void test_flood(void **state)
{
	struct rig *rig = *state;
	struct frame_bytes f, want;

	trunks(rig);
	vlan(rig, V300, KERNEL_TAP(P2), AD, 300, 0);
	vlan(rig, V305, V300, Q, 5, KERNEL_BRIDGE(SITE_VNI));
	kernel_attach(rig, P2, SITE_VNI); /* untagged beside tagged on one port */
	for (unsigned int large = 0; large < 2; large++) {
		plain(&f, MAC_BROADCAST, A, large ? 1400 : 30);
		send_tagged(rig, P1, &f, Q, 100);
		expect_plain(rig, P2, &f);
		want = f;
		tag(&want, Q, 7);
		expect_plain(rig, P2, &want);
		want = f;
		tag(&want, Q, 5);
		tag(&want, AD, 300);
		expect_plain(rig, P2, &want);
		expect_encap(rig, UP0, HOP0, SITE_VTEP2, SITE_VNI, &f);
		assert_true(rig_recv(rig, UP1, &want));
		/* from the overlay: to all here, the last copy is tagged too */
		plain(&f, MAC_BROADCAST, R, large ? 1400 : 30);
		overlay_send(rig, &f);
		rig_run(rig);
		want = f;
		tag(&want, Q, 100);
		expect_plain(rig, P1, &want);
		expect_plain(rig, P2, &f);
		want = f;
		tag(&want, Q, 7);
		expect_plain(rig, P2, &want);
		want = f;
		tag(&want, Q, 5);
		tag(&want, AD, 300);
		expect_plain(rig, P2, &want);
		assert_silent(rig);
	}
	assert_int_equal(rig_drops_all(rig), 0);
}

static void test_refused(void **state)
{
	struct rig *rig = *state;
	struct frame_bytes f, in;

	trunks(rig);
	kernel_mac_remote(rig, SITE_VNI, R, SITE_VTEP2);
	plain(&f, R, A, 64);
	rig_send(rig, P1, &f); /* untagged, on a trunk alone */
	in = f;
	tag(&in, Q, 101);
	rig_send(rig, P1, &in);
	send_tagged(rig, P1, &f, AD, 100);
	assert_int_equal(rig_drops(rig, DROP_PORT_UNATTACHED), 1);
	assert_int_equal(rig_drops(rig, DROP_VLAN_UNKNOWN), 2);
	in = f;
	tag(&in, Q, 9); /* a customer's tag inside ours */
	tag(&in, Q, 100);
	rig_send(rig, P1, &in);
	in = f;
	tag(&in, Q, 100); /* a port without tagged attachments */
	rig_send(rig, P3, &in);
	rig_run(rig);
	assert_int_equal(rig_drops(rig, DROP_VLAN_TAGGED), 2);
	for (size_t len = 14; len < 18; len++) { /* a tag that is cut */
		in.len = len;
		rig_send(rig, P1, &in);
	}
	rig_run(rig);
	assert_int_equal(rig_drops(rig, DROP_TRUNCATED), 4);
	assert_silent(rig);
	assert_int_equal(rig_drops_all(rig), 9);
	/* VID 0 is a priority: untagged, or what the next tag says */
	kernel_attach(rig, P1, SITE_VNI2);
	kernel_mac_remote(rig, SITE_VNI2, R, SITE_VTEP2);
	send_tagged(rig, P1, &f, Q, 0xe000);
	expect_encap(rig, UP0, HOP0, SITE_VTEP2, SITE_VNI2, &f);
	in = f;
	tag(&in, Q, 100);
	tag(&in, Q, 0xe000);
	rig_send(rig, P1, &in);
	rig_run(rig);
	expect_encap(rig, UP0, HOP0, SITE_VTEP2, SITE_VNI, &f);
	assert_silent(rig);
	assert_int_equal(rig_drops_all(rig), 9);
}

/* MACs are learnt at the attachment, and the kernel is told of them by its VLAN device. */
static void test_learn(void **state)
{
	struct rig *rig = *state;
	struct tables *t = rig->dp->tables;
	struct kernel_vlan down = {KERNEL_TAP(P1), Q, 100, KERNEL_BRIDGE(SITE_VNI), true};
	struct frame_bytes f;
	uint64_t key;

	trunks(rig);
	plain(&f, R, A, 64);
	send_tagged(rig, P1, &f, Q, 100);
	assert_int_equal(rig->write_n, 1);
	assert_int_equal(rig->writes[0].op, LEARN_REPLACE);
	assert_int_equal(rig->writes[0].ifindex, V100);
	kernel_mac_at(rig, SITE_VNI, A, V100);
	/* it moves to the other trunk */
	send_tagged(rig, P2, &f, Q, 7);
	assert_int_equal(rig->write_n, 2);
	assert_int_equal(rig->writes[1].ifindex, V7);
	kernel_mac_at(rig, SITE_VNI, A, V7);
	/* and back; then its device goes down: withdrawn */
	send_tagged(rig, P1, &f, Q, 100);
	kernel_mac_at(rig, SITE_VNI, A, V100);
	key = fdb_key(bd_by_vni(t->bds, SITE_VNI), A);
	assert_true(fdb_find(t->fdb, key, NULL));
	kernel_vlan(rig, V100, &down);
	rig_run(rig);
	assert_false(fdb_find(t->fdb, key, NULL));
	assert_int_equal(rig->writes[rig->write_n - 1].op, LEARN_DELETE);
	assert_int_equal(rig->writes[rig->write_n - 1].ifindex, V100);
	/* the same device with another VLAN, as a dump may show it */
	vlan(rig, V100, KERNEL_TAP(P1), Q, 200, KERNEL_BRIDGE(SITE_VNI));
	kernel_mac_remote(rig, SITE_VNI, R, SITE_VTEP2);
	rig_drain(rig);
	send_tagged(rig, P1, &f, Q, 200);
	expect_encap(rig, UP0, HOP0, SITE_VTEP2, SITE_VNI, &f);
	kernel_vlan_del(rig, V100);
	kernel_vlan_del(rig, V7);
	assert_int_equal(t->acs.tagged, 0);
}

/* One port, 4,000 VLANs, each a segment of its own. */
static void test_many(void **state)
{
	struct rig *rig = *state;
	struct frame_bytes f;

	for (int i = 1; i <= 4000; i++) {
		kernel_segment(rig, 100000 + (uint32_t)i, SITE_LOCAL);
		vlan(rig, 1000 + i, KERNEL_TAP(P1), Q, (uint16_t)i, KERNEL_BRIDGE(100000 + i));
		kernel_flood(rig, 100000 + (uint32_t)i, SITE_VTEP2);
	}
	assert_int_equal(rig->dp->tables->acs.tagged, 4000);
	for (int i = 1; i <= 4000; i += 13) {
		plain(&f, R, A, 64);
		send_tagged(rig, P1, &f, Q, (uint16_t)i);
		expect_encap(rig, UP0, HOP0, SITE_VTEP2, 100000 + (uint32_t)i, &f);
	}
	assert_silent(rig);
	assert_int_equal(rig_drops_all(rig), 0);
	for (int i = 1; i <= 4000; i++) {
		kernel_vlan_del(rig, 1000 + i);
		kernel_segment_del(rig, 100000 + (uint32_t)i);
	}
	assert_int_equal(rig->dp->tables->acs.tagged, 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_dot1q),
		T(test_qinq_ad),
		T(test_qinq_q),
		T(test_flood),
		T(test_refused),
		T(test_learn),
		T(test_many),
	};

	return cmocka_run_group_tests_name("vlan", tests, rig_group_setup, rig_group_teardown);
}
