/*
 * The forwarding process's end of the talk with the port holder (dataplane/port/handover.h):
 * what was given at the start, and requests to the kernel afterwards.
 *
 * Main thread. After holder_link_start() the socket is non-blocking and belongs to the main loop.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/loop.h"
#include "dataplane/mirror/learn.h"
#include "dataplane/port/handover.h"

/* FDB writes that wait for the kernel's answers: bounds what is under way. */
#define HOLDER_BATCHES 16

struct holder_given {
	struct port_spec ports[PORT_MAX];
	unsigned int port_count;
	struct handover_netlink netlink;
	int api_fd; /* -1: none */
};

struct holder_link {
	int fd;
	struct loop *loop;
	struct loop_watch watch;
	struct learn *learn;
	bool gone;                /* the holder has: end the process */
	bool go;                  /* the ports are ours */
	bool (*alive)(void *ctx); /* asked before PING is answered; NULL: always */
	void *ctx;
	uint32_t seq;
	uint64_t busy;   /* requests put off because the holder's queue was full */
	uint64_t failed; /* writes that the kernel refused */
	struct holder_batch {
		uint32_t seq; /* 0: free */
		uint32_t n;
		struct learn_write writes[HANDOVER_BATCH];
	} batches[HOLDER_BATCHES];
};

/*
 * Receive everything up to START from `fd`. Blocks at most `timeout_ms` for each message. Returns
 * 0, or a negative errno (logged); what had been given is then closed.
 */
int holder_receive(int fd, int timeout_ms, struct holder_given *given);

/* Close what is left of what was given (descriptors that are not -1). */
void holder_given_close(struct holder_given *given);

/* Take over `fd` into the loop. Returns 0 or a negative errno. */
int holder_link_start(struct holder_link *link, struct loop *loop, int fd);
void holder_link_stop(struct holder_link *link);

/* Say that we are set up; link->go becomes true when the holder has let go of the ports. Returns 0
 * or a negative errno. */
int holder_link_ready(struct holder_link *link);

/* As learn_options.write, with a struct holder_link as context. */
int holder_link_write(void *ctx, const struct learn_write writes[], unsigned int n);

/* Ask for a neighbour to be resolved. May be lost (it is repeated by who needs it). */
void holder_link_probe(struct holder_link *link, uint32_t tap_ifindex, uint32_t address);

/* Tell MAC and MTU of an ethdev port for its TAP. May be lost: logged. */
void holder_link_tap_set(struct holder_link *link, uint32_t tap_ifindex, uint32_t mtu,
	const uint8_t mac[6], bool up);
