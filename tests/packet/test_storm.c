/*
 * Storm control: what a port, and a segment, may flood a second, by kind.
 *
 *	p1 ---+                   up0 --- VTEP 10.254.2.1
 *	p2 ---+-- VNI 10010       up1 --- VTEP 10.254.3.1
 *	p3 ------ VNI 10020       up0 --- VTEP 10.254.2.1
 *
 * What must hold: above its rate a kind of flooded frames ends, counted, and nothing else is
 *touched: not the other kinds, not other ports or segments, not what comes by the overlay, not
 *known unicast.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <rte_mbuf.h>
#include <rte_ring.h>

#include "tests/packet/kernel.h"
#include "tests/packet/rig.h"

#define A         MAC(1, 1) /* behind p1 */
#define B         MAC(1, 2) /* behind p2 */
#define C         MAC(1, 3) /* behind p3 */
#define BURST     64        /* of the smallest rate */
#define MORE      20

#define MULTICAST ((const uint8_t[6]){0x01, 0x00, 0x5e, 0, 0, 9})

static const uint8_t *const kinds[STORM_CLASSES] = {
	[STORM_BROADCAST] = (const uint8_t[6]){0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
	[STORM_UNKNOWN] = (const uint8_t[6]){0x02, 0, 0, 0, 9, 9},
	[STORM_MULTICAST] = (const uint8_t[6]){0x01, 0x00, 0x5e, 0, 0, 9},
};
static const enum drop_reason reasons[STORM_CLASSES] = {
	[STORM_BROADCAST] = DROP_STORM_BROADCAST,
	[STORM_UNKNOWN] = DROP_STORM_UNKNOWN,
	[STORM_MULTICAST] = DROP_STORM_MULTICAST,
};

/* One frame a second, BURST at once: none comes back while a test runs. */
static const struct storm_pps tiny = {.pps = {1, 1, 1}};

static struct rig *site(void)
{
	struct rig *rig = rig_open(NULL);

	kernel_site(rig);
	kernel_mac_local(rig, SITE_VNI, A, P1);
	kernel_mac_local(rig, SITE_VNI, B, P2);
	kernel_mac_local(rig, SITE_VNI2, C, P3);
	return rig;
}

static void send_kind(struct rig *rig, unsigned int port, const uint8_t dst[6],
	const uint8_t src[6], unsigned int n)
{
	struct frame_bytes f;

	frame_udp4(&f, dst, src, IP4(192, 168, 7, 1), IP4(192, 168, 7, 2), 1111, 2222, 30);
	for (unsigned int i = 0; i < n; i++)
		rig_send(rig, port, &f);
	rig_run(rig);
}

static void send_overlay(struct rig *rig, uint32_t vni, const uint8_t dst[6], unsigned int n)
{
	struct frame_bytes inner, f;

	frame_udp4(&inner, dst, MAC(2, 1), IP4(192, 168, 7, 9), IP4(192, 168, 7, 2), 1, 2, 30);
	frame_encap(&f, rig_mac(UP0), HOP0, SITE_VTEP2, SITE_LOCAL, 50000, vni, &inner);
	for (unsigned int i = 0; i < n; i++)
		rig_send(rig, UP0, &f);
	rig_run(rig);
}

static unsigned int count(struct rig *rig, unsigned int port)
{
	struct frame_bytes f;
	unsigned int n = 0;

	while (rig_recv(rig, port, &f))
		n++;
	return n;
}

static uint32_t bd_vni(void *ctx, uint16_t bd)
{
	const struct rig *rig = ctx;
	const struct bd_tbl *bds = rig->dp->tables->bds;

	return bd_live(bds, bd) ? bd_get(bds, bd)->vni : VNI_NONE;
}

static void segment_limit(struct rig *rig, uint32_t vni, const struct storm_pps *pps)
{
	const struct limit_entry entry = {.key = vni, .limit = {.storm = *pps}};

	assert_int_equal(limits_set(&rig->dp->tables->limits, &entry, 1, NULL, 0, bd_vni, rig), 0);
}

static void test_port(void **state)
{
	for (int k = 0; k < STORM_CLASSES; k++) {
		struct rig *rig = site();
		const uint64_t *s = &rig->worker->storms[P1].flood_broadcast;

		storm_set_port(&rig->dp->tables->limits.storm, P1, &tiny);
		send_kind(rig, P1, kinds[k], A, BURST + MORE);
		assert_int_equal(count(rig, P2), BURST);
		assert_int_equal(count(rig, UP0), BURST);
		assert_int_equal(count(rig, UP1), BURST);
		assert_int_equal(rig_drops(rig, reasons[k]), MORE);
		assert_int_equal(rig_drops_all(rig), MORE);
		assert_int_equal(s[k], BURST);
		assert_int_equal(s[STORM_CLASSES + k], MORE);
		/* the other kinds, and the port beside it, have their own */
		for (int other = 0; other < STORM_CLASSES; other++)
			if (other != k)
				send_kind(rig, P1, kinds[other], A, 5);
		assert_int_equal(count(rig, P2), 10);
		rig_drain(rig);
		send_kind(rig, P2, kinds[k], B, BURST + MORE);
		assert_int_equal(count(rig, P1), BURST + MORE);
		assert_int_equal(rig_drops_all(rig), MORE);
		rig_drain(rig);
		rig_close(rig);
	}
}

static void test_segment(void **state)
{
	for (int k = 0; k < STORM_CLASSES; k++) {
		struct rig *rig = site();
		uint16_t bd;
		const uint64_t *s;

		segment_limit(rig, SITE_VNI, &tiny);
		bd = bd_by_vni(rig->dp->tables->bds, SITE_VNI);
		s = &rig->worker->segments[bd].flood_broadcast;
		/* both ports together */
		send_kind(rig, P1, kinds[k], A, BURST - 10);
		send_kind(rig, P2, kinds[k], B, 10 + MORE);
		assert_int_equal(count(rig, P1), 10);
		assert_int_equal(count(rig, P2), BURST - 10);
		assert_int_equal(count(rig, UP1), BURST);
		assert_int_equal(rig_drops(rig, reasons[k]), MORE);
		assert_int_equal(s[k], BURST);
		assert_int_equal(s[STORM_CLASSES + k], MORE);
		rig_drain(rig);
		/* what comes by the overlay has its own tokens, as many */
		send_overlay(rig, SITE_VNI, kinds[k], BURST + MORE);
		assert_int_equal(count(rig, P1), BURST);
		assert_int_equal(count(rig, P2), BURST);
		assert_int_equal(rig_drops(rig, reasons[k]), 2 * MORE);
		/* another segment has not heard of it */
		send_kind(rig, P3, kinds[k], C, BURST + MORE);
		assert_int_equal(count(rig, UP0), BURST + MORE);
		assert_int_equal(rig_drops_all(rig), 2 * MORE);
		rig_close(rig);
	}
}

/* What a port floods above its own rate takes nothing from its segment. */
static void test_port_before_segment(void **state)
{
	static const struct storm_pps two = {.pps = {2 * BURST, 2 * BURST, 2 * BURST}};
	struct rig *rig = site();

	segment_limit(rig, SITE_VNI, &two);
	storm_set_port(&rig->dp->tables->limits.storm, P1, &tiny);
	send_kind(rig, P1, MULTICAST, A, BURST + 500);
	assert_int_equal(count(rig, P2), BURST);
	send_kind(rig, P2, MULTICAST, B, BURST);
	assert_int_equal(count(rig, P1), BURST);
	rig_drain(rig);
	rig_close(rig);
}

static void test_known_is_free(void **state)
{
	struct rig *rig = site();
	uint16_t bd = bd_by_vni(rig->dp->tables->bds, SITE_VNI);

	storm_set_port(&rig->dp->tables->limits.storm, P1, &tiny);
	segment_limit(rig, SITE_VNI, &tiny);
	for (int k = 0; k < STORM_CLASSES; k++)
		send_kind(rig, P1, kinds[k], A, BURST + 1);
	rig_drain(rig);
	memset(&rig->worker->segments[bd], 0, sizeof(rig->worker->segments[bd]));
	send_kind(rig, P1, B, A, 500);
	assert_int_equal(count(rig, P2), 500);
	for (int k = 0; k < STORM_CLASSES; k++)
		assert_int_equal((&rig->worker->segments[bd].flood_broadcast)[k], 0);
	rig_close(rig);
}

/* Tokens come back with time, at the rate and no faster. */
static void test_refill(void **state)
{
	static const struct storm_pps rate = {.pps = {1000, 1000, 1000}};
	struct rig *rig = site();
	const uint64_t hz = rig->dp->tables->limits.storm.hz;
	struct storm_meter m = {.full_at = 0};
	struct storm_rate none = {0};
	uint64_t now = 5 * hz;
	unsigned int n = 0;

	storm_set_port(&rig->dp->tables->limits.storm, P1, &rate);
	m.rate = rig->dp->tables->limits.storm.ports[P1].meters[0].rate;
	while (storm_take(&m, &none, now))
		n++;
	assert_int_equal(n, 1000);
	for (n = 0, now += hz / 10; storm_take(&m, &none, now); n++)
		;
	assert_in_range(n, 100, 101);
	for (n = 0, now += 100 * hz; storm_take(&m, &none, now); n++)
		;
	assert_int_equal(n, 1000); /* never more than the burst */
	rig_close(rig);
}

/* A limit is kept by VNI: for a segment that comes later, or comes again; not said = the default.
 */
static void test_by_vni(void **state)
{
	struct rig *rig = site();

	segment_limit(rig, SITE_VNI, &tiny);
	kernel_segment_del(rig, SITE_VNI);
	rig_run(rig);
	kernel_segment(rig, SITE_VNI, SITE_LOCAL);
	kernel_attach(rig, P1, SITE_VNI);
	kernel_attach(rig, P2, SITE_VNI);
	send_kind(rig, P1, MAC_BROADCAST, A, BURST + MORE);
	assert_int_equal(count(rig, P2), BURST);
	assert_int_equal(rig_drops(rig, DROP_STORM_BROADCAST), MORE);
	segment_limit(rig, SITE_VNI2, &tiny); /* all of it at once: 10010 is not said any more */
	send_kind(rig, P1, MAC_BROADCAST, A, BURST + MORE);
	assert_int_equal(count(rig, P2), BURST + MORE);
	rig_drain(rig);
	rig_close(rig);
}

/* The product's own rates let a busy port live and stop a loop. */
static void test_defaults(void **state)
{
	const struct rig_options options = {.storm = true, .mbufs = 8191};
	struct rig *rig = rig_open(&options);
	unsigned int sent = 0, came = 0;

	kernel_site(rig);
	kernel_mac_local(rig, SITE_VNI, A, P1);
	while (sent < 2000) {
		send_kind(rig, P1, MAC_BROADCAST, A, 500);
		sent += 500;
		came += count(rig, P2);
		rig_drain(rig);
	}
	assert_int_equal(came, sent);
	assert_int_equal(rig_drops_all(rig), 0);
	for (unsigned int i = 0; i < 20; i++) {
		send_kind(rig, P1, MAC_BROADCAST, A, 500);
		rig_drain(rig);
	}
	assert_true(rig_drops(rig, DROP_STORM_BROADCAST) > 0);
	rig_close(rig);
}

/*
 * Ingress replication shares the payload: of a large frame, each copy to a VTEP is an mbuf for the
 * outer header before an indirect one on the frame's own octets, and all is given back.
 */
static void test_shared(void **state)
{
	struct rig *rig = site();
	struct frame_bytes f, inner;
	const void *payload[3] = {0};
	unsigned int shared = 0, own = 0;
	void *obj = NULL;

	kernel_flood(rig, SITE_VNI, SITE_VTEP4);
	frame_udp4(&f, MAC_BROADCAST, A, IP4(192, 168, 7, 1), IP4(192, 168, 7, 255), 1, 2, 1200);
	rig_send(rig, P1, &f);
	rig_run(rig);
	/* p2: the frame's octets where they are, behind an indirect mbuf without a header */
	assert_int_equal(rte_ring_dequeue(rig->tx[P2], &obj), 0);
	assert_true(RTE_MBUF_CLONED((struct rte_mbuf *)obj));
	assert_int_equal(((struct rte_mbuf *)obj)->nb_segs, 1);
	payload[0] = rte_pktmbuf_mtod((struct rte_mbuf *)obj, const void *);
	assert_true(rte_mbuf_refcnt_read(rte_mbuf_from_indirect(obj)) >= 3);
	rte_pktmbuf_free(obj);
	for (unsigned int port = UP0; port <= UP1; port++) {
		while (rte_ring_dequeue(rig->tx[port], &obj) == 0) {
			struct rte_mbuf *m = obj;

			inner.len = 0;
			for (const struct rte_mbuf *s = m; s != NULL; s = s->next)
				frame_put(&inner, rte_pktmbuf_mtod(s, const void *), s->data_len);
			assert_int_equal(inner.len, f.len + 50);
			assert_memory_equal(inner.data + 50, f.data, f.len);
			if (m->nb_segs == 2) {
				assert_true(RTE_MBUF_CLONED(m->next));
				assert_ptr_equal(
					rte_pktmbuf_mtod(m->next, const void *), payload[0]);
				shared++;
			} else {
				/* the last place gets the frame itself */
				assert_ptr_equal(
					rte_pktmbuf_mtod_offset(m, const void *, 50), payload[0]);
				own++;
			}
			rte_pktmbuf_free(m);
		}
	}
	assert_int_equal(shared, 2);
	assert_int_equal(own, 1);
	assert_int_equal(rig_mbufs(rig), 0);
	rig_close(rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_port),
		cmocka_unit_test(test_segment),
		cmocka_unit_test(test_port_before_segment),
		cmocka_unit_test(test_known_is_free),
		cmocka_unit_test(test_refill),
		cmocka_unit_test(test_by_vni),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_shared),
	};

	return cmocka_run_group_tests(tests, rig_group_setup, rig_group_teardown);
}
