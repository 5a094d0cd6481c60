/*
 * audumsctl node show and trace: what a node's forwarding process says.
 */
#include <stdlib.h>
#include <string.h>

#include "controller/ctl/cmd_lab.h"
#include "controller/ctl/groups.h"
#include "controller/ctl/node_ask.h"
#include "controller/ctl/node_tables.h"
#include "proto/lib/pbtext.h"

/* One message an answer: what came in parts is printed as JSON lines, or YAML documents. */
static int replies_print(const struct ctl *ctl, const struct node_replies *r)
{
	for (size_t i = 0; i < r->count; i++) {
		char *text;

		if (ctl->format == OUTPUT_YAML) {
			if (r->count > 1)
				printf("---\n");
			if (message_print(ctl, &r->items[i]->base))
				return EXIT_FAILED;
			continue;
		}
		if (pbtext_print(&r->items[i]->base, PBTEXT_JSON, &text, NULL))
			return ctl_error("cannot print: out of memory");
		printf("%s\n", text);
		free(text);
	}
	return EXIT_OK;
}

/* ---- show --------------------------------------------------------------------------------- */

/* All requests of the tables; only the one that is meant is linked into the request. */
struct asks {
	Audums__V1__InfoRequest info;
	Audums__V1__PortsRequest ports;
	Audums__V1__SegmentsRequest segments;
	Audums__V1__FdbRequest fdb;
	Audums__V1__VtepsRequest vteps;
	Audums__V1__RoutesRequest routes;
	Audums__V1__NeighboursRequest neighbours;
	Audums__V1__DropsRequest drops;
	Audums__V1__NodesRequest nodes;
	Audums__V1__WorkersRequest workers;
	Audums__V1__LatencyRequest latency;
};

static bool ask_make(
	const char *what, uint32_t vni, struct asks *a, Audums__V1__DataplaneRequest *request)
{
	audums__v1__dataplane_request__init(request);
	if (!strcmp(what, "ports") || !strcmp(what, "counters")) {
		audums__v1__ports_request__init(&a->ports);
		request->ask_case = AUDUMS__V1__DATAPLANE_REQUEST__ASK_PORTS;
		request->ports = &a->ports;
	} else if (!strcmp(what, "fdb")) {
		audums__v1__fdb_request__init(&a->fdb);
		a->fdb.vni = vni;
		request->ask_case = AUDUMS__V1__DATAPLANE_REQUEST__ASK_FDB;
		request->fdb = &a->fdb;
	} else if (!strcmp(what, "vteps")) {
		audums__v1__vteps_request__init(&a->vteps);
		request->ask_case = AUDUMS__V1__DATAPLANE_REQUEST__ASK_VTEPS;
		request->vteps = &a->vteps;
	} else if (!strcmp(what, "routes")) {
		audums__v1__routes_request__init(&a->routes);
		request->ask_case = AUDUMS__V1__DATAPLANE_REQUEST__ASK_ROUTES;
		request->routes = &a->routes;
	} else if (!strcmp(what, "neighbours")) {
		audums__v1__neighbours_request__init(&a->neighbours);
		request->ask_case = AUDUMS__V1__DATAPLANE_REQUEST__ASK_NEIGHBOURS;
		request->neighbours = &a->neighbours;
	} else if (!strcmp(what, "drops")) {
		audums__v1__drops_request__init(&a->drops);
		request->ask_case = AUDUMS__V1__DATAPLANE_REQUEST__ASK_DROPS;
		request->drops = &a->drops;
	} else if (!strcmp(what, "segments")) {
		audums__v1__segments_request__init(&a->segments);
		request->ask_case = AUDUMS__V1__DATAPLANE_REQUEST__ASK_SEGMENTS;
		request->segments = &a->segments;
	} else if (!strcmp(what, "nodes")) {
		audums__v1__nodes_request__init(&a->nodes);
		request->ask_case = AUDUMS__V1__DATAPLANE_REQUEST__ASK_NODES;
		request->nodes = &a->nodes;
	} else if (!strcmp(what, "workers")) {
		audums__v1__workers_request__init(&a->workers);
		request->ask_case = AUDUMS__V1__DATAPLANE_REQUEST__ASK_WORKERS;
		request->workers = &a->workers;
	} else if (!strcmp(what, "latency")) {
		audums__v1__latency_request__init(&a->latency);
		request->ask_case = AUDUMS__V1__DATAPLANE_REQUEST__ASK_LATENCY;
		request->latency = &a->latency;
	} else if (!strcmp(what, "info")) {
		audums__v1__info_request__init(&a->info);
		request->ask_case = AUDUMS__V1__DATAPLANE_REQUEST__ASK_INFO;
		request->info = &a->info;
	} else {
		return false;
	}
	return true;
}

static int show_run(struct ctl *ctl, const struct args *args)
{
	const char *what = args->operands[1];
	Audums__V1__DataplaneRequest request;
	struct node_replies r = {0};
	struct asks asks;
	unsigned long vni;
	int exit_code;

	if (!args_number(args, "vni", 1, 16777215, 0, &vni))
		return EXIT_USAGE;
	if (!ask_make(what, (uint32_t)vni, &asks, &request)) {
		ctl_error("\"%s\" is none of %s", what, args->command->words);
		return EXIT_USAGE;
	}
	exit_code = node_ask(
		ctl, args, args->operands[0], &request, NODE_ASK_MS, node_replies_take, &r);
	if (exit_code)
		goto out;
	if (ctl->format != OUTPUT_TABLE)
		exit_code = replies_print(ctl, &r);
	else if (!strcmp(what, "counters"))
		exit_code = counters_table(ctl, r.items, r.count);
	else
		exit_code = replies_table(ctl, r.items, r.count);
out:
	node_replies_free(&r);
	return exit_code;
}

/* ---- trace -------------------------------------------------------------------------------- */

static int trace_run(struct ctl *ctl, const struct args *args)
{
	Audums__V1__DataplaneRequest request = AUDUMS__V1__DATAPLANE_REQUEST__INIT;
	Audums__V1__TraceRequest trace = AUDUMS__V1__TRACE_REQUEST__INIT;
	const char *port = args_option(args, "port"), *mac = args_option(args, "mac");
	unsigned long count, timeout;
	struct node_replies r = {0};
	size_t packets = 0;
	int exit_code;

	if (!args_number(args, "count", 1, 64, 1, &count) ||
		!args_duration(args, "timeout", 5000, &timeout))
		return EXIT_USAGE;
	if (!timeout || timeout > 60000) {
		ctl_error("--timeout: from 1ms to 60s");
		return EXIT_USAGE;
	}
	trace.port = (char *)(port ? port : "");
	trace.mac = (char *)(mac ? mac : "");
	trace.count = (uint32_t)count;
	trace.timeout_ms = (uint32_t)timeout;
	request.ask_case = AUDUMS__V1__DATAPLANE_REQUEST__ASK_TRACE;
	request.trace = &trace;
	exit_code = node_ask(ctl, args, args->operands[0], &request, timeout + NODE_ASK_MS,
		node_replies_take, &r);
	if (exit_code)
		goto out;
	for (size_t i = 0; i < r.count; i++)
		if (r.items[i]->answer_case == AUDUMS__V1__DATAPLANE_REPLY__ANSWER_TRACE)
			packets += r.items[i]->trace->n_packets;
	if (ctl->format != OUTPUT_TABLE)
		exit_code = replies_print(ctl, &r);
	else
		for (size_t i = 0; i < r.count; i++)
			if (r.items[i]->answer_case == AUDUMS__V1__DATAPLANE_REPLY__ANSWER_TRACE)
				trace_print(ctl, r.items[i]->trace, stdout);
	if (!exit_code && !packets)
		exit_code = ctl_error("no such packet came within %.1f s (audumsctl node show %s "
				      "counters shows whether the port receives any)",
			(double)timeout / 1e3, args->operands[0]);
out:
	node_replies_free(&r);
	return exit_code;
}

/* ---- the table ---------------------------------------------------------------------------- */

static const struct command_option show_options[] = {
	{.name = "vni", .value = "NUMBER", .help = "fdb: only this segment"},
	NODE_ASK_OPTIONS,
	{0},
};
static const struct command_option trace_options[] = {
	{.name = "port", .value = "PORT", .help = "packets that come in here (default: any)"},
	{.name = "mac",
		.value = "MAC",
		.help = "packets from or to this MAC of a workload (default: any)"},
	{.name = "count", .letter = 'c', .value = "NUMBER", .help = "at most 64 (default: 1)"},
	{.name = "timeout", .value = "TIME", .help = "give up after (default: 5s)"},
	NODE_ASK_OPTIONS,
	{0},
};

const struct command node_commands[] = {
	{.path = "node show",
		.operands = "NODE WHAT",
		.operands_min = 2,
		.operands_max = 2,
		.summary = "A node's forwarding tables, ports and counters",
		.description =
			"WHAT is ports, counters, segments, fdb, vteps, routes, neighbours, drops,\n"
			"nodes (of the packet graph), workers, latency (of the graph) or info.",
		.example = "audumsctl node show lvrtc1 fdb\n"
			   "audumsctl node show lvrtc1 drops -o json",
		.options = show_options,
		.completion = {COMPLETE_NODE, COMPLETE_WORDS},
		.words =
			"ports counters segments fdb vteps routes neighbours drops nodes workers latency "
			"info",
		.run = show_run},
	{.path = "trace",
		.operands = "NODE",
		.operands_min = 1,
		.operands_max = 1,
		.summary = "Follow packets through a node: every step, and why one was dropped",
		.example = "audumsctl trace lvrtc1 --port p1 --count 3\n"
			   "audumsctl trace lnb1 --mac 02:00:00:00:00:01",
		.options = trace_options,
		.completion = {COMPLETE_NODE},
		.run = trace_run},
	{0},
};
