/*
 * Walking a protobuf-c message by its descriptor: one way to see every field as 0..n values.
 *
 * "Set" means what proto3 means: a singular scalar that differs from its default, a message that is
 * there, a member of a oneof that is the chosen one. Look-ups only, besides pbfield_clear.
 */
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Octets one value of this type takes in a message struct or in a repeated field's array. */
size_t pbfield_size(ProtobufCType type);

/* Where the field's value (or array pointer) and its quantifier stand in the struct. */
void *pbfield_member(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field);
void *pbfield_quantifier(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field);

/*
 * How many values are set: 0 or 1 for a singular field, the number of elements for a repeated one.
 * *values points at the first (each pbfield_size octets).
 */
size_t pbfield_values(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field,
	const void **values);

/* The i-th value of an array that pbfield_values gave. */
const void *pbfield_value(const ProtobufCFieldDescriptor *field, const void *values, size_t i);

bool pbfield_repeated(const ProtobufCFieldDescriptor *field);

/* The value as a message or string; the field must be of that type. NULL never stands for a string.
 */
const ProtobufCMessage *pbfield_message(const void *value);
const char *pbfield_string(const void *value);

/* The value of any integer or bool type, sign-extended; *negative says how to read it. */
uint64_t pbfield_integer(const ProtobufCFieldDescriptor *field, const void *value, bool *negative);

/* Unset a field: free what it holds and put the default back. */
void pbfield_clear(ProtobufCMessage *message, const ProtobufCFieldDescriptor *field);
