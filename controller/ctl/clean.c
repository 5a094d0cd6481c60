/*
 * Takes out of texts what would move a terminal's cursor or colour it. The controller passes on
 * what nodes say of themselves and what clients wrote into comments; whoever looks at it must not
 * be spoken to by either. Called for every message that comes in and every error that goes out.
 */
#include <string.h>

#include "controller/ctl/client.h"
#include "controller/ctl/ctl.h"
#include "proto/lib/pbfield.h"
#include "proto/lib/utf8.h"

void text_clean(char *text)
{
	const size_t len = strlen(text);
	uint32_t character;
	size_t n;

	for (size_t at = 0; at < len; at += n) {
		n = utf8_next(text + at, len - at, &character);
		if (n && (!utf8_control(character) || character == '\n' || character == '\t'))
			continue;
		n = n ? n : 1;
		memset(text + at, '?', n);
	}
}

void message_clean(ProtobufCMessage *message)
{
	for (unsigned int i = 0; i < message->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];
		const void *values;
		size_t n;

		if (field->type != PROTOBUF_C_TYPE_STRING && field->type != PROTOBUF_C_TYPE_MESSAGE)
			continue;
		n = pbfield_values(message, field, &values);
		for (size_t k = 0; k < n; k++) {
			const void *value = pbfield_value(field, values, k);

			if (field->type == PROTOBUF_C_TYPE_MESSAGE)
				message_clean(
					(ProtobufCMessage *)(uintptr_t)pbfield_message(value));
			else if (*pbfield_string(value)) /* the empty one is nobody's to write */
				text_clean((char *)(uintptr_t)pbfield_string(value));
		}
	}
}
