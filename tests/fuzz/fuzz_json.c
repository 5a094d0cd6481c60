/* libFuzzer: any octets as JSON of a message with every type; a problem or a message that prints.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "audums/v1/fabric.pb-c.h"
#include "proto/lib/pbtext.h"
#include "proto/lib/rules.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const ProtobufCMessageDescriptor *const types[] = {&audums__v1__document__descriptor,
		&audums__v1__dataplane_reply__descriptor, &audums__v1__status_details__descriptor};
	ProtobufCMessage *message;
	struct problems problems;
	char *text;

	if (size == 0)
		return 0;
	problems_init(&problems);
	if (pbtext_parse_json(types[data[0] % 3], &message, "fuzz", (const char *)data + 1,
		    size - 1, &problems) == 0) {
		if (rules_check(message, "", &problems) < 0)
			abort();
		if (pbtext_print(message, PBTEXT_YAML, &text, NULL) < 0)
			abort();
		free(text);
		protobuf_c_message_free_unpacked(message, NULL);
	} else if (!problems_any(&problems)) {
		abort();
	}
	problems_free(&problems);
	return 0;
}
