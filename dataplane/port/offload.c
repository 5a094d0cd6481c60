/*
 * Partial checksums and super-frames (offload.h). Called by packet.c for each frame that its virtio
 * header marks, and by the holder's pump.
 *
 * Invariant: no octet outside [frame, frame + len) is read, whatever header and frame claim; all
 * offsets in a struct offload_gso have been checked by offload_gso_init().
 */
#include "dataplane/port/offload.h"

#include <errno.h>
#include <string.h>

#include "dataplane/port/octets.h"

#define ETH_HLEN       14
#define ETHERTYPE_IP4  0x0800
#define ETHERTYPE_IP6  0x86dd
#define IP4_HLEN       20
#define IP6_HLEN       40
#define TCP_HLEN       20
#define UDP_HLEN       8
#define VXLAN_HLEN     8
#define VXLAN_PORT     4789
#define VXLAN_PORT_OLD 8472 /* Linux's own before IANA's */
#define GENEVE_HLEN    8
#define GENEVE_PORT    6081
#define GRE_HLEN       4
#define GRE_KEY        0x2000
#define GRE_OTHERS     0xdfff /* checksum, sequence number, version and the like */
#define ETHERTYPE_ETH  0x6558
#define PROTO_IP4      4
#define PROTO_TCP      6
#define PROTO_UDP      17
#define PROTO_IP6      41
#define PROTO_GRE      47
#define PROTO_SCTP     132
#define SCTP_CSUM      8 /* offset, no other protocol's */
#define TCP_FIN        0x01
#define TCP_PSH        0x08
#define TCP_CWR        0x80
#define TAGS_MAX       2
#define EXTENSIONS_MAX 8

/* Where the headers of one Ethernet frame are. */
struct layers {
	uint32_t l3, l4;
	uint8_t proto;
	bool v6;
};

static int ip4_parse(const uint8_t *frame, size_t len, uint32_t l3, struct layers *layers)
{
	uint32_t hlen;

	if (l3 + IP4_HLEN > len || frame[l3] >> 4 != 4)
		return -EBADMSG;
	hlen = (frame[l3] & 0xfU) * 4;
	if (hlen < IP4_HLEN || l3 + hlen > len)
		return -EBADMSG;
	if ((get16(frame + l3 + 6) & 0x3fff) != 0) /* a fragment has no super-frame */
		return -EBADMSG;
	*layers = (struct layers){.l3 = l3, .l4 = l3 + hlen, .proto = frame[l3 + 9], .v6 = false};
	return 0;
}

static int ip6_parse(const uint8_t *frame, size_t len, uint32_t l3, struct layers *layers)
{
	uint32_t at = l3 + IP6_HLEN;
	unsigned int i;
	uint8_t next;

	if (at > len || frame[l3] >> 4 != 6)
		return -EBADMSG;
	next = frame[l3 + 6];
	for (i = 0; i < EXTENSIONS_MAX; i++) {
		if (next != 0 && next != 43 && next != 60) /* hop-by-hop, routing, destination */
			break;
		if (at + 8 > len)
			return -EBADMSG;
		next = frame[at];
		at += (frame[at + 1] + 1U) * 8;
		if (at > len)
			return -EBADMSG;
	}
	*layers = (struct layers){.l3 = l3, .l4 = at, .proto = next, .v6 = true};
	return 0;
}

/* Parse the Ethernet frame that begins at `l2`, up to the start of TCP or UDP. */
static int layers_parse(const uint8_t *frame, size_t len, uint32_t l2, struct layers *layers)
{
	uint32_t at = l2 + ETH_HLEN;
	unsigned int tags = 0;
	uint16_t type;

	if (at > len)
		return -EBADMSG;
	type = get16(frame + at - 2);
	while (type == 0x8100 || type == 0x88a8) {
		at += 4;
		if (++tags > TAGS_MAX || at > len)
			return -EBADMSG;
		type = get16(frame + at - 2);
	}
	if (type == ETHERTYPE_IP4)
		return ip4_parse(frame, len, at, layers);
	if (type == ETHERTYPE_IP6)
		return ip6_parse(frame, len, at, layers);
	return -EBADMSG;
}

/* What a header says it carries, at `at`: Ethernet, IPv4 or IPv6. */
static int inner_parse(
	const uint8_t *frame, size_t len, uint32_t at, uint16_t type, struct layers *layers)
{
	if (type == ETHERTYPE_ETH)
		return layers_parse(frame, len, at, layers);
	if (type == ETHERTYPE_IP4)
		return ip4_parse(frame, len, at, layers);
	if (type == ETHERTYPE_IP6)
		return ip6_parse(frame, len, at, layers);
	return -EBADMSG;
}

/* VXLAN or Geneve in UDP: by port, or, when `l4` is not 0, whichever leads to a header there. */
static int udp_tunnel_parse(const uint8_t *frame, size_t len, const struct layers *outer,
	uint32_t l4, struct layers *in)
{
	const uint32_t at = outer->l4 + UDP_HLEN;
	const uint16_t port = get16(frame + outer->l4 + 2);
	const bool vxlan = port == VXLAN_PORT || port == VXLAN_PORT_OLD;

	/* either header is 8 octets */
	if (at + VXLAN_HLEN > len)
		return -EBADMSG;
	if ((vxlan || (l4 != 0 && port != GENEVE_PORT)) &&
		layers_parse(frame, len, at + VXLAN_HLEN, in) == 0 && (l4 == 0 || in->l4 == l4))
		return 0;
	if (vxlan || (port != GENEVE_PORT && l4 == 0) || frame[at] >> 6 != 0)
		return -EBADMSG;
	return inner_parse(
		frame, len, at + GENEVE_HLEN + (frame[at] & 0x3fU) * 4, get16(frame + at + 2), in);
}

/* The headers inside those of a tunnel, one level as Linux segments it. */
static int tunnel_parse(const uint8_t *frame, size_t len, const struct layers *outer, uint32_t l4,
	struct layers *in)
{
	uint16_t flags;

	switch (outer->proto) {
	case PROTO_UDP:
		return outer->l4 + UDP_HLEN > len ? -EBADMSG
						  : udp_tunnel_parse(frame, len, outer, l4, in);
	case PROTO_GRE:
		if (outer->l4 + GRE_HLEN > len)
			return -EBADMSG;
		flags = get16(frame + outer->l4);
		if ((flags & GRE_OTHERS) != 0)
			return -EBADMSG;
		return inner_parse(frame, len,
			outer->l4 + GRE_HLEN + ((flags & GRE_KEY) != 0 ? 4U : 0),
			get16(frame + outer->l4 + 2), in);
	case PROTO_IP4:
		return ip4_parse(frame, len, outer->l4, in);
	case PROTO_IP6:
		return ip6_parse(frame, len, outer->l4, in);
	default:
		return -EBADMSG;
	}
}

/* The CRC of SCTP (RFC 9260 appendix A), four bits at a time: it is rare. */
static uint32_t crc32c(const uint8_t *p, size_t n)
{
	static const uint32_t nibble[16] = {0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1,
		0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6,
		0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75};
	uint32_t crc = 0xffffffff;

	for (; n > 0; n--, p++) {
		crc ^= *p;
		crc = crc >> 4 ^ nibble[crc & 15];
		crc = crc >> 4 ^ nibble[crc & 15];
	}
	return ~crc;
}

/* Is the transport header at `l4` one of SCTP? */
static bool is_sctp(const uint8_t *frame, size_t len, uint32_t l4)
{
	struct layers outer, in;

	if (layers_parse(frame, len, 0, &outer) < 0)
		return false;
	if (outer.l4 == l4)
		return outer.proto == PROTO_SCTP;
	return tunnel_parse(frame, len, &outer, l4, &in) == 0 && in.l4 == l4 &&
	       in.proto == PROTO_SCTP;
}

int offload_csum_finish(uint8_t *frame, size_t len, uint16_t csum_start, uint16_t csum_offset)
{
	const size_t at = (size_t)csum_start + csum_offset;

	if (csum_start < ETH_HLEN || at + sizeof(uint16_t) > len)
		return -EBADMSG;
	if (csum_offset == SCTP_CSUM && at + sizeof(uint32_t) <= len &&
		is_sctp(frame, len, csum_start)) {
		uint32_t crc;

		memset(frame + at, 0, sizeof(crc));
		crc = crc32c(frame + csum_start, len - csum_start);
		for (unsigned int i = 0; i < sizeof(crc); i++, crc >>= 8)
			frame[at + i] = (uint8_t)crc;
		return 0;
	}
	sum_store(frame + at, sum_add(0, frame + csum_start, len - csum_start), true);
	return 0;
}

int offload_gso_init(
	struct offload_gso *gso, const struct virtio_net_hdr *vh, const uint8_t *frame, size_t len)
{
	const bool partial = (vh->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) != 0;
	struct layers outer = {0}, in;
	bool udp;
	int rc;

	switch (vh->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_TCPV4:
	case VIRTIO_NET_HDR_GSO_TCPV6:
		udp = false;
		break;
	case VIRTIO_NET_HDR_GSO_UDP_L4:
		udp = true;
		break;
	default:
		return -EBADMSG;
	}
	rc = layers_parse(frame, len, 0, &in);
	if (rc < 0)
		return rc;
	if (in.proto != (udp ? PROTO_UDP : PROTO_TCP) || (partial && vh->csum_start != in.l4)) {
		outer = in;
		rc = tunnel_parse(frame, len, &outer, partial ? vh->csum_start : 0, &in);
		if (rc < 0)
			return rc;
	}
	*gso = (struct offload_gso){
		.frame = frame,
		.len = (uint32_t)len,
		.gso_size = vh->gso_size,
		.l3_v6 = in.v6,
		.outer_v6 = outer.v6,
		.outer_udp = outer.proto == PROTO_UDP,
		.udp = udp,
	};
	if (in.proto != (udp ? PROTO_UDP : PROTO_TCP))
		return -EBADMSG;
	if (!udp && in.v6 != ((vh->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) == VIRTIO_NET_HDR_GSO_TCPV6))
		return -EBADMSG;
	if (partial && (vh->csum_start != in.l4 || vh->csum_offset != (udp ? 6 : 16)))
		return -EBADMSG;
	if (udp) {
		gso->header_len = in.l4 + UDP_HLEN;
		gso->csum_zero =
			gso->header_len <= len && !partial && get16(frame + in.l4 + 6) == 0;
	} else {
		if (in.l4 + TCP_HLEN > len || (frame[in.l4 + 12] >> 4) * 4 < TCP_HLEN)
			return -EBADMSG;
		gso->header_len = in.l4 + (frame[in.l4 + 12] >> 4) * 4U;
	}
	if (gso->header_len > OFFLOAD_HEADER_MAX || gso->header_len >= len ||
		gso->gso_size < OFFLOAD_GSO_SIZE_MIN ||
		gso->header_len + (uint32_t)gso->gso_size > UINT16_MAX ||
		(len - gso->header_len - 1) / gso->gso_size >= UINT16_MAX)
		return -EBADMSG;
	gso->l3 = (uint16_t)in.l3;
	gso->l4 = (uint16_t)in.l4;
	gso->outer_l3 = (uint16_t)outer.l3;
	gso->outer_l4 = (uint16_t)outer.l4;
	gso->next = gso->header_len;
	return 0;
}

void offload_gso_vxlan_plain(struct offload_gso *gso)
{
	if (gso->udp && gso->outer_l4 == 0 && get16(gso->frame + gso->l4 + 2) == VXLAN_PORT)
		gso->csum_zero = true;
}

/* Write an IP header's length, identification and checksum; `l4_len` is header and payload. */
static void ip_finish(
	uint8_t *header, uint16_t l3, uint16_t l4, bool v6, uint32_t l4_len, uint16_t index)
{
	uint8_t *ip = header + l3;

	if (v6) {
		put16(ip + 4, (uint32_t)(l4 - l3 - IP6_HLEN) + l4_len);
		return;
	}
	put16(ip + 2, (uint32_t)(l4 - l3) + l4_len);
	put16(ip + 4, (uint32_t)get16(ip + 4) + index);
	put16(ip + 10, 0);
	sum_store(ip + 10, sum_add(0, ip, (size_t)(l4 - l3)), false);
}

/* The checksum of TCP or UDP over pseudo header, headers from l4 on and payload (RFC 9293, 8200).
 */
static void l4_sum(struct offload_segment *s, uint16_t l3, uint16_t l4, bool v6, uint8_t proto,
	uint32_t csum_at, bool never_zero)
{
	const uint32_t l4_len = (uint32_t)(s->header_len - l4) + s->payload_len; /* <= 65535 */
	uint64_t sum = sum_pseudo(s->header + l3, v6, proto, l4_len);

	put16(s->header + csum_at, 0);
	sum = sum_add(sum, s->header + l4, (size_t)(s->header_len - l4));
	sum = sum_add(sum, s->payload, s->payload_len);
	sum_store(s->header + csum_at, sum, never_zero);
}

bool offload_gso_next(struct offload_gso *gso, struct offload_segment *s)
{
	const uint32_t left = gso->len - gso->next;
	const uint32_t take = left < gso->gso_size ? left : gso->gso_size;
	const bool last = take == left;
	uint8_t *l4 = s->header + gso->l4;

	if (left == 0)
		return false;
	s->header_len = (uint16_t)gso->header_len;
	memcpy(s->header, gso->frame, gso->header_len);
	s->payload = gso->frame + gso->next;
	s->payload_len = take;
	ip_finish(s->header, gso->l3, gso->l4, gso->l3_v6, gso->header_len - gso->l4 + take,
		gso->index);
	if (gso->udp) {
		put16(l4 + 4, UDP_HLEN + take);
		if (gso->csum_zero)
			put16(l4 + 6, 0);
		else
			l4_sum(s, gso->l3, gso->l4, gso->l3_v6, PROTO_UDP, gso->l4 + 6U, true);
	} else {
		put32(l4 + 4, get32(l4 + 4) + (uint32_t)gso->index * gso->gso_size);
		if (!last)
			l4[13] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
		if (gso->index > 0)
			l4[13] &= (uint8_t)~TCP_CWR;
		l4_sum(s, gso->l3, gso->l4, gso->l3_v6, PROTO_TCP, gso->l4 + 16U, false);
	}
	if (gso->outer_l4 != 0) {
		const uint32_t outer_len = gso->header_len - gso->outer_l4 + take;
		uint8_t *udp = s->header + gso->outer_l4;

		ip_finish(s->header, gso->outer_l3, gso->outer_l4, gso->outer_v6, outer_len,
			gso->index);
		if (gso->outer_udp)
			put16(udp + 4, outer_len);
		if (gso->outer_udp && get16(udp + 6) != 0)
			l4_sum(s, gso->outer_l3, gso->outer_l4, gso->outer_v6, PROTO_UDP,
				gso->outer_l4 + 6U, true);
	}
	gso->next += take;
	gso->index++;
	return true;
}
