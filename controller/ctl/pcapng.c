/* Writes pcapng; see pcapng.h. Section numbers are the draft's. */
#include "controller/ctl/pcapng.h"

#include <stdlib.h>
#include <string.h>

#define SECTION_HEADER       0x0a0d0d0au /* 4.1 */
#define BYTE_ORDER_MAGIC     0x1a2b3c4du
#define INTERFACE            1u /* 4.2 */
#define INTERFACE_STATISTICS 5u /* 4.6 */
#define ENHANCED_PACKET      6u /* 4.3 */
#define LINKTYPE_ETHERNET    1u

#define OPT_END              0
#define OPT_COMMENT          1
#define SHB_USERAPPL         4
#define IF_NAME              2
#define IF_DESCRIPTION       3
#define IF_TSRESOL           9
#define EPB_FLAGS            2
#define EPB_DROPCOUNT        4
#define ISB_OSDROP           7
#define OPT_MAX              4096 /* octets of a text */

static void put(struct pcapng *p, const void *data, size_t len)
{
	static const uint8_t zeros[4];
	const size_t padded = (len + 3) & ~(size_t)3;

	if (p->failed)
		return;
	if (p->len + padded > p->cap) {
		const size_t cap = (p->len + padded) * 2;
		uint8_t *grown = realloc(p->data, cap);

		if (!grown) {
			p->failed = true;
			return;
		}
		p->data = grown;
		p->cap = cap;
	}
	if (len)
		memcpy(p->data + p->len, data, len);
	memcpy(p->data + p->len + len, zeros, padded - len);
	p->len += padded;
}

/* Numbers are in the machine's order; the section header says which that is. */
static void put32(struct pcapng *p, uint32_t v)
{
	put(p, &v, sizeof(v));
}

/* A block's begin; returns where it is, for block_end(). */
static size_t block_begin(struct pcapng *p, uint32_t type)
{
	const size_t at = p->len;

	put32(p, type);
	put32(p, 0);
	return at;
}

static void block_end(struct pcapng *p, size_t at)
{
	uint32_t len;

	put32(p, 0);
	if (p->failed)
		return;
	len = (uint32_t)(p->len - at);
	memcpy(p->data + at + 4, &len, sizeof(len));
	memcpy(p->data + p->len - 4, &len, sizeof(len));
}

static void option(struct pcapng *p, uint16_t code, const void *value, size_t len)
{
	const uint16_t head[2] = {code, (uint16_t)len};

	put(p, head, sizeof(head));
	put(p, value, len);
}

static void option_text(struct pcapng *p, uint16_t code, const char *text)
{
	const size_t len = text ? strlen(text) : 0;

	if (len)
		option(p, code, text, len < OPT_MAX ? len : OPT_MAX);
}

static void put_time(struct pcapng *p, uint64_t ns)
{
	put32(p, (uint32_t)(ns >> 32));
	put32(p, (uint32_t)ns);
}

void pcapng_section(struct pcapng *p, const char *program)
{
	const uint16_t version[2] = {1, 0};
	const int64_t unknown = -1;
	const size_t at = block_begin(p, SECTION_HEADER);

	put32(p, BYTE_ORDER_MAGIC);
	put(p, version, sizeof(version));
	put(p, &unknown, sizeof(unknown));
	option_text(p, SHB_USERAPPL, program);
	option(p, OPT_END, NULL, 0);
	block_end(p, at);
}

uint32_t pcapng_interface(
	struct pcapng *p, const char *name, const char *description, uint32_t snaplen)
{
	const uint16_t linktype[2] = {LINKTYPE_ETHERNET, 0};
	const uint8_t nanoseconds = 9;
	const size_t at = block_begin(p, INTERFACE);

	put(p, linktype, sizeof(linktype));
	put32(p, snaplen);
	option_text(p, IF_NAME, name);
	option_text(p, IF_DESCRIPTION, description);
	option(p, IF_TSRESOL, &nanoseconds, sizeof(nanoseconds));
	option(p, OPT_END, NULL, 0);
	block_end(p, at);
	return p->interfaces++;
}

void pcapng_packet(struct pcapng *p, const struct pcapng_packet *packet)
{
	const uint32_t flags = packet->direction; /* bits 0-1: 1 in, 2 out */
	const size_t at = block_begin(p, ENHANCED_PACKET);

	put32(p, packet->interface);
	put_time(p, packet->time_ns);
	put32(p, packet->kept);
	put32(p, packet->length);
	put(p, packet->data, packet->kept);
	option_text(p, OPT_COMMENT, packet->comment);
	if (flags)
		option(p, EPB_FLAGS, &flags, sizeof(flags));
	if (packet->lost)
		option(p, EPB_DROPCOUNT, &packet->lost, sizeof(packet->lost));
	option(p, OPT_END, NULL, 0);
	block_end(p, at);
}

void pcapng_end(struct pcapng *p, uint64_t time_ns, uint64_t lost, const char *comment)
{
	const size_t at = block_begin(p, INTERFACE_STATISTICS);

	put32(p, 0);
	put_time(p, time_ns);
	option_text(p, OPT_COMMENT, comment);
	option(p, ISB_OSDROP, &lost, sizeof(lost));
	option(p, OPT_END, NULL, 0);
	block_end(p, at);
}

void pcapng_clear(struct pcapng *p)
{
	p->len = 0;
}

void pcapng_free(struct pcapng *p)
{
	free(p->data);
	*p = (struct pcapng){0};
}
