/*
 * The command line's parser, on a table of its own: what is a command, an option, an operand, and
 * what is refused in which words.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "controller/ctl/cmd.h"

static int run_nothing(struct ctl *ctl, const struct args *args)
{
	return 0;
}

static const struct command_option options[] = {
	{.name = "file", .letter = 'f', .value = "FILE", .help = "a file", .repeat = true},
	{.name = "size", .value = "N", .help = "a number"},
	{.name = "wait", .letter = 'w', .help = "a flag"},
	{0},
};

static const struct command commands[] = {
	{.path = "apply", .operands = "", .example = "x", .options = options, .run = run_nothing},
	{.path = "get",
		.operands = "KIND...",
		.operands_min = 1,
		.operands_max = -1,
		.example = "x",
		.run = run_nothing},
	{.path = "lab up",
		.operands = "FILE",
		.operands_min = 1,
		.operands_max = 1,
		.example = "x",
		.run = run_nothing},
	{.path = "lab link down",
		.operands = "LINK",
		.operands_min = 1,
		.operands_max = 1,
		.example = "x",
		.run = run_nothing},
	{.path = "lab exec",
		.operands = "WHERE",
		.operands_min = 1,
		.operands_max = 1,
		.example = "x",
		.run = run_nothing},
	{0},
};

const struct command *const command_groups[] = {commands, NULL};

static char error[512];

/* Parse a line given as words; fails the test unless parsing ends as expected. */
static void parse(struct args *args, bool good, const char *const *words)
{
	static char *argv[CMD_VALUES_MAX + 16];
	int n = 0;

	argv[n++] = (char *)"audumsctl";
	while (*words)
		argv[n++] = (char *)*words++;
	argv[n] = NULL;
	error[0] = '\0';
	if (args_parse(args, n, argv, error, sizeof(error)) != good)
		fail_msg("parsed %s: %s", good ? "badly" : "well", error);
}

#define PARSE(args, good, ...) parse(args, good, (const char *const[]){__VA_ARGS__, NULL})

static void test_paths(void **state)
{
	struct args args;

	PARSE(&args, true, "lab", "up", "x.yaml");
	assert_string_equal(args.command->path, "lab up");
	assert_int_equal(args.operand_count, 1);
	assert_string_equal(args.operands[0], "x.yaml");
	PARSE(&args, true, "lab", "link", "down", "l1");
	assert_string_equal(args.command->path, "lab link down");
	assert_string_equal(args.operands[0], "l1");
	PARSE(&args, true, "lab", "link");
	assert_null(args.command);
	assert_string_equal(args.group, "lab link");
	PARSE(&args, true, "lab", "--help");
	assert_string_equal(args.group, "lab");
	assert_true(args_flag(&args, "help"));
}

static void test_unknown(void **state)
{
	struct args args;

	PARSE(&args, false, "nothing");
	assert_non_null(strstr(error, "unknown command \"nothing\""));
	PARSE(&args, false, "lab", "nothing");
	assert_non_null(strstr(error, "unknown command \"lab nothing\""));
	PARSE(&args, false, "lab", "link", "nothing");
	assert_non_null(strstr(error, "unknown command \"lab link nothing\""));
	PARSE(&args, false, "apply", "--nothing");
	assert_non_null(strstr(error, "unknown option --nothing"));
	PARSE(&args, false, "apply", "-x");
	PARSE(&args, false, "apply", "word");
	assert_non_null(strstr(error, "one word too many"));
	PARSE(&args, false, "get");
	assert_non_null(strstr(error, "usage:"));
}

static void test_options(void **state)
{
	const char *values[4];
	struct args args;

	PARSE(&args, true, "apply", "-f", "a", "--file", "b", "--file=c", "-fd");
	assert_int_equal(args_values(&args, "file", values, 4), 4);
	assert_string_equal(values[0], "a");
	assert_string_equal(values[1], "b");
	assert_string_equal(values[2], "c");
	assert_string_equal(values[3], "d");
	PARSE(&args, true, "apply", "-f", "-");
	assert_string_equal(args_option(&args, "file"), "-");
	PARSE(&args, true, "-o", "json", "apply", "--wait");
	assert_string_equal(args.command->path, "apply");
	assert_string_equal(args_option(&args, "output"), "json");
	assert_true(args_flag(&args, "wait"));
	assert_null(args_option(&args, "size"));
	PARSE(&args, true, "--output=json", "get", "all");
	assert_string_equal(args.operands[0], "all");
	PARSE(&args, false, "apply", "--size");
	assert_non_null(strstr(error, "needs a value"));
	PARSE(&args, false, "apply", "--wait=yes");
	assert_non_null(strstr(error, "takes no value"));
	PARSE(&args, false, "apply", "--size", "1", "--size", "2");
	assert_non_null(strstr(error, "twice"));
}

static void test_operands_mixed(void **state)
{
	struct args args;

	PARSE(&args, true, "get", "a", "-o", "yaml", "b");
	assert_int_equal(args.operand_count, 2);
	assert_string_equal(args.operands[1], "b");
	/* help excuses what is missing */
	PARSE(&args, true, "get", "--help");
	assert_string_equal(args.command->path, "get");
}

static void test_rest(void **state)
{
	struct args args;

	PARSE(&args, true, "lab", "exec", "node", "--", "ls", "--help", "-o");
	assert_int_equal(args.operand_count, 1);
	assert_string_equal(args.rest[0], "ls");
	assert_string_equal(args.rest[2], "-o");
	assert_null(args.rest[3]);
	assert_false(args_flag(&args, "help"));
	PARSE(&args, true, "lab", "exec", "node");
	assert_null(args.rest);
}

static void test_bounds(void **state)
{
	const char *words[CMD_VALUES_MAX + 8];
	struct args args;
	int n = 0;

	words[n++] = "get";
	while (n < CMD_VALUES_MAX + 2)
		words[n++] = "x";
	words[n] = NULL;
	parse(&args, false, words);
	assert_non_null(strstr(error, "too many operands"));
}

static void test_durations(void **state)
{
	unsigned long ms;

	assert_true(duration_parse("500ms", &ms));
	assert_int_equal(ms, 500);
	assert_true(duration_parse("30s", &ms));
	assert_int_equal(ms, 30000);
	assert_true(duration_parse("5m", &ms));
	assert_int_equal(ms, 300000);
	assert_true(duration_parse("24h", &ms));
	assert_true(duration_parse("7", &ms));
	assert_int_equal(ms, 7000);
	assert_false(duration_parse("25h", &ms));
	assert_false(duration_parse("", &ms));
	assert_false(duration_parse("-1s", &ms));
	assert_false(duration_parse("1 s", &ms));
	assert_false(duration_parse("1x", &ms));
	assert_false(duration_parse("99999999999999999999s", &ms));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_operands_mixed),
		cmocka_unit_test(test_rest),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_durations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
