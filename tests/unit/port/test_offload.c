/*
 * Offload completion: random super-frames are segmented, each segment is checked by a plain second
 * implementation of the checksums, and put together again they must be what went in. Random damage
 * must be refused or harmless (run it with sanitisers).
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dataplane/port/offload.h"

#define FRAME_MAX 65536

static uint64_t rng = 88172645463325252ULL;

static uint32_t rnd(uint32_t below)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (uint32_t)(rng >> 16) % below;
}

static uint32_t be(const uint8_t *p, unsigned int n)
{
	uint32_t v = 0;

	while (n-- > 0)
		v = v << 8 | *p++;
	return v;
}

static void set_be(uint8_t *p, uint32_t v, unsigned int n)
{
	while (n-- > 0) {
		p[n] = (uint8_t)v;
		v >>= 8;
	}
}

/* The plain sum, octet by octet; 0xffff over data that holds its own right checksum. */
static uint32_t plain_sum(uint32_t sum, const uint8_t *p, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		sum += (uint32_t)p[i] << (i % 2 == 0 ? 8 : 0);
		if (sum > 0xffff)
			sum = (sum & 0xffff) + 1;
	}
	return sum;
}

struct what {
	bool v6, udp, tag, options, extension, vxlan, outer_v6, outer_csum;
	uint32_t payload;
	uint16_t gso_size;
};

struct frame {
	uint8_t octets[FRAME_MAX];
	uint32_t len, l3, l4, payload, outer_l3, outer_l4;
	struct virtio_net_hdr vh;
};

static uint32_t ip_put(
	uint8_t *p, bool v6, bool extension, bool options, uint8_t proto, uint32_t inside)
{
	uint32_t hlen;

	if (v6) {
		hlen = extension ? 48 : 40;
		p[0] = 0x60;
		set_be(p + 4, inside + hlen - 40, 2);
		p[6] = extension ? 60 : proto;
		p[7] = 64;
		if (extension) {
			p[40] = proto;
			p[41] = 0;
		}
		return hlen;
	}
	hlen = options ? 24 : 20;
	p[0] = (uint8_t)(0x40 | hlen / 4);
	set_be(p + 2, inside + hlen, 2);
	set_be(p + 6, 0x4000, 2);
	p[8] = 64;
	p[9] = proto;
	return hlen;
}

static void frame_make(struct frame *f, const struct what *w)
{
	const uint32_t l4_hlen = w->udp ? 8 : w->options ? 32 : 20;
	uint32_t at = 12, i;

	for (i = 0; i < sizeof(f->octets); i++)
		f->octets[i] = (uint8_t)rnd(256);
	f->outer_l3 = f->outer_l4 = 0;
	if (w->vxlan) {
		const uint32_t inside = 8 + 8 + 14 + (w->tag ? 4U : 0) +
					(w->v6               ? w->extension ? 48U : 40U
						: w->options ? 24U
							     : 20U) +
					l4_hlen + w->payload;

		set_be(f->octets + at, w->outer_v6 ? 0x86dd : 0x0800, 2);
		f->outer_l3 = 14;
		f->outer_l4 = 14 + ip_put(f->octets + 14, w->outer_v6, false, false, 17, inside);
		set_be(f->octets + f->outer_l4 + 2, 4789, 2);
		set_be(f->octets + f->outer_l4 + 4, inside, 2);
		set_be(f->octets + f->outer_l4 + 6, w->outer_csum ? 0x1234 : 0, 2);
		at = f->outer_l4 + 16 + 12;
	}
	if (w->tag) {
		set_be(f->octets + at, 0x8100, 2);
		at += 4;
	}
	set_be(f->octets + at, w->v6 ? 0x86dd : 0x0800, 2);
	f->l3 = at + 2;
	f->l4 = f->l3 + ip_put(f->octets + f->l3, w->v6, w->extension, w->options, w->udp ? 17 : 6,
				l4_hlen + w->payload);
	f->payload = f->l4 + l4_hlen;
	f->len = f->payload + w->payload;
	if (w->udp) {
		set_be(f->octets + f->l4 + 2, 5000, 2);
		set_be(f->octets + f->l4 + 4, 8 + w->payload, 2);
	} else {
		f->octets[f->l4 + 12] = (uint8_t)(l4_hlen / 4 << 4);
		f->octets[f->l4 + 13] = 0x80 | 0x10 | 0x08 | 0x01; /* CWR ACK PSH FIN */
	}
	memset(&f->vh, 0, sizeof(f->vh));
	f->vh.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	f->vh.gso_type = w->udp ? VIRTIO_NET_HDR_GSO_UDP_L4
				: (w->v6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4) |
					  VIRTIO_NET_HDR_GSO_ECN;
	f->vh.gso_size = w->gso_size;
	f->vh.csum_start = (uint16_t)f->l4;
	f->vh.csum_offset = w->udp ? 6 : 16;
}

static void ip_check(const uint8_t *ip, const uint8_t *original, bool v6, uint32_t hlen,
	uint32_t inside, uint32_t index)
{
	if (v6) {
		assert_int_equal(be(ip + 4, 2), hlen - 40 + inside);
		assert_memory_equal(ip + 6, original + 6, hlen - 6);
		return;
	}
	assert_int_equal(be(ip + 2, 2), hlen + inside);
	assert_int_equal(be(ip + 4, 2), (be(original + 4, 2) + index) & 0xffff);
	assert_int_equal(plain_sum(0, ip, hlen), 0xffff);
	assert_memory_equal(ip + 12, original + 12, hlen - 12);
}

static void l4_check(
	const uint8_t *frame, uint32_t l3, uint32_t l4, bool v6, uint8_t proto, uint32_t len)
{
	uint32_t sum = plain_sum(0, frame + l3 + (v6 ? 8 : 12), v6 ? 32 : 8);
	uint8_t tail[4] = {0, proto, 0, 0};

	set_be(tail + 2, len - l4, 2);
	sum = plain_sum(sum, tail, 4);
	assert_int_equal(plain_sum(sum, frame + l4, len - l4), 0xffff);
}

/* Segment `f` and check everything. */
static void walk_check(const struct frame *f, const struct what *w)
{
	static uint8_t seg[FRAME_MAX];
	struct offload_gso gso;
	struct offload_segment s;
	uint32_t index = 0, done = 0;

	assert_int_equal(offload_gso_init(&gso, &f->vh, f->octets, f->len), 0);
	while (offload_gso_next(&gso, &s)) {
		const bool last = done + s.payload_len == w->payload;
		const uint32_t len = s.header_len + s.payload_len;

		assert_int_equal(s.header_len, f->payload);
		assert_int_equal(s.payload_len, last ? w->payload - done : w->gso_size);
		memcpy(seg, s.header, s.header_len);
		memcpy(seg + s.header_len, s.payload, s.payload_len);
		assert_memory_equal(seg + f->payload, f->octets + f->payload + done, s.payload_len);
		assert_memory_equal(seg, f->octets, f->outer_l3 != 0 ? f->outer_l3 : f->l3);
		ip_check(seg + f->l3, f->octets + f->l3, w->v6, f->l4 - f->l3, len - f->l4, index);
		l4_check(seg, f->l3, f->l4, w->v6, w->udp ? 17 : 6, len);
		if (w->udp) {
			assert_int_equal(be(seg + f->l4 + 4, 2), len - f->l4);
		} else {
			const uint8_t flags = seg[f->l4 + 13];

			assert_int_equal(
				be(seg + f->l4 + 4, 4), be(f->octets + f->l4 + 4, 4) + done);
			assert_int_equal(flags, 0x10 | (last ? 0x09 : 0) | (index == 0 ? 0x80 : 0));
		}
		if (w->vxlan) {
			ip_check(seg + f->outer_l3, f->octets + f->outer_l3, w->outer_v6,
				f->outer_l4 - f->outer_l3, len - f->outer_l4, index);
			assert_int_equal(be(seg + f->outer_l4 + 4, 2), len - f->outer_l4);
			if (w->outer_csum)
				l4_check(seg, f->outer_l3, f->outer_l4, w->outer_v6, 17, len);
			else
				assert_int_equal(be(seg + f->outer_l4 + 6, 2), 0);
		}
		done += s.payload_len;
		index++;
	}
	assert_int_equal(done, w->payload);
	assert_false(offload_gso_next(&gso, &s));
}

enum tunnel {
	VXLAN_OTHER, /* a port that no table knows, found by where the checksum starts */
	VXLAN_LINUX, /* 8472 */
	GENEVE_ETHER,
	GENEVE_IP,
	GRE_ETHER,
	GRE_IP,
	IP_IN_IP,
	TUNNELS,
};

/* Put a tunnel around `f`. Returns where the inner frame or packet begins. */
static uint32_t tunnel_wrap(
	struct frame *f, const struct frame *in, enum tunnel kind, bool v6, bool outer_v6)
{
	const bool ether = kind == VXLAN_OTHER || kind == VXLAN_LINUX || kind == GENEVE_ETHER ||
			   kind == GRE_ETHER;
	const uint32_t skip = ether ? 0 : in->l3, inside = in->len - skip;
	const uint16_t type = ether ? 0x6558 : v6 ? 0x86dd : 0x0800;
	uint8_t head[24] = {0};
	uint32_t head_len = 0;
	uint8_t proto = 17;

	switch (kind) {
	case VXLAN_OTHER:
	case VXLAN_LINUX:
		set_be(head + 2, kind == VXLAN_OTHER ? 12345 : 8472, 2);
		head_len = 16;
		break;
	case GENEVE_ETHER:
	case GENEVE_IP:
		set_be(head + 2, 6081, 2);
		head[8] = 2; /* 8 octets of options */
		set_be(head + 10, type, 2);
		head_len = 24;
		break;
	case GRE_ETHER:
	case GRE_IP:
		proto = 47;
		set_be(head, 0x2000, 2);
		set_be(head + 2, type, 2);
		head_len = 8;
		break;
	default:
		proto = v6 ? 41 : 4;
		break;
	}
	if (proto == 17)
		set_be(head + 4, head_len + inside, 2);
	memcpy(f->octets, in->octets, 14);
	set_be(f->octets + 12, outer_v6 ? 0x86dd : 0x0800, 2);
	memset(f->octets + 14, 0, 40);
	f->outer_l3 = 14;
	f->outer_l4 = 14 + ip_put(f->octets + 14, outer_v6, false, false, proto, head_len + inside);
	memcpy(f->octets + f->outer_l4, head, head_len);
	memcpy(f->octets + f->outer_l4 + head_len, in->octets + skip, inside);
	f->len = f->outer_l4 + head_len + inside;
	f->l3 = f->outer_l4 + head_len + in->l3 - skip;
	f->l4 = f->l3 + in->l4 - in->l3;
	f->payload = f->l4 + in->payload - in->l4;
	f->vh = in->vh;
	f->vh.csum_start = (uint16_t)f->l4;
	return f->outer_l4 + head_len;
}

/* Other tunnels than VXLAN of its own port: a tenant's cluster may use any. */
static void test_tunnels(void **state)
{
	static struct frame in, f;
	struct what w = {.payload = 5000, .gso_size = 1300};
	uint8_t seg[2048];

	(void)state;
	for (unsigned int i = 0; i < 2 * 2 * 2 * TUNNELS; i++) {
		const enum tunnel kind = (enum tunnel)(i / 8);
		const bool outer_v6 = i & 4;
		struct offload_gso gso;
		struct offload_segment s;
		uint32_t index = 0, done = 0;

		w.v6 = i & 1;
		w.udp = (i & 2) != 0;
		frame_make(&in, &w);
		tunnel_wrap(&f, &in, kind, w.v6, outer_v6);
		assert_int_equal(offload_gso_init(&gso, &f.vh, f.octets, f.len), 0);
		for (; offload_gso_next(&gso, &s); index++, done += s.payload_len) {
			const uint32_t len = s.header_len + s.payload_len;

			memcpy(seg, s.header, s.header_len);
			memcpy(seg + s.header_len, s.payload, s.payload_len);
			ip_check(seg + 14, f.octets + 14, outer_v6, f.outer_l4 - 14,
				len - f.outer_l4, index);
			ip_check(seg + f.l3, f.octets + f.l3, w.v6, f.l4 - f.l3, len - f.l4, index);
			l4_check(seg, f.l3, f.l4, w.v6, w.udp ? 17 : 6, len);
			if (kind <= GENEVE_IP)
				assert_int_equal(be(seg + f.outer_l4 + 4, 2), len - f.outer_l4);
			/* all between stays as it is */
			assert_memory_equal(seg + f.outer_l4 + (kind <= GENEVE_IP ? 8 : 0),
				f.octets + f.outer_l4 + (kind <= GENEVE_IP ? 8 : 0),
				f.l3 - f.outer_l4 - (kind <= GENEVE_IP ? 8 : 0));
			assert_memory_equal(
				seg + f.payload, f.octets + f.payload + done, s.payload_len);
		}
		assert_int_equal(done, w.payload);
	}
	/* GRE with checksum or sequence number cannot be segmented blindly */
	w = (struct what){.payload = 3000, .gso_size = 1000};
	frame_make(&in, &w);
	for (unsigned int bit = 0; bit < 16; bit++) {
		struct offload_gso gso;

		tunnel_wrap(&f, &in, GRE_IP, false, false);
		f.octets[f.outer_l4 + bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
		if (bit == 2) /* the key is gone, and four octets */
			f.vh.csum_start = (uint16_t)(f.vh.csum_start - 4);
		assert_int_equal(offload_gso_init(&gso, &f.vh, f.octets, f.len), -EBADMSG);
	}
}

/* VTEPs' packets that were put together: no checksum; other UDP keeps its own. */
static void test_vxlan_plain(void **state)
{
	static struct frame f;
	const struct what w = {.udp = true, .payload = 5000, .gso_size = 1000};
	struct offload_gso gso;
	struct offload_segment s;

	(void)state;
	frame_make(&f, &w);
	assert_int_equal(offload_gso_init(&gso, &f.vh, f.octets, f.len), 0);
	offload_gso_vxlan_plain(&gso);
	while (offload_gso_next(&gso, &s))
		assert_int_not_equal(be(s.header + f.l4 + 6, 2), 0);
	set_be(f.octets + f.l4 + 2, 4789, 2);
	set_be(f.octets + f.l4 + 6, 0x1234, 2);
	assert_int_equal(offload_gso_init(&gso, &f.vh, f.octets, f.len), 0);
	offload_gso_vxlan_plain(&gso);
	while (offload_gso_next(&gso, &s))
		assert_int_equal(be(s.header + f.l4 + 6, 2), 0);
}

/* SCTP's checksum is a CRC; here it is made bit by bit. */
static void test_sctp(void **state)
{
	static struct frame f;
	struct what w = {.payload = 40, .gso_size = 1000};
	uint8_t copy[256];
	uint32_t crc = 0xffffffff;

	(void)state;
	frame_make(&f, &w);
	f.octets[f.l3 + 9] = 132;
	set_be(f.octets + f.l4 + 8, 0, 4);
	memcpy(copy, f.octets, f.len);
	assert_int_equal(offload_csum_finish(f.octets, f.len, (uint16_t)f.l4, 8), 0);
	for (uint32_t i = f.l4; i < f.len; i++) {
		crc ^= copy[i];
		for (unsigned int bit = 0; bit < 8; bit++)
			crc = crc & 1 ? crc >> 1 ^ 0x82f63b78 : crc >> 1;
	}
	crc = ~crc;
	for (unsigned int i = 0; i < 4; i++)
		assert_int_equal(f.octets[f.l4 + 8 + i], crc >> 8 * i & 0xff);
	memcpy(f.octets + f.l4 + 8, copy + f.l4 + 8, 4);
	assert_memory_equal(f.octets, copy, f.len);
	/* in another protocol that place is a sum */
	f.octets[f.l3 + 9] = 6;
	assert_int_equal(offload_csum_finish(f.octets, f.len, (uint16_t)f.l4, 8), 0);
	assert_int_equal(plain_sum(0, f.octets + f.l4, f.len - f.l4), 0xffff);
}

static void what_random(struct what *w)
{
	w->v6 = rnd(2);
	w->udp = rnd(3) == 0;
	w->tag = rnd(3) == 0;
	w->options = rnd(2);
	w->extension = rnd(4) == 0;
	w->vxlan = rnd(3) == 0;
	w->outer_v6 = rnd(3) == 0;
	w->outer_csum = rnd(2);
	w->payload = 1 + rnd(rnd(2) ? 65000 : 4000);
	w->gso_size = (uint16_t)(OFFLOAD_GSO_SIZE_MIN + rnd(rnd(4) == 0 ? 100 : 9000));
}

static void test_segment_random(void **state)
{
	static struct frame f;
	struct what w;
	int i;

	(void)state;
	for (i = 0; i < 400; i++) {
		what_random(&w);
		frame_make(&f, &w);
		walk_check(&f, &w);
	}
}

static void test_segment_without_partial(void **state)
{
	/* GRO may leave a super-frame whose checksum is said to be verified */
	static struct frame f;
	struct what w = {.payload = 5000, .gso_size = 1400};
	struct offload_gso gso;
	struct offload_segment s;

	(void)state;
	frame_make(&f, &w);
	f.vh.flags = 0;
	walk_check(&f, &w);
	w.udp = true;
	frame_make(&f, &w);
	f.vh.flags = 0;
	set_be(f.octets + f.l4 + 6, 0x1111, 2);
	walk_check(&f, &w);
	/* UDP that had no checksum gets none */
	set_be(f.octets + f.l4 + 6, 0, 2);
	assert_int_equal(offload_gso_init(&gso, &f.vh, f.octets, f.len), 0);
	while (offload_gso_next(&gso, &s))
		assert_int_equal(be(s.header + f.l4 + 6, 2), 0);
	/* many datagrams to port 4789 are no tunnel when the checksum starts at the outer UDP */
	frame_make(&f, &w);
	set_be(f.octets + f.l4 + 2, 4789, 2);
	walk_check(&f, &w);
}

static void test_csum_finish(void **state)
{
	uint8_t frame[14 + 20 + 8 + 101], expect[2];
	uint32_t sum;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(frame); i++)
		frame[i] = (uint8_t)rnd(256);
	/* what a kernel leaves: the pseudo header's sum in the field */
	sum = plain_sum(0, frame + 26, 8);
	sum = plain_sum(sum, (const uint8_t[]){0, 17, 0, 109}, 4);
	set_be(frame + 40, sum, 2);
	set_be(expect, 0xffff - plain_sum(0, frame + 34, sizeof(frame) - 34), 2);
	assert_int_equal(offload_csum_finish(frame, sizeof(frame), 34, 6), 0);
	assert_memory_equal(frame + 40, expect, 2);
	l4_check(frame, 14, 34, false, 17, sizeof(frame));

	/* a sum that would be zero */
	memset(frame, 0, sizeof(frame));
	set_be(frame + 40, 0xffff, 2);
	assert_int_equal(offload_csum_finish(frame, sizeof(frame), 34, 6), 0);
	assert_int_equal(be(frame + 40, 2), 0xffff);

	assert_int_equal(offload_csum_finish(frame, sizeof(frame), 13, 6), -EBADMSG);
	assert_int_equal(offload_csum_finish(frame, sizeof(frame), 34, 108), -EBADMSG);
	assert_int_equal(offload_csum_finish(frame, sizeof(frame), 34, 107), 0);
	assert_int_equal(offload_csum_finish(frame, sizeof(frame), 65535, 65535), -EBADMSG);
}

static void refused(const struct frame *f)
{
	struct offload_gso gso;

	assert_int_equal(offload_gso_init(&gso, &f->vh, f->octets, f->len), -EBADMSG);
}

static void test_refused(void **state)
{
	static struct frame f;
	const struct what w = {.payload = 3000, .gso_size = 1000};
	const struct what v6 = {.payload = 3000, .gso_size = 1000, .v6 = true};

	(void)state;
	frame_make(&f, &w);
	f.vh.gso_size = OFFLOAD_GSO_SIZE_MIN - 1;
	refused(&f);
	frame_make(&f, &w);
	f.vh.gso_type = VIRTIO_NET_HDR_GSO_TCPV6;
	refused(&f);
	f.vh.gso_type = VIRTIO_NET_HDR_GSO_UDP; /* UFO is gone from Linux */
	refused(&f);
	f.vh.gso_type = VIRTIO_NET_HDR_GSO_UDP_L4;
	refused(&f);
	f.vh.gso_type = 0x7f;
	refused(&f);
	frame_make(&f, &w);
	f.vh.csum_start++;
	refused(&f);
	frame_make(&f, &w);
	f.vh.csum_offset = 6;
	refused(&f);
	frame_make(&f, &w);
	f.octets[f.l4 + 12] = 0x40; /* TCP header of 16 octets */
	refused(&f);
	frame_make(&f, &w);
	set_be(f.octets + f.l3 + 6, 0x2000, 2); /* a fragment */
	refused(&f);
	frame_make(&f, &w);
	f.octets[f.l3] = 0x44;
	refused(&f);
	frame_make(&f, &w);
	f.len = f.payload; /* no payload */
	refused(&f);
	frame_make(&f, &v6);
	f.octets[f.l3 + 6] = 44; /* fragment header */
	refused(&f);
	frame_make(&f, &w);
	set_be(f.octets + 12, 0x0806, 2);
	refused(&f);
}

static void test_damage(void **state)
{
	static struct frame f;
	struct offload_gso gso;
	struct offload_segment s;
	struct what w;
	int i, walks = 0;

	(void)state;
	for (i = 0; i < 3000; i++) {
		uint8_t *exact;
		int damage = (int)rnd(6);

		what_random(&w);
		w.payload = 1 + rnd(600);
		frame_make(&f, &w);
		while (damage-- > 0)
			f.octets[12 + rnd(f.payload)] = (uint8_t)rnd(256);
		if (rnd(3) == 0)
			f.vh.csum_start = (uint16_t)rnd(200);
		if (rnd(3) == 0)
			f.vh.flags = 0;
		if (rnd(3) == 0)
			f.len = rnd(f.len + 1);
		exact = malloc(f.len + 1); /* so that a sanitiser sees what is read beyond */
		assert_non_null(exact);
		memcpy(exact, f.octets, f.len);
		if (offload_gso_init(&gso, &f.vh, exact, f.len) == 0) {
			walks++;
			while (offload_gso_next(&gso, &s))
				assert_in_range(s.header_len + s.payload_len, 1, 65535 + 14);
		}
		(void)offload_csum_finish(exact, f.len, f.vh.csum_start, f.vh.csum_offset);
		free(exact);
	}
	assert_in_range(walks, 300, 3000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_segment_random),
		cmocka_unit_test(test_segment_without_partial),
		cmocka_unit_test(test_tunnels),
		cmocka_unit_test(test_vxlan_plain),
		cmocka_unit_test(test_sctp),
		cmocka_unit_test(test_csum_finish),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
