/*
 * Two looks at a node's counters, and what happened between them: rows of rates, for a table or
 * JSON. Used by cmd_top.c and its test.
 *
 * What is shown is said by lists of columns in top.c; the rest follows.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "controller/ctl/node_ask.h"

enum top_part {
	TOP_WORKERS,
	TOP_PORTS,
	TOP_SEGMENTS,
	TOP_VTEPS,
	TOP_DROPS,
	TOP_PARTS,
};

#define TOP_VALUES 8

struct top_row {
	char name[64];
	char note[32];
	double values[TOP_VALUES]; /* NAN: not known, e.g. the first look at it */
	double weight;             /* rows are sorted by it, greatest first */
};

struct top_rows {
	struct top_row *rows;
	size_t count;
};

/* The answers of one look, by enum top_part. */
struct top_look {
	struct node_replies parts[TOP_PARTS];
	uint64_t time_ns; /* of the monotonic clock */
};

enum top_sort {
	TOP_BY_RATE,
	TOP_BY_NAME,
};

/* What happened between two looks. */
struct top {
	double seconds;
	struct top_rows parts[TOP_PARTS];
};

/* The request of a part; it is valid as long as *ask is. */
union top_ask {
	Audums__V1__WorkersRequest workers;
	Audums__V1__PortsRequest ports;
	Audums__V1__SegmentsRequest segments;
	Audums__V1__VtepsRequest vteps;
	Audums__V1__DropsRequest drops;
};
void top_request(enum top_part part, union top_ask *ask, Audums__V1__DataplaneRequest *request);

void top_look_free(struct top_look *look);

/* Compare; free with top_free(). Returns false when memory is short. */
bool top_make(struct top *top, const struct top_look *before, const struct top_look *now,
	enum top_sort sort);
void top_free(struct top *top);

/* Tables, at most `rows` rows each (0: all). Returns an exit code. */
int top_print(const struct ctl *ctl, const struct top *top, size_t rows, FILE *out);

/* One line of JSON. Returns an exit code. */
int top_json(const struct top *top, const char *node, FILE *out);
