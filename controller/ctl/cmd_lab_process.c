/*
 * audumsctl lab: its namespaces and processes.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "controller/ctl/cmd_lab.h"
#include "controller/ctl/groups.h"

static int lab_exec_run(struct ctl *ctl, const struct args *args)
{
	struct lab *lab = calloc(1, sizeof(*lab));
	char netns[LAB_NETNS_LEN];
	struct lab_err err;

	if (!lab)
		return ctl_error("out of memory");
	if (!args->rest || !args->rest[0]) {
		free(lab);
		ctl_error("say what to run after \"--\": audumsctl lab exec %s -- ip address",
			args->operands[0]);
		return EXIT_USAGE;
	}
	if (lab_choose(args, lab)) {
		free(lab);
		return EXIT_FAILED;
	}
	if (!lab_netns_find(lab, args->operands[0], netns, &err)) {
		fflush(stdout);
		lab_exec(netns, args->rest, &err);
	}
	free(lab);
	return lab_error(&err);
}

static int signal_parse(const char *text)
{
	static const struct {
		const char *name;
		int number;
	} names[] = {{"KILL", SIGKILL}, {"TERM", SIGTERM}, {"INT", SIGINT}, {"HUP", SIGHUP},
		{"STOP", SIGSTOP}, {"CONT", SIGCONT}, {"USR1", SIGUSR1}, {"USR2", SIGUSR2},
		{"ABRT", SIGABRT}, {"SEGV", SIGSEGV}, {"QUIT", SIGQUIT}};
	char *end;
	long number;

	if (!strncmp(text, "SIG", 3))
		text += 3;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(names[i].name, text))
			return names[i].number;
	number = strtol(text, &end, 10);
	return *text && !*end && number > 0 && number < NSIG ? (int)number : -1;
}

static int lab_kill_run(struct ctl *ctl, const struct args *args)
{
	const char *text = args_option(args, "signal");
	int number = text ? signal_parse(text) : SIGKILL;
	struct lab *lab = calloc(1, sizeof(*lab));
	struct lab_err err;
	int exit_code = lab ? lab_choose(args, lab) : ctl_error("out of memory");

	if (!exit_code && number < 0)
		exit_code = ctl_error(
			"--signal: \"%s\" is no signal (KILL, TERM, ... or a number)", text);
	for (unsigned int i = 0; !exit_code && i < args->operand_count; i++)
		if (lab_process_kill(lab->name, args->operands[i], number, &err))
			exit_code = lab_error(&err);
	free(lab);
	return exit_code;
}

static int processes_do(const struct args *args,
	int (*fn)(const char *lab, const char *process, struct lab_err *err))
{
	struct lab *lab = calloc(1, sizeof(*lab));
	struct lab_err err;
	int exit_code = lab ? lab_choose(args, lab) : ctl_error("out of memory");

	for (unsigned int i = 0; !exit_code && i < args->operand_count; i++)
		if (fn(lab->name, args->operands[i], &err))
			exit_code = lab_error(&err);
	free(lab);
	return exit_code;
}

static int lab_stop_run(struct ctl *ctl, const struct args *args)
{
	return processes_do(args, lab_process_stop);
}

static int lab_start_run(struct ctl *ctl, const struct args *args)
{
	return processes_do(args, lab_process_start);
}

/* ---- the table ---------------------------------------------------------------------------- */

static const struct command_option kill_options[] = {
	{.name = "signal", .letter = 's', .value = "SIGNAL", .help = "default: KILL"},
	LAB_OPTION,
	{0},
};

const struct command lab_process_commands[] = {
	{.path = "lab exec",
		.operands = "WHERE -- COMMAND...",
		.operands_min = 1,
		.operands_max = 1,
		.summary = "Run a command in a node, a workload or the controller's namespace",
		.description =
			"WHERE is a node, NODE-wire, a workload, \"controller\" or \"backbone\".\n"
			"The exit status is the command's.",
		.example =
			"sudo audumsctl lab exec lvrtc1 -- ip route\n"
			"sudo audumsctl lab exec lvrtc1 -- vtysh -N au-latvia-lvrtc1 -c 'show bgp "
			"summary'",
		.options = lab_only_options,
		.completion = {COMPLETE_NODE},
		.run = lab_exec_run},
	{.path = "lab kill",
		.operands = "PROCESS...",
		.operands_min = 1,
		.operands_max = -1,
		.summary = "Send a signal to a process of a lab; it is started again when it dies",
		.example = "sudo audumsctl lab kill lvrtc1/dataplane\n"
			   "sudo audumsctl lab kill controller --signal TERM",
		.options = kill_options,
		.completion = {COMPLETE_PROCESS},
		.run = lab_kill_run},
	{.path = "lab stop",
		.operands = "PROCESS...",
		.operands_min = 1,
		.operands_max = -1,
		.summary = "End a process of a lab and hold it down",
		.example = "sudo audumsctl lab stop lvrtc1/bgpd",
		.options = lab_only_options,
		.completion = {COMPLETE_PROCESS},
		.run = lab_stop_run},
	{.path = "lab start",
		.operands = "PROCESS...",
		.operands_min = 1,
		.operands_max = -1,
		.summary = "Start a process that was stopped",
		.example = "sudo audumsctl lab start lvrtc1/bgpd",
		.options = lab_only_options,
		.completion = {COMPLETE_PROCESS},
		.run = lab_start_run},
	{0},
};
