/*
 * What audumsctl shows and reads: its real table of commands, tables, object names, contexts, the
 * places of problems.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "controller/ctl/client.h"
#include "controller/ctl/cmd.h"
#include "controller/ctl/intent.h"
#include "proto/lib/problems.h"
#include "topology/load.h"

/* ---- the table of commands ---------------------------------------------------------------- */

static void test_commands_complete(void **state)
{
	for (int g = 0; command_groups[g]; g++)
		for (const struct command *c = command_groups[g]; c->path; c++) {
			assert_non_null(c->run);
			assert_non_null(c->summary);
			assert_non_null(c->operands);
			assert_non_null(c->example);
			assert_true(c->hidden || strstr(c->example, "audumsctl"));
			assert_ptr_equal(command_find(c->path), c);
			for (const struct command_option *o = c->options; o && o->name; o++) {
				assert_non_null(o->help);
				/* none may hide one that every command takes */
				for (const struct command_option *k = common_options; k->name;
					k++) {
					assert_string_not_equal(k->name, o->name);
					assert_true(!o->letter || o->letter != k->letter);
				}
				for (const struct command_option *k = o + 1; k->name; k++) {
					assert_string_not_equal(k->name, o->name);
					assert_true(!o->letter || o->letter != k->letter);
				}
			}
		}
}

static void test_help(void **state)
{
	char *text;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	for (int g = 0; command_groups[g]; g++)
		for (const struct command *c = command_groups[g]; c->path; c++)
			help_print(f, c, NULL);
	help_print(f, NULL, NULL);
	help_print(f, NULL, "lab");
	fclose(f);
	assert_non_null(strstr(text, "Exit status:"));
	assert_non_null(strstr(text, "lab workload move"));
	assert_non_null(strstr(text, "Example:"));
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
		if (strlen(line) > 110)
			fail_msg("a line of the help is too long: %s", line);
	free(text);
}

/* ---- output ------------------------------------------------------------------------------- */

static char *print(struct table *t)
{
	char *text;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	assert_int_equal(table_print(t, f), EXIT_OK);
	fclose(f);
	return text;
}

static void test_table(void **state)
{
	static const char *const columns[] = {"NAME", "*COUNT", "STATE", NULL};
	struct ctl ctl = {0};
	struct table *t = table_new(&ctl, columns);
	char *text;

	table_row(t);
	table_cell(t, "one");
	table_cellf(t, "%d", 7);
	table_cell_color(t, "ready", "green");
	table_row(t);
	table_cell(t, "longer-name");
	table_cellf(t, "%d", 1234567);
	table_cell(t, "");
	text = print(t);
	assert_string_equal(text, "NAME          COUNT STATE\n"
				  "one               7 ready\n"
				  "longer-name 1234567 -\n");
	free(text);
}

static void test_table_empty(void **state)
{
	static const char *const columns[] = {"NAME", NULL};
	struct ctl ctl = {0};
	char *text = print(table_new(&ctl, columns));

	assert_true(!*text || !strcmp(text, "NAME\n"));
	free(text);
}

static void test_colors(void **state)
{
	assert_string_equal(state_color("ready"), "green");
	assert_string_equal(state_color("down"), "red");
	assert_string_equal(state_color("pending"), "yellow");
	assert_null(state_color("whatever"));
	assert_null(state_color(NULL));
}

/* ---- names of objects --------------------------------------------------------------------- */

static void test_object_words(void **state)
{
	const char *pair[] = {"segment/registri", "att/a1"};
	const char *names[] = {"seg", "one", "two"};
	const char *two[] = {"links", "nodes"};
	const char *kinds[] = {"nodes"}, *all[] = {"all"}, *empty[] = {"segment/"},
		   *bad[] = {"foo"};
	struct object_word words[16];

	assert_int_equal(object_words(pair, 2, words, 16), 2);
	assert_int_equal(words[0].kind, AUDUMS__V1__KIND__KIND_SEGMENT);
	assert_string_equal(words[0].name, "registri");
	assert_int_equal(words[1].kind, AUDUMS__V1__KIND__KIND_ATTACHMENT);
	assert_int_equal(object_words(names, 3, words, 16), 2);
	assert_string_equal(words[0].name, "one");
	assert_string_equal(words[1].name, "two");
	assert_int_equal(words[1].kind, AUDUMS__V1__KIND__KIND_SEGMENT);
	assert_int_equal(object_words(kinds, 1, words, 16), 1);
	assert_null(words[0].name);
	assert_int_equal(object_words(two, 2, words, 16), 2);
	assert_int_equal(words[1].kind, AUDUMS__V1__KIND__KIND_NODE);
	assert_null(words[1].name);
	assert_int_equal(object_words(all, 1, words, 16), KIND_LAST);
	assert_int_equal(object_words(empty, 1, words, 16), -1);
	assert_int_equal(object_words(bad, 1, words, 16), -1);
}

/* ---- contexts ----------------------------------------------------------------------------- */

static void test_context(void **state)
{
	struct context c;
	char error[512];

	assert_true(context_parse("/etc/audums/context.yaml",
		"# comment\n"
		"endpoint: unix:/run/x.sock   # here\n"
		"ca: ca.pem\n"
		"cert: \"/abs/cert.pem\"\n"
		"key: 'my key.pem'\n"
		"\n"
		"server_name: controller.example",
		&c, error, sizeof(error)));
	assert_string_equal(c.endpoint, "unix:/run/x.sock");
	assert_string_equal(c.ca, "/etc/audums/ca.pem");
	assert_string_equal(c.cert, "/abs/cert.pem");
	assert_string_equal(c.key, "/etc/audums/my key.pem");
	assert_string_equal(c.server_name, "controller.example");
}

static void test_context_bad(void **state)
{
	char error[512], *longer = malloc(600);
	struct context c;

	assert_false(context_parse("c", "endpoint: a\ncolour: red\n", &c, error, sizeof(error)));
	assert_non_null(strstr(error, "c:2: unknown key \"colour\""));
	assert_false(context_parse("c", "endpoint\n", &c, error, sizeof(error)));
	assert_non_null(strstr(error, "c:1: expected"));
	assert_false(context_parse("c", "endpoint: a\nca: b\ncert: c\n", &c, error, sizeof(error)));
	assert_non_null(strstr(error, "key is missing"));
	memset(longer, 'x', 599);
	memcpy(longer, "ca: ", 4);
	longer[599] = '\0';
	assert_false(context_parse("c", longer, &c, error, sizeof(error)));
	assert_non_null(strstr(error, "longer than 255"));
	free(longer);
}

/* ---- where problems are ------------------------------------------------------------------- */

static void test_problem_places(void **state)
{
	static const char text[] = "tenants:\n"
				   "- name: one\n"
				   "  provider: p\n"
				   "segments:\n"
				   "- name: a\n"
				   "  provider: p\n"
				   "  tenant: one\n"
				   "  sites: [x, y]\n"
				   "- name: b\n"
				   "  provider: p\n"
				   "  tenant: nobody\n"
				   "  sites: [x, y]\n";
	struct topology topology = {0};
	struct problems problems;
	char *out;
	size_t size;
	FILE *f;

	problems_init(&problems);
	assert_int_equal(
		topology_load_text("in.yaml", text, strlen(text), 0, &topology, &problems), 0);
	/* what a controller would say, which knows paths only */
	problems_add(&problems, "segments[1].tenant", "there is no tenant \"nobody\"");
	problems_add(&problems, "segments[0].sites[1]", "there is no site \"y\"");
	problems_add(&problems, "segments[0].vni", "the pool is empty");
	problems_locate(&problems, topology.locations);
	problems_sort(&problems);
	f = open_memstream(&out, &size);
	problems_print(&problems, f);
	fclose(f);
	assert_non_null(strstr(out, "in.yaml:11:11: segments[1].tenant: there is no tenant"));
	assert_non_null(strstr(out, "in.yaml:8:14: segments[0].sites[1]"));
	/* a field that is not there stands where its object does */
	assert_non_null(strstr(out, "in.yaml:5:3: segments[0].vni"));
	free(out);
	problems_free(&problems);
	topology_free(&topology);
}

/* What comes from nodes and other clients does not speak to the terminal. */
static void test_clean(void **state)
{
	Audums__V1__Document document = AUDUMS__V1__DOCUMENT__INIT;
	Audums__V1__Node node = AUDUMS__V1__NODE__INIT, *nodes[] = {&node};
	Audums__V1__NodeStatus status = AUDUMS__V1__NODE_STATUS__INIT;
	Audums__V1__AgentEvent event = AUDUMS__V1__AGENT_EVENT__INIT, *events[] = {&event};
	char name[] = "R\xc4\xabga", kind[] = "\033]0;x\007",
	     text[] = "a\n\tb\r\xc2\x9b"
		      "31m\xff";

	document.nodes = nodes;
	document.n_nodes = 1;
	node.display_name = name;
	node.status = &status;
	status.events = events;
	status.n_events = 1;
	event.kind = kind;
	event.message = text;
	message_clean(&document.base);
	assert_string_equal(name, "R\xc4\xabga");
	assert_string_equal(kind, "?]0;x?");
	assert_string_equal(text, "a\n\tb???31m?");
	assert_string_equal(event.object, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_commands_complete),
		cmocka_unit_test(test_help),
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_table_empty),
		cmocka_unit_test(test_colors),
		cmocka_unit_test(test_object_words),
		cmocka_unit_test(test_context),
		cmocka_unit_test(test_context_bad),
		cmocka_unit_test(test_problem_places),
		cmocka_unit_test(test_clean),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
