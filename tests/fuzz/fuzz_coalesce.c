/*
 * A burst of arbitrary frames, put together for sending: taken apart again by offload.c each run
 * must be the frames that it was made of, octet for octet but for an IPv4 identification with DF.
 *
 * The input is a row of frames, each with its length in front (two octets); an even first octet:
 * TCP.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/port/coalesce.h"
#include "dataplane/port/octets.h"
#include "dataplane/port/offload.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int ok)
{
	if (!ok)
		abort();
}

static void run_check(
	const struct coalesce *c, const struct coalesce_run *r, const struct coalesce_frame *frames)
{
	static uint8_t super[1 << 16], seg[1 << 16];
	size_t len = r->head_len;
	struct offload_segment s;
	struct offload_gso gso;
	unsigned int i;

	memcpy(super, r->head, r->head_len);
	for (i = r->first; i != COALESCE_FRAMES; i = c->next[i]) {
		memcpy(super + len, frames[i].octets + r->head_len, frames[i].len - r->head_len);
		len += frames[i].len - r->head_len;
	}
	check(offload_gso_init(&gso, &r->vh, super, len) == 0);
	offload_gso_vxlan_plain(&gso);
	for (i = r->first; i != COALESCE_FRAMES; i = c->next[i]) {
		const uint8_t *want = frames[i].octets;

		check(offload_gso_next(&gso, &s));
		check(s.header_len + s.payload_len == frames[i].len);
		memcpy(seg, s.header, s.header_len);
		memcpy(seg + s.header_len, s.payload, s.payload_len);
		if (!gso.l3_v6 && (want[gso.l3 + 6] & 0x40) != 0) {
			memcpy(seg + gso.l3 + 4, want + gso.l3 + 4, 2);
			memcpy(seg + gso.l3 + 10, want + gso.l3 + 10, 2);
		}
		/* zero and minus zero are one sum */
		if (!gso.udp && get16(want + gso.l4 + 16) == 0xffff)
			put16(seg + gso.l4 + 16, 0xffff);
		check(memcmp(seg, want, frames[i].len) == 0);
	}
	check(!offload_gso_next(&gso, &s));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct coalesce c;
	struct coalesce_frame frames[COALESCE_FRAMES];
	uint8_t *copies[COALESCE_FRAMES];
	unsigned int n = 0;
	enum coalesce_kind kind;

	if (size < 1)
		return 0;
	kind = data[0] % 2 == 0 ? COALESCE_TCP : COALESCE_VXLAN;
	data++;
	size--;
	while (n < COALESCE_FRAMES && size >= 2) {
		size_t len = get16(data) & 2047U;

		data += 2;
		size -= 2;
		len = len > size ? size : len;
		copies[n] = malloc(len + 1);
		if (copies[n] == NULL)
			break;
		memcpy(copies[n], data, len);
		frames[n] = (struct coalesce_frame){copies[n], (uint32_t)len};
		data += len;
		size -= len;
		n++;
	}
	coalesce(&c, kind, frames, n);
	for (unsigned int i = 0; i < c.n; i++)
		if (c.runs[i].frames > 1)
			run_check(&c, &c.runs[i], frames);
	for (unsigned int i = 0; i < n; i++)
		free(copies[i]);
	return 0;
}
