/*
 * A bounded list of what is wrong with an input: path, sentence, and (when known) file:line:column.
 *
 * Every part that judges input (YAML and JSON loading, the rules of the schema, checks across
 * objects) adds to one such list and goes on, so that a user sees all errors of a file at once.
 * The list keeps PROBLEMS_MAX entries and counts the rest. Not thread-safe.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "audums/v1/fabric.pb-c.h"

#define PROBLEMS_MAX 100

struct locations;

struct problem {
	char *path;      /* e.g. "segments[2].tenant"; empty = the input as a whole */
	char *message;   /* what is wrong and what was expected */
	char *file;      /* NULL = no location known */
	unsigned line;   /* from 1; 0 = only the file is known */
	unsigned column; /* from 1, in characters */
};

struct problems {
	struct problem *items;
	size_t n_items;
	size_t n_dropped; /* those beyond PROBLEMS_MAX */
	bool no_memory;   /* at least one could not be stored */
};

void problems_init(struct problems *problems);
void problems_free(struct problems *problems);

/* Whether anything at all was added (stored or not). */
bool problems_any(const struct problems *problems);

/*
 * Whether one of the first `n` problems is at `path` or at something that contains it: what is said
 * there already needs no second sentence. (A problem of the input as a whole, path "", covers
 * nothing.)
 */
bool problems_cover(const struct problems *problems, size_t n, const char *path);

/* Add a problem at `path` without location. Strings are copied. */
void problems_add(struct problems *problems, const char *path, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* The same at a place of a file; line 0 = only the file is known. */
void problems_add_at(struct problems *problems, const char *file, unsigned line, unsigned column,
	const char *path, const char *fmt, ...) __attribute__((format(printf, 6, 7)));
void problems_vadd_at(struct problems *problems, const char *file, unsigned line, unsigned column,
	const char *path, const char *fmt, va_list ap) __attribute__((format(printf, 6, 0)));

/*
 * Give a location to every problem that has none, from the paths that were recorded while the input
 * was loaded: the place of the path itself, or of its nearest recorded ancestor.
 */
void problems_locate(struct problems *problems, const struct locations *locations);

/* Sort by file, line and column; those without a location stay in order, last. */
void problems_sort(struct problems *problems);

/*
 * Write one line each: "file:line:column: path: message", "path: message" when no location is
 * known; then how many more there were.
 */
void problems_print(const struct problems *problems, FILE *out);

/*
 * Convert to and from the message of the API. `problems_message` gives a message to be freed with
 * audums__v1__problems__free_unpacked(), or NULL when memory is short. `problems_add_message`
 * returns 0 always; what does not fit is counted.
 */
Audums__V1__Problems *problems_message(const struct problems *problems);
void problems_add_message(struct problems *problems, const Audums__V1__Problems *message);
