/*
 * Telling neighbours where an address is now: gratuitous ARP and unsolicited neighbour
 * advertisement, built by hand and sent through a packet socket.
 */
#pragma once

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>

#define ANNOUNCE_MAX 128 /* octets of a frame */

/*
 * Build a gratuitous ARP request (RFC 5227 section 3: sender and target are the address). Returns
 * the frame's length in octets.
 */
size_t announce_arp(uint8_t out[ANNOUNCE_MAX], const uint8_t mac[6], struct in_addr address);
/*
 * Build an unsolicited neighbour advertisement to all nodes with the override flag (RFC 4861
 * sections 4.4 and 7.2.6). Returns the frame's length in octets.
 */
size_t announce_na(uint8_t out[ANNOUNCE_MAX], const uint8_t mac[6], const struct in6_addr *address);

/*
 * Announce an address ("192.0.2.1/24", "2001:db8::1/64") on a device of the current namespace, with
 * that device's MAC. Returns 0 or a negative errno.
 */
int announce_address(const char *device, const char *cidr);
