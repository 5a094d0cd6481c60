/*
 * audumsctl wait, watch, operation: following what happens. All by the controller's streams and
 * long answers, none by asking again and again.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "controller/ctl/client.h"
#include "controller/ctl/groups.h"
#include "controller/ctl/intent.h"
#include "controller/ctl/operation.h"
#include "proto/lib/pbtext.h"

#define WAIT_MAX     CMD_VALUES_MAX
#define RECONNECT_US 100000 /* while the controller starts again */
#define ASK_MS       10000  /* longest answer asked for; less than any proxy's patience */

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* ---- wait --------------------------------------------------------------------------------- */

struct waited {
	Audums__V1__Kind kind;
	const char *name;
	bool there;
	bool good;
	char phase[16];
	char message[512];
};

struct wait {
	struct waited items[WAIT_MAX];
	int count;
	bool deleted; /* wait until they are gone */
	bool synced;  /* what was there at first has been told */
};

static bool wait_done(const struct wait *w)
{
	for (int i = 0; i < w->count; i++)
		if (w->deleted ? !w->synced || w->items[i].there : !w->items[i].good)
			return false;
	return true;
}

static void wait_put(struct wait *w, const Audums__V1__Document *document)
{
	for (int i = 0; i < w->count; i++) {
		struct waited *item = &w->items[i];
		ProtobufCMessage *const *objects;
		size_t n = document_objects(document, item->kind, &objects);

		for (size_t k = 0; k < n; k++) {
			if (strcmp(object_name(objects[k]), item->name))
				continue;
			item->there = true;
			snprintf(item->phase, sizeof(item->phase), "%s", object_phase(objects[k]));
			snprintf(item->message, sizeof(item->message), "%s",
				object_message(objects[k]));
			/* kinds without status are ready when they are there */
			item->good = !*item->phase || !strcmp(item->phase, "ready");
		}
	}
}

static enum stream_step wait_event(void *arg, const ProtobufCMessage *message)
{
	const Audums__V1__WatchEvent *event = (const Audums__V1__WatchEvent *)message;
	struct wait *w = arg;

	switch (event->type) {
	case AUDUMS__V1__WATCH_EVENT__TYPE__TYPE_PUT:
		if (event->object)
			wait_put(w, event->object);
		break;
	case AUDUMS__V1__WATCH_EVENT__TYPE__TYPE_DELETE:
		for (int i = 0; event->ref && i < w->count; i++)
			if (w->items[i].kind == event->ref->kind &&
				!strcmp(w->items[i].name, event->ref->name))
				w->items[i].there = w->items[i].good = false;
		break;
	case AUDUMS__V1__WATCH_EVENT__TYPE__TYPE_SYNCED:
		w->synced = true;
		break;
	default:
		break;
	}
	return wait_done(w) ? STREAM_DONE : STREAM_GO_ON;
}

static int wait_timeout(const struct wait *w, unsigned long timeout)
{
	ctl_error("not %s after %.1f s:", w->deleted ? "deleted" : "ready", (double)timeout / 1e3);
	for (int i = 0; i < w->count; i++) {
		const struct waited *item = &w->items[i];

		if (w->deleted ? !item->there : item->good)
			continue;
		fprintf(stderr, "  %s/%s: %s%s%s\n", kind_name(item->kind), item->name,
			!item->there   ? "does not exist"
			: *item->phase ? item->phase
				       : "exists",
			*item->message ? ": " : "", item->message);
	}
	fprintf(stderr, "audumsctl describe KIND/NAME shows what each node says\n");
	return EXIT_FAILED;
}

/* Watch until all is as it should be, through restarts of the controller. */
static int wait_watch(struct ctl *ctl, struct wait *w, unsigned long timeout)
{
	Audums__V1__WatchRequest request = AUDUMS__V1__WATCH_REQUEST__INIT;
	Audums__V1__Kind kinds[KIND_COUNT];
	uint64_t deadline = now_ms() + timeout, now;

	request.kinds = kinds;
	for (int i = 0; i < w->count; i++) {
		size_t k;

		for (k = 0; k < request.n_kinds && kinds[k] != w->items[i].kind; k++)
			;
		if (k == request.n_kinds)
			kinds[request.n_kinds++] = w->items[i].kind;
	}
	if (w->count == 1)
		request.name = (char *)w->items[0].name;
	while ((now = now_ms()) < deadline) {
		w->synced = false;
		for (int i = 0; i < w->count; i++)
			w->items[i].there = w->items[i].good = false;
		switch (client_stream(ctl, "Watch", &request.base,
			&audums__v1__watch_event__descriptor, deadline - now, true, wait_event,
			w)) {
		case STREAM_STOPPED:
			return EXIT_OK;
		case STREAM_FAILED:
			return EXIT_FAILED;
		case STREAM_TIMEOUT:
			return wait_timeout(w, timeout);
		case STREAM_ENDED:
		case STREAM_LOST:
			usleep(RECONNECT_US);
			break;
		}
	}
	if (!w->synced)
		return ctl_error("the controller could not be reached for %.1f s (a lab: audumsctl "
				 "lab status)",
			(double)timeout / 1e3);
	return wait_timeout(w, timeout);
}

static int wait_run(struct ctl *ctl, const struct args *args)
{
	const char *what = args_option(args, "for");
	struct object_word words[WAIT_MAX];
	struct wait *w;
	unsigned long timeout;
	uint64_t start = now_ms();
	int n = object_words(args->operands, args->operand_count, words, WAIT_MAX), exit_code;

	if (n < 0 || !args_duration(args, "timeout", 30000, &timeout))
		return EXIT_USAGE;
	if (what && strcmp(what, "ready") && strcmp(what, "deleted")) {
		ctl_error("--for: \"%s\" is neither ready nor deleted", what);
		return EXIT_USAGE;
	}
	w = calloc(1, sizeof(*w));
	if (!w)
		return ctl_error("out of memory");
	w->deleted = what && !strcmp(what, "deleted");
	for (int i = 0; i < n; i++) {
		if (!words[i].name) {
			ctl_error("say which %s: KIND/NAME", kind_name(words[i].kind));
			free(w);
			return EXIT_USAGE;
		}
		w->items[w->count++] =
			(struct waited){.kind = words[i].kind, .name = words[i].name};
	}
	exit_code = wait_watch(ctl, w, timeout);
	for (int i = 0; !exit_code && i < w->count; i++) {
		if (ctl->format == OUTPUT_TABLE)
			printf("%s/%s %s after %llu ms\n", kind_name(w->items[i].kind),
				w->items[i].name, w->deleted ? "deleted" : "ready",
				(unsigned long long)(now_ms() - start));
		else
			printf("{\"object\": \"%s/%s\", \"state\": \"%s\", \"ms\": %llu}\n",
				kind_name(w->items[i].kind), w->items[i].name,
				w->deleted ? "deleted" : "ready",
				(unsigned long long)(now_ms() - start));
	}
	free(w);
	return exit_code;
}

/* ---- watch -------------------------------------------------------------------------------- */

static void watch_line(const struct ctl *ctl, const char *event, Audums__V1__Kind kind,
	const char *name, const char *phase, const char *message)
{
	char time_text[32];
	time_t now = time(NULL);
	struct tm tm;

	localtime_r(&now, &tm);
	strftime(time_text, sizeof(time_text), "%H:%M:%S", &tm);
	printf("%s %-7s %s/%s%s%s%s%s\n", time_text, event, kind_name(kind), name,
		*phase ? " " : "", phase, *message ? ": " : "", message);
	fflush(stdout);
}

static enum stream_step watch_event(void *arg, const ProtobufCMessage *message)
{
	const Audums__V1__WatchEvent *event = (const Audums__V1__WatchEvent *)message;
	const struct ctl *ctl = arg;
	char *text;

	if (ctl->format == OUTPUT_JSON) {
		if (pbtext_print(message, PBTEXT_JSON, &text, NULL))
			return STREAM_DONE;
		printf("%s\n", text);
		fflush(stdout);
		free(text);
		return STREAM_GO_ON;
	}
	if (ctl->format == OUTPUT_YAML) {
		printf("---\n");
		message_print(ctl, message);
		fflush(stdout);
		return STREAM_GO_ON;
	}
	if (event->type == AUDUMS__V1__WATCH_EVENT__TYPE__TYPE_DELETE && event->ref)
		watch_line(ctl, "deleted", event->ref->kind, event->ref->name, "", "");
	for (int kind = KIND_FIRST; event->object && kind <= KIND_LAST; kind++) {
		ProtobufCMessage *const *objects;
		size_t n = document_objects(event->object, (Audums__V1__Kind)kind, &objects);

		for (size_t i = 0; i < n; i++)
			watch_line(ctl, "is", (Audums__V1__Kind)kind, object_name(objects[i]),
				object_phase(objects[i]), object_message(objects[i]));
	}
	return STREAM_GO_ON;
}

static int watch_run(struct ctl *ctl, const struct args *args)
{
	Audums__V1__WatchRequest request = AUDUMS__V1__WATCH_REQUEST__INIT;
	Audums__V1__Kind kinds[WAIT_MAX];
	struct object_word words[WAIT_MAX];
	int n = object_words(args->operands, args->operand_count, words, WAIT_MAX);

	if (n < 0)
		return EXIT_USAGE;
	request.kinds = kinds;
	for (int i = 0; i < n; i++)
		kinds[request.n_kinds++] = words[i].kind;
	if (n == 1 && words[0].name) {
		request.name = (char *)words[0].name;
	} else {
		for (int i = 0; i < n; i++)
			if (words[i].name) {
				ctl_error("one object can be watched, or whole kinds");
				return EXIT_USAGE;
			}
	}
	switch (client_stream(ctl, "Watch", &request.base, &audums__v1__watch_event__descriptor, 0,
		false, watch_event, ctl)) {
	case STREAM_ENDED:
	case STREAM_STOPPED:
		return EXIT_OK;
	default:
		return EXIT_FAILED;
	}
}

/* ---- operations --------------------------------------------------------------------------- */

static int operation_get(
	struct ctl *ctl, const char *id, unsigned long wait_ms, Audums__V1__Operation **operation)
{
	Audums__V1__GetOperationRequest request = AUDUMS__V1__GET_OPERATION_REQUEST__INIT;
	ProtobufCMessage *response;
	int exit_code;

	request.id = (char *)id;
	request.wait_ms = (uint32_t)wait_ms;
	exit_code = client_call(ctl, "GetOperation", &request.base,
		&audums__v1__operation__descriptor, wait_ms + 10000, NULL, &response);
	*operation = (Audums__V1__Operation *)response;
	return exit_code;
}

static void operation_missing(const Audums__V1__Operation *o)
{
	for (size_t i = 0; i < o->n_nodes; i++)
		if (!o->nodes[i]->applied)
			fprintf(stderr, "  %s: %s\n", o->nodes[i]->node,
				*o->nodes[i]->message ? o->nodes[i]->message
						      : "has not applied it");
}

/* Ask until it is done or the time is over; the caller frees *operation. */
static int operation_follow(struct ctl *ctl, const char *id, unsigned long timeout_ms,
	Audums__V1__Operation **operation)
{
	uint64_t deadline = now_ms() + timeout_ms;

	for (;;) {
		uint64_t now = now_ms(), left = now < deadline ? deadline - now : 0;
		int exit_code = operation_get(ctl, id, left > ASK_MS ? ASK_MS : left, operation);

		if (exit_code)
			return exit_code;
		if ((*operation)->state != AUDUMS__V1__OPERATION__STATE__STATE_RUNNING ||
			now_ms() >= deadline)
			return EXIT_OK;
		audums__v1__operation__free_unpacked(*operation, NULL);
	}
}

static int operation_verdict(const Audums__V1__Operation *o, unsigned long timeout_ms)
{
	if (o->state == AUDUMS__V1__OPERATION__STATE__STATE_DONE)
		return EXIT_OK;
	if (o->state == AUDUMS__V1__OPERATION__STATE__STATE_FAILED)
		ctl_error("operation %s failed:", o->id);
	else
		ctl_error(
			"operation %s is not done after %.1f s:", o->id, (double)timeout_ms / 1e3);
	operation_missing(o);
	return EXIT_FAILED;
}

int operation_wait(struct ctl *ctl, const char *id, unsigned long timeout_ms)
{
	Audums__V1__Operation *o;
	int exit_code = operation_follow(ctl, id, timeout_ms, &o);

	if (exit_code)
		return exit_code;
	exit_code = operation_verdict(o, timeout_ms);
	if (!exit_code && ctl->format == OUTPUT_TABLE && o->finished_ms >= o->started_ms)
		printf("done after %llu ms\n",
			(unsigned long long)(o->finished_ms - o->started_ms));
	audums__v1__operation__free_unpacked(o, NULL);
	return exit_code;
}

static int operation_print(struct ctl *ctl, const Audums__V1__Operation *o)
{
	static const char *const columns[] = {"NODE", "APPLIED", "MESSAGE", NULL};
	static const char *const states[] = {"unknown", "running", "done", "failed"};
	struct table *t;

	if (ctl->format != OUTPUT_TABLE)
		return message_print(ctl, &o->base);
	printf("operation %s: %s\n", o->id,
		(unsigned int)o->state < 4 ? states[o->state] : "unknown");
	printf("generation %llu, by %s%s%s\n", (unsigned long long)o->generation, o->actor,
		*o->comment ? ": " : "", o->comment);
	if (o->finished_ms)
		printf("took %llu ms\n", (unsigned long long)(o->finished_ms - o->started_ms));
	fputc('\n', stdout);
	changes_print(stdout, ctl, o->changes, o->n_changes, false);
	if (!o->n_nodes)
		return EXIT_OK;
	fputc('\n', stdout);
	t = table_new(ctl, columns);
	for (size_t i = 0; i < o->n_nodes; i++) {
		const char *applied = o->nodes[i]->applied ? "yes" : "no";

		table_row(t);
		table_cell(t, o->nodes[i]->node);
		table_cell_color(t, applied, state_color(applied));
		table_cell(t, o->nodes[i]->message);
	}
	return table_print(t, stdout);
}

static int operation_run(struct ctl *ctl, const struct args *args)
{
	Audums__V1__Operation *o;
	unsigned long timeout;
	int exit_code;

	if (!args_duration(args, "timeout", 30000, &timeout))
		return EXIT_USAGE;
	if (args_flag(args, "wait"))
		exit_code = operation_follow(ctl, args->operands[0], timeout, &o);
	else
		exit_code = operation_get(ctl, args->operands[0], 0, &o);
	if (exit_code)
		return exit_code;
	exit_code = operation_print(ctl, o);
	if (!exit_code && args_flag(args, "wait"))
		exit_code = operation_verdict(o, timeout);
	audums__v1__operation__free_unpacked(o, NULL);
	return exit_code;
}

/* ---- the table ---------------------------------------------------------------------------- */

static const struct command_option wait_options[] = {
	{.name = "for",
		.value = "STATE",
		.help = "ready or deleted (default: ready)",
		.completion = COMPLETE_WORDS,
		.words = "ready deleted"},
	{.name = "timeout", .value = "TIME", .help = "default: 30s"},
	{0},
};
static const struct command_option operation_options[] = {
	{.name = "wait", .help = "until all nodes have done it"},
	{.name = "timeout", .value = "TIME", .help = "of --wait (default: 30s)"},
	{0},
};

const struct command wait_commands[] = {
	{.path = "wait",
		.operands = "KIND/NAME...",
		.operands_min = 1,
		.operands_max = -1,
		.summary = "Wait until objects are ready, or deleted",
		.description =
			"Ready means that every node has applied it and read it back. A restart of\n"
			"the controller meanwhile does no harm.",
		.example = "audumsctl wait segment/registri --for ready --timeout 10s",
		.options = wait_options,
		.completion = {COMPLETE_KIND_REF},
		.run = wait_run},
	{.path = "watch",
		.operands = "[KIND[/NAME]]",
		.operands_max = -1,
		.summary = "Print each change of objects and of their status as it happens",
		.example = "audumsctl watch segments",
		.completion = {COMPLETE_KIND_REF},
		.run = watch_run},
	{.path = "operation",
		.operands = "ID",
		.operands_min = 1,
		.operands_max = 1,
		.summary = "What a change did, and which nodes have applied it",
		.example = "audumsctl operation op-42 --wait",
		.options = operation_options,
		.run = operation_run},
	{0},
};
