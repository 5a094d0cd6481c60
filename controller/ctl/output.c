/*
 * Tables by libsmartcols, JSON and YAML by the messages' descriptors.
 */
#include <libsmartcols.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "controller/ctl/ctl.h"
#include "proto/lib/pbtext.h"

struct table {
	struct libscols_table *table;
	struct libscols_line *line;
	size_t column;
	bool failed; /* memory ran out: print nothing rather than half of it */
};

int ctl_error(const char *fmt, ...)
{
	char *text;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0) {
		fputs("audumsctl: out of memory\n", stderr);
		return EXIT_FAILED;
	}
	text_clean(text);
	fprintf(stderr, "audumsctl: %s\n", text);
	free(text);
	return EXIT_FAILED;
}

struct table *table_new(const struct ctl *ctl, const char *const *columns)
{
	struct table *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->table = scols_new_table();
	if (!t->table) {
		free(t);
		return NULL;
	}
	scols_table_enable_colors(t->table, ctl->color);
	for (; *columns; columns++) {
		bool right = **columns == '*';

		if (!scols_table_new_column(
			    t->table, *columns + right, 0, right ? SCOLS_FL_RIGHT : 0))
			t->failed = true;
	}
	return t;
}

void table_row(struct table *t)
{
	if (!t)
		return;
	t->line = scols_table_new_line(t->table, NULL);
	t->column = 0;
	t->failed |= !t->line;
}

void table_cell_color(struct table *t, const char *text, const char *color)
{
	if (!t || !t->line)
		return;
	if (scols_line_set_data(t->line, t->column, text && *text ? text : "-"))
		t->failed = true;
	else if (color)
		scols_cell_set_color(scols_line_get_cell(t->line, t->column), color);
	t->column++;
}

void table_cell(struct table *t, const char *text)
{
	table_cell_color(t, text, NULL);
}

void table_cellf(struct table *t, const char *fmt, ...)
{
	char *text;
	va_list ap;
	int n;

	if (!t)
		return;
	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0) {
		t->failed = true;
		return;
	}
	table_cell(t, text);
	free(text);
}

int table_print(struct table *t, FILE *out)
{
	bool failed = !t || t->failed;

	if (!failed) {
		scols_table_set_stream(t->table, out);
		failed = scols_print_table(t->table) != 0;
	}
	if (t) {
		scols_unref_table(t->table);
		free(t);
	}
	return failed ? ctl_error("cannot print a table: out of memory") : EXIT_OK;
}

const char *state_color(const char *word)
{
	static const char *const states[][2] = {
		{"ready", "green"},
		{"running", "green"},
		{"up", "green"},
		{"applied", "green"},
		{"yes", "green"},
		{"done", "green"},
		{"pending", "yellow"},
		{"degraded", "yellow"},
		{"waiting", "yellow"},
		{"backoff", "yellow"},
		{"silent", "yellow"},
		{"stopped", "red"},
		{"failed", "red"},
		{"down", "red"},
		{"no", "red"},
	};

	for (size_t i = 0; word && i < sizeof(states) / sizeof(states[0]); i++)
		if (!strcmp(states[i][0], word))
			return states[i][1];
	return NULL;
}

int message_print(const struct ctl *ctl, const ProtobufCMessage *message)
{
	enum pbtext_format format = ctl->format == OUTPUT_YAML ? PBTEXT_YAML : PBTEXT_JSON_PRETTY;
	char *text;

	if (pbtext_print(message, format, &text, NULL))
		return ctl_error("cannot print: out of memory");
	fputs(text, stdout);
	free(text);
	return EXIT_OK;
}
