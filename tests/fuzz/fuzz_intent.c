/*
 * libFuzzer: any octets as an intent file. Whatever they are, loading ends with a document or with
 * problems; what loads without problems is printed as YAML and JSON, and both give an equal
 * document.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "proto/lib/pbtext.h"
#include "topology/load.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool promise)
{
	if (!promise)
		abort();
}

static void round_trip(const Audums__V1__Document *document)
{
	struct topology back;
	struct problems problems;
	ProtobufCMessage *message;
	char *text;
	size_t len;

	problems_init(&problems);
	check(pbtext_print(&document->base, PBTEXT_YAML, &text, &len) == 0);
	check(topology_load_text("yaml", text, len, 0, &back, &problems) == 0);
	check(message_equal(&document->base, &back.document->base));
	topology_free(&back);
	free(text);
	check(pbtext_print(&document->base, PBTEXT_JSON, &text, &len) == 0);
	check(pbtext_parse_json(&audums__v1__document__descriptor, &message, "json", text, len,
		      &problems) == 0);
	check(message_equal(&document->base, message));
	protobuf_c_message_free_unpacked(message, NULL);
	free(text);
	problems_free(&problems);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	for (unsigned flags = 0; flags <= TOPOLOGY_STANDALONE; flags++) {
		struct topology topology;
		struct problems problems;
		int err;

		problems_init(&problems);
		err = topology_load_text(
			"fuzz", (const char *)data, size, flags, &topology, &problems);
		check((err == 0) == !problems_any(&problems));
		if (err == 0)
			round_trip(topology.document);
		topology_free(&topology);
		problems_free(&problems);
	}
	return 0;
}
