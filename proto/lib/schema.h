/*
 * The schema at run time: the validation rules that stand as options on the fields of the .proto
 * files, read from the descriptor set that is linked into the program.
 *
 * Invariant: parsed once (pthread_once), never changed, never freed; safe from any thread. Called
 * by rules.c and the YAML/JSON loaders.
 */
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stdint.h>

#include "audums/v1/rules.pb-c.h"

/*
 * Parse the embedded descriptor set now. Returns 0, -ENOMEM, or -EBADMSG when it is damaged (a
 * fault of the build). The look-ups below call it by themselves; a daemon calls it at start so that
 * a failure is seen there.
 */
int schema_init(void);

/*
 * The rules of a field, or NULL when it has none. `message` is the descriptor of the message that
 * contains it.
 */
const Audums__V1__Rules *schema_rules(
	const ProtobufCMessageDescriptor *message, const ProtobufCFieldDescriptor *field);

/* The same by the message's full name ("audums.v1.Segment") and the field's number. */
const Audums__V1__Rules *schema_rules_by_name(const char *message, uint32_t field);

/* Whether the field is marked output_only. */
bool schema_output_only(
	const ProtobufCMessageDescriptor *message, const ProtobufCFieldDescriptor *field);
