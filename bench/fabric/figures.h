/*
 * The figures of a run: samples under a key, their median and worst, as a table and as JSON.
 *
 * A figure keeps the order of its samples and what the machine did meanwhile: its longest stall and
 * its load. Nothing is judged but against the figure's own aim, and that is said, not enforced.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#define FIGURES_MAX 128
#define SAMPLES_MAX 512

struct figure {
	char key[64];  /* in JSON */
	char what[80]; /* in the table */
	const char *unit;
	unsigned int decimals;
	bool more_is_better; /* throughput; then the worst is the least */
	double aim;          /* 0 = none */
	double stall_ms;     /* the machine's longest while it was measured */
	double load;         /* the machine's highest load average of a minute */
	unsigned int count;
	double samples[SAMPLES_MAX];
};

struct figures {
	unsigned int count;
	unsigned int lost; /* samples or figures for which there was no room */
	struct figure items[FIGURES_MAX];
};

/*
 * The figure of that key, made when there is none. NULL: no room (counted). `what` and `unit` are
 * taken only when it is made; `unit` must live as long as the figures.
 */
struct figure *figure_get(
	struct figures *fs, const char *key, const char *what, const char *unit, double aim);
/* Add a sample; f may be NULL. */
void figure_add(struct figures *fs, struct figure *f, double value, double stall_ms, double load);

double figure_median(const struct figure *f);
double figure_worst(const struct figure *f);
/* "met", "missed by 12 ms (4 %)" or "". */
void figure_verdict(const struct figure *f, char *out, size_t size);

void figures_table(const struct figures *fs, FILE *out);
/* A new reference to an array, or NULL. */
json_t *figures_json(const struct figures *fs);
