/* Objects whatever their kind; see object.h. */
#include "topology/object.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/lib/pbfield.h"
#include "proto/lib/pbtext.h"
#include "proto/lib/rules.h"
#include "proto/lib/schema.h"

static const struct {
	const char *name;
	const char *plural; /* also the name of Document's field */
	const ProtobufCMessageDescriptor *descriptor;
} kinds[KIND_COUNT] = {
	[AUDUMS__V1__KIND__KIND_PROVIDER] = {"provider", "providers",
		&audums__v1__provider__descriptor},
	[AUDUMS__V1__KIND__KIND_SITE] = {"site", "sites", &audums__v1__site__descriptor},
	[AUDUMS__V1__KIND__KIND_NODE] = {"node", "nodes", &audums__v1__node__descriptor},
	[AUDUMS__V1__KIND__KIND_LINK] = {"link", "links", &audums__v1__link__descriptor},
	[AUDUMS__V1__KIND__KIND_TENANT] = {"tenant", "tenants", &audums__v1__tenant__descriptor},
	[AUDUMS__V1__KIND__KIND_SEGMENT] = {"segment", "segments",
		&audums__v1__segment__descriptor},
	[AUDUMS__V1__KIND__KIND_ATTACHMENT] = {"attachment", "attachments",
		&audums__v1__attachment__descriptor},
};

static bool kind_valid(Audums__V1__Kind kind)
{
	return kind >= KIND_FIRST && kind <= KIND_LAST;
}

const char *kind_name(Audums__V1__Kind kind)
{
	return kind_valid(kind) ? kinds[kind].name : "?";
}

const char *kind_plural(Audums__V1__Kind kind)
{
	return kind_valid(kind) ? kinds[kind].plural : "?";
}

Audums__V1__Kind kind_parse(const char *text)
{
	for (Audums__V1__Kind k = KIND_FIRST; k <= KIND_LAST; k++)
		if (strcmp(text, kinds[k].name) == 0 || strcmp(text, kinds[k].plural) == 0)
			return k;
	return AUDUMS__V1__KIND__KIND_UNSPECIFIED;
}

const ProtobufCMessageDescriptor *kind_descriptor(Audums__V1__Kind kind)
{
	return kind_valid(kind) ? kinds[kind].descriptor : NULL;
}

Audums__V1__Kind object_kind(const ProtobufCMessage *object)
{
	for (Audums__V1__Kind k = KIND_FIRST; k <= KIND_LAST; k++)
		if (object->descriptor == kinds[k].descriptor)
			return k;
	return AUDUMS__V1__KIND__KIND_UNSPECIFIED;
}

int object_ref_parse(const char *text, Audums__V1__Kind *kind, const char **name)
{
	const char *slash = strchr(text, '/');
	char word[32];

	if (slash == NULL || (size_t)(slash - text) >= sizeof(word))
		return -EINVAL;
	memcpy(word, text, (size_t)(slash - text));
	word[slash - text] = '\0';
	*kind = kind_parse(word);
	*name = slash + 1;
	if (*kind == AUDUMS__V1__KIND__KIND_UNSPECIFIED ||
		rules_format_check(AUDUMS__V1__FORMAT__FORMAT_NAME, *name) != NULL)
		return -EINVAL;
	return 0;
}

/* ---- fields of all kinds -----------------------------------------------------------------------
 */

static const ProtobufCFieldDescriptor *field_named(const ProtobufCMessage *object, const char *name)
{
	return protobuf_c_message_descriptor_get_field_by_name(object->descriptor, name);
}

static const char *text_named(const ProtobufCMessage *object, const char *name)
{
	const ProtobufCFieldDescriptor *field = field_named(object, name);

	if (field == NULL || field->type != PROTOBUF_C_TYPE_STRING || pbfield_repeated(field))
		return "";
	return pbfield_string(pbfield_member(object, field));
}

const char *object_name(const ProtobufCMessage *object)
{
	return text_named(object, "name");
}

/* A provider owns itself. */
const char *object_provider(const ProtobufCMessage *object)
{
	if (object->descriptor == &audums__v1__provider__descriptor)
		return object_name(object);
	return text_named(object, "provider");
}

const char *object_display_name(const ProtobufCMessage *object)
{
	return text_named(object, "display_name");
}

uint64_t object_generation(const ProtobufCMessage *object)
{
	const ProtobufCFieldDescriptor *field = field_named(object, "generation");

	return field != NULL ? *(const uint64_t *)pbfield_member(object, field) : 0;
}

void object_set_generation(ProtobufCMessage *object, uint64_t generation)
{
	const ProtobufCFieldDescriptor *field = field_named(object, "generation");

	if (field != NULL)
		*(uint64_t *)pbfield_member(object, field) = generation;
}

size_t object_labels(const ProtobufCMessage *object, Audums__V1__Label *const **labels)
{
	const ProtobufCFieldDescriptor *field = field_named(object, "labels");
	const void *values;
	size_t n;

	if (field == NULL)
		return 0;
	n = pbfield_values(object, field, &values);
	*labels = values;
	return n;
}

/* ---- copy and compare --------------------------------------------------------------------------
 */

ProtobufCMessage *message_clone(const ProtobufCMessage *message)
{
	const size_t size = protobuf_c_message_get_packed_size(message);
	ProtobufCMessage *copy;
	uint8_t *buf;

	buf = malloc(size ? size : 1);
	if (buf == NULL)
		return NULL;
	protobuf_c_message_pack(message, buf);
	copy = protobuf_c_message_unpack(message->descriptor, NULL, size, buf);
	free(buf);
	return copy;
}

static bool value_equal(const ProtobufCFieldDescriptor *field, const void *a, const void *b)
{
	const ProtobufCBinaryData *x = a, *y = b;

	switch (field->type) {
	case PROTOBUF_C_TYPE_MESSAGE:
		return message_equal(pbfield_message(a), pbfield_message(b));
	case PROTOBUF_C_TYPE_STRING:
		return strcmp(pbfield_string(a), pbfield_string(b)) == 0;
	case PROTOBUF_C_TYPE_BYTES:
		return x->len == y->len && (x->len == 0 || memcmp(x->data, y->data, x->len) == 0);
	default:
		return memcmp(a, b, pbfield_size(field->type)) == 0;
	}
}

static bool field_equal(
	const ProtobufCMessage *a, const ProtobufCMessage *b, const ProtobufCFieldDescriptor *field)
{
	const void *x, *y;
	const size_t n = pbfield_values(a, field, &x);

	if (pbfield_values(b, field, &y) != n)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!value_equal(field, pbfield_value(field, x, i), pbfield_value(field, y, i)))
			return false;
	return true;
}

bool message_equal(const ProtobufCMessage *a, const ProtobufCMessage *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	if (a->descriptor != b->descriptor)
		return false;
	for (unsigned i = 0; i < a->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &a->descriptor->fields[i];

		if (!schema_output_only(a->descriptor, field) && !field_equal(a, b, field))
			return false;
	}
	return true;
}

int object_diff(const ProtobufCMessage *before, const ProtobufCMessage *after,
	Audums__V1__FieldChange ***fields, size_t *n_fields)
{
	const ProtobufCMessageDescriptor *descriptor = before->descriptor;
	Audums__V1__FieldChange **list;
	size_t n = 0;

	*fields = NULL;
	*n_fields = 0;
	list = calloc(descriptor->n_fields, sizeof(list[0]));
	if (list == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &descriptor->fields[i];
		Audums__V1__FieldChange *change;

		if (schema_output_only(descriptor, field) || field_equal(before, after, field))
			continue;
		change = malloc(sizeof(*change));
		if (change == NULL)
			goto fail;
		audums__v1__field_change__init(change);
		list[n++] = change;
		change->path = strdup(field->name);
		if (change->path == NULL ||
			pbtext_print_field(before, field, &change->before) < 0 ||
			pbtext_print_field(after, field, &change->after) < 0)
			goto fail;
	}
	if (n == 0) {
		free(list);
		list = NULL;
	}
	*fields = list;
	*n_fields = n;
	return 0;
fail:
	object_diff_free(list, n);
	return -ENOMEM;
}

void object_diff_free(Audums__V1__FieldChange **fields, size_t n_fields)
{
	for (size_t i = 0; i < n_fields; i++)
		audums__v1__field_change__free_unpacked(fields[i], NULL);
	free(fields);
}

void message_clear_output(ProtobufCMessage *message)
{
	const ProtobufCMessageDescriptor *descriptor = message->descriptor;

	for (unsigned i = 0; i < descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &descriptor->fields[i];
		const void *values;
		size_t n;

		if (schema_output_only(descriptor, field)) {
			pbfield_clear(message, field);
			continue;
		}
		if (field->type != PROTOBUF_C_TYPE_MESSAGE)
			continue;
		n = pbfield_values(message, field, &values);
		for (size_t k = 0; k < n; k++)
			message_clear_output(
				*(ProtobufCMessage *const *)pbfield_value(field, values, k));
	}
}

/* ---- documents ---------------------------------------------------------------------------------
 */

static const ProtobufCFieldDescriptor *kind_field(Audums__V1__Kind kind)
{
	return protobuf_c_message_descriptor_get_field_by_name(
		&audums__v1__document__descriptor, kinds[kind].plural);
}

size_t document_objects(const Audums__V1__Document *document, Audums__V1__Kind kind,
	ProtobufCMessage *const **objects)
{
	const void *values = NULL;
	size_t n = 0;

	if (kind_valid(kind))
		n = pbfield_values(&document->base, kind_field(kind), &values);
	*objects = values;
	return n;
}

size_t document_count(const Audums__V1__Document *document)
{
	ProtobufCMessage *const *objects;
	size_t n = 0;

	for (Audums__V1__Kind k = KIND_FIRST; k <= KIND_LAST; k++)
		n += document_objects(document, k, &objects);
	return n;
}

int document_append(Audums__V1__Document *document, ProtobufCMessage *object)
{
	const Audums__V1__Kind kind = object_kind(object);
	ProtobufCMessage ***objects, **grown;
	size_t *n;

	if (!kind_valid(kind))
		return -EINVAL;
	objects = pbfield_member(&document->base, kind_field(kind));
	n = pbfield_quantifier(&document->base, kind_field(kind));
	/* nothing is known of the room in an array that protobuf-c made, so ask each time */
	grown = realloc(*objects, (*n + 1) * sizeof(grown[0]));
	if (grown == NULL)
		return -ENOMEM;
	grown[(*n)++] = object;
	*objects = grown;
	return 0;
}

ProtobufCMessage *document_take(Audums__V1__Document *document, Audums__V1__Kind kind, size_t at)
{
	ProtobufCMessage **objects, *object;
	size_t *n;

	if (!kind_valid(kind))
		return NULL;
	objects = *(ProtobufCMessage ***)pbfield_member(&document->base, kind_field(kind));
	n = pbfield_quantifier(&document->base, kind_field(kind));
	if (at >= *n)
		return NULL;
	object = objects[at];
	memmove(objects + at, objects + at + 1, (*n - at - 1) * sizeof(objects[0]));
	(*n)--;
	return object;
}
