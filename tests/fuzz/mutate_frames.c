/*
 * Mutator of sequences of frames: tenants' frames and the backbone's, made of the addresses that
 * the site of tests/packet/kernel.h knows; or a frame changed anywhere, with its IPv4 checksum and
 * lengths set right again most of the time, without which nothing gets past the first check.
 */
#include "tests/fuzz/records.h"

#include <string.h>

struct writer {
	uint8_t *out;
	size_t len, max;
};

static void put8(struct writer *w, uint32_t v)
{
	if (w->len < w->max)
		w->out[w->len++] = (uint8_t)v;
}

static void put16(struct writer *w, uint32_t v)
{
	put8(w, v >> 8);
	put8(w, v);
}

static void put32(struct writer *w, uint32_t v)
{
	put16(w, v >> 16);
	put16(w, v);
}

static void put_mac(struct writer *w, uint64_t mac)
{
	put16(w, (uint32_t)(mac >> 32) & 0xffff);
	put32(w, (uint32_t)mac);
}

static uint64_t tenant_mac(uint64_t *dice)
{
	static const uint64_t odd[] = {
		0xffffffffffffULL, 0x0180c2000001ULL, 0x01005e000001ULL, 0, 0x02aa00000101ULL};

	if (records_roll(dice, 6) == 0)
		return odd[records_roll(dice, 5)];
	return 0x020000000100ULL + records_roll(dice, 7);
}

static uint32_t address(uint64_t *dice)
{
	static const uint32_t known[] = {0x0afe0101, 0x0afe0101, 0x0afe0101, 0x0afe0201, 0x0afe0301,
		0x0afe0401, 0x0a000000, 0x0a000001, 0x0c010101, 0x0d010101, 0xffffffff, 0xe0000005,
		0x08080808};

	return known[records_roll(dice, 13)];
}

/* Ethernet to the backbone port `up`, from its neighbour. */
static void ethernet_uplink(struct writer *w, uint32_t up)
{
	put_mac(w, 0x02aa00000001ULL + up);
	put_mac(w, 0x02000000bb00ULL + up);
}

static uint32_t sum16(const uint8_t *p, size_t len)
{
	uint32_t sum = 0;

	for (size_t i = 0; i + 1 < len; i += 2)
		sum += (uint32_t)p[i] << 8 | p[i + 1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* The IPv4 header after an Ethernet header: lengths and checksum as they should be. */
static void repair(uint8_t *frame, size_t len, int lengths)
{
	size_t header;
	uint32_t sum;

	if (len < 34 || frame[12] != 8 || frame[13] != 0)
		return;
	header = (size_t)(frame[14] & 15) * 4;
	if (header < 20 || len < 14 + header)
		return;
	if (lengths) {
		frame[16] = (uint8_t)((len - 14) >> 8);
		frame[17] = (uint8_t)(len - 14);
		if (frame[23] == 17 && len >= 14 + header + 8) {
			frame[14 + header + 4] = (uint8_t)((len - 14 - header) >> 8);
			frame[14 + header + 5] = (uint8_t)(len - 14 - header);
		}
	}
	frame[24] = frame[25] = 0;
	sum = ~sum16(frame + 14, header);
	frame[24] = (uint8_t)(sum >> 8);
	frame[25] = (uint8_t)sum;
}

static void make_ip(uint64_t *dice, struct writer *w, uint32_t src, uint32_t dst, uint32_t proto)
{
	put16(w, 0x4500);
	put16(w, 0);
	put16(w, records_roll(dice, 65536));
	put16(w, records_roll(dice, 8) ? 0x4000 : records_roll(dice, 65536));
	put8(w, records_roll(dice, 8) ? 64 : records_roll(dice, 3));
	put8(w, proto);
	put16(w, 0);
	put32(w, src);
	put32(w, dst);
}

static void make_payload(uint64_t *dice, struct writer *w)
{
	static const uint16_t sizes[] = {0, 4, 20, 46, 260, 1000, 1500, 2400};

	for (uint32_t n = sizes[records_roll(dice, 8)]; n > 0; n--)
		put8(w, n);
}

static void make_tenant(uint64_t *dice, struct writer *w)
{
	static const uint16_t types[] = {0x0800, 0x0800, 0x86dd, 0x0806, 0x8100, 0x88a8, 0x88cc};
	const uint16_t type = types[records_roll(dice, 7)];
	static const uint8_t protos[] = {17, 6, 1, 58, 132};
	const uint8_t proto = protos[records_roll(dice, 5)];

	put_mac(w, tenant_mac(dice));
	put_mac(w, tenant_mac(dice));
	put16(w, type);
	if (type >= 0x8100 && type < 0x88cc) {
		put16(w, records_roll(dice, 16));
		put16(w, 0x0800);
	}
	if (type == 0x86dd) {
		put32(w, 0x60000000);
		put16(w, records_roll(dice, 2000));
		put8(w, proto);
		put8(w, 64);
		for (int i = 0; i < 8; i++)
			put32(w, records_roll(dice, 4));
	} else {
		make_ip(dice, w, address(dice), address(dice), proto);
	}
	put16(w, records_roll(dice, 65536));
	put16(w, records_roll(dice, 4) ? 53 : 4789);
	make_payload(dice, w);
	repair(w->out, w->len, 1);
}

static void make_overlay(uint64_t *dice, struct writer *w, uint32_t up)
{
	static const uint32_t vnis[] = {10010, 10010, 10020, 1};
	struct writer inner;

	ethernet_uplink(w, up);
	put16(w, 0x0800);
	make_ip(dice, w, address(dice), records_roll(dice, 8) ? 0x0afe0101 : address(dice), 17);
	put16(w, records_roll(dice, 65536));
	put16(w, 4789);
	put32(w, 0);
	put32(w, records_roll(dice, 16) ? 0x08000000 : records_roll(dice, 256) << 24);
	put32(w, vnis[records_roll(dice, 4)] << 8);
	inner = (struct writer){.out = w->out + w->len, .max = w->max - w->len};
	make_tenant(dice, &inner);
	w->len += inner.len;
	repair(w->out, w->len, 1);
}

static void make_control(uint64_t *dice, struct writer *w, uint32_t up)
{
	static const uint16_t ports[] = {179, 3784, 3785, 4784, 4789, 33434};
	static const uint8_t protos[] = {17, 6, 1, 89};
	static const uint16_t types[] = {0x0806, 0x86dd, 0x8100, 0x88cc};

	ethernet_uplink(w, up);
	if (records_roll(dice, 3) == 0) {
		put16(w, types[records_roll(dice, 4)]);
		put32(w, 0x60000000);
		put16(w, 60);
		put8(w, records_roll(dice, 2) ? 58 : 17);
	} else {
		put16(w, 0x0800);
		make_ip(dice, w, address(dice), address(dice), protos[records_roll(dice, 4)]);
		put16(w, ports[records_roll(dice, 6)]);
		put16(w, ports[records_roll(dice, 6)]);
		put32(w, 0);
	}
	make_payload(dice, w);
	repair(w->out, w->len, 1);
}

static size_t make(uint64_t *dice, const struct record *old, uint8_t *op, uint8_t *out, size_t max)
{
	struct writer w = {.out = out, .max = max};
	const uint32_t up = records_roll(dice, 2);

	if (old != NULL && old->len > 0 && old->len < max / 2) {
		memcpy(out, old->data, old->len);
		w.len = LLVMFuzzerMutate(out, old->len, max);
		if (records_roll(dice, 4))
			repair(out, w.len, records_roll(dice, 2) == 0);
		return w.len;
	}
	switch (records_roll(dice, 4)) {
	case 0:
		*op = (uint8_t)(2 + records_roll(dice, 3));
		make_tenant(dice, &w);
		break;
	case 1:
	case 2:
		*op = (uint8_t)up;
		make_overlay(dice, &w, up);
		break;
	default:
		*op = (uint8_t)(records_roll(dice, 6) ? up : 8 + up);
		make_control(dice, &w, up);
		break;
	}
	return w.len;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
	return records_mutate(data, size, max_size, seed, make);
}
