/*
 * The control plane under flood: sessions that the kernel holds keep their way to it, whatever
 *comes beside them by the same uplink at whatever rate.
 *
 *	peer HOP0 10.0.0.1 --- up0 [ graph ] TAP --- kernel 10.0.0.0
 *
 * With the product's own rates. A session is what the kernel's own packets show; a flood is FLOOD
 * packets at once, more than any class lets pass.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "tests/packet/kernel.h"
#include "tests/packet/rig.h"

#define US        (SITE_HOP0 - 1)
#define STRANGER  IP4(203, 0, 113, 7)
#define FLOOD     1500
#define OWN       50 /* packets of the session among them */
#define PORT      40000
#define OUR_DISC  0x11223344
#define PEER_DISC 77
#define BFD_DOWN  1
#define BFD_UP    3
#define ACK       0x10
#define SYN       0x02
#define RST       0x04

static int setup(void **state)
{
	static const struct rig_options options = {.punt = &policer_default};
	struct rig *rig = rig_open(&options);

	kernel_site(rig);
	*state = rig;
	return 0;
}

static int teardown(void **state)
{
	rig_close(*state);
	return 0;
}

static void bgp(struct frame_bytes *f, bool sent, uint32_t peer, uint16_t port, uint8_t flags)
{
	size_t ip, tcp;

	frame_reset(f);
	if (sent)
		frame_ether(f, HOP0, rig_mac(UP0), 0x0800);
	else
		frame_ether(f, rig_mac(UP0), HOP0, 0x0800);
	ip = frame_ip4(f, sent ? US : peer, sent ? peer : US, 6);
	tcp = frame_tcp(f, sent ? 179 : port, sent ? port : 179);
	f->data[tcp + 13] = flags;
	frame_ip4_finish(f, ip);
}

static void bfd(struct frame_bytes *f, bool sent, uint32_t peer, uint8_t ttl, unsigned int state,
	uint32_t mine, uint32_t yours, uint32_t interval_us)
{
	size_t ip, udp;

	frame_reset(f);
	if (sent)
		frame_ether(f, HOP0, rig_mac(UP0), 0x0800);
	else
		frame_ether(f, rig_mac(UP0), HOP0, 0x0800);
	ip = frame_ip4(f, sent ? US : peer, sent ? peer : US, 17);
	f->data[ip + 8] = ttl;
	udp = frame_udp(f, 49152, 3784);
	frame_put8(f, 0x20);
	frame_put8(f, (uint8_t)(state << 6));
	frame_put8(f, 3);
	frame_put8(f, 24);
	frame_put32(f, mine);
	frame_put32(f, yours);
	frame_put32(f, interval_us);
	frame_put32(f, interval_us);
	frame_put32(f, 0);
	frame_udp_finish(f, udp);
	frame_ip4_finish(f, ip);
}

static void arp(struct frame_bytes *f, const uint8_t mac[6], uint32_t ip)
{
	frame_reset(f);
	frame_ether(f, MAC_BROADCAST, mac, 0x0806);
	frame_arp(f, 1, mac, ip, MAC(0, 0), US);
}

/* The kernel's side: what it sends goes out and shows the session. */
static void kernel_sends(struct rig *rig, const struct frame_bytes *f)
{
	struct frame_bytes got;

	rig_tap_send(rig, UP0, f);
	rig_run(rig);
	assert_true(rig_recv(rig, UP0, &got));
}

/* How many of n equal frames reach the kernel. */
static unsigned int reach(struct rig *rig, const struct frame_bytes *f, unsigned int n)
{
	struct frame_bytes got;
	unsigned int came = 0;

	for (unsigned int i = 0; i < n; i++) {
		rig_send(rig, UP0, f);
		if (i % 100 == 99 || i + 1 == n) {
			rig_run(rig);
			while (rig_tap_recv(rig, UP0, &got))
				came++;
		}
	}
	return came;
}

static uint64_t count(const struct rig *rig, enum punt_class class, bool dropped)
{
	return (&rig->worker->punts[UP0].arp)[class + (dropped ? PUNT_CLASSES : 0)];
}

/* Establish both sessions as the kernel would. */
static void sessions(struct rig *rig, struct frame_bytes *bgp_own, struct frame_bytes *bfd_own)
{
	struct frame_bytes f;

	bgp(&f, true, SITE_HOP0, PORT, ACK);
	kernel_sends(rig, &f);
	bfd(&f, true, SITE_HOP0, 255, BFD_UP, OUR_DISC, PEER_DISC, 100000);
	kernel_sends(rig, &f);
	bgp(bgp_own, false, SITE_HOP0, PORT, ACK);
	bfd(bfd_own, false, SITE_HOP0, 255, BFD_UP, PEER_DISC, OUR_DISC, 100000);
	assert_int_equal(reach(rig, bgp_own, 1), 1);
	assert_int_equal(reach(rig, bfd_own, 1), 1);
}

/* While `f` floods, the sessions' own packets all come, and so does ARP of the peer. */
static void flood(struct rig *rig, const struct frame_bytes *f, unsigned int most)
{
	struct frame_bytes bgp_own, bfd_own, arp_own;

	sessions(rig, &bgp_own, &bfd_own);
	arp(&arp_own, HOP0, SITE_HOP0);
	assert_true(reach(rig, f, FLOOD) <= most);
	assert_int_equal(reach(rig, &bgp_own, OWN), OWN);
	assert_int_equal(reach(rig, &bfd_own, OWN), OWN);
	assert_int_equal(reach(rig, &arp_own, OWN), OWN);
	assert_true(reach(rig, f, FLOOD) < FLOOD);
}

#define ABOUT(n) ((n) + 400) /* what comes back while a slow machine sends the flood */

static void test_arp_flood(void **state)
{
	struct frame_bytes f;

	arp(&f, MAC(0xee, 1), SITE_HOP0 + 7);
	flood(*state, &f, ABOUT(256));
	assert_true(rig_drops(*state, DROP_PUNT_RATE_ARP_NEW) > 0);
	assert_int_equal(rig_drops(*state, DROP_PUNT_RATE_ARP), 0);
}

/* From the peer's address, but not of the session: the attacker does not know the port. */
static void test_bgp_flood(void **state)
{
	struct frame_bytes f;

	bgp(&f, false, SITE_HOP0, PORT + 1, SYN);
	flood(*state, &f, ABOUT(256));
	assert_true(rig_drops(*state, DROP_PUNT_RATE_BGP_NEW) > 0);
	assert_int_equal(rig_drops(*state, DROP_PUNT_RATE_BGP), 0);
	assert_int_equal(count(*state, PUNT_BGP, false), OWN + 1);
	assert_true(count(*state, PUNT_BGP_NEW, true) > FLOOD);
}

static void test_bgp_strangers(void **state)
{
	struct frame_bytes f;

	bgp(&f, false, STRANGER, PORT, ACK);
	flood(*state, &f, ABOUT(512));
	assert_true(rig_drops(*state, DROP_PUNT_RATE_OTHER) > 0);
	assert_int_equal(count(*state, PUNT_BGP_NEW, false), 0);
}

/* An answer to somebody's SYN or a reset makes no session. */
static void test_bgp_no_session(void **state)
{
	struct rig *rig = *state;
	struct frame_bytes f;

	bgp(&f, true, SITE_HOP0, PORT, SYN | ACK);
	kernel_sends(rig, &f);
	bgp(&f, true, SITE_HOP0, PORT, RST | ACK);
	kernel_sends(rig, &f);
	bgp(&f, false, SITE_HOP0, PORT, ACK);
	assert_int_equal(reach(rig, &f, 1), 1);
	assert_int_equal(count(rig, PUNT_BGP, false), 0);
	assert_int_equal(count(rig, PUNT_BGP_NEW, false), 1);
}

/* RFC 5881 section 5: a packet that was routed is not from the link. */
static void test_bfd_ttl(void **state)
{
	struct frame_bytes f;

	bfd(&f, false, SITE_HOP0, 254, BFD_UP, PEER_DISC, OUR_DISC, 100000);
	flood(*state, &f, 0);
	assert_int_equal(rig_drops(*state, DROP_BFD_TTL), 2 * FLOOD);
	assert_int_equal(count(*state, PUNT_BFD_NEW, true), 2 * FLOOD);
}

/* One such packet would take the session down (RFC 5880, 6.8.6): it selects it by address alone. */
static void test_bfd_forged_down(void **state)
{
	struct rig *rig = *state;
	struct frame_bytes f, bgp_own, bfd_own;
	const time_t until = time(NULL) + 5;

	sessions(rig, &bgp_own, &bfd_own);
	bfd(&f, false, SITE_HOP0, 255, BFD_DOWN, 99, 0, 100000);
	assert_int_equal(reach(rig, &f, 100), 0);
	assert_int_equal(rig_drops(rig, DROP_BFD_FORGED), 100);
	/* another peer may begin meanwhile */
	bfd(&f, false, SITE_VTEP2, 255, BFD_DOWN, 99, 0, 100000);
	assert_int_equal(reach(rig, &f, 1), 1);
	/* once the session's own packets cease, a peer that began anew is heard */
	bfd(&f, false, SITE_HOP0, 255, BFD_DOWN, 99, 0, 100000);
	while (reach(rig, &f, 1) == 0)
		assert_true(time(NULL) < until);
}

static void test_bfd_wrong_discriminator(void **state)
{
	struct frame_bytes f;

	bfd(&f, false, SITE_HOP0, 255, BFD_UP, PEER_DISC, OUR_DISC + 1, 100000);
	flood(*state, &f, ABOUT(256));
	assert_true(rig_drops(*state, DROP_PUNT_RATE_BFD_NEW) > 0);
	assert_int_equal(rig_drops(*state, DROP_PUNT_RATE_BFD), 0);
}

static void test_bfd_malformed(void **state)
{
	struct rig *rig = *state;
	struct frame_bytes f;

	bfd(&f, false, SITE_HOP0, 255, BFD_UP, PEER_DISC, 0, 100000); /* Up, but does not know us */
	assert_int_equal(reach(rig, &f, 1), 0);
	bfd(&f, false, SITE_HOP0, 255, BFD_DOWN, 0, 0, 100000); /* no discriminator of its own */
	assert_int_equal(reach(rig, &f, 1), 0);
	bfd(&f, false, SITE_HOP0, 255, BFD_DOWN, 1, 0, 100000);
	f.data[42] = 0x40; /* version 2 */
	assert_int_equal(reach(rig, &f, 1), 0);
	f.data[42] = 0x20;
	f.data[44] = 0; /* multiplier */
	assert_int_equal(reach(rig, &f, 1), 0);
	frame_udp4(&f, rig_mac(UP0), HOP0, SITE_HOP0, US, 49152, 3784, 23);
	f.data[14 + 8] = 255;
	frame_ip4_checksum(&f, 14);
	assert_int_equal(reach(rig, &f, 1), 0);
	assert_int_equal(rig_drops(rig, DROP_BFD_MALFORMED), 5);
}

static void test_bfd_strangers(void **state)
{
	struct frame_bytes f;

	bfd(&f, false, STRANGER, 255, BFD_DOWN, 99, 0, 100000);
	flood(*state, &f, ABOUT(512));
	assert_true(rig_drops(*state, DROP_PUNT_RATE_OTHER) > 0);
}

static void test_icmp_flood(void **state)
{
	struct frame_bytes f;
	size_t ip;

	frame_reset(&f);
	frame_ether(&f, rig_mac(UP0), HOP0, 0x0800);
	ip = frame_ip4(&f, SITE_HOP0, US, 1);
	frame_put_pattern(&f, 20, 8);
	frame_ip4_finish(&f, ip);
	flood(*state, &f, ABOUT(256));
	assert_true(rig_drops(*state, DROP_PUNT_RATE_ICMP) > 0);
}

static void test_other_flood(void **state)
{
	struct frame_bytes f;

	frame_udp4(&f, rig_mac(UP0), HOP0, SITE_HOP0, US, 1, 161, 40);
	flood(*state, &f, ABOUT(512));
	assert_true(rig_drops(*state, DROP_PUNT_RATE_OTHER) > 0);
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_arp_flood),
		T(test_bgp_flood),
		T(test_bgp_strangers),
		T(test_bgp_no_session),
		T(test_bfd_ttl),
		T(test_bfd_forged_down),
		T(test_bfd_wrong_discriminator),
		T(test_bfd_malformed),
		T(test_bfd_strangers),
		T(test_icmp_flood),
		T(test_other_flood),
	};

	return cmocka_run_group_tests_name("control", tests, rig_group_setup, rig_group_teardown);
}
