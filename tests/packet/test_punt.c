/*
 * Between the wire and the kernel: what an uplink receives for the kernel goes to its TAP within
 * the rate of its class, what the kernel sends leaves by the port, and VXLAN passes neither way.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/packet/kernel.h"
#include "tests/packet/rig.h"

#define US (SITE_HOP0 - 1) /* our address on up0 */

/* Few at once, and so few a second that none comes back while a test runs. */
static const struct policer_rates tight = {
	.pps = {[0 ... PUNT_CLASSES - 1] = 1},
	.burst = {[PUNT_ARP] = 8,
		[PUNT_ARP_NEW] = 3,
		[PUNT_BGP] = 9,
		[PUNT_BGP_NEW] = 4,
		[PUNT_BFD] = 10,
		[PUNT_BFD_NEW] = 5,
		[PUNT_ICMP] = 6,
		[PUNT_OTHER] = 7},
};

static void arp(struct frame_bytes *f)
{
	frame_reset(f);
	frame_ether(f, MAC_BROADCAST, HOP0, 0x0806);
	frame_arp(f, 1, HOP0, SITE_HOP0, MAC(0, 0), US);
}

static void nd(struct frame_bytes *f)
{
	static const uint8_t group[6] = {0x33, 0x33, 0xff, 0, 0, 1};

	frame_reset(f);
	frame_ether(f, group, HOP0, 0x86dd);
	frame_put32(f, 0x60000000);
	frame_put16(f, 24);
	frame_put8(f, 58);
	frame_put8(f, 255);
	frame_put_pattern(f, 32, 0x20);
	frame_put8(f, 135);
	frame_put_pattern(f, 23, 0);
}

static void tcp(struct frame_bytes *f, uint16_t sport, uint16_t dport)
{
	size_t ip;

	frame_reset(f);
	frame_ether(f, rig_mac(UP0), HOP0, 0x0800);
	ip = frame_ip4(f, SITE_HOP0, US, 6);
	frame_tcp(f, sport, dport);
	frame_ip4_finish(f, ip);
}

static void bgp(struct frame_bytes *f)
{
	tcp(f, 40000, 179);
}

static void bgp_back(struct frame_bytes *f)
{
	tcp(f, 179, 40000);
}

static void udp(struct frame_bytes *f, uint16_t dport)
{
	frame_udp4(f, rig_mac(UP0), HOP0, SITE_HOP0, US, 49200, dport, 24);
}

/* A control packet of a session that begins: Down, no discriminator of ours yet. */
static void bfd_down(struct frame_bytes *f, uint16_t dport)
{
	size_t ip, at;

	frame_reset(f);
	frame_ether(f, rig_mac(UP0), HOP0, 0x0800);
	ip = frame_ip4(f, SITE_HOP0, US, 17);
	f->data[ip + 8] = 255;
	at = frame_udp(f, 49200, dport);
	frame_put32(f, 0x20400318);
	frame_put32(f, 77);
	frame_put32(f, 0);
	frame_put32(f, 1000000);
	frame_put32(f, 1000000);
	frame_put32(f, 0);
	frame_udp_finish(f, at);
	frame_ip4_finish(f, ip);
}

static void bfd(struct frame_bytes *f)
{
	bfd_down(f, 3784);
}

static void bfd_echo(struct frame_bytes *f)
{
	udp(f, 3785);
}

static void bfd_multihop(struct frame_bytes *f)
{
	bfd_down(f, 4784);
}

static void icmp(struct frame_bytes *f)
{
	size_t ip;

	frame_reset(f);
	frame_ether(f, rig_mac(UP0), HOP0, 0x0800);
	ip = frame_ip4(f, SITE_HOP0, US, 1);
	frame_put_pattern(f, 20, 8);
	frame_ip4_finish(f, ip);
}

static void ssh(struct frame_bytes *f)
{
	tcp(f, 40000, 22);
}

static void ospf(struct frame_bytes *f)
{
	static const uint8_t group[6] = {0x01, 0x00, 0x5e, 0, 0, 5};
	size_t ip;

	frame_reset(f);
	frame_ether(f, group, HOP0, 0x0800);
	ip = frame_ip4(f, SITE_HOP0, IP4(224, 0, 0, 5), 89);
	frame_put_pattern(f, 20, 2);
	frame_ip4_finish(f, ip);
}

static void lldp(struct frame_bytes *f)
{
	static const uint8_t group[6] = {0x01, 0x80, 0xc2, 0, 0, 0x0e};

	frame_reset(f);
	frame_ether(f, group, HOP0, 0x88cc);
	frame_put_pattern(f, 40, 2);
}

static const struct {
	const char *name;
	void (*make)(struct frame_bytes *f);
	enum punt_class class;
} kinds[] = {
	{"arp", arp, PUNT_ARP_NEW},
	{"nd", nd, PUNT_ARP_NEW},
	{"bgp", bgp, PUNT_BGP_NEW},
	{"bgp, other way", bgp_back, PUNT_BGP_NEW},
	{"bfd", bfd, PUNT_BFD_NEW},
	{"bfd echo", bfd_echo, PUNT_BFD_NEW},
	{"bfd multihop", bfd_multihop, PUNT_BFD_NEW},
	{"icmp", icmp, PUNT_ICMP},
	{"ssh", ssh, PUNT_OTHER},
	{"ospf", ospf, PUNT_OTHER},
	{"lldp", lldp, PUNT_OTHER},
};

/* Each kind comes to the kernel as it was received. */
static void test_kinds(void **state)
{
	struct rig *rig = rig_open(NULL);
	struct frame_bytes f, got;

	kernel_site(rig);
	for (unsigned int i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		kinds[i].make(&f);
		rig_send(rig, UP0, &f);
		rig_run(rig);
		assert_true(rig_tap_recv(rig, UP0, &got));
		assert_frame(&got, &f);
		assert_silent(rig);
	}
	assert_int_equal(rig_drops_all(rig), 0);
	rig_close(rig);
}

/* Each class has its own bucket: one that is empty does not touch another. */
static void test_rates(void **state)
{
	const struct rig_options options = {.punt = &tight};

	for (unsigned int i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct rig *rig = rig_open(&options);
		const enum punt_class class = kinds[i].class;
		struct frame_bytes f, got;
		unsigned int came = 0;

		kernel_site(rig);
		kinds[i].make(&f);
		for (unsigned int k = 0; k < 50; k++)
			rig_send(rig, UP0, &f);
		rig_run(rig);
		while (rig_tap_recv(rig, UP0, &got))
			came++;
		assert_int_equal(came, tight.burst[class]);
		assert_int_equal(rig_drops(rig, punt_class_drop(class)), 50 - came);
		assert_int_equal(rig_drops_all(rig), 50 - came);
		/* the others are as full as they were, and so is the same class of another port */
		for (unsigned int other = 0; other < sizeof(kinds) / sizeof(kinds[0]); other++) {
			if (kinds[other].class == class)
				continue;
			kinds[other].make(&f);
			rig_send(rig, UP0, &f);
			rig_run(rig);
			assert_true(rig_tap_recv(rig, UP0, &got));
		}
		kinds[i].make(&f);
		if (kinds[i].class != PUNT_ARP_NEW && f.data[0] == 0x02)
			memcpy(f.data, rig_mac(UP1), 6);
		rig_send(rig, UP1, &f);
		rig_run(rig);
		assert_true(rig_tap_recv(rig, UP1, &got));
		rig_close(rig);
	}
}

/* What the kernel sends leaves by the TAP's port, as it is. */
static void test_from_the_kernel(void **state)
{
	struct rig *rig = rig_open(NULL);
	struct frame_bytes f, got;

	kernel_site(rig);
	for (unsigned int i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		kinds[i].make(&f);
		rig_tap_send(rig, UP1, &f);
		rig_run(rig);
		assert_true(rig_recv(rig, UP1, &got));
		assert_frame(&got, &f);
		assert_silent(rig);
	}
	/* even when the worker has more of them than a burst holds */
	arp(&f);
	for (unsigned int i = 0; i < 100; i++)
		rig_tap_send(rig, UP0, &f);
	rig_run(rig);
	for (unsigned int i = 0; i < 100; i++)
		assert_true(rig_recv(rig, UP0, &got));
	assert_silent(rig);
	rig_close(rig);
}

/* The kernel's own VXLAN, over IPv4 and IPv6, with and without header options. */
static void test_kernel_vxlan(void **state)
{
	struct rig *rig = rig_open(NULL);
	struct frame_bytes inner, f;
	size_t ip;

	kernel_site(rig);
	frame_udp4(&inner, MAC_BROADCAST, MAC(1, 1), 1, 2, 3, 4, 20);
	frame_encap(&f, HOP0, rig_mac(UP0), SITE_LOCAL, SITE_VTEP2, 50000, SITE_VNI, &inner);
	rig_tap_send(rig, UP0, &f);
	rig_run(rig);
	assert_int_equal(rig_drops(rig, DROP_KERNEL_VXLAN), 1);

	frame_reset(&f);
	frame_ether(&f, HOP0, rig_mac(UP0), 0x86dd);
	frame_put32(&f, 0x60000000);
	frame_put16(&f, 100);
	frame_put8(&f, 17);
	frame_put8(&f, 64);
	frame_put_pattern(&f, 32, 0x20);
	frame_udp(&f, 50000, 4789);
	frame_put_pattern(&f, 92, 0);
	rig_tap_send(rig, UP0, &f);
	rig_run(rig);
	assert_int_equal(rig_drops(rig, DROP_KERNEL_VXLAN), 2);

	frame_reset(&f);
	frame_ether(&f, HOP0, rig_mac(UP0), 0x0800);
	ip = frame_ip4(&f, SITE_LOCAL, SITE_VTEP2, 17);
	f.data[ip] = 0x46;
	frame_put32(&f, 0x01010100);
	frame_udp(&f, 50000, 4789);
	frame_ip4_finish(&f, ip);
	rig_tap_send(rig, UP0, &f);
	rig_run(rig);
	assert_int_equal(rig_drops(rig, DROP_KERNEL_VXLAN), 3);
	assert_silent(rig);
	rig_close(rig);
}

/* In pieces: all of them, whichever packets' pieces come between; other fragments leave. */
static void test_kernel_vxlan_fragments(void **state)
{
	struct rig *rig = rig_open(NULL);
	unsigned int dropped = 0, left = 0;
	struct frame_bytes f, got;

	kernel_site(rig);
	for (unsigned int piece = 0; piece < 3; piece++) {
		for (unsigned int id = 1; id < 9; id++) {
			const bool vxlan = id % 2 != 0, v6 = id > 4;
			const uint16_t offset = (uint16_t)(piece * 8);
			size_t ip;

			frame_reset(&f);
			frame_ether(&f, HOP0, rig_mac(UP0), v6 ? 0x86dd : 0x0800);
			ip = f.len;
			if (v6) {
				frame_put32(&f, 0x60000000);
				frame_put32(&f, 72 << 16 | 44 << 8 | 64);
				frame_put_pattern(&f, 32, 0x20);
				frame_put16(&f, 17 << 8);
				frame_put16(&f, (uint16_t)(offset << 3 | (piece < 2)));
				frame_put32(&f, id);
			} else {
				frame_ip4(&f, SITE_LOCAL, SITE_VTEP2, 17);
				frame_set16(&f, ip + 4, (uint16_t)id);
				frame_set16(
					&f, ip + 6, (uint16_t)(offset | (piece < 2 ? 0x2000 : 0)));
			}
			if (piece == 0)
				frame_udp(&f, 50000, vxlan ? 4789 : 4790);
			frame_put_pattern(&f, piece == 0 ? 56 : 64, 0);
			if (!v6)
				frame_ip4_finish(&f, ip);
			rig_tap_send(rig, UP0, &f);
			dropped += vxlan;
			left += !vxlan;
		}
	}
	/* the same identification by somebody else */
	frame_reset(&f);
	frame_ether(&f, HOP0, rig_mac(UP0), 0x0800);
	frame_ip4(&f, SITE_LOCAL, SITE_VTEP3, 17);
	frame_set16(&f, 18, 1);
	frame_set16(&f, 20, 8);
	frame_put_pattern(&f, 64, 0);
	frame_ip4_finish(&f, 14);
	rig_tap_send(rig, UP0, &f);
	left++;
	/* and behind a tag */
	frame_reset(&f);
	frame_ether(&f, HOP0, rig_mac(UP0), 0x8100);
	frame_put32(&f, 0x00640800);
	frame_ip4(&f, SITE_LOCAL, SITE_VTEP2, 17);
	frame_udp(&f, 50000, 4789);
	frame_ip4_finish(&f, 18);
	rig_tap_send(rig, UP0, &f);
	dropped++;
	rig_run(rig);
	while (rig_recv(rig, UP0, &got))
		left--;
	assert_int_equal(left, 0);
	assert_int_equal(rig_drops(rig, DROP_KERNEL_VXLAN), dropped);
	assert_int_equal(rig_drops_all(rig), dropped);
	assert_silent(rig);
	rig_close(rig);
}

/* Nothing that the kernel sends on an access port's TAP reaches a tenant. */
static void test_kernel_on_access(void **state)
{
	struct rig *rig = rig_open(NULL);
	struct frame_bytes f;

	kernel_site(rig);
	arp(&f);
	rig_tap_send(rig, P1, &f);
	rig_run(rig);
	assert_silent(rig);
	assert_int_equal(rig_drops(rig, DROP_KERNEL_ACCESS), 1);
	rig_close(rig);
}

/* Nothing from an access port reaches the kernel, whatever it is addressed to. */
static void test_access_never_punts(void **state)
{
	struct rig *rig = rig_open(NULL);
	struct frame_bytes f, got;

	kernel_site(rig);
	for (unsigned int i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		kinds[i].make(&f);
		if (f.data[0] == 0x02)
			memcpy(f.data, rig_mac(P1), 6);
		rig_send(rig, P1, &f);
		rig_run(rig);
	}
	/* towards our own VTEP, as if an access port were the backbone */
	frame_udp4(&got, MAC_BROADCAST, MAC(1, 1), 1, 2, 3, 4, 20);
	frame_encap(&f, rig_mac(P1), HOP0, SITE_VTEP2, SITE_LOCAL, 50000, SITE_VNI, &got);
	rig_send(rig, P1, &f);
	rig_run(rig);
	for (unsigned int i = 0; i < RIG_PORTS; i++)
		assert_false(rig_tap_recv(rig, i, &got));
	rig_close(rig);
}

/* VXLAN for an address of ours that routes to the kernel is not shown to it. */
static void test_vxlan_never_punts(void **state)
{
	struct rig *rig = rig_open(NULL);
	struct frame_bytes f;

	kernel_site(rig);
	/* by a group address: the kernel's otherwise */
	frame_udp4(&f, MAC_BROADCAST, HOP0, SITE_HOP0, IP4(239, 1, 1, 1), 50000, 4789, 40);
	rig_send(rig, UP0, &f);
	rig_run(rig);
	assert_silent(rig);
	assert_int_equal(rig_drops(rig, DROP_VXLAN_PUNT), 1);
	rig_close(rig);
}

/* A TAP that takes no more: counted, freed. */
static void test_tap_full(void **state)
{
	struct rig *rig = rig_open(NULL);
	struct frame_bytes f, got;
	unsigned int came = 0;

	kernel_site(rig);
	arp(&f);
	for (unsigned int i = 0; i < 2000; i++) {
		rig_send(rig, UP0, &f);
		if (i % 500 == 499)
			rig_run(rig);
	}
	while (rig_tap_recv(rig, UP0, &got))
		came++;
	assert_true(came > 0);
	assert_int_equal(rig_drops(rig, DROP_PUNT_TAP_FULL), 2000 - came);
	rig_close(rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_rates),
		cmocka_unit_test(test_from_the_kernel),
		cmocka_unit_test(test_kernel_vxlan),
		cmocka_unit_test(test_kernel_vxlan_fragments),
		cmocka_unit_test(test_kernel_on_access),
		cmocka_unit_test(test_access_never_punts),
		cmocka_unit_test(test_vxlan_never_punts),
		cmocka_unit_test(test_tap_full),
	};

	return cmocka_run_group_tests_name("punt", tests, rig_group_setup, rig_group_teardown);
}
