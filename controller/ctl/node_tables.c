/*
 * Tables of what a forwarding process says: ports, segments, FDB, VTEPs, routes, neighbours, drops,
 * graph nodes; and traces.
 */
#include <string.h>

#include "controller/ctl/node_tables.h"

#define U64(x) ((unsigned long long)(x))

static void number(struct table *t, uint64_t value)
{
	table_cellf(t, "%llu", U64(value));
}

static void list_cell(struct table *t, char *const *items, size_t n)
{
	char text[512] = "";
	size_t used = 0;

	for (size_t i = 0; i < n && used < sizeof(text); i++)
		used += (size_t)snprintf(
			text + used, sizeof(text) - used, "%s%s", i ? ", " : "", items[i]);
	table_cell(t, text);
}

static void ratio_cell(struct table *t, uint64_t a, uint64_t b)
{
	if (b)
		table_cellf(t, "%.1f", (double)a / (double)b);
	else
		table_cell(t, NULL);
}

static void word_cell(struct table *t, bool value, const char *yes, const char *no)
{
	const char *word = value ? yes : no;

	table_cell_color(t, word, state_color(word));
}

static int info_print(const Audums__V1__DataplaneInfo *i)
{
	printf("version            %s\n", i->version);
	printf("pid                %u\n", i->pid);
	printf("uptime             %.1f s\n", (double)i->uptime_ms / 1e3);
	printf("workers            %u\n", i->workers);
	printf("synced             %s\n", i->synced ? "yes" : "no");
	printf("netlink messages   %llu\n", U64(i->netlink_messages));
	printf("netlink overruns   %llu\n", U64(i->netlink_overruns));
	printf("netlink dumps      %llu\n", U64(i->netlink_dumps));
	printf("learn events       %llu\n", U64(i->learn_events));
	printf("learn overflows    %llu\n", U64(i->learn_overflows));
	printf("mbufs free         %llu of %llu\n", U64(i->mbufs_free), U64(i->mbufs_total));
	return EXIT_OK;
}

/* The columns of each kind of answer, and its rows. */
static const char *const port_columns[] = {
	"PORT", "ROLE", "LINK", "BACKEND", "TAP", "MAC", "*MTU", "*VNI", NULL};
static const char *const segment_columns[] = {"*VNI", "BRIDGE", "*MTU", "PORTS", "FLOODS TO",
	"*LOCAL", "*REMOTE", "*ENCAP", "*DECAP", "*FLOODED", NULL};
static const char *const fdb_columns[] = {"*VNI", "MAC", "PORT", "VTEP", "*AGE", NULL};
static const char *const vtep_columns[] = {
	"VTEP", "RESOLVED", "NEXT HOPS", "*TX", "*TX BYTES", "*RX", "*RX BYTES", NULL};
static const char *const route_columns[] = {"PREFIX", "TYPE", "NEXT HOPS", NULL};
static const char *const neighbour_columns[] = {"ADDRESS", "MAC", "PORT", NULL};
static const char *const drop_columns[] = {"DROP", "*PACKETS", "MEANS", NULL};
static const char *const worker_columns[] = {"*WORKER", "*LCORE", "*PACKETS", "*CYCLES/PACKET",
	"*PACKETS/WALK", "*DROPPED", "*WALKS", "*SLEEPS", NULL};
static const char *const latency_columns[] = {
	"*WORKER", "*WALKS", "*P50", "*P90", "*P99", "*P99.9", "*MAX", NULL};
static const char *const node_columns[] = {
	"GRAPH NODE", "*CALLS", "*PACKETS", "*CYCLES/PACKET", NULL};

static void ports_rows(struct table *t, const Audums__V1__DataplaneReply *r)
{
	for (size_t i = 0; i < r->ports->n_ports; i++) {
		const Audums__V1__DataplanePort *p = r->ports->ports[i];

		table_row(t);
		table_cell(t, p->name);
		table_cell(t, p->role);
		word_cell(t, p->link_up, "up", "down");
		table_cell(t, p->backend);
		table_cell(t, p->tap);
		table_cell(t, p->mac);
		number(t, p->mtu);
		if (p->vni)
			number(t, p->vni);
		else
			table_cell(t, NULL);
	}
}

static void segments_rows(struct table *t, const Audums__V1__DataplaneReply *r)
{
	for (size_t i = 0; i < r->segments->n_segments; i++) {
		const Audums__V1__SegmentStat *s = r->segments->segments[i];

		table_row(t);
		number(t, s->vni);
		table_cell(t, s->bridge);
		number(t, s->mtu);
		list_cell(t, s->ports, s->n_ports);
		list_cell(t, s->flood, s->n_flood);
		number(t, s->macs_local);
		number(t, s->macs_remote);
		number(t, s->encap_packets);
		number(t, s->decap_packets);
		number(t, s->flood_packets);
	}
}

static void fdb_rows(struct table *t, const Audums__V1__DataplaneReply *r)
{
	for (size_t i = 0; i < r->fdb->n_entries; i++) {
		const Audums__V1__FdbEntry *e = r->fdb->entries[i];

		table_row(t);
		number(t, e->vni);
		table_cell(t, e->mac);
		table_cell(t, e->port);
		table_cell(t, e->vtep);
		if (*e->port)
			table_cellf(t, "%u s", e->age_s);
		else
			table_cell(t, NULL);
	}
}

static void vteps_rows(struct table *t, const Audums__V1__DataplaneReply *r)
{
	for (size_t i = 0; i < r->vteps->n_vteps; i++) {
		const Audums__V1__VtepEntry *v = r->vteps->vteps[i];

		table_row(t);
		table_cell(t, v->address);
		word_cell(t, v->resolved, "yes", "no");
		list_cell(t, v->next_hops, v->n_next_hops);
		number(t, v->tx_packets);
		number(t, v->tx_bytes);
		number(t, v->rx_packets);
		number(t, v->rx_bytes);
	}
}

static void routes_rows(struct table *t, const Audums__V1__DataplaneReply *r)
{
	for (size_t i = 0; i < r->routes->n_routes; i++) {
		const Audums__V1__RouteEntry *e = r->routes->routes[i];

		table_row(t);
		table_cell(t, e->prefix);
		table_cell(t, e->type);
		list_cell(t, e->next_hops, e->n_next_hops);
	}
}

static void neighbours_rows(struct table *t, const Audums__V1__DataplaneReply *r)
{
	for (size_t i = 0; i < r->neighbours->n_neighbours; i++) {
		const Audums__V1__NeighbourEntry *e = r->neighbours->neighbours[i];

		table_row(t);
		table_cell(t, e->address);
		table_cell(t, *e->mac ? e->mac : "unresolved");
		table_cell(t, e->port);
	}
}

static void drops_rows(struct table *t, const Audums__V1__DataplaneReply *r)
{
	for (size_t i = 0; i < r->drops->n_drops; i++) {
		const Audums__V1__DropCounter *d = r->drops->drops[i];

		table_row(t);
		table_cell(t, d->reason);
		number(t, d->packets);
		table_cell(t, d->description);
	}
}

static void nodes_rows(struct table *t, const Audums__V1__DataplaneReply *r)
{
	for (size_t i = 0; i < r->nodes->n_nodes; i++) {
		const Audums__V1__GraphNodeStat *n = r->nodes->nodes[i];

		table_row(t);
		table_cell(t, n->name);
		number(t, n->calls);
		number(t, n->packets);
		ratio_cell(t, n->cycles, n->packets);
	}
}

static void workers_rows(struct table *t, const Audums__V1__DataplaneReply *r)
{
	for (size_t i = 0; i < r->workers->n_workers; i++) {
		const Audums__V1__WorkerStat *w = r->workers->workers[i];

		table_row(t);
		number(t, w->id);
		number(t, w->lcore);
		number(t, w->packets);
		ratio_cell(t, w->busy_cycles, w->packets);
		ratio_cell(t, w->packets, w->busy_walks);
		number(t, w->drops);
		number(t, w->walks);
		number(t, w->sleeps);
	}
}

/* The time below which a share of the walks stayed; a bucket counts as its end. */
static uint64_t latency_cycles(const Audums__V1__LatencyStat *l, double share)
{
	double left = share * (double)l->walks;

	for (size_t i = 0; i < l->n_buckets; i++) {
		const Audums__V1__LatencyBucket *b = l->buckets[i];

		left -= (double)b->walks;
		if (left <= 0)
			return b->to_cycles - 1 < l->max_cycles ? b->to_cycles - 1 : l->max_cycles;
	}
	return l->max_cycles;
}

static void latency_rows(struct table *t, const Audums__V1__DataplaneReply *r)
{
	static const double shares[] = {0.5, 0.9, 0.99, 0.999, 1};
	const double hz = (double)(r->latency->tsc_hz ? r->latency->tsc_hz : 1);

	for (size_t i = 0; i < r->latency->n_workers; i++) {
		const Audums__V1__LatencyStat *l = r->latency->workers[i];

		table_row(t);
		number(t, l->worker);
		number(t, l->walks);
		for (size_t k = 0; k < sizeof(shares) / sizeof(shares[0]); k++) {
			if (l->walks)
				table_cellf(t, "%.1f us",
					(double)latency_cycles(l, shares[k]) * 1e6 / hz);
			else
				table_cell(t, NULL);
		}
	}
}

static const struct {
	Audums__V1__DataplaneReply__AnswerCase answer;
	const char *const *columns;
	void (*rows)(struct table *t, const Audums__V1__DataplaneReply *r);
} answers[] = {
	{AUDUMS__V1__DATAPLANE_REPLY__ANSWER_PORTS, port_columns, ports_rows},
	{AUDUMS__V1__DATAPLANE_REPLY__ANSWER_SEGMENTS, segment_columns, segments_rows},
	{AUDUMS__V1__DATAPLANE_REPLY__ANSWER_FDB, fdb_columns, fdb_rows},
	{AUDUMS__V1__DATAPLANE_REPLY__ANSWER_VTEPS, vtep_columns, vteps_rows},
	{AUDUMS__V1__DATAPLANE_REPLY__ANSWER_ROUTES, route_columns, routes_rows},
	{AUDUMS__V1__DATAPLANE_REPLY__ANSWER_NEIGHBOURS, neighbour_columns, neighbours_rows},
	{AUDUMS__V1__DATAPLANE_REPLY__ANSWER_DROPS, drop_columns, drops_rows},
	{AUDUMS__V1__DATAPLANE_REPLY__ANSWER_NODES, node_columns, nodes_rows},
	{AUDUMS__V1__DATAPLANE_REPLY__ANSWER_WORKERS, worker_columns, workers_rows},
	{AUDUMS__V1__DATAPLANE_REPLY__ANSWER_LATENCY, latency_columns, latency_rows},
};

int replies_table(const struct ctl *ctl, Audums__V1__DataplaneReply *const *replies, size_t n)
{
	if (!n)
		return ctl_error("the forwarding process gave no answer");
	if (replies[0]->answer_case == AUDUMS__V1__DATAPLANE_REPLY__ANSWER_INFO)
		return info_print(replies[0]->info);
	for (size_t k = 0; k < sizeof(answers) / sizeof(answers[0]); k++) {
		struct table *t;

		if (answers[k].answer != replies[0]->answer_case)
			continue;
		t = table_new(ctl, answers[k].columns);
		for (size_t i = 0; i < n; i++)
			if (replies[i]->answer_case == answers[k].answer)
				answers[k].rows(t, replies[i]);
		return table_print(t, stdout);
	}
	return ctl_error("the forwarding process gave an answer that is not known here: it is of "
			 "another version");
}

int counters_table(const struct ctl *ctl, Audums__V1__DataplaneReply *const *replies, size_t n)
{
	static const char *const columns[] = {"PORT", "*RX", "*RX BYTES", "*RX DROPS", "*TX",
		"*TX BYTES", "*TX DROPS", "*TO KERNEL", "*DROPPED", "*FROM KERNEL", NULL};
	struct table *t = table_new(ctl, columns);

	for (size_t k = 0; k < n; k++) {
		if (replies[k]->answer_case != AUDUMS__V1__DATAPLANE_REPLY__ANSWER_PORTS)
			continue;
		for (size_t i = 0; i < replies[k]->ports->n_ports; i++) {
			const Audums__V1__DataplanePort *p = replies[k]->ports->ports[i];

			table_row(t);
			table_cell(t, p->name);
			number(t, p->rx_packets);
			number(t, p->rx_bytes);
			number(t, p->rx_drops);
			number(t, p->tx_packets);
			number(t, p->tx_bytes);
			number(t, p->tx_drops);
			number(t, p->punt_packets);
			number(t, p->punt_drops);
			number(t, p->inject_packets);
		}
	}
	return table_print(t, stdout);
}

/* What became of a packet and its copies. */
static void outcome_print(const struct ctl *ctl, const Audums__V1__TracedPacket *p, FILE *out)
{
	unsigned int sent = 0, kernel = 0, dropped = 0;

	for (size_t k = 0; k < p->n_steps; k++) {
		const Audums__V1__TraceStep *s = p->steps[k];

		if (*s->drop_reason)
			dropped++;
		else if (!strcmp(s->node, "port_tx"))
			sent++;
		else if (!strcmp(s->node, "punt"))
			kernel++;
	}
	fputs("  =>", out);
	if (sent)
		fprintf(out, " forwarded%s", sent > 1 ? " (" : "");
	if (sent > 1)
		fprintf(out, "%u copies)", sent);
	if (kernel)
		fprintf(out, "%s to the kernel", sent ? "," : "");
	if (dropped)
		fprintf(out, "%s %sdropped%s", sent || kernel ? "," : "",
			ctl->color ? "\033[31m" : "", ctl->color ? "\033[0m" : "");
	if (dropped > 1)
		fprintf(out, " (%u)", dropped);
	if (!sent && !kernel && !dropped)
		fputs(" not followed to its end", out);
	fputc('\n', out);
}

void trace_print(const struct ctl *ctl, const Audums__V1__TraceReply *trace, FILE *out)
{
	for (size_t i = 0; i < trace->n_packets; i++) {
		const Audums__V1__TracedPacket *p = trace->packets[i];

		fprintf(out, "%spacket %zu: %u octets on port %s\n", i ? "\n" : "", i + 1,
			p->length, p->port);
		if (p->head.len >= 14) {
			const uint8_t *h = p->head.data;

			fprintf(out,
				"  %02x:%02x:%02x:%02x:%02x:%02x -> "
				"%02x:%02x:%02x:%02x:%02x:%02x, type %02x%02x\n",
				h[6], h[7], h[8], h[9], h[10], h[11], h[0], h[1], h[2], h[3], h[4],
				h[5], h[12], h[13]);
		}
		for (size_t k = 0; k < p->n_steps; k++) {
			const Audums__V1__TraceStep *s = p->steps[k];

			fprintf(out, "  %-20s %s", s->node, s->detail);
			if (*s->drop_reason)
				fprintf(out, "%s%sdropped: %s%s", *s->detail ? ", " : "",
					ctl->color ? "\033[31m" : "", s->drop_reason,
					ctl->color ? "\033[0m" : "");
			fputc('\n', out);
		}
		outcome_print(ctl, p, out);
	}
}
