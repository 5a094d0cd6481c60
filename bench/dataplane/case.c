/* The measured cases; see case.h. */
#include "dataplane/dpdk_compat.h"

#include "bench/dataplane/case.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "tests/packet/direct.h"

/* 60 octets with Ethernet, IPv4 and UDP headers */
#define PAYLOAD 18

const uint8_t case_hop_mac[6] = {0x02, 0xbb, 0, 0, 0, 1};
const uint8_t case_mac[CASE_PORTS][6] = {
	[CASE_ACCESS] = {0x02, 0xaa, 0, 0, 1, 1},
	[CASE_UPLINK] = {0x02, 0xaa, 0, 0, 0, 1},
	[CASE_ACCESS_OUT] = {0x02, 0xaa, 0, 0, 1, 2},
};

const struct bench_case bench_cases[] = {
	{"encap-256", "encapsulate, 256 flows, 64 MACs", CASE_ENCAP, 256, 64, 1, 75},
	{"encap-64k", "encapsulate, 64k flows, 10k MACs", CASE_ENCAP, 65536, 10000, 1, 95},
	{"decap-256", "decapsulate, 256 flows, 64 MACs", CASE_DECAP, 256, 64, 1, 75},
	{"decap-64k", "decapsulate, 64k flows, 10k MACs", CASE_DECAP, 65536, 10000, 1, 95},
	{"transit", "underlay transit, 1k routes", CASE_TRANSIT, 4096, 64, 1, 70},
	{"flood", "flood to 8 VTEPs, per copy", CASE_FLOOD, 256, 64, CASE_VTEPS, 60},
	{"encap-1m", "encapsulate, 1M MACs, 64k flows", CASE_ENCAP, 65536, 500000, 1, 160},
	{"decap-1m", "decapsulate, 1M MACs, 64k flows", CASE_DECAP, 65536, 500000, 1, 160},
	{0},
};

const struct bench_case bench_cases_tagged[] = {
	{"encap-vlan-256", "802.1Q: encapsulate, 256 flows, 64 MACs", CASE_ENCAP, 256, 64, 1, 80,
		100},
	{"encap-vlan-64k", "802.1Q: encapsulate, 64k flows, 10k MACs", CASE_ENCAP, 65536, 10000, 1,
		100, 100},
	{"decap-vlan-256", "802.1Q: decapsulate, 256 flows, 64 MACs", CASE_DECAP, 256, 64, 1, 80,
		100},
	{"decap-vlan-64k", "802.1Q: decapsulate, 64k flows, 10k MACs", CASE_DECAP, 65536, 10000, 1,
		100, 100},
	{0},
};

const struct bench_case *case_find(const char *name)
{
	for (const struct bench_case *c = bench_cases; c->name != NULL; c++)
		if (strcmp(c->name, name) == 0)
			return c;
	for (const struct bench_case *c = bench_cases_tagged; c->name != NULL; c++)
		if (strcmp(c->name, name) == 0)
			return c;
	return NULL;
}

enum case_port case_in(const struct bench_case *c)
{
	return c->kind == CASE_ENCAP || c->kind == CASE_FLOOD ? CASE_ACCESS : CASE_UPLINK;
}

enum case_port case_out(const struct bench_case *c)
{
	return c->kind == CASE_DECAP ? CASE_ACCESS : CASE_UPLINK;
}

static void mac_of(uint8_t mac[6], uint8_t side, uint32_t n)
{
	mac[0] = 0x02;
	mac[1] = 0;
	mac[2] = side;
	mac[3] = (uint8_t)(n >> 16);
	mac[4] = (uint8_t)(n >> 8);
	mac[5] = (uint8_t)n;
}

void case_local_mac(uint8_t mac[6], uint32_t n)
{
	mac_of(mac, 1, n);
}

void case_remote_mac(uint8_t mac[6], uint32_t n)
{
	mac_of(mac, 2, n);
}

/* Frames come in no order that a processor could foretell. */
static uint32_t scramble(uint32_t i, uint32_t n)
{
	uint32_t h = i * 2654435761u;

	h ^= h >> 15;
	h *= 2246822519u;
	return (h ^ h >> 13) % n;
}

/* Put a tag into a frame of an access port. */
static void tag_put(struct frame_bytes *f, uint16_t vid)
{
	memmove(f->data + 16, f->data + 12, f->len - 12);
	f->len += 4;
	frame_set16(f, 12, VLAN_TPID_Q);
	frame_set16(f, 14, vid);
}

void case_frame(const struct bench_case *c, uint32_t i, struct frame_bytes *f)
{
	static const uint8_t everybody[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	const uint32_t a = scramble(i, c->macs), b = scramble(~i, c->macs);
	const uint32_t from = IP4(10, 1, i >> 8 & 255, i & 255), to = IP4(10, 2, i & 255, 1);
	const uint16_t sport = (uint16_t)(1024 + i % 4096);
	struct frame_bytes inner;
	uint8_t src[6], dst[6];

	switch (c->kind) {
	case CASE_ENCAP:
		case_local_mac(src, a);
		case_remote_mac(dst, b);
		frame_udp4(f, dst, src, from, to, sport, 2000, PAYLOAD);
		if (c->vlan != 0)
			tag_put(f, c->vlan);
		break;
	case CASE_FLOOD:
		case_local_mac(src, a);
		frame_udp4(f, everybody, src, from, IP4(255, 255, 255, 255), 68, 67, PAYLOAD);
		break;
	case CASE_DECAP:
		case_remote_mac(src, a);
		case_local_mac(dst, b);
		frame_udp4(&inner, dst, src, from, to, sport, 2000, PAYLOAD);
		frame_encap(f, case_mac[CASE_UPLINK], case_hop_mac, CASE_REMOTE(a % CASE_VTEPS),
			CASE_LOCAL, (uint16_t)(49152 + i % 16384), CASE_VNI, &inner);
		break;
	case CASE_TRANSIT:
		frame_udp4(f, case_mac[CASE_UPLINK], case_hop_mac, from,
			IP4(100, scramble(i, CASE_ROUTES) >> 8, scramble(i, CASE_ROUTES) & 255, 1),
			sport, 2000, PAYLOAD);
		break;
	}
}

uint32_t case_fdb_size(const struct bench_case *c)
{
	return 2 * c->macs + 1024;
}

uint16_t case_tables(const struct bench_case *c, struct tables *t)
{
	const struct ac_config tagged = {
		.port = CASE_ACCESS, .n_tags = 1, .outer_tpid = VLAN_TPID_Q, .vid = {c->vlan}};
	uint16_t both[] = {CASE_ACCESS, CASE_ACCESS_OUT};
	/* metered as ever, never refused: copies are what is measured */
	static const struct storm_pps unlimited = {
		.pps = {STORM_PPS_MAX, STORM_PPS_MAX, STORM_PPS_MAX}};
	uint16_t vteps[CASE_VTEPS], adj, group, bd;
	uint8_t mac[6];

	storm_set_default(&t->limits.storm, &unlimited, &unlimited);
	direct_ports_up(t);
	adj = direct_adj(t, CASE_UPLINK, CASE_HOP, case_hop_mac);
	group = direct_group(t, &adj, 1);
	for (unsigned int i = 0; i < CASE_VTEPS; i++)
		vteps[i] = direct_vtep(t, CASE_LOCAL, CASE_REMOTE(i), group);
	if (c->vlan != 0) {
		both[0] = (uint16_t)ac_add(&t->acs, &tagged);
		assert_in_range(both[0], AC_TAGGED, AC_NONE - 1);
	}
	/* flooded frames shall go to VTEPs alone */
	bd = direct_bd(
		t, CASE_VNI, CASE_LOCAL, both, c->kind == CASE_FLOOD ? 1 : 2, vteps, CASE_VTEPS);
	for (uint32_t i = 0; i < c->macs; i++) {
		case_local_mac(mac, i);
		assert_int_equal(
			fdb_put(t->fdb, fdb_key(bd, mac), fdb_dest(FDB_KIND_AC, both[0]), 0), 1);
		case_remote_mac(mac, i);
		assert_int_equal(fdb_put(t->fdb, fdb_key(bd, mac),
					 fdb_dest(FDB_KIND_VTEP, vteps[i % CASE_VTEPS]), 0),
			1);
	}
	assert_int_equal(fib4_put(t->fib, CASE_LOCAL, 32, FIB4_LOCAL), 0);
	for (uint32_t i = 0; i < CASE_ROUTES; i++)
		assert_int_equal(fib4_put(t->fib, IP4(100, i >> 8, i & 255, 0), 24,
					 (uint16_t)(FIB4_NHG + group)),
			0);
	return bd;
}
