/*
 * Why a packet ends here: every reason once, with its name and what it means to an operator.
 *
 * Invariant: a packet that leaves the graph by any way but a port or a TAP is counted under exactly
 * one of these. Nodes count with drop_count() of node.h; the API prints names and descriptions.
 * Names are part of the API: never reuse or rename one.
 */
#pragma once

/* X(ENUM, "name", "description") */
#define DROP_REASONS(X)                                                                            \
	/* any frame */                                                                            \
	X(TRUNCATED, "truncated", "shorter than its headers need")                                 \
	X(OWN_MAC, "own_mac", "the source MAC is the receiving port's own: a loop")                \
	X(BAD_SRC_MAC, "bad_src_mac", "the source MAC is multicast or zero")                       \
	X(NO_BUFFER, "no_buffer", "no packet buffer was free")                                     \
	/* access side */                                                                          \
	X(PORT_UNATTACHED, "port_unattached", "the access port belongs to no segment")             \
	X(VLAN_TAGGED, "vlan_tagged",                                                              \
		"a tag on a port without tagged attachments or in a segment")                      \
	X(VLAN_UNKNOWN, "vlan_unknown", "no attachment of the port has the frame's VLAN tags")     \
	X(LINK_LOCAL_MAC, "link_local_mac", "addressed to 01:80:c2:00:00:0x, never bridged")       \
	X(FDB_SAME_PORT, "fdb_same_port", "the destination is at the attachment it came from")     \
	X(FDB_STALE, "fdb_stale", "the destination's attachment has left the segment")             \
	X(FDB_BLACKHOLE, "fdb_blackhole", "the kernel's FDB says blackhole")                       \
	X(FLOOD_NOWHERE, "flood_nowhere", "to be flooded, but the segment has no other place")     \
	X(FLOOD_LIMIT, "flood_limit", "more copies than one burst may make")                       \
	X(STORM_BROADCAST, "storm_broadcast", "broadcast above the rate of its port or segment")   \
	X(STORM_UNKNOWN, "storm_unknown", "unknown unicast above the rate of its port or segment") \
	X(STORM_MULTICAST, "storm_multicast", "multicast above the rate of its port or segment")   \
	/* overlay */                                                                              \
	X(ENCAP_TOO_BIG, "encap_too_big", "with the outer header larger than the way's MTU")       \
	X(TOO_BIG_ANSWERED, "too_big_answered",                                                    \
		"too big for its way; its sender was told by ICMP")                                \
	X(TOO_BIG_RATE, "too_big_rate",                                                            \
		"too big for its way; not told, above the rate of answers")                        \
	X(VTEP_UNREACHABLE, "vtep_unreachable", "no route to the destination's VTEP")              \
	X(VXLAN_TRUNCATED, "vxlan_truncated", "UDP or VXLAN length beyond the packet's end")       \
	X(VXLAN_FLAGS, "vxlan_flags", "the VXLAN header's I flag is not set")                      \
	X(UNKNOWN_VNI, "unknown_vni", "no segment here has this VNI")                              \
	X(UNKNOWN_VTEP, "unknown_vtep", "the source is not a VTEP of the segment")                 \
	X(INNER_TRUNCATED, "inner_truncated", "the inner frame has no whole Ethernet header")      \
	X(SPLIT_HORIZON, "split_horizon", "came by the overlay and would return to it")            \
	X(OUTER_FRAGMENT, "outer_fragment", "a fragment of a VXLAN packet: VTEPs do not fragment") \
	/* underlay */                                                                             \
	X(NOT_FOR_US, "not_for_us", "the destination MAC is not the port's")                       \
	X(BAD_IP_HEADER, "bad_ip_header", "IPv4 version or header length wrong")                   \
	X(BAD_IP_LENGTH, "bad_ip_length",                                                          \
		"IPv4 total length beyond the frame or below its header")                          \
	X(BAD_IP_CHECKSUM, "bad_ip_checksum", "IPv4 header checksum wrong")                        \
	X(BAD_IP_ADDRESS, "bad_ip_address", "IPv4 source or destination that no wire may carry")   \
	X(NO_ROUTE, "no_route", "no route to the destination")                                     \
	X(BLACKHOLE, "blackhole", "the route says blackhole, unreachable or prohibit")             \
	X(NO_ADJACENCY, "no_adjacency", "the next hop's MAC is not known yet")                     \
	X(TTL_EXPIRED, "ttl_expired", "VXLAN in transit whose TTL ended")                          \
	X(MTU_EXCEEDED, "mtu_exceeded", "VXLAN in transit larger than the next link's MTU")        \
	/* to and from the kernel */                                                               \
	X(PUNT_RATE_ARP, "punt_rate_arp",                                                          \
		"ARP or ND of a session's MAC to the kernel above its rate")                       \
	X(PUNT_RATE_ARP_NEW, "punt_rate_arp_new",                                                  \
		"ARP or ND of others to the kernel above its rate")                                \
	X(PUNT_RATE_BGP, "punt_rate_bgp", "BGP of sessions to the kernel above its rate")          \
	X(PUNT_RATE_BGP_NEW, "punt_rate_bgp_new",                                                  \
		"BGP without a session to the kernel above its rate")                              \
	X(PUNT_RATE_BFD, "punt_rate_bfd", "BFD of sessions to the kernel above its rate")          \
	X(PUNT_RATE_BFD_NEW, "punt_rate_bfd_new",                                                  \
		"BFD without a session to the kernel above its rate")                              \
	X(BFD_TTL, "bfd_ttl", "single-hop BFD with a TTL other than 255: it comes from afar")      \
	X(BFD_MALFORMED, "bfd_malformed", "no whole BFD packet, or one that no peer can send")     \
	X(BFD_FORGED, "bfd_forged", "BFD without our discriminator while its session lives")       \
	X(PUNT_RATE_ICMP, "punt_rate_icmp", "ICMP to the kernel above its rate")                   \
	X(PUNT_RATE_OTHER, "punt_rate_other", "anything else to the kernel above its rate")        \
	X(VXLAN_PUNT, "vxlan_punt", "VXLAN that would go to the kernel, which must not see it")    \
	X(PUNT_TAP_FULL, "punt_tap_full", "the TAP did not take the frame")                        \
	X(KERNEL_VXLAN, "kernel_vxlan", "VXLAN that the kernel itself sent on a TAP")              \
	X(KERNEL_ACCESS, "kernel_access", "the kernel sent on an access port's TAP")               \
	/* sending */                                                                              \
	X(LINK_DOWN, "link_down", "the outgoing port has no link")                                 \
	X(TX_TOO_BIG, "tx_too_big", "larger than the outgoing port's MTU")                         \
	X(TX_FULL, "tx_full", "the outgoing port did not take the frame")

enum drop_reason {
#define X(id, name, text) DROP_##id,
	DROP_REASONS(X)
#undef X
		DROP_COUNT,
};

/* The reason's name as the API shows it; NULL for a value that is none. */
const char *drop_name(enum drop_reason reason);

/* One sentence on what the reason means; NULL for a value that is none. */
const char *drop_text(enum drop_reason reason);
