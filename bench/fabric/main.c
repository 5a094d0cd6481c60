/*
 * bench-fabric: brings up the lab of a topology, measures, takes it down. run.sh calls it.
 *
 * Sections run one after another on one lab. One that fails is said and counted, the others still
 * run; the exit status is 1 then. No figure makes the run fail.
 */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "bench/fabric/bench.h"
#include "controller/ctl/groups.h"
#include "controller/ctl/story/internal.h"

/* The library's table of commands is the program's; no command runs here. */
const struct command *const command_groups[] = {NULL};

static const struct section {
	const char *name;
	const char *says;
	int (*run)(struct bench *b, struct lab_err *err);
} sections[] = {
	{"provision", "a segment comes and goes", section_provision},
	{"idle", "CPU and memory of an idle lab", section_idle},
	{"rtt", "round trips, beside Linux's own VXLAN", section_rtt},
	{"tcp", "one TCP stream, beside Linux's own VXLAN", section_tcp},
	{"move", "a workload moves", section_move},
	{"down", "a link loses carrier", section_down},
	{"silent", "a link goes silent", section_silent},
	{"kill", "processes are killed", section_kill},
	{"many", "many segments", section_many},
};

#define SECTIONS (sizeof(sections) / sizeof(sections[0]))

void bench_begin(struct bench *b)
{
	machine_stall(&b->machine);
}

void bench_sample(struct bench *b, struct figure *f, double value)
{
	figure_add(&b->figures, f, value, machine_stall(&b->machine), machine_load());
}

void bench_settle(unsigned int ms)
{
	const double until = story_now() + ms;

	while (story_now() < until)
		poll(NULL, 0, (int)(until - story_now()) + 1);
}

/* "a,b" selects; NULL selects all. */
static bool is_selected(const char *only, const char *name)
{
	const size_t len = strlen(name);

	if (!only)
		return true;
	for (const char *at = strstr(only, name); at; at = strstr(at + 1, name))
		if ((at == only || at[-1] == ',') && (at[len] == '\0' || at[len] == ','))
			return true;
	return false;
}

static int bring_up(struct bench *b, struct lab_err *err)
{
	struct story *s = &b->story;
	const double began = story_now();
	double ms;
	int r;

	r = story_up(s, b->topology, b->lab, NULL, err);
	if (r)
		return r;
	bench_sample(
		b, figure_get(&b->figures, "up_ms", "lab comes up", "ms", 0), story_now() - began);
	r = story_wait_nodes(s, 120000, err);
	if (r)
		return r;
	bench_sample(b,
		figure_get(&b->figures, "connected_ms", "lab comes up, to nodes and links ready",
			"ms", 0),
		story_now() - began);
	r = story_provision(s, b->tenant, 60000, &ms, err);
	if (r == 0)
		r = story_workloads(s, b->tenant, err);
	if (r == 0)
		r = story_ping(s, 3, err);
	return r;
}

static void print_json(const struct bench *b, unsigned int failed)
{
	struct utsname u;
	json_t *root;
	char *text;

	if (uname(&u))
		memset(&u, 0, sizeof(u));
	root = json_pack("{s:i, s:i, s:s, s:i, s:o}", "runs", (int)b->runs, "sections_failed",
		(int)failed, "kernel", u.release, "cpus", (int)sysconf(_SC_NPROCESSORS_ONLN),
		"figures", figures_json(&b->figures));
	text = root ? json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(6)) : NULL;
	puts(text ? text : "{}");
	free(text);
	json_decref(root);
}

static unsigned int run_sections(struct bench *b, const char *only)
{
	unsigned int failed = 0;

	for (size_t i = 0; i < SECTIONS; i++) {
		struct lab_err err = {""};
		const double began = story_now();

		if (!is_selected(only, sections[i].name))
			continue;
		fprintf(stderr, "%-10s %s\n", sections[i].name, sections[i].says);
		if (sections[i].run(b, &err)) {
			fprintf(stderr, "%-10s failed: %s\n", sections[i].name, err.text);
			failed++;
		}
		fprintf(stderr, "%-10s %.0f s\n", sections[i].name, (story_now() - began) / 1e3);
	}
	return failed;
}

static void usage(FILE *out)
{
	fprintf(out, "usage: bench-fabric --lab NAME --topology FILE --tenant FILE --peer NAME\n"
		     "                    [--many FILE] [--runs N] [--idle SECONDS] [--only "
		     "SECTION,...] [--json]\n"
		     "sections:");
	for (size_t i = 0; i < SECTIONS; i++)
		fprintf(out, " %s", sections[i].name);
	fputc('\n', out);
}

int main(int argc, char *argv[])
{
	static const struct option options[] = {
		{"lab", required_argument, NULL, 'l'},
		{"topology", required_argument, NULL, 't'},
		{"tenant", required_argument, NULL, 'n'},
		{"peer", required_argument, NULL, 'p'},
		{"many", required_argument, NULL, 'm'},
		{"runs", required_argument, NULL, 'r'},
		{"idle", required_argument, NULL, 'i'},
		{"only", required_argument, NULL, 'o'},
		{"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	struct bench *b = calloc(1, sizeof(*b));
	struct lab_err err = {""};
	const char *only = NULL;
	unsigned int failed = 0;
	bool json = false;
	int option;

	if (!b)
		return 1;
	b->runs = 10;
	b->idle_ms = 20000;
	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (option) {
		case 'l':
			b->lab = optarg;
			break;
		case 't':
			b->topology = optarg;
			break;
		case 'n':
			b->tenant = optarg;
			break;
		case 'p':
			b->peer = optarg;
			break;
		case 'm':
			b->many = optarg;
			break;
		case 'r':
			b->runs = (unsigned int)strtoul(optarg, NULL, 10);
			break;
		case 'i':
			b->idle_ms = (unsigned int)strtoul(optarg, NULL, 10) * 1000;
			break;
		case 'o':
			only = optarg;
			break;
		case 'j':
			json = true;
			break;
		case 'h':
			usage(stdout);
			return 0;
		default:
			usage(stderr);
			return 64;
		}
	}
	if (!b->lab || !b->topology || !b->tenant || !b->peer || !b->runs || !b->idle_ms) {
		usage(stderr);
		free(b);
		return 64;
	}
	machine_start(&b->machine);
	if (bring_up(b, &err)) {
		fprintf(stderr, "lab: %s\n", err.text);
		failed++;
	} else {
		failed = run_sections(b, only);
	}
	story_close(&b->story);
	lab_down(b->lab, &err);
	machine_stop(&b->machine);
	figures_table(&b->figures, stdout);
	if (json)
		print_json(b, failed);
	free(b);
	return failed ? 1 : 0;
}
