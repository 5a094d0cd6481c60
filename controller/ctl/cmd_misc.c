/*
 * audumsctl version and completion.
 */
#include <stdlib.h>
#include <string.h>

#include "controller/ctl/ctl.h"
#include "controller/ctl/groups.h"

static int version_run(struct ctl *ctl, const struct args *args)
{
	if (ctl->format == OUTPUT_TABLE)
		printf("audumsctl %s\n", AUDUMS_VERSION);
	else
		printf("{\"version\": \"%s\"}\n", AUDUMS_VERSION);
	return EXIT_OK;
}

const struct command misc_commands[] = {
	{.path = "version",
		.operands = "",
		.summary = "The program's version",
		.example = "audumsctl version",
		.run = version_run},
	{0},
};
