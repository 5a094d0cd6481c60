/*
 * The reference: what a node must do with a frame, written a second time and as simply as possible.
 *
 * It shares nothing with the dataplane: no header, no table, no hash; everything is an array that
 * is searched from its beginning, every checksum is computed over the whole header. It knows what
 * the kernel has said and what was learnt, and says for each frame which frames must leave by which
 * port or TAP. Where a flow hash decides (leg of a group, UDP source port) it says what is allowed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MODEL_PORTS    5 /* 0 and 1 are uplinks, the others access ports */
#define MODEL_UPLINKS  2
#define MODEL_SEGMENTS 2
#define MODEL_VTEPS    3
#define MODEL_MACS     12
#define MODEL_ROUTES   16
#define MODEL_NEXTHOPS 4
#define MODEL_OUTS     512
#define MODEL_EVENTS   256
#define MODEL_FRAME    2048

struct model_frame {
	size_t len;
	uint8_t data[MODEL_FRAME];
};

/* A frame that must leave. */
struct model_out {
	bool tap;            /* to the kernel, by the TAP of ways[0] */
	bool entropy;        /* octets 34, 35 are a source port of 49152 .. 65535 */
	unsigned int source; /* number of the frame it came of: copies have one source port */
	unsigned int n_ways; /* 1, or more where a flow hash decides */
	unsigned int ways[MODEL_UPLINKS]; /* ports */
	uint8_t eth[MODEL_UPLINKS][14];   /* with this Ethernet header */
	struct model_frame frame;
};

enum model_kernel_mac {
	MODEL_MAC_NONE,
	MODEL_MAC_VXLAN,
	MODEL_MAC_PORT,
};

enum model_route_kind {
	MODEL_ROUTE_LOCAL,
	MODEL_ROUTE_LEGS,
	MODEL_ROUTE_NEXTHOP, /* by a next-hop object */
	MODEL_ROUTE_BLACKHOLE,
	MODEL_ROUTE_UNREACHABLE,
};

struct model {
	struct model_port {
		uint8_t mac[6];
		bool link, admin;
		int segment; /* -1: none */
	} ports[MODEL_PORTS];

	struct model_segment {
		bool exists;
		uint32_t vni;
		bool flood[MODEL_VTEPS];
		struct model_mac {
			int self;                     /* VTEP of the vxlan device's entry, -1 */
			enum model_kernel_mac kernel; /* the bridge's entry */
			int kernel_port;
			int learnt;    /* port, -1 */
			bool expiring; /* the kernel was asked to forget it */
		} macs[MODEL_MACS];
	} segments[MODEL_SEGMENTS];

	struct model_route {
		bool used;
		uint32_t addr;
		unsigned int len;
		enum model_route_kind kind;
		bool leg[MODEL_UPLINKS];
		unsigned int nexthop;
	} routes[MODEL_ROUTES];

	bool nexthops[MODEL_NEXTHOPS][MODEL_UPLINKS]; /* legs of next-hop objects and groups */
	bool neighbour[MODEL_UPLINKS];
	uint8_t hop_mac[MODEL_UPLINKS][6];
	uint8_t macs[MODEL_MACS][6];
	uint32_t vteps[MODEL_VTEPS];
	uint32_t local;

	/* of this step */
	struct model_out outs[MODEL_OUTS];
	unsigned int n_outs;
	struct model_event {
		unsigned int port, segment, mac;
		int saw_port, saw_vtep;
	} events[MODEL_EVENTS];
	unsigned int n_events;
	unsigned int source;
};

/* Everything absent: no link, no segment, no route. Addresses and MACs are the caller's to set. */
void model_init(struct model *m);

/* A frame comes in by a port, or from the kernel by its TAP. */
void model_frame_in(struct model *m, unsigned int port, const struct model_frame *f);
void model_tap_in(struct model *m, unsigned int port, const struct model_frame *f);

/* The end of a step: what its frames taught is learnt. Forgets outs. */
void model_step_end(struct model *m);

/* What the kernel says; a segment's removal also takes its ports out. */
void model_segment_add(struct model *m, unsigned int segment);
void model_segment_del(struct model *m, unsigned int segment);
void model_attach(struct model *m, unsigned int port, int segment);
void model_link(struct model *m, unsigned int port, bool up);
void model_admin(struct model *m, unsigned int port, bool up);
void model_mac_remote(struct model *m, unsigned int segment, unsigned int mac, unsigned int vtep);
void model_mac_remote_del(
	struct model *m, unsigned int segment, unsigned int mac, unsigned int vtep);
void model_mac_local(struct model *m, unsigned int segment, unsigned int mac, unsigned int port);
void model_mac_local_del(
	struct model *m, unsigned int segment, unsigned int mac, unsigned int port);
/* A learnt MAC was silent for too long. */
void model_mac_age(struct model *m, unsigned int segment, unsigned int mac);

/* The route of exactly this prefix: made if absent (the caller fills it in), or removed. */
struct model_route *model_route(struct model *m, uint32_t addr, unsigned int len);
void model_route_del(struct model *m, uint32_t addr, unsigned int len);

/* Where the segment's forwarding table has the MAC: *port or *vtep is its number, others are -1. */
void model_mac_place(
	const struct model *m, unsigned int segment, unsigned int mac, int *port, int *vtep);

/* RFC 1071 over len octets (an even number). */
uint16_t model_checksum(const uint8_t *data, size_t len);
