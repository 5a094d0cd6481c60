/* A bounded list of problems; see problems.h. Strings of an item are all or none, so printing never
 * meets half an entry. */
#include "proto/lib/problems.h"

#include <stdlib.h>
#include <string.h>

#include "proto/lib/locations.h"

void problems_init(struct problems *problems)
{
	memset(problems, 0, sizeof(*problems));
}

void problems_free(struct problems *problems)
{
	for (size_t i = 0; i < problems->n_items; i++) {
		free(problems->items[i].path);
		free(problems->items[i].message);
		free(problems->items[i].file);
	}
	free(problems->items);
	problems_init(problems);
}

bool problems_any(const struct problems *problems)
{
	return problems->n_items > 0 || problems->n_dropped > 0 || problems->no_memory;
}

bool problems_cover(const struct problems *problems, size_t n, const char *path)
{
	for (size_t i = 0; i < n && i < problems->n_items; i++) {
		const char *at = problems->items[i].path;
		const size_t len = strlen(at);

		if (len > 0 && strncmp(path, at, len) == 0 &&
			(path[len] == '\0' || path[len] == '.' || path[len] == '['))
			return true;
	}
	return false;
}

void problems_vadd_at(struct problems *problems, const char *file, unsigned line, unsigned column,
	const char *path, const char *fmt, va_list ap)
{
	struct problem item = {.line = line, .column = column};

	if (problems->n_items >= PROBLEMS_MAX) {
		problems->n_dropped++;
		return;
	}
	if (problems->items == NULL)
		problems->items = calloc(PROBLEMS_MAX, sizeof(*problems->items));
	if (problems->items == NULL)
		goto no_memory;
	if (vasprintf(&item.message, fmt, ap) < 0) {
		item.message = NULL;
		goto no_memory;
	}
	item.path = strdup(path);
	if (item.path == NULL)
		goto no_memory;
	if (file != NULL) {
		item.file = strdup(file);
		if (item.file == NULL)
			goto no_memory;
	}
	problems->items[problems->n_items++] = item;
	return;
no_memory:
	free(item.path);
	free(item.message);
	problems->no_memory = true;
}

void problems_add_at(struct problems *problems, const char *file, unsigned line, unsigned column,
	const char *path, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	problems_vadd_at(problems, file, line, column, path, fmt, ap);
	va_end(ap);
}

void problems_add(struct problems *problems, const char *path, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	problems_vadd_at(problems, NULL, 0, 0, path, fmt, ap);
	va_end(ap);
}

void problems_locate(struct problems *problems, const struct locations *locations)
{
	for (size_t i = 0; i < problems->n_items; i++) {
		struct problem *item = &problems->items[i];
		const char *file;
		unsigned line, column;

		if (item->file != NULL ||
			!locations_find(locations, item->path, &file, &line, &column))
			continue;
		item->file = strdup(file);
		if (item->file == NULL) {
			problems->no_memory = true;
			return;
		}
		item->line = line;
		item->column = column;
	}
}

static bool problem_before(const struct problem *a, const struct problem *b)
{
	int order;

	if (a->file == NULL || b->file == NULL)
		return a->file != NULL && b->file == NULL;
	order = strcmp(a->file, b->file);
	if (order != 0)
		return order < 0;
	if (a->line != b->line)
		return a->line < b->line;
	return a->column < b->column;
}

/* Insertion keeps the order of equal ones; there are at most PROBLEMS_MAX. */
void problems_sort(struct problems *problems)
{
	for (size_t i = 1; i < problems->n_items; i++) {
		const struct problem item = problems->items[i];
		size_t at = i;

		for (; at > 0 && problem_before(&item, &problems->items[at - 1]); at--)
			problems->items[at] = problems->items[at - 1];
		problems->items[at] = item;
	}
}

void problems_print(const struct problems *problems, FILE *out)
{
	for (size_t i = 0; i < problems->n_items; i++) {
		const struct problem *item = &problems->items[i];

		if (item->file != NULL && item->line > 0)
			fprintf(out, "%s:%u:%u: ", item->file, item->line, item->column);
		else if (item->file != NULL)
			fprintf(out, "%s: ", item->file);
		if (item->path[0] != '\0')
			fprintf(out, "%s: ", item->path);
		fprintf(out, "%s\n", item->message);
	}
	if (problems->n_dropped > 0)
		fprintf(out, "and %zu more error%s\n", problems->n_dropped,
			problems->n_dropped == 1 ? "" : "s");
	if (problems->no_memory)
		fprintf(out, "out of memory while the errors were collected: some are missing\n");
}

Audums__V1__Problems *problems_message(const struct problems *problems)
{
	const size_t n = problems->n_items + (problems->n_dropped > 0);
	Audums__V1__Problems *message = malloc(sizeof(*message));

	if (message == NULL)
		return NULL;
	audums__v1__problems__init(message);
	if (n == 0)
		return message;
	message->problems = calloc(n, sizeof(message->problems[0]));
	if (message->problems == NULL)
		goto fail;
	for (size_t i = 0; i < n; i++) {
		Audums__V1__Problem *to = malloc(sizeof(*to));

		if (to == NULL)
			goto fail;
		audums__v1__problem__init(to);
		message->problems[message->n_problems++] = to;
		if (i < problems->n_items) {
			to->path = strdup(problems->items[i].path);
			to->message = strdup(problems->items[i].message);
		} else {
			to->path = strdup("");
			if (asprintf(&to->message, "and %zu more error%s", problems->n_dropped,
				    problems->n_dropped == 1 ? "" : "s") < 0)
				to->message = NULL;
		}
		if (to->path == NULL || to->message == NULL)
			goto fail;
	}
	return message;
fail:
	audums__v1__problems__free_unpacked(message, NULL);
	return NULL;
}

void problems_add_message(struct problems *problems, const Audums__V1__Problems *message)
{
	for (size_t i = 0; i < message->n_problems; i++)
		problems_add(
			problems, message->problems[i]->path, "%s", message->problems[i]->message);
}
