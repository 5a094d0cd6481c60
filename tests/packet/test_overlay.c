/*
 * The overlay: tenants' frames between access ports and VTEPs.
 *
 *	p1 ---+                   up0 --- 10.0.0.1 (HOP0) --- VTEP 10.254.2.1
 *	p2 ---+-- VNI 10010       up1 --- 10.0.1.1 (HOP1) --- VTEP 10.254.3.1
 *	p3 ------ VNI 10020       up0, up1 ------------------ VTEP 10.254.4.1
 *
 * What must hold: octet for octet the right frame at the right place and nowhere else.
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

	kernel_site(rig);
	*state = rig;
	return 0;
}

static int teardown(void **state)
{
	rig_close(*state);
	return 0;
}

static void tenant_frame(
	struct frame_bytes *f, const uint8_t dst[6], const uint8_t src[6], size_t payload)
{
	frame_udp4(f, dst, src, IP4(192, 168, 7, 1), IP4(192, 168, 7, 2), 1111, 2222, payload);
}

/* A frame as VTEP `vtep` would send it to us. */
static void overlay_send(struct rig *rig, unsigned int uplink, const uint8_t hop[6], uint32_t vtep,
	uint32_t vni, const struct frame_bytes *inner)
{
	struct frame_bytes f;

	frame_encap(&f, rig_mac(uplink), hop, vtep, SITE_LOCAL, 50000, vni, inner);
	rig_send(rig, uplink, &f);
}

static void test_encap_exact(void **state)
{
	struct rig *rig = *state;
	struct frame_bytes inner;

	kernel_mac_remote(rig, SITE_VNI, R, SITE_VTEP2);
	kernel_mac_local(rig, SITE_VNI, A, P1);
	tenant_frame(&inner, R, A, 64);
	rig_send(rig, P1, &inner);
	rig_run(rig);
	expect_encap(rig, UP0, HOP0, SITE_VTEP2, SITE_VNI, &inner);
	assert_silent(rig);
	assert_int_equal(rig_drops_all(rig), 0);
}

static void test_decap_exact(void **state)
{
	struct rig *rig = *state;
	struct frame_bytes inner;

	kernel_mac_local(rig, SITE_VNI, A, P1);
	tenant_frame(&inner, A, R, 64);
	overlay_send(rig, UP0, HOP0, SITE_VTEP2, SITE_VNI, &inner);
	/* the backbone may bring it by any uplink */
	overlay_send(rig, UP1, HOP1, SITE_VTEP2, SITE_VNI, &inner);
	rig_run(rig);
	expect_plain(rig, P1, &inner);
	expect_plain(rig, P1, &inner);
	assert_silent(rig);
	assert_int_equal(rig_drops_all(rig), 0);
}

static void test_decap_reserved_ignored(void **state)
{
	struct rig *rig = *state;
	struct frame_bytes inner, f;

	kernel_mac_local(rig, SITE_VNI, A, P1);
	tenant_frame(&inner, A, R, 64);
	frame_encap(&f, rig_mac(UP0), HOP0, SITE_VTEP2, SITE_LOCAL, 50000, SITE_VNI, &inner);
	f.data[42] = 0xff; /* all flags */
	f.data[43] = f.data[44] = f.data[45] = 0xff;
	f.data[49] = 0xff;
	rig_send(rig, UP0, &f);
	rig_run(rig);
	expect_plain(rig, P1, &inner);
	assert_silent(rig);
}

/* Ethernet padding behind a short outer packet, and behind a short UDP datagram, is no payload. */
static void test_decap_padding_cut(void **state)
{
	struct rig *rig = *state;
	struct frame_bytes inner, f;

	kernel_mac_local(rig, SITE_VNI, A, P1);
	tenant_frame(&inner, A, R, 10);
	frame_encap(&f, rig_mac(UP0), HOP0, SITE_VTEP2, SITE_LOCAL, 50000, SITE_VNI, &inner);
	frame_put_pattern(&f, 7, 0xe0);
	rig_send(rig, UP0, &f);
	rig_send_chain(rig, UP0, &f, 95);
	rig_run(rig);
	expect_plain(rig, P1, &inner);
	expect_plain(rig, P1, &inner);
	assert_silent(rig);
}

static void test_local_switching(void **state)
{
	struct rig *rig = *state;
	struct frame_bytes f;

	kernel_mac_local(rig, SITE_VNI, A, P1);
	kernel_mac_local(rig, SITE_VNI, B, P2);
	tenant_frame(&f, B, A, 64);
	rig_send(rig, P1, &f);
	rig_run(rig);
	expect_plain(rig, P2, &f);
	assert_silent(rig);
}

/* Small frames are copied, large ones shared: both must arrive whole at all places. */
static void flood_from_access(struct rig *rig, size_t payload)
{
	struct frame_bytes f;

	tenant_frame(&f, MAC_BROADCAST, A, payload);
	rig_send(rig, P1, &f);
	rig_run(rig);
	expect_plain(rig, P2, &f);
	expect_encap(rig, UP0, HOP0, SITE_VTEP2, SITE_VNI, &f);
	expect_encap(rig, UP1, HOP1, SITE_VTEP3, SITE_VNI, &f);
	assert_silent(rig);
}

static void test_flood_small(void **state)
{
	flood_from_access(*state, 20);
	assert_int_equal(rig_drops_all(*state), 0);
}

static void test_flood_large(void **state)
{
	flood_from_access(*state, 1472);
	assert_int_equal(rig_drops_all(*state), 0);
}

static void test_flood_chain(void **state)
{
	struct rig *rig = *state;
	struct frame_bytes f;

	tenant_frame(&f, MAC_BROADCAST, A, 1400);
	rig_send_chain(rig, P1, &f, 400);
	rig_run(rig);
	expect_plain(rig, P2, &f);
	expect_encap(rig, UP0, HOP0, SITE_VTEP2, SITE_VNI, &f);
	expect_encap(rig, UP1, HOP1, SITE_VTEP3, SITE_VNI, &f);
	assert_silent(rig);
}

static void test_flood_unknown_unicast(void **state)
{
	struct rig *rig = *state;
	struct frame_bytes f;

	tenant_frame(&f, MAC(9, 9), A, 64);
	rig_send(rig, P1, &f);
	rig_run(rig);
	expect_plain(rig, P2, &f);
	expect_encap(rig, UP0, HOP0, SITE_VTEP2, SITE_VNI, &f);
	expect_encap(rig, UP1, HOP1, SITE_VTEP3, SITE_VNI, &f);
	assert_silent(rig);
}

static void test_flood_only_one_place(void **state)
{
	struct rig *rig = *state;
	struct frame_bytes f;

	tenant_frame(&f, MAC_BROADCAST, MAC(3, 1), 600);
	rig_send(rig, P3, &f);
	rig_run(rig);
	expect_encap(rig, UP0, HOP0, SITE_VTEP2, SITE_VNI2, &f);
	assert_silent(rig);
}

/* From the overlay to all local ports, never back to the overlay, in small and large. */
static void test_split_horizon_flood(void **state)
{
	static const size_t sizes[] = {20, 1400};
	struct rig *rig = *state;
	struct frame_bytes f;

	for (unsigned int i = 0; i < 2; i++) {
		tenant_frame(&f, MAC_BROADCAST, R, sizes[i]);
		overlay_send(rig, UP0, HOP0, SITE_VTEP2, SITE_VNI, &f);
		rig_run(rig);
		expect_plain(rig, P1, &f);
		expect_plain(rig, P2, &f);
		assert_silent(rig);
	}
	assert_int_equal(rig_drops_all(rig), 0);
}

static void test_split_horizon_unicast(void **state)
{
	struct rig *rig = *state;
	struct frame_bytes f;

	kernel_mac_remote(rig, SITE_VNI, MAC(2, 9), SITE_VTEP3);
	tenant_frame(&f, MAC(2, 9), R, 64);
	overlay_send(rig, UP0, HOP0, SITE_VTEP2, SITE_VNI, &f);
	rig_run(rig);
	assert_silent(rig);
	assert_int_equal(rig_drops(rig, DROP_SPLIT_HORIZON), 1);
}

/* Two tenants with the same MACs never see each other. */
static void test_tenants_apart(void **state)
{
	struct rig *rig = *state;
	struct frame_bytes f;

	kernel_mac_local(rig, SITE_VNI, A, P1);
	kernel_mac_local(rig, SITE_VNI2, A, P3);
	kernel_mac_remote(rig, SITE_VNI2, R, SITE_VTEP2);
	tenant_frame(&f, A, R, 64);
	overlay_send(rig, UP0, HOP0, SITE_VTEP2, SITE_VNI2, &f);
	rig_run(rig);
	expect_plain(rig, P3, &f);
	assert_silent(rig);
	tenant_frame(&f, R, A, 64);
	rig_send(rig, P3, &f);
	rig_run(rig);
	expect_encap(rig, UP0, HOP0, SITE_VTEP2, SITE_VNI2, &f);
	assert_silent(rig);
}

/* A new MAC is written to the kernel once, and known from then on. */
static void test_learn(void **state)
{
	struct rig *rig = *state;
	struct frame_bytes f;

	tenant_frame(&f, MAC_BROADCAST, A, 20);
	for (unsigned int i = 0; i < 5; i++)
		rig_send(rig, P1, &f);
	rig_run(rig);
	rig_run(rig);
	assert_int_equal(rig->write_n, 1);
	assert_int_equal(rig->writes[0].op, LEARN_REPLACE);
	assert_int_equal(rig->writes[0].ifindex, KERNEL_TAP(P1));
	assert_memory_equal(&rig->writes[0].mac, A, 6);
	kernel_echo(rig);
	for (unsigned int i = 0; i < 5; i++) {
		expect_plain(rig, P2, &f);
		expect_encap(rig, UP0, HOP0, SITE_VTEP2, SITE_VNI, &f);
		expect_encap(rig, UP1, HOP1, SITE_VTEP3, SITE_VNI, &f);
	}
	tenant_frame(&f, A, R, 20);
	overlay_send(rig, UP0, HOP0, SITE_VTEP2, SITE_VNI, &f);
	rig_run(rig);
	expect_plain(rig, P1, &f);
	assert_silent(rig);
	assert_int_equal(rig->write_n, 0);
}

/* What comes by the overlay is never learnt, whatever its source. */
static void test_no_learning_from_overlay(void **state)
{
	struct rig *rig = *state;
	struct frame_bytes f;

	tenant_frame(&f, MAC_BROADCAST, MAC(2, 77), 20);
	overlay_send(rig, UP0, HOP0, SITE_VTEP2, SITE_VNI, &f);
	rig_run(rig);
	assert_int_equal(rig->write_n, 0);
	assert_false(fdb_find(rig->dp->tables->fdb,
		fdb_key(bd_by_vni(rig->dp->tables->bds, SITE_VNI), MAC(2, 77)), NULL));
}

/* A MAC that was remote speaks here: it is taken back and told; and then leaves again. */
static void test_move_here_and_away(void **state)
{
	struct rig *rig = *state;
	struct frame_bytes f;

	kernel_mac_remote(rig, SITE_VNI, A, SITE_VTEP2);
	kernel_mac_local(rig, SITE_VNI, B, P2);
	tenant_frame(&f, B, A, 20);
	rig_send(rig, P1, &f);
	rig_run(rig);
	rig_run(rig);
	expect_plain(rig, P2, &f);
	assert_int_equal(rig->write_n, 1);
	assert_int_equal(rig->writes[0].ifindex, KERNEL_TAP(P1));
	kernel_echo(rig);
	tenant_frame(&f, A, B, 20);
	rig_send(rig, P2, &f);
	rig_run(rig);
	expect_plain(rig, P1, &f);
	assert_silent(rig);

	/* EVPN says it is at VTEP 3 now */
	kernel_mac_remote(rig, SITE_VNI, A, SITE_VTEP3);
	rig_send(rig, P2, &f);
	rig_run(rig);
	expect_encap(rig, UP1, HOP1, SITE_VTEP3, SITE_VNI, &f);
	assert_silent(rig);
}

/* A MAC moves from one access port to another. */
static void test_move_between_ports(void **state)
{
	struct rig *rig = *state;
	struct frame_bytes f;

	kernel_mac_local(rig, SITE_VNI, A, P1);
	tenant_frame(&f, MAC_BROADCAST, A, 20);
	rig_send(rig, P2, &f);
	rig_run(rig);
	rig_run(rig);
	expect_plain(rig, P1, &f);
	assert_int_equal(rig->write_n, 1);
	assert_int_equal(rig->writes[0].ifindex, KERNEL_TAP(P2));
	kernel_echo(rig);
	tenant_frame(&f, A, B, 20);
	rig_send(rig, P1, &f);
	rig_run(rig);
	expect_plain(rig, P2, &f);
}

/* 1,500 octets of IP inside pass whole; one octet above what the uplink takes does not. */
static void test_mtu(void **state)
{
	struct rig *rig = *state;
	struct frame_bytes f;

	kernel_mac_remote(rig, SITE_VNI, R, SITE_VTEP2);
	kernel_mac_local(rig, SITE_VNI, A, P1);
	tenant_frame(&f, R, A, 1472);
	assert_int_equal(f.len, 1514);
	rig_send(rig, P1, &f);
	rig_run(rig);
	expect_encap(rig, UP0, HOP0, SITE_VTEP2, SITE_VNI, &f);
	/* the uplinks take 1600: inner frames of 1564 */
	tenant_frame(&f, R, A, 1564 - 42);
	rig_send(rig, P1, &f);
	rig_run(rig);
	expect_encap(rig, UP0, HOP0, SITE_VTEP2, SITE_VNI, &f);
	tenant_frame(&f, R, A, 1565 - 42);
	rig_send(rig, P1, &f);
	rig_run(rig);
	assert_true(rig_recv(rig, P1, &f)); /* what its sender is told: test_too_big.c */
	assert_silent(rig);
	assert_int_equal(rig_drops(rig, DROP_TOO_BIG_ANSWERED), 1);
}

/* Flows spread over both legs, a flow stays on its own, and source ports differ. */
static void test_ecmp(void **state)
{
	struct rig *rig = *state;
	unsigned int by[2] = {0}, ports_seen = 0;
	bool seen[65536] = {false};
	struct frame_bytes f, got;

	kernel_mac_remote(rig, SITE_VNI, R, SITE_VTEP4);
	kernel_mac_local(rig, SITE_VNI, A, P1);
	for (unsigned int flow = 0; flow < 256; flow++) {
		unsigned int where = 2;
		uint16_t port = 0;

		frame_udp4(&f, R, A, IP4(192, 168, 7, 1), IP4(192, 168, 7, 2),
			(uint16_t)(2000 + flow), 53, 30);
		for (unsigned int twice = 0; twice < 2; twice++) {
			rig_send(rig, P1, &f);
			rig_run(rig);
			for (unsigned int up = 0; up < 2; up++) {
				if (!rig_recv(rig, up, &got))
					continue;
				assert_true(where == 2 || where == up);
				assert_true(port == 0 || port == frame_get16(&got, 34));
				where = up;
				port = frame_get16(&got, 34);
			}
		}
		assert_true(where < 2);
		by[where]++;
		ports_seen += !seen[port];
		seen[port] = true;
	}
	assert_true(by[0] > 64 && by[1] > 64);
	assert_true(ports_seen > 200);
}

/* All fragments of a packet take one way. */
static void test_ecmp_fragments(void **state)
{
	struct rig *rig = *state;
	struct frame_bytes f, got;
	uint16_t port = 0;

	kernel_mac_remote(rig, SITE_VNI, R, SITE_VTEP4);
	kernel_mac_local(rig, SITE_VNI, A, P1);
	for (unsigned int i = 0; i < 4; i++) {
		frame_udp4(&f, R, A, IP4(192, 168, 7, 1), IP4(192, 168, 7, 2),
			(uint16_t)(2000 + 77 * i), 53, 64);
		frame_set16(&f, 20, (uint16_t)(i < 3 ? 0x2000 | i * 8 : i * 8));
		frame_ip4_checksum(&f, 14);
		rig_send(rig, P1, &f);
		rig_run(rig);
		assert_true(rig_recv(rig, UP0, &got) || rig_recv(rig, UP1, &got));
		assert_true(port == 0 || port == frame_get16(&got, 34));
		port = frame_get16(&got, 34);
	}
}

/* A VTEP is reached another way: the FDB is not touched. */
static void test_vtep_changes_way(void **state)
{
	const struct kernel_hop by1 = {.port = UP1, .via = SITE_HOP1};
	struct rig *rig = *state;
	struct fdb_stats before, after;
	struct frame_bytes f;

	kernel_mac_remote(rig, SITE_VNI, R, SITE_VTEP2);
	kernel_mac_local(rig, SITE_VNI, A, P1);
	tenant_frame(&f, R, A, 20);
	rig_send(rig, P1, &f);
	rig_run(rig);
	expect_encap(rig, UP0, HOP0, SITE_VTEP2, SITE_VNI, &f);
	fdb_stats_get(rig->dp->tables->fdb, &before);
	kernel_route(rig, SITE_VTEP2, 32, &by1, 1);
	rig_send(rig, P1, &f);
	rig_run(rig);
	expect_encap(rig, UP1, HOP1, SITE_VTEP2, SITE_VNI, &f);
	fdb_stats_get(rig->dp->tables->fdb, &after);
	assert_int_equal(before.entries, after.entries);
	/* the neighbour's MAC changes */
	kernel_neigh(rig, UP1, SITE_HOP1, MAC(0xbb, 9));
	rig_send(rig, P1, &f);
	rig_run(rig);
	expect_encap(rig, UP1, MAC(0xbb, 9), SITE_VTEP2, SITE_VNI, &f);
	assert_silent(rig);
}

/* The link of one leg goes down: all flows take the other. */
static void test_leg_down(void **state)
{
	struct rig *rig = *state;
	struct frame_bytes f, got;

	kernel_mac_remote(rig, SITE_VNI, R, SITE_VTEP4);
	kernel_mac_local(rig, SITE_VNI, A, P1);
	tables_port_link(rig->dp->tables, UP0, false);
	mirror_port_changed(rig->dp->mirror, UP0);
	mirror_settle(rig->dp->mirror);
	for (unsigned int flow = 0; flow < 64; flow++) {
		frame_udp4(&f, R, A, IP4(192, 168, 7, 1), IP4(192, 168, 7, 2),
			(uint16_t)(2000 + flow), 53, 30);
		rig_send(rig, P1, &f);
		rig_run(rig);
		assert_true(rig_recv(rig, UP1, &got));
		assert_false(rig_recv(rig, UP0, &got));
	}
	assert_int_equal(rig_drops_all(rig), 0);
}

/* IPv6 and anything else inside: carried as it is. */
static void test_any_inner(void **state)
{
	static const uint16_t types[] = {0x86dd, 0x0806, 0x88cc, 0x1234, 40};
	struct rig *rig = *state;
	struct frame_bytes f;

	kernel_mac_remote(rig, SITE_VNI, R, SITE_VTEP2);
	kernel_mac_local(rig, SITE_VNI, A, P1);
	for (unsigned int i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		frame_reset(&f);
		frame_ether(&f, R, A, types[i]);
		frame_put_pattern(&f, i * 10, 0x60);
		rig_send(rig, P1, &f);
		rig_run(rig);
		expect_encap(rig, UP0, HOP0, SITE_VTEP2, SITE_VNI, &f);
	}
	assert_silent(rig);
}

/* A segment that goes away: nothing of it is forwarded any more. */
static void test_segment_removed(void **state)
{
	struct rig *rig = *state;
	struct frame_bytes f;

	kernel_mac_remote(rig, SITE_VNI2, R, SITE_VTEP2);
	kernel_tap(rig, P3, true, 0);
	kernel_segment_del(rig, SITE_VNI2);
	tenant_frame(&f, R, MAC(3, 1), 20);
	rig_send(rig, P3, &f);
	tenant_frame(&f, MAC_BROADCAST, R, 20);
	overlay_send(rig, UP0, HOP0, SITE_VTEP2, SITE_VNI2, &f);
	rig_run(rig);
	assert_silent(rig);
	assert_int_equal(rig_drops(rig, DROP_PORT_UNATTACHED), 1);
	assert_int_equal(rig_drops(rig, DROP_UNKNOWN_VNI), 1);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_encap_exact),
		T(test_decap_exact),
		T(test_decap_reserved_ignored),
		T(test_decap_padding_cut),
		T(test_local_switching),
		T(test_flood_small),
		T(test_flood_large),
		T(test_flood_chain),
		T(test_flood_unknown_unicast),
		T(test_flood_only_one_place),
		T(test_split_horizon_flood),
		T(test_split_horizon_unicast),
		T(test_tenants_apart),
		T(test_learn),
		T(test_no_learning_from_overlay),
		T(test_move_here_and_away),
		T(test_move_between_ports),
		T(test_mtu),
		T(test_ecmp),
		T(test_ecmp_fragments),
		T(test_vtep_changes_way),
		T(test_leg_down),
		T(test_any_inner),
		T(test_segment_removed),
	};

	return cmocka_run_group_tests_name("overlay", tests, rig_group_setup, rig_group_teardown);
}
