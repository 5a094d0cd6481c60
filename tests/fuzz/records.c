/* Inputs that are sequences; see records.h. */
#include "tests/fuzz/records.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define MADE_MAX 4096

size_t records_split(const uint8_t *data, size_t size, struct record records[RECORDS_MAX])
{
	size_t n = 0;

	while (size >= RECORD_HEAD && n < RECORDS_MAX) {
		struct record *r = &records[n++];
		const size_t len = (size_t)data[1] | (size_t)data[2] << 8;

		r->op = data[0];
		r->data = data + RECORD_HEAD;
		r->len = (uint16_t)(len < size - RECORD_HEAD ? len : size - RECORD_HEAD);
		data += RECORD_HEAD + r->len;
		size -= RECORD_HEAD + r->len;
	}
	return n;
}

size_t records_join(const struct record records[], size_t n, uint8_t *out, size_t max)
{
	size_t at = 0;

	for (size_t i = 0; i < n && at + RECORD_HEAD + records[i].len <= max; i++) {
		out[at] = records[i].op;
		out[at + 1] = (uint8_t)records[i].len;
		out[at + 2] = (uint8_t)(records[i].len >> 8);
		memcpy(out + at + RECORD_HEAD, records[i].data, records[i].len);
		at += RECORD_HEAD + records[i].len;
	}
	return at;
}

uint32_t records_roll(uint64_t *dice, uint32_t n)
{
	*dice ^= *dice << 13;
	*dice ^= *dice >> 7;
	*dice ^= *dice << 17;
	return (uint32_t)(*dice >> 32) % n;
}

size_t records_mutate(
	uint8_t *data, size_t size, size_t max_size, unsigned int seed, record_make_fn *make)
{
	static int blind = -1;
	uint64_t dice = (seed + 1) * 0x9e3779b97f4a7c15ULL;
	struct record records[RECORDS_MAX + 1];
	uint8_t made[MADE_MAX], *copy;
	size_t n, at;

	if (blind < 0)
		blind = getenv("FUZZ_BLIND") != NULL;
	if (blind || records_roll(&dice, 4) == 0)
		return LLVMFuzzerMutate(data, size, max_size);
	copy = malloc(size + 1);
	if (copy == NULL)
		return size;
	memcpy(copy, data, size);
	n = records_split(copy, size, records);
	at = n > 0 ? records_roll(&dice, (uint32_t)n) : 0;
	switch (n > 0 ? records_roll(&dice, 8) : 0) {
	case 0:
	case 1:
	case 2: { /* a new one */
		struct record fresh = {.op = (uint8_t)records_roll(&dice, 256), .data = made};

		if (n == RECORDS_MAX)
			n--;
		fresh.len = (uint16_t)make(&dice, NULL, &fresh.op, made, sizeof(made));
		memmove(&records[at + 1], &records[at], (n - at) * sizeof(records[0]));
		records[at] = fresh;
		n++;
		break;
	}
	case 3: /* one less */
		memmove(&records[at], &records[at + 1], (n - at - 1) * sizeof(records[0]));
		n--;
		break;
	case 4: /* one twice */
		if (n < RECORDS_MAX)
			records[n++] = records[at];
		break;
	case 5: /* another operation */
		records[at].op = (uint8_t)records_roll(&dice, 256);
		break;
	default: { /* one changed */
		const struct record old = records[at];

		records[at].len = (uint16_t)make(&dice, &old, &records[at].op, made, sizeof(made));
		records[at].data = made;
		break;
	}
	}
	n = records_join(records, n, data, max_size);
	free(copy);
	return n;
}
