/*
 * What the commands of telemetry answer. Main thread; each call reads tables and counters once and
 * never blocks. Private to api/.
 */
#pragma once

#include <rte_telemetry.h>

struct dataplane;

/* Fill `data` for a command with `params` ("" when none were given). Returns 0; or a negative
 * errno, which telemetry shows as null. */
typedef int telemetry_answer_fn(
	struct dataplane *dp, const char *params, struct rte_tel_data *data);

/* X(NAME, "command", "help of at most 63 octets") */
#define TELEMETRY_COMMANDS(X)                                                                      \
	X(info, "/audums/info", "The process itself. No parameters")                               \
	X(ports, "/audums/ports", "Ports' names; with a name, its counters")                       \
	X(segments, "/audums/segments", "VNIs; with a VNI, its counters; +N leaves out N")         \
	X(vteps, "/audums/vteps", "VTEPs; with an address, its counters; +N leaves out N")         \
	X(drops, "/audums/drops", "Packets dropped by reason; with a reason, by worker")           \
	X(workers, "/audums/workers", "Workers' numbers; with a number, its counters")             \
	X(latency, "/audums/latency", "Time of graph walks in ns; with a number, that worker's")   \
	X(nodes, "/audums/nodes", "Graph nodes: calls, packets, cycles. No parameters")            \
	X(fdb_summary, "/audums/fdb/summary", "What the FDB holds. No parameters")

#define X(id, path, help) telemetry_answer_fn telemetry_##id;
TELEMETRY_COMMANDS(X)
#undef X

/* Entries of a list that one answer names: its text is bounded by telemetry to 16 KiB. */
#define TELEMETRY_PAGE 256
