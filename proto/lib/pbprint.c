/*
 * Prints messages as YAML and JSON by descriptor; see pbtext.h.
 *
 * Invariant: the output is a function of the message alone, valid YAML or JSON in UTF-8 whatever
 * octets its strings hold (what is not UTF-8 becomes U+FFFD), and free of control characters, so
 * that it is safe on a terminal.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "proto/lib/base64.h"
#include "proto/lib/pbfield.h"
#include "proto/lib/pbtext.h"
#include "proto/lib/strbuf.h"
#include "proto/lib/utf8.h"

#define INDENT 2

/* ---- texts ----------------------------------------------------------------------------------- */

/* A text in double quotes; the escapes used are the same in YAML and JSON. */
static void print_quoted(struct strbuf *out, const char *text)
{
	const size_t len = strlen(text);
	size_t at = 0;

	strbuf_add_char(out, '"');
	while (at < len) {
		uint32_t c = 0xfffd;
		const size_t n = utf8_next(text + at, len - at, &c);

		if (c == '"' || c == '\\')
			strbuf_printf(out, "\\%c", (char)c);
		else if (c == '\n')
			strbuf_add_text(out, "\\n");
		else if (c == '\t')
			strbuf_add_text(out, "\\t");
		else if (n == 0 || utf8_control(c) || c == 0x2028 || c == 0x2029 || c == 0xfeff ||
			 c == 0xfffe || c == 0xffff)
			strbuf_printf(out, "\\u%04x", c);
		else
			strbuf_add(out, text + at, n);
		at += n ? n : 1;
	}
	strbuf_add_char(out, '"');
}

/* Words that some YAML reader takes for something else than a text. */
static bool word_reserved(const char *text)
{
	static const char *const words[] = {
		"null", "true", "false", "yes", "no", "on", "off", "y", "n"};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcasecmp(text, words[i]) == 0)
			return true;
	return false;
}

static bool ascii_letter(uint32_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/*
 * Whether a text may stand in YAML without quotes, in a flow too, and no reader takes it for a
 * number: it starts with a letter or is a dotted quad, and holds nothing that could end it.
 */
static bool text_plain(const char *text)
{
	const size_t len = strlen(text);
	unsigned dots = 0;
	size_t at = 0;

	if (len == 0 || word_reserved(text) || text[len - 1] == ' ')
		return false;
	while (at < len) {
		uint32_t c = 0;
		const size_t n = utf8_next(text + at, len - at, &c);
		const bool letter = ascii_letter(c) || (c > 0xa0 && c != 0x2028 && c != 0x2029 &&
							       c != 0xfeff && c < 0xfff0);
		const bool digit = c >= '0' && c <= '9';

		if (n == 0 || (at == 0 && !letter && !digit))
			return false;
		if (!letter && !digit && (c == 0 || strchr(" ._/-+@", (int)c) == NULL))
			return false;
		dots += c == '.';
		at += n;
	}
	return !(text[0] >= '0' && text[0] <= '9') || dots == 3;
}

static void print_yaml_text(struct strbuf *out, const char *text)
{
	if (text_plain(text))
		strbuf_add_text(out, text);
	else
		print_quoted(out, text);
}

static void print_scalar(
	struct strbuf *out, const ProtobufCFieldDescriptor *field, const void *value, bool json)
{
	const ProtobufCBinaryData *bytes = value;
	char name[128];
	uint64_t number;
	bool negative;

	switch (field->type) {
	case PROTOBUF_C_TYPE_STRING:
		if (json)
			print_quoted(out, pbfield_string(value));
		else
			print_yaml_text(out, pbfield_string(value));
		break;
	case PROTOBUF_C_TYPE_BYTES:
		strbuf_add_char(out, '"');
		base64_encode(out, bytes->data, bytes->len);
		strbuf_add_char(out, '"');
		break;
	case PROTOBUF_C_TYPE_BOOL:
		strbuf_add_text(out, *(const protobuf_c_boolean *)value ? "true" : "false");
		break;
	case PROTOBUF_C_TYPE_ENUM:
		pbtext_enum_name(field->descriptor, *(const int32_t *)value, name, sizeof(name));
		if (json)
			print_quoted(out, name);
		else
			print_yaml_text(out, name);
		break;
	case PROTOBUF_C_TYPE_FLOAT:
		strbuf_printf(out, "%.9g", (double)*(const float *)value);
		break;
	case PROTOBUF_C_TYPE_DOUBLE:
		strbuf_printf(out, "%.17g", *(const double *)value);
		break;
	default:
		number = pbfield_integer(field, value, &negative);
		if (negative)
			strbuf_printf(out, "%" PRId64, (int64_t)number);
		else
			strbuf_printf(out, "%" PRIu64, number);
		break;
	}
}

/* Fields in the order of their numbers: protobuf-c sorts them so already. */
static const ProtobufCFieldDescriptor *fields_of(const ProtobufCMessage *message, unsigned *n)
{
	*n = message->descriptor->n_fields;
	return message->descriptor->fields;
}

/* ---- JSON, and YAML on one line ----------------------------------------------------------------
 */

struct style {
	bool json;
	bool pretty;
};

static void print_flow_message(
	struct strbuf *out, const ProtobufCMessage *message, struct style s, size_t indent);

static void print_break(struct strbuf *out, struct style s, size_t indent, bool first)
{
	if (s.pretty) {
		strbuf_add_char(out, '\n');
		strbuf_add_repeat(out, ' ', indent);
	} else if (!s.json && !first) {
		strbuf_add_char(out, ' ');
	}
}

static void print_flow_value(struct strbuf *out, const ProtobufCFieldDescriptor *field,
	const void *value, struct style s, size_t indent)
{
	if (field->type == PROTOBUF_C_TYPE_MESSAGE)
		print_flow_message(out, pbfield_message(value), s, indent);
	else
		print_scalar(out, field, value, s.json);
}

static void print_flow_field(struct strbuf *out, const ProtobufCFieldDescriptor *field,
	const void *values, size_t n, struct style s, size_t indent)
{
	if (!pbfield_repeated(field)) {
		print_flow_value(out, field, values, s, indent);
		return;
	}
	strbuf_add_char(out, '[');
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			strbuf_add_char(out, ',');
		print_break(out, s, indent + INDENT, i == 0);
		print_flow_value(out, field, pbfield_value(field, values, i), s, indent + INDENT);
	}
	print_break(out, s, indent, true);
	strbuf_add_char(out, ']');
}

static void print_flow_message(
	struct strbuf *out, const ProtobufCMessage *message, struct style s, size_t indent)
{
	const ProtobufCFieldDescriptor *fields;
	bool first = true;
	unsigned n_fields;

	strbuf_add_char(out, '{');
	fields = message != NULL ? fields_of(message, &n_fields) : NULL;
	for (unsigned i = 0; fields != NULL && i < n_fields; i++) {
		const void *values;
		const size_t n = pbfield_values(message, &fields[i], &values);

		if (n == 0)
			continue;
		if (!first)
			strbuf_add_char(out, ',');
		print_break(out, s, indent + INDENT, first);
		first = false;
		strbuf_printf(out, s.json ? "\"%s\":" : "%s:", fields[i].name);
		if (s.pretty || !s.json)
			strbuf_add_char(out, ' ');
		print_flow_field(out, &fields[i], values, n, s, indent + INDENT);
	}
	if (!first)
		print_break(out, s, indent, true);
	strbuf_add_char(out, '}');
}

/* ---- YAML --------------------------------------------------------------------------------------
 */

/*
 * The fields of a message as lines at `indent`; when `started`, the first line's indentation (and a
 * "- ") is there already. Returns false when no field is set.
 */
static bool print_block(
	struct strbuf *out, const ProtobufCMessage *message, size_t indent, bool started)
{
	const ProtobufCFieldDescriptor *fields;
	unsigned n_fields;
	bool any = false;

	fields = fields_of(message, &n_fields);
	for (unsigned i = 0; i < n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &fields[i];
		const void *values;
		const size_t n = pbfield_values(message, field, &values);

		if (n == 0)
			continue;
		if (any || !started)
			strbuf_add_repeat(out, ' ', indent);
		any = true;
		strbuf_printf(out, "%s:", field->name);
		if (!pbfield_repeated(field) && field->type == PROTOBUF_C_TYPE_MESSAGE) {
			const size_t mark = out->len;

			strbuf_add_char(out, '\n');
			if (!print_block(out, pbfield_message(values), indent + INDENT, false)) {
				strbuf_cut(out, mark);
				strbuf_add_text(out, " {}\n");
			}
			continue;
		}
		strbuf_add_char(out, pbfield_repeated(field) ? '\n' : ' ');
		for (size_t k = 0; k < n; k++) {
			const void *value = pbfield_value(field, values, k);

			if (pbfield_repeated(field)) {
				strbuf_add_repeat(out, ' ', indent);
				strbuf_add_text(out, "- ");
			}
			if (field->type != PROTOBUF_C_TYPE_MESSAGE) {
				print_scalar(out, field, value, false);
				strbuf_add_char(out, '\n');
			} else if (pbfield_message(value) == NULL ||
				   !print_block(
					   out, pbfield_message(value), indent + INDENT, true)) {
				strbuf_add_text(out, "{}\n");
			}
		}
	}
	return any;
}

/* ---- entry -------------------------------------------------------------------------------------
 */

int pbtext_print(
	const ProtobufCMessage *message, enum pbtext_format format, char **text, size_t *len)
{
	const struct style s = {.json = true, .pretty = format == PBTEXT_JSON_PRETTY};
	struct strbuf out = STRBUF_INIT;

	if (format == PBTEXT_YAML) {
		if (!print_block(&out, message, 0, false))
			strbuf_add_text(&out, "{}\n");
	} else {
		print_flow_message(&out, message, s, 0);
		if (s.pretty)
			strbuf_add_char(&out, '\n');
	}
	return strbuf_take(&out, text, len);
}

int pbtext_print_field(
	const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field, char **text)
{
	const struct style s = {.json = false, .pretty = false};
	struct strbuf out = STRBUF_INIT;
	const void *values;
	const size_t n = pbfield_values(message, field, &values);

	if (n > 0)
		print_flow_field(&out, field, values, n, s, 0);
	return strbuf_take(&out, text, NULL);
}
