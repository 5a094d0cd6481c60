/* See api.h. */
#include "controller/audumsd/api.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/audumsd/operations.h"
#include "controller/audumsd/show.h"
#include "controller/audumsd/status.h"
#include "controller/audumsd/watch.h"
#include "proto/lib/log.h"

#define COMMENT_MAX  1024
#define REFS_MAX     65536
#define WAIT_MAX_MS  60000
#define DETAIL_BYTES 6144 /* of Problems in an answer's trailers */
#define TEXT_MAX     300

/* ---- rights ------------------------------------------------------------------------------- */

bool api_may_read(struct rpc_call *call)
{
	struct access access;

	access_parse(rpc_call_peer(call), &access);
	if (access_read(&access))
		return true;
	rpc_finish(call, RPC_PERMISSION_DENIED,
		"the certificate %s may not read the intent; use an operator's or a reader's "
		"(audums://client/ROLE/PROVIDER/NAME)",
		*access.identity ? access.identity : "without identity");
	return false;
}

static bool may_change(struct rpc_call *call, struct access *access)
{
	access_parse(rpc_call_peer(call), access);
	if (access_change(access))
		return true;
	rpc_finish(call, RPC_PERMISSION_DENIED,
		"the certificate %s may not change the intent; use an operator's "
		"(audums://client/operator/PROVIDER/NAME)",
		*access->identity ? access->identity : "without identity");
	return false;
}

/* ---- answers ------------------------------------------------------------------------------ */

static void finish_memory(struct rpc_call *call)
{
	rpc_finish(call, RPC_RESOURCE_EXHAUSTED, "the controller is out of memory");
}

/* End a call with as many of the problems as fit, and how many there are more. */
static void finish_problems(
	struct rpc_call *call, enum rpc_code code, const struct intent_result *result)
{
	Audums__V1__Problems *all = problems_message(&result->problems);
	Audums__V1__Problems cut = AUDUMS__V1__PROBLEMS__INIT;
	Audums__V1__Problem rest = AUDUMS__V1__PROBLEM__INIT, **list = NULL;
	size_t bytes = 0, n = 0;
	char text[64];

	if (all)
		list = calloc(all->n_problems + 1, sizeof(*list));
	if (!list) {
		if (all)
			audums__v1__problems__free_unpacked(all, NULL);
		finish_memory(call);
		return;
	}
	for (; n < all->n_problems; n++) {
		bytes += audums__v1__problem__get_packed_size(all->problems[n]) + 4;
		if (bytes > DETAIL_BYTES - sizeof(text))
			break;
		list[n] = all->problems[n];
	}
	cut.problems = list;
	cut.n_problems = n;
	if (n < all->n_problems || result->problems.n_dropped) {
		snprintf(text, sizeof(text), "and %zu more problems",
			all->n_problems - n + result->problems.n_dropped);
		rest.message = text;
		list[cut.n_problems++] = &rest;
	}
	rpc_finish_detail(call, code, result->text, &cut.base);
	free(list);
	audums__v1__problems__free_unpacked(all, NULL);
}

/* End a call for a change that was not made. */
static void finish_failed(struct rpc_call *call, const struct intent_result *result)
{
	switch (result->status) {
	case -EINVAL:
	case -ENOSPC:
	case -EBUSY: {
		enum rpc_code code =
			result->status == -EINVAL ? RPC_INVALID_ARGUMENT : RPC_FAILED_PRECONDITION;

		if (problems_any(&result->problems))
			finish_problems(call, code, result);
		else
			rpc_finish(call, code, "%s", result->text);
		return;
	}
	case -ENOENT:
		rpc_finish(call, RPC_NOT_FOUND, "%s", result->text);
		return;
	case -EACCES:
		rpc_finish(call, RPC_PERMISSION_DENIED, "%s", result->text);
		return;
	case -ESTALE:
		rpc_finish(call, RPC_ABORTED, "%s", result->text);
		return;
	case -EDQUOT:
	case -ENOMEM:
		rpc_finish(call, RPC_RESOURCE_EXHAUSTED, "%s", result->text);
		return;
	default:
		rpc_finish(call, RPC_UNAVAILABLE, "%s", result->text);
		return;
	}
}

/* ---- changes ------------------------------------------------------------------------------ */

/* A change on its way; outlives the call if need be. */
struct asked {
	struct rpc_call *call; /* NULL: it has ended */
	struct intent_result result;
	char identity[256];
	const char *what;
	uint64_t started_ms;
};

static void log_change(const struct asked *asked)
{
	char identity[TEXT_MAX], text[600];
	const struct intent_result *r = &asked->result;

	if (r->status < 0)
		log_info("change_refused", "what=%s actor=%s status=%d text=%s", asked->what,
			log_quote(identity, sizeof(identity), asked->identity), r->status,
			log_quote(text, sizeof(text), r->text));
	else
		log_info("change",
			"what=%s actor=%s changes=%zu generation=%" PRIu64
			" operation=%s ms=%" PRIu64,
			asked->what, log_quote(identity, sizeof(identity), asked->identity),
			r->n_changes, r->generation, *r->operation ? r->operation : "none",
			clock_ms() - asked->started_ms);
}

static void on_changed(void *arg, struct intent_result *result)
{
	struct asked *asked = arg;
	Audums__V1__ApplyResponse response = AUDUMS__V1__APPLY_RESPONSE__INIT;

	log_change(asked);
	if (asked->call) {
		rpc_call_set_data(asked->call, NULL);
		if (result->status < 0) {
			finish_failed(asked->call, result);
		} else {
			response.operation = result->operation;
			response.generation = result->generation;
			response.changes = result->changes;
			response.n_changes = result->n_changes;
			rpc_reply(asked->call, &response.base);
		}
	}
	intent_result_free(result);
	free(asked);
}

static void change_start(
	struct rpc_call *call, const struct intent_request *request, const char *what)
{
	struct controller *c = rpc_call_service(call);
	struct asked *asked;

	if (strlen(request->comment) > COMMENT_MAX) {
		rpc_finish(call, RPC_INVALID_ARGUMENT,
			"the comment is too long, expected at most %d bytes", COMMENT_MAX);
		return;
	}
	asked = calloc(1, sizeof(*asked));
	if (!asked) {
		finish_memory(call);
		return;
	}
	asked->call = call;
	asked->what = what;
	asked->started_ms = clock_ms();
	snprintf(asked->identity, sizeof(asked->identity), "%s", request->access->identity);
	rpc_call_set_data(call, asked);
	intent_change(c->intent, request, &asked->result, on_changed, asked);
}

static void on_change_done(struct rpc_call *call, const struct rpc_status *status)
{
	struct asked *asked = rpc_call_data(call);

	if (asked)
		asked->call = NULL;
}

static void on_apply(struct rpc_call *call, const ProtobufCMessage *request)
{
	static const Audums__V1__Document nothing = AUDUMS__V1__DOCUMENT__INIT;
	const Audums__V1__ApplyRequest *r = (const Audums__V1__ApplyRequest *)request;
	struct access access;

	if (!may_change(call, &access))
		return;
	change_start(call,
		&(struct intent_request){
			.document = r->document ? r->document : &nothing,
			.comment = r->comment,
			.expect_generation = r->expect_generation,
			.access = &access,
		},
		"apply");
}

static void on_delete(struct rpc_call *call, const ProtobufCMessage *request)
{
	const Audums__V1__DeleteRequest *r = (const Audums__V1__DeleteRequest *)request;
	struct access access;

	if (!may_change(call, &access))
		return;
	if (r->n_objects > REFS_MAX) {
		rpc_finish(call, RPC_INVALID_ARGUMENT, "too many objects, expected at most %d",
			REFS_MAX);
		return;
	}
	change_start(call,
		&(struct intent_request){
			.refs = r->objects,
			.n_refs = r->n_objects,
			.if_exists = r->if_exists,
			.comment = r->comment,
			.access = &access,
		},
		"delete");
}

/* Rights are not judged: whoever may read may ask what a change would do. */
static void on_diff(struct rpc_call *call, const ProtobufCMessage *request)
{
	static const Audums__V1__Document nothing = AUDUMS__V1__DOCUMENT__INIT;
	const Audums__V1__DiffRequest *r = (const Audums__V1__DiffRequest *)request;
	struct controller *c = rpc_call_service(call);
	Audums__V1__DiffResponse response = AUDUMS__V1__DIFF_RESPONSE__INIT;
	struct intent_result result;

	if (!api_may_read(call))
		return;
	intent_diff(c->intent,
		&(struct intent_request){.document = r->document ? r->document : &nothing},
		&result);
	if (result.status < 0) {
		finish_failed(call, &result);
	} else {
		response.changes = result.changes;
		response.n_changes = result.n_changes;
		response.generation = result.generation;
		rpc_reply(call, &response.base);
	}
	intent_result_free(&result);
}

/* ---- reading ------------------------------------------------------------------------------ */

static int document_put(
	const struct controller *c, Audums__V1__Document *document, const ProtobufCMessage *object)
{
	ProtobufCMessage *copy = message_clone(object);

	if (!copy || status_fill(c, copy) < 0 || document_append(document, copy) < 0) {
		if (copy)
			protobuf_c_message_free_unpacked(copy, NULL);
		return -ENOMEM;
	}
	return 0;
}

static Audums__V1__Document *document_new(void)
{
	Audums__V1__Document *document = malloc(sizeof(*document));

	if (document)
		audums__v1__document__init(document);
	return document;
}

int api_document(const struct controller *c, Audums__V1__Kind kind, const char *name,
	Audums__V1__Document **document)
{
	const ProtobufCMessage *object = model_find(intent_model(c->intent), kind, name);

	*document = NULL;
	if (!object)
		return 0;
	*document = document_new();
	if (!*document)
		return -ENOMEM;
	if (document_put(c, *document, object) < 0) {
		audums__v1__document__free_unpacked(*document, NULL);
		*document = NULL;
		return -ENOMEM;
	}
	return 1;
}

static void on_get(struct rpc_call *call, const ProtobufCMessage *request)
{
	const Audums__V1__GetRequest *r = (const Audums__V1__GetRequest *)request;
	struct controller *c = rpc_call_service(call);
	Audums__V1__Document *document;
	int ret;

	if (!api_may_read(call))
		return;
	if (r->kind < KIND_FIRST || r->kind > KIND_LAST) {
		rpc_finish(call, RPC_INVALID_ARGUMENT, "kind: no such kind of object");
		return;
	}
	ret = api_document(c, r->kind, r->name, &document);
	if (ret < 0) {
		finish_memory(call);
	} else if (!ret) {
		rpc_finish(call, RPC_NOT_FOUND, "there is no %s \"%.64s\"", kind_name(r->kind),
			r->name);
	} else {
		rpc_reply(call, &document->base);
		audums__v1__document__free_unpacked(document, NULL);
	}
}

static bool object_matches(const ProtobufCMessage *object, const Audums__V1__ListRequest *r)
{
	const char *owner = object_kind(object) == AUDUMS__V1__KIND__KIND_PROVIDER
				    ? object_name(object)
				    : object_provider(object);
	Audums__V1__Label *const *labels;
	size_t n = object_labels(object, &labels);

	if (*r->provider && strcmp(r->provider, owner))
		return false;
	for (size_t i = 0; i < r->n_labels; i++) {
		bool found = false;

		for (size_t k = 0; k < n && !found; k++)
			found = !strcmp(labels[k]->key, r->labels[i]->key) &&
				!strcmp(labels[k]->value, r->labels[i]->value);
		if (!found)
			return false;
	}
	return true;
}

static void on_list(struct rpc_call *call, const ProtobufCMessage *request)
{
	const Audums__V1__ListRequest *r = (const Audums__V1__ListRequest *)request;
	struct controller *c = rpc_call_service(call);
	const Audums__V1__Document *all = model_document(intent_model(c->intent));
	Audums__V1__Document *document;
	ProtobufCMessage *const *objects;
	int ret = 0;

	if (!api_may_read(call))
		return;
	if (r->kind && (r->kind < KIND_FIRST || r->kind > KIND_LAST)) {
		rpc_finish(call, RPC_INVALID_ARGUMENT, "kind: no such kind of object");
		return;
	}
	document = document_new();
	if (!document) {
		finish_memory(call);
		return;
	}
	for (Audums__V1__Kind kind = KIND_FIRST; kind <= KIND_LAST && !ret; kind++) {
		size_t n = document_objects(all, kind, &objects);

		if (r->kind && r->kind != kind)
			continue;
		for (size_t i = 0; i < n && !ret; i++)
			if (object_matches(objects[i], r))
				ret = document_put(c, document, objects[i]);
	}
	if (ret < 0)
		finish_memory(call);
	else
		rpc_reply(call, &document->base);
	audums__v1__document__free_unpacked(document, NULL);
}

static void on_operation(struct rpc_call *call, const ProtobufCMessage *request)
{
	const Audums__V1__GetOperationRequest *r = (const Audums__V1__GetOperationRequest *)request;
	struct controller *c = rpc_call_service(call);
	int ret;

	if (!api_may_read(call))
		return;
	ret = operations_wait(
		c->operations, call, r->id, r->wait_ms > WAIT_MAX_MS ? WAIT_MAX_MS : r->wait_ms);
	if (ret == -ENOENT)
		rpc_finish(call, RPC_NOT_FOUND,
			"there is no operation \"%.31s\"; the newest %d are kept", r->id,
			OPERATIONS_MAX);
	else if (ret < 0)
		finish_memory(call);
}

static void on_operation_done(struct rpc_call *call, const struct rpc_status *status)
{
	struct controller *c = rpc_call_service(call);

	operations_forget(c->operations, call);
}

const struct rpc_method api_methods[] = {
	{.path = "/audums.v1.Fabric/Apply",
		.input = &audums__v1__apply_request__descriptor,
		.output = &audums__v1__apply_response__descriptor,
		.request = on_apply,
		.done = on_change_done},
	{.path = "/audums.v1.Fabric/Diff",
		.input = &audums__v1__diff_request__descriptor,
		.output = &audums__v1__diff_response__descriptor,
		.request = on_diff},
	{.path = "/audums.v1.Fabric/Get",
		.input = &audums__v1__get_request__descriptor,
		.output = &audums__v1__document__descriptor,
		.request = on_get},
	{.path = "/audums.v1.Fabric/List",
		.input = &audums__v1__list_request__descriptor,
		.output = &audums__v1__document__descriptor,
		.request = on_list},
	{.path = "/audums.v1.Fabric/Delete",
		.input = &audums__v1__delete_request__descriptor,
		.output = &audums__v1__apply_response__descriptor,
		.request = on_delete,
		.done = on_change_done},
	{.path = "/audums.v1.Fabric/Watch",
		.input = &audums__v1__watch_request__descriptor,
		.output = &audums__v1__watch_event__descriptor,
		.request = watch_request,
		.writable = watch_writable,
		.done = watch_done},
	{.path = "/audums.v1.Fabric/GetOperation",
		.input = &audums__v1__get_operation_request__descriptor,
		.output = &audums__v1__operation__descriptor,
		.request = on_operation,
		.done = on_operation_done},
	{.path = "/audums.v1.Fabric/NodeShow",
		.input = &audums__v1__node_show_request__descriptor,
		.output = &audums__v1__dataplane_reply__descriptor,
		.request = show_request,
		.writable = show_writable,
		.done = show_done},
};
const size_t api_methods_n = sizeof(api_methods) / sizeof(api_methods[0]);
