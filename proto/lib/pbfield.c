/* Walking messages by descriptor; see pbfield.h. */
#include "proto/lib/pbfield.h"

#include <stdlib.h>
#include <string.h>

size_t pbfield_size(ProtobufCType type)
{
	switch (type) {
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_DOUBLE:
		return 8;
	case PROTOBUF_C_TYPE_BOOL:
		return sizeof(protobuf_c_boolean);
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_MESSAGE:
		return sizeof(void *);
	case PROTOBUF_C_TYPE_BYTES:
		return sizeof(ProtobufCBinaryData);
	default:
		return 4;
	}
}

bool pbfield_repeated(const ProtobufCFieldDescriptor *field)
{
	return field->label == PROTOBUF_C_LABEL_REPEATED;
}

void *pbfield_member(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
	return (char *)message + field->offset;
}

void *pbfield_quantifier(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
	return (char *)message + field->quantifier_offset;
}

static bool value_set(const ProtobufCFieldDescriptor *field, const void *value)
{
	static const uint8_t zero[8];

	switch (field->type) {
	case PROTOBUF_C_TYPE_MESSAGE:
		return *(void *const *)value != NULL;
	case PROTOBUF_C_TYPE_STRING: {
		const char *s = *(const char *const *)value;

		return s != NULL && s[0] != '\0';
	}
	case PROTOBUF_C_TYPE_BYTES:
		return ((const ProtobufCBinaryData *)value)->len > 0;
	default:
		return memcmp(value, zero, pbfield_size(field->type)) != 0;
	}
}

size_t pbfield_values(
	const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field, const void **values)
{
	const void *member = pbfield_member(message, field);
	bool set;

	if (pbfield_repeated(field)) {
		*values = *(void *const *)member;
		return *(const size_t *)pbfield_quantifier(message, field);
	}
	*values = member;
	if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
		set = *(const uint32_t *)pbfield_quantifier(message, field) == field->id;
	else if (field->label == PROTOBUF_C_LABEL_OPTIONAL && field->quantifier_offset != 0)
		set = *(const protobuf_c_boolean *)pbfield_quantifier(message, field);
	else
		set = value_set(field, member);
	/* a chosen message of a oneof that isn't there is not set either */
	if (set && field->type == PROTOBUF_C_TYPE_MESSAGE)
		set = *(void *const *)member != NULL;
	return set;
}

const void *pbfield_value(const ProtobufCFieldDescriptor *field, const void *values, size_t i)
{
	return (const char *)values + i * pbfield_size(field->type);
}

const ProtobufCMessage *pbfield_message(const void *value)
{
	return *(const ProtobufCMessage *const *)value;
}

const char *pbfield_string(const void *value)
{
	const char *s = *(const char *const *)value;

	return s != NULL ? s : "";
}

uint64_t pbfield_integer(const ProtobufCFieldDescriptor *field, const void *value, bool *negative)
{
	int64_t number = 0;

	*negative = false;
	switch (field->type) {
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
		number = *(const int64_t *)value;
		break;
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		return *(const uint64_t *)value;
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
		return *(const uint32_t *)value;
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
	case PROTOBUF_C_TYPE_ENUM:
		number = *(const int32_t *)value;
		break;
	case PROTOBUF_C_TYPE_BOOL:
		return *(const protobuf_c_boolean *)value != 0;
	default:
		return 0;
	}
	*negative = number < 0;
	return (uint64_t)number;
}

static void value_free(const ProtobufCFieldDescriptor *field, void *value)
{
	switch (field->type) {
	case PROTOBUF_C_TYPE_MESSAGE:
		if (*(void **)value != NULL)
			protobuf_c_message_free_unpacked(*(ProtobufCMessage **)value, NULL);
		break;
	case PROTOBUF_C_TYPE_STRING:
		if (*(void **)value != field->default_value)
			free(*(void **)value);
		break;
	case PROTOBUF_C_TYPE_BYTES:
		free(((ProtobufCBinaryData *)value)->data);
		break;
	default:
		break;
	}
}

void pbfield_clear(ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
	void *member = pbfield_member(message, field);

	if (pbfield_repeated(field)) {
		size_t *n = pbfield_quantifier(message, field);
		char *values = *(void **)member;

		for (size_t i = 0; i < *n; i++)
			value_free(field, values + i * pbfield_size(field->type));
		free(values);
		*(void **)member = NULL;
		*n = 0;
		return;
	}
	if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) {
		uint32_t *chosen = pbfield_quantifier(message, field);

		if (*chosen != field->id)
			return;
		*chosen = 0;
	} else if (field->label == PROTOBUF_C_LABEL_OPTIONAL && field->quantifier_offset != 0) {
		*(protobuf_c_boolean *)pbfield_quantifier(message, field) = 0;
	}
	value_free(field, member);
	memset(member, 0, pbfield_size(field->type));
	if (field->type == PROTOBUF_C_TYPE_STRING)
		*(const void **)member = field->default_value;
}
