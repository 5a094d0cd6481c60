/*
 * The cases that are measured: which frames come in, and what the tables hold for them.
 *
 * One description serves everyone who is measured: the graph between memory ports (cycles.c), the
 * whole program (product.c), and the peers, which get the same frames as a capture and the same
 * state as OpenFlow rules (captures.c). Ports are numbered here as ACCESS and UPLINK.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/tables/tables.h"
#include "tests/packet/frame.h"

enum case_port {
	CASE_ACCESS,
	CASE_UPLINK,
	CASE_ACCESS_OUT, /* a second access port: what came by the uplink may leave by it */
	CASE_PORTS,
};

enum case_kind {
	CASE_ENCAP,
	CASE_DECAP,
	CASE_TRANSIT,
	CASE_FLOOD,
};

#define CASE_VNI       10010
#define CASE_VTEPS     8
#define CASE_ROUTES    1000
#define CASE_LOCAL     IP4(10, 254, 1, 1)
/* the VTEP number n, 0 .. CASE_VTEPS - 1 */
#define CASE_REMOTE(n) IP4(10, 254, 2, (n) + 1)
/* the router that all of them are reached by */
#define CASE_HOP       IP4(10, 0, 0, 1)

struct bench_case {
	const char *name; /* a word */
	const char *text;
	enum case_kind kind;
	uint32_t flows;  /* frames of the capture */
	uint32_t macs;   /* of each side: that many local, that many remote ones */
	uint32_t copies; /* frames that leave for each that comes */
	double aim;      /* cycles a frame that leaves */
	uint16_t vlan;   /* the access side is this VLAN of its port; 0 = untagged */
};

/* All of them; a NULL name ends the list. */
extern const struct bench_case bench_cases[];

/* The same with a tagged access side, for cycles.c alone; a NULL name ends the list. */
extern const struct bench_case bench_cases_tagged[];

/* The case of this name, or NULL. */
const struct bench_case *case_find(const char *name);

/* The port that frames come in by, and the one they leave by. */
enum case_port case_in(const struct bench_case *c);
enum case_port case_out(const struct bench_case *c);

/* MACs of our ports and of the next hop. */
extern const uint8_t case_mac[CASE_PORTS][6];
extern const uint8_t case_hop_mac[6];

/* The MAC number n: a local one (behind CASE_ACCESS) or one behind VTEP n % CASE_VTEPS. */
void case_local_mac(uint8_t mac[6], uint32_t n);
void case_remote_mac(uint8_t mac[6], uint32_t n);

/* The frame number i (0 .. flows - 1), 64 octets on a wire (60 here) before any outer header. */
void case_frame(const struct bench_case *c, uint32_t i, struct frame_bytes *f);

/* Tables for the case; the ports must be in them already. Returns the domain. */
uint16_t case_tables(const struct bench_case *c, struct tables *t);

/* Entries of the FDB that the case needs. */
uint32_t case_fdb_size(const struct bench_case *c);
