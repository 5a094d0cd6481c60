/*
 * ICMP "too big" answers to tenants' packets: IPv4 destination unreachable, fragmentation needed
 * (RFC 792, RFC 1191), and ICMPv6 packet too big (RFC 4443 section 3.2). Pure functions on octets;
 * called by the node too_big.
 *
 * IPv4 is answered with or without DF: a VTEP must not fragment (RFC 7348 section 4.3), so what is
 * too large ends either way, and a sender that fragments learns to what size.
 *
 * A segment has no router whose address could be the answer's source: it is the address (and the
 * MAC) of the packet's destination, as Linux's own tunnels do it. So the answer needs no address of
 * ours in the tenant's network, and a switch on its way learns nothing wrong.
 *
 * Invariant: no answer to what RFC 1812 section 4.3.2.7 and RFC 4443 section 2.4 (e) forbid: ICMP
 * errors, anything to or from a group, fragments but the first, a source that is no single host.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Octets of a packet that are looked at and quoted: Ethernet with two tags, and an IPv6 answer. */
#define ICMP_HEAD_MAX   (22 + 1280)

/* The longest answer: such Ethernet, and 1,280 octets of IPv6 (RFC 4443 section 2.4 (c)). */
#define ICMP_ANSWER_MAX (22 + 1280)

struct icmp_answer {
	uint16_t l3;    /* octets of Ethernet and tags */
	uint16_t mtu;   /* octets of layer 3 that would pass */
	uint16_t quote; /* octets of the packet that the answer carries */
	bool v6;
};

/*
 * Is an answer due to a frame of `len` octets, of which the first `have` are readable at `frame`
 * (have >= 14; all, or at least ICMP_HEAD_MAX), when frames of `limit` octets would pass? True: *a
 * is filled. False: it is no IP, malformed, or answering is forbidden.
 */
bool icmp_too_big_due(
	const uint8_t *frame, uint32_t have, uint32_t len, uint32_t limit, struct icmp_answer *a);

/* Octets of the whole frame that icmp_too_big_write() makes: at most ICMP_ANSWER_MAX. */
uint16_t icmp_too_big_len(const struct icmp_answer *a);

/* Write the answer to `frame`, a whole Ethernet frame to its sender, with the same tags, to `to`.
 */
void icmp_too_big_write(const struct icmp_answer *a, const uint8_t *frame, uint8_t *to);
