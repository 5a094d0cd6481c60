/*
 * The link state of wire interfaces, read from a NETLINK_ROUTE socket that has joined RTNLGRP_LINK
 * (packet_link_socket_open()). Free of DPDK: used by packet.c and by the holder.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <linux/netlink.h>

struct wirelink_state {
	uint32_t ifindex;
	char name[16];
	bool deleted;
	bool up;        /* administratively up, carrier, operational state up or unknown */
	uint32_t mtu;   /* octets; 0 = not said */
	uint8_t mac[6]; /* zero = not said */
};

/* Ask for an interface's state (RTM_GETLINK); the answer is read by wirelink_read(). `ifindex` 0:
 * all interfaces. Returns 0 or a negative errno. */
int wirelink_request(int fd, uint32_t ifindex);

/*
 * Read all waiting messages and call `cb` for each state in them, in order; an interface that an
 * earlier request did not find is reported as deleted with ifindex 0. Never blocks on a
 * non-blocking socket. Returns 0, -ENOBUFS when messages were lost (ask again), or another negative
 * errno.
 */
int wirelink_read(int fd, void (*cb)(const struct wirelink_state *state, void *arg), void *arg);

/*
 * The message after `nlh`, with *left octets from `nlh` on (NLMSG_OK() holds of both); *left is
 * what is left from the next one on. NLMSG_NEXT() wraps round when the last message is not padded.
 */
static inline const struct nlmsghdr *wirelink_next(const struct nlmsghdr *nlh, unsigned int *left)
{
	const unsigned int step = NLMSG_ALIGN(nlh->nlmsg_len);

	if (step >= *left) {
		*left = 0;
		return nlh;
	}
	*left -= step;
	return (const struct nlmsghdr *)(const void *)((const char *)nlh + step);
}
