/*
 * Prints any protobuf-c message as YAML or JSON by its descriptor, and reads JSON.
 *
 * The output is the same for equal messages: fields in the order of their numbers, snake_case keys,
 * fields with their default value left out, enums in lower case without prefix ("openstack"),
 * 64-bit integers as numbers, bytes as base64. What is printed as YAML is read back by pbyaml.h to
 * an equal message (if it holds no output_only fields).
 */
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>

#include "proto/lib/problems.h"

enum pbtext_format {
	PBTEXT_YAML,
	PBTEXT_JSON,        /* one line, no blanks; no newline at the end */
	PBTEXT_JSON_PRETTY, /* indented by two; newline at the end */
};

/* Print into a NUL-terminated text the caller frees. Returns 0 or -ENOMEM. `len` may be NULL. */
int pbtext_print(
	const ProtobufCMessage *message, enum pbtext_format format, char **text, size_t *len);

/*
 * Print one field's value as YAML shows it on one line ("1500", "[a, b]", "{key: x}"): for messages
 * about differences. "" for a default value. The caller frees *text. Returns 0 or -ENOMEM.
 */
int pbtext_print_field(
	const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field, char **text);

/*
 * Read JSON into a newly allocated message of `descriptor`, with the strictness and the limits of
 * pbyaml.h. `file` is the name in error texts; only syntax errors have line and column. Returns 0,
 * -EINVAL with problems added (*message is NULL then), or -ENOMEM. Freed with
 * protobuf_c_message_free_unpacked(*message, NULL).
 */
int pbtext_parse_json(const ProtobufCMessageDescriptor *descriptor, ProtobufCMessage **message,
	const char *file, const char *text, size_t len, struct problems *problems);

/* An enum value's short name ("openstack"), to be written into `buf`; unknown values as numbers. */
const char *pbtext_enum_name(
	const ProtobufCEnumDescriptor *descriptor, int value, char *buf, size_t size);
