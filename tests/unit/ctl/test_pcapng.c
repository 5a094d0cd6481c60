/*
 * The pcapng writer, read back by a strict reader of its own: every length, padding, option and
 * number. Where capinfos is installed it must understand the file too.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "controller/ctl/pcapng.h"

struct block {
	uint32_t type;
	const uint8_t *body; /* without type and lengths */
	uint32_t len;
};

static uint32_t get32(const uint8_t *at)
{
	uint32_t v;

	memcpy(&v, at, sizeof(v));
	return v;
}

/* The block at *at; moves on. */
static struct block block_read(const struct pcapng *p, size_t *at)
{
	struct block b;
	uint32_t total;

	assert_true(*at + 12 <= p->len);
	b.type = get32(p->data + *at);
	total = get32(p->data + *at + 4);
	assert_int_equal(total % 4, 0);
	assert_true(total >= 12 && *at + total <= p->len);
	assert_int_equal(get32(p->data + *at + total - 4), total);
	b.body = p->data + *at + 8;
	b.len = total - 12;
	*at += total;
	return b;
}

/* The option `code` behind `from`; all are checked. Returns its length, or -1; *value points to it.
 */
static int option_find(const struct block *b, uint32_t from, uint16_t code, const uint8_t **value)
{
	int found = -1;

	for (;;) {
		uint16_t head[2];
		uint32_t padded;

		assert_true(from + 4 <= b->len);
		memcpy(head, b->body + from, 4);
		from += 4;
		padded = (head[1] + 3u) & ~3u;
		assert_true(from + padded <= b->len);
		for (uint32_t i = head[1]; i < padded; i++)
			assert_int_equal(b->body[from + i], 0);
		if (head[0] == 0) {
			assert_int_equal(head[1], 0);
			assert_int_equal(from, b->len);
			return found;
		}
		if (head[0] == code) {
			assert_int_equal(found, -1);
			found = head[1];
			*value = b->body + from;
		}
		from += padded;
	}
}

static void assert_text(const struct block *b, uint32_t from, uint16_t code, const char *want)
{
	const uint8_t *value;

	assert_int_equal(option_find(b, from, code, &value), strlen(want));
	assert_memory_equal(value, want, strlen(want));
}

static const uint8_t frame[] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 1, 2, 3};

static void file_make(struct pcapng *p)
{
	pcapng_section(p, "audumsctl 1");
	assert_int_equal(pcapng_interface(p, "up0", "uplink port", 16384), 0);
	assert_int_equal(pcapng_interface(p, "p1", NULL, 16384), 1);
	pcapng_packet(p, &(struct pcapng_packet){.interface = 1,
				 .time_ns = 1700000000123456789,
				 .length = 1500,
				 .data = frame,
				 .kept = sizeof(frame),
				 .direction = PCAPNG_OUT,
				 .lost = 3,
				 .comment = "segment 10010"});
	pcapng_packet(p, &(struct pcapng_packet){.interface = 0,
				 .time_ns = 1700000000123456790,
				 .length = 16,
				 .data = frame,
				 .kept = 16,
				 .comment = ""});
	pcapng_end(p, 1700000000123456790, 3, NULL);
}

static void test_blocks(void **state)
{
	struct pcapng p = {0};
	const uint8_t *value;
	struct block b;
	size_t at = 0;
	uint64_t n;

	file_make(&p);
	assert_false(p.failed);
	b = block_read(&p, &at);
	assert_int_equal(b.type, 0x0a0d0d0a);
	assert_int_equal(get32(b.body), 0x1a2b3c4d);
	assert_memory_equal(b.body + 4, ((const uint16_t[]){1, 0}), 4);
	assert_memory_equal(b.body + 8, "\xff\xff\xff\xff\xff\xff\xff\xff", 8);
	assert_text(&b, 16, 4, "audumsctl 1");

	b = block_read(&p, &at);
	assert_int_equal(b.type, 1);
	assert_int_equal(get32(b.body), 1); /* Ethernet */
	assert_int_equal(get32(b.body + 4), 16384);
	assert_text(&b, 8, 2, "up0");
	assert_text(&b, 8, 3, "uplink port");
	assert_int_equal(option_find(&b, 8, 9, &value), 1);
	assert_int_equal(*value, 9);
	b = block_read(&p, &at);
	assert_text(&b, 8, 2, "p1");
	assert_int_equal(option_find(&b, 8, 3, &value), -1);

	b = block_read(&p, &at);
	assert_int_equal(b.type, 6);
	assert_int_equal(get32(b.body), 1);
	n = (uint64_t)get32(b.body + 4) << 32 | get32(b.body + 8);
	assert_true(n == 1700000000123456789);
	assert_int_equal(get32(b.body + 12), sizeof(frame));
	assert_int_equal(get32(b.body + 16), 1500);
	assert_memory_equal(b.body + 20, frame, sizeof(frame));
	assert_memory_equal(b.body + 20 + sizeof(frame), "\0\0\0", 3);
	assert_text(&b, 40, 1, "segment 10010");
	assert_int_equal(option_find(&b, 40, 2, &value), 4);
	assert_int_equal(get32(value), 2);
	assert_int_equal(option_find(&b, 40, 4, &value), 8);
	memcpy(&n, value, sizeof(n));
	assert_int_equal(n, 3);
	b = block_read(&p, &at);
	assert_int_equal(option_find(&b, 36, 1, &value), -1);
	assert_int_equal(option_find(&b, 36, 2, &value), -1);
	assert_int_equal(option_find(&b, 36, 4, &value), -1);

	b = block_read(&p, &at);
	assert_int_equal(b.type, 5);
	assert_int_equal(option_find(&b, 12, 7, &value), 8);
	assert_int_equal(at, p.len);
	pcapng_free(&p);
}

static void test_capinfos(void **state)
{
	char path[] = "/tmp/audums-pcapng-XXXXXX", command[128], line[256];
	bool packets = false, interfaces = false;
	struct pcapng p = {0};
	int fd;
	FILE *f;

	if (system("command -v capinfos >/dev/null") != 0)
		skip();
	fd = mkstemp(path);
	assert_true(fd >= 0);
	file_make(&p);
	assert_int_equal(write(fd, p.data, p.len), p.len);
	close(fd);
	pcapng_free(&p);
	snprintf(command, sizeof(command), "capinfos -M %s 2>&1", path);
	f = popen(command, "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		packets |= strstr(line, "Number of packets") && strchr(line, '2');
		interfaces |= strstr(line, "Number of interfaces in file: 2") != NULL;
	}
	assert_int_equal(pclose(f), 0);
	unlink(path);
	assert_true(packets && interfaces);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_blocks),
		cmocka_unit_test(test_capinfos),
	};

	return cmocka_run_group_tests_name("pcapng", tests, NULL, NULL);
}
