/*
 * From the tree of a text to a message, by descriptor: the one place that judges the form of YAML
 * and JSON input. Called by pbyaml.c and pbjson.c.
 *
 * Invariant: after an error the message is still whole. An element of a list that could not be read
 * stays in its place with defaults, so that indexes in paths are those of the text.
 */
#include "proto/lib/pbtree.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "proto/lib/base64.h"
#include "proto/lib/pbenum.h"
#include "proto/lib/pbfield.h"
#include "proto/lib/schema.h"
#include "proto/lib/strbuf.h"
#include "proto/lib/utf8.h"

#define QUOTE_MAX_CHARACTERS 40 /* of the user's text in an error */
#define MAX_FIELDS           64 /* of one message type, for the search of duplicates */

struct decoder {
	const char *file;
	struct locations *locations;
	struct problems *problems;
	struct strbuf path;
	bool no_memory;
};

static void decode_message(
	struct decoder *d, const struct pbtree_node *node, ProtobufCMessage *message, bool root);

ProtobufCMessage *pbtree_message_create(const ProtobufCMessageDescriptor *descriptor)
{
	ProtobufCMessage *message = malloc(descriptor->sizeof_message);

	if (message != NULL)
		protobuf_c_message_init(descriptor, message);
	return message;
}

/* Append the user's text, shortened and without control characters. */
static void add_shown(struct strbuf *out, const char *text, size_t len)
{
	size_t at = 0, shown = 0;

	while (at < len) {
		uint32_t c = 0;
		const size_t n = utf8_next(text + at, len - at, &c);

		if (shown++ == QUOTE_MAX_CHARACTERS) {
			strbuf_add_text(out, "...");
			return;
		}
		if (n == 0 || utf8_control(c))
			strbuf_add_char(out, '?');
		else
			strbuf_add(out, text + at, n);
		at += n ? n : 1;
	}
}

static bool node_is_null(const struct pbtree_node *node)
{
	return node->kind == PBTREE_PLAIN &&
	       (node->len == 0 || strcmp(node->text, "~") == 0 || strcmp(node->text, "null") == 0);
}

static void complain(struct decoder *d, const struct pbtree_node *node, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static void complain(struct decoder *d, const struct pbtree_node *node, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	problems_vadd_at(
		d->problems, d->file, node->line, node->column, strbuf_text(&d->path), fmt, ap);
	va_end(ap);
}

/* "expected WHAT, got ..." at the node. */
static void complain_expected(struct decoder *d, const struct pbtree_node *node, const char *what)
{
	struct strbuf got = STRBUF_INIT;

	switch (node->kind) {
	case PBTREE_ALIAS:
		complain(d, node, "aliases are not supported: write the value out");
		return;
	case PBTREE_TAGGED:
		complain(d, node, "tags are not supported: write the value without \"!\"");
		return;
	case PBTREE_LIST:
		strbuf_add_text(&got, "a list");
		break;
	case PBTREE_MAP:
		strbuf_add_text(&got, "a map");
		break;
	case PBTREE_QUOTED:
		strbuf_add_text(&got, "the text \"");
		add_shown(&got, node->text, node->len);
		strbuf_add_char(&got, '"');
		break;
	case PBTREE_PLAIN:
		if (node_is_null(node)) {
			strbuf_add_text(&got, "nothing");
			break;
		}
		strbuf_add_char(&got, '"');
		add_shown(&got, node->text, node->len);
		strbuf_add_char(&got, '"');
		break;
	}
	complain(d, node, "expected %s, got %s", what, strbuf_text(&got));
	strbuf_free(&got);
}

static void path_push(struct decoder *d, const char *name, size_t len)
{
	if (d->path.len > 0)
		strbuf_add_char(&d->path, '.');
	add_shown(&d->path, name, len);
}

static void path_locate(struct decoder *d, const struct pbtree_node *node)
{
	if (d->locations != NULL && node->line > 0 &&
		locations_add(
			d->locations, strbuf_text(&d->path), d->file, node->line, node->column) < 0)
		d->no_memory = true;
}

/* ---- scalars --------------------------------------------------------------------------------- */

/* A decimal without leading zeros. Returns false when it is none, or above 64 bits. */
static bool number_parse(const struct pbtree_node *node, bool *negative, uint64_t *value)
{
	const char *s = node->text;
	uint64_t v = 0;

	*negative = *s == '-';
	if (*negative)
		s++;
	if (*s == '\0' || (*s == '0' && s[1] != '\0') || strlen(node->text) != node->len)
		return false;
	for (; *s; s++) {
		const uint64_t digit = (uint64_t)(*s - '0');

		if (*s < '0' || *s > '9' || v > (UINT64_MAX - digit) / 10)
			return false;
		v = v * 10 + digit;
	}
	*value = v;
	return true;
}

static void decode_number(
	struct decoder *d, const struct pbtree_node *node, void *slot, size_t size, bool is_signed)
{
	const uint64_t most = size == 8 ? (is_signed ? INT64_MAX : UINT64_MAX)
					: (is_signed ? INT32_MAX : UINT32_MAX);
	const uint64_t least = is_signed ? most + 1 : 0; /* below zero */
	char what[96];
	uint64_t value;
	bool negative;

	if (node->kind == PBTREE_PLAIN && number_parse(node, &negative, &value) &&
		value <= (negative ? least : most)) {
		if (negative)
			value = -value;
		if (size == 8)
			*(uint64_t *)slot = value;
		else
			*(uint32_t *)slot = (uint32_t)value;
		return;
	}
	if (node->kind == PBTREE_QUOTED && number_parse(node, &negative, &value))
		snprintf(what, sizeof(what), "a number without quotes");
	else
		snprintf(what, sizeof(what), "a whole number from %s%" PRIu64 " to %" PRIu64,
			is_signed ? "-" : "", least, most);
	complain_expected(d, node, what);
}

static void decode_real(
	struct decoder *d, const struct pbtree_node *node, void *slot, bool is_float)
{
	char *end = NULL;
	double value = 0;

	if (node->kind == PBTREE_PLAIN && node->len > 0)
		value = strtod(node->text, &end);
	if (end == NULL || *end != '\0') {
		complain_expected(d, node, "a number");
		return;
	}
	if (is_float)
		*(float *)slot = (float)value;
	else
		*(double *)slot = value;
}

static void decode_bool(struct decoder *d, const struct pbtree_node *node, void *slot)
{
	if (node->kind == PBTREE_PLAIN && strcasecmp(node->text, "true") == 0)
		*(protobuf_c_boolean *)slot = 1;
	else if (node->kind != PBTREE_PLAIN || strcasecmp(node->text, "false") != 0)
		complain_expected(d, node, "true or false");
}

static void decode_enum(struct decoder *d, const struct pbtree_node *node,
	const ProtobufCEnumDescriptor *descriptor, void *slot)
{
	struct strbuf what = STRBUF_INIT;
	int value;

	if ((node->kind == PBTREE_PLAIN || node->kind == PBTREE_QUOTED) &&
		pbenum_parse(descriptor, node->text, &value)) {
		*(int32_t *)slot = value;
		return;
	}
	pbenum_list(descriptor, &what);
	complain_expected(d, node, strbuf_text(&what));
	strbuf_free(&what);
}

static void decode_string(struct decoder *d, const struct pbtree_node *node, void *slot)
{
	char *copy;

	if (node->kind != PBTREE_PLAIN && node->kind != PBTREE_QUOTED) {
		complain_expected(d, node, "a text");
		return;
	}
	if (memchr(node->text, '\0', node->len) != NULL) {
		complain_expected(d, node, "a text without NUL characters");
		return;
	}
	copy = strdup(node->text);
	if (copy == NULL)
		d->no_memory = true;
	else
		*(char **)slot = copy;
}

static void decode_bytes(struct decoder *d, const struct pbtree_node *node, void *slot)
{
	ProtobufCBinaryData *bytes = slot;
	int err = -EINVAL;

	if (node->kind == PBTREE_PLAIN || node->kind == PBTREE_QUOTED)
		err = base64_decode(node->text, node->len, &bytes->data, &bytes->len);
	if (err == -ENOMEM)
		d->no_memory = true;
	else if (err < 0)
		complain_expected(d, node, "base64 with padding");
}

/* ---- fields ---------------------------------------------------------------------------------- */

/* One value into a slot that holds the type's zero. A problem leaves the slot as it is. */
static void decode_value(struct decoder *d, const struct pbtree_node *node,
	const ProtobufCFieldDescriptor *field, void *slot)
{
	ProtobufCMessage *message;

	switch (field->type) {
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
		decode_number(d, node, slot, 4, true);
		break;
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
		decode_number(d, node, slot, 4, false);
		break;
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
		decode_number(d, node, slot, 8, true);
		break;
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		decode_number(d, node, slot, 8, false);
		break;
	case PROTOBUF_C_TYPE_FLOAT:
	case PROTOBUF_C_TYPE_DOUBLE:
		decode_real(d, node, slot, field->type == PROTOBUF_C_TYPE_FLOAT);
		break;
	case PROTOBUF_C_TYPE_BOOL:
		decode_bool(d, node, slot);
		break;
	case PROTOBUF_C_TYPE_ENUM:
		decode_enum(d, node, field->descriptor, slot);
		break;
	case PROTOBUF_C_TYPE_STRING:
		decode_string(d, node, slot);
		break;
	case PROTOBUF_C_TYPE_BYTES:
		decode_bytes(d, node, slot);
		break;
	case PROTOBUF_C_TYPE_MESSAGE:
		message = pbtree_message_create(field->descriptor);
		*(ProtobufCMessage **)slot = message;
		if (message == NULL)
			d->no_memory = true;
		else
			decode_message(d, node, message, false);
		break;
	}
}

static void decode_list(struct decoder *d, const struct pbtree_node *node,
	ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
	const size_t size = pbfield_size(field->type);
	void **values = pbfield_member(message, field);
	size_t *n = pbfield_quantifier(message, field);
	const size_t path_len = d->path.len;
	char *grown;

	if (node->kind != PBTREE_LIST) {
		complain_expected(d, node, "a list");
		return;
	}
	if (node->n_children == 0)
		return;
	grown = realloc(*values, (*n + node->n_children) * size);
	if (grown == NULL) {
		d->no_memory = true;
		return;
	}
	*values = grown;
	memset(grown + *n * size, 0, node->n_children * size);
	for (const struct pbtree_node *child = node->first; child != NULL; child = child->next) {
		void *slot = grown + *n * size;

		strbuf_printf(&d->path, "[%zu]", (*n)++);
		path_locate(d, child);
		/* a list's element may not be left out: "- " alone is a slip */
		if (node_is_null(child) && field->type != PROTOBUF_C_TYPE_MESSAGE)
			complain_expected(d, child, "a value");
		else
			decode_value(d, child, field, slot);
		if (field->type == PROTOBUF_C_TYPE_STRING && *(char **)slot == NULL) {
			*(char **)slot = strdup("");
			d->no_memory |= *(char **)slot == NULL;
		}
		strbuf_cut(&d->path, path_len);
		if (d->no_memory) {
			/* no message pointer may stay NULL among the elements */
			if (field->type == PROTOBUF_C_TYPE_MESSAGE && *(void **)slot == NULL)
				(*n)--;
			return;
		}
	}
}

static void decode_singular(struct decoder *d, const struct pbtree_node *node,
	ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
	const void *values;
	uint32_t *chosen;

	if (pbfield_values(message, field, &values) > 0) {
		complain(d, node, "is given in an earlier document already");
		return;
	}
	if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) {
		chosen = pbfield_quantifier(message, field);
		if (*chosen != 0 && *chosen != field->id) {
			const ProtobufCFieldDescriptor *other =
				protobuf_c_message_descriptor_get_field(
					message->descriptor, *chosen);

			complain(d, node, "can't be given together with \"%s\"", other->name);
			return;
		}
		if (field->type == PROTOBUF_C_TYPE_STRING)
			*(const void **)pbfield_member(message, field) = field->default_value;
		*chosen = field->id;
	} else if (field->label == PROTOBUF_C_LABEL_OPTIONAL && field->quantifier_offset != 0) {
		*(protobuf_c_boolean *)pbfield_quantifier(message, field) = 1;
	}
	decode_value(d, node, field, pbfield_member(message, field));
}

static void complain_unknown(struct decoder *d, const struct pbtree_node *key,
	const ProtobufCMessageDescriptor *descriptor)
{
	const ProtobufCFieldDescriptor *near = pbfield_nearest(descriptor, key->text);
	struct strbuf names = STRBUF_INIT;

	if (near != NULL) {
		complain(d, key, "unknown field, did you mean \"%s\"?", near->name);
		return;
	}
	for (unsigned i = 0; i < descriptor->n_fields; i++)
		if (!schema_output_only(descriptor, &descriptor->fields[i]))
			strbuf_printf(
				&names, "%s%s", names.len ? ", " : "", descriptor->fields[i].name);
	complain(d, key, "unknown field, expected one of %s", strbuf_text(&names));
	strbuf_free(&names);
}

/* `seen`: line of the key that gave a field before, by the field's index; 0 = not yet. */
static void decode_pair(struct decoder *d, const struct pbtree_node *key,
	const struct pbtree_node *value, ProtobufCMessage *message, unsigned seen[MAX_FIELDS])
{
	const ProtobufCMessageDescriptor *descriptor = message->descriptor;
	const ProtobufCFieldDescriptor *field;
	unsigned index;

	if (key->kind != PBTREE_PLAIN && key->kind != PBTREE_QUOTED) {
		complain_expected(d, key, "the name of a field");
		return;
	}
	path_push(d, key->text, key->len);
	field = protobuf_c_message_descriptor_get_field_by_name(descriptor, key->text);
	if (field == NULL || strlen(key->text) != key->len) {
		complain_unknown(d, key, descriptor);
		return;
	}
	index = (unsigned)(field - descriptor->fields);
	if (index < MAX_FIELDS && seen[index] > 0) {
		if (key->line > 0)
			complain(d, key, "is given twice, first in line %u", seen[index]);
		else
			complain(d, key, "is given twice");
		return;
	}
	if (index < MAX_FIELDS)
		seen[index] = key->line > 0 ? key->line : 1;
	if (schema_output_only(descriptor, field)) /* what was read is written back with it */
		return;
	path_locate(d, node_is_null(value) ? key : value);
	if (node_is_null(value)) /* "labels:" with nothing beneath is as if it weren't there */
		return;
	if (pbfield_repeated(field))
		decode_list(d, value, message, field);
	else
		decode_singular(d, value, message, field);
}

static void decode_message(
	struct decoder *d, const struct pbtree_node *node, ProtobufCMessage *message, bool root)
{
	unsigned seen[MAX_FIELDS] = {0};
	const size_t path_len = d->path.len;
	const struct pbtree_node *key, *value;
	char what[160];

	if (root && node_is_null(node))
		return;
	if (node->kind != PBTREE_MAP) {
		snprintf(what, sizeof(what), "a map with the fields of %s",
			message->descriptor->short_name);
		complain_expected(d, node, what);
		return;
	}
	for (key = node->first; key != NULL && !d->no_memory; key = value->next) {
		value = key->next;
		if (value == NULL) /* the text broke off here */
			break;
		decode_pair(d, key, value, message, seen);
		strbuf_cut(&d->path, path_len);
	}
}

int pbtree_decode(const struct pbtree_node *root, ProtobufCMessage *message, const char *file,
	struct locations *locations, struct problems *problems)
{
	struct decoder d = {.file = file, .locations = locations, .problems = problems};
	const int err = schema_init();

	if (err < 0)
		return err;
	path_locate(&d, root);
	decode_message(&d, root, message, true);
	if (d.path.no_memory)
		d.no_memory = true;
	strbuf_free(&d.path);
	return d.no_memory ? -ENOMEM : 0;
}
