/*
 * Shell completion: what the words so far can be continued with, by the table of commands.
 *
 * The shell calls `audumsctl __complete WORD...` with the last word unfinished; each candidate is
 * printed on a line of its own. Names are asked from the lab that is up or from the controller;
 * when neither answers there are just none.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <fcntl.h>

#include "controller/ctl/client.h"
#include "controller/ctl/cmd_lab.h"
#include "controller/ctl/complete.h"
#include "controller/ctl/groups.h"
#include "topology/object.h"

#define ASK_MS 500

static void candidate(const char *prefix, const char *word)
{
	if (!strncmp(word, prefix, strlen(prefix)))
		puts(word);
}

static void words_complete(const char *prefix, const char *words)
{
	char word[64];

	while (words && *words) {
		size_t n = strcspn(words, " ");

		if (n < sizeof(word)) {
			memcpy(word, words, n);
			word[n] = '\0';
			candidate(prefix, word);
		}
		words += n + (words[n] == ' ');
	}
}

/* ---- names -------------------------------------------------------------------------------- */

static void lab_complete(const char *prefix, enum completion what)
{
	char names[16][LAB_NAME_LEN];
	unsigned int count = lab_list(names, 16);
	struct lab *lab;
	struct lab_err err;

	for (unsigned int i = 0; what == COMPLETE_LAB && i < count; i++)
		candidate(prefix, names[i]);
	lab = calloc(1, sizeof(*lab));
	for (unsigned int i = 0; lab && what != COMPLETE_LAB && i < count; i++) {
		struct lab_workload *workloads;
		struct lab_process *processes;
		unsigned int n;

		if (lab_open(lab, names[i], &err))
			continue;
		for (unsigned int k = 0; what == COMPLETE_NODE && k < lab->node_count; k++)
			candidate(prefix, lab->nodes[k].name);
		for (unsigned int k = 0; what == COMPLETE_LINK && k < lab->link_count; k++)
			candidate(prefix, lab->links[k].name);
		if (what == COMPLETE_WORKLOAD && !lab_workload_list(lab, &workloads, &n, &err)) {
			for (unsigned int k = 0; k < n; k++)
				candidate(prefix, workloads[k].name);
			free(workloads);
		}
		if (what == COMPLETE_PROCESS && !lab_processes(names[i], &processes, &n, &err)) {
			for (unsigned int k = 0; k < n; k++)
				candidate(prefix, processes[k].name);
			free(processes);
		}
	}
	free(lab);
}

/* Names of objects, with "kind/" in front when asked so. */
static void objects_complete(
	struct ctl *ctl, const char *prefix, Audums__V1__Kind kind, bool with_kind)
{
	Audums__V1__ListRequest request = AUDUMS__V1__LIST_REQUEST__INIT;
	ProtobufCMessage *response, *const *objects;
	int err_fd = dup(2), null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	size_t n;

	/* a controller that does not answer is no news while somebody types */
	if (null_fd >= 0)
		dup2(null_fd, 2);
	request.kind = kind;
	if (!client_call(ctl, "List", &request.base, &audums__v1__document__descriptor, ASK_MS,
		    NULL, &response)) {
		n = document_objects((Audums__V1__Document *)response, kind, &objects);
		for (size_t i = 0; i < n; i++) {
			char word[96];

			snprintf(word, sizeof(word), "%s%s%s", with_kind ? kind_name(kind) : "",
				with_kind ? "/" : "", object_name(objects[i]));
			candidate(prefix, word);
		}
		protobuf_c_message_free_unpacked(response, NULL);
	}
	if (err_fd >= 0) {
		dup2(err_fd, 2);
		close(err_fd);
	}
	if (null_fd >= 0)
		close(null_fd);
}

static void ref_complete(struct ctl *ctl, const char *prefix)
{
	const char *slash = strchr(prefix, '/');
	char word[48];

	for (int kind = KIND_FIRST; !slash && kind <= KIND_LAST; kind++) {
		snprintf(word, sizeof(word), "%s/", kind_name((Audums__V1__Kind)kind));
		candidate(prefix, word);
		candidate(prefix, kind_plural((Audums__V1__Kind)kind));
	}
	if (!slash)
		return;
	snprintf(word, sizeof(word), "%.*s", (int)(slash - prefix), prefix);
	if (kind_parse(word))
		objects_complete(ctl, prefix, kind_parse(word), true);
}

static void value_complete(
	struct ctl *ctl, const char *prefix, enum completion what, const char *words)
{
	switch (what) {
	case COMPLETE_WORDS:
		words_complete(prefix, words);
		break;
	case COMPLETE_FORMAT:
		words_complete(prefix, "table json yaml");
		break;
	case COMPLETE_KIND:
		for (int kind = KIND_FIRST; kind <= KIND_LAST; kind++)
			candidate(prefix, kind_plural((Audums__V1__Kind)kind));
		break;
	case COMPLETE_KIND_REF:
		ref_complete(ctl, prefix);
		break;
	case COMPLETE_ATTACHMENT:
		objects_complete(ctl, prefix, AUDUMS__V1__KIND__KIND_ATTACHMENT, false);
		break;
	case COMPLETE_NODE:
	case COMPLETE_LINK:
	case COMPLETE_LAB:
	case COMPLETE_WORKLOAD:
	case COMPLETE_PROCESS:
		lab_complete(prefix, what);
		break;
	case COMPLETE_FILE: /* the shell's own matter: no candidate is given */
	case COMPLETE_NONE:
		break;
	}
}

/* ---- where the words are ------------------------------------------------------------------ */

/* The next words of commands whose paths begin with `path` ("" = all). */
static void command_complete(const char *path, const char *prefix)
{
	char last[48] = "";
	size_t n = strlen(path);

	for (int g = 0; command_groups[g]; g++)
		for (const struct command *c = command_groups[g]; c->path; c++) {
			const char *rest = c->path + n + (n > 0);
			char word[48];

			if (c->hidden || (n && (strncmp(c->path, path, n) || c->path[n] != ' ')))
				continue;
			snprintf(word, sizeof(word), "%.*s", (int)strcspn(rest, " "), rest);
			if (strcmp(word, last))
				candidate(prefix, word);
			strcpy(last, word);
		}
}

static void options_complete(const char *prefix, const struct command_option *o)
{
	char word[48];

	for (; o && o->name; o++) {
		snprintf(word, sizeof(word), "--%s", o->name);
		candidate(prefix, word);
	}
}

static const struct command_option *option_of(const struct command *c, const char *word)
{
	const struct command_option *lists[] = {c ? c->options : NULL, common_options};

	for (int i = 0; i < 2; i++)
		for (const struct command_option *o = lists[i]; o && o->name; o++)
			if ((word[1] == '-' && !strcmp(o->name, word + 2)) ||
				(word[1] && !word[2] && o->letter == word[1]))
				return o;
	return NULL;
}

void complete(struct ctl *ctl, int count, char *const words[])
{
	const char *prefix = count ? words[count - 1] : "", *before;
	const struct command_option *o;
	char error[512], *argv[CMD_VALUES_MAX];
	struct args args;
	int n = 0;

	argv[n++] = (char *)"audumsctl";
	for (int i = 0; i + 1 < count && n < CMD_VALUES_MAX; i++) {
		if (!strcmp(words[i], "--"))
			return; /* another program's words */
		argv[n++] = words[i];
	}
	before = n > 1 ? argv[n - 1] : "";
	/* an option that still waits for its value would be an error of the words so far */
	memset(&args, 0, sizeof(args));
	if (!args_parse(&args, n, argv, error, sizeof(error)) && !args.command && !*args.group)
		return;
	o = *before == '-' ? option_of(args.command, before) : NULL;
	if (o && o->value) {
		value_complete(ctl, prefix, o->completion, o->words);
		return;
	}
	if (*prefix == '-') {
		options_complete(prefix, args.command ? args.command->options : NULL);
		options_complete(prefix, common_options);
		return;
	}
	if (!args.command) {
		command_complete(args.group, prefix);
		return;
	}
	for (unsigned int i = args.operand_count < 2 ? args.operand_count : 2;; i--) {
		enum completion what = args.command->completion[i];

		if (what != COMPLETE_NONE) {
			value_complete(ctl, prefix, what, args.command->words);
			return;
		}
		/* the last kind of operand repeats, if the command takes any number of them */
		if (!i || args.command->operands_max >= 0)
			return;
	}
}

void completion_script(FILE *out)
{
	fputs("# bash completion for audumsctl; load it with\n"
	      "#     source <(audumsctl completion bash)\n"
	      "_audumsctl()\n"
	      "{\n"
	      "	local IFS=$'\\n'\n"
	      "	COMPREPLY=($(\"${COMP_WORDS[0]}\" __complete -- \"${COMP_WORDS[@]:1:COMP_CWORD}\" "
	      "2>/dev/null))\n"
	      "	[[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == */ ]] && compopt -o nospace\n"
	      "}\n"
	      "complete -o default -F _audumsctl audumsctl\n",
		out);
}
