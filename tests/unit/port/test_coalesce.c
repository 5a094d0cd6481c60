/*
 * Frames put together for sending: whatever a burst holds, its runs taken apart again by offload.c
 * must be the very frames, each once, those of one flow in their order. And what can be put
 * together is: a run of a TCP stream is one super-frame.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dataplane/port/coalesce.h"
#include "dataplane/port/octets.h"
#include "dataplane/port/offload.h"

#define FLOWS     5
#define FRAME_MAX 2048

static uint64_t rng = 88172645463325252ULL;

static uint32_t rnd(uint32_t below)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (uint32_t)(rng >> 16) % below;
}

/* A stream of TCP segments, or of VXLAN packets, as far as it has come. */
struct flow {
	bool v6, vxlan, df, fixed_id;
	unsigned int tags;
	uint32_t l3, l4, head_len, seq;
	uint16_t size, id;
	uint8_t flags;
	uint8_t head[COALESCE_HEAD_MAX];
};

struct burst {
	unsigned int n;
	struct coalesce_frame frames[COALESCE_FRAMES];
	uint8_t octets[COALESCE_FRAMES][FRAME_MAX];
	unsigned int flow[COALESCE_FRAMES]; /* FLOWS: of none */
};

static void flow_make(struct flow *w, bool vxlan, unsigned int number)
{
	const uint8_t proto = vxlan ? 17 : 6;
	uint32_t at = 12;

	memset(w, 0, sizeof(*w));
	w->vxlan = vxlan;
	w->v6 = rnd(2);
	w->df = vxlan || rnd(2);
	w->fixed_id = w->df && rnd(3) == 0;
	w->tags = vxlan ? 0 : rnd(3);
	w->size = (uint16_t)(100 + rnd(1300));
	w->id = (uint16_t)rnd(65536);
	w->seq = rnd(2) ? 0xffffff00 : rnd(1 << 30);
	for (unsigned int i = 0; i < 12; i++)
		w->head[i] = (uint8_t)rnd(256);
	for (unsigned int i = 0; i < w->tags; i++, at += 4)
		put32(w->head + at, 0x81000000 | rnd(4096));
	put16(w->head + at, w->v6 ? 0x86dd : 0x0800);
	w->l3 = at + 2;
	w->l4 = w->l3 + (w->v6 ? 40 : 20);
	if (w->v6) {
		w->head[w->l3] = 0x60;
		w->head[w->l3 + 6] = proto;
		w->head[w->l3 + 7] = 64;
		w->head[w->l3 + 39] = (uint8_t)number;
	} else {
		w->head[w->l3] = 0x45;
		put16(w->head + w->l3 + 6, w->df ? 0x4000 : 0);
		w->head[w->l3 + 8] = 64;
		w->head[w->l3 + 9] = proto;
		w->head[w->l3 + 19] = (uint8_t)number;
	}
	put16(w->head + w->l4, 1000 + number);
	put16(w->head + w->l4 + 2, vxlan ? 4789 : 80);
	w->head_len = w->l4 + 8;
	if (!vxlan) {
		const uint32_t options = rnd(2) ? 12 : 0;

		w->head_len = w->l4 + 20 + options;
		w->head[w->l4 + 12] = (uint8_t)((20 + options) / 4 << 4);
		put16(w->head + w->l4 + 14, 5000);
	}
	w->flags = 0x10;
}

/* Lengths and checksums of a frame that is otherwise done. */
static void frame_finish(const struct flow *w, uint8_t *o, uint32_t len)
{
	const uint32_t l4_len = len - w->l4;

	if (w->v6) {
		put16(o + w->l3 + 4, l4_len);
	} else {
		put16(o + w->l3 + 2, 20 + l4_len);
		put16(o + w->l3 + 10, 0);
		sum_store(o + w->l3 + 10, sum_add(0, o + w->l3, 20), false);
	}
	if (w->vxlan) {
		put16(o + w->l4 + 4, l4_len);
		return;
	}
	put16(o + w->l4 + 16, 0);
	sum_store(o + w->l4 + 16,
		sum_add(sum_pseudo(o + w->l3, w->v6, 6, l4_len), o + w->l4, l4_len), false);
}

static void flow_frame(struct flow *w, struct burst *b, unsigned int number, uint32_t payload)
{
	const unsigned int i = b->n++;
	uint8_t *o = b->octets[i];

	memcpy(o, w->head, w->head_len);
	for (uint32_t at = 0; at < payload; at++)
		o[w->head_len + at] = (uint8_t)rnd(256);
	if (!w->v6)
		put16(o + w->l3 + 4, w->id);
	if (!w->fixed_id)
		w->id++;
	if (!w->vxlan) {
		put32(o + w->l4 + 4, w->seq);
		o[w->l4 + 13] = w->flags;
		w->seq += payload;
	}
	b->frames[i] = (struct coalesce_frame){o, w->head_len + payload};
	b->flow[i] = number;
	frame_finish(w, o, b->frames[i].len);
}

/* Something befalls the latest frame or the flow. */
static void mischief(struct flow *w, struct burst *b)
{
	struct coalesce_frame *f = &b->frames[b->n - 1];
	uint8_t *o = b->octets[b->n - 1];

	switch (rnd(12)) {
	case 0:
		w->seq += rnd(3) + 1;
		break;
	case 1:
		o[w->l4 + 13] |= (uint8_t)(1U << rnd(8));
		frame_finish(w, o, f->len);
		break;
	case 2: /* a wrong checksum */
		o[w->head_len + rnd(f->len - w->head_len)] ^= 0x10;
		break;
	case 3:
		w->head[w->l3 + (w->v6 ? 7 : 8)]--;
		break;
	case 4:
		w->head[w->l3 + 1] ^= 1;
		break;
	case 5:
		if (!w->vxlan)
			put16(w->head + w->l4 + 14, rnd(65536));
		break;
	case 6:
		w->size = (uint16_t)(1 + rnd(1400));
		break;
	case 7:
		w->id = (uint16_t)(w->id + 1);
		break;
	case 8: /* padding behind the packet */
		f->len += 3;
		break;
	case 9: /* perhaps a frame of no flow now, or of another */
		f->len = rnd(2) ? 0 : rnd(f->len);
		b->flow[b->n - 1] = FLOWS;
		break;
	case 10:
		o[rnd(f->len)] ^= (uint8_t)(1 + rnd(255));
		b->flow[b->n - 1] = FLOWS;
		break;
	default:
		if (!w->vxlan)
			put32(w->head + w->l4 + 8, rnd(1 << 30));
		break;
	}
}

/* The run's frames, as they come out of offload.c, must be those that went in. */
static void run_check(const struct burst *b, const struct coalesce *c, const struct coalesce_run *r)
{
	static uint8_t super[65536 + 256], seg[65536 + 256];
	uint32_t len = r->head_len, total = 0;
	struct offload_segment s;
	struct offload_gso gso;
	unsigned int i, l3;

	memcpy(super, r->head, r->head_len);
	for (i = r->first; i != COALESCE_FRAMES; i = c->next[i]) {
		const uint32_t n = b->frames[i].len - r->head_len;

		memcpy(super + len, b->frames[i].octets + r->head_len, n);
		len += n;
	}
	assert_int_equal(offload_gso_init(&gso, &r->vh, super, len), 0);
	offload_gso_vxlan_plain(&gso);
	assert_int_equal(r->vh.hdr_len, gso.header_len);
	l3 = gso.l3;
	for (i = r->first; i != COALESCE_FRAMES; i = c->next[i]) {
		const uint8_t *want = b->frames[i].octets;

		assert_true(offload_gso_next(&gso, &s));
		memcpy(seg, s.header, s.header_len);
		memcpy(seg + s.header_len, s.payload, s.payload_len);
		assert_int_equal(s.header_len + s.payload_len, b->frames[i].len);
		if (!gso.l3_v6) { /* an identification that did not count up, with DF */
			if (memcmp(seg + l3 + 4, want + l3 + 4, 2) != 0) {
				assert_int_equal(get16(want + l3 + 6), 0x4000);
				assert_int_equal(sum_fold(sum_add(0, seg + l3, 20)), 0xffff);
			}
			memcpy(seg + l3 + 4, want + l3 + 4, 2);
			memcpy(seg + l3 + 10, want + l3 + 10, 2);
		}
		assert_memory_equal(seg, want, b->frames[i].len);
		total++;
	}
	assert_false(offload_gso_next(&gso, &s));
	assert_int_equal(total, r->frames);
}

static unsigned int burst_check(const struct burst *b, enum coalesce_kind kind)
{
	static struct coalesce c;
	bool seen[COALESCE_FRAMES] = {false};
	int latest[FLOWS + 1];
	unsigned int first = 0;

	coalesce(&c, kind, b->frames, b->n);
	memset(latest, -1, sizeof(latest));
	for (unsigned int k = 0; k < c.n; k++) {
		const struct coalesce_run *r = &c.runs[k];
		unsigned int frames = 0;

		assert_true(k == 0 || r->first > first);
		first = r->first;
		for (unsigned int i = r->first; i != COALESCE_FRAMES; i = c.next[i]) {
			assert_true(i < b->n && !seen[i]);
			seen[i] = true;
			frames++;
			if (b->flow[i] < FLOWS) {
				assert_true((int)i > latest[b->flow[i]]);
				latest[b->flow[i]] = (int)i;
			}
		}
		assert_int_equal(frames, r->frames);
		if (frames > 1)
			run_check(b, &c, r);
		else
			assert_int_equal(r->vh.flags | r->vh.gso_type, 0);
	}
	for (unsigned int i = 0; i < b->n; i++)
		assert_true(seen[i]);
	return c.n;
}

static void random_kind(enum coalesce_kind kind)
{
	static struct burst b;
	struct flow flows[FLOWS];
	unsigned int frames = 0, runs = 0;

	for (unsigned int round = 0; round < 2000; round++) {
		const unsigned int n = 1 + rnd(COALESCE_FRAMES), n_flows = 1 + rnd(FLOWS);
		unsigned int now = 0;

		for (unsigned int i = 0; i < n_flows; i++)
			flow_make(&flows[i], kind == COALESCE_VXLAN, i);
		b.n = 0;
		while (b.n < n) {
			if (rnd(4) == 0)
				now = rnd(n_flows);
			flows[now].flags = (uint8_t)(0x10 | (rnd(8) == 0 ? 0x08 : 0) |
						     (rnd(30) == 0 ? 0x01 : 0));
			flow_frame(&flows[now], &b, now,
				rnd(8) == 0 ? 16 + rnd(flows[now].size) : flows[now].size);
			if (rnd(6) == 0)
				mischief(&flows[now], &b);
		}
		frames += b.n;
		runs += burst_check(&b, kind);
	}
	assert_in_range(runs, frames / 10, frames * 3 / 4);
}

static void test_random_tcp(void **state)
{
	random_kind(COALESCE_TCP);
}

static void test_random_vxlan(void **state)
{
	random_kind(COALESCE_VXLAN);
}

/* A whole burst of one stream is one super-frame; of two mixed ones, two. */
static void test_stream(void **state)
{
	static struct burst b;
	struct flow flows[2];

	for (unsigned int kind = 0; kind < 2; kind++) {
		for (unsigned int round = 0; round < 50; round++) {
			flow_make(&flows[0], kind == COALESCE_VXLAN, 0);
			flow_make(&flows[1], kind == COALESCE_VXLAN, 1);
			b.n = 0;
			while (b.n < COALESCE_FRAMES)
				flow_frame(&flows[0], &b, 0, flows[0].size);
			assert_int_equal(burst_check(&b, kind), 1);
			b.n = 0;
			while (b.n < COALESCE_FRAMES)
				flow_frame(&flows[b.n % 2], &b, b.n % 2, flows[b.n % 2].size);
			assert_int_equal(burst_check(&b, kind), 2);
		}
	}
}

/* What must stay alone. */
static void test_alone(void **state)
{
	static const uint8_t flags[] = {0x12, 0x14, 0x30, 0x90, 0x00};
	static struct burst b;
	struct flow w;

	for (unsigned int i = 0; i < sizeof(flags); i++) {
		flow_make(&w, false, 0);
		w.flags = flags[i];
		b.n = 0;
		flow_frame(&w, &b, 0, 500);
		flow_frame(&w, &b, 0, 500);
		assert_int_equal(burst_check(&b, COALESCE_TCP), 2);
	}
	/* no payload; a wrong checksum; UDP whose checksum somebody meant */
	flow_make(&w, false, 0);
	b.n = 0;
	for (unsigned int i = 0; i < 4; i++)
		flow_frame(&w, &b, 0, 0);
	assert_int_equal(burst_check(&b, COALESCE_TCP), 4);
	b.n = 0;
	for (unsigned int i = 0; i < 3; i++) {
		flow_frame(&w, &b, 0, 800);
		b.octets[i][w.head_len + 100] ^= i == 1;
	}
	assert_int_equal(burst_check(&b, COALESCE_TCP), 3);
	flow_make(&w, true, 0);
	put16(w.head + w.l4 + 6, 0x1234);
	b.n = 0;
	for (unsigned int i = 0; i < 3; i++)
		flow_frame(&w, &b, 0, 800);
	assert_int_equal(burst_check(&b, COALESCE_VXLAN), 3);
	/* PSH and FIN end a run and are its last frame's; what follows is another */
	flow_make(&w, false, 0);
	b.n = 0;
	for (unsigned int i = 0; i < 6; i++) {
		w.flags = i == 2 ? 0x18 : i == 5 ? 0x19 : 0x10;
		flow_frame(&w, &b, 0, 700);
	}
	assert_int_equal(burst_check(&b, COALESCE_TCP), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_tcp),
		cmocka_unit_test(test_random_vxlan),
		cmocka_unit_test(test_stream),
		cmocka_unit_test(test_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
