/*
 * What looks like our overlay and is none: from whom VXLAN is taken, and that tenants cannot make
 *it.
 *
 *	p1 ---+-- VNI 10010 -- up0 --- VTEP 10.254.2.1 (R)
 *	p2 ---+                        (frames with one fault each: test_bad_frames.c)
 *
 * What must hold: a tenant's UDP to port 4789 of our VTEP is payload of its segment, whatever
 * addresses it bears; VXLAN inside VXLAN is delivered as it is; who may send in one segment may not
 * thereby send in another.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "tests/packet/kernel.h"
#include "tests/packet/rig.h"

#define A MAC(1, 1) /* behind p1 */
#define B MAC(1, 2) /* behind p2 */
#define R MAC(2, 1) /* behind VTEP 2 */

static int setup(void **state)
{
	struct rig *rig = rig_open(NULL);

	kernel_site_hosts(rig);
	*state = rig;
	return 0;
}

static int teardown(void **state)
{
	rig_close(*state);
	return 0;
}

/* VXLAN as VTEP 2 would send it to us, for `dst` in the other tenant's segment. */
static void forged(struct frame_bytes *f, const uint8_t outer_dst[6], const uint8_t outer_src[6])
{
	struct frame_bytes inner;

	frame_udp4(&inner, MAC(3, 1), R, IP4(192, 168, 7, 2), IP4(192, 168, 7, 1), 1, 2, 20);
	frame_encap(f, outer_dst, outer_src, SITE_VTEP2, SITE_LOCAL, 50000, SITE_VNI2, &inner);
}

/* By an access port: to a neighbour, to another site, to nobody, to the MACs of our own ports. */
static void test_from_access(void **state)
{
	const uint8_t *const nobody[] = {MAC(9, 9), rig_mac(UP0), rig_mac(P2), MAC_BROADCAST};
	struct rig *rig = *state;
	struct frame_bytes f;

	kernel_mac_local(rig, SITE_VNI2, MAC(3, 1), P3);
	forged(&f, B, A);
	rig_send(rig, P1, &f);
	rig_run(rig);
	expect_plain(rig, P2, &f);
	assert_silent(rig);
	forged(&f, R, A);
	rig_send(rig, P1, &f);
	rig_run(rig);
	expect_encap(rig, UP0, HOP0, SITE_VTEP2, SITE_VNI, &f);
	assert_silent(rig);
	for (unsigned int i = 0; i < sizeof(nobody) / sizeof(nobody[0]); i++) {
		forged(&f, nobody[i], A);
		rig_send(rig, P1, &f);
		rig_run(rig);
		expect_plain(rig, P2, &f);
		expect_encap(rig, UP0, HOP0, SITE_VTEP2, SITE_VNI, &f);
		expect_encap(rig, UP1, HOP1, SITE_VTEP3, SITE_VNI, &f);
		assert_silent(rig);
	}
	/* its own port's MAC is answered for by nobody either */
	forged(&f, rig_mac(P1), A);
	rig_send(rig, P1, &f);
	rig_run(rig);
	expect_plain(rig, P2, &f);
	expect_encap(rig, UP0, HOP0, SITE_VTEP2, SITE_VNI, &f);
	expect_encap(rig, UP1, HOP1, SITE_VTEP3, SITE_VNI, &f);
	assert_silent(rig);
	assert_int_equal(rig_drops_all(rig), 0);
	assert_int_equal(
		rig->worker->segments[bd_by_vni(rig->dp->tables->bds, SITE_VNI2)].decap_packets, 0);
}

/* Taken out of VXLAN once, never twice. */
static void test_nested(void **state)
{
	struct rig *rig = *state;
	struct frame_bytes f, outer;

	kernel_mac_local(rig, SITE_VNI2, MAC(3, 1), P3);
	forged(&f, A, R);
	frame_encap(&outer, rig_mac(UP0), HOP0, SITE_VTEP2, SITE_LOCAL, 50000, SITE_VNI, &f);
	rig_send(rig, UP0, &outer);
	rig_run(rig);
	expect_plain(rig, P1, &f);
	assert_silent(rig);
	assert_int_equal(rig_drops_all(rig), 0);
}

/* The right to send is a segment's: it comes with its flood list or a MAC, and goes with them. */
static void test_vtep_rights(void **state)
{
	struct rig *rig = *state;
	struct frame_bytes f, outer;

	frame_udp4(&f, A, MAC(4, 1), IP4(192, 168, 7, 2), IP4(192, 168, 7, 1), 1, 2, 20);
	frame_encap(&outer, rig_mac(UP0), HOP0, SITE_VTEP4, SITE_LOCAL, 50000, SITE_VNI, &f);
	rig_send(rig, UP0, &outer);
	rig_run(rig);
	assert_silent(rig);
	assert_int_equal(rig_drops(rig, DROP_UNKNOWN_VTEP), 1);

	kernel_mac_remote(rig, SITE_VNI, MAC(4, 1), SITE_VTEP4);
	rig_send(rig, UP0, &outer);
	rig_run(rig);
	expect_plain(rig, P1, &f);
	/* a VTEP of this segment is none of the other */
	frame_encap(&outer, rig_mac(UP0), HOP0, SITE_VTEP4, SITE_LOCAL, 50000, SITE_VNI2, &f);
	rig_send(rig, UP0, &outer);
	rig_run(rig);
	assert_silent(rig);
	assert_int_equal(rig_drops(rig, DROP_UNKNOWN_VTEP), 2);

	kernel_mac_remote_del(rig, SITE_VNI, MAC(4, 1), SITE_VTEP4);
	frame_encap(&outer, rig_mac(UP0), HOP0, SITE_VTEP4, SITE_LOCAL, 50000, SITE_VNI, &f);
	rig_send(rig, UP0, &outer);
	kernel_flood_del(rig, SITE_VNI, SITE_VTEP3);
	frame_encap(&outer, rig_mac(UP1), HOP1, SITE_VTEP3, SITE_LOCAL, 50000, SITE_VNI, &f);
	rig_send(rig, UP1, &outer);
	rig_run(rig);
	assert_silent(rig);
	assert_int_equal(rig_drops(rig, DROP_UNKNOWN_VTEP), 4);
}

/* A source address of ours, or another of ours as destination, makes no VTEP. */
static void test_own_addresses(void **state)
{
	const uint32_t pairs[][2] = {
		{SITE_LOCAL, SITE_LOCAL},
		{SITE_HOP0 - 1, SITE_LOCAL},
		{SITE_VTEP2, SITE_HOP0 - 1},
		{SITE_VTEP2, SITE_HOP1 - 1},
		{SITE_HOP0, SITE_LOCAL},
	};
	struct rig *rig = *state;
	struct frame_bytes f, outer;

	frame_udp4(&f, A, R, IP4(192, 168, 7, 2), IP4(192, 168, 7, 1), 1, 2, 20);
	for (unsigned int i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		frame_encap(
			&outer, rig_mac(UP0), HOP0, pairs[i][0], pairs[i][1], 50000, SITE_VNI, &f);
		rig_send(rig, UP0, &outer);
		rig_run(rig);
		assert_silent(rig);
		assert_int_equal(rig_drops(rig, DROP_UNKNOWN_VTEP), i + 1);
	}
}

/* Bits that RFC 7348 reserves are ignored one by one; the I flag alone decides. */
static void test_flags(void **state)
{
	struct rig *rig = *state;
	struct frame_bytes f, outer;

	frame_udp4(&f, A, R, IP4(192, 168, 7, 2), IP4(192, 168, 7, 1), 1, 2, 20);
	for (unsigned int bit = 0; bit < 64; bit++) {
		const bool flag = bit == 4, vni = bit >= 32 && bit < 56;

		frame_encap(
			&outer, rig_mac(UP0), HOP0, SITE_VTEP2, SITE_LOCAL, 50000, SITE_VNI, &f);
		outer.data[42 + bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
		rig_send(rig, UP0, &outer);
		rig_run(rig);
		if (!flag && !vni)
			expect_plain(rig, P1, &f);
		assert_silent(rig);
	}
	assert_int_equal(rig_drops(rig, DROP_VXLAN_FLAGS), 1);
	assert_int_equal(rig_drops(rig, DROP_UNKNOWN_VNI), 24);
}

/* A UDP checksum that is not zero must not be a reason to drop (RFC 7348 section 5, MAY). */
static void test_udp_checksum(void **state)
{
	struct rig *rig = *state;
	struct frame_bytes f, outer;

	frame_udp4(&f, A, R, IP4(192, 168, 7, 2), IP4(192, 168, 7, 1), 1, 2, 20);
	frame_encap(&outer, rig_mac(UP0), HOP0, SITE_VTEP2, SITE_LOCAL, 50000, SITE_VNI, &f);
	frame_set16(&outer, 40, 0x1234);
	rig_send(rig, UP0, &outer);
	rig_run(rig);
	expect_plain(rig, P1, &f);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_from_access),
		T(test_nested),
		T(test_vtep_rights),
		T(test_own_addresses),
		T(test_flags),
		T(test_udp_checksum),
	};

	return cmocka_run_group_tests_name("security", tests, rig_group_setup, rig_group_teardown);
}
