/*
 * audumsctl lab: measuring between workloads, and looking at a node's state.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "controller/ctl/cmd_lab.h"
#include "controller/ctl/groups.h"

#define FIRST_ANSWER_POLL_MS 5

/* ---- probe -------------------------------------------------------------------------------- */

static json_t *outages_json(const struct lab_probe_result *r)
{
	json_t *array = json_array();

	for (unsigned int i = 0; i < r->outage_count && i < LAB_OUTAGES_MAX; i++)
		json_array_append_new(
			array, json_pack("{s:f, s:f, s:I}", "start_ms", r->outages[i].start_ms,
				       "duration_ms", r->outages[i].duration_ms, "lost",
				       (json_int_t)r->outages[i].lost));
	return array;
}

static int result_json(const struct lab_probe_options *opt, const struct lab_probe_result *r)
{
	json_t *root = json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:f, "
				 "s:i, s:o, s:{s:f, s:f, s:f, s:f}}",
		"from", opt->from, "to", opt->to, "sent", (json_int_t)r->sent, "received",
		(json_int_t)r->received, "received_far", (json_int_t)r->received_far, "lost",
		(json_int_t)r->lost, "duplicates", (json_int_t)r->duplicates, "longest_outage_ms",
		r->longest_outage_ms, "longest_far_outage_ms", r->longest_far_ms,
		"longest_silence_ms", r->longest_silence_ms, "longest_stall_ms",
		r->longest_stall_ms, "duration_ms", r->duration_ms, "outage_count",
		(int)r->outage_count, "outages", outages_json(r), "rtt_us", "min", r->rtt_min_us,
		"p50", r->rtt_p50_us, "p99", r->rtt_p99_us, "max", r->rtt_max_us);
	char *text = root ? json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(7)) : NULL;

	json_decref(root);
	if (!text)
		return ctl_error("cannot print: out of memory");
	printf("%s\n", text);
	free(text);
	return EXIT_OK;
}

static void result_text(const struct lab_probe_options *opt, const struct lab_probe_result *r)
{
	printf("%s -> %s -> %s: %llu sent in %.1f s, %llu came back, %llu lost (%llu on the way "
	       "there)\n",
		opt->from, opt->to, opt->from, (unsigned long long)r->sent, r->duration_ms / 1e3,
		(unsigned long long)r->received, (unsigned long long)r->lost,
		(unsigned long long)(r->sent - r->received_far));
	printf("round trip: %.0f us median, %.0f us p99, %.0f to %.0f us\n", r->rtt_p50_us,
		r->rtt_p99_us, r->rtt_min_us, r->rtt_max_us);
	if (!r->outage_count)
		printf("no outage\n");
	for (unsigned int i = 0; i < r->outage_count && i < LAB_OUTAGES_MAX; i++)
		printf("outage %u: %.1f ms, from %.3f s, %llu lost\n", i + 1,
			r->outages[i].duration_ms, r->outages[i].start_ms / 1e3,
			(unsigned long long)r->outages[i].lost);
	if (r->outage_count > LAB_OUTAGES_MAX)
		printf("and %u more\n", r->outage_count - LAB_OUTAGES_MAX);
	if (r->longest_stall_ms > 20)
		printf("this machine did not let the prober run for up to %.1f ms\n",
			r->longest_stall_ms);
}

/* Wait for the end: the duration, or a signal. Says on stderr when the first answer has come. */
static void probe_wait(struct lab_probe *probe, int signal_fd)
{
	bool first = true;

	while (lab_probe_running(probe)) {
		struct pollfd pfd = {.fd = signal_fd, .events = POLLIN};

		if (first && lab_probe_received(probe)) {
			fprintf(stderr, "probe: answers come\n");
			first = false;
		}
		if (poll(&pfd, 1, first ? FIRST_ANSWER_POLL_MS : 50) > 0)
			break;
	}
}

static bool probe_options(const struct args *args, struct lab_probe_options *opt)
{
	unsigned long rate, size, duration;

	opt->from = args_option(args, "from");
	opt->to = args_option(args, "to");
	if (!opt->from || !opt->to) {
		ctl_error("say between whom: --from WORKLOAD --to WORKLOAD");
		return false;
	}
	if (!args_number(args, "rate", 1, 10000, 1000, &rate) ||
		!args_number(args, "size", 16, 9000, 64, &size) ||
		!args_duration(args, "duration", 5000, &duration))
		return false;
	if (duration > 600000) {
		ctl_error("--duration: at most 10m");
		return false;
	}
	opt->rate = (unsigned int)rate;
	opt->size = (unsigned int)size;
	opt->duration_ms = (unsigned int)duration;
	opt->family = args_flag(args, "ipv6") ? AF_INET6 : args_flag(args, "ipv4") ? AF_INET : 0;
	return true;
}

static int lab_probe_run(struct ctl *ctl, const struct args *args)
{
	struct lab *lab = calloc(1, sizeof(*lab));
	struct lab_probe_options opt = {0};
	struct lab_probe_result *result = calloc(1, sizeof(*result));
	struct lab_probe *probe;
	struct lab_err err;
	sigset_t set;
	int signal_fd, exit_code;

	if (!lab || !result) {
		exit_code = ctl_error("out of memory");
		goto out;
	}
	if (!probe_options(args, &opt)) {
		exit_code = EXIT_USAGE;
		goto out;
	}
	exit_code = lab_choose(args, lab);
	if (exit_code)
		goto out;
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal_fd = signalfd(-1, &set, SFD_CLOEXEC);
	if (lab_probe_start(lab, &opt, &probe, &err)) {
		exit_code = lab_error(&err);
	} else {
		probe_wait(probe, signal_fd);
		lab_probe_stop(probe, result);
		if (ctl->format == OUTPUT_TABLE)
			result_text(&opt, result);
		else
			exit_code = result_json(&opt, result);
		if (!result->received)
			exit_code = ctl_error("nothing came back");
	}
	if (signal_fd >= 0)
		close(signal_fd);
out:
	free(result);
	free(lab);
	return exit_code;
}

/* ---- ping --------------------------------------------------------------------------------- */

static int pairs_json(const struct ctl *ctl, const struct lab_ping_pair *pairs, unsigned int count,
	unsigned int sent, unsigned int lost)
{
	json_t *array = json_array();

	for (unsigned int i = 0; i < count; i++)
		json_array_append_new(array,
			json_pack("{s:s, s:s, s:s, s:i, s:i, s:i, s:f}", "from", pairs[i].from,
				"to", pairs[i].to, "address", pairs[i].address, "size",
				(int)pairs[i].size, "sent", (int)pairs[i].sent, "received",
				(int)pairs[i].received, "rtt_max_us", pairs[i].rtt_max_us));
	return json_print(ctl,
		json_pack("{s:i, s:i, s:o}", "sent", (int)sent, "lost", (int)lost, "pairs", array));
}

static int pairs_table(const struct ctl *ctl, const struct lab_ping_pair *pairs, unsigned int count)
{
	static const char *const columns[] = {
		"FROM", "TO", "ADDRESS", "*OCTETS", "*SENT", "*LOST", "*SLOWEST", NULL};
	struct table *t = table_new(ctl, columns);

	for (unsigned int i = 0; i < count; i++) {
		const struct lab_ping_pair *p = &pairs[i];
		char lost[16];

		snprintf(lost, sizeof(lost), "%u", p->sent - p->received);
		table_row(t);
		table_cell(t, p->from);
		table_cell(t, p->to);
		table_cell(t, p->address);
		table_cellf(t, "%u", p->size);
		table_cellf(t, "%u", p->sent);
		table_cell_color(t, lost, p->sent == p->received ? NULL : "red");
		table_cellf(t, "%.0f us", p->rtt_max_us);
	}
	return table_print(t, stdout);
}

static int lab_ping_run(struct ctl *ctl, const struct args *args)
{
	const char *size_texts[8];
	unsigned int sizes[8], count, sent = 0, lost = 0;
	struct lab_ping_options opt = {0};
	struct lab_ping_pair *pairs = NULL;
	struct lab *lab = calloc(1, sizeof(*lab));
	unsigned long number;
	struct lab_err err;
	int exit_code = EXIT_USAGE;

	if (!args_number(args, "count", 1, 1000, 3, &number))
		goto out;
	opt.count = (unsigned int)number;
	if (!args_duration(args, "interval", 100, &number))
		goto out;
	opt.interval_ms = (unsigned int)number;
	if (!args_duration(args, "timeout", 1000, &number))
		goto out;
	opt.timeout_ms = (unsigned int)number;
	opt.size_count = args_values(args, "size", size_texts, 8);
	for (unsigned int i = 0; i < opt.size_count; i++) {
		sizes[i] = (unsigned int)strtoul(size_texts[i], NULL, 10);
		if (sizes[i] < 80 || sizes[i] > 9216) {
			ctl_error("--size: \"%s\" is no number from 80 to 9216", size_texts[i]);
			goto out;
		}
	}
	opt.sizes = opt.size_count ? sizes : NULL;
	if (args->operand_count) {
		opt.workloads = args->operands;
		opt.workload_count = args->operand_count;
	}
	exit_code = lab ? lab_choose(args, lab) : ctl_error("out of memory");
	if (exit_code)
		goto out;
	if (lab_ping(lab, &opt, &pairs, &count, &err)) {
		exit_code = lab_error(&err);
		goto out;
	}
	for (unsigned int i = 0; i < count; i++) {
		sent += pairs[i].sent;
		lost += pairs[i].sent - pairs[i].received;
	}
	if (ctl->format != OUTPUT_TABLE) {
		exit_code = pairs_json(ctl, pairs, count, sent, lost);
	} else {
		exit_code = args_flag(args, "quiet") ? EXIT_OK : pairs_table(ctl, pairs, count);
		printf("%u sent, %u lost\n", sent, lost);
	}
	if (!exit_code && lost)
		exit_code = EXIT_FAILED;
out:
	free(pairs);
	free(lab);
	return exit_code;
}

/* ---- snapshot ----------------------------------------------------------------------------- */

static int lab_snapshot_run(struct ctl *ctl, const struct args *args)
{
	struct lab *lab = calloc(1, sizeof(*lab));
	struct lab_err err;
	int exit_code = lab ? lab_choose(args, lab) : ctl_error("out of memory");

	for (unsigned int i = 0; !exit_code && i < lab->node_count; i++) {
		char *text;

		if (args->operand_count && strcmp(args->operands[0], lab->nodes[i].name))
			continue;
		if (lab_snapshot(lab, i, &text, &err)) {
			exit_code = lab_error(&err);
			break;
		}
		printf("=== %s\n%s", lab->nodes[i].name, text);
		free(text);
	}
	if (!exit_code && args->operand_count && lab_node_find(lab, args->operands[0]) < 0)
		exit_code = ctl_error("lab %s has no node \"%s\"", lab->name, args->operands[0]);
	free(lab);
	return exit_code;
}

/* ---- the table ---------------------------------------------------------------------------- */

static const struct command_option probe_table[] = {
	{.name = "from", .value = "WORKLOAD", .help = "who sends", .completion = COMPLETE_WORKLOAD},
	{.name = "to", .value = "WORKLOAD", .help = "who echoes", .completion = COMPLETE_WORKLOAD},
	{.name = "duration",
		.letter = 'd',
		.value = "TIME",
		.help = "5s, 500ms, 2m; 0: until Ctrl-C or SIGTERM (default: 5s)"},
	{.name = "rate", .value = "NUMBER", .help = "packets a second (default: 1000)"},
	{.name = "size", .value = "OCTETS", .help = "of UDP payload (default: 64)"},
	{.name = "ipv4", .letter = '4', .help = "over IPv4 (default, if both have it)"},
	{.name = "ipv6", .letter = '6', .help = "over IPv6"},
	LAB_OPTION,
	{0},
};
static const struct command_option ping_table[] = {
	{.name = "count", .letter = 'c', .value = "NUMBER", .help = "for each pair (default: 3)"},
	{.name = "interval", .letter = 'i', .value = "TIME", .help = "default: 100ms"},
	{.name = "timeout", .value = "TIME", .help = "for the last answers (default: 1s)"},
	{.name = "size",
		.value = "OCTETS",
		.help = "of the whole IP packet (default: 84 and the MTU)",
		.repeat = true},
	{.name = "quiet", .letter = 'q', .help = "only the sums"},
	LAB_OPTION,
	{0},
};

const struct command lab_measure_commands[] = {
	{.path = "lab ping",
		.operands = "[WORKLOAD...]",
		.operands_max = -1,
		.summary = "Ping between all workloads of each group, IPv4 and IPv6, two sizes",
		.description =
			"With workloads named, between these, whatever their groups. Packets must\n"
			"not be fragmented. Fails when one is lost.",
		.example = "sudo audumsctl lab ping\n"
			   "sudo audumsctl lab ping w1 w2 --count 10 --size 1500",
		.options = ping_table,
		.completion = {COMPLETE_WORKLOAD},
		.run = lab_ping_run},
	{.path = "lab probe",
		.operands = "",
		.summary = "Measure outages between two workloads at 1,000 packets a second",
		.description =
			"UDP round trips. An outage lasts from the first packet lost to the first\n"
			"that came through again. Says on stderr when the first answer has come.",
		.example = "sudo audumsctl lab probe --from w1 --to w2 --duration 10s",
		.options = probe_table,
		.run = lab_probe_run},
	{.path = "lab snapshot",
		.operands = "[NODE]",
		.operands_max = 1,
		.summary = "The state of a node's kernel and FRR as text, to be compared",
		.example = "sudo audumsctl lab snapshot > before\n"
			   "sudo audumsctl lab snapshot | diff before -",
		.options = lab_only_options,
		.completion = {COMPLETE_NODE},
		.run = lab_snapshot_run},
	{0},
};
