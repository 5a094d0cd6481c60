/* See watch.h. */
#include "controller/audumsd/watch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/audumsd/api.h"
#include "controller/audumsd/status.h"
#include "controller/audumsd/strmap.h"
#include "proto/lib/log.h"

#define WATCHERS_MAX 256
#define QUEUE_MAX    (4u << 16) /* names of a watcher; beyond, it is too slow for any use */

struct item {
	struct item *next;
	Audums__V1__Kind kind;
	const char *name; /* points into `key` */
	bool initial;     /* was there when the watch began */
	char key[];
};

struct watcher {
	struct watcher *next;
	struct rpc_call *call;
	uint32_t kinds; /* a bit each */
	char name[64];
	struct strmap queued; /* "kind/name" -> struct item */
	struct item *head;
	struct item **tail;
	size_t n_initial; /* of the queue */
	bool synced;
	bool ended;
};

struct watchers {
	struct controller *c;
	struct watcher *list;
	size_t n;
};

static void queue_clear(struct watcher *w)
{
	struct item *next;

	for (struct item *i = w->head; i; i = next) {
		next = i->next;
		free(i);
	}
	strmap_free(&w->queued);
	w->head = NULL;
	w->tail = &w->head;
	w->n_initial = 0;
}

static bool watcher_matches(const struct watcher *w, Audums__V1__Kind kind, const char *name)
{
	return (w->kinds >> kind & 1) && (!*w->name || !strcmp(w->name, name));
}

static int queue_add(struct watcher *w, Audums__V1__Kind kind, const char *name, bool initial)
{
	char key[128];
	struct item *item;
	size_t n;

	n = (size_t)snprintf(key, sizeof(key), "%d/%s", kind, name);
	if (n >= sizeof(key))
		return -EINVAL;
	if (strmap_get(&w->queued, key))
		return 0;
	if (w->queued.n >= QUEUE_MAX)
		return -ENOBUFS;
	item = malloc(sizeof(*item) + n + 1);
	if (!item)
		return -ENOMEM;
	memcpy(item->key, key, n + 1);
	item->kind = kind;
	item->name = strchr(item->key, '/') + 1;
	item->initial = initial;
	item->next = NULL;
	if (strmap_put(&w->queued, item->key, item) < 0) {
		free(item);
		return -ENOMEM;
	}
	*w->tail = item;
	w->tail = &item->next;
	w->n_initial += initial;
	return 0;
}

static void queue_pop(struct watcher *w)
{
	struct item *item = w->head;

	strmap_take(&w->queued, item->key);
	w->head = item->next;
	if (!w->head)
		w->tail = &w->head;
	w->n_initial -= item->initial;
	free(item);
}

static void watcher_end(struct watcher *w, enum rpc_code code, const char *why)
{
	queue_clear(w);
	w->ended = true;
	rpc_finish(w->call, code, "%s", why);
}

/* ---- sending ------------------------------------------------------------------------------ */

static int event_send(struct controller *c, struct watcher *w, const struct item *item)
{
	Audums__V1__WatchEvent event = AUDUMS__V1__WATCH_EVENT__INIT;
	Audums__V1__ObjectRef ref = AUDUMS__V1__OBJECT_REF__INIT;
	Audums__V1__Document *document = NULL;
	int ret;

	ref.kind = item->kind;
	ref.name = (char *)(uintptr_t)item->name;
	event.ref = &ref;
	event.type = AUDUMS__V1__WATCH_EVENT__TYPE__TYPE_DELETE;
	ret = api_document(c, item->kind, item->name, &document);
	if (ret > 0) {
		event.type = AUDUMS__V1__WATCH_EVENT__TYPE__TYPE_PUT;
		event.object = document;
	}
	if (ret >= 0)
		ret = rpc_send(w->call, &event.base);
	if (document)
		audums__v1__document__free_unpacked(document, NULL);
	return ret;
}

static int synced_send(struct watcher *w)
{
	Audums__V1__WatchEvent event = AUDUMS__V1__WATCH_EVENT__INIT;

	event.type = AUDUMS__V1__WATCH_EVENT__TYPE__TYPE_SYNCED;
	return rpc_send(w->call, &event.base);
}

/* Send what is queued as far as the stream takes it; `writable` goes on. */
static void watcher_send(struct controller *c, struct watcher *w)
{
	int ret = 0;

	while (!w->ended && !ret) {
		if (!w->synced && !w->n_initial) {
			ret = synced_send(w);
			w->synced = !ret;
		} else if (w->head) {
			ret = event_send(c, w, w->head);
			if (!ret)
				queue_pop(w);
		} else {
			return;
		}
	}
	if (ret < 0 && ret != -EAGAIN)
		watcher_end(w, RPC_INTERNAL, "an event could not be sent");
}

void watchers_notify(struct watchers *watchers, Audums__V1__Kind kind, const char *name)
{
	for (struct watcher *w = watchers->list; w; w = w->next) {
		int ret;

		if (w->ended || !watcher_matches(w, kind, name))
			continue;
		ret = queue_add(w, kind, name, false);
		if (ret < 0) {
			log_warn("watch_ended", "status=%d queued=%zu", ret, w->queued.n);
			watcher_end(w, RPC_RESOURCE_EXHAUSTED,
				"the watch is too slow, events would be lost; begin again");
			continue;
		}
		watcher_send(watchers->c, w);
	}
}

/* ---- the method --------------------------------------------------------------------------- */

void watch_request(struct rpc_call *call, const ProtobufCMessage *request)
{
	const Audums__V1__WatchRequest *r = (const Audums__V1__WatchRequest *)request;
	struct controller *c = rpc_call_service(call);
	const Audums__V1__Document *doc = model_document(intent_model(c->intent));
	ProtobufCMessage *const *objects;
	struct watcher *w;
	int ret = 0;

	if (!api_may_read(call))
		return;
	if (c->watchers->n >= WATCHERS_MAX) {
		rpc_finish(
			call, RPC_RESOURCE_EXHAUSTED, "there are %d watches already", WATCHERS_MAX);
		return;
	}
	w = calloc(1, sizeof(*w));
	if (!w) {
		rpc_finish(call, RPC_RESOURCE_EXHAUSTED, "the controller is out of memory");
		return;
	}
	w->call = call;
	w->tail = &w->head;
	snprintf(w->name, sizeof(w->name), "%.63s", r->name);
	for (size_t i = 0; i < r->n_kinds; i++)
		if (r->kinds[i] >= KIND_FIRST && r->kinds[i] <= KIND_LAST)
			w->kinds |= 1u << r->kinds[i];
	if (!r->n_kinds)
		w->kinds = ~0u;
	w->next = c->watchers->list;
	c->watchers->list = w;
	c->watchers->n++;
	rpc_call_set_data(call, w);
	for (Audums__V1__Kind kind = KIND_FIRST; kind <= KIND_LAST; kind++) {
		size_t n = document_objects(doc, kind, &objects);

		for (size_t i = 0; i < n && !ret; i++)
			if (watcher_matches(w, kind, object_name(objects[i])))
				ret = queue_add(w, kind, object_name(objects[i]), true);
	}
	if (ret < 0)
		watcher_end(w, RPC_RESOURCE_EXHAUSTED, "there are too many objects to watch");
	else
		watcher_send(c, w);
}

void watch_writable(struct rpc_call *call)
{
	struct watcher *w = rpc_call_data(call);

	if (w)
		watcher_send(rpc_call_service(call), w);
}

void watch_done(struct rpc_call *call, const struct rpc_status *status)
{
	struct controller *c = rpc_call_service(call);
	struct watcher *w = rpc_call_data(call), **at = &c->watchers->list;

	if (!w)
		return;
	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
	c->watchers->n--;
	queue_clear(w);
	free(w);
}

void watchers_release(struct watchers *watchers)
{
	for (struct watcher *w = watchers->list; w; w = w->next)
		if (!w->ended)
			watcher_end(w, RPC_UNAVAILABLE, "the controller is stopping");
}

struct watchers *watchers_new(struct controller *c)
{
	struct watchers *watchers = calloc(1, sizeof(*watchers));

	if (watchers)
		watchers->c = c;
	return watchers;
}

void watchers_free(struct watchers *watchers)
{
	if (!watchers)
		return;
	while (watchers->list) {
		struct watcher *w = watchers->list;

		watchers->list = w->next;
		queue_clear(w);
		free(w);
	}
	free(watchers);
}
