/* Frames for tests; see frame.h. */
#include "tests/packet/frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

void frame_reset(struct frame_bytes *f)
{
	f->len = 0;
}

void frame_put(struct frame_bytes *f, const void *data, size_t len)
{
	assert_true(f->len + len <= FRAME_SIZE);
	memcpy(f->data + f->len, data, len);
	f->len += len;
}

void frame_put8(struct frame_bytes *f, uint8_t v)
{
	frame_put(f, &v, 1);
}

void frame_put16(struct frame_bytes *f, uint16_t v)
{
	frame_put8(f, (uint8_t)(v >> 8));
	frame_put8(f, (uint8_t)v);
}

void frame_put32(struct frame_bytes *f, uint32_t v)
{
	frame_put16(f, (uint16_t)(v >> 16));
	frame_put16(f, (uint16_t)v);
}

void frame_put_pattern(struct frame_bytes *f, size_t len, uint8_t first)
{
	for (size_t i = 0; i < len; i++)
		frame_put8(f, (uint8_t)(first + i));
}

void frame_set16(struct frame_bytes *f, size_t at, uint16_t v)
{
	f->data[at] = (uint8_t)(v >> 8);
	f->data[at + 1] = (uint8_t)v;
}

uint16_t frame_get16(const struct frame_bytes *f, size_t at)
{
	return (uint16_t)(f->data[at] << 8 | f->data[at + 1]);
}

uint32_t frame_get32(const struct frame_bytes *f, size_t at)
{
	return (uint32_t)frame_get16(f, at) << 16 | frame_get16(f, at + 2);
}

size_t frame_ether(struct frame_bytes *f, const uint8_t dst[6], const uint8_t src[6], uint16_t type)
{
	const size_t at = f->len;

	frame_put(f, dst, 6);
	frame_put(f, src, 6);
	frame_put16(f, type);
	return at;
}

size_t frame_ip4(struct frame_bytes *f, uint32_t src, uint32_t dst, uint8_t proto)
{
	const size_t at = f->len;

	frame_put16(f, 0x4500);
	frame_put16(f, 0); /* total length */
	frame_put32(f, 0); /* identification, flags, offset */
	frame_put8(f, 64);
	frame_put8(f, proto);
	frame_put16(f, 0); /* checksum */
	frame_put32(f, src);
	frame_put32(f, dst);
	return at;
}

uint16_t frame_checksum(const void *data, size_t len)
{
	const uint8_t *p = data;
	uint32_t sum = 0;

	for (size_t i = 0; i < len; i++)
		sum += i % 2 == 0 ? (uint32_t)p[i] << 8 : p[i];
	while (sum >> 16 != 0)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

void frame_ip4_checksum(struct frame_bytes *f, size_t ip)
{
	frame_set16(f, ip + 10, 0);
	frame_set16(f, ip + 10, frame_checksum(f->data + ip, (size_t)(f->data[ip] & 0xf) * 4));
}

void frame_ip4_finish(struct frame_bytes *f, size_t ip)
{
	frame_set16(f, ip + 2, (uint16_t)(f->len - ip));
	frame_ip4_checksum(f, ip);
}

size_t frame_udp(struct frame_bytes *f, uint16_t src, uint16_t dst)
{
	const size_t at = f->len;

	frame_put16(f, src);
	frame_put16(f, dst);
	frame_put32(f, 0);
	return at;
}

void frame_udp_finish(struct frame_bytes *f, size_t udp)
{
	frame_set16(f, udp + 4, (uint16_t)(f->len - udp));
}

size_t frame_tcp(struct frame_bytes *f, uint16_t src, uint16_t dst)
{
	const size_t at = f->len;

	frame_put16(f, src);
	frame_put16(f, dst);
	frame_put32(f, 1);
	frame_put32(f, 1);
	frame_put16(f, 0x5010);
	frame_put16(f, 1024);
	frame_put32(f, 0);
	return at;
}

size_t frame_vxlan(struct frame_bytes *f, uint32_t vni)
{
	const size_t at = f->len;

	frame_put32(f, 0x08000000);
	frame_put32(f, vni << 8);
	return at;
}

size_t frame_arp(struct frame_bytes *f, uint16_t op, const uint8_t smac[6], uint32_t sip,
	const uint8_t tmac[6], uint32_t tip)
{
	const size_t at = f->len;

	frame_put16(f, 1);
	frame_put16(f, 0x0800);
	frame_put16(f, 0x0604);
	frame_put16(f, op);
	frame_put(f, smac, 6);
	frame_put32(f, sip);
	frame_put(f, tmac, 6);
	frame_put32(f, tip);
	return at;
}

void frame_udp4(struct frame_bytes *f, const uint8_t dst[6], const uint8_t src[6], uint32_t sip,
	uint32_t dip, uint16_t sport, uint16_t dport, size_t payload)
{
	size_t ip, udp;

	frame_reset(f);
	frame_ether(f, dst, src, 0x0800);
	ip = frame_ip4(f, sip, dip, 17);
	udp = frame_udp(f, sport, dport);
	frame_put_pattern(f, payload, 0);
	frame_udp_finish(f, udp);
	frame_ip4_finish(f, ip);
}

void frame_encap(struct frame_bytes *f, const uint8_t dst[6], const uint8_t src[6], uint32_t sip,
	uint32_t dip, uint16_t sport, uint32_t vni, const struct frame_bytes *inner)
{
	size_t ip, udp;

	frame_reset(f);
	frame_ether(f, dst, src, 0x0800);
	ip = frame_ip4(f, sip, dip, 17);
	frame_set16(f, ip + 6, 0x4000); /* DF, as we send it */
	udp = frame_udp(f, sport, 4789);
	frame_vxlan(f, vni);
	frame_put(f, inner->data, inner->len);
	frame_udp_finish(f, udp);
	frame_ip4_finish(f, ip);
}

static void dump(const char *name, const struct frame_bytes *f)
{
	fprintf(stderr, "%s: %zu octets", name, f->len);
	for (size_t i = 0; i < f->len && i < 160; i++)
		fprintf(stderr, "%s%02x", i % 16 == 0 ? "\n  " : " ", f->data[i]);
	fputc('\n', stderr);
}

void frame_assert_equal(
	const struct frame_bytes *got, const struct frame_bytes *want, const char *file, int line)
{
	if (got->len == want->len && memcmp(got->data, want->data, got->len) == 0)
		return;
	dump("got", got);
	dump("want", want);
	for (size_t i = 0; i < got->len && i < want->len; i++)
		if (got->data[i] != want->data[i]) {
			fprintf(stderr, "first difference at octet %zu\n", i);
			break;
		}
	_fail(file, line);
}
