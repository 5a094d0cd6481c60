/*
 * Frames that must not pass: each ends under its own name, and nothing leaves anywhere.
 *
 * A row a reason; every reason that a frame alone can cause is in the table.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <linux/rtnetlink.h>

#include <cmocka.h>

#include "tests/packet/kernel.h"
#include "tests/packet/rig.h"

#define A     MAC(1, 1)
#define R     MAC(2, 1)

/* Offsets in a VXLAN frame of ours. */
#define IP    14
#define UDP   34
#define VXLAN 42
#define INNER 50

struct row {
	const char *name;
	unsigned int port;
	enum drop_reason reason;
	void (*make)(struct frame_bytes *f);
};

static void plain(struct frame_bytes *f)
{
	frame_udp4(f, R, A, IP4(192, 168, 7, 1), IP4(192, 168, 7, 2), 1, 2, 20);
}

static void vxlan(struct frame_bytes *f)
{
	struct frame_bytes inner;

	frame_udp4(&inner, A, R, IP4(192, 168, 7, 2), IP4(192, 168, 7, 1), 1, 2, 20);
	frame_encap(f, rig_mac(UP0), HOP0, SITE_VTEP2, SITE_LOCAL, 50000, SITE_VNI, &inner);
}

static void cut(struct frame_bytes *f, size_t len)
{
	f->len = len;
}

/* Make outer lengths agree with a frame that was cut. */
static void cut_all(struct frame_bytes *f, size_t len)
{
	f->len = len;
	if (len >= UDP + 8)
		frame_set16(f, UDP + 4, (uint16_t)(len - UDP));
	frame_set16(f, IP + 2, (uint16_t)(len - IP));
	frame_ip4_checksum(f, IP);
}

static void access_runt(struct frame_bytes *f)
{
	plain(f);
	cut(f, 13);
}

static void access_own_mac(struct frame_bytes *f)
{
	plain(f);
	memcpy(f->data + 6, rig_mac(P1), 6);
}

static void access_group_source(struct frame_bytes *f)
{
	plain(f);
	f->data[6] |= 1;
}

static void access_zero_source(struct frame_bytes *f)
{
	plain(f);
	memset(f->data + 6, 0, 6);
}

static void access_tagged(struct frame_bytes *f)
{
	frame_reset(f);
	frame_ether(f, R, A, 0x8100);
	frame_put_pattern(f, 50, 0);
}

static void access_qinq(struct frame_bytes *f)
{
	frame_reset(f);
	frame_ether(f, R, A, 0x88a8);
	frame_put_pattern(f, 50, 0);
}

static void access_reserved(struct frame_bytes *f)
{
	static const uint8_t stp[6] = {0x01, 0x80, 0xc2, 0x00, 0x00, 0x0e};

	plain(f);
	memcpy(f->data, stp, 6);
}

static void access_same_port(struct frame_bytes *f)
{
	frame_udp4(f, A, MAC(1, 7), IP4(192, 168, 7, 1), IP4(192, 168, 7, 2), 1, 2, 20);
}

static void uplink_runt(struct frame_bytes *f)
{
	vxlan(f);
	cut(f, 12);
}

static void uplink_no_ip(struct frame_bytes *f)
{
	vxlan(f);
	cut(f, IP + 19);
}

static void uplink_own_mac(struct frame_bytes *f)
{
	vxlan(f);
	memcpy(f->data + 6, rig_mac(UP0), 6);
}

static void uplink_group_source(struct frame_bytes *f)
{
	vxlan(f);
	f->data[6] |= 1;
}

static void uplink_zero_source(struct frame_bytes *f)
{
	vxlan(f);
	memset(f->data + 6, 0, 6);
}

static void uplink_other_mac(struct frame_bytes *f)
{
	vxlan(f);
	f->data[5] ^= 0x55;
}

static void uplink_routed_broadcast(struct frame_bytes *f)
{
	vxlan(f);
	memcpy(f->data, MAC(3, 3), 6);
	f->data[0] = 0x01;
}

static void uplink_tagged(struct frame_bytes *f)
{
	vxlan(f);
	frame_set16(f, 12, 0x8100);
}

static void ip_version(struct frame_bytes *f)
{
	vxlan(f);
	f->data[IP] = 0x65;
	frame_ip4_checksum(f, IP);
}

static void ip_short_header(struct frame_bytes *f)
{
	vxlan(f);
	f->data[IP] = 0x44;
}

static void ip_long_total(struct frame_bytes *f)
{
	vxlan(f);
	frame_set16(f, IP + 2, (uint16_t)(f->len - IP + 1));
	frame_ip4_checksum(f, IP);
}

static void ip_short_total(struct frame_bytes *f)
{
	vxlan(f);
	frame_set16(f, IP + 2, 19);
	frame_ip4_checksum(f, IP);
}

static void ip_checksum(struct frame_bytes *f)
{
	vxlan(f);
	f->data[IP + 10] ^= 1;
}

static void ip_loopback_source(struct frame_bytes *f)
{
	vxlan(f);
	f->data[IP + 12] = 127;
	frame_ip4_checksum(f, IP);
}

static void ip_group_source(struct frame_bytes *f)
{
	vxlan(f);
	f->data[IP + 12] = 224;
	frame_ip4_checksum(f, IP);
}

static void ip_loopback_destination(struct frame_bytes *f)
{
	vxlan(f);
	f->data[IP + 16] = 127;
	frame_ip4_checksum(f, IP);
}

static void ip_no_route(struct frame_bytes *f)
{
	vxlan(f);
	f->data[IP + 16] = 11;
	frame_ip4_checksum(f, IP);
}

static void ip_blackhole(struct frame_bytes *f)
{
	vxlan(f);
	f->data[IP + 16] = 12;
	frame_ip4_checksum(f, IP);
}

static void udp_cut(struct frame_bytes *f)
{
	vxlan(f);
	cut_all(f, UDP + 7);
}

static void outer_fragment(struct frame_bytes *f)
{
	vxlan(f);
	frame_set16(f, IP + 6, 0x2000);
	frame_ip4_checksum(f, IP);
}

static void vxlan_cut(struct frame_bytes *f)
{
	vxlan(f);
	cut_all(f, VXLAN + 7);
}

static void udp_too_long(struct frame_bytes *f)
{
	vxlan(f);
	frame_set16(f, UDP + 4, (uint16_t)(f->len - UDP + 1));
}

static void udp_too_short(struct frame_bytes *f)
{
	vxlan(f);
	frame_set16(f, UDP + 4, 15);
}

static void vxlan_no_flag(struct frame_bytes *f)
{
	vxlan(f);
	f->data[VXLAN] = 0xf7;
}

static void vxlan_vni(struct frame_bytes *f)
{
	vxlan(f);
	f->data[VXLAN + 6] ^= 0x40;
}

/* A VTEP of another segment only. */
static void vxlan_foreign_vtep(struct frame_bytes *f)
{
	struct frame_bytes inner;

	frame_udp4(&inner, MAC(3, 1), R, IP4(192, 168, 7, 2), IP4(192, 168, 7, 1), 1, 2, 20);
	frame_encap(f, rig_mac(UP0), HOP0, SITE_VTEP3, SITE_LOCAL, 50000, SITE_VNI2, &inner);
}

static void vxlan_stranger(struct frame_bytes *f)
{
	vxlan(f);
	f->data[IP + 15] = 99;
	frame_ip4_checksum(f, IP);
}

/* To an address of ours that is not the segment's VTEP. */
static void vxlan_link_address(struct frame_bytes *f)
{
	struct frame_bytes inner;

	frame_udp4(&inner, A, R, IP4(192, 168, 7, 2), IP4(192, 168, 7, 1), 1, 2, 20);
	frame_encap(f, rig_mac(UP0), HOP0, SITE_VTEP2, SITE_HOP0 - 1, 50000, SITE_VNI, &inner);
}

static void inner_cut(struct frame_bytes *f)
{
	vxlan(f);
	cut_all(f, INNER + 13);
}

static void inner_none(struct frame_bytes *f)
{
	vxlan(f);
	cut_all(f, INNER);
}

static void inner_group_source(struct frame_bytes *f)
{
	vxlan(f);
	f->data[INNER + 6] |= 1;
}

static void inner_tagged(struct frame_bytes *f)
{
	vxlan(f);
	frame_set16(f, INNER + 12, 0x8100);
}

static void transit_vxlan_ttl(struct frame_bytes *f)
{
	vxlan(f);
	f->data[IP + 17] = 254;
	f->data[IP + 18] = 3; /* 10.254.3.1 */
	f->data[IP + 8] = 1;
	frame_ip4_checksum(f, IP);
}

static void transit_vxlan_too_big(struct frame_bytes *f)
{
	struct frame_bytes inner;

	frame_udp4(&inner, A, R, IP4(192, 168, 7, 2), IP4(192, 168, 7, 1), 1, 2, 1565 - 42);
	frame_encap(f, rig_mac(UP0), HOP0, SITE_VTEP2, SITE_VTEP3, 50000, SITE_VNI, &inner);
}

static void unreachable_vxlan(struct frame_bytes *f)
{
	vxlan(f);
	f->data[IP + 16] = 13;
	frame_ip4_checksum(f, IP);
}

static const struct row rows[] = {
	{"shorter than Ethernet", P1, DROP_TRUNCATED, access_runt},
	{"own MAC, access", P1, DROP_OWN_MAC, access_own_mac},
	{"group source, access", P1, DROP_BAD_SRC_MAC, access_group_source},
	{"zero source, access", P1, DROP_BAD_SRC_MAC, access_zero_source},
	{"802.1Q, access", P1, DROP_VLAN_TAGGED, access_tagged},
	{"802.1ad, access", P1, DROP_VLAN_TAGGED, access_qinq},
	{"bridge group address", P1, DROP_LINK_LOCAL_MAC, access_reserved},
	{"to the port it came from", P1, DROP_FDB_SAME_PORT, access_same_port},
	{"shorter than Ethernet, uplink", UP0, DROP_TRUNCATED, uplink_runt},
	{"shorter than IPv4", UP0, DROP_TRUNCATED, uplink_no_ip},
	{"own MAC, uplink", UP0, DROP_OWN_MAC, uplink_own_mac},
	{"group source, uplink", UP0, DROP_BAD_SRC_MAC, uplink_group_source},
	{"zero source, uplink", UP0, DROP_BAD_SRC_MAC, uplink_zero_source},
	{"another's MAC", UP0, DROP_NOT_FOR_US, uplink_other_mac},
	{"unicast IPv4 to a group MAC", UP0, DROP_NOT_FOR_US, uplink_routed_broadcast},
	{"802.1Q, uplink", UP0, DROP_VLAN_TAGGED, uplink_tagged},
	{"IP version 6 in IPv4", UP0, DROP_BAD_IP_HEADER, ip_version},
	{"header length 16", UP0, DROP_BAD_IP_HEADER, ip_short_header},
	{"total length beyond the frame", UP0, DROP_BAD_IP_LENGTH, ip_long_total},
	{"total length below the header", UP0, DROP_BAD_IP_LENGTH, ip_short_total},
	{"header checksum", UP0, DROP_BAD_IP_CHECKSUM, ip_checksum},
	{"loopback source", UP0, DROP_BAD_IP_ADDRESS, ip_loopback_source},
	{"group source address", UP0, DROP_BAD_IP_ADDRESS, ip_group_source},
	{"loopback destination", UP0, DROP_BAD_IP_ADDRESS, ip_loopback_destination},
	{"no route", UP0, DROP_NO_ROUTE, ip_no_route},
	{"blackhole route", UP0, DROP_BLACKHOLE, ip_blackhole},
	{"UDP header cut", UP0, DROP_TRUNCATED, udp_cut},
	{"fragment of VXLAN", UP0, DROP_OUTER_FRAGMENT, outer_fragment},
	{"VXLAN header cut", UP0, DROP_VXLAN_TRUNCATED, vxlan_cut},
	{"UDP length beyond the packet", UP0, DROP_VXLAN_TRUNCATED, udp_too_long},
	{"UDP length below VXLAN", UP0, DROP_VXLAN_TRUNCATED, udp_too_short},
	{"I flag unset", UP0, DROP_VXLAN_FLAGS, vxlan_no_flag},
	{"unknown VNI", UP0, DROP_UNKNOWN_VNI, vxlan_vni},
	{"VTEP of another segment", UP0, DROP_UNKNOWN_VTEP, vxlan_foreign_vtep},
	{"source is no VTEP", UP0, DROP_UNKNOWN_VTEP, vxlan_stranger},
	{"to a link's address", UP0, DROP_UNKNOWN_VTEP, vxlan_link_address},
	{"inner Ethernet cut", UP0, DROP_INNER_TRUNCATED, inner_cut},
	{"no inner frame", UP0, DROP_INNER_TRUNCATED, inner_none},
	{"inner group source", UP0, DROP_BAD_SRC_MAC, inner_group_source},
	{"inner 802.1Q", UP0, DROP_VLAN_TAGGED, inner_tagged},
	{"VXLAN in transit, TTL 1", UP0, DROP_TTL_EXPIRED, transit_vxlan_ttl},
	{"VXLAN in transit, too big", UP0, DROP_MTU_EXCEEDED, transit_vxlan_too_big},
	{"VXLAN to an unreachable net", UP0, DROP_VXLAN_PUNT, unreachable_vxlan},
};

static void test_rows(void **state)
{
	struct rig *rig = rig_open(NULL);
	bool failed = false;

	kernel_site(rig);
	kernel_mac_local(rig, SITE_VNI, A, P1);
	kernel_mac_local(rig, SITE_VNI, MAC(1, 7), P1);
	kernel_mac_remote(rig, SITE_VNI, R, SITE_VTEP2);
	kernel_route_type(rig, IP4(12, 0, 0, 0), 8, RTN_BLACKHOLE);
	kernel_route_type(rig, IP4(13, 0, 0, 0), 8, RTN_UNREACHABLE);
	for (unsigned int i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *row = &rows[i];
		const uint64_t before = rig_drops(rig, row->reason);
		const uint64_t all = rig_drops_all(rig);
		struct frame_bytes f;

		row->make(&f);
		rig_send(rig, row->port, &f);
		rig_run(rig);
		if (rig_drops(rig, row->reason) != before + 1 || rig_drops_all(rig) != all + 1) {
			fprintf(stderr, "%s: not dropped as %s\n", row->name,
				drop_name(row->reason));
			for (unsigned int r = 0; r < DROP_COUNT; r++)
				if (rig_drops(rig, r) != 0)
					fprintf(stderr, "  %s %lu\n", drop_name(r),
						rig_drops(rig, r));
			failed = true;
		}
		rig_assert_silent(rig, __FILE__, __LINE__);
		assert_int_equal(rig->write_n, 0);
	}
	assert_false(failed);
	rig_close(rig);
}

/* Every prefix of a good VXLAN frame, with lengths left as they were and with lengths made to fit.
 */
static void test_every_prefix(void **state)
{
	struct rig *rig = rig_open(NULL);
	struct frame_bytes f, got;
	size_t whole;

	kernel_site(rig);
	kernel_mac_local(rig, SITE_VNI, A, P1);
	vxlan(&f);
	whole = f.len;
	for (size_t len = 1; len < whole; len++) {
		vxlan(&f);
		cut(&f, len);
		rig_send(rig, UP0, &f);
		rig_run(rig);
		rig_assert_silent(rig, __FILE__, __LINE__);
	}
	assert_int_equal(rig_drops_all(rig), whole - 1);
	for (size_t len = IP + 20; len < whole; len++) {
		vxlan(&f);
		cut_all(&f, len);
		rig_send(rig, UP0, &f);
		rig_run(rig);
		/* a whole inner Ethernet header is delivered, whatever follows */
		assert_int_equal(rig_recv(rig, P1, &got), len >= INNER + 14);
		while (rig_tap_recv(rig, UP0, &got))
			;
		rig_assert_silent(rig, __FILE__, __LINE__);
	}
	rig_close(rig);
}

/* Names and texts are there and no name is used twice. */
static void test_names(void **state)
{
	for (unsigned int i = 0; i < DROP_COUNT; i++) {
		assert_non_null(drop_name(i));
		assert_true(strlen(drop_text(i)) > 10);
		for (unsigned int k = 0; k < i; k++)
			assert_string_not_equal(drop_name(i), drop_name(k));
	}
	assert_null(drop_name(DROP_COUNT));
}

/* A port that belongs to no segment. */
static void test_unattached(void **state)
{
	struct rig *rig = rig_open(NULL);
	struct frame_bytes f;

	plain(&f);
	rig_send(rig, P1, &f);
	rig_run(rig);
	assert_int_equal(rig_drops(rig, DROP_PORT_UNATTACHED), 1);
	rig_assert_silent(rig, __FILE__, __LINE__);
	rig_close(rig);
}

/* Frames for a port without link, or smaller than what comes. */
static void test_way_out(void **state)
{
	struct rig *rig = rig_open(NULL);
	struct frame_bytes f;

	kernel_site(rig);
	kernel_mac_local(rig, SITE_VNI, MAC(1, 2), P2);
	frame_udp4(&f, MAC(1, 2), A, 1, 2, 3, 4, 1501 + 4 - 28);
	rig_send(rig, P1, &f);
	rig_run(rig);
	assert_int_equal(rig_drops(rig, DROP_TX_TOO_BIG), 1);
	frame_udp4(&f, MAC(1, 2), A, 1, 2, 3, 4, 30);
	__atomic_store_n(&rig->dp->tables->ports.ports[P2].link_up, 0, __ATOMIC_RELAXED);
	rig_send(rig, P1, &f);
	rig_run(rig);
	assert_int_equal(rig_drops(rig, DROP_LINK_DOWN), 1);
	rig_assert_silent(rig, __FILE__, __LINE__);
	rig_close(rig);
}

/* A neighbour that is not resolved: counted, and asked for once. */
static void test_unresolved(void **state)
{
	const struct kernel_hop hop = {.port = UP1, .via = IP4(10, 0, 1, 99)};
	struct rig *rig = rig_open(NULL);
	struct frame_bytes f;

	kernel_site(rig);
	kernel_mac_local(rig, SITE_VNI, A, P1);
	kernel_mac_remote(rig, SITE_VNI, R, SITE_VTEP2);
	kernel_route(rig, SITE_VTEP2, 32, &hop, 1);
	rig_run(rig);
	rig->probe_n = 0;
	plain(&f);
	for (unsigned int i = 0; i < 10; i++)
		rig_send(rig, P1, &f);
	rig_run(rig);
	rig_run(rig);
	assert_int_equal(rig_drops(rig, DROP_NO_ADJACENCY), 10);
	assert_true(rig->probe_n >= 1 && rig->probe_n <= 2);
	assert_int_equal(rig->probe_port, UP1);
	assert_int_equal(rig->probe_addr, rte_cpu_to_be_32(hop.via));
	/* no route at all */
	kernel_route_del(rig, SITE_VTEP2, 32);
	rig_send(rig, P1, &f);
	rig_run(rig);
	assert_int_equal(rig_drops(rig, DROP_VTEP_UNREACHABLE), 1);
	rig_assert_silent(rig, __FILE__, __LINE__);
	rig_close(rig);
}

/* Without free mbufs frames are lost and counted, and nothing else happens. */
static void test_no_buffers(void **state)
{
	struct rig *rig = rig_open(NULL);
	struct rte_mbuf *held[4096];
	unsigned int n = 0;
	struct frame_bytes f;

	kernel_site(rig);
	while (n < 4096 && (held[n] = rte_pktmbuf_alloc(rig->dp->pool)) != NULL)
		n++;
	frame_udp4(&f, MAC_BROADCAST, A, 1, 2, 3, 4, 1000);
	rig_send(rig, P1, &f);
	frame_udp4(&f, MAC_BROADCAST, A, 1, 2, 3, 4, 20);
	rig_send(rig, P1, &f);
	rig_run(rig);
	assert_int_equal(rig_drops(rig, DROP_NO_BUFFER), 4);
	for (unsigned int i = 0; i < 2; i++) {
		/* the last place still gets the frame itself */
		assert_true(rig_recv(rig, UP1, &f));
		assert_int_equal(f.len, 50 + (i == 0 ? 1042 : 62));
	}
	rig_assert_silent(rig, __FILE__, __LINE__);
	rte_pktmbuf_free_bulk(held, n);
	rig_close(rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_every_prefix),
		cmocka_unit_test(test_unattached),
		cmocka_unit_test(test_way_out),
		cmocka_unit_test(test_unresolved),
		cmocka_unit_test(test_no_buffers),
	};

	return cmocka_run_group_tests_name(
		"bad_frames", tests, rig_group_setup, rig_group_teardown);
}
