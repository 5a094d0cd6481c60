/*
 * Tenants' packets that are larger than their way takes.
 *
 *	p1 ---+-- VNI 10010 -- up0 (MTU 1600) --- 10.0.0.1 (HOP0) --- VTEP 10.254.2.1 (R)
 *	p2 ---+
 *
 * What must hold: the sender is told by ICMP what would have passed, octet for octet and on the way
 * to where the FDB knows it; what must not be answered is not; all of it is counted; and the
 *answers are limited.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "dataplane/nodes/icmp_answer.h"
#include "tests/packet/kernel.h"
#include "tests/packet/rig.h"

#define A        MAC(1, 1) /* behind p1 */
#define B        MAC(1, 2) /* behind p2 */
#define R        MAC(2, 1) /* behind VTEP 2 */
#define IP_A     IP4(192, 168, 7, 1)
#define IP_R     IP4(192, 168, 7, 2)
#define ETH      14
#define LINK_MTU 1600
#define OUTER    50 /* of the link's MTU and 14 of Ethernet: what VXLAN takes */

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

/* UDP over IPv4 with DF, `ip_len` octets of IP. */
static void big4(struct frame_bytes *f, const uint8_t dst[6], const uint8_t src[6], size_t ip_len)
{
	frame_udp4(f, dst, src, IP_A, IP_R, 1111, 2222, ip_len - 28);
	frame_set16(f, ETH + 6, 0x4000);
	frame_ip4_checksum(f, ETH);
}

static void address6(struct frame_bytes *f, uint8_t first, uint8_t last)
{
	uint8_t a[16] = {first, [15] = last};

	frame_put(f, a, sizeof(a));
}

/* IPv6 with this next header, `ip_len` octets in all. */
static void big6(struct frame_bytes *f, const uint8_t dst[6], const uint8_t src[6], uint8_t next,
	size_t ip_len)
{
	frame_reset(f);
	frame_ether(f, dst, src, 0x86dd);
	frame_put32(f, 0x60000000);
	frame_put16(f, (uint16_t)(ip_len - 40));
	frame_put8(f, next);
	frame_put8(f, 64);
	address6(f, 0xfd, 1);
	address6(f, 0xfd, 2);
	frame_put_pattern(f, ip_len - 40, 0x81);
}

static void expect_answer4(
	const struct frame_bytes *got, const struct frame_bytes *big, uint16_t mtu)
{
	const size_t ip_len = big->len - ETH, quote = ip_len < 548 ? ip_len : 548;
	struct frame_bytes want;
	size_t ip, icmp;

	frame_reset(&want);
	frame_ether(&want, big->data + 6, big->data, 0x0800);
	ip = frame_ip4(&want, frame_get32(big, ETH + 16), frame_get32(big, ETH + 12), 1);
	want.data[ip + 1] = 0xc0;
	frame_set16(&want, ip + 6, 0x4000);
	icmp = want.len;
	frame_put32(&want, 0x03040000);
	frame_put32(&want, mtu);
	frame_put(&want, big->data + ETH, quote);
	frame_set16(&want, icmp + 2, frame_checksum(want.data + icmp, want.len - icmp));
	frame_ip4_finish(&want, ip);
	assert_frame(got, &want);
}

static void expect_answer6(
	const struct frame_bytes *got, const struct frame_bytes *big, uint16_t mtu)
{
	struct frame_bytes want, sum;
	size_t icmp;

	frame_reset(&want);
	frame_ether(&want, big->data + 6, big->data, 0x86dd);
	frame_put32(&want, 0x60000000);
	frame_put16(&want, 1240);
	frame_put16(&want, 58 << 8 | 64);
	frame_put(&want, big->data + ETH + 24, 16);
	frame_put(&want, big->data + ETH + 8, 16);
	icmp = want.len;
	frame_put32(&want, 0x02000000);
	frame_put32(&want, mtu);
	frame_put(&want, big->data + ETH, 1232);
	frame_reset(&sum);
	frame_put(&sum, want.data + ETH + 8, 32);
	frame_put32(&sum, 1240);
	frame_put32(&sum, 58);
	frame_put(&sum, want.data + icmp, want.len - icmp);
	frame_set16(&want, icmp + 2, frame_checksum(sum.data, sum.len));
	assert_int_equal(want.len, ETH + 1280);
	assert_frame(got, &want);
}

/* The largest that fits passes, one octet more is answered. */
static void test_ip4(void **state)
{
	struct rig *rig = *state;
	struct frame_bytes f, got;

	big4(&f, R, A, LINK_MTU - OUTER);
	rig_send(rig, P1, &f);
	rig_run(rig);
	assert_true(rig_recv(rig, UP0, &got));
	assert_silent(rig);
	big4(&f, R, A, LINK_MTU - OUTER + 1);
	rig_send(rig, P1, &f);
	rig_run(rig);
	assert_true(rig_recv(rig, P1, &got));
	expect_answer4(&got, &f, LINK_MTU - OUTER);
	assert_silent(rig);
	assert_int_equal(rig_drops(rig, DROP_TOO_BIG_ANSWERED), 1);
	assert_int_equal(rig_drops_all(rig), 1);
}

static void test_ip6(void **state)
{
	struct rig *rig = *state;
	struct frame_bytes f, got;

	big6(&f, R, A, 17, LINK_MTU - OUTER);
	rig_send(rig, P1, &f);
	rig_run(rig);
	assert_true(rig_recv(rig, UP0, &got));
	big6(&f, R, A, 6, LINK_MTU - OUTER + 1);
	rig_send(rig, P1, &f);
	rig_run(rig);
	assert_true(rig_recv(rig, P1, &got));
	expect_answer6(&got, &f, LINK_MTU - OUTER);
	assert_silent(rig);
	assert_int_equal(rig_drops(rig, DROP_TOO_BIG_ANSWERED), 1);
}

/* Jumbo frames in chains, and headers that are split between mbufs. */
static void test_chain(void **state)
{
	static const size_t segs[] = {1000, 200, 31};
	struct rig *rig = *state;
	struct frame_bytes f, got;

	for (unsigned int i = 0; i < 3; i++) {
		big4(&f, R, A, 1577);
		rig_send_chain(rig, P1, &f, segs[i]);
		rig_run(rig);
		assert_true(rig_recv(rig, P1, &got));
		expect_answer4(&got, &f, LINK_MTU - OUTER);
		big6(&f, R, A, 17, 1577);
		rig_send_chain(rig, P1, &f, segs[i]);
		rig_run(rig);
		assert_true(rig_recv(rig, P1, &got));
		expect_answer6(&got, &f, LINK_MTU - OUTER);
		/* and what fits leaves whole */
		big4(&f, R, A, LINK_MTU - OUTER);
		rig_send_chain(rig, P1, &f, segs[i]);
		rig_run(rig);
		assert_true(rig_recv(rig, UP0, &got));
		assert_int_equal(got.len, LINK_MTU + ETH);
		assert_memory_equal(got.data + 50, f.data, f.len);
		assert_silent(rig);
	}
}

/* The link's MTU is another: what is told follows. */
static void test_link_mtu(void **state)
{
	struct rig *rig = *state;
	struct frame_bytes f, got;

	rig->dp->ports[UP0]->mtu = 1400; /* what kernel_tap() says */
	kernel_tap(rig, UP0, true, 0);
	big4(&f, R, A, 1400);
	rig_send(rig, P1, &f);
	rig_run(rig);
	assert_true(rig_recv(rig, P1, &got));
	expect_answer4(&got, &f, 1350);
	/* IPv6 must be able to send 1,280: below that an answer would not help */
	rig->dp->ports[UP0]->mtu = 1329;
	kernel_tap(rig, UP0, true, 0);
	big6(&f, R, A, 17, 1400);
	rig_send(rig, P1, &f);
	rig_run(rig);
	assert_int_equal(rig_drops(rig, DROP_ENCAP_TOO_BIG), 1);
	assert_silent(rig);
	rig->dp->ports[UP0]->mtu = LINK_MTU;
	kernel_tap(rig, UP0, true, 0);
	big4(&f, R, A, 1400);
	rig_send(rig, P1, &f);
	rig_run(rig);
	assert_true(rig_recv(rig, UP0, &got));
	assert_silent(rig);
}

/* An access port that takes less: senders at the other port and at another site are told. */
static void test_access_port(void **state)
{
	struct rig *rig = *state;
	struct frame_bytes f, outer, got, inner;

	port_set_mtu(&rig->dp->tables->ports, P2, 1300);
	big4(&f, B, A, 1301);
	rig_send(rig, P1, &f);
	rig_run(rig);
	assert_true(rig_recv(rig, P1, &got));
	expect_answer4(&got, &f, 1300);
	assert_silent(rig);

	big4(&f, B, R, 1301);
	frame_encap(&outer, rig_mac(UP0), HOP0, SITE_VTEP2, SITE_LOCAL, 50000, SITE_VNI, &f);
	rig_send(rig, UP0, &outer);
	rig_run(rig);
	assert_true(rig_recv(rig, UP0, &got));
	frame_reset(&inner);
	frame_put(&inner, got.data + 50, got.len - 50);
	expect_answer4(&inner, &f, 1300);
	frame_encap(&outer, HOP0, rig_mac(UP0), SITE_LOCAL, SITE_VTEP2, frame_get16(&got, 34),
		SITE_VNI, &inner);
	assert_frame(&got, &outer);
	assert_silent(rig);
	assert_int_equal(rig_drops(rig, DROP_TOO_BIG_ANSWERED), 2);

	/* no IP: counted alone */
	frame_reset(&f);
	frame_ether(&f, B, A, 0x88b5);
	frame_put_pattern(&f, 1301, 0);
	rig_send(rig, P1, &f);
	rig_run(rig);
	assert_int_equal(rig_drops(rig, DROP_TX_TOO_BIG), 1);
	assert_silent(rig);
}

/* What must not be answered, made of a packet that would be. */
static void later_fragment(struct frame_bytes *f)
{
	frame_set16(f, ETH + 6, 0x4000 | 100);
	frame_ip4_checksum(f, ETH);
}

static void from_zero(struct frame_bytes *f)
{
	f->data[ETH + 12] = 0;
	frame_ip4_checksum(f, ETH);
}

static void from_loopback(struct frame_bytes *f)
{
	f->data[ETH + 12] = 127;
	frame_ip4_checksum(f, ETH);
}

static void from_group(struct frame_bytes *f)
{
	f->data[ETH + 12] = 224;
	frame_ip4_checksum(f, ETH);
}

static void from_broadcast(struct frame_bytes *f)
{
	memset(f->data + ETH + 12, 0xff, 4);
	frame_ip4_checksum(f, ETH);
}

static void to_group(struct frame_bytes *f)
{
	f->data[ETH + 16] = 239;
	frame_ip4_checksum(f, ETH);
}

static void icmp_error4(struct frame_bytes *f)
{
	f->data[ETH + 9] = 1;
	f->data[ETH + 20] = 3;
	frame_ip4_checksum(f, ETH);
}

static void icmp_redirect4(struct frame_bytes *f)
{
	icmp_error4(f);
	f->data[ETH + 20] = 5;
}

static void bad_checksum(struct frame_bytes *f)
{
	f->data[ETH + 10] ^= 1;
}

static void bad_version(struct frame_bytes *f)
{
	f->data[ETH] = 0x55;
	frame_ip4_checksum(f, ETH);
}

static void short_header(struct frame_bytes *f)
{
	f->data[ETH] = 0x44;
}

/* Padding behind a packet that would fit. */
static void short_packet(struct frame_bytes *f)
{
	frame_set16(f, ETH + 2, 1000);
	frame_ip4_checksum(f, ETH);
}

static void long_packet(struct frame_bytes *f)
{
	frame_set16(f, ETH + 2, (uint16_t)(f->len - ETH + 1));
	frame_ip4_checksum(f, ETH);
}

static void not_ip(struct frame_bytes *f)
{
	frame_set16(f, 12, 0x88b5);
}

static void unknown_sender(struct frame_bytes *f)
{
	memcpy(f->data + 6, MAC(1, 77), 6);
}

static void icmp_error6(struct frame_bytes *f)
{
	f->data[ETH + 6] = 58;
	f->data[ETH + 40] = 2;
}

static void icmp_redirect6(struct frame_bytes *f)
{
	f->data[ETH + 6] = 58;
	f->data[ETH + 40] = 137;
}

static void fragment6(struct frame_bytes *f)
{
	f->data[ETH + 6] = 44;
	f->data[ETH + 40] = 17;
	frame_set16(f, ETH + 42, 8 << 3);
}

/* An error behind a destination options header. */
static void hidden_error6(struct frame_bytes *f)
{
	f->data[ETH + 6] = 60;
	f->data[ETH + 40] = 58;
	f->data[ETH + 41] = 1;
	f->data[ETH + 56] = 1;
}

static void endless_extensions6(struct frame_bytes *f)
{
	f->data[ETH + 6] = 60;
	for (unsigned int i = 0; i < 20; i++) {
		f->data[ETH + 40 + 8 * i] = 60;
		f->data[ETH + 41 + 8 * i] = 0;
	}
}

static void from_group6(struct frame_bytes *f)
{
	f->data[ETH + 8] = 0xff;
}

static void from_nobody6(struct frame_bytes *f)
{
	memset(f->data + ETH + 8, 0, 16);
}

static void to_group6(struct frame_bytes *f)
{
	f->data[ETH + 24] = 0xff;
}

static void too_long6(struct frame_bytes *f)
{
	frame_set16(f, ETH + 4, (uint16_t)(f->len - ETH - 39));
}

static const struct row {
	const char *name;
	bool v6;
	void (*change)(struct frame_bytes *f);
} never[] = {
	{"a later fragment", false, later_fragment},
	{"from 0.x", false, from_zero},
	{"from loopback", false, from_loopback},
	{"from a group", false, from_group},
	{"from broadcast", false, from_broadcast},
	{"to a group", false, to_group},
	{"ICMP error", false, icmp_error4},
	{"ICMP redirect", false, icmp_redirect4},
	{"header checksum", false, bad_checksum},
	{"version 5", false, bad_version},
	{"header of 16 octets", false, short_header},
	{"IP that would fit", false, short_packet},
	{"IP beyond the frame", false, long_packet},
	{"no IP", false, not_ip},
	{"unknown sender", false, unknown_sender},
	{"ICMPv6 error", true, icmp_error6},
	{"ICMPv6 redirect", true, icmp_redirect6},
	{"a later fragment of IPv6", true, fragment6},
	{"ICMPv6 error behind options", true, hidden_error6},
	{"too many extension headers", true, endless_extensions6},
	{"from an IPv6 group", true, from_group6},
	{"from ::", true, from_nobody6},
	{"to an IPv6 group", true, to_group6},
	{"IPv6 beyond the frame", true, too_long6},
};

static void test_never(void **state)
{
	struct rig *rig = *state;
	struct frame_bytes f;

	for (unsigned int i = 0; i < sizeof(never) / sizeof(never[0]); i++) {
		if (never[i].v6)
			big6(&f, R, A, 17, 1560);
		else
			big4(&f, R, A, 1560);
		never[i].change(&f);
		rig_send(rig, P1, &f);
		rig_run(rig);
		if (rig_drops(rig, DROP_ENCAP_TOO_BIG) != i + 1 || rig_drops_all(rig) != i + 1)
			fail_msg("%s: not counted as encap_too_big alone", never[i].name);
		assert_silent(rig);
	}
}

/* Broadcast goes to both VTEPs and is answered for neither. */
static void test_never_flooded(void **state)
{
	struct rig *rig = *state;
	struct frame_bytes f, got;

	big4(&f, MAC_BROADCAST, A, 1560);
	port_set_mtu(&rig->dp->tables->ports, P2, LINK_MTU);
	rig_send(rig, P1, &f);
	rig_run(rig);
	assert_true(rig_recv(rig, P2, &got));
	assert_silent(rig);
	assert_int_equal(rig_drops(rig, DROP_ENCAP_TOO_BIG), 2);
	assert_int_equal(rig_drops_all(rig), 2);
}

/* Nobody fragments on this way: DF or not, whole or a first fragment, the sender is told. */
static void test_without_df(void **state)
{
	static const uint16_t flags[] = {0, 0x2000, 0x6000};
	struct rig *rig = *state;
	struct frame_bytes f, got;

	for (unsigned int i = 0; i < 3; i++) {
		big4(&f, R, A, 1560);
		frame_set16(&f, ETH + 6, flags[i]);
		frame_ip4_checksum(&f, ETH);
		rig_send(rig, P1, &f);
		rig_run(rig);
		assert_true(rig_recv(rig, P1, &got));
		expect_answer4(&got, &f, LINK_MTU - OUTER);
		assert_silent(rig);
	}
}

/* Queries are packets like others. */
static void test_query(void **state)
{
	struct rig *rig = *state;
	struct frame_bytes f, got;

	big4(&f, R, A, 1560);
	f.data[ETH + 9] = 1;
	f.data[ETH + 20] = 8;
	frame_ip4_checksum(&f, ETH);
	rig_send(rig, P1, &f);
	rig_run(rig);
	assert_true(rig_recv(rig, P1, &got));
	expect_answer4(&got, &f, LINK_MTU - OUTER);
	big6(&f, R, A, 58, 1560);
	f.data[ETH + 40] = 128;
	rig_send(rig, P1, &f);
	rig_run(rig);
	assert_true(rig_recv(rig, P1, &got));
	expect_answer6(&got, &f, LINK_MTU - OUTER);
	assert_silent(rig);
}

/* A flood of them gets a bounded number of answers, and another segment still has its own. */
static void test_rate(void **state)
{
	struct rig *rig = *state;
	struct frame_bytes f, got;
	unsigned int answers = 0;

	big4(&f, R, A, 1560);
	for (unsigned int i = 0; i < 1000; i++) {
		rig_send(rig, P1, &f);
		if (i % 32 == 31)
			rig_run(rig);
	}
	rig_run(rig);
	while (rig_recv(rig, P1, &got))
		answers++;
	assert_in_range(answers, 50, 500); /* 50 at once; a slow machine sees some seconds' more */
	assert_int_equal(rig_drops(rig, DROP_TOO_BIG_ANSWERED), answers);
	assert_int_equal(rig_drops(rig, DROP_TOO_BIG_RATE), 1000 - answers);

	kernel_mac_local(rig, SITE_VNI2, A, P3);
	kernel_mac_remote(rig, SITE_VNI2, R, SITE_VTEP2);
	rig_send(rig, P3, &f);
	rig_run(rig);
	assert_true(rig_recv(rig, P3, &got));
	expect_answer4(&got, &f, LINK_MTU - OUTER);
	assert_silent(rig);
}

/* Two tags, in front of either kind: the answer carries them, and they take of the room. */
static void test_tags(void **state)
{
	uint8_t to[ICMP_ANSWER_MAX];
	struct frame_bytes f, tagged;
	struct icmp_answer a;

	for (unsigned int v6 = 0; v6 < 2; v6++) {
		if (v6 != 0)
			big6(&f, R, A, 17, 1500);
		else
			big4(&f, R, A, 1500);
		frame_reset(&tagged);
		frame_put(&tagged, f.data, 12);
		frame_put32(&tagged, 0x88a80064);
		frame_put32(&tagged, 0x81000032);
		frame_put(&tagged, f.data + 12, f.len - 12);
		assert_true(icmp_too_big_due(
			tagged.data, ICMP_HEAD_MAX, (uint32_t)tagged.len, 1522 - 50, &a));
		assert_int_equal(a.mtu, 1450);
		assert_int_equal(icmp_too_big_len(&a), 22 + (v6 != 0 ? 1280 : 576));
		icmp_too_big_write(&a, tagged.data, to);
		assert_memory_equal(to, A, 6);
		assert_memory_equal(to + 6, R, 6);
		assert_memory_equal(to + 12, tagged.data + 12, 10);
		assert_memory_equal(
			to + 22 + (v6 != 0 ? 48 : 28), f.data + ETH, v6 != 0 ? 1232 : 548);
		frame_set16(&tagged, 20, 0x8100); /* a third tag */
		assert_false(icmp_too_big_due(
			tagged.data, ICMP_HEAD_MAX, (uint32_t)tagged.len, 1472, &a));
	}
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_ip4),
		T(test_ip6),
		T(test_chain),
		T(test_link_mtu),
		T(test_access_port),
		T(test_never),
		T(test_never_flooded),
		T(test_without_df),
		T(test_query),
		T(test_rate),
		T(test_tags),
	};

	return cmocka_run_group_tests_name("too_big", tests, rig_group_setup, rig_group_teardown);
}
