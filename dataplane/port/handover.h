/*
 * The protocol between the port holder and the forwarding process: descriptors down, requests up.
 *
 * A SOCK_SEQPACKET unix socketpair that the forwarding process inherits; its number is given as
 * `--handover-fd N`. The holder starts it as
 *
 *	audums-dataplane --handover-fd 3 --run DIR --log-level LEVEL
 *
 * The talk: holder sends HELLO, each PORT (with descriptors), NETLINK, API, START. The forwarding
 * process sets itself up and sends READY; until then it must not read the ports or TAPs, because
 *the holder pumps control traffic through them. The holder stops pumping and answers GO; from then
 *on the ports are the forwarding process's. Later it may send FDB_WRITE (answered by FDB_RESULT
 *with the same seq), NEIGH_PROBE and TAP_SET (not answered). The end of file means that the other
 *one is gone: the forwarding process then ends itself. From GO on the holder sends PING once a
 *second; a forwarding process all of whose threads work answers PONG with the same seq. One that
 *leaves several in a row unanswered is killed and started again.
 *
 * One message is one datagram: a header and a body of a fixed size for its type, in the machine's
 * byte order (addresses in network order). Invariant: what handover_recv() returns is valid in
 * every field, and the descriptors are exactly those that the type calls for.
 */
#pragma once

#include <stdint.h>

#include "dataplane/port/port_spec.h"

#define HANDOVER_VERSION 2
#define HANDOVER_BATCH   64 /* FDB writes in one message */

enum handover_type {
	HANDOVER_HELLO = 1, /* version */
	HANDOVER_PORT,      /* port; its descriptors are in port.tap_fd, packet_fd, link_fd */
	HANDOVER_NETLINK,   /* netlink */
	HANDOVER_API,       /* api_fd: listening unix stream socket, RUN/dataplane.sock */
	HANDOVER_START,     /* the list is complete */
	HANDOVER_READY,     /* to the holder */
	HANDOVER_GO,
	HANDOVER_FDB_WRITE,   /* to the holder: fdb */
	HANDOVER_FDB_RESULT,  /* result */
	HANDOVER_NEIGH_PROBE, /* to the holder: probe */
	HANDOVER_TAP_SET,     /* to the holder: tap */
	HANDOVER_PING,        /* ping */
	HANDOVER_PONG,        /* to the holder: ping, as it came */
	HANDOVER_TYPES,
};

enum handover_fdb_op {
	HANDOVER_FDB_REPLACE = 1, /* bridge fdb replace MAC dev TAP master extern_learn */
	HANDOVER_FDB_DELETE = 2,  /* bridge fdb del MAC dev TAP master; absent is no error */
};

struct handover_fdb_entry {
	uint32_t tap_ifindex; /* an access port's TAP, or a VLAN device on it */
	uint8_t op;           /* enum handover_fdb_op */
	uint8_t mac[6];       /* unicast */
	uint8_t pad;          /* 0 */
};

struct handover_fdb_write {
	uint32_t seq; /* the sender's, comes back in the result */
	uint32_t n;   /* 1 .. HANDOVER_BATCH; done in this order */
	struct handover_fdb_entry entries[HANDOVER_BATCH];
};

struct handover_fdb_result {
	uint32_t seq;
	uint32_t n;                    /* entries of the request */
	uint32_t failed;               /* how many of error[] are not 0 */
	int32_t error[HANDOVER_BATCH]; /* by index of the request: 0 or a negative errno */
};

/* Make the kernel resolve a neighbour (RTM_NEWNEIGH with NTF_USE). */
struct handover_neigh_probe {
	uint32_t tap_ifindex; /* an uplink's TAP */
	uint32_t address;     /* IPv4, network order */
};

enum handover_link {
	HANDOVER_LINK_KEEP = 0,
	HANDOVER_LINK_DOWN = 1,
	HANDOVER_LINK_UP = 2,
};

/* ethdev ports: the wire's MAC, MTU and link, which only the forwarding process can know; the
 * holder gives them to the TAP. Sent at the start and after each change. Refused (logged) for
 * packet ports. */
struct handover_tap_set {
	uint32_t tap_ifindex;
	uint32_t mtu; /* octets; 0 = leave */
	uint8_t mac[6];
	uint8_t link; /* enum handover_link */
	uint8_t pad;
};

/*
 * Both sockets are NETLINK_ROUTE of the site's namespace, non-blocking. `event_fd` has joined LINK,
 * NEIGH, IPv4 and IPv6 IFADDR and ROUTE, NEXTHOP and has a receive buffer of 64 MB; `dump_fd` has
 * joined nothing and has the same buffer. Both have NETLINK_EXT_ACK; dump_fd also
 * NETLINK_GET_STRICT_CHK.
 */
struct handover_netlink {
	int event_fd;
	int dump_fd;
};

struct handover_msg {
	enum handover_type type;
	union {
		uint32_t version;
		struct port_spec port;
		struct handover_netlink netlink;
		int api_fd;
		struct handover_fdb_write fdb;
		struct handover_fdb_result result;
		struct handover_neigh_probe probe;
		struct handover_tap_set tap;
		uint32_t ping; /* seq, the holder's */
	};
};

/*
 * Send a message; descriptors in it stay the caller's (the peer gets copies). Does not block on a
 * non-blocking socket: -EAGAIN means that the peer's queue is full, send the same later. Other
 * errors: -EINVAL (the message is not valid), -EPIPE (peer gone). No SIGPIPE.
 */
int handover_send(int fd, const struct handover_msg *msg);

/*
 * Receive one message into *msg; descriptors in it become the caller's (close-on-exec). Returns 0;
 * -EAGAIN (non-blocking socket, nothing there); -EPIPE (peer closed); -EBADMSG (unknown type, wrong
 * size, invalid field or descriptors: *msg is unusable and its descriptors are closed; the
 * connection should be given up).
 */
int handover_recv(int fd, struct handover_msg *msg);

/*
 * Wait until `fd` is readable and receive; blocks at most `timeout_ms` (-1: for ever), then
 * -ETIMEDOUT. For the start of the forwarding process. Errors as handover_recv().
 */
int handover_recv_wait(int fd, int timeout_ms, struct handover_msg *msg);

/* Close the descriptors that a received message holds and set them to -1. */
void handover_msg_close(struct handover_msg *msg);

/* The type's name for logs. */
const char *handover_type_name(enum handover_type type);
