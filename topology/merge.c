/*
 * What becomes of an intent when a document is applied to it or objects are deleted; see model.h.
 *
 * Invariant: the inputs stay untouched, and the outcome shares nothing with them. Objects keep
 * their positions; new ones come at the end; so diffs of printed intents stay small.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/lib/pbfield.h"
#include "proto/lib/schema.h"
#include "topology/model.h"

static Audums__V1__Change *change_create(
	Audums__V1__Change__Action action, Audums__V1__Kind kind, const char *name)
{
	Audums__V1__Change *change = malloc(sizeof(*change));

	if (change == NULL)
		return NULL;
	audums__v1__change__init(change);
	change->action = action;
	change->object = malloc(sizeof(*change->object));
	if (change->object == NULL)
		goto fail;
	audums__v1__object_ref__init(change->object);
	change->object->kind = kind;
	change->object->name = strdup(name);
	if (change->object->name != NULL)
		return change;
fail:
	audums__v1__change__free_unpacked(change, NULL);
	return NULL;
}

static int changes_add(struct merge *merge, Audums__V1__Change *change)
{
	Audums__V1__Change **grown =
		realloc(merge->changes, (merge->n_changes + 1) * sizeof(grown[0]));

	if (grown == NULL) {
		audums__v1__change__free_unpacked(change, NULL);
		return -ENOMEM;
	}
	grown[merge->n_changes++] = change;
	merge->changes = grown;
	return 0;
}

/* Swap the fields that only the controller sets (top level) between two objects of one kind. */
static void output_swap(ProtobufCMessage *a, ProtobufCMessage *b)
{
	for (unsigned i = 0; i < a->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &a->descriptor->fields[i];
		const size_t size = pbfield_size(field->type);
		char *x = pbfield_member(a, field), *y = pbfield_member(b, field), tmp[16];

		/* they are singular and in no oneof: checked where the schema is tested */
		if (!schema_output_only(a->descriptor, field) || pbfield_repeated(field))
			continue;
		memcpy(tmp, x, size);
		memcpy(x, y, size);
		memcpy(y, tmp, size);
	}
}

/* Put a copy of `object` at `slot`, keeping what the controller had set there. */
static int object_update(
	struct merge *merge, ProtobufCMessage **slot, const ProtobufCMessage *object)
{
	const Audums__V1__Kind kind = object_kind(object);
	ProtobufCMessage *copy;
	Audums__V1__Change *change;
	int err;

	if (message_equal(*slot, object))
		return 0;
	change =
		change_create(AUDUMS__V1__CHANGE__ACTION__ACTION_UPDATE, kind, object_name(object));
	copy = message_clone(object);
	if (change == NULL || copy == NULL)
		goto fail;
	err = object_diff(*slot, object, &change->fields, &change->n_fields);
	if (err < 0)
		goto fail;
	message_clear_output(copy);
	output_swap(copy, *slot);
	protobuf_c_message_free_unpacked(*slot, NULL);
	*slot = copy;
	return changes_add(merge, change);
fail:
	if (change != NULL)
		audums__v1__change__free_unpacked(change, NULL);
	if (copy != NULL)
		protobuf_c_message_free_unpacked(copy, NULL);
	return -ENOMEM;
}

static int object_create(struct merge *merge, const ProtobufCMessage *object)
{
	const Audums__V1__Kind kind = object_kind(object);
	ProtobufCMessage *copy = message_clone(object);
	Audums__V1__Change *change;

	if (copy == NULL)
		return -ENOMEM;
	message_clear_output(copy);
	if (document_append(merge->document, copy) < 0) {
		protobuf_c_message_free_unpacked(copy, NULL);
		return -ENOMEM;
	}
	change =
		change_create(AUDUMS__V1__CHANGE__ACTION__ACTION_CREATE, kind, object_name(object));
	return change != NULL ? changes_add(merge, change) : -ENOMEM;
}

/* Merge the objects of one kind. `base` says where each name stands; copies stand at the same
 * place. */
static int kind_merge(struct merge *merge, const struct model *base, const struct model *change,
	Audums__V1__Kind kind)
{
	ProtobufCMessage *const *objects, *const *slots;
	const size_t n = document_objects(model_document(change), kind, &objects);
	size_t n_slots;
	int err = 0;

	for (size_t i = 0; i < n && err == 0; i++) {
		const char *name = object_name(objects[i]);
		ssize_t at = model_position(base, kind, name);

		if (at < 0 && model_position(change, kind, name) < (ssize_t)i) {
			/* twice in `change`, so created just now: look for it among the new ones */
			n_slots = document_objects(merge->document, kind, &slots);
			for (at = (ssize_t)n_slots - 1; at >= 0; at--)
				if (strcmp(object_name(slots[at]), name) == 0)
					break;
		}
		if (at >= 0) {
			document_objects(merge->document, kind, &slots);
			err = object_update(merge, (ProtobufCMessage **)&slots[at], objects[i]);
		} else {
			err = object_create(merge, objects[i]);
		}
	}
	return err;
}

int model_merge(
	const Audums__V1__Document *base, const Audums__V1__Document *change, struct merge *merge)
{
	struct model *base_model = model_create(base);
	struct model *change_model = model_create(change);
	int err = 0;

	memset(merge, 0, sizeof(*merge));
	merge->document = (Audums__V1__Document *)message_clone(&base->base);
	if (base_model == NULL || change_model == NULL || merge->document == NULL)
		err = -ENOMEM;
	for (Audums__V1__Kind k = KIND_FIRST; k <= KIND_LAST && err == 0; k++)
		err = kind_merge(merge, base_model, change_model, k);
	model_destroy(base_model);
	model_destroy(change_model);
	if (err < 0)
		model_merge_free(merge);
	return err;
}

/* Take an object out of the document, leaving a gap. One that is named twice goes once. */
static int object_remove(
	struct merge *merge, const struct model *base, const Audums__V1__ObjectRef *ref)
{
	const ssize_t at = model_position(base, ref->kind, ref->name);
	ProtobufCMessage *const *objects;
	ProtobufCMessage **slot;
	Audums__V1__Change *change;

	if (at < 0)
		return 0;
	document_objects(merge->document, ref->kind, &objects);
	slot = (ProtobufCMessage **)&objects[at];
	if (*slot == NULL)
		return 0;
	protobuf_c_message_free_unpacked(*slot, NULL);
	*slot = NULL;
	change = change_create(AUDUMS__V1__CHANGE__ACTION__ACTION_DELETE, ref->kind, ref->name);
	return change != NULL ? changes_add(merge, change) : -ENOMEM;
}

static void gaps_close(Audums__V1__Document *document, Audums__V1__Kind kind)
{
	ProtobufCMessage *const *objects;
	const size_t n = document_objects(document, kind, &objects);
	size_t kept = 0;

	for (size_t i = 0; i < n; i++)
		if (objects[i] != NULL)
			((ProtobufCMessage **)objects)[kept++] = objects[i];
	for (size_t i = n; i > kept; i--)
		document_take(document, kind, i - 1);
}

int model_remove(const Audums__V1__Document *base, Audums__V1__ObjectRef *const *refs,
	size_t n_refs, struct merge *merge)
{
	struct model *model = model_create(base);
	int err = 0;

	memset(merge, 0, sizeof(*merge));
	merge->document = (Audums__V1__Document *)message_clone(&base->base);
	if (model == NULL || merge->document == NULL)
		err = -ENOMEM;
	/* by position, as a deletion may name all there is */
	for (size_t i = 0; i < n_refs && err == 0; i++)
		err = object_remove(merge, model, refs[i]);
	if (merge->document != NULL)
		for (Audums__V1__Kind k = KIND_FIRST; k <= KIND_LAST; k++)
			gaps_close(merge->document, k);
	model_destroy(model);
	if (err < 0)
		model_merge_free(merge);
	return err;
}

void model_merge_free(struct merge *merge)
{
	if (merge->document != NULL)
		audums__v1__document__free_unpacked(merge->document, NULL);
	for (size_t i = 0; i < merge->n_changes; i++)
		audums__v1__change__free_unpacked(merge->changes[i], NULL);
	free(merge->changes);
	memset(merge, 0, sizeof(*merge));
}
