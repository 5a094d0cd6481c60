/*
 * audumsctl lab demo: tells the story on a lab that is up and prints what it measured.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "controller/ctl/cmd_lab.h"
#include "controller/ctl/groups.h"
#include "controller/ctl/story/story.h"
#include "topology/load.h"

#define NODES_TIMEOUT_MS   60000
#define SEGMENT_TIMEOUT_MS 30000

struct demo {
	struct story story;
	const char *tenant; /* files */
	const char *second; /* or NULL */
	unsigned int step;
	struct lab_workload *workloads; /* of the first tenant */
	unsigned int workload_count;
	const char *group; /* its segment */
	char standby_node[LAB_OBJECT_LEN];
	char standby_port[LAB_IFNAME_LEN];
	char standby_segment[LAB_OBJECT_LEN];
};

static void say_step(struct demo *d, const char *what)
{
	if (d->story.progress) {
		fprintf(d->story.progress, "%2u. %s\n", ++d->step, what);
		fflush(d->story.progress);
	}
}

static void say_figure(struct demo *d, const char *what, double value, const char *unit)
{
	if (d->story.progress) {
		fprintf(d->story.progress, "    %s: %.0f %s\n", what, value, unit);
		fflush(d->story.progress);
	}
}

/* The workload of the first tenant at a node, or NULL. */
static const char *workload_at(const struct demo *d, const char *node)
{
	for (unsigned int i = 0; i < d->workload_count; i++)
		if (strcmp(d->workloads[i].node, node) == 0)
			return d->workloads[i].name;
	return NULL;
}

/* The n-th link with a workload of the tenant at both ends; wraps round. -1: there is none. */
static int link_choose(const struct demo *d, unsigned int n, const char **from, const char **to)
{
	const struct lab *lab = &d->story.lab;
	int usable[LAB_LINKS_MAX];
	unsigned int count = 0;
	int chosen;

	for (unsigned int i = 0; i < lab->link_count; i++)
		if (workload_at(d, lab->nodes[lab->links[i].end[0].node].name) &&
			workload_at(d, lab->nodes[lab->links[i].end[1].node].name))
			usable[count++] = (int)i;
	if (count == 0)
		return -1;
	chosen = usable[n % count];
	*from = workload_at(d, lab->nodes[lab->links[chosen].end[0].node].name);
	*to = workload_at(d, lab->nodes[lab->links[chosen].end[1].node].name);
	return chosen;
}

/* Where the file says that a workload may be moved to, if it does. */
static void standby_read(struct demo *d)
{
	struct topology t = {0};
	struct problems problems;

	problems_init(&problems);
	if (topology_load(&d->tenant, 1, 0, &t, &problems) == 0) {
		for (size_t i = 0; i < t.document->n_attachments; i++) {
			const Audums__V1__Attachment *a = t.document->attachments[i];

			if (!story_is_standby(a))
				continue;
			snprintf(d->standby_node, sizeof(d->standby_node), "%s", a->node);
			snprintf(d->standby_port, sizeof(d->standby_port), "%s", a->port);
			snprintf(d->standby_segment, sizeof(d->standby_segment), "%s", a->segment);
		}
	}
	topology_free(&t);
	problems_free(&problems);
}

static int tell_provision(struct demo *d, struct lab_err *err)
{
	struct story *s = &d->story;
	double second_ms;
	int r;

	say_step(d, "all nodes and links become ready");
	r = story_wait_nodes(s, NODES_TIMEOUT_MS, err);
	if (r)
		return r;
	say_step(d, "the first tenant's segment is applied");
	r = story_provision(s, d->tenant, SEGMENT_TIMEOUT_MS, &s->figures.provision_ms, err);
	if (r)
		return r;
	say_figure(d, "apply to ready at all sites", s->figures.provision_ms, "ms");
	r = story_workloads(s, d->tenant, err);
	if (r == 0)
		r = lab_workload_list(&s->lab, &d->workloads, &d->workload_count, err);
	if (r)
		return r;
	standby_read(d);
	if (d->workload_count == 0) {
		snprintf(err->text, sizeof(err->text), "%s has no workloads", d->tenant);
		return -1;
	}
	d->group = d->workloads[0].group;
	say_step(d, "every workload reaches every other, IPv4 and IPv6, up to 1,500 octets");
	r = story_ping(s, 5, err);
	if (r)
		return r;
	say_figure(d, "lost", (double)s->figures.ping_lost, "packets");
	if (!d->second)
		return 0;
	say_step(d, "a second tenant uses the same addresses and MACs");
	r = story_provision(s, d->second, SEGMENT_TIMEOUT_MS, &second_ms, err);
	if (r == 0)
		r = story_workloads(s, d->second, err);
	if (r == 0)
		r = story_isolation(s, d->group, 20, err);
	if (r)
		return r;
	say_figure(d, "frames of the one seen by the other", (double)s->figures.leaked_frames,
		"frames");
	return 0;
}

static int tell_move(struct demo *d, struct lab_err *err)
{
	struct story *s = &d->story;
	const struct lab_workload *mover = NULL;
	const char *from = NULL;
	int r;

	/* Both are of the standby's segment; the one that moves is not there already. */
	for (unsigned int i = 0; i < d->workload_count; i++) {
		const struct lab_workload *w = &d->workloads[i];

		if (strcmp(w->group, d->standby_segment) != 0)
			continue;
		if (!from)
			from = w->name;
		else if (strcmp(w->node, d->standby_node) != 0)
			mover = w;
	}
	if (!mover)
		return 0;
	say_step(d, "a workload moves to another datacenter and back, under traffic");
	r = story_move(s, mover->name, d->standby_node, d->standby_port, from,
		&s->figures.move_outage_ms, err);
	if (r == 0)
		r = story_move(s, mover->name, mover->node, mover->port, from,
			&s->figures.move_back_outage_ms, err);
	if (r)
		return r;
	say_figure(d, "outage", s->figures.move_outage_ms, "ms");
	say_figure(d, "outage on the way back", s->figures.move_back_outage_ms, "ms");
	return 0;
}

static int tell_links(struct demo *d, struct lab_err *err)
{
	struct story *s = &d->story;
	const char *from;
	const char *to;
	int link;
	int r;

	link = link_choose(d, 0, &from, &to);
	if (link < 0 || s->lab.link_count < 2)
		return 0;
	say_step(d, "a backbone link loses carrier, under traffic, and returns");
	r = story_link(s, s->lab.links[link].name, LAB_LINK_DOWN, from, to,
		&s->figures.link_down_outage_ms, &s->figures.link_down_back_ms, err);
	if (r)
		return r;
	say_figure(d, "outage", s->figures.link_down_outage_ms, "ms");
	say_figure(d, "outage on its return", s->figures.link_down_back_ms, "ms");
	link = link_choose(d, 1, &from, &to);
	say_step(d, "another goes silent: frames vanish, carrier stays");
	r = story_link(s, s->lab.links[link].name, LAB_LINK_SILENT, from, to,
		&s->figures.link_silent_outage_ms, &s->figures.link_silent_back_ms, err);
	if (r)
		return r;
	say_figure(d, "outage", s->figures.link_silent_outage_ms, "ms");
	say_figure(d, "outage on its return", s->figures.link_silent_back_ms, "ms");
	return 0;
}

static int tell_deaths(struct demo *d, struct lab_err *err)
{
	struct story *s = &d->story;
	struct lab_probe_result result;
	char process[64];
	const char *from;
	const char *to;
	const char *node;
	int link;
	int r;

	link = link_choose(d, 0, &from, &to);
	if (link < 0)
		return 0;
	node = s->lab.nodes[s->lab.links[link].end[0].node].name;
	say_step(d, "kill -9 of the controller");
	r = story_kill(s, "controller", from, to, &result, err);
	if (r)
		return r;
	s->figures.controller_killed_lost = result.lost;
	say_figure(d, "lost", (double)result.lost, "packets");
	say_step(d, "kill -9 of an agent");
	snprintf(process, sizeof(process), "%s/agent", node);
	r = story_kill(s, process, from, to, &result, err);
	if (r)
		return r;
	s->figures.agent_killed_lost = result.lost;
	say_figure(d, "lost", (double)result.lost, "packets");
	say_step(d, "kill -9 of a forwarding process");
	r = story_kill_dataplane(s, node, from, to, err);
	if (r)
		return r;
	say_figure(d, "outage", s->figures.dataplane_killed_outage_ms, "ms");
	say_figure(d, "BGP sessions and carriers lost", s->figures.sessions_lost, "");
	return 0;
}

static json_t *figures_json(const struct story_figures *f)
{
	return json_pack(
		"{s:f, s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:f, s:f, s:I, s:I, s:I, s:f, s:i, "
		"s:f}",
		"provision_ms", f->provision_ms, "ping_sent", (json_int_t)f->ping_sent, "ping_lost",
		(json_int_t)f->ping_lost, "leaked_frames", (json_int_t)f->leaked_frames,
		"move_outage_ms", f->move_outage_ms, "move_back_outage_ms", f->move_back_outage_ms,
		"link_down_outage_ms", f->link_down_outage_ms, "link_down_back_ms",
		f->link_down_back_ms, "link_silent_outage_ms", f->link_silent_outage_ms,
		"link_silent_back_ms", f->link_silent_back_ms, "controller_killed_lost",
		(json_int_t)f->controller_killed_lost, "agent_killed_lost",
		(json_int_t)f->agent_killed_lost, "dataplane_killed_lost",
		(json_int_t)f->dataplane_killed_lost, "dataplane_killed_outage_ms",
		f->dataplane_killed_outage_ms, "sessions_lost", (int)f->sessions_lost,
		"longest_stall_ms", f->stall_ms);
}

static int figures_table(const struct ctl *ctl, const struct story_figures *f)
{
	static const char *const columns[] = {"WHAT", "*MEASURED", "UNIT", NULL};
	const struct {
		const char *what;
		double value;
		const char *unit;
	} rows[] = {
		{"segment applied to ready at all sites", f->provision_ms, "ms"},
		{"pings between all workloads: lost", (double)f->ping_lost, "packets"},
		{"frames one tenant saw of the other", (double)f->leaked_frames, "frames"},
		{"workload moves: outage", f->move_outage_ms, "ms"},
		{"workload moves back: outage", f->move_back_outage_ms, "ms"},
		{"link loses carrier: outage", f->link_down_outage_ms, "ms"},
		{"link returns: outage", f->link_down_back_ms, "ms"},
		{"link goes silent: outage", f->link_silent_outage_ms, "ms"},
		{"silent link returns: outage", f->link_silent_back_ms, "ms"},
		{"controller killed: lost", (double)f->controller_killed_lost, "packets"},
		{"agent killed: lost", (double)f->agent_killed_lost, "packets"},
		{"forwarding process killed: outage", f->dataplane_killed_outage_ms, "ms"},
		{"BGP sessions and carriers that cost", f->sessions_lost, ""},
		{"this machine's longest stall meanwhile", f->stall_ms, "ms"},
	};
	struct table *table = table_new(ctl, columns);

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		table_row(table);
		table_cell(table, rows[i].what);
		table_cellf(table, "%.0f", rows[i].value);
		table_cell(table, rows[i].unit);
	}
	return table_print(table, stdout);
}

static int demo_run(struct ctl *ctl, const struct args *args)
{
	struct demo *d = calloc(1, sizeof(*d));
	struct lab *lab = calloc(1, sizeof(*lab));
	struct lab_err err = {""};
	int exit_code;
	int r;

	if (!d || !lab) {
		free(d);
		free(lab);
		return ctl_error("out of memory");
	}
	exit_code = lab_choose(args, lab);
	if (exit_code)
		goto out;
	d->tenant = args->operands[0];
	d->second = args->operand_count > 1 ? args->operands[1] : NULL;
	r = story_open(&d->story, lab->name, ctl->format == OUTPUT_TABLE ? stdout : stderr, &err);
	if (r == 0)
		r = tell_provision(d, &err);
	if (r == 0)
		r = tell_move(d, &err);
	if (r == 0)
		r = tell_links(d, &err);
	if (r == 0)
		r = tell_deaths(d, &err);
	if (r) {
		exit_code = lab_error(&err);
	} else if (ctl->format == OUTPUT_TABLE) {
		putchar('\n');
		exit_code = figures_table(ctl, &d->story.figures);
	} else {
		exit_code = json_print(ctl, figures_json(&d->story.figures));
	}
	story_close(&d->story);
	free(d->workloads);
out:
	free(lab);
	free(d);
	return exit_code;
}

/* ---- isolation ---------------------------------------------------------------------------- */

static const struct command_option isolation_options[] = {
	LAB_OPTION,
	{.name = "count",
		.letter = 'c',
		.value = "N",
		.help = "rounds (default: 20, at most 1000)"},
	{.name = NULL},
};

static int isolation_run(struct ctl *ctl, const struct args *args)
{
	const char *count = args_option(args, "count");
	struct story *s = calloc(1, sizeof(*s));
	struct lab *lab = calloc(1, sizeof(*lab));
	struct lab_err err = {""};
	unsigned long rounds = 20;
	char *end = NULL;
	int exit_code;

	if (count)
		rounds = strtoul(count, &end, 10);
	if (end && (*end || rounds < 1 || rounds > 1000)) {
		free(s);
		free(lab);
		ctl_error("--count: \"%s\" is not a number from 1 to 1000", count);
		return EXIT_USAGE;
	}
	exit_code = s && lab ? lab_choose(args, lab) : ctl_error("out of memory");
	if (!exit_code &&
		(story_open(s, lab->name, NULL, &err) ||
			story_isolation(s, args->operands[0], (unsigned int)rounds, &err)))
		exit_code = lab_error(&err);
	if (!exit_code && ctl->format != OUTPUT_TABLE)
		exit_code = json_print(ctl,
			json_pack("{s:I, s:I}", "own_frames", (json_int_t)s->figures.marked_frames,
				"leaked_frames", (json_int_t)s->figures.leaked_frames));
	else if (!exit_code)
		printf("%llu frames seen in %s, %llu elsewhere\n",
			(unsigned long long)s->figures.marked_frames, args->operands[0],
			(unsigned long long)s->figures.leaked_frames);
	if (!exit_code && s->figures.leaked_frames)
		exit_code = EXIT_FAILED;
	if (s)
		story_close(s);
	free(s);
	free(lab);
	return exit_code;
}

const struct command demo_commands[] = {
	{
		.path = "lab isolation",
		.operands = "GROUP",
		.operands_min = 1,
		.operands_max = 1,
		.summary = "Do workloads of other groups see frames of this one?",
		.description =
			"Each workload of the group sends marked broadcasts and marked frames to a\n"
			"MAC that nobody has; all workloads of the lab capture. Fails when a frame\n"
			"is seen outside the group, or is missing inside it.",
		.example = "sudo audumsctl lab isolation registri --count 50",
		.options = isolation_options,
		.run = isolation_run,
	},
	{
		.path = "lab demo",
		.operands = "TENANT.yaml [SECOND.yaml]",
		.operands_min = 1,
		.operands_max = 2,
		.summary = "Tell the story on a lab that is up, and measure it",
		.description =
			"Provisions the tenant of the first file, and a second one with the same\n"
			"addresses; pings between all workloads, moves one, takes links away and\n"
			"gives them back, kills processes. The lab stays up. -o json prints the\n"
			"figures as one JSON object.",
		.example =
			"audumsctl lab demo topology/demo-tenant.yaml topology/second-tenant.yaml",
		.options = lab_only_options,
		.completion = {COMPLETE_FILE},
		.run = demo_run,
	},
	{.path = NULL},
};
