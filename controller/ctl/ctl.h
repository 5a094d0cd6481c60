/*
 * What the commands of audumsctl share: the run's settings, the client, output.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "audums/v1/fabric.pb-c.h"
#include "controller/ctl/cmd.h"

enum output_format {
	OUTPUT_TABLE,
	OUTPUT_JSON,
	OUTPUT_YAML,
};

struct client;

/* One run of the program. */
struct ctl {
	enum output_format format;
	bool color;            /* of stdout */
	const char *context;   /* --context, or NULL */
	struct client *client; /* connected on first use by client_get() */
};

/* ---- saying things ---------------------------------------------------------------------- */

/* "audumsctl: ..." on stderr, without control characters; returns EXIT_FAILED. */
int ctl_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Replace control characters (but newlines and tabs), and what is no UTF-8, by question marks. */
void text_clean(char *text);

/* ---- tables: output.c --------------------------------------------------------------------- */

struct table;

enum table_flags {
	TABLE_RIGHT = 1, /* numbers */
	TABLE_WRAP = 2,  /* may be broken over lines when the terminal is narrow */
};

/*
 * A table whose columns are named by `columns` (NULL-terminated); an asterisk in front of a name
 * aligns it to the right. NULL when memory is short; the other functions accept that.
 */
struct table *table_new(const struct ctl *ctl, const char *const *columns);
/* Begin a row. */
void table_row(struct table *table);
/* The next cell of the row. NULL and "" are shown as "-". */
void table_cell(struct table *table, const char *text);
void table_cellf(struct table *table, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The next cell, coloured when output is: "green", "yellow" or "red". */
void table_cell_color(struct table *table, const char *text, const char *color);
/* Print (to `out`) and free it. Returns EXIT_OK or EXIT_FAILED. */
int table_print(struct table *table, FILE *out);

/* Colour for a phase or state word ("ready", "failed", "up"...), or NULL. */
const char *state_color(const char *word);

/* Print a message as the run's format says (JSON or YAML). Returns EXIT_OK or EXIT_FAILED. */
int message_print(const struct ctl *ctl, const ProtobufCMessage *message);
