/*
 * Inputs that are sequences: operation (1 octet), length (2 octets, little endian), octets; and
 * what mutators of such inputs share. A target includes one of the mutators below by linking it.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define RECORDS_MAX 64
#define RECORD_HEAD 3

struct record {
	uint8_t op;
	uint16_t len;
	const uint8_t *data;
};

/* Cut an input up (a last record may be shorter than it says). Returns how many there are. */
size_t records_split(const uint8_t *data, size_t size, struct record records[RECORDS_MAX]);

/* The opposite, as many whole records as fit; returns the octets written. */
size_t records_join(const struct record records[], size_t n, uint8_t *out, size_t max);

/* A sequence of numbers below n. */
uint32_t records_roll(uint64_t *dice, uint32_t n);

/* Makes one record's octets anew (at most `max`), or changes those of `old` (may be NULL). Returns
 * how many there are; *op may be set. */
typedef size_t record_make_fn(
	uint64_t *dice, const struct record *old, uint8_t *op, uint8_t *out, size_t max);

/*
 * Mutate an input record by record with `make`; every fourth time the input's octets as they are.
 * With FUZZ_BLIND in the environment always the latter, to see what the structure is worth.
 */
size_t records_mutate(
	uint8_t *data, size_t size, size_t max_size, unsigned int seed, record_make_fn *make);

/* libFuzzer's own. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed);
