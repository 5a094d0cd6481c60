/*
 * Frames for tests: built layer by layer, compared octet by octet.
 *
 * A struct frame grows at its end; frame_finish_* fill in lengths and checksums of a header that
 * was put before. All numbers in host order.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_SIZE 10240

struct frame_bytes {
	size_t len;
	uint8_t data[FRAME_SIZE];
};

/* 02:00:00:00:HI:LO, readable in dumps. */
#define MAC(hi, lo)     ((const uint8_t[6]){0x02, 0x00, 0x00, 0x00, (uint8_t)(hi), (uint8_t)(lo)})
#define MAC_BROADCAST   ((const uint8_t[6]){0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
#define IP4(a, b, c, d) ((uint32_t)(a) << 24 | (uint32_t)(b) << 16 | (uint32_t)(c) << 8 | (d))

void frame_reset(struct frame_bytes *f);
void frame_put(struct frame_bytes *f, const void *data, size_t len);
void frame_put8(struct frame_bytes *f, uint8_t v);
void frame_put16(struct frame_bytes *f, uint16_t v);
void frame_put32(struct frame_bytes *f, uint32_t v);
/* `len` octets counting up from `first`. */
void frame_put_pattern(struct frame_bytes *f, size_t len, uint8_t first);
void frame_set16(struct frame_bytes *f, size_t at, uint16_t v);
uint16_t frame_get16(const struct frame_bytes *f, size_t at);
uint32_t frame_get32(const struct frame_bytes *f, size_t at);

/* Headers; each returns where it begins. */
size_t frame_ether(
	struct frame_bytes *f, const uint8_t dst[6], const uint8_t src[6], uint16_t type);
/* TTL 64, no options, DF unset; length and checksum are 0 until frame_ip4_finish(). */
size_t frame_ip4(struct frame_bytes *f, uint32_t src, uint32_t dst, uint8_t proto);
/* Total length = up to the frame's end; checksum. */
void frame_ip4_finish(struct frame_bytes *f, size_t ip);
/* Only the checksum, after a header was changed by hand. */
void frame_ip4_checksum(struct frame_bytes *f, size_t ip);
size_t frame_udp(struct frame_bytes *f, uint16_t src, uint16_t dst);
/* Length = up to the frame's end; checksum stays 0. */
void frame_udp_finish(struct frame_bytes *f, size_t udp);
size_t frame_tcp(struct frame_bytes *f, uint16_t src, uint16_t dst);
size_t frame_vxlan(struct frame_bytes *f, uint32_t vni);
size_t frame_arp(struct frame_bytes *f, uint16_t op, const uint8_t smac[6], uint32_t sip,
	const uint8_t tmac[6], uint32_t tip);

/* A whole Ethernet + IPv4 + UDP frame with `payload` octets of a pattern. */
void frame_udp4(struct frame_bytes *f, const uint8_t dst[6], const uint8_t src[6], uint32_t sip,
	uint32_t dip, uint16_t sport, uint16_t dport, size_t payload);

/* `inner` in VXLAN: a whole frame from MAC `src` to `dst`. */
void frame_encap(struct frame_bytes *f, const uint8_t dst[6], const uint8_t src[6], uint32_t sip,
	uint32_t dip, uint16_t sport, uint32_t vni, const struct frame_bytes *inner);

/* Internet checksum (RFC 1071) over len octets; 0 over data that carries a right one. */
uint16_t frame_checksum(const void *data, size_t len);

/* Fail the running test with both dumps if they differ. */
void frame_assert_equal(
	const struct frame_bytes *got, const struct frame_bytes *want, const char *file, int line);
#define assert_frame(got, want) frame_assert_equal((got), (want), __FILE__, __LINE__)
