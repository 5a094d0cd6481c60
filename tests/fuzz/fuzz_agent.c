/*
 * libFuzzer: what the agent reads. The first octet chooses: answers of FRR's vty sockets in pieces
 * (the same as in one), FRR's JSON, a desired state of the controller, rtnetlink messages, the port
 * inventory, the journal.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "controller/agent/check.h"
#include "controller/agent/desired.h"
#include "controller/agent/frr/readback.h"
#include "controller/agent/frr/vty.h"
#include "controller/agent/inventory.h"
#include "controller/agent/kernel/journal.h"
#include "controller/agent/kernel/model.h"
#include "proto/lib/log.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A sum over the answers; the stream ends at the first error as a connection would. */
static uint64_t vty_sum(const uint8_t *data, size_t size, size_t piece)
{
	struct vty_parser p = {0};
	uint64_t sum = 1;

	for (size_t from = 0; from < size; from += piece) {
		const size_t n = piece < size - from ? piece : size - from;

		for (size_t at = 0; at < n;) {
			size_t used = 0;
			const int rc =
				vty_parser_feed(&p, (const char *)data + from + at, n - at, &used);

			if (rc < 0)
				goto out;
			if (used == 0 || used > n - at)
				abort();
			at += used;
			if (rc == 0)
				continue;
			if (p.text[p.len] != '\0')
				abort();
			sum = sum * 31 + (uint64_t)p.status;
			for (size_t i = 0; i < p.len; i++)
				sum = sum * 31 + (uint8_t)p.text[i];
		}
	}
out:
	vty_parser_clear(&p);
	return sum;
}

static void json(const char *text)
{
	struct rb_vnis vnis = {0};
	struct rb_summary summary = {0};
	struct rb_bfd bfd = {0};

	if (rb_vnis_parse(&vnis, text) == 0) {
		(void)rb_vnis_find(&vnis, 10010);
		rb_vnis_clear(&vnis);
	}
	if (rb_summary_parse(&summary, text) == 0) {
		(void)rb_peers_find(&summary.evpn, "10.0.0.1");
		rb_summary_clear(&summary);
	}
	if (rb_bfd_parse(&bfd, text) == 0) {
		(void)rb_bfd_find(&bfd, "10.0.0.1");
		rb_bfd_clear(&bfd);
	}
}

/* The same state, twice, as a first and as a later message. */
static void state(const uint8_t *data, size_t size)
{
	struct desired d = {0};
	char error[256];

	for (int i = 0; i < 2; i++) {
		Audums__V1__DesiredState *m = audums__v1__desired_state__unpack(NULL, size, data);

		if (m == NULL)
			break;
		if (m->node_base != NULL)
			(void)check_base(m->node_base, error, sizeof(error));
		(void)desired_merge(&d, m, error, sizeof(error));
		check_segments(d.segments, d.count);
		audums__v1__desired_state__free_unpacked(m, NULL);
	}
	desired_clear(&d);
}

static void netlink(const uint8_t *data, size_t size)
{
	struct kmodel m = {0};

	if (kmodel_init(&m) < 0)
		return;
	kmodel_mark(&m);
	while (size >= sizeof(struct nlmsghdr)) {
		struct nlmsghdr *h;
		uint32_t len;

		memcpy(&len, data, sizeof(len));
		if (len < sizeof(*h) || len > size)
			break;
		h = malloc(len); /* its own, so that a read past it shows */
		if (h == NULL)
			break;
		memcpy(h, data, len);
		(void)kmodel_feed(&m, h);
		free(h);
		len = NLMSG_ALIGN(len);
		if (len >= size)
			break;
		data += len;
		size -= len;
	}
	(void)kmodel_sweep(&m);
	kmodel_clear(&m);
}

/* Files are read by their path. */
static void file(const uint8_t *data, size_t size, bool is_journal)
{
	static int fd = -1;
	struct inventory inventory = {0};
	struct journal journal = {0};
	char path[64], error[256];

	if (fd < 0)
		fd = memfd_create("fuzz", MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, 0) < 0 || pwrite(fd, data, size, 0) != (ssize_t)size)
		return;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (is_journal) {
		if (journal_open(&journal, path) == 0)
			journal_clear(&journal);
	} else if (inventory_load(&inventory, path, error, sizeof(error)) == 0) {
		inventory_clear(&inventory);
	}
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	log_setup(LOG_LEVEL_ERROR, 2);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text;

	if (size < 2)
		return 0;
	switch (data[0] % 6) {
	case 0:
		if (vty_sum(data + 2, size - 2, size) != vty_sum(data + 2, size - 2, data[1] + 1u))
			abort();
		break;
	case 1:
		text = calloc(1, size);
		if (text == NULL)
			return 0;
		memcpy(text, data + 1, size - 1);
		json(text);
		free(text);
		break;
	case 2:
		state(data + 1, size - 1);
		break;
	case 3:
		netlink(data + 1, size - 1);
		break;
	default:
		file(data + 1, size - 1, data[0] % 6 == 5);
		break;
	}
	return 0;
}
