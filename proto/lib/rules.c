/*
 * Messages against the rules of the schema; see rules.h.
 *
 * Invariant: the message may come from anywhere, so nothing about it is trusted: enum values,
 * UTF-8, depth. A path that already has a problem when the check starts (its form was wrong) gets
 * no second one, nor does anything beneath it: it would only repeat that the value isn't there.
 */
#include "proto/lib/rules.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>

#include "proto/lib/pbenum.h"
#include "proto/lib/pbfield.h"
#include "proto/lib/schema.h"
#include "proto/lib/strbuf.h"
#include "proto/lib/utf8.h"

#define MAX_LEN_DEFAULT   255
#define MAX_ITEMS_DEFAULT 4096
#define MAX_DEPTH         32

struct checker {
	struct problems *problems;
	size_t n_before; /* problems that were there when the check began */
	struct strbuf path;
	size_t n_found;
};

static void check_message(struct checker *c, const ProtobufCMessage *message, int depth);

static void complain(struct checker *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void complain(struct checker *c, const char *fmt, ...)
{
	const char *path = strbuf_text(&c->path);
	va_list ap;

	if (problems_cover(c->problems, c->n_before, path))
		return;
	c->n_found++;
	va_start(ap, fmt);
	problems_vadd_at(c->problems, NULL, 0, 0, path, fmt, ap);
	va_end(ap);
}

static void check_string(struct checker *c, const char *text, const Audums__V1__Rules *rules)
{
	const size_t len = strlen(text);
	const size_t max = rules->max_len ? rules->max_len : MAX_LEN_DEFAULT;
	const char *expected;
	size_t at = 0;

	if (len > max) {
		complain(c, "is %zu octets long, expected at most %zu", len, max);
		return;
	}
	while (at < len) {
		uint32_t character;
		const size_t n = utf8_next(text + at, len - at, &character);

		if (n == 0) {
			complain(c, "is not UTF-8 from octet %zu on", at + 1);
			return;
		}
		if (utf8_control(character)) {
			complain(c, "holds the control character U+%04X, expected plain text",
				(unsigned)character);
			return;
		}
		at += n;
	}
	if (len == 0) /* an empty text is an absent one: "required" speaks of that */
		return;
	expected = rules_format_check(rules->format, text);
	if (expected != NULL)
		complain(c, "is \"%s\", %s", text, expected);
}

static void check_number(struct checker *c, const ProtobufCFieldDescriptor *field,
	const void *value, const Audums__V1__Rules *rules)
{
	bool negative;
	const uint64_t number = pbfield_integer(field, value, &negative);
	char shown[32];

	if (number == 0 || (rules->min == 0 && rules->max == 0))
		return;
	if (negative)
		snprintf(shown, sizeof(shown), "%" PRId64, (int64_t)number);
	else
		snprintf(shown, sizeof(shown), "%" PRIu64, number);
	if (!negative && number >= rules->min && (rules->max == 0 || number <= rules->max))
		return;
	if (rules->max == 0)
		complain(c, "is %s, expected at least %" PRIu64, shown, rules->min);
	else
		complain(c, "is %s, expected a number from %" PRIu64 " to %" PRIu64, shown,
			rules->min, rules->max);
}

static void check_enum(struct checker *c, const ProtobufCEnumDescriptor *descriptor, int value)
{
	struct strbuf names = STRBUF_INIT;

	if (protobuf_c_enum_descriptor_get_value(descriptor, value) != NULL)
		return;
	pbenum_list(descriptor, &names);
	complain(c, "is %d, expected %s", value, strbuf_text(&names));
	strbuf_free(&names);
}

static void check_value(struct checker *c, const ProtobufCFieldDescriptor *field, const void *value,
	const Audums__V1__Rules *rules, int depth)
{
	switch (field->type) {
	case PROTOBUF_C_TYPE_MESSAGE:
		check_message(c, pbfield_message(value), depth + 1);
		break;
	case PROTOBUF_C_TYPE_STRING:
		if (rules != NULL)
			check_string(c, pbfield_string(value), rules);
		break;
	case PROTOBUF_C_TYPE_ENUM:
		check_enum(c, field->descriptor, *(const int32_t *)value);
		break;
	case PROTOBUF_C_TYPE_BYTES:
	case PROTOBUF_C_TYPE_BOOL:
	case PROTOBUF_C_TYPE_FLOAT:
	case PROTOBUF_C_TYPE_DOUBLE:
		break;
	default:
		if (rules != NULL)
			check_number(c, field, value, rules);
		break;
	}
}

static bool values_equal(const ProtobufCFieldDescriptor *field, const void *a, const void *b)
{
	if (field->type == PROTOBUF_C_TYPE_STRING)
		return strcmp(pbfield_string(a), pbfield_string(b)) == 0;
	if (field->type == PROTOBUF_C_TYPE_BYTES || field->type == PROTOBUF_C_TYPE_MESSAGE)
		return false;
	return memcmp(a, b, pbfield_size(field->type)) == 0;
}

/* What makes the i-th element unique: itself, or a string field of it. NULL = nothing to compare.
 */
static const void *element_key(const ProtobufCFieldDescriptor *field, const void *values, size_t i,
	const ProtobufCFieldDescriptor **key)
{
	const void *value = pbfield_value(field, values, i);
	const ProtobufCMessage *message;

	if (*key == NULL)
		return value;
	message = pbfield_message(value);
	return message != NULL ? pbfield_member(message, *key) : NULL;
}

/* Elements that must differ. Lists are short (max_items), so pairs are compared. */
static void check_unique(struct checker *c, const ProtobufCFieldDescriptor *field,
	const void *values, size_t n, const Audums__V1__Rules *rules)
{
	const ProtobufCFieldDescriptor *key = NULL;
	const size_t path_len = c->path.len;

	if (rules->unique_key[0] != '\0' && field->type == PROTOBUF_C_TYPE_MESSAGE) {
		key = protobuf_c_message_descriptor_get_field_by_name(
			field->descriptor, rules->unique_key);
		if (key == NULL || pbfield_repeated(key) || key->type == PROTOBUF_C_TYPE_MESSAGE)
			return;
	} else if (!rules->unique) {
		return;
	}
	for (size_t i = 1; i < n; i++) {
		const void *mine = element_key(field, values, i, &key);

		for (size_t k = 0; mine != NULL && k < i; k++) {
			const void *other = element_key(field, values, k, &key);

			if (other == NULL || !values_equal(key ? key : field, mine, other))
				continue;
			strbuf_printf(&c->path, "[%zu]", i);
			if (key != NULL)
				strbuf_printf(&c->path, ".%s", key->name);
			if ((key ? key : field)->type == PROTOBUF_C_TYPE_STRING)
				complain(c, "\"%s\" is in the list twice (element %zu)",
					pbfield_string(mine), k);
			else
				complain(c, "is in the list twice (element %zu)", k);
			strbuf_cut(&c->path, path_len);
			break;
		}
	}
}

static void check_repeated(struct checker *c, const ProtobufCFieldDescriptor *field,
	const void *values, size_t n, const Audums__V1__Rules *rules, int depth)
{
	const size_t path_len = c->path.len;
	const size_t max = rules && rules->max_items ? rules->max_items : MAX_ITEMS_DEFAULT;

	if (rules != NULL && n > max) {
		complain(c, "has %zu elements, expected at most %zu", n, max);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		const void *value = pbfield_value(field, values, i);

		strbuf_printf(&c->path, "[%zu]", i);
		if (field->type == PROTOBUF_C_TYPE_STRING && pbfield_string(value)[0] == '\0' &&
			rules != NULL)
			complain(c, "is empty, expected a text");
		else
			check_value(c, field, value, rules, depth);
		strbuf_cut(&c->path, path_len);
	}
	if (rules != NULL)
		check_unique(c, field, values, n, rules);
}

static void check_field(struct checker *c, const ProtobufCMessage *message,
	const ProtobufCFieldDescriptor *field, int depth)
{
	const Audums__V1__Rules *rules = schema_rules(message->descriptor, field);
	const void *values;
	const size_t n = pbfield_values(message, field, &values);

	if (rules != NULL && rules->output_only)
		return;
	if (n == 0) {
		if (rules != NULL && rules->required)
			complain(c, pbfield_repeated(field)
					    ? "is empty, expected at least one element"
					    : "is missing, but required");
	} else if (pbfield_repeated(field)) {
		check_repeated(c, field, values, n, rules, depth);
	} else {
		check_value(c, field, values, rules, depth);
	}
}

static void check_message(struct checker *c, const ProtobufCMessage *message, int depth)
{
	const ProtobufCMessageDescriptor *descriptor;
	const size_t path_len = c->path.len;

	if (message == NULL)
		return;
	if (depth > MAX_DEPTH) {
		complain(c, "is nested too deeply, expected at most %d levels", MAX_DEPTH);
		return;
	}
	descriptor = message->descriptor;
	for (unsigned i = 0; i < descriptor->n_fields; i++) {
		if (c->path.len > 0)
			strbuf_add_char(&c->path, '.');
		strbuf_add_text(&c->path, descriptor->fields[i].name);
		check_field(c, message, &descriptor->fields[i], depth);
		strbuf_cut(&c->path, path_len);
	}
}

int rules_check(
	const ProtobufCMessage *message, const char *prefix, struct problems *problems)
{
	struct checker c = {.problems = problems, .n_before = problems->n_items};
	int err;

	err = schema_init();
	if (err < 0)
		return err;
	strbuf_add_text(&c.path, prefix);
	check_message(&c, message, 0);
	if (c.path.no_memory || problems->no_memory)
		err = -ENOMEM;
	strbuf_free(&c.path);
	if (err < 0)
		return err;
	return c.n_found < INT_MAX ? (int)c.n_found : INT_MAX;
}
