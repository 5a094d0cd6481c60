/*
 * Path -> place in a file; see locations.h. An open-addressed hash table over copied paths; at most
 * as many entries as the loader accepts nodes, so it needs no bound of its own. File names are
 * stored once.
 */
#include "proto/lib/locations.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_SLOTS 64

struct location {
	char *path; /* NULL = free slot */
	const char *file;
	unsigned line;
	unsigned column;
};

struct file_name {
	struct file_name *next;
	char name[];
};

struct locations {
	struct location *slots;
	size_t n_slots; /* a power of two */
	size_t n_used;
	struct file_name *files;
};

static uint64_t path_hash(const char *path, size_t len)
{
	uint64_t h = 14695981039346656037u; /* FNV-1a */

	for (size_t i = 0; i < len; i++)
		h = (h ^ (uint8_t)path[i]) * 1099511628211u;
	return h ^ h >> 32;
}

static struct location *slot_find(
	struct location *slots, size_t n_slots, const char *path, size_t len)
{
	size_t i = path_hash(path, len) & (n_slots - 1);

	while (slots[i].path != NULL &&
		(strncmp(slots[i].path, path, len) != 0 || slots[i].path[len] != '\0'))
		i = (i + 1) & (n_slots - 1);
	return &slots[i];
}

struct locations *locations_create(void)
{
	struct locations *locations = calloc(1, sizeof(*locations));

	if (locations == NULL)
		return NULL;
	locations->n_slots = FIRST_SLOTS;
	locations->slots = calloc(FIRST_SLOTS, sizeof(*locations->slots));
	if (locations->slots == NULL) {
		free(locations);
		return NULL;
	}
	return locations;
}

void locations_destroy(struct locations *locations)
{
	if (locations == NULL)
		return;
	for (size_t i = 0; i < locations->n_slots; i++)
		free(locations->slots[i].path);
	free(locations->slots);
	while (locations->files != NULL) {
		struct file_name *next = locations->files->next;

		free(locations->files);
		locations->files = next;
	}
	free(locations);
}

static int locations_grow(struct locations *locations)
{
	const size_t n = locations->n_slots * 2;
	struct location *slots = calloc(n, sizeof(*slots));

	if (slots == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < locations->n_slots; i++) {
		const struct location *from = &locations->slots[i];

		if (from->path != NULL)
			*slot_find(slots, n, from->path, strlen(from->path)) = *from;
	}
	free(locations->slots);
	locations->slots = slots;
	locations->n_slots = n;
	return 0;
}

static const char *file_intern(struct locations *locations, const char *file)
{
	struct file_name *f;

	for (f = locations->files; f != NULL; f = f->next)
		if (strcmp(f->name, file) == 0)
			return f->name;
	f = malloc(sizeof(*f) + strlen(file) + 1);
	if (f == NULL)
		return NULL;
	strcpy(f->name, file);
	f->next = locations->files;
	locations->files = f;
	return f->name;
}

int locations_add(struct locations *locations, const char *path, const char *file, unsigned line,
	unsigned column)
{
	struct location *slot;
	const char *name;
	char *copy;

	if (locations->n_used * 2 >= locations->n_slots && locations_grow(locations) < 0)
		return -ENOMEM;
	slot = slot_find(locations->slots, locations->n_slots, path, strlen(path));
	if (slot->path != NULL)
		return 0;
	name = file_intern(locations, file);
	copy = strdup(path);
	if (name == NULL || copy == NULL) {
		free(copy);
		return -ENOMEM;
	}
	*slot = (struct location){.path = copy, .file = name, .line = line, .column = column};
	locations->n_used++;
	return 0;
}

bool locations_find(const struct locations *locations, const char *path, const char **file,
	unsigned *line, unsigned *column)
{
	size_t len = strlen(path);

	for (;;) {
		const struct location *slot =
			slot_find(locations->slots, locations->n_slots, path, len);

		if (slot->path != NULL) {
			*file = slot->file;
			*line = slot->line;
			*column = slot->column;
			return true;
		}
		if (len == 0)
			return false;
		/* the parent: cut at the last '.' or '[' */
		do
			len--;
		while (len > 0 && path[len] != '.' && path[len] != '[');
	}
}
