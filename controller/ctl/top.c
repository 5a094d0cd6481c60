/* What happened on a node between two looks; see top.h. */
#include "controller/ctl/top.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum kind {
	RATE,    /* a second: 12, 3.4k, 5.6M */
	PERCENT, /* given as a share of 1 */
	NUMBER,
};

struct column {
	const char *title;
	const char *json;
	enum kind kind;
};

/* A part's rows: their name, a note, and the values in this order. */
struct part {
	const char *json; /* of the part */
	const char *title;
	const char *name_json;
	const char *note; /* title of the note; NULL = none */
	const char *note_json;
	struct column columns[TOP_VALUES]; /* ends with an entry without title */
	void (*rows)(struct top_rows *out, const struct top_look *before,
		const struct top_look *now, double seconds);
};

/* ---- rows --------------------------------------------------------------------------------- */

static struct top_row *row_add(struct top_rows *r, const char *note)
{
	struct top_row *row;

	if (!r->rows)
		return NULL;
	row = &r->rows[r->count++];
	memset(row, 0, sizeof(*row));
	snprintf(row->note, sizeof(row->note), "%s", note ? note : "");
	return row;
}

/* A counter's rate; one that went back began again. */
static double rate(uint64_t now, const uint64_t *before, double seconds)
{
	if (!before || now < *before || seconds <= 0)
		return NAN;
	return (double)(now - *before) / seconds;
}

/* The rate of a field of `now`, an entry whose forerunner `old` may be NULL. */
#define RATE_OF(field) rate(now->field, old ? &old->field : NULL, seconds)

/* Every entry of a part's answers; and the one in a look for which `condition` holds, or NULL. */
#define EACH(part, list, n_entry)                                                                  \
	for (size_t k = 0; k < look->parts[part].count; k++)                                       \
		for (size_t i = 0; i < look->parts[part].items[k]->list->n_entry; i++)

#define FIND(result, from, part, list, entry, n_entry, condition)                                  \
	do {                                                                                       \
		(result) = NULL;                                                                   \
		for (size_t k_ = 0; k_ < (from)->parts[part].count && !(result); k_++)             \
			for (size_t i_ = 0; i_ < (from)->parts[part].items[k_]->list->n_entry;     \
				i_++) {                                                            \
				const __typeof__(*(result)) *it =                                  \
					(from)->parts[part].items[k_]->list->entry[i_];            \
				if (condition) {                                                   \
					(result) = it;                                             \
					break;                                                     \
				}                                                                  \
			}                                                                          \
	} while (0)

static void workers_rows(struct top_rows *out, const struct top_look *before,
	const struct top_look *look, double seconds)
{
	EACH(TOP_WORKERS, workers, n_workers)
	{
		const Audums__V1__WorkerList *list = look->parts[TOP_WORKERS].items[k]->workers;
		const Audums__V1__WorkerStat *now = list->workers[i], *old;
		struct top_row *row = row_add(out, NULL);
		double busy, packets, cycles = NAN;

		if (!row)
			return;
		FIND(old, before, TOP_WORKERS, workers, workers, n_workers, it->id == now->id);
		if (old && before->parts[TOP_WORKERS].count)
			cycles = (double)(list->tsc -
					  before->parts[TOP_WORKERS].items[0]->workers->tsc);
		busy = RATE_OF(busy_cycles) * seconds;
		packets = RATE_OF(packets) * seconds;
		snprintf(row->name, sizeof(row->name), "%u", now->id);
		row->values[0] = busy / cycles;
		row->values[1] = RATE_OF(packets);
		row->values[2] = packets > 0 ? busy / packets : NAN;
		row->values[3] = packets > 0 ? packets / (RATE_OF(busy_walks) * seconds) : NAN;
		row->values[4] = RATE_OF(drops);
		row->weight = row->values[1];
	}
}

static void ports_rows(struct top_rows *out, const struct top_look *before,
	const struct top_look *look, double seconds)
{
	EACH(TOP_PORTS, ports, n_ports)
	{
		const Audums__V1__DataplanePort *now =
			look->parts[TOP_PORTS].items[k]->ports->ports[i];
		const Audums__V1__DataplanePort *old;
		struct top_row *row = row_add(out, now->link_up ? "up" : "down");

		if (!row)
			return;
		FIND(old, before, TOP_PORTS, ports, ports, n_ports, !strcmp(it->name, now->name));
		snprintf(row->name, sizeof(row->name), "%s", now->name);
		row->values[0] = RATE_OF(rx_packets);
		row->values[1] = RATE_OF(rx_bytes) * 8;
		row->values[2] = RATE_OF(tx_packets);
		row->values[3] = RATE_OF(tx_bytes) * 8;
		row->values[4] = RATE_OF(rx_drops) + RATE_OF(tx_drops);
		row->values[5] = RATE_OF(punt_packets);
		row->values[6] = RATE_OF(punt_drops);
		row->weight = row->values[0] + row->values[2];
	}
}

static void segments_rows(struct top_rows *out, const struct top_look *before,
	const struct top_look *look, double seconds)
{
	EACH(TOP_SEGMENTS, segments, n_segments)
	{
		const Audums__V1__SegmentStat *now =
			look->parts[TOP_SEGMENTS].items[k]->segments->segments[i];
		const Audums__V1__SegmentStat *old;
		struct top_row *row = row_add(out, now->bridge);

		if (!row)
			return;
		FIND(old, before, TOP_SEGMENTS, segments, segments, n_segments,
			it->vni == now->vni && !strcmp(it->bridge, now->bridge));
		snprintf(row->name, sizeof(row->name), "%u", now->vni);
		row->values[0] = RATE_OF(encap_packets);
		row->values[1] = RATE_OF(encap_bytes) * 8;
		row->values[2] = RATE_OF(decap_packets);
		row->values[3] = RATE_OF(decap_bytes) * 8;
		row->values[4] = RATE_OF(flood_packets);
		row->values[5] = (double)(now->macs_local + now->macs_remote);
		row->weight = row->values[0] + row->values[2];
	}
}

static void vteps_rows(struct top_rows *out, const struct top_look *before,
	const struct top_look *look, double seconds)
{
	EACH(TOP_VTEPS, vteps, n_vteps)
	{
		const Audums__V1__VtepEntry *now = look->parts[TOP_VTEPS].items[k]->vteps->vteps[i];
		const Audums__V1__VtepEntry *old;
		struct top_row *row = row_add(out, now->resolved ? "yes" : "no");

		if (!row)
			return;
		FIND(old, before, TOP_VTEPS, vteps, vteps, n_vteps,
			!strcmp(it->address, now->address));
		snprintf(row->name, sizeof(row->name), "%s", now->address);
		row->values[0] = RATE_OF(tx_packets);
		row->values[1] = RATE_OF(tx_bytes) * 8;
		row->values[2] = RATE_OF(rx_packets);
		row->values[3] = RATE_OF(rx_bytes) * 8;
		row->weight = row->values[0] + row->values[2];
	}
}

/* Only reasons that ever dropped. */
static void drops_rows(struct top_rows *out, const struct top_look *before,
	const struct top_look *look, double seconds)
{
	EACH(TOP_DROPS, drops, n_drops)
	{
		const Audums__V1__DropCounter *now =
			look->parts[TOP_DROPS].items[k]->drops->drops[i];
		const Audums__V1__DropCounter *old;
		struct top_row *row;

		if (!now->packets)
			continue;
		row = row_add(out, NULL);
		if (!row)
			return;
		FIND(old, before, TOP_DROPS, drops, drops, n_drops,
			!strcmp(it->reason, now->reason));
		snprintf(row->name, sizeof(row->name), "%s", now->reason);
		row->values[0] = RATE_OF(packets);
		row->values[1] = (double)now->packets;
		row->weight = row->values[0];
	}
}

static const struct part parts[TOP_PARTS] = {
	[TOP_WORKERS] = {"workers", "WORKER", "worker", NULL, NULL,
		{{"*LOAD", "load", PERCENT}, {"*PACKETS/S", "packets_per_s", RATE},
			{"*CYCLES/PACKET", "cycles_per_packet", NUMBER},
			{"*PACKETS/WALK", "packets_per_walk", NUMBER},
			{"*DROPS/S", "drops_per_s", RATE}},
		workers_rows},
	[TOP_PORTS] = {"ports", "PORT", "port", "LINK", "link",
		{{"*RX/S", "rx_packets_per_s", RATE}, {"*RX BIT/S", "rx_bits_per_s", RATE},
			{"*TX/S", "tx_packets_per_s", RATE}, {"*TX BIT/S", "tx_bits_per_s", RATE},
			{"*LOST/S", "lost_per_s", RATE}, {"*TO KERNEL/S", "punts_per_s", RATE},
			{"*REFUSED/S", "punt_drops_per_s", RATE}},
		ports_rows},
	[TOP_SEGMENTS] = {"segments", "VNI", "vni", "BRIDGE", "bridge",
		{{"*ENCAP/S", "encap_packets_per_s", RATE}, {"*BIT/S", "encap_bits_per_s", RATE},
			{"*DECAP/S", "decap_packets_per_s", RATE},
			{"*BIT/S", "decap_bits_per_s", RATE},
			{"*FLOODED/S", "flood_packets_per_s", RATE}, {"*MACS", "macs", NUMBER}},
		segments_rows},
	[TOP_VTEPS] = {"vteps", "VTEP", "vtep", "REACHED", "resolved",
		{{"*TX/S", "tx_packets_per_s", RATE}, {"*TX BIT/S", "tx_bits_per_s", RATE},
			{"*RX/S", "rx_packets_per_s", RATE}, {"*RX BIT/S", "rx_bits_per_s", RATE}},
		vteps_rows},
	[TOP_DROPS] = {"drops", "DROP", "reason", NULL, NULL,
		{{"*DROPS/S", "packets_per_s", RATE}, {"*PACKETS", "packets", NUMBER}}, drops_rows},
};

/* ---- looks -------------------------------------------------------------------------------- */

void top_request(enum top_part part, union top_ask *ask, Audums__V1__DataplaneRequest *request)
{
	audums__v1__dataplane_request__init(request);
	switch (part) {
	case TOP_WORKERS:
		audums__v1__workers_request__init(&ask->workers);
		request->ask_case = AUDUMS__V1__DATAPLANE_REQUEST__ASK_WORKERS;
		request->workers = &ask->workers;
		break;
	case TOP_PORTS:
		audums__v1__ports_request__init(&ask->ports);
		request->ask_case = AUDUMS__V1__DATAPLANE_REQUEST__ASK_PORTS;
		request->ports = &ask->ports;
		break;
	case TOP_SEGMENTS:
		audums__v1__segments_request__init(&ask->segments);
		request->ask_case = AUDUMS__V1__DATAPLANE_REQUEST__ASK_SEGMENTS;
		request->segments = &ask->segments;
		break;
	case TOP_VTEPS:
		audums__v1__vteps_request__init(&ask->vteps);
		request->ask_case = AUDUMS__V1__DATAPLANE_REQUEST__ASK_VTEPS;
		request->vteps = &ask->vteps;
		break;
	default:
		audums__v1__drops_request__init(&ask->drops);
		request->ask_case = AUDUMS__V1__DATAPLANE_REQUEST__ASK_DROPS;
		request->drops = &ask->drops;
		break;
	}
}

void top_look_free(struct top_look *look)
{
	for (int i = 0; i < TOP_PARTS; i++)
		node_replies_free(&look->parts[i]);
	memset(look, 0, sizeof(*look));
}

/* How many entries a part's answers have at most. */
static size_t part_entries(const struct node_replies *r)
{
	size_t n = 0;

	for (size_t k = 0; k < r->count; k++)
		switch (r->items[k]->answer_case) {
		case AUDUMS__V1__DATAPLANE_REPLY__ANSWER_WORKERS:
			n += r->items[k]->workers->n_workers;
			break;
		case AUDUMS__V1__DATAPLANE_REPLY__ANSWER_PORTS:
			n += r->items[k]->ports->n_ports;
			break;
		case AUDUMS__V1__DATAPLANE_REPLY__ANSWER_SEGMENTS:
			n += r->items[k]->segments->n_segments;
			break;
		case AUDUMS__V1__DATAPLANE_REPLY__ANSWER_VTEPS:
			n += r->items[k]->vteps->n_vteps;
			break;
		case AUDUMS__V1__DATAPLANE_REPLY__ANSWER_DROPS:
			n += r->items[k]->drops->n_drops;
			break;
		default:
			break;
		}
	return n;
}

static int by_rate(const void *a, const void *b)
{
	const struct top_row *x = a, *y = b;
	const double wx = isnan(x->weight) ? -1 : x->weight, wy = isnan(y->weight) ? -1 : y->weight;

	if (wx > wy)
		return -1;
	return wx < wy ? 1 : strverscmp(x->name, y->name);
}

static int by_name(const void *a, const void *b)
{
	return strverscmp(((const struct top_row *)a)->name, ((const struct top_row *)b)->name);
}

bool top_make(struct top *top, const struct top_look *before, const struct top_look *now,
	enum top_sort sort)
{
	memset(top, 0, sizeof(*top));
	top->seconds = (double)(now->time_ns - before->time_ns) / 1e9;
	for (int i = 0; i < TOP_PARTS; i++) {
		struct top_rows *r = &top->parts[i];

		r->rows = calloc(part_entries(&now->parts[i]) + 1, sizeof(*r->rows));
		if (!r->rows) {
			top_free(top);
			return false;
		}
		parts[i].rows(r, before, now, top->seconds);
		/* workers and their order are few and fixed */
		qsort(r->rows, r->count, sizeof(*r->rows),
			sort == TOP_BY_RATE && i != TOP_WORKERS ? by_rate : by_name);
	}
	return true;
}

void top_free(struct top *top)
{
	for (int i = 0; i < TOP_PARTS; i++) {
		free(top->parts[i].rows);
		top->parts[i] = (struct top_rows){0};
	}
}

/* ---- showing ------------------------------------------------------------------------------ */

static void value_cell(struct table *t, enum kind kind, double v)
{
	static const char *const units[] = {"", "k", "M", "G", "T"};
	size_t unit = 0;

	if (isnan(v) || isinf(v)) {
		table_cell(t, NULL);
		return;
	}
	if (kind == PERCENT) {
		table_cellf(t, "%.1f %%", v * 100);
		return;
	}
	if (kind == NUMBER) {
		table_cellf(t, v == floor(v) ? "%.0f" : "%.1f", v);
		return;
	}
	while (v >= 999.5 && unit + 1 < sizeof(units) / sizeof(units[0])) {
		v /= 1000;
		unit++;
	}
	table_cellf(t, unit && v < 99.95 ? "%.1f%s" : "%.0f%s", v, units[unit]);
}

static int part_print(const struct ctl *ctl, const struct part *part, const struct top_rows *r,
	size_t rows, FILE *out)
{
	const char *columns[TOP_VALUES + 3] = {part->title};
	struct table *t;
	size_t n = 1;

	if (part->note)
		columns[n++] = part->note;
	for (size_t i = 0; i < TOP_VALUES && part->columns[i].title; i++)
		columns[n++] = part->columns[i].title;
	t = table_new(ctl, columns);
	for (size_t i = 0; i < r->count && (!rows || i < rows); i++) {
		table_row(t);
		table_cell(t, r->rows[i].name);
		if (part->note)
			table_cell_color(t, r->rows[i].note, state_color(r->rows[i].note));
		for (size_t k = 0; k < TOP_VALUES && part->columns[k].title; k++)
			value_cell(t, part->columns[k].kind, r->rows[i].values[k]);
	}
	if (table_print(t, out))
		return EXIT_FAILED;
	if (rows && r->count > rows)
		fprintf(out, "... and %zu more\n", r->count - rows);
	return EXIT_OK;
}

int top_print(const struct ctl *ctl, const struct top *top, size_t rows, FILE *out)
{
	bool first = true;

	for (int i = 0; i < TOP_PARTS; i++) {
		if (!top->parts[i].count)
			continue;
		if (!first)
			fputc('\n', out);
		first = false;
		if (part_print(ctl, &parts[i], &top->parts[i], rows, out))
			return EXIT_FAILED;
	}
	return EXIT_OK;
}

static json_t *row_json(const struct part *part, const struct top_row *row)
{
	json_t *object = json_object();

	json_object_set_new(object, part->name_json, json_string(row->name));
	if (part->note)
		json_object_set_new(object, part->note_json, json_string(row->note));
	for (size_t k = 0; k < TOP_VALUES && part->columns[k].title; k++)
		json_object_set_new(object, part->columns[k].json,
			isnan(row->values[k]) || isinf(row->values[k]) ? json_null()
								       : json_real(row->values[k]));
	return object;
}

int top_json(const struct top *top, const char *node, FILE *out)
{
	json_t *root = json_object();
	int ret = -1;

	json_object_set_new(root, "node", json_string(node));
	json_object_set_new(root, "seconds", json_real(top->seconds));
	for (int i = 0; i < TOP_PARTS; i++) {
		json_t *list = json_array();

		for (size_t k = 0; k < top->parts[i].count; k++)
			json_array_append_new(list, row_json(&parts[i], &top->parts[i].rows[k]));
		json_object_set_new(root, parts[i].json, list);
	}
	if (root)
		ret = json_dumpf(root, out, JSON_COMPACT | JSON_REAL_PRECISION(12));
	json_decref(root);
	if (ret)
		return ctl_error("cannot print: out of memory");
	fputc('\n', out);
	return EXIT_OK;
}
