/*
 * The worker in its own thread while the main thread changes every table: no frame goes to a wrong
 * segment or VTEP, nothing is lost for good, and all of it ends when told to.
 *
 * Frames carry their number; each must arrive at most once, with the VNI of its segment, by an
 * uplink and next hop that belong together.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/packet/kernel.h"
#include "tests/packet/rig.h"

#define FRAMES 40000
#define BURST  32
#define R      MAC(2, 1)

struct seen {
	uint8_t bits[FRAMES / 8 + 1];
	unsigned int n;
};

static void outputs_check(struct rig *rig, struct seen *seen)
{
	struct frame_bytes f;

	for (unsigned int up = UP0; up <= UP1; up++)
		while (rig_recv(rig, up, &f)) {
			const uint32_t number = frame_get32(&f, 50 + 42);

			assert_int_equal(f.len, 50 + 42 + 22);
			assert_memory_equal(f.data, up == UP0 ? HOP0 : HOP1, 6);
			assert_memory_equal(f.data + 6, rig_mac(up), 6);
			assert_int_equal(frame_checksum(f.data + 14, 20), 0);
			assert_int_equal(
				frame_get32(&f, 46) >> 8, number % 2 == 0 ? SITE_VNI : SITE_VNI2);
			assert_true(number < FRAMES);
			assert_int_equal(seen->bits[number / 8] >> (number % 8) & 1, 0);
			seen->bits[number / 8] |= (uint8_t)(1 << (number % 8));
			seen->n++;
		}
	for (unsigned int port = P1; port <= P3; port++)
		while (rig_recv(rig, port, &f)) /* flooded while the MAC was unknown */
			assert_true(frame_get32(&f, 42) % 2 == (port == P3));
}

static void change(struct rig *rig, unsigned int n)
{
	const struct kernel_hop hops[] = {
		{.port = UP0, .via = SITE_HOP0}, {.port = UP1, .via = SITE_HOP1}};
	const uint32_t vni = n % 2 ? SITE_VNI : SITE_VNI2;

	switch (n % 6) {
	case 0:
		kernel_route(rig, SITE_VTEP2, 32, hops + n / 6 % 2, 1);
		break;
	case 1:
		kernel_route(rig, SITE_VTEP2, 32, hops, 2);
		break;
	case 2:
		kernel_mac_remote(rig, vni, MAC(7, n), SITE_VTEP2);
		break;
	case 3:
		kernel_mac_remote_del(rig, vni, MAC(7, n), SITE_VTEP2);
		break;
	case 4:
		kernel_flood(rig, vni, SITE_VTEP4);
		break;
	default:
		kernel_flood_del(rig, vni, SITE_VTEP4);
		break;
	}
}

static void test_changes_under_traffic(void **state)
{
	struct rig *rig = rig_open(NULL);
	static struct seen seen;
	struct frame_bytes f;
	unsigned int sent = 0, changes = 0;
	int64_t deadline;

	memset(&seen, 0, sizeof(seen));
	kernel_site(rig);
	kernel_mac_remote(rig, SITE_VNI, R, SITE_VTEP2);
	kernel_mac_remote(rig, SITE_VNI2, R, SITE_VTEP2);
	kernel_mac_local(rig, SITE_VNI, MAC(1, 1), P1);
	kernel_mac_local(rig, SITE_VNI2, MAC(1, 1), P3);
	rig_hand_over(rig);
	assert_return_code(dataplane_start(rig->dp), 0);
	while (sent < FRAMES) {
		for (unsigned int i = 0; i < BURST && sent < FRAMES; i++, sent++) {
			frame_udp4(&f, R, MAC(1, 1), IP4(192, 168, 0, 1), IP4(192, 168, 0, 2),
				(uint16_t)(1000 + sent % 500), 53, 22);
			f.data[42] = (uint8_t)(sent >> 24);
			f.data[43] = (uint8_t)(sent >> 16);
			f.data[44] = (uint8_t)(sent >> 8);
			f.data[45] = (uint8_t)sent;
			rig_send(rig, sent % 2 == 0 ? P1 : P3, &f);
		}
		change(rig, changes++);
		assert_return_code(dataplane_turn(rig->dp, 0), 0);
		outputs_check(rig, &seen);
		/* not more than the rings hold */
		while (sent - seen.n - rig_drops_all(rig) > 2000) {
			assert_return_code(dataplane_turn(rig->dp, 0), 0);
			outputs_check(rig, &seen);
		}
	}
	deadline = loop_now_ms() + 10000;
	while (seen.n + rig_drops_all(rig) < FRAMES && loop_now_ms() < deadline) {
		assert_return_code(dataplane_turn(rig->dp, 1), 0);
		outputs_check(rig, &seen);
	}
	assert_int_equal(rig_drops_all(rig), 0);
	assert_int_equal(seen.n, FRAMES);
	worker_stop(rig->worker);
	rig_close(rig);
}

/* What the worker learns reaches the kernel though the main thread sleeps. */
static void test_wakes_the_main_thread(void **state)
{
	struct rig *rig = rig_open(NULL);
	const int64_t deadline = loop_now_ms() + 5000;
	struct frame_bytes f;

	kernel_site(rig);
	rig_hand_over(rig);
	assert_return_code(dataplane_start(rig->dp), 0);
	frame_udp4(&f, MAC_BROADCAST, MAC(1, 1), 1, 2, 3, 4, 20);
	rig_send(rig, P1, &f);
	/* a turn of 5 s each: only a wake-up ends it earlier */
	while (rig->write_n == 0 && loop_now_ms() < deadline)
		assert_return_code(dataplane_turn(rig->dp, 5000), 0);
	assert_int_equal(rig->write_n, 1);
	assert_true(loop_now_ms() < deadline);
	worker_stop(rig->worker);
	rig_close(rig);
}

/* A trace that is complete before the main thread goes to sleep is not left waiting. */
static void test_trace_ends_the_sleep(void **state)
{
	struct rig *rig = rig_open(NULL);
	const int64_t deadline = loop_now_ms() + 5000;
	struct frame_bytes f;

	rig_run(rig);
	rig->dp->link_poll_ms = 0; /* nothing else is due */
	assert_non_null(dataplane_trace_begin(rig->dp, TRACE_ANY_PORT, NULL, 1));
	frame_udp4(&f, MAC(9, 9), MAC(1, 1), 1, 2, 3, 4, 20);
	rig_send(rig, UP0, &f);
	/* the worker ends it when the main thread has looked and not yet said that it sleeps */
	__atomic_store_n(&rig->dp->main_sleeps, 0, __ATOMIC_RELAXED);
	while (worker_round(rig->worker) > 0)
		;
	assert_return_code(dataplane_turn(rig->dp, 5000), 0);
	assert_true(loop_now_ms() < deadline);
	dataplane_trace_end(rig->dp);
	rig_run(rig);
	rig_close(rig);
}

/* The rings of DPDK devices hold buffers for ever: they come on top of those for forwarding. */
static void test_buffers_for_devices(void **state)
{
	const struct dataplane_options few = {0}, many = {.ethdev_ports = 4};
	struct dataplane *dp = dataplane_create(&few);
	unsigned int size;

	assert_non_null(dp);
	size = dp->pool->size;
	dataplane_destroy(dp);
	dp = dataplane_create(&many);
	assert_non_null(dp);
	assert_true(dp->pool->size >= size + 4 * 1024);
	dataplane_destroy(dp);
}

/* A port's only queue is never given to two workers. */
static void test_more_workers_than_queues(void **state)
{
	struct rig *rig = rig_open(NULL);

	rig->dp->options.workers = 2;
	assert_int_equal(dataplane_prepare(rig->dp), -ENOTSUP);
	assert_int_equal(rig->dp->worker_count, 1);
	rig_close(rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_changes_under_traffic),
		cmocka_unit_test(test_wakes_the_main_thread),
		cmocka_unit_test(test_trace_ends_the_sleep),
		cmocka_unit_test(test_more_workers_than_queues),
		cmocka_unit_test(test_buffers_for_devices),
	};

	return cmocka_run_group_tests_name("threads", tests, rig_group_setup, rig_group_teardown);
}
