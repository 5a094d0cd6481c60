/*
 * Parses command lines by the table and prints its help. No state, no I/O besides the help and the
 * sentences of args_number().
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "controller/ctl/cmd.h"

#define PATH_WORDS_MAX 3

const struct command_option common_options[] = {
	{.name = "context",
		.value = "FILE",
		.help = "how to reach the controller (default: see CONTEXT in audumsctl --help)",
		.completion = COMPLETE_FILE},
	{.name = "output",
		.letter = 'o',
		.value = "FORMAT",
		.help = "table, json or yaml (default: table)",
		.completion = COMPLETE_FORMAT},
	{.name = "no-color", .help = "no colours, even on a terminal"},
	{.name = "help", .letter = 'h', .help = "what this command does, with an example"},
	{0},
};

const struct command *command_find(const char *path)
{
	for (int g = 0; command_groups[g]; g++)
		for (const struct command *c = command_groups[g]; c->path; c++)
			if (!strcmp(c->path, path))
				return c;
	return NULL;
}

/* Whether commands exist whose paths begin with these words and go on. */
static bool group_exists(const char *words)
{
	size_t n = strlen(words);

	for (int g = 0; command_groups[g]; g++)
		for (const struct command *c = command_groups[g]; c->path; c++)
			if (!strncmp(c->path, words, n) && c->path[n] == ' ')
				return true;
	return false;
}

static const struct command_option *option_in(
	const struct command_option *list, const char *name, size_t len, char letter)
{
	for (; list && list->name; list++) {
		if (letter ? list->letter == letter
			   : strlen(list->name) == len && !strncmp(list->name, name, len))
			return list;
	}
	return NULL;
}

static const struct command_option *option_find(
	const struct command *command, const char *name, size_t len, char letter)
{
	const struct command_option *o = NULL;

	if (command)
		o = option_in(command->options, name, len, letter);
	return o ? o : option_in(common_options, name, len, letter);
}

static bool option_take(struct args *args, const struct command_option *o, const char *value,
	char *error, size_t size)
{
	if (args->option_count >= CMD_VALUES_MAX) {
		snprintf(error, size, "too many options");
		return false;
	}
	for (unsigned int i = 0; !o->repeat && i < args->option_count; i++)
		if (args->options[i].option == o && o->value) {
			snprintf(error, size, "option --%s was given twice", o->name);
			return false;
		}
	args->options[args->option_count++] = (struct arg_value){o, value};
	return true;
}

/* "--name", "--name=value", "--name value", "-f value", "-fvalue". Returns words used, 0 = bad. */
static int option_parse(struct args *args, int left, char *const argv[], char *error, size_t size)
{
	const char *word = argv[0], *value = NULL;
	const struct command_option *o;
	const char *where = args->command ? args->command->path : "";
	int used = 1;

	if (word[1] == '-') {
		size_t len = strcspn(word + 2, "=");

		o = option_find(args->command, word + 2, len, 0);
		if (word[2 + len] == '=')
			value = word + 2 + len + 1;
	} else {
		o = option_find(args->command, NULL, 0, word[1]);
		if (word[2])
			value = word + 2;
	}
	if (!o) {
		snprintf(error, size, "unknown option %s (audumsctl %s%s--help lists all)", word,
			where, *where ? " " : "");
		return 0;
	}
	if (!o->value && value) {
		snprintf(error, size, "option --%s takes no value", o->name);
		return 0;
	}
	if (o->value && !value) {
		if (left < 2) {
			snprintf(error, size, "option --%s needs a value: %s", o->name, o->value);
			return 0;
		}
		value = argv[1];
		used = 2;
	}
	return option_take(args, o, value, error, size) ? used : 0;
}

static bool is_option(const char *word)
{
	return word[0] == '-' && word[1];
}

/*
 * Find the command: the most of the leading words that are one's path. `used` is how many of them
 * that took.
 */
static bool command_words(
	struct args *args, const char *const *words, int count, int *used, char *error, size_t size)
{
	char path[PATH_WORDS_MAX * 16];
	int n;

	*used = 0;
	for (n = count; n > 0; n--) {
		size_t len = 0;

		path[0] = '\0';
		for (int i = 0; i < n && len < sizeof(path); i++)
			len += (size_t)snprintf(
				path + len, sizeof(path) - len, "%s%s", i ? " " : "", words[i]);
		if (len >= sizeof(path))
			continue;
		*used = n;
		args->command = command_find(path);
		if (args->command)
			return true;
		if (group_exists(path) && len < sizeof(args->group)) {
			strcpy(args->group, path);
			break;
		}
	}
	if (n == count)
		return true; /* a group, or nothing at all */
	snprintf(error, size, "unknown command \"%s%s%s\" (audumsctl %s%s--help lists all)",
		args->group, n ? " " : "", words[n], args->group, n ? " " : "");
	return false;
}

/* The words before the first option, those common options that stand in front left out. */
static int leading_words(int argc, char *const argv[], const char *words[PATH_WORDS_MAX])
{
	int count = 0;

	for (int i = 1; i < argc && strcmp(argv[i], "--") && count < PATH_WORDS_MAX; i++) {
		const struct command_option *o = NULL;

		if (!is_option(argv[i])) {
			words[count++] = argv[i];
			continue;
		}
		if (count)
			break;
		if (argv[i][1] == '-')
			o = option_in(common_options, argv[i] + 2, strlen(argv[i] + 2), 0);
		else if (!argv[i][2])
			o = option_in(common_options, NULL, 0, argv[i][1]);
		if (o && o->value)
			i++; /* the value is no word of the command's */
	}
	return count;
}

bool args_parse(struct args *args, int argc, char *const argv[], char *error, size_t size)
{
	const char *words[PATH_WORDS_MAX];
	int count, skip, n;

	memset(args, 0, sizeof(*args));
	/* find the command first: options can only be told apart when it is known */
	count = leading_words(argc, argv, words);
	if (!command_words(args, words, count, &skip, error, size))
		return false;

	for (int i = 1; i < argc; i += n) {
		n = 1;
		if (!strcmp(argv[i], "--")) {
			args->rest = &argv[i + 1];
			break;
		}
		if (is_option(argv[i])) {
			n = option_parse(args, argc - i, argv + i, error, size);
			if (!n)
				return false;
		} else if (skip) {
			skip--;
		} else if (args->operand_count < CMD_VALUES_MAX) {
			args->operands[args->operand_count++] = argv[i];
		} else {
			snprintf(error, size, "too many operands");
			return false;
		}
	}
	if (!args->command || args_flag(args, "help"))
		return true;
	if (args->operand_count < (unsigned int)args->command->operands_min) {
		snprintf(error, size, "usage: audumsctl %s %s", args->command->path,
			args->command->operands);
		return false;
	}
	if (args->command->operands_max >= 0 &&
		args->operand_count > (unsigned int)args->command->operands_max) {
		snprintf(error, size, "\"%s\" is one word too many; usage: audumsctl %s%s%s",
			args->operands[args->command->operands_max], args->command->path,
			*args->command->operands ? " " : "", args->command->operands);
		return false;
	}
	return true;
}

/* ---- values ------------------------------------------------------------------------------- */

const char *args_option(const struct args *args, const char *name)
{
	const char *value = NULL;

	for (unsigned int i = 0; i < args->option_count; i++)
		if (!strcmp(args->options[i].option->name, name))
			value = args->options[i].value ? args->options[i].value : "";
	return value;
}

bool args_flag(const struct args *args, const char *name)
{
	return args_option(args, name) != NULL;
}

unsigned int args_values(
	const struct args *args, const char *name, const char **values, unsigned int max)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < args->option_count && n < max; i++)
		if (!strcmp(args->options[i].option->name, name))
			values[n++] = args->options[i].value;
	return n;
}

bool args_number(const struct args *args, const char *name, unsigned long min, unsigned long max,
	unsigned long fallback, unsigned long *out)
{
	const char *text = args_option(args, name);
	char *end;

	*out = fallback;
	if (!text)
		return true;
	errno = 0;
	*out = strtoul(text, &end, 10);
	if (!errno && *text >= '0' && *text <= '9' && !*end && *out >= min && *out <= max)
		return true;
	fprintf(stderr, "audumsctl: --%s: \"%s\" is no number from %lu to %lu\n", name, text, min,
		max);
	return false;
}

bool duration_parse(const char *text, unsigned long *ms)
{
	static const struct {
		const char *unit;
		unsigned long factor;
	} units[] = {{"", 1000}, {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};
	unsigned long number;
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	number = strtoul(text, &end, 10);
	if (errno)
		return false;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (!strcmp(end, units[i].unit) && number <= 86400000 / units[i].factor) {
			*ms = number * units[i].factor;
			return true;
		}
	return false;
}

bool args_duration(
	const struct args *args, const char *name, unsigned long fallback, unsigned long *out)
{
	const char *text = args_option(args, name);

	*out = fallback;
	if (!text || duration_parse(text, out))
		return true;
	fprintf(stderr,
		"audumsctl: --%s: \"%s\" is no duration like 500ms, 30s or 5m (at most "
		"24h)\n",
		name, text);
	return false;
}

/* ---- help --------------------------------------------------------------------------------- */

static void help_options(FILE *out, const struct command_option *o)
{
	for (; o && o->name; o++) {
		char left[64];

		snprintf(left, sizeof(left), "%s%c%s--%s%s%s", o->letter ? "-" : " ",
			o->letter ? o->letter : ' ', o->letter ? ", " : "  ", o->name,
			o->value ? " " : "", o->value ? o->value : "");
		fprintf(out, "  %-26s %s%s\n", left, o->help,
			o->repeat ? " (may be given several times)" : "");
	}
}

/* A text of several lines, indented. */
static void help_indent(FILE *out, const char *text)
{
	while (*text) {
		size_t n = strcspn(text, "\n");

		fprintf(out, "  %.*s\n", (int)n, text);
		text += n + (text[n] == '\n');
	}
}

static void help_command(FILE *out, const struct command *c)
{
	fprintf(out, "%s\n\nUsage:\n  audumsctl %s%s%s%s\n", c->summary, c->path,
		*c->operands ? " " : "", c->operands, c->options ? " [options]" : "");
	if (c->description) {
		fputs("\n", out);
		fprintf(out, "%s\n", c->description);
	}
	if (c->options) {
		fputs("\nOptions:\n", out);
		help_options(out, c->options);
	}
	fputs("\nOptions of all commands:\n", out);
	help_options(out, common_options);
	fputs("\nExample:\n", out);
	help_indent(out, c->example);
}

static void help_list(FILE *out, const char *group)
{
	size_t n = group ? strlen(group) : 0;

	for (int g = 0; command_groups[g]; g++) {
		bool any = false;

		for (const struct command *c = command_groups[g]; c->path; c++) {
			if (c->hidden ||
				(group && (strncmp(c->path, group, n) || c->path[n] != ' ')))
				continue;
			fprintf(out, "  %-22s %s\n", c->path, c->summary);
			any = true;
		}
		if (any)
			fputc('\n', out);
	}
}

void help_print(FILE *out, const struct command *command, const char *group)
{
	if (command) {
		help_command(out, command);
		return;
	}
	if (group) {
		fprintf(out, "Usage:\n  audumsctl %s COMMAND\n\nCommands:\n", group);
		help_list(out, group);
		fprintf(out, "audumsctl %s COMMAND --help explains one, with an example.\n", group);
		return;
	}
	fputs("audumsctl: declare, inspect and try out an Audums fabric.\n\n"
	      "Usage:\n  audumsctl COMMAND [options]\n\nCommands:\n",
		out);
	help_list(out, NULL);
	fputs("Options of all commands:\n", out);
	help_options(out, common_options);
	fputs("\nCONTEXT: which controller is asked, the first of\n"
	      "  --context FILE, the file named by AUDUMS_CONTEXT, the one lab that is up,\n"
	      "  ~/.config/audums/context.yaml, /etc/audums/context.yaml\n"
	      "A context file has the lines endpoint, ca, cert, key and, when the certificate has\n"
	      "another name than the endpoint, server_name.\n"
	      "\nExit status:\n"
	      "  0   done\n"
	      "  1   failed; stderr says what and what to do\n"
	      "  2   there are differences (diff)\n"
	      "  64  the command line is wrong\n"
	      "\nExample:\n"
	      "  sudo audumsctl lab up topology/latvia.yaml\n"
	      "  audumsctl apply -f topology/demo-tenant.yaml\n"
	      "  audumsctl get segments\n"
	      "\naudumsctl COMMAND --help explains one command, with an example.\n",
		out);
}
