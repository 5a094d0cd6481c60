/*
 * Transit: packets of the backbone that are neither for us nor from us.
 *
 *	HOP0 --- up0 [ site ] up1 --- HOP1      10.254.3.1 by up1, 10.254.4.1 by both
 *
 * What must hold: TTL less one, the checksum still right, the next hop's MAC, nothing else changed;
 * flows spread and stay; what needs an ICMP error goes to the kernel.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "tests/packet/kernel.h"
#include "tests/packet/rig.h"

#define FAR IP4(10, 254, 2, 7) /* comes from behind HOP0 */

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

static void packet(struct frame_bytes *f, uint32_t dst, uint16_t sport, size_t payload)
{
	frame_udp4(f, rig_mac(UP0), HOP0, FAR, dst, sport, 53, payload);
}

/* `f` as it must leave by `port`. */
static void forwarded(struct frame_bytes *f, unsigned int port, const uint8_t hop[6])
{
	memcpy(f->data, hop, 6);
	memcpy(f->data + 6, rig_mac(port), 6);
	f->data[22]--;
	frame_ip4_checksum(f, 14);
}

static void test_exact(void **state)
{
	struct rig *rig = *state;
	struct frame_bytes f, got;

	packet(&f, SITE_VTEP3, 1000, 100);
	rig_send(rig, UP0, &f);
	rig_run(rig);
	assert_true(rig_recv(rig, UP1, &got));
	forwarded(&f, UP1, HOP1);
	assert_frame(&got, &f);
	assert_silent(rig);
	assert_int_equal(rig_drops_all(rig), 0);
}

/* The updated checksum equals a computed one for every TTL and many headers. */
static void test_checksum(void **state)
{
	struct rig *rig = *state;
	struct frame_bytes f, got;

	for (unsigned int ttl = 2; ttl < 256; ttl++)
		for (unsigned int id = 0; id < 16; id++) {
			packet(&f, SITE_VTEP3, (uint16_t)(ttl * 16 + id), 10);
			f.data[22] = (uint8_t)ttl;
			frame_set16(&f, 18, (uint16_t)(id * 4369 + ttl * 257));
			frame_ip4_checksum(&f, 14);
			rig_send(rig, UP0, &f);
			rig_run(rig);
			assert_true(rig_recv(rig, UP1, &got));
			forwarded(&f, UP1, HOP1);
			assert_frame(&got, &f);
		}
}

/* Header options are carried; padding is not. */
static void test_options_and_padding(void **state)
{
	static const uint8_t options[8] = {1, 1, 1, 1, 1, 1, 1, 0};
	struct rig *rig = *state;
	struct frame_bytes f, got;
	size_t ip;

	frame_reset(&f);
	frame_ether(&f, rig_mac(UP0), HOP0, 0x0800);
	ip = frame_ip4(&f, FAR, SITE_VTEP3, 17);
	f.data[ip] = 0x47;
	frame_put(&f, options, sizeof(options));
	frame_udp(&f, 1, 2);
	frame_ip4_finish(&f, ip);
	frame_put_pattern(&f, 9, 0xee);
	rig_send(rig, UP0, &f);
	f.len -= 9;
	rig_run(rig);
	assert_true(rig_recv(rig, UP1, &got));
	forwarded(&f, UP1, HOP1);
	assert_frame(&got, &f);
}

/* Back out of the port it came from, when the route says so. */
static void test_same_port(void **state)
{
	struct rig *rig = *state;
	struct frame_bytes f, got;

	packet(&f, SITE_VTEP2, 1000, 10);
	rig_send(rig, UP0, &f);
	rig_run(rig);
	assert_true(rig_recv(rig, UP0, &got));
	forwarded(&f, UP0, HOP0);
	assert_frame(&got, &f);
}

/* VXLAN of others in transit: carried as any packet, its VNI is no matter. */
static void test_vxlan_of_others(void **state)
{
	struct rig *rig = *state;
	struct frame_bytes inner, f, got;

	frame_udp4(&inner, MAC(1, 1), MAC(2, 2), 1, 2, 3, 4, 20);
	frame_encap(&f, rig_mac(UP0), HOP0, FAR, SITE_VTEP3, 50000, 999, &inner);
	rig_send(rig, UP0, &f);
	rig_run(rig);
	assert_true(rig_recv(rig, UP1, &got));
	forwarded(&f, UP1, HOP1);
	assert_frame(&got, &f);
}

static void test_ecmp(void **state)
{
	struct rig *rig = *state;
	unsigned int by[2] = {0};
	struct frame_bytes f, got;

	for (unsigned int flow = 0; flow < 512; flow++) {
		unsigned int where = 2;

		for (unsigned int twice = 0; twice < 2; twice++) {
			packet(&f, SITE_VTEP4, (uint16_t)(2000 + flow), 10);
			rig_send(rig, UP0, &f);
			rig_run(rig);
			for (unsigned int up = 0; up < 2; up++)
				if (rig_recv(rig, up, &got)) {
					assert_true(where == 2 || where == up);
					where = up;
				}
		}
		assert_true(where < 2);
		by[where]++;
	}
	assert_true(by[0] > 170 && by[1] > 170);
}

/* VXLAN between two VTEPs differs in its UDP source port alone: that must be enough. */
static void test_ecmp_by_source_port(void **state)
{
	struct rig *rig = *state;
	unsigned int by[2] = {0};
	struct frame_bytes inner, f, got;

	frame_udp4(&inner, MAC(1, 1), MAC(2, 2), 1, 2, 3, 4, 20);
	for (unsigned int i = 0; i < 512; i++) {
		frame_encap(&f, rig_mac(UP0), HOP0, FAR, SITE_VTEP4, (uint16_t)(49152 + 31 * i),
			999, &inner);
		rig_send(rig, UP0, &f);
		rig_run(rig);
		for (unsigned int up = 0; up < 2; up++)
			by[up] += rig_recv(rig, up, &got);
	}
	assert_int_equal(by[0] + by[1], 512);
	assert_true(by[0] > 128 && by[1] > 128);
}

/* A weight of three to one. */
static void test_weights(void **state)
{
	const struct kernel_hop hops[] = {
		{.port = UP0, .via = SITE_HOP0, .weight = 3},
		{.port = UP1, .via = SITE_HOP1, .weight = 1},
	};
	struct rig *rig = *state;
	unsigned int by[2] = {0};
	struct frame_bytes f, got;

	kernel_route(rig, IP4(10, 9, 0, 0), 16, hops, 2);
	for (unsigned int flow = 0; flow < 1024; flow++) {
		packet(&f, IP4(10, 9, 1, 1), (uint16_t)(2000 + flow), 10);
		rig_send(rig, UP0, &f);
		rig_run(rig);
		for (unsigned int up = 0; up < 2; up++)
			by[up] += rig_recv(rig, up, &got);
	}
	assert_true(by[0] > 2 * by[1] && by[0] < 4 * by[1]);
}

/* TTL 1 is the kernel's to answer, unchanged; so is what is larger than the next link takes. */
static void test_icmp_by_the_kernel(void **state)
{
	struct rig *rig = *state;
	struct frame_bytes f, got;

	for (unsigned int ttl = 0; ttl < 2; ttl++) {
		packet(&f, SITE_VTEP3, 33434, 10);
		f.data[22] = (uint8_t)ttl;
		frame_ip4_checksum(&f, 14);
		rig_send(rig, UP0, &f);
		rig_run(rig);
		assert_true(rig_tap_recv(rig, UP0, &got));
		assert_frame(&got, &f);
		assert_silent(rig);
	}
	packet(&f, SITE_VTEP3, 33434, 1601 - 28);
	rig_send(rig, UP0, &f);
	rig_run(rig);
	assert_true(rig_tap_recv(rig, UP0, &got));
	assert_frame(&got, &f);
	packet(&f, SITE_VTEP3, 33434, 1600 - 28);
	rig_send(rig, UP0, &f);
	rig_run(rig);
	assert_true(rig_recv(rig, UP1, &got));
	assert_silent(rig);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_exact),
		T(test_checksum),
		T(test_options_and_padding),
		T(test_same_port),
		T(test_vxlan_of_others),
		T(test_ecmp),
		T(test_ecmp_by_source_port),
		T(test_weights),
		T(test_icmp_by_the_kernel),
	};

	return cmocka_run_group_tests_name("transit", tests, rig_group_setup, rig_group_teardown);
}
