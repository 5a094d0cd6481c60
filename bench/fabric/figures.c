/* Medians, worst cases, and how they are shown. See figures.h. */
#include "bench/fabric/figures.h"

#include <stdlib.h>
#include <string.h>

#include "controller/ctl/ctl.h"

struct figure *figure_get(
	struct figures *fs, const char *key, const char *what, const char *unit, double aim)
{
	struct figure *f;

	for (unsigned int i = 0; i < fs->count; i++)
		if (strcmp(fs->items[i].key, key) == 0)
			return &fs->items[i];
	if (fs->count == FIGURES_MAX) {
		fs->lost++;
		return NULL;
	}
	f = &fs->items[fs->count++];
	memset(f, 0, sizeof(*f));
	snprintf(f->key, sizeof(f->key), "%s", key);
	snprintf(f->what, sizeof(f->what), "%s", what);
	f->unit = unit;
	f->aim = aim;
	return f;
}

void figure_add(struct figures *fs, struct figure *f, double value, double stall_ms, double load)
{
	if (!f || f->count == SAMPLES_MAX) {
		fs->lost++;
		return;
	}
	f->samples[f->count++] = value;
	if (stall_ms > f->stall_ms)
		f->stall_ms = stall_ms;
	if (load > f->load)
		f->load = load;
}

static int compare(const void *a, const void *b)
{
	const double x = *(const double *)a;
	const double y = *(const double *)b;

	return x < y ? -1 : x > y;
}

double figure_median(const struct figure *f)
{
	double sorted[SAMPLES_MAX];

	if (f->count == 0)
		return 0;
	memcpy(sorted, f->samples, f->count * sizeof(sorted[0]));
	qsort(sorted, f->count, sizeof(sorted[0]), compare);
	return (sorted[f->count / 2] + sorted[(f->count - 1) / 2]) / 2;
}

double figure_worst(const struct figure *f)
{
	double worst = f->count ? f->samples[0] : 0;

	for (unsigned int i = 1; i < f->count; i++)
		if (f->more_is_better ? f->samples[i] < worst : f->samples[i] > worst)
			worst = f->samples[i];
	return worst;
}

void figure_verdict(const struct figure *f, char *out, size_t size)
{
	const double median = figure_median(f);
	const double over = f->more_is_better ? f->aim - median : median - f->aim;

	out[0] = '\0';
	if (f->aim == 0 || f->count == 0)
		return;
	if (over <= 0)
		snprintf(out, size, "met");
	else
		snprintf(out, size, "missed by %.*f %s (%.0f %%)", (int)f->decimals, over, f->unit,
			over / f->aim * 100);
}

void figures_table(const struct figures *fs, FILE *out)
{
	static const char *const columns[] = {"WHAT", "*N", "*MEDIAN", "*WORST", "UNIT", "*AIM",
		"*STALL ms", "*LOAD", "VERDICT", NULL};
	const struct ctl ctl = {.format = OUTPUT_TABLE};
	struct table *table = table_new(&ctl, columns);
	char verdict[80];

	for (unsigned int i = 0; i < fs->count; i++) {
		const struct figure *f = &fs->items[i];

		table_row(table);
		table_cell(table, f->what);
		table_cellf(table, "%u", f->count);
		table_cellf(table, "%.*f", (int)f->decimals, figure_median(f));
		table_cellf(table, "%.*f", (int)f->decimals, figure_worst(f));
		table_cell(table, f->unit);
		if (f->aim > 0)
			table_cellf(table, "%g", f->aim);
		else
			table_cell(table, "");
		table_cellf(table, "%.0f", f->stall_ms);
		table_cellf(table, "%.1f", f->load);
		figure_verdict(f, verdict, sizeof(verdict));
		table_cell(table, verdict);
	}
	table_print(table, out);
	if (fs->lost)
		fprintf(out, "%u samples found no room\n", fs->lost);
}

json_t *figures_json(const struct figures *fs)
{
	json_t *array = json_array();

	for (unsigned int i = 0; i < fs->count; i++) {
		const struct figure *f = &fs->items[i];
		json_t *samples = json_array();
		json_t *o = json_pack("{s:s, s:s, s:s, s:i, s:f, s:f, s:f, s:f}", "key", f->key,
			"what", f->what, "unit", f->unit, "n", (int)f->count, "median",
			figure_median(f), "worst", figure_worst(f), "stall_ms", f->stall_ms, "load",
			f->load);

		for (unsigned int k = 0; k < f->count; k++)
			json_array_append_new(samples, json_real(f->samples[k]));
		json_object_set_new(o, "samples", samples);
		if (f->aim > 0) {
			const double over = f->more_is_better ? f->aim - figure_median(f)
							      : figure_median(f) - f->aim;

			json_object_set_new(o, "aim", json_real(f->aim));
			json_object_set_new(o, "missed_by", json_real(over > 0 ? over : 0));
		}
		json_array_append_new(array, o);
	}
	return array;
}
