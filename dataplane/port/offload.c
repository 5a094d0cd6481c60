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

#define ETH_HLEN       14
#define ETHERTYPE_IP4  0x0800
#define ETHERTYPE_IP6  0x86dd
#define IP4_HLEN       20
#define IP6_HLEN       40
#define TCP_HLEN       20
#define UDP_HLEN       8
#define VXLAN_HLEN     8
#define VXLAN_PORT     4789
#define PROTO_TCP      6
#define PROTO_UDP      17
#define TCP_FIN        0x01
#define TCP_PSH        0x08
#define TCP_CWR        0x80
#define TAGS_MAX       2
#define EXTENSIONS_MAX 8

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v & 0xffff);
}

/*
 * The sum of RFC 1071 in the machine's byte order: its fold, stored as it is, is right on either
 * kind of machine. 64 bits take more 32-bit words than a frame has.
 */
static uint64_t sum_add(uint64_t sum, const uint8_t *p, size_t n)
{
	uint32_t word;
	uint16_t half;

	for (; n >= sizeof(word); n -= sizeof(word), p += sizeof(word)) {
		memcpy(&word, p, sizeof(word));
		sum += word;
	}
	if (n >= sizeof(half)) {
		memcpy(&half, p, sizeof(half));
		sum += half;
		p += sizeof(half);
		n -= sizeof(half);
	}
	if (n > 0) {
		half = 0;
		memcpy(&half, p, 1);
		sum += half;
	}
	return sum;
}

static uint64_t sum_add16(uint64_t sum, uint32_t value)
{
	uint8_t octets[2];

	put16(octets, value);
	return sum_add(sum, octets, sizeof(octets));
}

/* Fold, complement and store at `p`. */
static void sum_store(uint8_t *p, uint64_t sum, bool never_zero)
{
	uint16_t folded;

	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	folded = (uint16_t)~sum;
	if (folded == 0 && never_zero)
		folded = 0xffff;
	memcpy(p, &folded, sizeof(folded));
}

int offload_csum_finish(uint8_t *frame, size_t len, uint16_t csum_start, uint16_t csum_offset)
{
	const size_t at = (size_t)csum_start + csum_offset;

	if (csum_start < ETH_HLEN || at + sizeof(uint16_t) > len)
		return -EBADMSG;
	sum_store(frame + at, sum_add(0, frame + csum_start, len - csum_start), true);
	return 0;
}

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
	if (in.proto == PROTO_UDP && in.l4 + UDP_HLEN + VXLAN_HLEN <= len &&
		get16(frame + in.l4 + 2) == VXLAN_PORT &&
		(!udp || (partial && vh->csum_start != in.l4))) {
		outer = in;
		rc = layers_parse(frame, len, outer.l4 + UDP_HLEN + VXLAN_HLEN, &in);
		if (rc < 0)
			return rc;
	}
	*gso = (struct offload_gso){
		.frame = frame,
		.len = (uint32_t)len,
		.gso_size = vh->gso_size,
		.l3_v6 = in.v6,
		.outer_v6 = outer.v6,
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
	const uint8_t *addresses = s->header + l3 + (v6 ? 8 : 12);
	const uint32_t l4_len = (uint32_t)(s->header_len - l4) + s->payload_len;
	uint64_t sum = sum_add(0, addresses, v6 ? 32 : 8);

	sum = sum_add16(sum, proto);
	sum = sum_add16(sum, l4_len); /* never above 65535 */
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
		if (!gso->csum_zero)
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
		put16(udp + 4, outer_len);
		if (get16(udp + 6) != 0)
			l4_sum(s, gso->outer_l3, gso->outer_l4, gso->outer_v6, PROTO_UDP,
				gso->outer_l4 + 6U, true);
	}
	gso->next += take;
	gso->index++;
	return true;
}
