/*
 * Objects of the intent, whatever their kind: names of kinds, the fields all objects share,
 * copying, comparing.
 *
 * Works by the descriptors of audums.v1.Document: a new kind needs a line in object.c. No I/O, no
 * state. Used by model, check, the controller and the CLI.
 */
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>

#include "audums/v1/fabric.pb-c.h"

#define KIND_FIRST AUDUMS__V1__KIND__KIND_PROVIDER
#define KIND_LAST  AUDUMS__V1__KIND__KIND_ATTACHMENT
#define KIND_COUNT (KIND_LAST + 1)

/* "segment" and "segments"; "?" for what is no kind. */
const char *kind_name(Audums__V1__Kind kind);
const char *kind_plural(Audums__V1__Kind kind);

/* Parse "segment" or "segments", in lower case. Returns KIND_UNSPECIFIED when it is neither. */
Audums__V1__Kind kind_parse(const char *text);

/* The descriptor of the kind's message, and the kind of a message (KIND_UNSPECIFIED: no object). */
const ProtobufCMessageDescriptor *kind_descriptor(Audums__V1__Kind kind);
Audums__V1__Kind object_kind(const ProtobufCMessage *object);

/*
 * Parse "segment/registri". `name` points into `text`. Returns 0, or -EINVAL when the form, the
 * kind or the name is wrong.
 */
int object_ref_parse(const char *text, Audums__V1__Kind *kind, const char **name);

/* Fields that all kinds have; "" and 0 when unset. */
const char *object_name(const ProtobufCMessage *object);
const char *object_provider(const ProtobufCMessage *object);
const char *object_display_name(const ProtobufCMessage *object);
uint64_t object_generation(const ProtobufCMessage *object);
void object_set_generation(ProtobufCMessage *object, uint64_t generation);
size_t object_labels(const ProtobufCMessage *object, Audums__V1__Label *const **labels);

/* A deep copy, freed with protobuf_c_message_free_unpacked(copy, NULL); NULL when memory is short.
 */
ProtobufCMessage *message_clone(const ProtobufCMessage *message);

/* Deep comparison of two messages of one type, output_only fields left out. */
bool message_equal(const ProtobufCMessage *a, const ProtobufCMessage *b);

/*
 * Fields in which two objects of one kind differ (output_only ones left out), one FieldChange for
 * each top-level field, before and after as YAML would show them. *fields and its elements are
 * allocated as protobuf-c does; object_diff_free() frees them. Returns 0 or -ENOMEM.
 */
int object_diff(const ProtobufCMessage *before, const ProtobufCMessage *after,
	Audums__V1__FieldChange ***fields, size_t *n_fields);
void object_diff_free(Audums__V1__FieldChange **fields, size_t n_fields);

/* Unset all output_only fields of a message (and of messages inside). */
void message_clear_output(ProtobufCMessage *message);

/*
 * Documents: the objects of one kind; append an object (the document owns it from then on; on
 * -ENOMEM the caller still does); take one out by position (the caller owns it from then on).
 */
size_t document_objects(const Audums__V1__Document *document, Audums__V1__Kind kind,
	ProtobufCMessage *const **objects);
size_t document_count(const Audums__V1__Document *document);
int document_append(Audums__V1__Document *document, ProtobufCMessage *object);
ProtobufCMessage *document_take(Audums__V1__Document *document, Audums__V1__Kind kind, size_t at);
