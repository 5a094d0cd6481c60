/*
 * Opens what a packet port is made of, with the privilege that takes. Called by the holder, and by
 * tests, in the wire's namespace.
 */
#include "dataplane/port/packet.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/ethernet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

static int option_set(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

int packet_socket_open(uint32_t ifindex)
{
	struct sockaddr_ll address = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_ALL),
		.sll_ifindex = (int)ifindex,
	};
	struct packet_mreq promiscuous = {
		.mr_ifindex = (int)ifindex,
		.mr_type = PACKET_MR_PROMISC,
	};
	int rc;
	/* no PACKET_QDISC_BYPASS: it drops super-frames that a device cannot segment itself */
	/* protocol 0: nothing is received before bind() names the interface */
	const int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if ((rc = option_set(fd, SOL_PACKET, PACKET_VNET_HDR, 1)) < 0 ||
		(rc = option_set(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)) < 0 ||
		(rc = option_set(fd, SOL_PACKET, PACKET_AUXDATA, 1)) < 0 ||
		(rc = option_set(fd, SOL_SOCKET, SO_RCVBUFFORCE, PACKET_SOCKET_BUFFER)) < 0 ||
		(rc = option_set(fd, SOL_SOCKET, SO_SNDBUFFORCE, PACKET_SOCKET_BUFFER)) < 0)
		goto out;
	if (setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &promiscuous, sizeof(promiscuous)) <
			0 ||
		bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		rc = -errno;
		goto out;
	}
	return fd;
out:
	close(fd);
	return rc;
}

int packet_link_socket_open(void)
{
	struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK};
	int rc;
	const int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (fd < 0)
		return -errno;
	(void)option_set(fd, SOL_SOCKET, SO_RCVBUFFORCE, 1 << 20); /* overrun is answered anyway */
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		rc = -errno;
		close(fd);
		return rc;
	}
	return fd;
}
