/*
 * Changes of kernel state, each one rtnetlink request, sent in batches over libnl. libnl-route 3.7
 * knows neither bridge-port flags nor bridge options, so all messages are built here from
 * attributes over libnl's core; this is the one file that does.
 */
#pragma once

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct nl_sock;

enum kop_type {
	KOP_BRIDGE_ADD, /* name, mac, mtu */
	KOP_VXLAN_ADD,  /* name, mac, mtu, vni, ip = local VTEP, master (0 = none yet) */
	KOP_LINK_DEL,   /* ifindex */
	KOP_GROUP,      /* ifindex, group: for a deletion of many at once */
	KOP_GROUP_DEL,  /* group: all links that are in it */
	KOP_BRIDGE_SET, /* ifindex: snooping, STP, forward delay */
	KOP_ALIAS,      /* ifindex, alias */
	KOP_MTU,        /* ifindex, mtu */
	KOP_GENMODE,    /* ifindex: IPv6 addrgenmode none */
	KOP_MASTER,     /* ifindex, master (0 = leave) */
	KOP_BRPORT,     /* ifindex: isolated on, learning off */
	KOP_UP,         /* ifindex */
	KOP_ADDR_ADD,   /* ifindex, ip, plen */
	KOP_ADDR_DEL,   /* ifindex, ip, plen */
	KOP_TYPES,
};

#define KOP_ALIAS_MAX 64
#define KOP_ERROR_MAX 128

struct kop {
	enum kop_type type;
	int ifindex;
	char name[IFNAMSIZ]; /* of the link, for messages too */
	char alias[KOP_ALIAS_MAX];
	uint8_t mac[6];
	uint32_t mtu;
	uint32_t vni;
	uint32_t ip; /* host byte order */
	uint8_t plen;
	int master;
	uint32_t group;
	bool slow; /* deletion of a bridge: the kernel takes some 18 ms for each, in a group too */
	/* For whom: set by the planner, untouched here. */
	size_t segment;     /* index, or KOP_NO_SEGMENT */
	size_t attachment;  /* index within the segment, or KOP_NO_SEGMENT */
	size_t group_count; /* for write.c: changes that travel in this one's request */
	/* Outcome. */
	int err; /* 0 or a negative errno */
	char error[KOP_ERROR_MAX];
};
#define KOP_NO_SEGMENT ((size_t)-1)

struct kwrite {
	struct nl_sock *sk;
	uint32_t seq;
	uint64_t writes; /* requests sent since the start */
	char *buf;
};

/* Returns 0 or a negative errno. */
int kwrite_open(struct kwrite *w);
void kwrite_close(struct kwrite *w);

/*
 * Send all, in order, and wait for the kernel's answers (it answers within the system call). Fills
 * in err and error of each; one that fails doesn't stop those behind it. Neighbouring changes of
 * one link travel in one request. Returns 0, or a negative errno when the socket itself failed
 * (then ops without an answer have that errno).
 */
int kwrite_run(struct kwrite *w, struct kop *ops, size_t count);

/* "vxlan device made", for reports. */
const char *kop_name(enum kop_type type);
