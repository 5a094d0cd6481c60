/* The service that the tests call; see service.h. */
#include "tests/unit/rpc/service.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audums/v1/fabric.pb-c.h"

static void saw(struct rpc_call *call)
{
	struct service *s = rpc_call_service(call);

	snprintf(s->last_peer, sizeof(s->last_peer), "%s", rpc_call_peer(call));
}

static void on_done(struct rpc_call *call, const struct rpc_status *status)
{
	struct service *s = rpc_call_service(call);

	s->dones++;
	s->last_done = status->code;
	if (s->parked == call)
		s->parked = NULL;
}

/* ---- Get ---- */

struct later {
	struct rpc_call *call;
	struct loop_timer *timer;
};

static void reply_document(struct rpc_call *call, const char *name, const char *text)
{
	Audums__V1__Document doc = AUDUMS__V1__DOCUMENT__INIT;
	Audums__V1__Provider provider = AUDUMS__V1__PROVIDER__INIT;
	Audums__V1__Provider *list[] = {&provider};

	provider.name = (char *)name;
	provider.display_name = (char *)text;
	doc.providers = list;
	doc.n_providers = 1;
	rpc_reply(call, &doc.base);
}

static void on_later(void *arg)
{
	struct later *l = arg;

	reply_document(l->call, "later", "");
}

static void on_get_done(struct rpc_call *call, const struct rpc_status *status)
{
	struct later *l = rpc_call_data(call);

	if (l) {
		loop_timer_free(l->timer);
		free(l);
	}
	on_done(call, status);
}

static void finish_problems(struct rpc_call *call, size_t count)
{
	Audums__V1__Problems problems = AUDUMS__V1__PROBLEMS__INIT;
	Audums__V1__Problem *one = calloc(count, sizeof(*one));
	Audums__V1__Problem **list = calloc(count, sizeof(*list));

	for (size_t i = 0; i < count; i++) {
		audums__v1__problem__init(&one[i]);
		one[i].path = (char *)"segments[2].tenant";
		one[i].message = (char *)"no tenant \"nobody\"";
		list[i] = &one[i];
	}
	problems.problems = list;
	problems.n_problems = count;
	rpc_finish_detail(call, RPC_INVALID_ARGUMENT, "the document is wrong", &problems.base);
	free(list);
	free(one);
}

static void get(struct rpc_call *call, const ProtobufCMessage *request)
{
	const Audums__V1__GetRequest *req = (const Audums__V1__GetRequest *)request;
	struct service *s = rpc_call_service(call);
	const char *name = req->name;

	s->requests++;
	saw(call);
	s->time_left_ms = rpc_call_time_left_ms(call);
	if (strcmp(name, "later") == 0) {
		struct later *l = calloc(1, sizeof(*l));

		l->call = call;
		l->timer = loop_timer_new(s->loop, on_later, l);
		loop_timer_arm(l->timer, 20, 0);
		rpc_call_set_data(call, l);
	} else if (strcmp(name, "never") == 0) {
		s->parked = call;
	} else if (strcmp(name, "missing") == 0) {
		rpc_finish(call, RPC_NOT_FOUND, "no provider \"%s\"", name);
	} else if (strcmp(name, "strange") == 0) {
		rpc_finish(call, RPC_ABORTED, "100%% R\xc4\xabga\nline");
	} else if (strcmp(name, "invalid") == 0) {
		finish_problems(call, 2);
	} else if (strcmp(name, "many-problems") == 0) {
		finish_problems(call, 700);
	} else if (strncmp(name, "big-", 4) == 0) {
		const size_t n = strtoul(name + 4, NULL, 10);
		char *text = malloc(n + 1);

		memset(text, 'x', n);
		text[n] = '\0';
		reply_document(call, name, text);
		free(text);
	} else {
		reply_document(call, name, rpc_call_peer(call));
	}
}

static void apply(struct rpc_call *call, const ProtobufCMessage *request)
{
	const Audums__V1__ApplyRequest *req = (const Audums__V1__ApplyRequest *)request;
	struct service *s = rpc_call_service(call);
	Audums__V1__ApplyResponse response = AUDUMS__V1__APPLY_RESPONSE__INIT;

	s->requests++;
	response.generation = req->document ? req->document->n_segments : 0;
	rpc_reply(call, &response.base);
}

/* ---- Watch ---- */

struct watch {
	unsigned long left;
	size_t size;
	char *text;
};

static void watch_fill(struct rpc_call *call)
{
	struct service *s = rpc_call_service(call);
	struct watch *w = rpc_call_data(call);

	while (w->left > 0) {
		Audums__V1__WatchEvent event = AUDUMS__V1__WATCH_EVENT__INIT;
		Audums__V1__ObjectRef ref = AUDUMS__V1__OBJECT_REF__INIT;

		ref.name = w->text;
		event.ref = &ref;
		event.type = AUDUMS__V1__WATCH_EVENT__TYPE__TYPE_PUT;
		if (rpc_send(call, &event.base) != 0) {
			s->again++;
			break;
		}
		w->left--;
		if (rpc_call_queued(call) > s->queue_max)
			s->queue_max = rpc_call_queued(call);
	}
	if (w->left == 0 && w->text[0])
		rpc_finish_ok(call);
}

static void watch(struct rpc_call *call, const ProtobufCMessage *request)
{
	const Audums__V1__WatchRequest *req = (const Audums__V1__WatchRequest *)request;
	struct service *s = rpc_call_service(call);
	struct watch *w = calloc(1, sizeof(*w));

	s->requests++;
	saw(call);
	w->left = 1;
	sscanf(req->name, "%lu %zu", &w->left, &w->size);
	w->text = malloc(w->size + 1);
	memset(w->text, 'x', w->size);
	w->text[w->size] = '\0';
	rpc_call_set_data(call, w);
	watch_fill(call);
}

static void on_watch_done(struct rpc_call *call, const struct rpc_status *status)
{
	struct watch *w = rpc_call_data(call);

	free(w->text);
	free(w);
	on_done(call, status);
}

/* ---- Session ---- */

static void session_start(struct rpc_call *call)
{
	struct service *s = rpc_call_service(call);

	s->starts++;
	saw(call);
}

static void session_message(struct rpc_call *call, const ProtobufCMessage *message)
{
	const Audums__V1__AgentMessage *m = (const Audums__V1__AgentMessage *)message;
	struct service *s = rpc_call_service(call);
	Audums__V1__ControllerMessage answer = AUDUMS__V1__CONTROLLER_MESSAGE__INIT;
	Audums__V1__Query query = AUDUMS__V1__QUERY__INIT;

	s->messages++;
	if (s->pause_sessions && !s->parked) {
		rpc_call_pause(call);
		s->parked = call;
	}
	if (m->body_case != AUDUMS__V1__AGENT_MESSAGE__BODY_HELLO)
		return;
	if (strcmp(m->hello->node, "finish") == 0) {
		rpc_finish(call, RPC_ABORTED, "as you like");
		return;
	}
	query.id = s->messages;
	answer.body_case = AUDUMS__V1__CONTROLLER_MESSAGE__BODY_QUERY;
	answer.query = &query;
	rpc_send(call, &answer.base);
}

static void session_half_close(struct rpc_call *call)
{
	struct service *s = rpc_call_service(call);

	s->half_closes++;
	rpc_finish_ok(call);
}

const struct rpc_method service_methods[] = {
	{
		.path = GET_PATH,
		.input = &audums__v1__get_request__descriptor,
		.output = &audums__v1__document__descriptor,
		.request = get,
		.done = on_get_done,
	},
	{
		.path = APPLY_PATH,
		.input = &audums__v1__apply_request__descriptor,
		.output = &audums__v1__apply_response__descriptor,
		.request = apply,
		.done = on_done,
	},
	{
		.path = WATCH_PATH,
		.input = &audums__v1__watch_request__descriptor,
		.output = &audums__v1__watch_event__descriptor,
		.request = watch,
		.writable = watch_fill,
		.done = on_watch_done,
	},
	{
		.path = SESSION_PATH,
		.input = &audums__v1__agent_message__descriptor,
		.output = &audums__v1__controller_message__descriptor,
		.start = session_start,
		.message = session_message,
		.half_close = session_half_close,
		.done = on_done,
	},
};
const size_t service_method_count = sizeof(service_methods) / sizeof(service_methods[0]);
