/*
 * Whatever comes in: nothing crashes, no mbuf is lost, tenants stay apart, and no VXLAN reaches the
 * kernel.
 *
 * Good frames of all kinds are damaged at random (a fixed seed, said on failure), cut, split into
 * segments, sent in bursts of mixed ports, while the kernel's state changes under them. Frames
 * carry a mark of their segment; a mark must never be seen in another segment.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <linux/rtnetlink.h>

#include <cmocka.h>

#include "tests/packet/kernel.h"
#include "tests/packet/rig.h"

#define FRAMES    30000
#define BURST_MAX 80
#define MARK_1    "segment-10010."
#define MARK_2    "segment-10020."
#define MACS      24

struct dice {
	uint64_t state;
};

static uint32_t roll(struct dice *d, uint32_t n)
{
	d->state ^= d->state << 13;
	d->state ^= d->state >> 7;
	d->state ^= d->state << 17;
	return (uint32_t)(d->state >> 32) % n;
}

static const uint8_t *some_mac(struct dice *d, uint8_t mac[6])
{
	switch (roll(d, 12)) {
	case 0:
		memcpy(mac, MAC_BROADCAST, 6);
		break;
	case 1:
		memcpy(mac, rig_mac(roll(d, RIG_PORTS)), 6);
		break;
	default:
		memcpy(mac, MAC(1, roll(d, MACS)), 6);
		break;
	}
	return mac;
}

/* A tenant's frame, with the mark of its segment. */
static void inner_make(struct dice *d, struct frame_bytes *f, uint32_t vni)
{
	static const size_t sizes[] = {0, 10, 60, 210, 300, 1000, 1450, 1600};
	const char *mark = vni == SITE_VNI ? MARK_1 : MARK_2;
	uint8_t dst[6], src[6];
	size_t ip, udp;

	frame_reset(f);
	frame_ether(f, some_mac(d, dst), some_mac(d, src), 0x0800);
	ip = frame_ip4(f, IP4(192, 168, 0, 1), IP4(192, 168, 0, 2), 17);
	udp = frame_udp(f, (uint16_t)roll(d, 65536), 53);
	frame_put(f, mark, strlen(mark));
	frame_put_pattern(f, sizes[roll(d, 8)], (uint8_t)roll(d, 256));
	frame_udp_finish(f, udp);
	frame_ip4_finish(f, ip);
}

static void uplink_make(struct dice *d, struct frame_bytes *f, unsigned int port)
{
	static const uint32_t vteps[] = {
		SITE_VTEP2, SITE_VTEP3, SITE_VTEP4, IP4(10, 254, 9, 9), SITE_LOCAL};
	static const uint32_t to[] = {SITE_LOCAL, SITE_LOCAL, SITE_LOCAL, SITE_LOCAL, SITE_VTEP2,
		SITE_VTEP3, SITE_VTEP4, SITE_HOP0 - 1, IP4(12, 1, 1, 1), IP4(13, 1, 1, 1),
		IP4(255, 255, 255, 255)};
	const uint8_t *hop = port == UP0 ? HOP0 : HOP1;
	struct frame_bytes inner;

	if (roll(d, 4) != 0) {
		const uint32_t vni = roll(d, 2) ? SITE_VNI : SITE_VNI2;

		inner_make(d, &inner, vni);
		frame_encap(f, rig_mac(port), hop, vteps[roll(d, 5)], to[roll(d, 11)],
			(uint16_t)roll(d, 65536), vni, &inner);
	} else if (roll(d, 3) == 0) {
		frame_reset(f);
		frame_ether(f, MAC_BROADCAST, hop, 0x0806);
		frame_arp(f, 1, hop, SITE_HOP0, MAC(0, 0), SITE_HOP0 - 1);
	} else {
		frame_udp4(f, rig_mac(port), hop, IP4(10, 254, 2, 9), to[roll(d, 11)],
			(uint16_t)roll(d, 65536), roll(d, 2) ? 3784 : (uint16_t)roll(d, 65536),
			roll(d, 1500));
	}
	if (roll(d, 8) == 0) {
		f->data[22] = (uint8_t)roll(d, 3);
		frame_ip4_checksum(f, 14);
	}
}

/* Damage outside of the octets that say which segment it is: the VNI, and the mark behind headers.
 */
static void damage(struct dice *d, struct frame_bytes *f, bool uplink)
{
	const unsigned int times = roll(d, 4);

	for (unsigned int i = 0; i < times && f->len > 0; i++) {
		const size_t at = roll(d, (uint32_t)RTE_MIN(f->len, (size_t)(uplink ? 64 : 42)));

		if (uplink && at >= 46 && at <= 48)
			continue;
		f->data[at] = (uint8_t)roll(d, 256);
	}
	if (uplink && roll(d, 2) == 0 && f->len >= 34)
		frame_ip4_checksum(f, 14);
	if (roll(d, 6) == 0 && f->len > 1)
		f->len = 1 + roll(d, (uint32_t)f->len);
}

static bool has(const struct frame_bytes *f, const char *mark)
{
	return memmem(f->data, f->len, mark, strlen(mark)) != NULL;
}

static bool is_vxlan(const struct frame_bytes *f)
{
	return f->len >= 50 && frame_get16(f, 12) == 0x0800 && f->data[23] == 17 &&
	       f->data[14] == 0x45 && (frame_get16(f, 20) & 0x1fff) == 0 &&
	       frame_get16(f, 36) == 4789;
}

static void outputs_check(struct rig *rig)
{
	static struct frame_bytes f;

	for (unsigned int port = 0; port < RIG_PORTS; port++) {
		while (rig_tap_recv(rig, port, &f)) {
			assert_true(port == UP0 || port == UP1);
			assert_false(is_vxlan(&f));
		}
		while (rig_recv(rig, port, &f)) {
			if (port == P1 || port == P2)
				assert_false(has(&f, MARK_2));
			if (port == P3)
				assert_false(has(&f, MARK_1));
			/* of our own making, not in transit */
			if ((port == UP0 || port == UP1) && is_vxlan(&f) &&
				frame_get32(&f, 26) == SITE_LOCAL && f.data[22] == 64) {
				const uint32_t vni = frame_get32(&f, 46) >> 8;

				assert_true(vni == SITE_VNI || vni == SITE_VNI2);
				assert_false(has(&f, vni == SITE_VNI ? MARK_2 : MARK_1));
				assert_int_equal(frame_checksum(f.data + 14, 20), 0);
				assert_int_equal(frame_get16(&f, 16), f.len - 14);
			}
		}
	}
}

/* The kernel says something new. */
static void state_change(struct dice *d, struct rig *rig)
{
	const struct kernel_hop hops[] = {
		{.port = UP0, .via = SITE_HOP0}, {.port = UP1, .via = SITE_HOP1}};
	static const uint32_t vteps[] = {SITE_VTEP2, SITE_VTEP3, SITE_VTEP4};
	const uint32_t vni = roll(d, 2) ? SITE_VNI : SITE_VNI2;
	const uint32_t vtep = vteps[roll(d, 3)];
	const uint8_t *mac = MAC(1, roll(d, MACS));

	switch (roll(d, 12)) {
	case 0:
		kernel_route(rig, vtep, 32, hops + roll(d, 2), 1);
		break;
	case 1:
		kernel_route(rig, vtep, 32, hops, 2);
		break;
	case 2:
		kernel_route_del(rig, vtep, 32);
		break;
	case 3:
		kernel_neigh(rig, UP0, SITE_HOP0, roll(d, 3) ? HOP0 : NULL);
		break;
	case 4:
		kernel_flood(rig, vni, vtep);
		break;
	case 5:
		kernel_flood_del(rig, vni, vtep);
		break;
	case 6:
		kernel_mac_remote(rig, vni, mac, vtep);
		break;
	case 7:
		kernel_mac_remote_del(rig, vni, mac, vtep);
		break;
	case 8:
		kernel_mac_local(rig, vni, mac, vni == SITE_VNI ? P1 + roll(d, 2) : P3);
		break;
	case 9:
		kernel_segment_del(rig, vni);
		rig_run(rig);
		kernel_segment(rig, vni, SITE_LOCAL);
		kernel_flood(rig, vni, vtep);
		if (vni == SITE_VNI2) {
			kernel_attach(rig, P3, vni);
		} else {
			kernel_attach(rig, P1, vni);
			kernel_attach(rig, P2, vni);
		}
		break;
	case 10:
		kernel_echo(rig);
		break;
	default:
		tables_port_link(rig->dp->tables, UP1, roll(d, 4) != 0);
		break;
	}
}

static void test_anything(void **state)
{
	const char *text = getenv("PACKET_SEED");
	const uint64_t seed = text != NULL ? strtoull(text, NULL, 0) : 0x5eed0a0d0e5ULL;
	struct dice dice = {.state = seed | 1};
	struct rig *rig = rig_open(NULL);
	struct frame_bytes *f = calloc(1, sizeof(*f));
	unsigned int sent = 0;

	print_message("seed 0x%llx (PACKET_SEED sets another)\n", (unsigned long long)seed);
	assert_non_null(f);
	kernel_site(rig);
	kernel_route_type(rig, IP4(12, 0, 0, 0), 8, RTN_BLACKHOLE);
	kernel_route_type(rig, IP4(13, 0, 0, 0), 8, RTN_UNREACHABLE);
	while (sent < FRAMES) {
		const unsigned int burst = 1 + roll(&dice, BURST_MAX);

		for (unsigned int i = 0; i < burst; i++) {
			const unsigned int port = roll(&dice, RIG_PORTS);
			const bool uplink = port == UP0 || port == UP1;

			if (uplink)
				uplink_make(&dice, f, port);
			else
				inner_make(&dice, f, port == P3 ? SITE_VNI2 : SITE_VNI);
			if (roll(&dice, 3) == 0)
				damage(&dice, f, uplink);
			if (roll(&dice, 40) == 0)
				rig_tap_send(rig, port, f);
			else if (roll(&dice, 10) == 0)
				rig_send_chain(rig, port, f, 60 + roll(&dice, 1000));
			else
				rig_send(rig, port, f);
		}
		sent += burst;
		rig_run(rig);
		outputs_check(rig);
		if (roll(&dice, 3) == 0)
			state_change(&dice, rig);
	}
	rig_run(rig);
	outputs_check(rig);
	free(f);
	rig_close(rig); /* asserts that all mbufs are back */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_anything),
	};

	return cmocka_run_group_tests_name("random", tests, rig_group_setup, rig_group_teardown);
}
