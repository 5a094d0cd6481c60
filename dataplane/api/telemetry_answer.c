/* What the commands of telemetry answer; see telemetry_answer.h. */
#include "dataplane/dpdk_compat.h"

#include "dataplane/api/telemetry_answer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_graph.h>
#include <rte_graph_worker.h>
#include <rte_mempool.h>

#include "dataplane/api/text.h"
#include "dataplane/counters.h"
#include "dataplane/dataplane.h"

/* What was asked for is not there: said in words, a null would not tell it from a failure. */
static int say_error(struct rte_tel_data *d, const char *text)
{
	rte_tel_data_start_dict(d);
	rte_tel_data_add_dict_string(d, "error", text);
	return 0;
}

/* A number as the whole of `params`. */
static bool number_of(const char *params, unsigned long max, unsigned long *out)
{
	char *end;

	errno = 0;
	*out = strtoul(params, &end, 10);
	return errno == 0 && *params >= '0' && *params <= '9' && *end == '\0' && *out <= max;
}

/* "+N": how many entries of a list are left out; 0 for "". False: `params` names an entry. */
static bool list_wanted(const char *params, unsigned long *skip)
{
	*skip = 0;
	return *params == '\0' || (*params == '+' && number_of(params + 1, UINT32_MAX, skip));
}

static void add_counters(struct rte_tel_data *d, enum counter_kind kind, const void *base)
{
	const struct counter_fields *fields = &counters_fields[kind];

	for (size_t i = 0; i < fields->n; i++)
		tel_dict_u64(d, fields->list[i].name, counter_value(base, &fields->list[i]));
}

int telemetry_info(struct dataplane *dp, const char *params, struct rte_tel_data *d)
{
	struct mirror_sock_stats sock = {0};
	struct mirror_stats mirror;

	mirror_stats_get(dp->mirror, &mirror);
	if (dp->netlink != NULL)
		mirror_sock_stats_get(dp->netlink, &sock);
	rte_tel_data_start_dict(d);
	rte_tel_data_add_dict_string(d, "version", AUDUMS_VERSION);
	rte_tel_data_add_dict_int(d, "pid", getpid());
	tel_dict_u64(d, "uptime_ms", (uint64_t)(loop_now_ms() - dp->started_ms));
	tel_dict_u64(d, "workers", dp->worker_count);
	tel_dict_u64(d, "ports", dp->port_count);
	rte_tel_data_add_dict_int(d, "synced", sock.synced);
	tel_dict_u64(d, "netlink_messages", mirror.messages);
	tel_dict_u64(d, "netlink_overruns", sock.overruns);
	tel_dict_u64(d, "netlink_dumps", sock.dumps);
	tel_dict_u64(d, "mbufs_free", rte_mempool_avail_count(dp->pool));
	tel_dict_u64(d, "mbufs_total", dp->pool->size);
	return 0;
}

int telemetry_ports(struct dataplane *dp, const char *params, struct rte_tel_data *d)
{
	struct port_counters sum;
	uint16_t id;

	if (*params == '\0') {
		rte_tel_data_start_array(d, RTE_TEL_STRING_VAL);
		for (unsigned int i = 0; i < PORT_MAX; i++)
			if (dp->ports[i] != NULL)
				rte_tel_data_add_array_string(d, dp->ports[i]->spec.name);
		return 0;
	}
	id = port_by_name(&dp->tables->ports, params);
	if (id == PORT_NONE || dp->ports[id] == NULL)
		return say_error(d, "no such port");
	counters_port(dp, dp->ports[id], &sum);
	rte_tel_data_start_dict(d);
	rte_tel_data_add_dict_string(d, "name", dp->ports[id]->spec.name);
	rte_tel_data_add_dict_string(d, "role", port_role_name(dp->ports[id]->spec.role));
	rte_tel_data_add_dict_int(d, "link_up", dp->ports[id]->link_up);
	add_counters(d, COUNTERS_PORT, &sum);
	return 0;
}

int telemetry_segments(struct dataplane *dp, const char *params, struct rte_tel_data *d)
{
	const struct bd_tbl *bds = dp->tables->bds;
	struct segment_stats sum;
	uint32_t local, remote;
	unsigned long n, listed = 0;
	uint16_t id;

	if (list_wanted(params, &n)) {
		rte_tel_data_start_array(d, RTE_TEL_INT_VAL);
		for (uint16_t i = 1; i < bd_end(bds) && listed < TELEMETRY_PAGE; i++) {
			const struct bd *bd = bd_get(bds, i);

			if (bd == NULL || bd->vni == VNI_NONE)
				continue;
			if (n > 0) {
				n--;
				continue;
			}
			rte_tel_data_add_array_int(d, (int)bd->vni);
			listed++;
		}
		return 0;
	}
	if (!number_of(params, VNI_MAX, &n))
		return say_error(d, "expected a VNI, or +N");
	id = n != VNI_NONE ? bd_by_vni(bds, (uint32_t)n) : BD_NONE;
	if (id == BD_NONE)
		return say_error(d, "no segment here has this VNI");
	counters_segment(dp->counters, dp, id, &sum);
	mirror_bd_macs(dp->mirror, id, &local, &remote);
	rte_tel_data_start_dict(d);
	tel_dict_u64(d, "vni", n);
	tel_dict_u64(d, "macs_local", local);
	tel_dict_u64(d, "macs_remote", remote);
	add_counters(d, COUNTERS_SEGMENT, &sum);
	return 0;
}

int telemetry_vteps(struct dataplane *dp, const char *params, struct rte_tel_data *d)
{
	const struct vtep_tbl *vteps = &dp->tables->vteps;
	char text[TEXT_ADDRESS_MAX];
	unsigned long n, listed = 0;
	struct vtep_stats sum;

	if (list_wanted(params, &n)) {
		rte_tel_data_start_array(d, RTE_TEL_STRING_VAL);
		for (uint16_t i = 1; i < vteps->end && listed < TELEMETRY_PAGE; i++) {
			if (vteps->refs[i] == 0)
				continue;
			if (n > 0) {
				n--;
				continue;
			}
			rte_tel_data_add_array_string(
				d, text_vtep(text, sizeof(text), vtep_get(vteps, i)));
			listed++;
		}
		return 0;
	}
	for (uint16_t i = 1; i < vteps->end; i++) {
		const struct vtep *v = vtep_get(vteps, i);
		const struct nhg *g;

		if (vteps->refs[i] == 0 || strcmp(text_vtep(text, sizeof(text), v), params) != 0)
			continue;
		g = nhg_get(&dp->tables->nhgs, vtep_nhg(v));
		counters_vtep(dp->counters, dp, i, &sum);
		rte_tel_data_start_dict(d);
		rte_tel_data_add_dict_string(d, "address", text);
		rte_tel_data_add_dict_int(d, "resolved", g != NULL && g->n_live > 0);
		add_counters(d, COUNTERS_VTEP, &sum);
		return 0;
	}
	return say_error(d, "no such VTEP");
}

int telemetry_drops(struct dataplane *dp, const char *params, struct rte_tel_data *d)
{
	static_assert(DROP_COUNT <= RTE_TEL_MAX_DICT_ENTRIES, "all reasons go in one answer");
	char name[32];

	if (*params == '\0') {
		rte_tel_data_start_dict(d);
		for (unsigned int i = 0; i < DROP_COUNT; i++)
			tel_dict_u64(d, drop_name(i), counters_drop(dp, i));
		return 0;
	}
	for (unsigned int i = 0; i < DROP_COUNT; i++) {
		if (strcmp(drop_name(i), params) != 0)
			continue;
		rte_tel_data_start_dict(d);
		rte_tel_data_add_dict_string(d, "description", drop_text(i));
		tel_dict_u64(d, "packets", counters_drop(dp, i));
		for (unsigned int k = 0; k < dp->worker_count; k++) {
			snprintf(name, sizeof(name), "worker_%u", k);
			tel_dict_u64(d, name, stat_read(&dp->workers[k]->drops[i]));
		}
		return 0;
	}
	return say_error(d, "no such reason");
}

int telemetry_workers(struct dataplane *dp, const char *params, struct rte_tel_data *d)
{
	unsigned long n;
	uint64_t drops = 0;

	if (*params == '\0') {
		rte_tel_data_start_array(d, RTE_TEL_INT_VAL);
		for (unsigned int i = 0; i < dp->worker_count; i++)
			rte_tel_data_add_array_int(d, (int)i);
		return 0;
	}
	if (!number_of(params, WORKER_MAX, &n) || n >= dp->worker_count)
		return say_error(d, "no such worker");
	for (unsigned int i = 0; i < DROP_COUNT; i++)
		drops += stat_read(&dp->workers[n]->drops[i]);
	rte_tel_data_start_dict(d);
	tel_dict_u64(d, "lcore", dp->workers[n]->lcore);
	tel_dict_u64(d, "drops", drops);
	tel_dict_u64(d, "tsc", rte_rdtsc());
	tel_dict_u64(d, "tsc_hz", rte_get_tsc_hz());
	add_counters(d, COUNTERS_WORKER, dp->workers[n]);
	return 0;
}

int telemetry_latency(struct dataplane *dp, const char *params, struct rte_tel_data *d)
{
	const double ns = 1e9 / (double)rte_get_tsc_hz();
	struct latency sum;
	unsigned long n = 0;

	if (*params != '\0' && (!number_of(params, WORKER_MAX, &n) || n >= dp->worker_count))
		return say_error(d, "no such worker");
	counters_latency(dp, *params != '\0' ? (int)n : -1, &sum);
	rte_tel_data_start_dict(d);
	tel_dict_u64(d, "walks", latency_walks(&sum));
	tel_dict_u64(d, "p50_ns", (uint64_t)(ns * (double)latency_quantile(&sum, 500)));
	tel_dict_u64(d, "p90_ns", (uint64_t)(ns * (double)latency_quantile(&sum, 900)));
	tel_dict_u64(d, "p99_ns", (uint64_t)(ns * (double)latency_quantile(&sum, 990)));
	tel_dict_u64(d, "p999_ns", (uint64_t)(ns * (double)latency_quantile(&sum, 999)));
	tel_dict_u64(d, "max_ns", (uint64_t)(ns * (double)sum.max));
	return 0;
}

/* Names are told apart by suffix: not every release takes a dictionary in a dictionary. */
int telemetry_nodes(struct dataplane *dp, const char *params, struct rte_tel_data *d)
{
	struct rte_graph *graph = dp->worker_count > 0 ? dp->workers[0]->graph : NULL;
	struct rte_node *node;
	rte_graph_off_t off;
	rte_node_t count;

	rte_tel_data_start_dict(d);
	if (graph == NULL)
		return 0;
	rte_graph_foreach_node(count, off, graph, node)
	{
		uint64_t calls = 0, packets = 0, cycles = 0;
		char name[RTE_NODE_NAMESIZE + 16];

		for (unsigned int i = 0; i < dp->worker_count; i++) {
			const struct rte_node *same =
				rte_graph_node_get_by_name(dp->workers[i]->graph->name, node->name);

			if (same == NULL)
				continue;
			calls += stat_read(&same->total_calls);
			packets += stat_read(&same->total_objs);
			cycles += stat_read(&same->total_cycles);
		}
		snprintf(name, sizeof(name), "%s_calls", node->name);
		tel_dict_u64(d, name, calls);
		snprintf(name, sizeof(name), "%s_packets", node->name);
		tel_dict_u64(d, name, packets);
		snprintf(name, sizeof(name), "%s_cycles", node->name);
		tel_dict_u64(d, name, cycles);
	}
	return 0;
}

int telemetry_fdb_summary(struct dataplane *dp, const char *params, struct rte_tel_data *d)
{
	const struct bd_tbl *bds = dp->tables->bds;
	uint64_t locals = 0, remotes = 0;
	struct learn_stats learn = {0};
	struct fdb_stats fdb;

	fdb_stats_get(dp->tables->fdb, &fdb);
	if (dp->learn != NULL)
		learn_stats_get(dp->learn, &learn);
	for (uint16_t i = 1; i < bd_end(bds); i++) {
		uint32_t local, remote;

		if (bd_get(bds, i) == NULL)
			continue;
		mirror_bd_macs(dp->mirror, i, &local, &remote);
		locals += local;
		remotes += remote;
	}
	rte_tel_data_start_dict(d);
	tel_dict_u64(d, "entries", fdb.entries);
	tel_dict_u64(d, "capacity", fdb.capacity);
	tel_dict_u64(d, "segments", bd_count(bds));
	tel_dict_u64(d, "local", locals);
	tel_dict_u64(d, "remote", remotes);
	tel_dict_u64(d, "refused_full", fdb.full);
	tel_dict_u64(d, "refused_chain", fdb.chain);
	tel_dict_u64(d, "learnt", learn.learnt);
	tel_dict_u64(d, "moved", learn.moved);
	tel_dict_u64(d, "reclaimed", learn.reclaimed);
	tel_dict_u64(d, "aged", learn.aged);
	tel_dict_u64(d, "unconfirmed", learn.unconfirmed);
	return 0;
}
