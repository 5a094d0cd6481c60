/*
 * Captures, asked for by the socket: which frames are seen, with which segment, direction and
 * reason; what the filters leave out; what happens when nobody reads.
 */
#include "dataplane/dpdk_compat.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "dataplane/capture.h"
#include "tests/packet/client.h"
#include "tests/packet/kernel.h"

static int setup(void **state)
{
	struct site *s;

	client_site_setup(state);
	s = *state;
	kernel_mac_local(s->rig, SITE_VNI, MAC(1, 1), P1);
	kernel_mac_remote(s->rig, SITE_VNI, MAC(2, 1), SITE_VTEP2);
	return 0;
}

#define FREE(r) audums__v1__dataplane_reply__free_unpacked((r), NULL)

/* What is asked for; zeros = no filter. */
struct wish {
	const char *port, *direction, *drop, *drop2;
	uint32_t vni, count, snaplen, timeout;
};

static void capture_ask(struct client *c, struct wish w)
{
	Audums__V1__DataplaneRequest request = AUDUMS__V1__DATAPLANE_REQUEST__INIT;
	Audums__V1__CaptureRequest r = AUDUMS__V1__CAPTURE_REQUEST__INIT;
	const char *drops[2] = {w.drop, w.drop2};

	if (w.port != NULL)
		r.port = (char *)(uintptr_t)w.port;
	if (w.direction != NULL)
		r.direction = (char *)(uintptr_t)w.direction;
	r.n_drops = (w.drop != NULL) + (w.drop2 != NULL);
	r.drops = (char **)(uintptr_t)drops;
	r.vni = w.vni;
	r.count = w.count;
	r.snaplen = w.snaplen;
	r.timeout_ms = w.timeout;
	request.ask_case = AUDUMS__V1__DATAPLANE_REQUEST__ASK_CAPTURE;
	request.capture = &r;
	client_send(c, &request);
	/* it begins when the worker can no longer see the one before */
	for (unsigned int i = 0; i < 10; i++)
		rig_run(c->rig);
}

/* One known frame to another site, one from there, one of an unknown segment, an ARP request. */
static void traffic(struct rig *rig)
{
	struct frame_bytes f, outer;

	frame_udp4(&f, MAC(2, 1), MAC(1, 1), 1, 2, 3, 4, 58);
	rig_send(rig, P1, &f);
	rig_run(rig);
	frame_udp4(&f, MAC(1, 1), MAC(2, 1), 1, 2, 3, 4, 58);
	frame_encap(&outer, rig_mac(UP0), HOP0, SITE_VTEP2, SITE_LOCAL, 50000, SITE_VNI, &f);
	rig_send(rig, UP0, &outer);
	rig_run(rig);
	frame_encap(&outer, rig_mac(UP0), HOP0, SITE_VTEP2, SITE_LOCAL, 50000, 77, &f);
	rig_send(rig, UP0, &outer);
	rig_run(rig);
	frame_reset(&f);
	frame_ether(&f, MAC_BROADCAST, HOP0, 0x0806);
	frame_arp(&f, 1, HOP0, SITE_HOP0, MAC(0, 0), SITE_HOP0 - 1);
	rig_send(rig, UP0, &f);
	rig_run(rig);
	rig_drain(rig);
}

/* All frames of an answer as one line each: "PORT DIRECTION LENGTH VNI REASON". */
struct seen {
	unsigned int n;
	char lines[64][96];
	uint64_t lost;
	uint64_t last_ns;
};

static void seen_all(struct client *c, struct seen *seen)
{
	bool more = true;

	memset(seen, 0, sizeof(*seen));
	while (more) {
		Audums__V1__DataplaneReply *r = client_recv(c);

		assert_non_null(r);
		assert_string_equal(r->error, "");
		assert_int_equal(r->answer_case, AUDUMS__V1__DATAPLANE_REPLY__ANSWER_CAPTURE);
		for (size_t i = 0; i < r->capture->n_frames; i++) {
			const Audums__V1__CapturedFrame *f = r->capture->frames[i];

			if (seen->n < 64)
				snprintf(seen->lines[seen->n], sizeof(seen->lines[0]),
					"%s %s %u %u %s%s%s", f->port, f->direction, f->length,
					f->vni, f->node, *f->node ? ":" : "", f->drop_reason);
			seen->n++;
			/* all is kept of what is as short as here */
			assert_int_equal(f->data.len, f->length);
			assert_true(f->time_ns >= seen->last_ns);
			seen->last_ns = f->time_ns;
		}
		seen->lost = r->capture->lost;
		more = r->more;
		FREE(r);
	}
	assert_null(c->rig->dp->capture);
}

static void expect(const struct seen *seen, const char *const lines[], unsigned int n)
{
	for (unsigned int i = 0; i < seen->n && i < 64; i++)
		if (i >= n || strcmp(seen->lines[i], lines[i]) != 0)
			fprintf(stderr, "frame %u: %s\n", i, seen->lines[i]);
	assert_int_equal(seen->n, n);
	for (unsigned int i = 0; i < n; i++)
		assert_string_equal(seen->lines[i], lines[i]);
}

static void test_all(void **state)
{
	static const char *const lines[] = {"p1 in 100 10010 ", "up0 out 150 10010 ",
		"up0 in 150 10010 ", "p1 out 100 10010 ", "up0 in 150 77 ", "up0 in 42 0 "};
	struct site *s = *state;
	struct timespec now;
	struct seen seen;
	uint64_t ns;

	clock_gettime(CLOCK_REALTIME, &now);
	ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
	capture_ask(&s->client, (struct wish){.count = 6});
	traffic(s->rig);
	seen_all(&s->client, &seen);
	expect(&seen, lines, 6);
	assert_int_equal(seen.lost, 0);
	assert_true(seen.last_ns >= ns && seen.last_ns < ns + 60000000000);
}

/* Copies of a flooded frame that end before they left: they came by the port the frame came by. */
static void test_dropped_copies(void **state)
{
	static const char *const lines[] = {"p1 drop 100 10010 vxlan_encap:vtep_unreachable",
		"p1 drop 100 10010 vxlan_encap:vtep_unreachable",
		"p1 drop 400 10010 vxlan_encap:vtep_unreachable",
		"p1 drop 400 10010 vxlan_encap:vtep_unreachable"};
	struct site *s = *state;
	struct frame_bytes f;
	struct seen seen;

	kernel_route_del(s->rig, SITE_VTEP2, 32);
	kernel_route_del(s->rig, SITE_VTEP3, 32);
	for (unsigned int i = 0; i < 2; i++) {
		capture_ask(&s->client,
			(struct wish){.drop = "any", .count = 4, .port = i == 0 ? NULL : "p1"});
		frame_udp4(&f, MAC_BROADCAST, MAC(1, 1), 1, 2, 3, 4, 58);
		rig_send(s->rig, P1, &f);
		frame_udp4(&f, MAC_BROADCAST, MAC(1, 1), 1, 2, 3, 4, 358);
		rig_send(s->rig, P1, &f);
		rig_run(s->rig);
		rig_drain(s->rig);
		seen_all(&s->client, &seen);
		expect(&seen, lines, 4);
	}
}

static void test_filters(void **state)
{
	static const struct {
		struct wish wish;
		const char *lines[4];
		unsigned int n;
	} rows[] = {
		{{.port = "p1"}, {"p1 in 100 10010 ", "p1 out 100 10010 "}, 2},
		{{.port = "p1", .direction = "in"}, {"p1 in 100 10010 "}, 1},
		{{.direction = "out"}, {"up0 out 150 10010 ", "p1 out 100 10010 "}, 2},
		{{.vni = 77}, {"up0 in 150 77 "}, 1},
		{{.vni = SITE_VNI2}, {0}, 0},
		{{.drop = "unknown_vni"}, {"up0 drop 150 77 vxlan_decap:unknown_vni"}, 1},
		{{.drop = "any"}, {"up0 drop 150 77 vxlan_decap:unknown_vni"}, 1},
		{{.drop = "no_route", .drop2 = "unknown_vni", .vni = 77, .direction = "in"},
			{"up0 in 150 77 ", "up0 drop 150 77 vxlan_decap:unknown_vni"}, 2},
		{{.drop = "no_route"}, {0}, 0},
		{{.port = "p2", .drop = "any"}, {0}, 0},
	};
	struct site *s = *state;
	struct seen seen;

	for (unsigned int i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct wish wish = rows[i].wish;

		wish.timeout = 60;
		capture_ask(&s->client, wish);
		assert_non_null(s->rig->dp->capture);
		traffic(s->rig);
		/* the last reply comes when the time is over */
		while (s->rig->dp->capture != NULL)
			assert_return_code(dataplane_turn(s->rig->dp, 5), 0);
		seen_all(&s->client, &seen);
		expect(&seen, rows[i].lines, rows[i].n);
	}
}

/* A frame that ends after decapsulation has its segment too. */
static void test_drop_after_decap(void **state)
{
	static const char *const lines[] = {"up0 drop 100 10010 vxlan_decap:split_horizon"};
	struct site *s = *state;
	struct frame_bytes f, outer;
	struct seen seen;

	capture_ask(&s->client, (struct wish){.drop = "any", .count = 1});
	frame_udp4(&f, MAC(2, 1), MAC(3, 1), 1, 2, 3, 4, 58);
	frame_encap(&outer, rig_mac(UP0), HOP0, SITE_VTEP2, SITE_LOCAL, 50000, SITE_VNI, &f);
	rig_send(s->rig, UP0, &outer);
	rig_run(s->rig);
	seen_all(&s->client, &seen);
	expect(&seen, lines, 1);
}

/* Of a frame in several segments the first octets are kept, and its length is told whole. */
static void test_snaplen(void **state)
{
	struct site *s = *state;
	Audums__V1__DataplaneReply *r;
	struct frame_bytes f, got;

	capture_ask(&s->client,
		(struct wish){.port = "p1", .direction = "in", .count = 1, .snaplen = 150});
	frame_udp4(&f, MAC(2, 1), MAC(1, 1), 1, 2, 3, 4, 458);
	rig_send_chain(s->rig, P1, &f, 100);
	rig_run(s->rig);
	while (rig_recv(s->rig, UP0, &got))
		;
	r = client_recv(&s->client);
	assert_int_equal(r->capture->n_ports, RIG_PORTS);
	assert_string_equal(r->capture->ports[0]->name, "up0");
	assert_string_equal(r->capture->ports[0]->role, "uplink");
	while (r->capture->n_frames == 0) {
		FREE(r);
		r = client_recv(&s->client);
		assert_int_equal(r->capture->n_ports, 0);
	}
	assert_int_equal(r->capture->frames[0]->length, 500);
	assert_int_equal(r->capture->frames[0]->data.len, 150);
	assert_memory_equal(r->capture->frames[0]->data.data, f.data, 150);
	FREE(r);
}

/* Nobody reads the rings: they fill, what is more is counted, and nothing else is harmed. */
static void test_full(void **state)
{
	struct site *s = *state;
	const struct capture_filter filter = {.port = CAPTURE_ANY_PORT,
		.where = CAPTURE_IN | CAPTURE_OUT,
		.snaplen = CAPTURE_SNAP_MAX};
	const unsigned int n = 2000;
	struct capture *c = dataplane_capture_begin(s->rig->dp, &filter, CAPTURE_FOREVER);
	unsigned int got = 0, sent = 0;
	struct frame_bytes f, out;

	assert_non_null(c);
	/* the second round begins where the first has left the ring, so it wraps */
	for (unsigned int round = 0; round < 2; round++) {
		for (unsigned int i = 0; i < n; i++) {
			frame_udp4(&f, MAC(2, 1), MAC(1, 1), 1, 2, 3, 4, 700 + i % 64);
			rig_send(s->rig, P1, &f);
			if (i % 32 == 31)
				rig_run(s->rig);
			while (rig_recv(s->rig, UP0, &out))
				sent++;
		}
		rig_run(s->rig);
		while (rig_recv(s->rig, UP0, &out))
			sent++;
		for (const struct capture_frame *k; (k = capture_peek(c, 0)) != NULL;) {
			const uint8_t *data = (const uint8_t *)(k + 1);

			assert_true(k->where == CAPTURE_IN || k->where == CAPTURE_OUT);
			assert_int_equal(k->kept, k->length);
			assert_memory_equal(data + (k->where == CAPTURE_IN ? 6 : 56), MAC(1, 1), 6);
			got++;
			capture_next(c, 0);
		}
	}
	assert_int_equal(sent, 2 * n);
	assert_true(capture_lost(c) > 0);
	assert_int_equal(got + capture_lost(c), 4 * n);
	assert_in_range(got, 2 * CAPTURE_RING / 1000, 2 * CAPTURE_RING / 700);
	dataplane_capture_end(s->rig->dp);
	rig_run(s->rig);
}

/* What is wrong is said; one capture at a time; one whose client leaves is over. */
static void test_refused(void **state)
{
	static const struct {
		struct wish wish;
		const char *says;
	} rows[] = {
		{{.port = "p9"}, "no port"},
		{{.direction = "up"}, "direction"},
		{{.drop = "unknown"}, "no drop reason"},
		{{.drop = "tx_full"}, "cannot be captured"},
		{{.vni = 1 << 24}, "16777215"},
		{{.snaplen = 16385}, "16384"},
		{{.timeout = 3600001}, "3600000"},
	};
	struct site *s = *state;
	Audums__V1__DataplaneReply *r;
	struct client other;
	struct seen seen;

	for (unsigned int i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		capture_ask(&s->client, rows[i].wish);
		r = client_recv(&s->client);
		assert_non_null(strstr(r->error, rows[i].says));
		assert_null(s->rig->dp->capture);
		FREE(r);
	}
	client_connect(&s->server, &other);
	capture_ask(&other, (struct wish){.timeout = 60000});
	capture_ask(&s->client, (struct wish){.count = 1});
	r = client_recv(&s->client);
	assert_non_null(strstr(r->error, "another capture"));
	FREE(r);
	client_close(&other);
	for (unsigned int i = 0; i < 10; i++)
		rig_run(s->rig);
	assert_null(s->rig->dp->capture);
	capture_ask(&s->client, (struct wish){.count = 1});
	traffic(s->rig);
	seen_all(&s->client, &seen);
	assert_int_equal(seen.n, 1);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, client_site_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_all),
		T(test_dropped_copies),
		T(test_filters),
		T(test_drop_after_decap),
		T(test_snaplen),
		T(test_full),
		T(test_refused),
	};

	return cmocka_run_group_tests_name("capture", tests, rig_group_setup, rig_group_teardown);
}
