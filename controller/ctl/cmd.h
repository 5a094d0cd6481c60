/*
 * The command line as a table: each command is one entry, and the entries alone decide what is
 * parsed, what --help says and what the shell completes.
 *
 * A command's path is one to three words ("apply", "lab up", "lab link down"). Options may stand
 * anywhere after it;
 * "--" ends them. Options that every command takes are in cmd.c.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define CMD_OPTIONS_MAX 24
#define CMD_VALUES_MAX  64 /* of repeatable options, and operands */

/* Exit codes; sysexits.h names the last one. */
enum exit_code {
	EXIT_OK = 0,
	EXIT_FAILED = 1,
	EXIT_DIFFERENT = 2,
	EXIT_USAGE = 64,
};

struct ctl;
struct args;

/* What the shell can complete an operand or an option's value with. */
enum completion {
	COMPLETE_NONE,
	COMPLETE_FILE,
	COMPLETE_KIND,     /* kinds of objects */
	COMPLETE_KIND_REF, /* KIND/NAME */
	COMPLETE_NODE,
	COMPLETE_LINK,
	COMPLETE_LAB,
	COMPLETE_WORKLOAD,
	COMPLETE_PROCESS,
	COMPLETE_ATTACHMENT,
	COMPLETE_FORMAT,
	COMPLETE_WORDS, /* `words` of the entry */
};

struct command_option {
	const char *name;  /* without hyphens */
	char letter;       /* 0 = none */
	const char *value; /* what its value is called; NULL = a flag */
	const char *help;
	bool repeat; /* may be given several times */
	enum completion completion;
	const char *words; /* with blanks between */
};

struct command {
	const char *path;     /* "lab up" */
	const char *operands; /* for the usage line: "TOPOLOGY", "KIND[/NAME]" */
	int operands_min;
	int operands_max; /* -1 = any number */
	const char *summary;
	const char *description;              /* may be NULL */
	const char *example;                  /* required: lines as they are typed */
	const struct command_option *options; /* ends with an entry without name; may be NULL */
	enum completion completion[3];        /* of the operands; the last one repeats */
	const char *words;
	bool hidden;
	int (*run)(struct ctl *ctl, const struct args *args);
};

struct arg_value {
	const struct command_option *option;
	const char *value; /* NULL for a flag */
};

/* A parsed command line; its strings are argv's. */
struct args {
	const struct command *command;
	char group[48]; /* without a command: the group that was named ("lab link"), or "" */
	unsigned int option_count;
	struct arg_value options[CMD_VALUES_MAX];
	unsigned int operand_count;
	const char *operands[CMD_VALUES_MAX];
	char *const *rest; /* what stood after "--", NULL-terminated; NULL when there was none */
};

/* Groups of commands; each file with commands has one array, ended by an entry without path. */
extern const struct command *const command_groups[];

/* The options that every command takes; ended by an entry without name. */
extern const struct command_option common_options[];

/*
 * Parse a command line (argv[0] is the program's name). Returns true, or false after having put
 * one or two sentences about what is wrong into `error`. "--help" is parsed as an option; whoever
 * calls looks for it first, as it excuses missing operands. args->command is NULL for no command at
 * all, or for the name of a group alone.
 */
bool args_parse(struct args *args, int argc, char *const argv[], char *error, size_t size);

/* Whether an option was given; its last value ("" for a flag), or NULL. */
const char *args_option(const struct args *args, const char *name);
bool args_flag(const struct args *args, const char *name);
/* All values of a repeatable option, at most `max`; returns how many. */
unsigned int args_values(
	const struct args *args, const char *name, const char **values, unsigned int max);
/*
 * A number within bounds; `fallback` when the option was not given. Returns false and says so on
 * stderr when it is none.
 */
bool args_number(const struct args *args, const char *name, unsigned long min, unsigned long max,
	unsigned long fallback, unsigned long *out);
/* A duration like 500ms, 30s, 5m (a bare number: seconds), in milliseconds; as args_number(). */
bool args_duration(
	const struct args *args, const char *name, unsigned long fallback, unsigned long *out);
bool duration_parse(const char *text, unsigned long *ms);

/* The command of exactly this path, or NULL. */
const struct command *command_find(const char *path);

/* Help for all commands (command NULL, group NULL), a group ("lab") or one command. */
void help_print(FILE *out, const struct command *command, const char *group);
