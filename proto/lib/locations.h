/*
 * Where each value of a loaded file stands: path ("segments[2].tenant") -> file, line, column.
 *
 * Filled by the YAML loader; asked afterwards to show where something is that others (the checks
 * across objects, the controller) found wrong. Paths index the loaded message, so they stay right
 * when several files are loaded into one.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct locations;

/* An empty index, or NULL when memory is short. */
struct locations *locations_create(void);
void locations_destroy(struct locations *locations);

/* Record a path. Strings are copied. Returns 0 or -ENOMEM. A path recorded before keeps its place.
 */
int locations_add(struct locations *locations, const char *path, const char *file, unsigned line,
	unsigned column);

/*
 * Find `path`, or its nearest recorded ancestor ("a[1].b.c", then "a[1].b", "a[1]", "a", "").
 * `file` stays owned by the index. Returns false when there is none.
 */
bool locations_find(const struct locations *locations, const char *path, const char **file,
	unsigned *line, unsigned *column);
