/*
 * The outer UDP source port: how flows spread over 49152 to 65535, and what must not spread.
 *
 * Flows differ in one field only, the worst case for a hash; each of them must use nearly all
 * 16,384 ports evenly. Fragments of one packet, the first too, must share one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "dataplane/nodes/flow.h"
#include "tests/packet/kernel.h"
#include "tests/packet/rig.h"

#define A     MAC(1, 1) /* behind p1 */
#define R     MAC(2, 1) /* behind VTEP 2 */
#define ETH   14
#define FLOWS 65536
#define FIRST 49152
#define PORTS 16384

/* A UDP packet of either kind with `tags` VLAN tags; where its IP header begins. */
static size_t flow_frame(struct frame_bytes *f, bool v6, unsigned int tags)
{
	size_t ip;

	frame_reset(f);
	frame_ether(f, R, A, tags > 0 ? (tags > 1 ? 0x88a8 : 0x8100) : v6 ? 0x86dd : 0x0800);
	for (unsigned int i = 0; i < tags; i++) {
		frame_put16(f, 100);
		frame_put16(f, i + 1 < tags ? 0x8100 : v6 ? 0x86dd : 0x0800);
	}
	ip = f->len;
	if (v6) {
		frame_put32(f, 0x60000000);
		frame_put32(f, 28 << 16 | 17 << 8 | 64);
		frame_put_pattern(f, 32, 0x20);
	} else {
		frame_ip4(f, IP4(10, 1, 2, 3), IP4(10, 4, 5, 6), 17);
	}
	frame_udp(f, 1000, 2000);
	frame_put_pattern(f, 20, 0);
	if (!v6)
		frame_ip4_finish(f, ip);
	return ip;
}

/* Vary the 16 bits at `at`, count ports. */
static void spread_check(const char *name, struct frame_bytes *f, size_t at)
{
	static unsigned int seen[65536];
	unsigned int used = 0, most = 0;

	memset(seen, 0, sizeof(seen));
	for (unsigned int i = 0; i < FLOWS; i++) {
		frame_set16(f, at, (uint16_t)i);
		seen[flow_source_port(flow_hash_ether(f->data, (uint32_t)f->len))]++;
	}
	for (unsigned int port = 0; port < 65536; port++) {
		used += seen[port] > 0;
		most = seen[port] > most ? seen[port] : most;
		if (port < FIRST)
			assert_int_equal(seen[port], 0);
	}
	/* 4 flows a port on average; chance alone leaves 300 ports out, 15 on the fullest */
	if (used < PORTS * 97 / 100 || most > 20)
		fail_msg("%s: %u of %u ports used, %u flows on one", name, used, PORTS, most);
}

static void test_spread(void **state)
{
	struct frame_bytes f;
	char name[80];

	for (unsigned int v6 = 0; v6 < 2; v6++) {
		for (unsigned int tags = 0; tags < 3; tags++) {
			const size_t ip = flow_frame(&f, v6 != 0, tags);
			const size_t l4 = ip + (v6 != 0 ? 40 : 20);
			const struct {
				const char *what;
				size_t at;
			} fields[] = {
				{"source port", l4},
				{"destination port", l4 + 2},
				{"source address", ip + (v6 != 0 ? 22 : 14)},
				{"destination address", ip + (v6 != 0 ? 38 : 18)},
			};

			for (unsigned int i = 0; i < 4; i++) {
				flow_frame(&f, v6 != 0, tags);
				snprintf(name, sizeof(name), "IPv%u, %u tags, %s", v6 != 0 ? 6 : 4,
					tags, fields[i].what);
				spread_check(name, &f, fields[i].at);
			}
		}
	}
	/* neither: the MACs */
	flow_frame(&f, false, 0);
	frame_set16(&f, 12, 0x88b5);
	spread_check("MAC", &f, 10);
}

/* IPv6 ports behind extension headers count too. */
static void test_extensions(void **state)
{
	static const uint8_t kinds[] = {0, 43, 60};
	struct frame_bytes f, g;

	for (unsigned int i = 0; i < sizeof(kinds); i++) {
		flow_frame(&g, true, 0);
		frame_reset(&f);
		frame_put(&f, g.data, ETH + 40);
		f.data[ETH + 6] = kinds[i];
		frame_put16(&f, 17 << 8 | 1); /* 16 octets of it */
		frame_put_pattern(&f, 14, 0);
		frame_put(&f, g.data + ETH + 40, g.len - ETH - 40);
		spread_check("behind an extension header", &f, ETH + 40 + 16);
	}
	/* a header whose length leads out of the frame is no trouble */
	f.data[ETH + 41] = 255;
	(void)flow_hash_ether(f.data, (uint32_t)f.len);
	for (uint32_t len = ETH; len < f.len; len++)
		(void)flow_hash_ether(f.data, len);
}

static void test_fragments(void **state)
{
	struct frame_bytes f, g;
	uint32_t hash = 0;

	for (unsigned int i = 0; i < 4; i++) {
		flow_frame(&g, true, 0);
		frame_reset(&f);
		frame_put(&f, g.data, ETH + 40);
		f.data[ETH + 6] = 44;
		frame_put16(&f, 17 << 8);
		frame_put16(&f, (uint16_t)(i * 64 | (i < 3)));
		frame_put32(&f, 0x12345678);
		frame_put_pattern(&f, 64, (uint8_t)(i * 77));
		if (i > 0)
			assert_int_equal(flow_hash_ether(f.data, (uint32_t)f.len), hash);
		hash = flow_hash_ether(f.data, (uint32_t)f.len);
	}
	for (unsigned int i = 0; i < 4; i++) {
		flow_frame(&f, false, 0);
		frame_set16(&f, ETH + 6, (uint16_t)(i * 8 | (i < 3 ? 0x2000 : 0)));
		frame_set16(&f, ETH + 20, (uint16_t)(i * 777));
		if (i > 0)
			assert_int_equal(flow_hash_ether(f.data, (uint32_t)f.len), hash);
		hash = flow_hash_ether(f.data, (uint32_t)f.len);
	}
}

/* Through the graph: the port is there, the checksum is zero, a flow keeps its port. */
static void test_outer(void **state)
{
	struct rig *rig = rig_open(NULL);
	static bool seen[65536];
	unsigned int used = 0;
	struct frame_bytes f, got;

	kernel_site(rig);
	kernel_mac_local(rig, SITE_VNI, A, P1);
	kernel_mac_remote(rig, SITE_VNI, R, SITE_VTEP2);
	for (unsigned int i = 0; i < 1000; i++) {
		flow_frame(&f, i % 2 != 0, 0);
		frame_set16(&f, ETH + (i % 2 != 0 ? 40 : 20), (uint16_t)(1024 + i));
		rig_send(rig, P1, &f);
		rig_send(rig, P1, &f);
		rig_run(rig);
		for (unsigned int twice = 0; twice < 2; twice++) {
			assert_true(rig_recv(rig, UP0, &got));
			assert_int_equal(frame_get16(&got, 34),
				flow_source_port(flow_hash_ether(f.data, (uint32_t)f.len)));
			assert_int_equal(frame_get16(&got, 36), 4789);
			assert_int_equal(frame_get16(&got, 40), 0);
		}
		used += !seen[frame_get16(&got, 34)];
		seen[frame_get16(&got, 34)] = true;
	}
	assert_true(used > 900);
	assert_silent(rig);
	rig_close(rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_spread),
		cmocka_unit_test(test_extensions),
		cmocka_unit_test(test_fragments),
		cmocka_unit_test(test_outer),
	};

	return cmocka_run_group_tests_name("entropy", tests, rig_group_setup, rig_group_teardown);
}
