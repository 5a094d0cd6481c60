/*
 * Validates a message against the rules of the schema (proto/audums/v1/rules.proto): required,
 * range, length, number of items, format, uniqueness. Fields only the controller sets are not
 * looked at: who reads an object and writes it back sends them too, and they are not taken.
 *
 * References (`ref`) are not followed here: topology/check.h does, which knows the objects. Called
 * by the loader for files and by the controller for every request.
 */
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>

#include "audums/v1/rules.pb-c.h"
#include "proto/lib/problems.h"

/*
 * Check `message` and all messages inside. Every violation is added to `problems` with its path
 * (`prefix` in front, "" for none). Returns the number of violations, or -ENOMEM/-EBADMSG when the
 * schema can't be read.
 */
int rules_check(
	const ProtobufCMessage *message, const char *prefix, struct problems *problems);

/*
 * Check one text against a format. Returns NULL when it fits, else a sentence that says what was
 * expected (static storage), e.g. "expected an IPv4 prefix such as 10.0.0.0/24".
 */
const char *rules_format_check(Audums__V1__Format format, const char *text);
