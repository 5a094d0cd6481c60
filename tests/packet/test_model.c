/*
 * The model test: random sequences of frames, of what the kernel says (links, segments, ports,
 * flood lists, MACs, routes, next-hop objects, neighbours), of link changes and ageing, against the
 * reference of model.c. After each step every frame that left by every port and TAP must be one
 * that the reference wants, octet by octet, and none may be missing.
 *
 * MODEL_SEED sets the seed (printed), MODEL_STEPS the number of steps.
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
#include "tests/packet/model.h"
#include "tests/packet/rig.h"

#define STEPS     40000
#define BURST_MAX 8
#define SENT_MAX  64
#define GROUP_ID  10 /* next-hop group; 1 and 2 are its possible members */

static const uint32_t vnis[MODEL_SEGMENTS] = {SITE_VNI, SITE_VNI2};
static const uint32_t hop_addrs[MODEL_UPLINKS] = {SITE_HOP0, SITE_HOP1};

struct run {
	struct rig *rig;
	struct model m;
	uint64_t dice;
	unsigned long step, frames, outputs, changes;
	uint64_t fake_ms; /* of ageing */
	struct frame_bytes f, inner;
	struct got {
		bool tap, taken;
		unsigned int port;
		struct frame_bytes f;
	} got[MODEL_OUTS];
	unsigned int n_got;
	struct sent { /* by this step, in the reference's order: its `source` counts them */
		unsigned int port;
		bool tap;
		struct model_frame f;
	} sent[SENT_MAX];
	unsigned int n_sent;
	uint64_t drops[DROP_COUNT]; /* before this step */
};

static uint32_t roll(struct run *r, uint32_t n)
{
	r->dice ^= r->dice << 13;
	r->dice ^= r->dice >> 7;
	r->dice ^= r->dice << 17;
	return (uint32_t)(r->dice >> 32) % n;
}

/* ---- frames ---- */

static const uint8_t *some_mac(struct run *r)
{
	static const uint8_t odd[][6] = {
		{0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		{0x01, 0x00, 0x5e, 0x00, 0x00, 0x05},
		{0x33, 0x33, 0x00, 0x00, 0x00, 0x01},
		{0x01, 0x80, 0xc2, 0x00, 0x00, 0x0e},
		{0x01, 0x80, 0xc2, 0x00, 0x00, 0x10},
		{0x02, 0x00, 0x00, 0x00, 0x99, 0x99},
		{0, 0, 0, 0, 0, 0},
	};

	if (roll(r, 8) == 0)
		return odd[roll(r, RTE_DIM(odd))];
	if (roll(r, 40) == 0)
		return rig_mac(roll(r, RIG_PORTS));
	return r->m.macs[roll(r, MODEL_MACS)];
}

static void inner_make(struct run *r, struct frame_bytes *f)
{
	static const uint16_t types[] = {0x0806, 0x86dd, 0x88cc, 0x1234};
	static const size_t sizes[] = {0, 18, 46, 200, 260, 700, 1400};
	const uint8_t *dst = some_mac(r), *src = some_mac(r);
	const size_t size = sizes[roll(r, RTE_DIM(sizes))];

	/* a source that is nobody's is not learnt: the reference knows its own MACs alone */
	if (memcmp(src, MAC(0x99, 0x99), 6) == 0 || src[1] == rig_mac(P1)[1])
		src = r->m.macs[0];
	if (roll(r, 4) != 0) {
		frame_udp4(f, dst, src, IP4(192, 168, 0, roll(r, 4)), IP4(192, 168, 1, roll(r, 4)),
			(uint16_t)roll(r, 16), (uint16_t)(5000 + roll(r, 4)), size);
		return;
	}
	frame_reset(f);
	frame_ether(f, dst, src, types[roll(r, RTE_DIM(types))]);
	frame_put_pattern(f, size, (uint8_t)roll(r, 256));
}

static uint32_t some_address(struct run *r)
{
	static const uint32_t more[] = {SITE_LOCAL, SITE_HOP0 - 1, IP4(10, 254, 9, 9),
		IP4(12, 1, 2, 3), IP4(12, 1, 200, 3), IP4(8, 8, 8, 8), IP4(224, 0, 0, 5),
		IP4(127, 0, 0, 1), IP4(255, 255, 255, 255)};

	return roll(r, 2) ? r->m.vteps[roll(r, MODEL_VTEPS)] : more[roll(r, RTE_DIM(more))];
}

/* VXLAN to us, most of it sound. */
static void overlay_make(struct run *r, struct frame_bytes *f, unsigned int port)
{
	uint32_t src = r->m.vteps[roll(r, MODEL_VTEPS)], dst = SITE_LOCAL;
	uint32_t vni = vnis[roll(r, MODEL_SEGMENTS)];

	if (roll(r, 20) == 0)
		src = some_address(r);
	if (roll(r, 20) == 0)
		dst = some_address(r);
	if (roll(r, 20) == 0)
		vni = roll(r, 1 << 24);
	inner_make(r, &r->inner);
	frame_encap(f, rig_mac(port), r->m.hop_mac[port], src, dst, (uint16_t)roll(r, 65536), vni,
		&r->inner);
	switch (roll(r, 30)) {
	case 0:
		f->data[42] = (uint8_t)roll(r, 256); /* flags */
		break;
	case 1:
		frame_set16(f, 38, (uint16_t)roll(r, 100)); /* UDP length */
		break;
	case 2:
		frame_put_pattern(f, roll(r, 30), 0); /* padding */
		break;
	case 3:
		frame_set16(f, 20, 0x2000); /* a first fragment */
		frame_ip4_checksum(f, 14);
		break;
	default:
		break;
	}
}

static void transit_make(struct run *r, struct frame_bytes *f, unsigned int port)
{
	frame_udp4(f, rig_mac(port), r->m.hop_mac[port], some_address(r), some_address(r),
		(uint16_t)roll(r, 64), roll(r, 3) ? (uint16_t)(4788 + roll(r, 3)) : 3785,
		roll(r, 1000));
	switch (roll(r, 8)) {
	case 0:
		f->data[22] = (uint8_t)roll(r, 3);
		frame_ip4_checksum(f, 14);
		break;
	case 1:
		frame_set16(f, 20, (uint16_t)roll(r, 65536)); /* any fragment */
		frame_ip4_checksum(f, 14);
		break;
	case 2:
		frame_set16(f, 24, (uint16_t)roll(r, 65536)); /* any checksum */
		break;
	case 3:
		memcpy(f->data, some_mac(r), 6);
		break;
	case 4:
		frame_set16(f, 16, (uint16_t)roll(r, (uint32_t)f->len)); /* any length */
		frame_ip4_checksum(f, 14);
		break;
	default:
		break;
	}
}

static void frame_make(struct run *r, struct frame_bytes *f, unsigned int port)
{
	if (port >= MODEL_UPLINKS) {
		inner_make(r, f);
		if (roll(r, 100) == 0)
			f->len = 1 + roll(r, 16);
		if (roll(r, 50) == 0)
			memcpy(f->data + 6, rig_mac(port), 6); /* a loop */
	} else if (roll(r, 3) != 0) {
		overlay_make(r, f, port);
	} else if (roll(r, 4) != 0) {
		transit_make(r, f, port);
	} else {
		frame_reset(f);
		frame_ether(f, MAC_BROADCAST, r->m.hop_mac[port], 0x0806);
		frame_arp(
			f, 1, r->m.hop_mac[port], hop_addrs[port], MAC(0, 0), hop_addrs[port] - 1);
	}
}

static void give(struct run *r, unsigned int port, bool tap)
{
	struct sent *s = &r->sent[r->n_sent++];

	assert_true(r->n_sent < SENT_MAX);
	assert_true(r->f.len <= MODEL_FRAME);
	s->port = port;
	s->tap = tap;
	s->f.len = r->f.len;
	memcpy(s->f.data, r->f.data, r->f.len);
	r->frames++;
	if (tap) {
		model_tap_in(&r->m, port, &s->f);
		rig_tap_send(r->rig, port, &r->f);
		return;
	}
	model_frame_in(&r->m, port, &s->f);
	if (roll(r, 16) == 0)
		rig_send_chain(r->rig, port, &r->f, 128 + roll(r, 1000)); /* headers in the first */
	else
		rig_send(r->rig, port, &r->f);
}

/* A burst, port by port as a worker takes it in. */
static void frames_send(struct run *r)
{
	r->n_sent = 0;
	r->m.source = 0;
	for (unsigned int port = 0; port < RIG_PORTS; port++) {
		unsigned int n = roll(r, 2) ? roll(r, BURST_MAX) : 0;

		/* what has no link sends nothing; the kernel may, on the TAP */
		if (!r->m.ports[port].link || !r->m.ports[port].admin)
			n = 0;
		while (n-- > 0) {
			frame_make(r, &r->f, port);
			give(r, port, false);
		}
		if (roll(r, 10) == 0) {
			do
				frame_make(r, &r->f, roll(r, MODEL_UPLINKS));
			while (r->f.len < 34);
			/* fragments are known by what came within two seconds: no matter of here */
			if (frame_get16(&r->f, 12) == 0x0800)
				frame_set16(&r->f, 20, 0x4000);
			give(r, port, true);
		}
	}
}

/* ---- what left ---- */

static void got_take(struct run *r)
{
	r->n_got = 0;
	for (unsigned int port = 0; port < RIG_PORTS; port++) {
		struct got *g;

		for (;;) {
			assert_true(r->n_got < MODEL_OUTS);
			g = &r->got[r->n_got];
			g->taken = false;
			g->port = port;
			g->tap = false;
			if (rig_recv(r->rig, port, &g->f)) {
				r->n_got++;
				continue;
			}
			g->tap = true;
			if (!rig_tap_recv(r->rig, port, &g->f))
				break;
			r->n_got++;
		}
	}
}

static bool matches(const struct model_out *o, const struct got *g)
{
	const size_t after = o->entropy ? 36 : 34;
	unsigned int way = 0;

	if (g->taken || g->tap != o->tap || g->f.len != o->frame.len)
		return false;
	while (way < o->n_ways &&
		(o->ways[way] != g->port || memcmp(o->eth[way], g->f.data, RTE_MIN(14u, g->f.len))))
		way++;
	if (way == o->n_ways)
		return false;
	if (g->f.len <= 14)
		return true;
	if (g->f.len <= after)
		return memcmp(g->f.data + 14, o->frame.data + 14, g->f.len - 14) == 0;
	if (o->entropy && frame_get16(&g->f, 34) < 49152)
		return false;
	return memcmp(g->f.data + 14, o->frame.data + 14, 20) == 0 &&
	       memcmp(g->f.data + after, o->frame.data + after, g->f.len - after) == 0;
}

static void dump(const char *what, unsigned int port, bool tap, const uint8_t *data, size_t len)
{
	fprintf(stderr, "%s %s %u, %zu octets:", what, tap ? "TAP" : "port", port, len);
	for (size_t i = 0; i < len && i < 110; i++)
		fprintf(stderr, "%s%02x", i == 14 || i == 34 || i == 42 || i == 50 ? " " : "",
			data[i]);
	fputc('\n', stderr);
}

/* For who looks for the difference: the reference's state, before what this step taught. */
static void state_print(const struct run *r)
{
	for (unsigned int p = 0; p < MODEL_PORTS; p++)
		fprintf(stderr, "port %u: link %d admin %d segment %d\n", p, r->m.ports[p].link,
			r->m.ports[p].admin, r->m.ports[p].segment);
	for (unsigned int s = 0; s < MODEL_SEGMENTS; s++) {
		const struct model_segment *seg = &r->m.segments[s];

		fprintf(stderr, "segment %u: exists %d flood %d %d %d\n", s, seg->exists,
			seg->flood[0], seg->flood[1], seg->flood[2]);
		for (unsigned int i = 0; i < MODEL_MACS; i++) {
			const struct model_mac *e = &seg->macs[i];
			int port, vtep;

			model_mac_place(&r->m, s, i, &port, &vtep);
			fprintf(stderr,
				"  mac %u: port %d vtep %d (self %d kernel %d,%d learnt %d "
				"expiring %d)\n",
				i, port, vtep, e->self, e->kernel, e->kernel_port, e->learnt,
				e->expiring);
		}
	}
	for (unsigned int i = 0; i < DROP_COUNT; i++)
		if (rig_drops(r->rig, i) != r->drops[i])
			fprintf(stderr, "dropped in this step: %s %llu\n", drop_name(i),
				(unsigned long long)(rig_drops(r->rig, i) - r->drops[i]));
}

static void outputs_compare(struct run *r)
{
	unsigned int source = 0, source_port = 0;
	bool wrong = false;

	got_take(r);
	for (unsigned int i = 0; i < r->m.n_outs; i++) {
		const struct model_out *o = &r->m.outs[i];
		unsigned int k = 0;

		while (k < r->n_got && !matches(o, &r->got[k]))
			k++;
		if (k == r->n_got) {
			dump("missing:", o->ways[0], o->tap, o->frame.data, o->frame.len);
			dump("   of:", r->sent[o->source - 1].port, r->sent[o->source - 1].tap,
				r->sent[o->source - 1].f.data, r->sent[o->source - 1].f.len);
			wrong = true;
			continue;
		}
		r->got[k].taken = true;
		r->outputs++;
		if (!o->entropy)
			continue;
		/* all copies of a frame are one flow */
		if (o->source == source && frame_get16(&r->got[k].f, 34) != source_port) {
			dump("another source port:", r->got[k].port, false, r->got[k].f.data,
				r->got[k].f.len);
			wrong = true;
		}
		source = o->source;
		source_port = frame_get16(&r->got[k].f, 34);
	}
	for (unsigned int k = 0; k < r->n_got; k++) {
		if (r->got[k].taken)
			continue;
		dump("unwanted:", r->got[k].port, r->got[k].tap, r->got[k].f.data, r->got[k].f.len);
		wrong = true;
	}
	if (wrong)
		state_print(r);
	if (wrong)
		fail_msg("step %lu differs from the reference", r->step);
}

/* ---- changes ---- */

static void echo(struct run *r)
{
	for (unsigned int i = 0; i < r->rig->write_n; i++) {
		const struct learn_write w = r->rig->writes[i];
		const unsigned int port = w.ifindex - KERNEL_TAP(0);
		const int segment = r->m.ports[port].segment;
		unsigned int mac = 0;

		/* the kernel refuses what its port is not in a bridge for, and now and then more */
		if (segment < 0 || roll(r, 5) == 0)
			continue;
		while (memcmp(r->m.macs[mac], w.mac.addr_bytes, 6) != 0)
			assert_true(++mac < MODEL_MACS);
		if (w.op == LEARN_REPLACE) {
			kernel_mac_local(r->rig, vnis[segment], w.mac.addr_bytes, port);
			model_mac_local(&r->m, (unsigned int)segment, mac, port);
		} else {
			kernel_mac_local_del(r->rig, vnis[segment], w.mac.addr_bytes, port);
			model_mac_local_del(&r->m, (unsigned int)segment, mac, port);
		}
	}
	r->rig->write_n = 0;
}

static void change_segment(struct run *r, unsigned int segment)
{
	if (r->m.segments[segment].exists) {
		kernel_segment_del(r->rig, vnis[segment]);
		model_segment_del(&r->m, segment);
	} else {
		kernel_segment(r->rig, vnis[segment], SITE_LOCAL);
		model_segment_add(&r->m, segment);
	}
}

static void change_port(struct run *r, unsigned int port)
{
	struct model_port *p = &r->m.ports[port];
	int segment = p->segment;
	bool admin = true;

	if (roll(r, 4) == 0)
		admin = roll(r, 2);
	else
		segment = (int)roll(r, MODEL_SEGMENTS + 1) - 1;
	if (segment >= 0 && !r->m.segments[segment].exists)
		return;
	/* one message says both, as the kernel's do; which of them it does first is not told */
	if (segment != p->segment && admin != p->admin)
		admin = p->admin;
	kernel_tap(r->rig, port, admin, segment < 0 ? 0 : KERNEL_BRIDGE(vnis[segment]));
	model_attach(&r->m, port, segment);
	model_admin(&r->m, port, admin);
}

static void change_link(struct run *r, unsigned int port)
{
	const bool up = roll(r, 4) != 0;

	rig_link(r->rig, port, up);
	model_link(&r->m, port, up);
}

static void change_mac(struct run *r, unsigned int segment)
{
	const unsigned int mac = roll(r, MODEL_MACS), vtep = roll(r, MODEL_VTEPS);
	const unsigned int port = MODEL_UPLINKS + roll(r, MODEL_PORTS - MODEL_UPLINKS);

	if (!r->m.segments[segment].exists)
		return;
	switch (roll(r, 4)) {
	case 0:
	case 1:
		kernel_mac_remote(r->rig, vnis[segment], r->m.macs[mac], r->m.vteps[vtep]);
		model_mac_remote(&r->m, segment, mac, vtep);
		break;
	case 2:
		kernel_mac_remote_del(r->rig, vnis[segment], r->m.macs[mac], r->m.vteps[vtep]);
		model_mac_remote_del(&r->m, segment, mac, vtep);
		break;
	default:
		if (r->m.ports[port].segment != (int)segment)
			break;
		if (roll(r, 2)) {
			kernel_mac_local(r->rig, vnis[segment], r->m.macs[mac], port);
			model_mac_local(&r->m, segment, mac, port);
		} else {
			kernel_mac_local_del(r->rig, vnis[segment], r->m.macs[mac], port);
			model_mac_local_del(&r->m, segment, mac, port);
		}
		break;
	}
}

static void change_flood(struct run *r, unsigned int segment)
{
	const unsigned int vtep = roll(r, MODEL_VTEPS);

	if (!r->m.segments[segment].exists)
		return;
	r->m.segments[segment].flood[vtep] = roll(r, 3) != 0;
	if (r->m.segments[segment].flood[vtep])
		kernel_flood(r->rig, vnis[segment], r->m.vteps[vtep]);
	else
		kernel_flood_del(r->rig, vnis[segment], r->m.vteps[vtep]);
}

static unsigned int some_legs(struct run *r, bool legs[MODEL_UPLINKS], struct kernel_hop hops[])
{
	const unsigned int which = 1 + roll(r, 3);
	unsigned int n = 0;

	for (unsigned int i = 0; i < MODEL_UPLINKS; i++) {
		legs[i] = (which & 1u << i) != 0;
		if (legs[i])
			hops[n++] = (struct kernel_hop){.port = i,
				.via = hop_addrs[i],
				.weight = (uint8_t)(1 + roll(r, 4))};
	}
	return n;
}

static void change_route(struct run *r)
{
	static const struct {
		uint32_t addr;
		uint8_t len;
	} prefixes[] = {{IP4(10, 254, 0, 0), 16}, {IP4(10, 254, 2, 0), 24}, {IP4(12, 0, 0, 0), 8},
		{IP4(12, 1, 128, 0), 17}, {0, 0}};
	uint32_t addr = r->m.vteps[roll(r, MODEL_VTEPS)];
	struct kernel_hop hops[MODEL_UPLINKS];
	struct model_route *route;
	unsigned int n;
	uint8_t len = 32;

	if (roll(r, 2)) {
		n = roll(r, RTE_DIM(prefixes));
		addr = prefixes[n].addr;
		len = prefixes[n].len;
	}
	route = model_route(&r->m, addr, len);
	switch (roll(r, 7)) {
	case 0:
		model_route_del(&r->m, addr, len);
		kernel_route_del(r->rig, addr, len);
		break;
	case 1:
		route->kind = MODEL_ROUTE_BLACKHOLE;
		kernel_route_type(r->rig, addr, len, RTN_BLACKHOLE);
		break;
	case 2:
		route->kind = MODEL_ROUTE_UNREACHABLE;
		kernel_route_type(r->rig, addr, len, RTN_UNREACHABLE);
		break;
	case 3:
		route->kind = MODEL_ROUTE_NEXTHOP;
		route->nexthop = roll(r, 3);
		kernel_route_nexthop(
			r->rig, addr, len, route->nexthop == 0 ? GROUP_ID : route->nexthop);
		break;
	default:
		route->kind = MODEL_ROUTE_LEGS;
		n = some_legs(r, route->leg, hops);
		kernel_route(r->rig, addr, len, hops, n);
		break;
	}
}

static void change_group(struct run *r)
{
	struct kernel_hop hops[MODEL_UPLINKS];
	uint32_t ids[MODEL_UPLINKS];
	uint8_t weights[MODEL_UPLINKS];
	const unsigned int n = some_legs(r, r->m.nexthops[0], hops);

	for (unsigned int i = 0; i < n; i++) {
		ids[i] = hops[i].port + 1;
		weights[i] = hops[i].weight;
	}
	kernel_nexthop_group(r->rig, GROUP_ID, ids, weights, n);
}

static void change_neighbour(struct run *r)
{
	const unsigned int i = roll(r, MODEL_UPLINKS);

	r->m.neighbour[i] = roll(r, 4) != 0;
	if (r->m.neighbour[i])
		r->m.hop_mac[i][5] = (uint8_t)roll(r, 256);
	kernel_neigh(r->rig, i, hop_addrs[i], r->m.neighbour[i] ? r->m.hop_mac[i] : NULL);
}

/* A MAC falls silent: its stamp becomes old, and the walk over all entries comes by. */
static void age(struct run *r, unsigned int segment)
{
	const unsigned int mac = roll(r, MODEL_MACS);
	struct tables *t = r->rig->dp->tables;
	uint16_t bd = bd_by_vni(t->bds, vnis[segment]);
	int port, vtep;
	uint64_t key = 0;
	uint32_t expect, found, to;

	if (bd == BD_NONE)
		return;
	model_mac_place(&r->m, segment, mac, &port, &vtep);
	if (port < 0)
		return;
	for (int i = 5; i >= 0; i--)
		key = key << 8 | r->m.macs[mac][i];
	key = rte_cpu_to_le_64((uint64_t)bd << 48 | key);
	expect = fdb_dest(FDB_KIND_AC, (uint16_t)port);
	fdb_switch_bulk(t->fdb, &key, &expect, &key, 1, tables_now() - 1000, &found, &to);
	assert_int_equal(found, expect);
	r->fake_ms += 5000;
	learn_poll(r->rig->dp->learn, r->fake_ms);
	mirror_settle(r->rig->dp->mirror);
	model_mac_age(&r->m, segment, mac);
}

static void change(struct run *r)
{
	const unsigned int segment = roll(r, MODEL_SEGMENTS);

	r->changes++;
	switch (roll(r, 20)) {
	case 0:
		if (roll(r, 8) == 0 || !r->m.segments[segment].exists)
			change_segment(r, segment);
		break;
	case 1:
	case 2:
	case 3:
		change_port(r, MODEL_UPLINKS + roll(r, MODEL_PORTS - MODEL_UPLINKS));
		break;
	case 4:
		change_link(r, roll(r, MODEL_PORTS));
		break;
	case 5:
	case 6:
	case 7:
	case 8:
		change_mac(r, segment);
		break;
	case 9:
	case 10:
		change_flood(r, segment);
		break;
	case 11:
	case 12:
		change_route(r);
		break;
	case 13:
		change_group(r);
		break;
	case 14:
		change_neighbour(r);
		break;
	case 15:
	case 16:
		age(r, segment);
		break;
	default:
		echo(r);
		break;
	}
}

static void local_route(struct run *r, uint32_t addr)
{
	kernel_local(r->rig, addr);
	model_route(&r->m, addr, 32)->kind = MODEL_ROUTE_LOCAL;
}

static void world_make(struct run *r)
{
	struct model *m = &r->m;

	model_init(m);
	m->local = SITE_LOCAL;
	m->vteps[0] = SITE_VTEP2;
	m->vteps[1] = SITE_VTEP3;
	m->vteps[2] = SITE_VTEP4;
	for (unsigned int i = 0; i < MODEL_MACS; i++)
		memcpy(m->macs[i], MAC(1, i), 6);
	for (unsigned int i = 0; i < RIG_PORTS; i++) {
		memcpy(m->ports[i].mac, rig_mac(i), 6);
		kernel_tap(r->rig, i, true, 0);
		m->ports[i].admin = m->ports[i].link = true;
	}
	local_route(r, SITE_LOCAL);
	local_route(r, SITE_HOP0 - 1);
	local_route(r, SITE_HOP1 - 1);
	for (unsigned int i = 0; i < MODEL_UPLINKS; i++) {
		memcpy(m->hop_mac[i], MAC(0xbb, i), 6);
		kernel_neigh(r->rig, i, hop_addrs[i], m->hop_mac[i]);
		m->neighbour[i] = true;
		kernel_nexthop(r->rig, i + 1, i, hop_addrs[i]);
		m->nexthops[i + 1][i] = true;
	}
	change_group(r);
	for (unsigned int i = 0; i < MODEL_SEGMENTS; i++) {
		m->segments[i].vni = vnis[i];
		change_segment(r, i);
	}
	r->fake_ms = (uint64_t)loop_now_ms() + 1000000000;
}

static unsigned long number_of(const char *name, unsigned long otherwise)
{
	const char *text = getenv(name);

	return text != NULL ? strtoul(text, NULL, 0) : otherwise;
}

static void test_model(void **state)
{
	const unsigned long seed = number_of("MODEL_SEED", 0x5eedULL);
	const unsigned long steps = number_of("MODEL_STEPS", STEPS);
	struct run *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	print_message("seed 0x%lx (MODEL_SEED), %lu steps (MODEL_STEPS)\n", seed, steps);
	r->dice = seed * 0x9e3779b97f4a7c15ULL | 1;
	r->rig = rig_open(NULL);
	world_make(r);
	for (r->step = 0; r->step < steps; r->step++) {
		if (roll(r, 3) == 0) {
			change(r);
			continue;
		}
		/* a worker does not tell the same twice within 100 ms: let them have passed */
		memset(r->rig->worker->filter, 0,
			WORKER_FILTER_SLOTS * sizeof(*r->rig->worker->filter));
		memcpy(r->drops, r->rig->worker->drops, sizeof(r->drops));
		frames_send(r);
		rig_run(r->rig);
		outputs_compare(r);
		model_step_end(&r->m);
		if (roll(r, 2))
			echo(r);
	}
	print_message("%lu frames in, %lu out, %lu changes\n", r->frames, r->outputs, r->changes);
	rig_close(r->rig);
	free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_model),
	};

	return cmocka_run_group_tests_name("model", tests, rig_group_setup, rig_group_teardown);
}
