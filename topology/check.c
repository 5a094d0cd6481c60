/*
 * Checks across objects: what all of them share, references, duplicates, deletion; see check.h. The
 * checks of single subjects are in check_pools.c, check_ports.c and check_segments.c.
 */
#include "topology/check.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/lib/pbfield.h"
#include "proto/lib/schema.h"
#include "proto/lib/strbuf.h"
#include "topology/check_internal.h"

#define USERS_SHOWN 3 /* of an object that can't be deleted */

/* ---- reporting ---------------------------------------------------------------------------------
 */

struct place place_at(const void *object, const char *field_fmt, ...)
{
	struct place place = {.object = object};
	va_list ap;

	va_start(ap, field_fmt);
	vsnprintf(place.field, sizeof(place.field), field_fmt, ap);
	va_end(ap);
	return place;
}

void check_report(
	struct check *check, const struct place *places, size_t n_places, const char *fmt, ...)
{
	struct strbuf path = STRBUF_INIT;
	const struct place *chosen = NULL;
	Audums__V1__Kind kind;
	ssize_t at = -1;
	va_list ap;

	for (size_t i = 0; i < n_places && at < 0; i++) {
		chosen = &places[i];
		kind = object_kind(chosen->object);
		at = model_position(check->change, kind, object_name(chosen->object));
	}
	if (at < 0)
		chosen = &places[0];
	kind = object_kind(chosen->object);
	if (at >= 0)
		strbuf_printf(&path, "%s[%zd]", kind_plural(kind), at);
	else
		strbuf_printf(&path, "%s/%s", kind_name(kind), object_name(chosen->object));
	if (chosen->field[0] != '\0')
		strbuf_printf(&path, ".%s", chosen->field);
	check->no_memory |= path.no_memory;
	if (!path.no_memory &&
		!problems_cover(check->problems, check->n_before, strbuf_text(&path))) {
		va_start(ap, fmt);
		problems_vadd_at(check->problems, NULL, 0, 0, strbuf_text(&path), fmt, ap);
		va_end(ap);
		check->n_found++;
	}
	strbuf_free(&path);
}

bool prefix_parse(const char *text, struct prefix *prefix)
{
	const char *slash = strchr(text, '/');
	char head[INET6_ADDRSTRLEN];
	unsigned long bits;
	char *end;

	if (slash == NULL || (size_t)(slash - text) >= sizeof(head))
		return false;
	memset(prefix, 0, sizeof(*prefix));
	memcpy(head, text, (size_t)(slash - text));
	head[slash - text] = '\0';
	prefix->family = strchr(head, ':') ? AF_INET6 : AF_INET;
	if (inet_pton(prefix->family, head, prefix->first) != 1)
		return false;
	bits = prefix->family == AF_INET ? 32 : 128;
	prefix->length = (unsigned)strtoul(slash + 1, &end, 10);
	if (end == slash + 1 || *end != '\0' || prefix->length > bits)
		return false;
	memcpy(prefix->last, prefix->first, sizeof(prefix->last));
	for (unsigned bit = prefix->length; bit < bits; bit++) {
		prefix->first[bit / 8] &= (uint8_t) ~(0x80u >> (bit % 8));
		prefix->last[bit / 8] |= (uint8_t)(0x80u >> (bit % 8));
	}
	return true;
}

/* ---- references --------------------------------------------------------------------------------
 */

struct reference_walk {
	const ProtobufCMessage *object;
	struct strbuf path;
	void (*visit)(void *context, const ProtobufCMessage *object, const char *field,
		Audums__V1__Kind kind, const char *name);
	void *context;
};

static void message_references(struct reference_walk *w, const ProtobufCMessage *message)
{
	const ProtobufCMessageDescriptor *descriptor = message->descriptor;
	const size_t path_len = w->path.len;

	for (unsigned i = 0; i < descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &descriptor->fields[i];
		const Audums__V1__Rules *rules;
		const void *values;
		size_t n;

		if (field->type != PROTOBUF_C_TYPE_STRING && field->type != PROTOBUF_C_TYPE_MESSAGE)
			continue;
		rules = schema_rules(descriptor, field);
		if (rules != NULL && rules->output_only)
			continue;
		if (field->type == PROTOBUF_C_TYPE_STRING &&
			(rules == NULL || rules->ref[0] == '\0'))
			continue;
		n = pbfield_values(message, field, &values);
		for (size_t k = 0; k < n; k++) {
			const void *value = pbfield_value(field, values, k);

			strbuf_printf(&w->path, path_len ? ".%s" : "%s", field->name);
			if (pbfield_repeated(field))
				strbuf_printf(&w->path, "[%zu]", k);
			if (field->type == PROTOBUF_C_TYPE_STRING)
				w->visit(w->context, w->object, strbuf_text(&w->path),
					kind_parse(rules->ref), pbfield_string(value));
			else
				message_references(w, pbfield_message(value));
			strbuf_cut(&w->path, path_len);
		}
	}
}

void object_references(const ProtobufCMessage *object,
	void (*visit)(void *context, const ProtobufCMessage *object, const char *field,
		Audums__V1__Kind kind, const char *name),
	void *context)
{
	struct reference_walk w = {.object = object, .visit = visit, .context = context};

	message_references(&w, object);
	strbuf_free(&w.path);
}

static void reference_check(void *context, const ProtobufCMessage *object, const char *field,
	Audums__V1__Kind kind, const char *name)
{
	const struct place place = place_at(object, "%s", field);
	struct check *check = context;

	if (name[0] != '\0' && model_find(check->model, kind, name) == NULL)
		check_report(check, &place, 1, "there is no %s \"%s\"", kind_name(kind), name);
}

/* ---- whole intents -----------------------------------------------------------------------------
 */

static void objects_visit(const Audums__V1__Document *document,
	void (*visit)(void *context, const ProtobufCMessage *object, const char *field,
		Audums__V1__Kind kind, const char *name),
	void *context)
{
	for (Audums__V1__Kind k = KIND_FIRST; k <= KIND_LAST; k++) {
		ProtobufCMessage *const *objects;
		const size_t n = document_objects(document, k, &objects);

		for (size_t i = 0; i < n; i++)
			object_references(objects[i], visit, context);
	}
}

static int duplicates_check(const struct model *model, struct problems *problems)
{
	const size_t n_before = problems->n_items;
	int found = 0;

	for (Audums__V1__Kind k = KIND_FIRST; k <= KIND_LAST; k++) {
		ProtobufCMessage *const *objects;
		const size_t n = document_objects(model_document(model), k, &objects);

		for (size_t i = 0; i < n; i++) {
			const char *name = object_name(objects[i]);
			const ssize_t first = model_position(model, k, name);
			char path[64];

			if (first == (ssize_t)i || name[0] == '\0')
				continue;
			snprintf(path, sizeof(path), "%s[%zu].name", kind_plural(k), i);
			if (problems_cover(problems, n_before, path))
				continue;
			problems_add(problems, path,
				"there are two %s named \"%s\", the first is %s[%zd]",
				kind_plural(k), name, kind_plural(k), first);
			found++;
		}
	}
	return found;
}

int check_document(const Audums__V1__Document *document, struct problems *problems)
{
	struct model *model = model_create(document);
	int n;

	if (model == NULL)
		return -ENOMEM;
	n = duplicates_check(model, problems);
	model_destroy(model);
	return problems->no_memory ? -ENOMEM : n;
}

int check_model(
	const struct model *result, const Audums__V1__Document *change, struct problems *problems)
{
	struct model *change_model = model_create(change);
	struct check check = {.model = result,
		.change = change_model,
		.problems = problems,
		.n_before = problems->n_items};

	if (change_model == NULL || schema_init() < 0) {
		model_destroy(change_model);
		return -ENOMEM;
	}
	check.n_found = duplicates_check(change_model, problems);
	objects_visit(model_document(result), reference_check, &check);
	check_providers(&check);
	check_nodes(&check);
	check_ports(&check);
	check_segments(&check);
	model_destroy(change_model);
	return check.no_memory || problems->no_memory ? -ENOMEM : check.n_found;
}

/* ---- deletion ----------------------------------------------------------------------------------
 */

/* Who uses an object that is to be deleted. */
struct users {
	size_t n;
	const ProtobufCMessage *first[USERS_SHOWN];
};

struct deletion {
	const struct model *base;
	ssize_t *doomed[KIND_COUNT]; /* by position: index in refs; -1 = stays */
	struct users *users;         /* by index in refs */
};

static void user_note(void *context, const ProtobufCMessage *object, const char *field,
	Audums__V1__Kind kind, const char *name)
{
	const struct deletion *d = context;
	const Audums__V1__Kind own = object_kind(object);
	const ssize_t self = model_position(d->base, own, object_name(object));
	const ssize_t at = model_position(d->base, kind, name);
	struct users *users;

	if (at < 0 || d->doomed[kind][at] < 0 || (self >= 0 && d->doomed[own][self] >= 0))
		return;
	users = &d->users[d->doomed[kind][at]];
	/* an object may refer twice, one reference after the other: a segment's sites do not repeat
	 */
	if (users->n > 0 && users->n <= USERS_SHOWN && users->first[users->n - 1] == object)
		return;
	if (users->n < USERS_SHOWN)
		users->first[users->n] = object;
	users->n++;
}

static int deletion_start(struct deletion *d, Audums__V1__ObjectRef *const *refs, size_t n_refs,
	bool if_exists, struct problems *problems)
{
	int found = 0;

	d->users = calloc(n_refs ? n_refs : 1, sizeof(d->users[0]));
	if (d->users == NULL)
		return -ENOMEM;
	for (Audums__V1__Kind k = KIND_FIRST; k <= KIND_LAST; k++) {
		ProtobufCMessage *const *objects;
		const size_t n = document_objects(model_document(d->base), k, &objects);

		d->doomed[k] = malloc((n ? n : 1) * sizeof(d->doomed[k][0]));
		if (d->doomed[k] == NULL)
			return -ENOMEM;
		for (size_t i = 0; i < n; i++)
			d->doomed[k][i] = -1;
	}
	for (size_t i = 0; i < n_refs; i++) {
		const ssize_t at = model_position(d->base, refs[i]->kind, refs[i]->name);
		char path[32];

		if (at >= 0) {
			d->doomed[refs[i]->kind][at] = (ssize_t)i;
			continue;
		}
		snprintf(path, sizeof(path), "objects[%zu]", i);
		if (refs[i]->kind < KIND_FIRST || refs[i]->kind > KIND_LAST) {
			problems_add(problems, path, "names no kind of object");
			found++;
		} else if (!if_exists) {
			problems_add(problems, path, "there is no %s \"%s\"",
				kind_name(refs[i]->kind), refs[i]->name);
			found++;
		}
	}
	return found;
}

static void users_report(const struct users *users, const Audums__V1__ObjectRef *ref, size_t index,
	struct problems *problems)
{
	struct strbuf list = STRBUF_INIT;
	char path[32];

	for (size_t i = 0; i < users->n && i < USERS_SHOWN; i++)
		strbuf_printf(&list, "%s%s \"%s\"", i ? ", " : "",
			kind_name(object_kind(users->first[i])), object_name(users->first[i]));
	if (users->n > USERS_SHOWN)
		strbuf_printf(&list, " and %zu more", users->n - USERS_SHOWN);
	snprintf(path, sizeof(path), "objects[%zu]", index);
	problems_add(problems, path, "%s \"%s\" can't be deleted, it is still used by %s",
		kind_name(ref->kind), ref->name, strbuf_text(&list));
	strbuf_free(&list);
}

int check_delete(const struct model *base, Audums__V1__ObjectRef *const *refs, size_t n_refs,
	bool if_exists, struct problems *problems)
{
	struct deletion d = {.base = base};
	int found;

	found = deletion_start(&d, refs, n_refs, if_exists, problems);
	if (found < 0)
		goto out;
	objects_visit(model_document(base), user_note, &d);
	for (size_t i = 0; i < n_refs; i++) {
		if (d.users[i].n == 0)
			continue;
		users_report(&d.users[i], refs[i], i, problems);
		found++;
	}
	if (found == 0)
		found = check_parting(base, d.doomed, n_refs, problems);
	if (problems->no_memory)
		found = -ENOMEM;
out:
	for (Audums__V1__Kind k = KIND_FIRST; k <= KIND_LAST; k++)
		free(d.doomed[k]);
	free(d.users);
	return found;
}
