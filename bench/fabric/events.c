/* Sections about events: a tenant comes and goes, a workload moves, links and processes fail. */
#include "bench/fabric/bench.h"

#include <stdlib.h>
#include <string.h>

#include "controller/ctl/story/internal.h"

#define LINK "lvrtc-ic" /* between BENCH_FROM and BENCH_TO */

int section_provision(struct bench *b, struct lab_err *err)
{
	struct figure *ready = figure_get(
		&b->figures, "provision_ms", "segment applied to ready at four sites", "ms", 300);
	struct figure *gone = figure_get(
		&b->figures, "delete_ms", "segment deleted to gone at four sites", "ms", 0);
	double ms;
	int r = story_delete(&b->story, b->tenant, 60000, &ms, err);

	for (unsigned int i = 0; i < b->runs && r == 0; i++) {
		bench_begin(b);
		r = story_provision(&b->story, b->tenant, 60000, &ms, err);
		if (r)
			break;
		bench_sample(b, ready, ms);
		r = story_delete(&b->story, b->tenant, 60000, &ms, err);
		if (r)
			break;
		bench_sample(b, gone, ms);
		r = story_wait_nodes(&b->story, 60000, err);
	}
	if (r == 0)
		r = story_provision(&b->story, b->tenant, 60000, &ms, err);
	return r;
}

int section_move(struct bench *b, struct lab_err *err)
{
	struct figure *f =
		figure_get(&b->figures, "move_outage_ms", "workload moves: outage", "ms", 65);
	struct lab_workload home;
	int r;

	r = lab_workload_get(&b->story.lab, BENCH_TO, &home, err);
	for (unsigned int i = 0; i < b->runs && r == 0; i++) {
		const bool away = i % 2 == 0;
		double ms;

		bench_begin(b);
		r = story_move(&b->story, BENCH_TO, away ? "ldc1" : home.node,
			away ? "p2" : home.port, BENCH_FROM, &ms, err);
		if (r == 0)
			bench_sample(b, f, ms);
	}
	if (r == 0 && b->runs % 2 != 0)
		r = lab_workload_move(&b->story.lab, BENCH_TO, home.node, home.port, err);
	return r;
}

static int links(struct bench *b, enum lab_link_state state, const char *key, const char *what,
	struct lab_err *err)
{
	char back_key[64], back_what[80];
	struct figure *out;
	struct figure *back;
	int r = 0;

	snprintf(back_key, sizeof(back_key), "%s_back_outage_ms", key);
	snprintf(back_what, sizeof(back_what), "%s: outage on its return", what);
	out = figure_get(&b->figures, key, what, "ms", 0);
	if (out) {
		snprintf(out->key, sizeof(out->key), "%s_outage_ms", key);
		snprintf(out->what, sizeof(out->what), "%s: outage", what);
	}
	back = figure_get(&b->figures, back_key, back_what, "ms", 0);
	for (unsigned int i = 0; i < b->runs && r == 0; i++) {
		double out_ms;
		double back_ms;

		bench_begin(b);
		r = story_link(
			&b->story, LINK, state, BENCH_FROM, BENCH_TO, &out_ms, &back_ms, err);
		if (r)
			break;
		bench_sample(b, out, out_ms);
		bench_sample(b, back, back_ms);
	}
	return r;
}

int section_down(struct bench *b, struct lab_err *err)
{
	return links(b, LAB_LINK_DOWN, "link_down", "link loses carrier", err);
}

int section_silent(struct bench *b, struct lab_err *err)
{
	return links(b, LAB_LINK_SILENT, "link_silent", "link goes silent", err);
}

/* Kill one process again and again. The first packets lost are what counts of it. */
static int kills(struct bench *b, const char *process, const char *key, const char *what,
	struct lab_err *err)
{
	char text[80], name[64];
	struct figure *outage, *lost, *p99;
	int r = 0;

	snprintf(name, sizeof(name), "%s_outage_ms", key);
	snprintf(text, sizeof(text), "%s killed: outage", what);
	outage = figure_get(&b->figures, name, text, "ms", 0);
	snprintf(name, sizeof(name), "%s_lost", key);
	snprintf(text, sizeof(text), "%s killed: lost at 1 kHz", what);
	lost = figure_get(&b->figures, name, text, "packets", 0);
	snprintf(name, sizeof(name), "%s_rtt_p99_us", key);
	snprintf(text, sizeof(text), "%s killed: round trip p99 meanwhile", what);
	p99 = figure_get(&b->figures, name, text, "us", 0);
	for (unsigned int i = 0; i < b->runs && r == 0; i++) {
		struct lab_probe_result result;
		double stall;

		/* who dies young, within 5 s, is started again later and later: not what is
		 * measured here */
		bench_settle(6000);
		bench_begin(b);
		r = story_kill(&b->story, process, BENCH_FROM, BENCH_TO, &result, err);
		if (r)
			break;
		stall = machine_stall(&b->machine);
		figure_add(&b->figures, outage, result.longest_outage_ms, stall, machine_load());
		figure_add(&b->figures, lost, (double)result.lost, stall, machine_load());
		figure_add(&b->figures, p99, result.rtt_p99_us, stall, machine_load());
	}
	return r;
}

int section_kill(struct bench *b, struct lab_err *err)
{
	int r;

	r = kills(b, "controller", "controller_killed", "controller", err);
	if (r == 0)
		r = kills(b, "lvrtc1/agent", "agent_killed", "agent", err);
	if (r == 0)
		r = kills(b, "lvrtc1/dataplane", "dataplane_killed", "forwarding process", err);
	return r;
}
