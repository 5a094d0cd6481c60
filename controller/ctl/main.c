/*
 * audumsctl: the command line of Audums.
 */
#include <langinfo.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "controller/ctl/client.h"
#include "controller/ctl/groups.h"

static bool format_parse(const char *text, enum output_format *format)
{
	static const char *const names[] = {"table", "json", "yaml"};

	for (int i = 0; text && i < 3; i++)
		if (!strcmp(names[i], text)) {
			*format = (enum output_format)i;
			return true;
		}
	return !text;
}

int main(int argc, char *argv[])
{
	const char *no_color = getenv("NO_COLOR");
	struct args args;
	struct ctl ctl = {0};
	char error[512];
	int exit_code;

	/* display names are UTF-8, also where no locale is set */
	setlocale(LC_CTYPE, "");
	if (strcmp(nl_langinfo(CODESET), "UTF-8"))
		setlocale(LC_CTYPE, "C.UTF-8");
	if (!args_parse(&args, argc, argv, error, sizeof(error))) {
		ctl_error("%s", error);
		return EXIT_USAGE;
	}
	if (args_flag(&args, "help") || !args.command) {
		bool asked = args_flag(&args, "help") || argc == 1;

		help_print(asked ? stdout : stderr, args.command, *args.group ? args.group : NULL);
		return asked ? EXIT_OK : EXIT_USAGE;
	}
	if (!format_parse(args_option(&args, "output"), &ctl.format)) {
		ctl_error("--output: \"%s\" is none of table, json, yaml",
			args_option(&args, "output"));
		return EXIT_USAGE;
	}
	ctl.context = args_option(&args, "context");
	ctl.color = isatty(1) && !(no_color && *no_color) && !args_flag(&args, "no-color");
	exit_code = args.command->run(&ctl, &args);
	client_close(&ctl);
	if (fflush(stdout) && exit_code == EXIT_OK)
		exit_code = ctl_error("cannot write the output");
	return exit_code;
}
