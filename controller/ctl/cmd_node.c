/*
 * audumsctl node show and trace: what a node's forwarding process says.
 *
 * Asked by way of the controller and the node's agent; or, with --socket, at its own unix socket on
 * this machine, which works without either.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "controller/ctl/client.h"
#include "controller/ctl/cmd_lab.h"
#include "controller/ctl/groups.h"
#include "controller/ctl/node_tables.h"
#include "proto/lib/frame.h"
#include "proto/lib/pbtext.h"

#define ASK_MS      15000
#define REPLIES_MAX 65536

/* The parts of an answer, as they came. */
struct replies {
	Audums__V1__DataplaneReply **items;
	size_t count;
	bool failed;
};

static void replies_free(struct replies *r)
{
	for (size_t i = 0; i < r->count; i++)
		audums__v1__dataplane_reply__free_unpacked(r->items[i], NULL);
	free(r->items);
}

/* Take over a reply; false when it is the error that ends everything. */
static bool replies_add(struct replies *r, Audums__V1__DataplaneReply *reply)
{
	Audums__V1__DataplaneReply **items;

	if (!reply || *reply->error || r->count >= REPLIES_MAX) {
		if (!reply)
			ctl_error("out of memory");
		else if (*reply->error)
			ctl_error("the forwarding process says: %s", reply->error);
		else
			ctl_error("the answer has more than %d parts", REPLIES_MAX);
		goto out;
	}
	items = realloc(r->items, (r->count + 1) * sizeof(*items));
	if (!items) {
		ctl_error("out of memory");
		goto out;
	}
	r->items = items;
	r->items[r->count++] = reply;
	return true;
out:
	if (reply)
		audums__v1__dataplane_reply__free_unpacked(reply, NULL);
	r->failed = true;
	return false;
}

/* ---- asking ------------------------------------------------------------------------------- */

static enum stream_step reply_came(void *arg, const ProtobufCMessage *message)
{
	struct replies *r = arg;
	size_t len = protobuf_c_message_get_packed_size(message);
	uint8_t *octets = malloc(len + 1);
	Audums__V1__DataplaneReply *copy = NULL;

	if (octets) {
		protobuf_c_message_pack(message, octets);
		copy = audums__v1__dataplane_reply__unpack(NULL, len, octets);
		free(octets);
	}
	return replies_add(r, copy) ? STREAM_GO_ON : STREAM_DONE;
}

static int controller_ask(struct ctl *ctl, const char *node, Audums__V1__DataplaneRequest *ask,
	unsigned long timeout_ms, struct replies *r)
{
	Audums__V1__NodeShowRequest request = AUDUMS__V1__NODE_SHOW_REQUEST__INIT;

	request.node = (char *)node;
	request.dataplane = ask;
	switch (client_stream(ctl, "NodeShow", &request.base,
		&audums__v1__dataplane_reply__descriptor, timeout_ms, false, reply_came, r)) {
	case STREAM_ENDED:
		return EXIT_OK;
	case STREAM_TIMEOUT:
		return ctl_error("node %s did not answer in %lu s", node, timeout_ms / 1000);
	default:
		return EXIT_FAILED;
	}
}

static int socket_ask(const char *path, Audums__V1__DataplaneRequest *ask, unsigned long timeout_ms,
	struct replies *r)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int64_t deadline = frame_deadline((int)timeout_ms);
	ProtobufCMessage *message;
	bool more = true;
	int fd, ret;

	if (snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path) >= (int)sizeof(sa.sun_path))
		return ctl_error("%s is too long for a socket", path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return ctl_error("cannot make a socket: %s", strerror(errno));
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa))) {
		ctl_error("no forwarding process answers at %s: %s", path, strerror(errno));
		close(fd);
		return EXIT_FAILED;
	}
	ret = frame_send(fd, &ask->base, deadline);
	while (!ret && more) {
		ret = frame_recv(fd, &audums__v1__dataplane_reply__descriptor, deadline, &message);
		if (ret)
			break;
		more = ((Audums__V1__DataplaneReply *)message)->more;
		if (!replies_add(r, (Audums__V1__DataplaneReply *)message))
			break;
	}
	close(fd);
	if (ret)
		return ctl_error("the forwarding process at %s: %s", path, strerror(-ret));
	return r->failed ? EXIT_FAILED : EXIT_OK;
}

static int node_ask(struct ctl *ctl, const struct args *args, Audums__V1__DataplaneRequest *ask,
	unsigned long timeout_ms, struct replies *r)
{
	const char *socket_path = args_option(args, "socket");
	struct lab *lab;
	char path[LAB_PATH_LEN];
	int node, exit_code;

	if (socket_path)
		return socket_ask(socket_path, ask, timeout_ms, r);
	if (!args_flag(args, "direct"))
		return controller_ask(ctl, args->operands[0], ask, timeout_ms, r);
	lab = calloc(1, sizeof(*lab));
	exit_code = lab ? lab_choose(args, lab) : ctl_error("out of memory");
	if (!exit_code) {
		node = lab_node_find(lab, args->operands[0]);
		if (node < 0) {
			exit_code = ctl_error(
				"lab %s has no node \"%s\"", lab->name, args->operands[0]);
		} else {
			lab_node_path(lab, (unsigned int)node, "dataplane.sock", path);
			exit_code = socket_ask(path, ask, timeout_ms, r);
		}
	}
	free(lab);
	return exit_code;
}

/* One message an answer: what came in parts is printed as JSON lines, or YAML documents. */
static int replies_print(const struct ctl *ctl, const struct replies *r)
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
	struct replies r = {0};
	struct asks asks;
	unsigned long vni;
	int exit_code;

	if (!args_number(args, "vni", 1, 16777215, 0, &vni))
		return EXIT_USAGE;
	if (!ask_make(what, (uint32_t)vni, &asks, &request)) {
		ctl_error("\"%s\" is none of %s", what, args->command->words);
		return EXIT_USAGE;
	}
	exit_code = node_ask(ctl, args, &request, ASK_MS, &r);
	if (exit_code)
		goto out;
	if (ctl->format != OUTPUT_TABLE)
		exit_code = replies_print(ctl, &r);
	else if (!strcmp(what, "counters"))
		exit_code = counters_table(ctl, r.items, r.count);
	else
		exit_code = replies_table(ctl, r.items, r.count);
out:
	replies_free(&r);
	return exit_code;
}

/* ---- trace -------------------------------------------------------------------------------- */

static int trace_run(struct ctl *ctl, const struct args *args)
{
	Audums__V1__DataplaneRequest request = AUDUMS__V1__DATAPLANE_REQUEST__INIT;
	Audums__V1__TraceRequest trace = AUDUMS__V1__TRACE_REQUEST__INIT;
	const char *port = args_option(args, "port"), *mac = args_option(args, "mac");
	unsigned long count, timeout;
	struct replies r = {0};
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
	exit_code = node_ask(ctl, args, &request, timeout + ASK_MS, &r);
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
	replies_free(&r);
	return exit_code;
}

/* ---- the table ---------------------------------------------------------------------------- */

#define SOURCE_OPTIONS                                                                             \
	{.name = "direct", .help = "in a lab: ask at the node's own socket, not the controller"},  \
		{.name = "socket",                                                                 \
			.value = "PATH",                                                           \
			.help = "ask at this socket of a forwarding process on this machine",      \
			.completion = COMPLETE_FILE},                                              \
		LAB_OPTION

static const struct command_option show_options[] = {
	{.name = "vni", .value = "NUMBER", .help = "fdb: only this segment"},
	SOURCE_OPTIONS,
	{0},
};
static const struct command_option trace_options[] = {
	{.name = "port", .value = "PORT", .help = "packets that come in here (default: any)"},
	{.name = "mac",
		.value = "MAC",
		.help = "packets from or to this MAC of a workload (default: any)"},
	{.name = "count", .letter = 'c', .value = "NUMBER", .help = "at most 64 (default: 1)"},
	{.name = "timeout", .value = "TIME", .help = "give up after (default: 5s)"},
	SOURCE_OPTIONS,
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
