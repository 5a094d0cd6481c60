/*
 * Numbers in network order and the Internet checksum (RFC 1071), for code that works on octets.
 *
 * A sum is kept in the machine's byte order: its fold, stored as it is, is right on either kind of
 * machine. Pieces that are added must begin at an even offset of what is summed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline uint32_t get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}

static inline void put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v & 0xffff);
}

/* Add a word with end-around carry: 2^64 - 1 is a multiple of 65535, so the fold is the same. */
static inline uint64_t sum_word(uint64_t sum, const uint8_t *p)
{
	uint64_t word;

	memcpy(&word, p, sizeof(word));
	sum += word;
	return sum + (sum < word);
}

/* Add `n` octets. Two chains of additions, as each waits for its carry. */
static inline uint64_t sum_add(uint64_t sum, const uint8_t *p, size_t n)
{
	uint64_t other = 0, last = 0;

	for (; n >= 32; n -= 32, p += 32) {
		sum = sum_word(sum, p);
		other = sum_word(other, p + 8);
		sum = sum_word(sum, p + 16);
		other = sum_word(other, p + 24);
	}
	for (; n >= 8; n -= 8, p += 8)
		sum = sum_word(sum, p);
	if (n > 0) {
		memcpy(&last, p, n);
		sum += last;
		sum += sum < last;
	}
	sum += other;
	return sum + (sum < other);
}

static inline uint64_t sum_add16(uint64_t sum, uint32_t value)
{
	uint8_t octets[2];

	put16(octets, value);
	return sum_add(sum, octets, sizeof(octets));
}

static inline uint16_t sum_fold(uint64_t sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

/* Fold, complement and store at `p`. */
static inline void sum_store(uint8_t *p, uint64_t sum, bool never_zero)
{
	uint16_t folded = (uint16_t)~sum_fold(sum);

	if (folded == 0 && never_zero)
		folded = 0xffff;
	memcpy(p, &folded, sizeof(folded));
}

/* The sum of the pseudo header of the IP header at `ip` (RFC 9293 section 3.1, RFC 8200 8.1), with
 * `len` octets (below 65536) of `proto`. */
static inline uint64_t sum_pseudo(const uint8_t *ip, bool v6, uint8_t proto, uint32_t len)
{
	return sum_add16(sum_add16(sum_add(0, ip + (v6 ? 8 : 12), v6 ? 32 : 8), proto), len);
}
