/* See change.h. */
#include "controller/audumsd/change.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/lib/rules.h"
#include "topology/check.h"

void intent_state_free(struct intent_state *state)
{
	alloc_free(state->alloc);
	if (state->model)
		model_destroy(state->model);
	if (state->document)
		audums__v1__document__free_unpacked(state->document, NULL);
	*state = (struct intent_state){0};
}

void change_free(struct change *change)
{
	intent_state_free(&change->next);
	touched_free(&change->touched);
	plan_changes_free(&change->plan);
}

static int fail(struct intent_result *result, int status, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static int fail(struct intent_result *result, int status, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(result->text, sizeof(result->text), fmt, ap);
	va_end(ap);
	result->status = status;
	return status;
}

static int fail_memory(struct intent_result *result)
{
	return fail(result, -ENOMEM, "the controller is out of memory");
}

/* With problems, fail with `status` and a sentence that holds the first one. */
static int fail_problems(struct intent_result *result, int status)
{
	const struct problems *p = &result->problems;
	size_t n = p->n_items + p->n_dropped;

	if (p->no_memory && !p->n_items)
		return fail_memory(result);
	return fail(result, status, "%s%s%s%s", p->items[0].path, *p->items[0].path ? ": " : "",
		p->items[0].message, n > 1 ? " (and more problems)" : "");
}

static const ProtobufCMessage *change_object(
	const struct intent_state *base, const struct model *after, const Audums__V1__Change *c)
{
	const ProtobufCMessage *object = model_find(after, c->object->kind, c->object->name);

	return object ? object : model_find(base->model, c->object->kind, c->object->name);
}

/* The owner of an object; a provider owns itself. */
static const char *object_owner(const ProtobufCMessage *object)
{
	if (object_kind(object) == AUDUMS__V1__KIND__KIND_PROVIDER)
		return object_name(object);
	return object_provider(object);
}

/* Who changes objects, for whom the controller acts, and where to say why not. */
struct rights {
	const struct intent_options *options;
	const struct access *access;
	struct intent_result *result;
};

static bool right_over(const struct rights *r, const char *provider, char *why, size_t size)
{
	return access_change_provider(
		r->access, provider, r->options->providers, r->options->n_providers, why, size);
}

/* Has the asker rights over an object that another one is built on? A reference to nothing is no
 * matter of rights: the check of the whole tells it. */
static bool right_to_use(const struct rights *r, const struct model *after, Audums__V1__Kind kind,
	const char *name, char *why, size_t size)
{
	const ProtobufCMessage *object = model_find(after, kind, name);

	return !object || right_over(r, object_owner(object), why, size);
}

/*
 * To own an object is not enough where it takes hold of somebody else's: a node joins all segments
 * of its site, an attachment occupies a port of a node, a segment counts against its tenant's quota
 * and addresses, and a link must begin at a node of one's own. (That a segment spans a site is its
 * owner's to say, and that it is attached there the node owner's: both have agreed then.)
 */
static bool ground_check(const struct rights *r, const struct model *after,
	const ProtobufCMessage *object, char *why, size_t size)
{
	switch (object_kind(object)) {
	case AUDUMS__V1__KIND__KIND_NODE:
		return right_to_use(r, after, AUDUMS__V1__KIND__KIND_SITE,
			((const Audums__V1__Node *)object)->site, why, size);
	case AUDUMS__V1__KIND__KIND_ATTACHMENT:
		return right_to_use(r, after, AUDUMS__V1__KIND__KIND_NODE,
			((const Audums__V1__Attachment *)object)->node, why, size);
	case AUDUMS__V1__KIND__KIND_SEGMENT:
		return right_to_use(r, after, AUDUMS__V1__KIND__KIND_TENANT,
			((const Audums__V1__Segment *)object)->tenant, why, size);
	case AUDUMS__V1__KIND__KIND_LINK: {
		const Audums__V1__Link *link = (const Audums__V1__Link *)object;

		return !link->a || !link->b ||
		       right_to_use(
			       r, after, AUDUMS__V1__KIND__KIND_NODE, link->b->node, why, size) ||
		       right_to_use(
			       r, after, AUDUMS__V1__KIND__KIND_NODE, link->a->node, why, size);
	}
	default:
		return true;
	}
}

/* May the asker make all these changes? Both the old and the new owner count. */
static int rights_check(
	const struct intent_state *base, const struct model *after, const struct rights *r)
{
	char why[400];

	for (size_t i = 0; i < r->result->n_changes; i++) {
		const Audums__V1__ObjectRef *ref = r->result->changes[i]->object;
		const ProtobufCMessage *before = model_find(base->model, ref->kind, ref->name);
		const ProtobufCMessage *now = model_find(after, ref->kind, ref->name);

		if ((before && !right_over(r, object_owner(before), why, sizeof(why))) ||
			(now && !right_over(r, object_owner(now), why, sizeof(why))))
			return fail(r->result, -EACCES, "%s/%s may not be changed: %s",
				kind_name(ref->kind), ref->name, why);
		if (now && !ground_check(r, after, now, why, sizeof(why)))
			return fail(r->result, -EACCES,
				"%s/%s may not be changed, for what it is to use: %s",
				kind_name(ref->kind), ref->name, why);
	}
	return 0;
}

/* ---- the two kinds of requests ------------------------------------------------------------ */

static int merge_document(const struct intent_state *base, const struct intent_request *request,
	struct intent_result *result)
{
	int ret = rules_check(&request->document->base, "", &result->problems);

	if (!ret)
		ret = check_document(request->document, &result->problems);
	if (ret < 0)
		return fail_memory(result);
	if (problems_any(&result->problems))
		return fail_problems(result, -EINVAL);
	if (model_merge(base->document, request->document, &result->merge) < 0)
		return fail_memory(result);
	return 0;
}

static int merge_deletion(const struct intent_state *base, const struct intent_request *request,
	struct intent_result *result)
{
	for (size_t i = 0; i < request->n_refs; i++) {
		const Audums__V1__ObjectRef *ref = request->refs[i];

		if (ref->kind < KIND_FIRST || ref->kind > KIND_LAST)
			return fail(result, -EINVAL, "objects[%zu]: no such kind of object", i);
		if (!request->if_exists && !model_find(base->model, ref->kind, ref->name))
			return fail(result, -ENOENT, "there is no %s \"%.64s\"",
				kind_name(ref->kind), ref->name);
	}
	if (model_remove(base->document, request->refs, request->n_refs, &result->merge) < 0)
		return fail_memory(result);
	return 0;
}

/* Judge the whole that would be, or, of a deletion, what would refer to nothing. */
static int sense_check(const struct intent_state *base, const struct model *after,
	const struct intent_request *request, struct intent_result *result)
{
	int ret;

	if (request->document)
		ret = check_model(after, request->document, &result->problems);
	else
		ret = check_delete(base->model, request->refs, request->n_refs, request->if_exists,
			&result->problems);
	if (ret < 0)
		return fail_memory(result);
	if (problems_any(&result->problems))
		return fail_problems(result, request->document ? -EINVAL : -EBUSY);
	return 0;
}

/* ---- scope -------------------------------------------------------------------------------- */

static int scope_add(struct strmap *segments, const ProtobufCMessage *attachment)
{
	const char *name;

	if (!attachment)
		return 0;
	name = ((const Audums__V1__Attachment *)attachment)->segment;
	return strmap_put(segments, name, (void *)(uintptr_t)name);
}

/* Which segments have to be looked at; *all when the ground they stand on changes. */
static int scope_find(const struct intent_state *base, const struct model *after,
	const struct intent_result *result, bool *all, struct strmap *segments)
{
	int ret = 0;

	for (size_t i = 0; i < result->n_changes && !ret; i++) {
		const Audums__V1__ObjectRef *ref = result->changes[i]->object;

		switch (ref->kind) {
		case AUDUMS__V1__KIND__KIND_TENANT:
			break;
		case AUDUMS__V1__KIND__KIND_SEGMENT:
			ret = strmap_put(segments, ref->name, ref->name);
			break;
		case AUDUMS__V1__KIND__KIND_ATTACHMENT:
			ret = scope_add(segments, model_find(base->model, ref->kind, ref->name));
			if (!ret)
				ret = scope_add(segments, model_find(after, ref->kind, ref->name));
			break;
		default:
			*all = true;
			break;
		}
	}
	return ret;
}

/* ---- all of it ---------------------------------------------------------------------------- */

/* Objects that change carry the generation that changed them. */
static int changes_note(
	const struct intent_state *base, struct change *change, const struct intent_result *result)
{
	int ret = 0;

	for (size_t i = 0; i < result->n_changes && !ret; i++) {
		const Audums__V1__Change *c = result->changes[i];
		const ProtobufCMessage *object = change_object(base, change->next.model, c);

		if (c->action != AUDUMS__V1__CHANGE__ACTION__ACTION_DELETE)
			object_set_generation(
				(ProtobufCMessage *)(uintptr_t)object, change->next.generation);
		ret = touched_add(
			&change->touched, RECORD_OBJECT, c->object->kind, c->object->name);
	}
	return ret;
}

static int allocate(const struct intent_state *base, const struct intent_options *options,
	const struct model *applied, uint64_t now_ms, bool all, const struct strmap *segments,
	struct change *change, struct intent_result *result)
{
	const struct alloc_task task = {
		.before = base->model,
		.after = change->next.model,
		.change = applied,
		.all = all,
		.segments = segments,
		.now_ms = now_ms,
		.quarantine_ms = options->quarantine_ms,
		.touched = &change->touched,
		.problems = &result->problems,
	};

	change->next.alloc = alloc_clone(base->alloc);
	if (!change->next.alloc || alloc_update(change->next.alloc, &task) < 0)
		return fail_memory(result);
	if (problems_any(&result->problems))
		return fail_problems(result, -ENOSPC);
	if (plan_update(change->next.alloc, base->alloc, change->next.model, all, segments,
		    change->next.generation, &change->touched, &change->plan) < 0)
		return fail_memory(result);
	return 0;
}

int change_prepare(const struct intent_state *base, const struct intent_options *options,
	const struct intent_request *request, uint64_t generation, uint64_t now_ms,
	struct change *change, struct intent_result *result)
{
	struct strmap segments = {0};
	struct model *applied = NULL;
	bool all = !request;

	*change = (struct change){.next.generation = generation};
	result->generation = base->generation;
	if (request && request->expect_generation && request->expect_generation != base->generation)
		return fail(result, -ESTALE,
			"the intent is at generation %" PRIu64 ", not %" PRIu64
			": somebody changed it; look at it again",
			base->generation, request->expect_generation);
	if (!request) {
		if (model_remove(base->document, NULL, 0, &result->merge) < 0)
			fail_memory(result);
	} else if (request->document) {
		merge_document(base, request, result);
	} else {
		merge_deletion(base, request, result);
	}
	if (result->status)
		goto out;
	result->changes = result->merge.changes;
	result->n_changes = result->merge.n_changes;
	change->next.model = model_create(result->merge.document);
	if (!change->next.model) {
		fail_memory(result);
		goto out;
	}
	if (request && request->access &&
		rights_check(base, change->next.model,
			&(struct rights){options, request->access, result}))
		goto out;
	if (request && sense_check(base, change->next.model, request, result))
		goto out;
	if (request && request->document) {
		applied = model_create(request->document);
		if (!applied) {
			fail_memory(result);
			goto out;
		}
	}
	if (changes_note(base, change, result) < 0 ||
		scope_find(base, change->next.model, result, &all, &segments) < 0) {
		fail_memory(result);
		goto out;
	}
	if (result->n_changes || !request)
		allocate(base, options, applied, now_ms, all, &segments, change, result);
	change->empty = !result->n_changes && !change->plan.n;
out:
	strmap_free(&segments);
	if (applied)
		model_destroy(applied);
	/* the document is the state's from here on */
	if (!result->status) {
		change->next.document = result->merge.document;
		result->merge.document = NULL;
	} else {
		change_free(change);
	}
	return result->status;
}
