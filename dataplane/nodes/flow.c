/* IPv6 behind extension headers, out of line as it is rare. See flow.h. */
#include "dataplane/nodes/flow.h"

#define EXTENSIONS_MAX  8
#define EXT_HOP_BY_HOP  0
#define EXT_ROUTING     43
#define EXT_FRAGMENT    44
#define EXT_DESTINATION 60

uint64_t flow_ip6_behind(const uint8_t *ip, uint32_t len)
{
	uint32_t at = 40;
	uint8_t next = ip[6];

	for (unsigned int i = 0; i < EXTENSIONS_MAX; i++) {
		if (next != EXT_HOP_BY_HOP && next != EXT_ROUTING && next != EXT_FRAGMENT &&
			next != EXT_DESTINATION)
			break;
		if (len < at + 8)
			return next;
		if (next == EXT_FRAGMENT)
			return ip[at];
		next = ip[at];
		at += (ip[at + 1] + 1U) * 8;
	}
	if (!flow_has_ports(next) || len < at + 4)
		return next;
	return next | (uint64_t)flow_load32(ip + at) << 32;
}
