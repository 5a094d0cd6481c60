/* Sections about what is: idle CPU and memory, round trips and throughput beside the peer, scale.
 */
#include "bench/fabric/bench.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/fabric/tcp.h"
#include "bench/fabric/usage.h"
#include "controller/ctl/story/internal.h"
#include "topology/load.h"

#define RTT_MS 2000
#define TCP_MS 2000

static void add_memory(struct bench *b, const char *prefix, const char *when, const struct usage *u)
{
	char key[64], what[80];
	struct figure *f;

	snprintf(key, sizeof(key), "%smemory_%s_rss_mb", prefix, u->program);
	snprintf(what, sizeof(what), "memory%s: %s, RSS", when, u->program);
	f = figure_get(&b->figures, key, what, "MB", 0);
	if (f)
		f->decimals = 1;
	bench_sample(b, f, (double)u->rss_kb / 1024);
	snprintf(key, sizeof(key), "%smemory_%s_pss_mb", prefix, u->program);
	snprintf(what, sizeof(what), "memory%s: %s, PSS", when, u->program);
	f = figure_get(&b->figures, key, what, "MB", 0);
	if (f)
		f->decimals = 1;
	bench_sample(b, f, (double)u->pss_kb / 1024);
}

static void add_cpu(struct bench *b, const char *prefix, const char *when, const struct usage *u,
	double percent)
{
	const bool dataplane = strcmp(u->program, "dataplane") == 0;
	char key[64], what[80];
	struct figure *f;

	snprintf(key, sizeof(key), "%sidle_cpu_%s_percent", prefix, u->program);
	snprintf(what, sizeof(what), "idle CPU%s: %s", when, u->program);
	f = figure_get(&b->figures, key, what, "% of a core", dataplane ? 0.5 : 0);
	if (f)
		f->decimals = 2;
	bench_sample(b, f, percent);
}

/* The CPU time of a node's processes together, in percent of a core. */
struct node_cpu {
	char name[LAB_OBJECT_LEN];
	double percent;
};

static void add_node_cpu(struct node_cpu nodes[LAB_NODES_MAX], const char *node, double percent)
{
	for (unsigned int i = 0; i < LAB_NODES_MAX && node[0]; i++) {
		if (!nodes[i].name[0])
			snprintf(nodes[i].name, sizeof(nodes[i].name), "%s", node);
		if (strcmp(nodes[i].name, node) == 0) {
			nodes[i].percent += percent;
			return;
		}
	}
}

static int cpu_window(
	struct bench *b, const char *prefix, const char *when, unsigned int ms, struct lab_err *err)
{
	struct node_cpu nodes[LAB_NODES_MAX] = {0};
	struct usage *before = NULL;
	struct usage *after = NULL;
	unsigned int before_count = 0;
	unsigned int after_count = 0;
	struct figure *sum;
	char key[64], what[80];
	double began;
	int r;

	r = usage_read(b->lab, &before, &before_count, err);
	if (r)
		return r;
	began = story_now();
	bench_begin(b);
	bench_settle(ms);
	r = usage_read(b->lab, &after, &after_count, err);
	for (unsigned int i = 0; r == 0 && i < after_count; i++) {
		const struct usage *then = usage_find(before, before_count, after[i].pid);
		double percent;

		if (!then)
			continue;
		percent = (double)(after[i].cpu_ticks - then->cpu_ticks) * 1e5 /
			  (double)sysconf(_SC_CLK_TCK) / (story_now() - began);
		add_cpu(b, prefix, when, &after[i], percent);
		add_node_cpu(nodes, after[i].node, percent);
	}
	snprintf(key, sizeof(key), "%sidle_cpu_site_percent", prefix);
	snprintf(what, sizeof(what), "idle CPU%s: a whole site", when);
	sum = figure_get(&b->figures, key, what, "% of a core", 0);
	if (sum)
		sum->decimals = 2;
	for (unsigned int i = 0; r == 0 && i < LAB_NODES_MAX && nodes[i].name[0]; i++)
		bench_sample(b, sum, nodes[i].percent);
	free(before);
	free(after);
	return r;
}

int bench_processes(struct bench *b, const char *prefix, const char *when, unsigned int idle_ms,
	struct lab_err *err)
{
	struct usage *list = NULL;
	unsigned int count = 0;
	int r = 0;

	if (idle_ms)
		r = cpu_window(b, prefix, when, idle_ms, err);
	if (r == 0)
		r = usage_read(b->lab, &list, &count, err);
	for (unsigned int i = 0; r == 0 && i < count; i++)
		add_memory(b, prefix, when, &list[i]);
	free(list);
	return r;
}

int section_idle(struct bench *b, struct lab_err *err)
{
	/* each window gives a sample a node */
	const unsigned int windows = (b->runs + 3) / 4;
	int r = 0;

	bench_settle(5000);
	for (unsigned int i = 0; i < windows && r == 0; i++)
		r = bench_processes(b, "", "", b->idle_ms, err);
	return r;
}

/* ---- beside the peer ---------------------------------------------------------------------- */

static int workload_end(
	struct bench *b, const char *name, struct lab_probe_end *end, struct lab_err *err)
{
	struct lab_workload w;
	int r = lab_workload_get(&b->story.lab, name, &w, err);

	memset(end, 0, sizeof(*end));
	if (r)
		return r;
	snprintf(end->name, sizeof(end->name), "%s", name);
	lab_netns_workload(&b->story.lab, name, end->netns);
	end->address_count = w.address_count;
	memcpy(end->addresses, w.addresses, sizeof(end->addresses));
	return 0;
}

static void peer_end(struct bench *b, unsigned int n, struct lab_probe_end *end)
{
	memset(end, 0, sizeof(*end));
	snprintf(end->name, sizeof(end->name), "peer's w%u", n);
	snprintf(end->netns, sizeof(end->netns), "%s-w%u", b->peer, n);
	end->address_count = 1;
	snprintf(end->addresses[0], sizeof(end->addresses[0]), "10.20.0.%u", n);
}

static int ends(struct bench *b, struct lab_probe_end ours[2], struct lab_probe_end peers[2],
	struct lab_err *err)
{
	int r = workload_end(b, BENCH_FROM, &ours[0], err);

	if (r == 0)
		r = workload_end(b, BENCH_TO, &ours[1], err);
	peer_end(b, 1, &peers[0]);
	peer_end(b, 2, &peers[1]);
	return r;
}

static int round_trips(const struct lab_probe_end e[2], unsigned int ms,
	struct lab_probe_result *result, struct lab_err *err)
{
	const struct lab_probe_options options = {.rate = 1000, .duration_ms = ms};
	struct lab_probe *probe;
	int r;

	r = lab_probe_between(&e[0], &e[1], &options, &probe, err);
	if (r)
		return r;
	while (lab_probe_running(probe))
		bench_settle(20);
	lab_probe_stop(probe, result);
	return result->received ? 0 : story_fail(err, -1, "nothing came back from %s", e[1].name);
}

int section_rtt(struct bench *b, struct lab_err *err)
{
	struct figures *fs = &b->figures;
	struct figure *p50 = figure_get(fs, "rtt_p50_us", "round trip, p50", "us", 0);
	struct figure *p99 = figure_get(fs, "rtt_p99_us", "round trip, p99", "us", 0);
	struct figure *peer50 =
		figure_get(fs, "rtt_peer_p50_us", "round trip, Linux's own VXLAN, p50", "us", 0);
	struct figure *peer99 =
		figure_get(fs, "rtt_peer_p99_us", "round trip, Linux's own VXLAN, p99", "us", 0);
	struct figure *ratio =
		figure_get(fs, "rtt_ratio_p50", "round trip, p50 against Linux's own", "times", 0);
	struct lab_probe_end ours[2], peers[2];
	struct lab_probe_result result;
	double own;
	int r;

	if (ratio)
		ratio->decimals = 2;
	r = ends(b, ours, peers, err);
	/* the first packets resolve addresses: they are not measured */
	if (r == 0)
		r = round_trips(ours, 300, &result, err);
	if (r == 0)
		r = round_trips(peers, 300, &result, err);
	for (unsigned int i = 0; i < b->runs && r == 0; i++) {
		bench_begin(b);
		r = round_trips(ours, RTT_MS, &result, err);
		if (r)
			break;
		own = result.rtt_p50_us;
		bench_sample(b, p50, result.rtt_p50_us);
		bench_sample(b, p99, result.rtt_p99_us);
		r = round_trips(peers, RTT_MS, &result, err);
		if (r)
			break;
		bench_sample(b, peer50, result.rtt_p50_us);
		bench_sample(b, peer99, result.rtt_p99_us);
		bench_sample(b, ratio, own / result.rtt_p50_us);
	}
	return r;
}

int section_tcp(struct bench *b, struct lab_err *err)
{
	struct figures *fs = &b->figures;
	struct figure *own = figure_get(fs, "tcp_mbps", "one TCP stream", "Mbit/s", 0);
	struct figure *peer =
		figure_get(fs, "tcp_peer_mbps", "one TCP stream, Linux's own VXLAN", "Mbit/s", 0);
	struct lab_probe_end ours[2], peers[2];
	double mbps;
	int r;

	if (own)
		own->more_is_better = true;
	if (peer)
		peer->more_is_better = true;
	r = ends(b, ours, peers, err);
	for (unsigned int i = 0; i < b->runs && r == 0; i++) {
		bench_begin(b);
		r = tcp_measure(&ours[0], &ours[1], TCP_MS, &mbps, err);
		if (r)
			break;
		bench_sample(b, own, mbps);
		r = tcp_measure(&peers[0], &peers[1], TCP_MS, &mbps, err);
		if (r == 0)
			bench_sample(b, peer, mbps);
	}
	return r;
}

/* ---- many segments ------------------------------------------------------------------------ */

static int many_once(struct bench *b, bool last, struct lab_err *err)
{
	struct figures *fs = &b->figures;
	struct lab_probe_result result;
	struct lab_probe *probe;
	double ms;
	int r;

	r = story_probe(&b->story, BENCH_FROM, BENCH_TO, &probe, err);
	if (r)
		return r;
	bench_begin(b);
	r = story_provision(&b->story, b->many, 300000, &ms, err);
	story_probe_end(&b->story, probe, &result);
	if (r)
		return r;
	bench_sample(b,
		figure_get(fs, "many_provision_ms", "many segments: applied to ready", "ms", 0),
		ms);
	bench_sample(b,
		figure_get(
			fs, "many_lost", "many segments: lost of others meanwhile", "packets", 0),
		(double)result.lost);
	bench_sample(b,
		figure_get(fs, "many_rtt_p99_us",
			"many segments: round trip p99 of others meanwhile", "us", 0),
		result.rtt_p99_us);
	if (last) {
		bench_settle(3000);
		r = bench_processes(b, "many_", ", many segments", b->idle_ms, err);
		if (r)
			return r;
	}
	bench_begin(b);
	r = story_delete(&b->story, b->many, 300000, &ms, err);
	if (r)
		return r;
	bench_sample(
		b, figure_get(fs, "many_delete_ms", "many segments: deleted to gone", "ms", 0), ms);
	return story_wait_nodes(&b->story, 60000, err);
}

int section_many(struct bench *b, struct lab_err *err)
{
	int r = 0;

	if (!b->many)
		return 0;
	for (unsigned int i = 0; i < b->runs && r == 0; i++)
		r = many_once(b, i + 1 == b->runs, err);
	if (r == 0)
		bench_settle(3000);
	if (r == 0)
		r = bench_processes(b, "after_many_", ", after many segments", 0, err);
	return r;
}
