/*
 * The packet back end: a kernel interface by an AF_PACKET socket (packet(7)).
 *
 * The socket is made by packet_socket_open(), in the wire's namespace, by the holder; the
 * forwarding process only gets the descriptor. Free of DPDK.
 */
#pragma once

#include <stdint.h>

#define PACKET_SOCKET_BUFFER (4 << 20) /* octets, SO_RCVBUFFORCE and SO_SNDBUFFORCE */

/*
 * Open an AF_PACKET socket of the calling thread's namespace, bound to `ifindex`: SOCK_RAW, all
 * protocols, non-blocking, close-on-exec, PACKET_VNET_HDR, PACKET_IGNORE_OUTGOING, PACKET_AUXDATA
 * (the VLAN tag that the kernel took off), promiscuous. Needs CAP_NET_RAW and
 * CAP_NET_ADMIN. Returns the descriptor, or a negative errno.
 */
int packet_socket_open(uint32_t ifindex);

/*
 * Open a NETLINK_ROUTE socket of the calling thread's namespace that has joined RTNLGRP_LINK:
 * non-blocking, close-on-exec. Returns the descriptor, or a negative errno.
 */
int packet_link_socket_open(void);
