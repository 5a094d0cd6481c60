/*
 * audumsctl lab: up, down, status.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "controller/ctl/client.h"
#include "controller/ctl/cmd_lab.h"
#include "topology/load.h"

/* ---- which lab ---------------------------------------------------------------------------- */

int lab_error(const struct lab_err *err)
{
	return ctl_error("%s", err->text);
}

/* The lab whose context AUDUMS_CONTEXT names, if it is a lab's. */
static bool lab_of_context(char name[LAB_NAME_LEN])
{
	const char *context = getenv("AUDUMS_CONTEXT");
	size_t root = strlen(LAB_RUN_ROOT "/"), n;

	if (!context || strncmp(context, LAB_RUN_ROOT "/", root))
		return false;
	n = strcspn(context + root, "/");
	if (!n || n >= LAB_NAME_LEN)
		return false;
	memcpy(name, context + root, n);
	name[n] = '\0';
	return true;
}

const char *lab_context(const struct ctl *ctl, const struct lab *lab, char path[LAB_PATH_LEN])
{
	const char *given = getenv("AUDUMS_CONTEXT");

	if (ctl->context || (given && *given))
		return ctl->context;
	lab_run_path(lab->name, "context.yaml", path);
	return path;
}

/*
 * The name that was asked for, or that of AUDUMS_CONTEXT, or the only lab that is up, or the only
 * one that has left anything. Returns EXIT_OK with `name` "" when there is none.
 */
static int lab_choose_name(const char *asked, char name[LAB_NAME_LEN])
{
	char labs[16][LAB_NAME_LEN];
	unsigned int count, up = 0;

	name[0] = '\0';
	if (asked) {
		if (snprintf(name, LAB_NAME_LEN, "%s", asked) >= LAB_NAME_LEN)
			return ctl_error("\"%s\" cannot be a lab's name", asked);
		return EXIT_OK;
	}
	if (lab_of_context(name))
		return EXIT_OK;
	count = lab_list(labs, 16);
	for (unsigned int i = 0; i < count; i++) {
		char path[LAB_PATH_LEN];

		lab_run_path(labs[i], "lab.json", path);
		if (!access(path, F_OK)) {
			up++;
			strcpy(name, labs[i]);
		}
	}
	if (up == 1)
		return EXIT_OK;
	name[0] = '\0';
	if (count > 1)
		return ctl_error("%u labs are up (%s, %s%s): say which one with --lab NAME", count,
			labs[0], labs[1], count > 2 ? ", ..." : "");
	if (count)
		strcpy(name, labs[0]);
	return EXIT_OK;
}

int lab_choose(const struct args *args, struct lab *lab)
{
	char name[LAB_NAME_LEN];
	struct lab_err err;

	if (lab_choose_name(args_option(args, "lab"), name))
		return EXIT_FAILED;
	if (!*name)
		return ctl_error("no lab is up (audumsctl lab up TOPOLOGY brings one up)");
	return lab_open(lab, name, &err) ? lab_error(&err) : EXIT_OK;
}

/* ---- up ----------------------------------------------------------------------------------- */

static bool without_parse(const char *text, unsigned int *parts)
{
	static const struct {
		const char *word;
		unsigned int part;
	} words[] = {
		{"frr", LAB_PART_FRR},
		{"holder", LAB_PART_HOLDER},
		{"agent", LAB_PART_AGENT},
		{"controller", LAB_PART_CONTROLLER},
	};

	while (*text) {
		size_t n = strcspn(text, ","), i;

		for (i = 0; i < sizeof(words) / sizeof(words[0]); i++)
			if (strlen(words[i].word) == n && !strncmp(words[i].word, text, n)) {
				*parts &= ~words[i].part;
				break;
			}
		if (i == sizeof(words) / sizeof(words[0])) {
			ctl_error("--without: \"%.*s\" is none of frr, holder, agent, controller",
				(int)n, text);
			return false;
		}
		text += n + (text[n] == ',');
	}
	return true;
}

/* The controller learns the topology, so that tenants can be declared. */
static int topology_apply(struct ctl *ctl, const struct lab *lab, const struct topology *topology)
{
	Audums__V1__ApplyRequest request = AUDUMS__V1__APPLY_REQUEST__INIT;
	char path[LAB_PATH_LEN];
	ProtobufCMessage *response;
	int exit_code;

	lab_run_path(lab->name, "context.yaml", path);
	ctl->context = path;
	request.document = topology->document;
	request.comment = (char *)"topology of the lab";
	exit_code = client_call(ctl, "Apply", &request.base,
		&audums__v1__apply_response__descriptor, 0, topology->locations, &response);
	if (response)
		protobuf_c_message_free_unpacked(response, NULL);
	client_close(ctl);
	ctl->context = NULL;
	return exit_code;
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static int up_loaded(struct ctl *ctl, const struct args *args, const struct topology *topology)
{
	const char *without = args_option(args, "without"), *asked = args_option(args, "name");
	FILE *progress = ctl->format == OUTPUT_TABLE ? stdout : stderr;
	uint64_t start = now_ms();
	char name[LAB_NAME_LEN];
	struct lab_err err;
	struct lab *lab = calloc(1, sizeof(*lab));
	int exit_code = EXIT_OK;

	if (!lab)
		return ctl_error("out of memory");
	lab_name_from_path(args->operands[0], name);
	if (lab_plan(lab, asked ? asked : name, topology->document, &err) ||
		(without && !without_parse(without, &lab->parts))) {
		exit_code = without && lab->node_count ? EXIT_FAILED : lab_error(&err);
		goto out;
	}
	if (lab_up(lab, progress, &err)) {
		exit_code = lab_error(&err);
		goto out;
	}
	if (lab->parts & LAB_PART_CONTROLLER && !args_flag(args, "no-apply")) {
		fprintf(progress, "applying the topology\n");
		exit_code = topology_apply(ctl, lab, topology);
	}
	if (exit_code) {
		ctl_error("lab %s is up all the same (audumsctl lab down %s removes it)", lab->name,
			lab->name);
		goto out;
	}
	if (ctl->format == OUTPUT_TABLE)
		printf("lab %s is up after %.1f s\n"
		       "  audumsctl lab status              what runs\n"
		       "  audumsctl lab exec NODE -- CMD    inside a node\n"
		       "  audumsctl lab down                removes every trace\n",
			lab->name, (double)(now_ms() - start) / 1e3);
	else
		printf("{\"lab\": \"%s\", \"nodes\": %u, \"links\": %u, \"ms\": %llu}\n", lab->name,
			lab->node_count, lab->link_count, (unsigned long long)(now_ms() - start));
out:
	free(lab);
	return exit_code;
}

static int lab_up_run(struct ctl *ctl, const struct args *args)
{
	struct topology topology = {0};
	struct problems problems;
	int exit_code;

	problems_init(&problems);
	if (topology_load(args->operands, 1, TOPOLOGY_STANDALONE, &topology, &problems)) {
		problems_print(&problems, stderr);
		exit_code = ctl_error(
			"%s cannot be brought up; nothing was created", args->operands[0]);
	} else {
		exit_code = up_loaded(ctl, args, &topology);
	}
	topology_free(&topology);
	problems_free(&problems);
	return exit_code;
}

/* ---- down --------------------------------------------------------------------------------- */

static int lab_down_run(struct ctl *ctl, const struct args *args)
{
	char labs[16][LAB_NAME_LEN], name[LAB_NAME_LEN];
	unsigned int count = 1;
	struct lab_err err;
	int exit_code = EXIT_OK;

	if (args_flag(args, "all")) {
		count = lab_list(labs, 16);
	} else {
		const char *asked =
			args->operand_count ? args->operands[0] : args_option(args, "lab");

		if (lab_choose_name(asked, name))
			return EXIT_FAILED;
		strcpy(labs[0], name);
		count = *name != '\0';
	}
	if (!count && ctl->format == OUTPUT_TABLE)
		printf("no lab is up\n");
	for (unsigned int i = 0; i < count; i++) {
		if (lab_down(labs[i], &err))
			exit_code = lab_error(&err);
		else if (ctl->format == OUTPUT_TABLE)
			printf("lab %s is down\n", labs[i]);
	}
	return exit_code;
}

/* ---- status ------------------------------------------------------------------------------- */

struct lab_state {
	const struct lab *lab;
	struct lab_process *processes;
	unsigned int process_count;
	struct lab_workload *workloads;
	unsigned int workload_count;
	enum lab_link_state links[LAB_LINKS_MAX];
};

static json_t *workload_json(const struct lab_workload *w)
{
	json_t *addresses = json_array();

	for (unsigned int i = 0; i < w->address_count; i++)
		json_array_append_new(addresses, json_string(w->addresses[i]));
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:i, s:o}", "name", w->name, "node", w->node,
		"port", w->port, "group", w->group, "mac", w->mac, "mtu", (int)w->mtu, "addresses",
		addresses);
}

json_t *workloads_json(const struct lab_workload *list, unsigned int count)
{
	json_t *array = json_array();

	for (unsigned int i = 0; i < count; i++)
		json_array_append_new(array, workload_json(&list[i]));
	return array;
}

static int status_json(const struct ctl *ctl, const struct lab_state *s)
{
	json_t *processes = json_array(), *links = json_array(), *nodes = json_array();

	for (unsigned int i = 0; i < s->process_count; i++) {
		const struct lab_process *p = &s->processes[i];

		json_array_append_new(processes,
			json_pack("{s:s, s:i, s:s, s:i, s:I, s:I, s:I, s:s}", "name", p->name,
				"pid", (int)p->pid, "state", p->state, "restarts", (int)p->restarts,
				"uptime_ms", (json_int_t)p->uptime_ms, "rss_kb",
				(json_int_t)p->rss_kb, "cpu_ms", (json_int_t)p->cpu_ms, "last_exit",
				p->last_exit));
	}
	for (unsigned int i = 0; i < s->lab->link_count; i++) {
		const struct lab_link *l = &s->lab->links[i];

		json_array_append_new(
			links, json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:i}", "name", l->name,
				       "state", lab_link_state_name(s->links[i]), "a_node",
				       s->lab->nodes[l->end[0].node].name, "a_port", l->end[0].port,
				       "b_node", s->lab->nodes[l->end[1].node].name, "b_port",
				       l->end[1].port, "mtu", (int)l->mtu));
	}
	for (unsigned int i = 0; i < s->lab->node_count; i++)
		json_array_append_new(nodes, json_string(s->lab->nodes[i].name));
	return json_print(ctl, json_pack("{s:s, s:o, s:o, s:o, s:o}", "lab", s->lab->name, "nodes",
				       nodes, "processes", processes, "links", links, "workloads",
				       workloads_json(s->workloads, s->workload_count)));
}

int json_print(const struct ctl *ctl, json_t *root)
{
	/* JSON is YAML too, and what a lab says is no object of the schema */
	if (!root || json_dumpf(root, stdout, JSON_INDENT(2))) {
		json_decref(root);
		return ctl_error("cannot print: out of memory");
	}
	json_decref(root);
	fputc('\n', stdout);
	return EXIT_OK;
}

int workloads_table(const struct ctl *ctl, const struct lab_workload *list, unsigned int count)
{
	static const char *const columns[] = {
		"WORKLOAD", "NODE", "PORT", "GROUP", "MAC", "ADDRESSES", NULL};
	struct table *t = table_new(ctl, columns);

	for (unsigned int i = 0; i < count; i++) {
		char text[LAB_ADDRESSES_MAX * 66] = "";

		for (unsigned int k = 0; k < list[i].address_count; k++) {
			if (k)
				strcat(text, " ");
			strcat(text, list[i].addresses[k]);
		}
		table_row(t);
		table_cell(t, list[i].name);
		table_cell(t, list[i].node);
		table_cell(t, list[i].port);
		table_cell(t, list[i].group);
		table_cell(t, list[i].mac);
		table_cell(t, text);
	}
	return table_print(t, stdout);
}

static int processes_table(const struct ctl *ctl, const struct lab_state *s)
{
	static const char *const columns[] = {"PROCESS", "STATE", "*PID", "*UPTIME", "*RESTARTS",
		"*MEMORY", "*CPU", "LAST END", NULL};
	struct table *t = table_new(ctl, columns);

	for (unsigned int i = 0; i < s->process_count; i++) {
		const struct lab_process *p = &s->processes[i];

		table_row(t);
		table_cell(t, p->name);
		table_cell_color(t, p->state, state_color(p->state));
		if (p->pid)
			table_cellf(t, "%d", (int)p->pid);
		else
			table_cell(t, NULL);
		table_cellf(t, "%.1f s", (double)p->uptime_ms / 1e3);
		table_cellf(t, "%u", p->restarts);
		table_cellf(t, "%.1f MB", (double)p->rss_kb / 1024);
		table_cellf(t, "%.2f s", (double)p->cpu_ms / 1e3);
		table_cell(t, p->last_exit);
	}
	return table_print(t, stdout);
}

static int links_table(const struct ctl *ctl, const struct lab_state *s)
{
	static const char *const columns[] = {"LINK", "STATE", "A", "B", "*MTU", NULL};
	struct table *t = table_new(ctl, columns);

	for (unsigned int i = 0; i < s->lab->link_count; i++) {
		const struct lab_link *l = &s->lab->links[i];
		const char *state = lab_link_state_name(s->links[i]);

		table_row(t);
		table_cell(t, l->name);
		table_cell_color(t, state, state_color(state));
		for (int e = 0; e < 2; e++)
			table_cellf(t, "%s/%s", s->lab->nodes[l->end[e].node].name, l->end[e].port);
		table_cellf(t, "%u", l->mtu);
	}
	return table_print(t, stdout);
}

static int status_print(const struct ctl *ctl, const struct lab_state *s)
{
	if (ctl->format != OUTPUT_TABLE)
		return status_json(ctl, s);
	printf("lab %s\n\n", s->lab->name);
	if (processes_table(ctl, s))
		return EXIT_FAILED;
	if (s->lab->link_count) {
		fputc('\n', stdout);
		if (links_table(ctl, s))
			return EXIT_FAILED;
	}
	if (!s->workload_count)
		return EXIT_OK;
	fputc('\n', stdout);
	return workloads_table(ctl, s->workloads, s->workload_count);
}

static int lab_status_run(struct ctl *ctl, const struct args *args)
{
	struct lab *lab = calloc(1, sizeof(*lab));
	struct lab_state s = {.lab = lab};
	struct lab_err err;
	int exit_code = lab ? lab_choose(args, lab) : ctl_error("out of memory");

	if (exit_code)
		goto out;
	if (lab_processes(lab->name, &s.processes, &s.process_count, &err) ||
		lab_workload_list(lab, &s.workloads, &s.workload_count, &err)) {
		exit_code = lab_error(&err);
		goto out;
	}
	for (unsigned int i = 0; i < lab->link_count; i++)
		if (lab_link_get(lab, lab->links[i].name, &s.links[i], &err)) {
			exit_code = lab_error(&err);
			goto out;
		}
	exit_code = status_print(ctl, &s);
out:
	free(s.processes);
	free(s.workloads);
	free(lab);
	return exit_code;
}

static int lab_list_run(struct ctl *ctl, const struct args *args)
{
	char labs[16][LAB_NAME_LEN];
	unsigned int count = lab_list(labs, 16);
	json_t *array = ctl->format == OUTPUT_TABLE ? NULL : json_array();

	for (unsigned int i = 0; i < count; i++) {
		if (array)
			json_array_append_new(array, json_string(labs[i]));
		else
			printf("%s\n", labs[i]);
	}
	return array ? json_print(ctl, array) : EXIT_OK;
}

struct traces_out {
	json_t *array; /* NULL: lines */
};

static void traces_line(void *arg, enum lab_trace_kind kind, const char *what)
{
	static const char *const kinds[] = {"namespace", "device", "process", "file"};
	struct traces_out *out = arg;

	if (out->array)
		json_array_append_new(
			out->array, json_pack("{s:s, s:s}", "kind", kinds[kind], "what", what));
	else
		printf("%-10s %s\n", kinds[kind], what);
}

static int lab_traces_run(struct ctl *ctl, const struct args *args)
{
	struct traces_out out = {ctl->format == OUTPUT_TABLE ? NULL : json_array()};
	char name[LAB_NAME_LEN];

	if (lab_choose_name(args->operand_count ? args->operands[0] : NULL, name))
		return EXIT_FAILED;
	if (*name)
		lab_traces(name, traces_line, &out);
	return out.array ? json_print(ctl, out.array) : EXIT_OK;
}

/* ---- the table ---------------------------------------------------------------------------- */

static const struct command_option up_options[] = {
	{.name = "name", .value = "NAME", .help = "the lab's name (default: the file's)"},
	{.name = "without",
		.value = "PARTS",
		.help = "leave out some of frr,holder,agent,controller, for labs made by hand",
		.completion = COMPLETE_WORDS,
		.words = "frr holder agent controller"},
	{.name = "no-apply", .help = "do not give the topology to the controller"},
	{0},
};
static const struct command_option down_options[] = {
	{.name = "all", .help = "all labs"},
	LAB_OPTION,
	{0},
};
const struct command_option lab_only_options[] = {LAB_OPTION, {0}};

const struct command lab_commands[] = {
	{.path = "lab up",
		.operands = "TOPOLOGY",
		.operands_min = 1,
		.operands_max = 1,
		.summary = "Bring a topology up as a lab on this machine",
		.description =
			"Makes a network namespace for each node of the file (1 to 12), wires for\n"
			"its links, and starts FRR, the port holder with the forwarding process,\n"
			"the agent, and one controller. What cannot be brought up is said before\n"
			"anything is created; what fails later is undone. Needs root.",
		.example = "sudo audumsctl lab up topology/latvia.yaml",
		.options = up_options,
		.completion = {COMPLETE_FILE},
		.run = lab_up_run},
	{.path = "lab down",
		.operands = "[LAB]",
		.operands_max = 1,
		.summary = "Remove every trace of a lab",
		.description =
			"Works from any half state; no lab at all is no error. Whatever runs in\n"
			"the lab's namespaces is ended too.",
		.example = "sudo audumsctl lab down",
		.options = down_options,
		.completion = {COMPLETE_LAB},
		.run = lab_down_run},
	{.path = "lab status",
		.operands = "",
		.summary = "What runs in a lab: processes, links, workloads",
		.example = "audumsctl lab status",
		.options = lab_only_options,
		.run = lab_status_run},
	{.path = "lab list",
		.operands = "",
		.summary = "The labs that are up, or have left something",
		.example = "audumsctl lab list",
		.run = lab_list_run},
	{.path = "lab traces",
		.operands = "[LAB]",
		.operands_max = 1,
		.summary = "Everything a lab has made: namespaces, devices, processes, files",
		.example = "sudo audumsctl lab traces",
		.completion = {COMPLETE_LAB},
		.run = lab_traces_run},
	{0},
};
