/* See coalesce.h. */
#include "dataplane/port/coalesce.h"

#include <string.h>

#include "dataplane/port/octets.h"
#include "dataplane/port/offload.h"

#define ETH_HLEN      14
#define ETHERTYPE_IP4 0x0800
#define ETHERTYPE_IP6 0x86dd
#define IP4_HLEN      20
#define IP6_HLEN      40
#define IP_DF         0x4000
#define TCP_HLEN      20
#define UDP_HLEN      8
#define VXLAN_HLEN    8
#define VXLAN_PORT    4789
#define PROTO_TCP     6
#define PROTO_UDP     17
#define TCP_FIN       0x01
#define TCP_PSH       0x08
#define TCP_ACK       0x10
#define TCP_ECE       0x40
#define LOOK_BACK     8     /* runs that a frame is compared with */
#define IP_LEN_MAX    65535 /* of a super-frame */

/* What is to be known of one frame. */
struct parsed {
	uint16_t l3, l4, payload; /* offsets */
	bool v6;
	bool whole; /* it may be part of a run */
};

/* Find the headers. False: a frame that is no part of any flow here. */
static bool frame_parse(const struct coalesce_frame *f, enum coalesce_kind kind, struct parsed *out)
{
	const uint8_t proto = kind == COALESCE_TCP ? PROTO_TCP : PROTO_UDP;
	const uint32_t l4_hlen = kind == COALESCE_TCP ? TCP_HLEN : UDP_HLEN;
	const uint8_t *o = f->octets;
	uint32_t l3 = ETH_HLEN, l4, ip_len;
	uint16_t type;

	if (f->len < ETH_HLEN + IP4_HLEN + l4_hlen)
		return false;
	type = get16(o + 12);
	while ((type == 0x8100 || type == 0x88a8) && l3 < ETH_HLEN + 8) {
		l3 += 4;
		type = get16(o + l3 - 2);
	}
	if (type == ETHERTYPE_IP4 && o[l3] == 0x45) {
		l4 = l3 + IP4_HLEN;
		if (f->len < l4 + l4_hlen || o[l3 + 9] != proto ||
			(get16(o + l3 + 6) & 0x3fff) != 0)
			return false;
		ip_len = get16(o + l3 + 2);
		out->v6 = false;
		out->whole = sum_fold(sum_add(0, o + l3, IP4_HLEN)) == 0xffff;
	} else if (type == ETHERTYPE_IP6 && f->len >= l3 + IP6_HLEN + l4_hlen && o[l3] >> 4 == 6) {
		l4 = l3 + IP6_HLEN;
		if (o[l3 + 6] != proto)
			return false;
		ip_len = IP6_HLEN + (uint32_t)get16(o + l3 + 4);
		out->v6 = true;
		out->whole = true;
	} else {
		return false;
	}
	out->l3 = (uint16_t)l3;
	out->l4 = (uint16_t)l4;
	out->whole = out->whole && l3 + ip_len == f->len && ip_len <= IP_LEN_MAX;
	return true;
}

/* The rest of a TCP segment: may it be part of a run? Its checksum is verified, as the receiver of
 * a super-frame will not. */
static void tcp_check(const struct coalesce_frame *f, struct parsed *p)
{
	const uint8_t *tcp = f->octets + p->l4;
	const uint32_t hlen = (tcp[12] >> 4) * 4U, len = f->len - p->l4;
	const uint8_t flags = tcp[13];

	p->payload = (uint16_t)(p->l4 + hlen);
	p->whole = p->whole && hlen >= TCP_HLEN && hlen < len &&
		   (flags & ~(TCP_FIN | TCP_PSH | TCP_ECE)) == TCP_ACK && (tcp[12] & 0x0f) == 0 &&
		   get16(tcp + 18) == 0 &&
		   sum_fold(sum_add(sum_pseudo(f->octets + p->l3, p->v6, PROTO_TCP, len), tcp,
			   len)) == 0xffff;
}

static void vxlan_check(const struct coalesce_frame *f, struct parsed *p)
{
	const uint8_t *udp = f->octets + p->l4;

	p->payload = (uint16_t)(p->l4 + UDP_HLEN);
	p->whole = p->whole && get16(udp + 2) == VXLAN_PORT && get16(udp + 6) == 0 &&
		   get16(udp + 4) == f->len - p->l4 && f->len > (uint32_t)p->payload + VXLAN_HLEN &&
		   (p->v6 || (get16(f->octets + p->l3 + 6) & IP_DF) != 0);
}

/* The same flow: Ethernet, addresses, ports. */
static bool same_flow(const struct coalesce_run *r, const uint8_t *a, const uint8_t *b)
{
	const uint16_t l3 = r->l3;

	return memcmp(a + r->l4, b + r->l4, 4) == 0 &&
	       (r->v6 ? memcmp(a + l3 + 8, b + l3 + 8, 32) == 0
		      : memcmp(a + l3 + 12, b + l3 + 12, 8) == 0) &&
	       memcmp(a, b, l3) == 0;
}

/* Does the IP header of `b` follow that of the run, whose last frame is `prev`? */
static bool ip_follows(
	const struct coalesce_run *r, const uint8_t *a, const uint8_t *prev, const uint8_t *b)
{
	const uint16_t l3 = r->l3;
	uint16_t id, before;

	if (r->v6)
		return memcmp(a + l3, b + l3, 4) == 0 && memcmp(a + l3 + 6, b + l3 + 6, 2) == 0;
	id = get16(b + l3 + 4);
	before = get16(prev + l3 + 4);
	return a[l3 + 1] == b[l3 + 1] && memcmp(a + l3 + 6, b + l3 + 6, 4) == 0 &&
	       (id == (uint16_t)(before + 1) || (id == before && (get16(b + l3 + 6) & IP_DF) != 0));
}

/* TCP: the next octets, and nothing else is another. */
static bool tcp_follows(const struct coalesce_run *r, const uint8_t *a, const uint8_t *b)
{
	const uint8_t *ta = a + r->l4, *tb = b + r->l4;
	const uint8_t mask = (uint8_t) ~(TCP_PSH | TCP_FIN);

	return get32(tb + 4) == get32(ta + 4) + r->total && memcmp(ta + 8, tb + 8, 5) == 0 &&
	       (ta[13] & mask) == (tb[13] & mask) && memcmp(ta + 14, tb + 14, 2) == 0 &&
	       memcmp(ta + TCP_HLEN, tb + TCP_HLEN, r->head_len - r->l4 - TCP_HLEN) == 0;
}

static void run_begin(
	struct coalesce *c, uint8_t index, const struct coalesce_frame *f, const struct parsed *p)
{
	struct coalesce_run *r = &c->runs[c->n++];

	r->vh = (struct virtio_net_hdr){0};
	r->frames = 1;
	r->first = r->last = index;
	r->open = r->known = false;
	if (p == NULL)
		return;
	r->known = true;
	r->v6 = p->v6;
	r->l3 = p->l3;
	r->l4 = p->l4;
	if (!p->whole || p->payload > COALESCE_HEAD_MAX)
		return;
	r->head_len = p->payload;
	r->total = f->len - p->payload;
	r->size = (uint16_t)r->total;
	r->open = r->size >= OFFLOAD_GSO_SIZE_MIN;
}

/* What the last frame of a run says of further ones. */
static void run_close_at(struct coalesce_run *r, enum coalesce_kind kind, const uint8_t *o)
{
	if (kind == COALESCE_TCP && (o[r->l4 + 13] & (TCP_PSH | TCP_FIN)) != 0)
		r->open = false;
}

static bool run_append(struct coalesce *c, struct coalesce_run *r, enum coalesce_kind kind,
	const struct coalesce_frame *frames, uint8_t index, const struct parsed *p)
{
	const uint8_t *a = frames[r->first].octets, *b = frames[index].octets;
	const uint32_t len = frames[index].len - p->payload;

	if (!p->whole || p->payload != r->head_len || len > r->size ||
		r->head_len - r->l3 + r->total + len > IP_LEN_MAX ||
		!ip_follows(r, a, frames[r->last].octets, b) ||
		(kind == COALESCE_TCP && !tcp_follows(r, a, b)))
		return false;
	c->next[r->last] = index;
	r->last = index;
	r->frames++;
	r->total += len;
	if (len < r->size)
		r->open = false;
	return true;
}

/* Make the one header of a run of several. */
static void run_finish(
	struct coalesce_run *r, enum coalesce_kind kind, const struct coalesce_frame *frames)
{
	const uint32_t l4_len = r->head_len - r->l4 + r->total;
	const uint8_t proto = kind == COALESCE_TCP ? PROTO_TCP : PROTO_UDP;
	const uint8_t *last = frames[r->last].octets;
	uint16_t partial, offset = kind == COALESCE_TCP ? 16 : 6;
	uint8_t *ip = r->head + r->l3, *l4 = r->head + r->l4;

	memcpy(r->head, frames[r->first].octets, r->head_len);
	if (r->v6) {
		put16(ip + 4, l4_len);
	} else {
		put16(ip + 2, IP4_HLEN + l4_len);
		put16(ip + 10, 0);
		sum_store(ip + 10, sum_add(0, ip, IP4_HLEN), false);
	}
	if (kind == COALESCE_TCP)
		l4[13] |= last[r->l4 + 13] & (TCP_PSH | TCP_FIN);
	else
		put16(l4 + 4, l4_len);
	/* whoever finishes it adds the rest to the pseudo header's sum */
	partial = sum_fold(sum_pseudo(ip, r->v6, proto, l4_len));
	memcpy(l4 + offset, &partial, sizeof(partial));
	r->vh = (struct virtio_net_hdr){
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = kind == COALESCE_VXLAN ? VIRTIO_NET_HDR_GSO_UDP_L4
			    : r->v6                ? VIRTIO_NET_HDR_GSO_TCPV6
						   : VIRTIO_NET_HDR_GSO_TCPV4,
		.hdr_len = r->head_len,
		.gso_size = r->size,
		.csum_start = r->l4,
		.csum_offset = offset,
	};
}

/* The latest run of the same flow, or NULL. */
static struct coalesce_run *run_find(struct coalesce *c, const struct coalesce_frame *frames,
	const uint8_t *octets, const struct parsed *p)
{
	const unsigned int end = c->n > LOOK_BACK ? c->n - LOOK_BACK : 0;

	for (unsigned int i = c->n; i > end; i--) {
		struct coalesce_run *r = &c->runs[i - 1];

		if (r->known && r->l3 == p->l3 && r->v6 == p->v6 &&
			same_flow(r, frames[r->first].octets, octets))
			return r;
	}
	return NULL;
}

void coalesce(struct coalesce *c, enum coalesce_kind kind, const struct coalesce_frame *frames,
	unsigned int n)
{
	c->n = 0;
	memset(c->next, COALESCE_FRAMES, sizeof(c->next));
	for (unsigned int i = 0; i < n; i++) {
		const uint8_t index = (uint8_t)i;
		struct coalesce_run *r;
		struct parsed p;

		if (!frame_parse(&frames[i], kind, &p)) {
			run_begin(c, index, &frames[i], NULL);
			continue;
		}
		if (kind == COALESCE_TCP)
			tcp_check(&frames[i], &p);
		else
			vxlan_check(&frames[i], &p);
		r = run_find(c, frames, frames[i].octets, &p);
		if (r == NULL || !r->open || !run_append(c, r, kind, frames, index, &p)) {
			run_begin(c, index, &frames[i], &p);
			r = &c->runs[c->n - 1];
		}
		run_close_at(r, kind, frames[i].octets);
	}
	for (unsigned int i = 0; i < c->n; i++)
		if (c->runs[i].frames > 1)
			run_finish(&c->runs[i], kind, frames);
}
