/*
 * Calls to the controller, and what to say when one fails.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "controller/ctl/client.h"
#include "controller/rpc/loop.h"
#include "controller/rpc/rpc.h"
#include "proto/lib/problems.h"

#define CALL_TIMEOUT_MS 30000
#define SERVER_URI      "audums://controller/"

struct client {
	char context_path[512];
	struct loop *loop;
	struct rpc_tls *tls;
	struct rpc_client *rpc;
};

static void client_free(struct client *c)
{
	if (!c)
		return;
	rpc_client_free(c->rpc);
	rpc_tls_free(c->tls);
	if (c->loop)
		loop_free(c->loop);
	free(c);
}

void client_close(struct ctl *ctl)
{
	client_free(ctl->client);
	ctl->client = NULL;
}

static struct client *client_get(struct ctl *ctl)
{
	struct rpc_client_options options = {.server_uri_prefix = SERVER_URI};
	struct rpc_error error = {""};
	struct context context;
	char text[1024] = "";
	struct client *c;

	if (ctl->client) {
		/* Nobody turned the loop since the last call: the controller may have closed an
		 * idle connection meanwhile. Hear of it now, then the call makes a new one. */
		for (int i = 0; i < 4; i++)
			loop_turn(ctl->client->loop, 0);
		return ctl->client;
	}
	c = calloc(1, sizeof(*c));
	if (!c) {
		ctl_error("out of memory");
		return NULL;
	}
	if (!context_find(
		    ctl->context, c->context_path, sizeof(c->context_path), text, sizeof(text)) ||
		!context_read(c->context_path, &context, text, sizeof(text)))
		goto out;
	c->loop = loop_new();
	if (!c->loop) {
		snprintf(text, sizeof(text), "out of memory");
		goto out;
	}
	if (rpc_tls_load(&c->tls, context.ca, context.cert, context.key, &error)) {
		snprintf(text, sizeof(text), "%s (context %s)", error.text, c->context_path);
		goto out;
	}
	options.target = context.endpoint;
	options.server_name = *context.server_name ? context.server_name : NULL;
	c->rpc = rpc_client_new(c->loop, c->tls, &options, &error);
	if (!c->rpc) {
		snprintf(text, sizeof(text), "%s (context %s)", error.text, c->context_path);
		goto out;
	}
	ctl->client = c;
	return c;
out:
	ctl_error("%s", text);
	client_free(c);
	return NULL;
}

/* ---- what went wrong ---------------------------------------------------------------------- */

/* Problems of a document, at their places in the files it came from; returns how many. */
static size_t problems_say(const struct rpc_status *status, const struct locations *locations)
{
	Audums__V1__Problems *message = (Audums__V1__Problems *)rpc_status_detail(
		status, &audums__v1__problems__descriptor);
	struct problems problems;
	size_t n;

	if (!message)
		return 0;
	message_clean(&message->base);
	problems_init(&problems);
	problems_add_message(&problems, message);
	if (locations)
		problems_locate(&problems, locations);
	problems_sort(&problems);
	problems_print(&problems, stderr);
	problems_free(&problems);
	n = message->n_problems;
	audums__v1__problems__free_unpacked(message, NULL);
	return n;
}

static const char *code_advice(enum rpc_code code)
{
	switch (code) {
	case RPC_UNAVAILABLE:
		return "is the controller running? (a lab: audumsctl lab status)";
	case RPC_UNAUTHENTICATED:
	case RPC_PERMISSION_DENIED:
		return "the context's certificate does not allow this";
	case RPC_ABORTED:
		return "somebody else changed the intent meanwhile: look, and try again";
	case RPC_NOT_FOUND:
		return "audumsctl get lists what is there";
	case RPC_DEADLINE_EXCEEDED:
		return "the controller did not answer in time";
	case RPC_UNIMPLEMENTED:
		return "the controller is of another version";
	default:
		return NULL;
	}
}

static int status_say(
	const struct client *c, const struct rpc_status *status, const struct locations *locations)
{
	const char *advice = code_advice(status->code);
	size_t n = problems_say(status, locations);

	if (n)
		return ctl_error("%zu problem%s: nothing was changed", n, n == 1 ? "" : "s");
	return ctl_error("%s%s%s%s",
		*status->message ? status->message : rpc_code_name(status->code),
		advice ? " (" : "", advice ? advice : "", advice ? ")" : "");
}

/* ---- calls -------------------------------------------------------------------------------- */

static void method_path(const char *method, char path[64])
{
	snprintf(path, 64, "/audums.v1.Fabric/%s", method);
}

int client_call(struct ctl *ctl, const char *method, const ProtobufCMessage *request,
	const ProtobufCMessageDescriptor *output, unsigned long timeout_ms,
	const struct locations *locations, ProtobufCMessage **response)
{
	struct client *c = client_get(ctl);
	struct rpc_result result;
	char path[64];
	int exit_code = EXIT_OK;

	*response = NULL;
	if (!c)
		return EXIT_FAILED;
	method_path(method, path);
	if (rpc_call_sync(c->rpc, path, request, output, timeout_ms ? timeout_ms : CALL_TIMEOUT_MS,
		    &result) == RPC_OK) {
		*response = result.response;
		result.response = NULL;
		message_clean(*response);
	} else {
		exit_code = status_say(c, &result.status, locations);
	}
	rpc_result_clear(&result);
	return exit_code;
}

struct stream {
	struct client *client;
	stream_fn *fn;
	void *arg;
	bool quiet_lost;
	bool done;
	bool stopped;
	enum stream_end end;
};

static void stream_message(struct rpc_call *call, const ProtobufCMessage *message)
{
	struct stream *s = rpc_call_data(call);

	message_clean((ProtobufCMessage *)(uintptr_t)message);
	if (s->stopped || s->fn(s->arg, message) == STREAM_GO_ON)
		return;
	s->stopped = true;
	rpc_call_cancel(call);
}

static void stream_done(struct rpc_call *call, const struct rpc_status *status)
{
	struct stream *s = rpc_call_data(call);

	s->done = true;
	if (s->stopped)
		s->end = STREAM_STOPPED;
	else if (status->code == RPC_OK)
		s->end = STREAM_ENDED;
	else if (status->code == RPC_DEADLINE_EXCEEDED)
		s->end = STREAM_TIMEOUT;
	else if (status->code == RPC_UNAVAILABLE && s->quiet_lost)
		s->end = STREAM_LOST;
	else {
		s->end = STREAM_FAILED;
		status_say(s->client, status, NULL);
	}
}

enum stream_end client_stream(struct ctl *ctl, const char *method, const ProtobufCMessage *request,
	const ProtobufCMessageDescriptor *output, unsigned long timeout_ms, bool quiet_lost,
	stream_fn *fn, void *arg)
{
	static const struct rpc_call_events events = {
		.message = stream_message,
		.done = stream_done,
	};
	struct stream s = {.fn = fn, .arg = arg, .quiet_lost = quiet_lost};
	struct rpc_error error = {""};
	struct rpc_call *call;
	char path[64];
	int ret;

	s.client = client_get(ctl);
	if (!s.client)
		return STREAM_FAILED;
	if (rpc_client_state(s.client->rpc) == RPC_CLIENT_IDLE &&
		rpc_client_connect(s.client->rpc, &error)) {
		if (quiet_lost)
			return STREAM_LOST;
		ctl_error(
			"%s (is the controller running? a lab: audumsctl lab status)", error.text);
		return STREAM_FAILED;
	}
	method_path(method, path);
	call = rpc_call_start(s.client->rpc, path, output, timeout_ms, &events, &s);
	if (!call) {
		ctl_error("cannot call the controller: %s", strerror(errno));
		return STREAM_FAILED;
	}
	ret = rpc_send(call, request);
	if (!ret)
		ret = rpc_call_half_close(call);
	if (ret)
		rpc_call_cancel(call);
	while (!s.done && loop_turn(s.client->loop, -1) >= 0)
		;
	return s.end;
}
