/*
 * audumsctl apply, diff, delete: changing the intent.
 */
#include <stdlib.h>
#include <string.h>

#include "controller/ctl/client.h"
#include "controller/ctl/groups.h"
#include "controller/ctl/intent.h"
#include "controller/ctl/operation.h"
#include "topology/load.h"

#define FILES_MAX   32
#define OBJECTS_MAX CMD_VALUES_MAX
#define APPLY_MS    120000 /* a file may hold ten thousands of objects */

/* Load all -f FILE. Says what is wrong with them; returns an exit code. */
static int files_load(const struct args *args, struct topology *topology)
{
	const char *files[FILES_MAX];
	unsigned int n = args_values(args, "file", files, FILES_MAX);
	struct problems problems;
	int exit_code = EXIT_OK, ret;

	if (!n) {
		ctl_error("say which file: -f FILE (-f - reads standard input)");
		return EXIT_USAGE;
	}
	problems_init(&problems);
	ret = topology_load(files, n, 0, topology, &problems);
	if (ret) {
		problems_print(&problems, stderr);
		exit_code = problems_any(&problems) ? ctl_error("nothing was changed")
						    : ctl_error("out of memory");
	}
	problems_free(&problems);
	return exit_code;
}

/* Objects of the document that are not among the changes. */
static void unchanged_print(
	const Audums__V1__Document *document, const Audums__V1__ApplyResponse *response)
{
	for (int kind = KIND_FIRST; kind <= KIND_LAST; kind++) {
		ProtobufCMessage *const *objects;
		size_t n = document_objects(document, (Audums__V1__Kind)kind, &objects);

		for (size_t i = 0; i < n; i++) {
			const char *name = object_name(objects[i]);
			bool changed = false;

			for (size_t k = 0; k < response->n_changes && !changed; k++) {
				const Audums__V1__ObjectRef *ref = response->changes[k]->object;

				changed = ref && ref->kind == (Audums__V1__Kind)kind &&
					  !strcmp(ref->name, name);
			}
			if (!changed)
				printf("unchanged %s/%s\n", kind_name((Audums__V1__Kind)kind),
					name);
		}
	}
}

static void apply_print(const struct ctl *ctl, const struct args *args,
	const Audums__V1__Document *document, const Audums__V1__ApplyResponse *response)
{
	bool only_created = true;

	changes_print(stdout, ctl, response->changes, response->n_changes, false);
	unchanged_print(document, response);
	if (!response->n_changes)
		return;
	for (size_t i = 0; i < response->n_changes; i++)
		only_created &=
			response->changes[i]->action == AUDUMS__V1__CHANGE__ACTION__ACTION_CREATE;
	printf("\noperation %s, generation %llu\n", response->operation,
		(unsigned long long)response->generation);
	printf("  how far it is:  audumsctl operation %s\n", response->operation);
	if (only_created) {
		const char *files[FILES_MAX];
		unsigned int n = args_values(args, "file", files, FILES_MAX);

		printf("  to undo it:     audumsctl delete");
		for (unsigned int i = 0; i < n; i++)
			printf(" -f %s", files[i]);
		printf("\n");
	} else {
		printf("  to undo it:     apply the former values (audumsctl operation %s -o yaml "
		       "has them)\n",
			response->operation);
	}
}

/* Common end of apply and delete: print, and wait if asked to. */
static int change_finish(struct ctl *ctl, const struct args *args,
	const Audums__V1__Document *document, const Audums__V1__ApplyResponse *response)
{
	unsigned long timeout;
	int exit_code = EXIT_OK;

	if (!args_duration(args, "timeout", 30000, &timeout))
		return EXIT_USAGE;
	if (ctl->format != OUTPUT_TABLE)
		exit_code = message_print(ctl, &response->base);
	else if (document)
		apply_print(ctl, args, document, response);
	else {
		changes_print(stdout, ctl, response->changes, response->n_changes, false);
		if (response->n_changes)
			printf("\noperation %s, generation %llu\n"
			       "  how far it is:  audumsctl operation %s\n"
			       "  to undo it:     audumsctl apply -f FILE with what was deleted\n",
				response->operation, (unsigned long long)response->generation,
				response->operation);
		else
			printf("nothing to delete\n");
	}
	if (exit_code || !args_flag(args, "wait") || !*response->operation)
		return exit_code;
	return operation_wait(ctl, response->operation, timeout);
}

static int apply_run(struct ctl *ctl, const struct args *args)
{
	Audums__V1__ApplyRequest request = AUDUMS__V1__APPLY_REQUEST__INIT;
	const char *comment = args_option(args, "comment");
	struct topology topology = {0};
	ProtobufCMessage *response;
	unsigned long generation;
	int exit_code;

	if (!args_number(args, "expect-generation", 1, ~0UL, 0, &generation))
		return EXIT_USAGE;
	exit_code = files_load(args, &topology);
	if (exit_code)
		goto out;
	request.document = topology.document;
	request.comment = (char *)(comment ? comment : "");
	request.expect_generation = generation;
	exit_code = client_call(ctl, "Apply", &request.base,
		&audums__v1__apply_response__descriptor, APPLY_MS, topology.locations, &response);
	if (!exit_code) {
		exit_code = change_finish(
			ctl, args, topology.document, (Audums__V1__ApplyResponse *)response);
		protobuf_c_message_free_unpacked(response, NULL);
	}
out:
	topology_free(&topology);
	return exit_code;
}

static int diff_run(struct ctl *ctl, const struct args *args)
{
	Audums__V1__DiffRequest request = AUDUMS__V1__DIFF_REQUEST__INIT;
	Audums__V1__DiffResponse *diff;
	struct topology topology = {0};
	ProtobufCMessage *response;
	int exit_code = files_load(args, &topology);

	if (exit_code)
		goto out;
	request.document = topology.document;
	exit_code = client_call(ctl, "Diff", &request.base, &audums__v1__diff_response__descriptor,
		APPLY_MS, topology.locations, &response);
	if (exit_code)
		goto out;
	diff = (Audums__V1__DiffResponse *)response;
	if (ctl->format != OUTPUT_TABLE)
		exit_code = message_print(ctl, response);
	else
		changes_print(stdout, ctl, diff->changes, diff->n_changes, true);
	if (!exit_code && diff->n_changes)
		exit_code = EXIT_DIFFERENT;
	protobuf_c_message_free_unpacked(response, NULL);
out:
	topology_free(&topology);
	return exit_code;
}

/* ---- delete ------------------------------------------------------------------------------- */

struct refs {
	Audums__V1__ObjectRef *items;
	Audums__V1__ObjectRef **pointers;
	size_t count;
};

static int refs_make(struct refs *refs, size_t room)
{
	refs->items = calloc(room + 1, sizeof(*refs->items));
	refs->pointers = calloc(room + 1, sizeof(*refs->pointers));
	return refs->items && refs->pointers ? EXIT_OK : ctl_error("out of memory");
}

static void refs_add(struct refs *refs, Audums__V1__Kind kind, const char *name)
{
	Audums__V1__ObjectRef *ref = &refs->items[refs->count];

	audums__v1__object_ref__init(ref);
	ref->kind = kind;
	ref->name = (char *)name;
	refs->pointers[refs->count++] = ref;
}

static int refs_of_document(struct refs *refs, const Audums__V1__Document *document)
{
	int exit_code = refs_make(refs, document_count(document));

	for (int kind = KIND_FIRST; !exit_code && kind <= KIND_LAST; kind++) {
		ProtobufCMessage *const *objects;
		size_t n = document_objects(document, (Audums__V1__Kind)kind, &objects);

		for (size_t i = 0; i < n; i++)
			refs_add(refs, (Audums__V1__Kind)kind, object_name(objects[i]));
	}
	return exit_code;
}

static int refs_of_words(struct refs *refs, const struct args *args)
{
	struct object_word words[OBJECTS_MAX];
	int n = object_words(args->operands, args->operand_count, words, OBJECTS_MAX);
	int exit_code;

	if (n < 0)
		return EXIT_USAGE;
	exit_code = refs_make(refs, (size_t)n);
	for (int i = 0; !exit_code && i < n; i++) {
		if (!words[i].name) {
			ctl_error("say which %s: KIND/NAME", kind_name(words[i].kind));
			return EXIT_USAGE;
		}
		refs_add(refs, words[i].kind, words[i].name);
	}
	return exit_code;
}

static int delete_run(struct ctl *ctl, const struct args *args)
{
	Audums__V1__DeleteRequest request = AUDUMS__V1__DELETE_REQUEST__INIT;
	const char *comment = args_option(args, "comment");
	struct topology topology = {0};
	struct refs refs = {0};
	ProtobufCMessage *response;
	int exit_code;

	if (args_flag(args, "file") == (args->operand_count > 0)) {
		ctl_error("say what to delete: either KIND/NAME... or -f FILE");
		return EXIT_USAGE;
	}
	if (args->operand_count) {
		exit_code = refs_of_words(&refs, args);
	} else {
		exit_code = files_load(args, &topology);
		if (!exit_code)
			exit_code = refs_of_document(&refs, topology.document);
	}
	if (exit_code)
		goto out;
	request.objects = refs.pointers;
	request.n_objects = refs.count;
	request.if_exists = args_flag(args, "if-exists");
	request.comment = (char *)(comment ? comment : "");
	exit_code = client_call(ctl, "Delete", &request.base,
		&audums__v1__apply_response__descriptor, APPLY_MS, NULL, &response);
	if (!exit_code) {
		exit_code = change_finish(ctl, args, NULL, (Audums__V1__ApplyResponse *)response);
		protobuf_c_message_free_unpacked(response, NULL);
	}
out:
	free(refs.items);
	free(refs.pointers);
	topology_free(&topology);
	return exit_code;
}

/* ---- the table ---------------------------------------------------------------------------- */

#define FILE_OPTION                                                                                \
	{                                                                                          \
		.name = "file", .letter = 'f', .value = "FILE",                                    \
		.help = "YAML; - is standard input", .repeat = true, .completion = COMPLETE_FILE   \
	}
#define CHANGE_OPTIONS                                                                             \
	{.name = "comment", .value = "TEXT", .help = "why, for the history"},                      \
		{.name = "wait", .help = "until all nodes have done it"},                          \
	{                                                                                          \
		.name = "timeout", .value = "TIME", .help = "of --wait (default: 30s)"             \
	}

static const struct command_option apply_options[] = {
	FILE_OPTION,
	CHANGE_OPTIONS,
	{.name = "expect-generation",
		.value = "NUMBER",
		.help = "refuse when the intent has changed since this generation"},
	{0},
};
static const struct command_option diff_options[] = {FILE_OPTION, {0}};
static const struct command_option delete_options[] = {
	FILE_OPTION,
	CHANGE_OPTIONS,
	{.name = "if-exists", .help = "what is not there is no error"},
	{0},
};

const struct command apply_commands[] = {
	{.path = "apply",
		.operands = "-f FILE...",
		.summary = "Create or change what files declare, all of it or nothing",
		.example = "audumsctl apply -f topology/demo-tenant.yaml --wait",
		.options = apply_options,
		.run = apply_run},
	{.path = "diff",
		.operands = "-f FILE...",
		.summary = "What apply would change; exit status 2 when there is anything",
		.example = "audumsctl diff -f topology/demo-tenant.yaml",
		.options = diff_options,
		.run = diff_run},
	{.path = "delete",
		.operands = "KIND/NAME... | -f FILE...",
		.operands_max = -1,
		.summary = "Remove objects, all of them or none",
		.description =
			"What something else still refers to is not removed, unless that is\n"
			"named too.",
		.example = "audumsctl delete segment/registri attachment/registri-lvrtc\n"
			   "audumsctl delete -f topology/demo-tenant.yaml --if-exists",
		.options = delete_options,
		.completion = {COMPLETE_KIND_REF},
		.run = delete_run},
	{0},
};
