/*
 * Loads YAML into any protobuf-c message by its descriptor.
 *
 * The loader is strict and goes on after an error, so that all errors of a file come at once, each
 * with its place: unknown fields (with the nearest name), wrong types, numbers out of range,
 * unknown enum values, duplicate keys, invalid UTF-8. Fields that only the controller sets
 * (output_only) are passed over. Enum values are taken in any case, with or without the enum's
 * prefix. Aliases and tags are refused. Limits: PBYAML_MAX_BYTES, PBYAML_MAX_NODES,
 * PBYAML_MAX_DEPTH.
 *
 * Only the form of the text is judged here; the rules of the schema are rules.h.
 */
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>

#include "proto/lib/locations.h"
#include "proto/lib/problems.h"

#define PBYAML_MAX_BYTES (16u << 20)
#define PBYAML_MAX_NODES (1u << 20)
#define PBYAML_MAX_DEPTH 32

/*
 * Load a file ("-": standard input) or a text in memory. `*message` is NULL, then a message of
 * `descriptor` is allocated; or a message got from here before, then repeated fields are appended
 * to (several files, one message). The same holds for several YAML documents in one text. `file` is
 * the name in error texts. `locations` may be NULL.
 *
 * Returns 0, or -EINVAL with at least one problem added, or -ENOMEM. After an error `*message`
 * holds what could be loaded, or NULL. It is freed with protobuf_c_message_free_unpacked(*message,
 * NULL).
 */
int pbyaml_load_file(const ProtobufCMessageDescriptor *descriptor, ProtobufCMessage **message,
	const char *file, struct locations *locations, struct problems *problems);
int pbyaml_load_text(const ProtobufCMessageDescriptor *descriptor, ProtobufCMessage **message,
	const char *file, const char *text, size_t len, struct locations *locations,
	struct problems *problems);
