/* The journal of unmarked kernel state; see journal.h. */
#include "controller/agent/kernel/journal.h"

#include "controller/agent/text.h"
#include "proto/lib/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_BYTES 128

void journal_clear(struct journal *j)
{
	free(j->entries);
	j->entries = NULL;
	j->count = 0;
}

static struct journal_entry *find(
	const struct journal *j, bool is_addr, const char *device, uint32_t ip, uint8_t plen)
{
	for (size_t i = 0; i < j->count; i++) {
		struct journal_entry *e = &j->entries[i];

		if (e->is_addr == is_addr && e->ip == ip && e->plen == plen &&
			strcmp(e->device, device) == 0)
			return e;
	}
	return NULL;
}

bool journal_has_addr(const struct journal *j, const char *device, uint32_t ip, uint8_t plen)
{
	return find(j, true, device, ip, plen) != NULL;
}

bool journal_has_link(const struct journal *j, const char *name)
{
	return find(j, false, name, 0, 0) != NULL;
}

static int add(struct journal *j, bool is_addr, const char *device, uint32_t ip, uint8_t plen)
{
	struct journal_entry *grown, e = {.is_addr = is_addr, .ip = ip, .plen = plen};

	if (strlen(device) >= sizeof(e.device))
		return -EINVAL;
	if (find(j, is_addr, device, ip, plen))
		return 0;
	if (j->count >= JOURNAL_MAX) {
		log_error("journal_full", "entries=%zu", j->count);
		return -E2BIG;
	}
	if ((j->count & (j->count - 1)) == 0) {
		grown = realloc(j->entries, (j->count ? j->count * 2 : 1) * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		j->entries = grown;
	}
	memcpy(e.device, device, strlen(device) + 1);
	j->entries[j->count++] = e;
	j->dirty = true;
	return 0;
}

int journal_add_addr(struct journal *j, const char *device, uint32_t ip, uint8_t plen)
{
	return add(j, true, device, ip, plen);
}

int journal_add_link(struct journal *j, const char *name)
{
	return add(j, false, name, 0, 0);
}

/* Order carries no meaning, but the capacity is told from the count: it only matters that the array
 * is never smaller than the next power of two. */
static void drop(struct journal *j, struct journal_entry *e)
{
	if (!e)
		return;
	*e = j->entries[--j->count];
	j->dirty = true;
}

void journal_remove_addr(struct journal *j, const char *device, uint32_t ip, uint8_t plen)
{
	drop(j, find(j, true, device, ip, plen));
}

void journal_remove_link(struct journal *j, const char *name)
{
	drop(j, find(j, false, name, 0, 0));
}

static int line_take(struct journal *j, char *line)
{
	char *save, *kind = strtok_r(line, " \n", &save);
	char *device = kind ? strtok_r(NULL, " \n", &save) : NULL;
	char *value = device ? strtok_r(NULL, " \n", &save) : NULL;
	uint32_t ip;
	uint8_t plen;

	if (!kind)
		return 0;
	if (!device)
		return -EINVAL;
	if (strcmp(kind, "link") == 0 && !value)
		return journal_add_link(j, device);
	if (strcmp(kind, "addr") == 0 && value && text_ipv4_plen(value, &ip, &plen))
		return journal_add_addr(j, device, ip, plen);
	return -EINVAL;
}

int journal_open(struct journal *j, const char *path)
{
	char line[LINE_BYTES];
	FILE *f;

	memset(j, 0, sizeof(*j));
	if (!path)
		return 0;
	if (snprintf(j->path, sizeof(j->path), "%s", path) >= (int)sizeof(j->path))
		return -ENAMETOOLONG;
	f = fopen(path, "re");
	if (!f)
		return errno == ENOENT ? 0 : -errno;
	while (fgets(line, sizeof(line), f)) {
		const int err = line_take(j, line);

		if (err == -ENOMEM) {
			fclose(f);
			return err;
		}
		if (err)
			log_warn("journal_line_skipped", "path=%s", path);
	}
	fclose(f);
	j->dirty = false;
	return 0;
}

int journal_save(struct journal *j)
{
	char tmp[sizeof(j->path) + 4], ip[TEXT_IPV4_MAX];
	bool failed = false;
	FILE *f;

	if (!j->dirty)
		return 0;
	if (!j->path[0]) {
		j->dirty = false;
		return 0;
	}
	snprintf(tmp, sizeof(tmp), "%s.new", j->path);
	f = fopen(tmp, "we");
	if (!f)
		return -errno;
	for (size_t i = 0; i < j->count; i++) {
		const struct journal_entry *e = &j->entries[i];

		if (e->is_addr)
			failed |= fprintf(f, "addr %s %s/%u\n", e->device, text_ipv4_put(ip, e->ip),
					  e->plen) < 0;
		else
			failed |= fprintf(f, "link %s\n", e->device) < 0;
	}
	if (fclose(f) != 0 || failed || rename(tmp, j->path) < 0) {
		const int err = errno ? -errno : -EIO;

		unlink(tmp);
		return err;
	}
	j->dirty = false;
	return 0;
}
