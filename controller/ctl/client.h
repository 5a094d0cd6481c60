/*
 * The connection to the controller: found by context, made on first use, closed at the end.
 */
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>

#include "controller/ctl/ctl.h"
#include "proto/lib/locations.h"

/* How to reach a controller. */
struct context {
	char endpoint[256]; /* "HOST:PORT" or "unix:/PATH" */
	char ca[256];
	char cert[256];
	char key[256];
	char server_name[256]; /* "" = the endpoint's own host */
};

/*
 * Read a context file: lines "key: value", '#' comments; file names relative to it. Returns true,
 * or false with a sentence that names file and line in `error`.
 */
bool context_read(const char *path, struct context *context, char *error, size_t size);
bool context_parse(
	const char *path, const char *text, struct context *context, char *error, size_t size);
/*
 * The context file to use: --context, AUDUMS_CONTEXT, the one lab that is up, the user's, the
 * system's. Returns false with a sentence in `error`.
 */
bool context_find(const char *option, char *path, size_t path_size, char *error, size_t size);

/*
 * One unary call, "Get" of service Fabric and so on. Returns EXIT_OK with *response (free it with
 * protobuf_c_message_free_unpacked), or another exit code after having said on stderr what went
 * wrong and what to do; problems with a document are shown at their places in `locations` (may be
 * NULL). timeout_ms 0: 30 s.
 */
int client_call(struct ctl *ctl, const char *method, const ProtobufCMessage *request,
	const ProtobufCMessageDescriptor *output, unsigned long timeout_ms,
	const struct locations *locations, ProtobufCMessage **response);

enum stream_step {
	STREAM_GO_ON,
	STREAM_DONE, /* what was waited for has come */
};
typedef enum stream_step stream_fn(void *arg, const ProtobufCMessage *message);

enum stream_end {
	STREAM_ENDED,   /* by the controller, without an error */
	STREAM_STOPPED, /* by the callback */
	STREAM_TIMEOUT,
	STREAM_FAILED, /* said on stderr */
	STREAM_LOST,   /* the connection is gone; not said */
};
/*
 * One server-streaming call; `fn` gets each message. timeout_ms 0: none. `quiet_lost`: a connection
 * that breaks is reported as STREAM_LOST without a word, for callers who try again.
 */
enum stream_end client_stream(struct ctl *ctl, const char *method, const ProtobufCMessage *request,
	const ProtobufCMessageDescriptor *output, unsigned long timeout_ms, bool quiet_lost,
	stream_fn *fn, void *arg);

/* Close and free the connection, if there is one. */
void client_close(struct ctl *ctl);

/* text_clean() of all texts of a message that came in, however deep. */
void message_clean(ProtobufCMessage *message);
