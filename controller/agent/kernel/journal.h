/*
 * What the agent may have made in the kernel that carries no mark: addresses on links and the
 * names of devices between their creation and their alias. Written before the change is made, so a
 * kill at any point leaves nothing that nobody owns. Kernel state ends with the machine's uptime,
 * so the file needs no fsync.
 *
 * Text, one entry a line: `addr DEVICE A.B.C.D/N` and `link NAME`.
 */
#pragma once

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JOURNAL_MAX 65536

struct journal_entry {
	bool is_addr;
	char device[IFNAMSIZ];
	uint32_t ip; /* host byte order */
	uint8_t plen;
};

struct journal {
	char path[256];
	struct journal_entry *entries;
	size_t count;
	bool dirty;
};

/* Read the file (none = empty). Malformed lines are skipped and logged. Returns 0 or a negative
 * errno. `path` NULL: kept in memory only. */
int journal_open(struct journal *j, const char *path);
void journal_clear(struct journal *j);

bool journal_has_addr(const struct journal *j, const char *device, uint32_t ip, uint8_t plen);
bool journal_has_link(const struct journal *j, const char *name);
/* Returns 0, -ENOMEM or -E2BIG. Entries that are there already are not added twice. */
int journal_add_addr(struct journal *j, const char *device, uint32_t ip, uint8_t plen);
int journal_add_link(struct journal *j, const char *name);
void journal_remove_addr(struct journal *j, const char *device, uint32_t ip, uint8_t plen);
void journal_remove_link(struct journal *j, const char *name);

/* Write it when something changed. Returns 0 or a negative errno. */
int journal_save(struct journal *j);
