/*
 * libFuzzer: frames through the whole graph, from every port and every TAP, in one piece or in
 * segments. Whatever they are: no octet outside of them is touched, every mbuf comes back, and no
 * VXLAN gets to the kernel.
 *
 * An input is a sequence of records (records.h); the operation: bits 0-2 the port (from 5 on: let
 * the graph run now), bit 3 by the TAP, bits 4-5 in segments.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <linux/rtnetlink.h>

#include "tests/fuzz/records.h"
#include "tests/packet/kernel.h"
#include "tests/packet/rig.h"

#define QUEUED_MAX 60

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct rig *rig;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const struct rig_options options = {.no_learn = true};

	if (rig_group_setup(NULL) < 0)
		abort();
	rig = rig_open(&options);
	kernel_site(rig);
	kernel_route_type(rig, IP4(12, 0, 0, 0), 8, RTN_BLACKHOLE);
	kernel_route_type(rig, IP4(13, 0, 0, 0), 8, RTN_UNREACHABLE);
	kernel_mac_local(rig, SITE_VNI, MAC(1, 0), P1);
	kernel_mac_local(rig, SITE_VNI, MAC(1, 1), P2);
	kernel_mac_local(rig, SITE_VNI2, MAC(1, 2), P3);
	kernel_mac_remote(rig, SITE_VNI, MAC(1, 3), SITE_VTEP2);
	kernel_mac_remote(rig, SITE_VNI, MAC(1, 4), SITE_VTEP4);
	kernel_mac_remote(rig, SITE_VNI2, MAC(1, 5), SITE_VTEP2);
	return 0;
}

static bool is_vxlan(const struct frame_bytes *f)
{
	return f->len >= 42 && frame_get16(f, 12) == 0x0800 && f->data[14] == 0x45 &&
	       f->data[23] == 17 && (frame_get16(f, 20) & 0x1fff) == 0 &&
	       frame_get16(f, 36) == 4789;
}

static void run(void)
{
	static struct frame_bytes f;

	rig_run(rig);
	for (unsigned int port = 0; port < RIG_PORTS; port++) {
		while (rig_recv(rig, port, &f))
			;
		while (rig_tap_recv(rig, port, &f))
			if (is_vxlan(&f))
				abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct frame_bytes f;
	struct record records[RECORDS_MAX];
	const size_t n = records_split(data, size, records);
	unsigned int queued = 0;

	for (size_t i = 0; i < n; i++) {
		const unsigned int port = records[i].op & 7, cut = records[i].op >> 4 & 3;

		if (port >= RIG_PORTS || queued == QUEUED_MAX) {
			run();
			queued = 0;
		}
		if (port >= RIG_PORTS || records[i].len == 0 || records[i].len > 9000)
			continue;
		frame_reset(&f);
		frame_put(&f, records[i].data, records[i].len);
		if (records[i].op & 8)
			rig_tap_send(rig, port, &f);
		else
			rig_send_chain(rig, port, &f, cut == 0 ? FRAME_SIZE : 64u << cut);
		queued++;
	}
	run();
	if (rig_mbufs(rig) != 0)
		abort();
	return 0;
}
