/*
 * Writes captures in the pcapng format (draft-ietf-opsawg-pcapng), which Wireshark and tcpdump
 * read.
 *
 * Each call appends whole blocks to a buffer; who writes them to a file does so at such a boundary,
 * so a file is valid at any time. Times are in nanoseconds; all interfaces are Ethernet.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pcapng {
	uint8_t *data;
	size_t len, cap;
	uint32_t interfaces; /* made so far */
	bool failed;         /* memory ran out: nothing more is added */
};

enum pcapng_direction {
	PCAPNG_UNKNOWN,
	PCAPNG_IN,
	PCAPNG_OUT,
};

struct pcapng_packet {
	uint32_t interface;
	uint64_t time_ns; /* since the epoch */
	uint32_t length;  /* on the wire */
	const uint8_t *data;
	uint32_t kept; /* octets of `data` */
	enum pcapng_direction direction;
	uint64_t lost;       /* frames of all interfaces since the packet before; 0 = none */
	const char *comment; /* NULL or "" = none */
};

/* Begin a section; `program` is what wrote it. Frees nothing: zero the structure first. */
void pcapng_section(struct pcapng *p, const char *program);

/* An interface; returns its number. `description` may be NULL. */
uint32_t pcapng_interface(
	struct pcapng *p, const char *name, const char *description, uint32_t snaplen);

void pcapng_packet(struct pcapng *p, const struct pcapng_packet *packet);

/* Statistics at the end, of interface 0: what was lost in all. */
void pcapng_end(struct pcapng *p, uint64_t time_ns, uint64_t lost, const char *comment);

/* Forget what is in the buffer (it was written); pcapng_free() also gives its memory back. */
void pcapng_clear(struct pcapng *p);
void pcapng_free(struct pcapng *p);
