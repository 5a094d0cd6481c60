/*
 * audumsctl version and completion.
 */
#include <string.h>

#include "controller/ctl/complete.h"
#include "controller/ctl/ctl.h"
#include "controller/ctl/groups.h"

static int version_run(struct ctl *ctl, const struct args *args)
{
	if (ctl->format == OUTPUT_JSON)
		printf("{\"version\": \"%s\"}\n", AUDUMS_VERSION);
	else if (ctl->format == OUTPUT_YAML)
		printf("version: %s\n", AUDUMS_VERSION);
	else
		printf("audumsctl %s\n", AUDUMS_VERSION);
	return EXIT_OK;
}

static int completion_run(struct ctl *ctl, const struct args *args)
{
	if (strcmp(args->operands[0], "bash")) {
		ctl_error("there is completion for bash only");
		return EXIT_USAGE;
	}
	completion_script(stdout);
	return EXIT_OK;
}

static int complete_run(struct ctl *ctl, const struct args *args)
{
	int count = 0;

	while (args->rest && args->rest[count])
		count++;
	complete(ctl, count, args->rest);
	return EXIT_OK;
}

const struct command misc_commands[] = {
	{.path = "completion",
		.operands = "bash",
		.operands_min = 1,
		.operands_max = 1,
		.summary = "Print a script that completes command lines",
		.example = "source <(audumsctl completion bash)",
		.completion = {COMPLETE_WORDS},
		.words = "bash",
		.run = completion_run},
	{.path = "version",
		.operands = "",
		.summary = "The program's version",
		.example = "audumsctl version",
		.run = version_run},
	{.path = "__complete",
		.operands = "-- WORD...",
		.summary = "Candidates for the shell",
		.example = "audumsctl __complete -- get seg",
		.hidden = true,
		.run = complete_run},
	{0},
};
