/*
 * Which statuses have to be looked at, and what must be remembered of them: whether an object was
 * ready for what is asked for now, which tells DEGRADED from PENDING. See status.h.
 */
#include "controller/audumsd/status.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/audumsd/nodes.h"
#include "controller/audumsd/operations.h"
#include "controller/audumsd/watch.h"
#include "proto/lib/log.h"

#define TURN_MAX 500 /* looked at in one turn of the loop */

struct entry {
	Audums__V1__Kind kind;
	const char *name; /* points into `key` */
	bool pending;
	bool ready;         /* it was, ... */
	uint64_t ready_for; /* ... for this generation of what is asked for */
	Audums__V1__Phase phase;
	struct entry *next; /* of those that are pending */
	char key[128];
};

struct status {
	struct controller *c;
	struct strmap entries; /* "kind/name" -> struct entry */
	struct entry *pending; /* oldest first */
	struct entry **tail;
	struct loop_task *task;
};

static struct entry *entry_get(const struct status *s, Audums__V1__Kind kind, const char *name)
{
	char key[sizeof(((struct entry *)0)->key)];

	snprintf(key, sizeof(key), "%d/%s", kind, name);
	return strmap_get(&s->entries, key);
}

static struct entry *entry_make(struct status *s, Audums__V1__Kind kind, const char *name)
{
	struct entry *e = entry_get(s, kind, name);

	if (e)
		return e;
	e = calloc(1, sizeof(*e));
	if (!e)
		return NULL;
	snprintf(e->key, sizeof(e->key), "%d/%s", kind, name);
	e->kind = kind;
	e->name = strchr(e->key, '/') + 1;
	if (strmap_put(&s->entries, e->key, e) < 0) {
		free(e);
		return NULL;
	}
	return e;
}

/* What the object's readiness hangs on: it is ready for this, not for what comes later. */
static uint64_t wanted_generation(
	const struct controller *c, Audums__V1__Kind kind, const char *name)
{
	const struct alloc *alloc = intent_alloc(c->intent);
	const struct alloc_segment *s;
	const struct alloc_node *n;
	const ProtobufCMessage *object;
	uint64_t max = 0;

	switch (kind) {
	case AUDUMS__V1__KIND__KIND_SEGMENT:
		s = alloc_segment(alloc, name);
		for (size_t i = 0; s && i < s->n_places; i++)
			if (s->places[i].generation > max)
				max = s->places[i].generation;
		return max;
	case AUDUMS__V1__KIND__KIND_NODE:
		n = alloc_node(alloc, name);
		return n ? n->generation : 0;
	default:
		object = model_find(intent_model(c->intent), kind, name);
		return object ? object_generation(object) : 0;
	}
}

static bool was_ready(const struct controller *c, Audums__V1__Kind kind, const char *name)
{
	const struct entry *e = entry_get(c->status, kind, name);

	return e && e->ready && e->ready_for == wanted_generation(c, kind, name);
}

/* ---- what to look at ---------------------------------------------------------------------- */

void status_changed(struct controller *c, Audums__V1__Kind kind, const char *name)
{
	struct status *s = c->status;
	struct entry *e = entry_make(s, kind, name);

	if (!e) {
		log_error("status_lost", "object=%s/%s error=memory", kind_name(kind), name);
		return;
	}
	if (e->pending)
		return;
	e->pending = true;
	e->next = NULL;
	*s->tail = e;
	s->tail = &e->next;
	loop_task_schedule(s->task);
}

void status_schedule(struct controller *c)
{
	loop_task_schedule(c->status->task);
}

void status_segment_changed(struct controller *c, const char *segment, const char *node)
{
	const Audums__V1__Attachment *const *list;
	size_t n = model_segment_attachments(intent_model(c->intent), segment, &list);

	status_changed(c, AUDUMS__V1__KIND__KIND_SEGMENT, segment);
	for (size_t i = 0; i < n; i++)
		if (!node || !strcmp(list[i]->node, node))
			status_changed(c, AUDUMS__V1__KIND__KIND_ATTACHMENT, list[i]->name);
}

void status_node_changed(struct controller *c, const char *node)
{
	const struct model *model = intent_model(c->intent);
	const struct alloc *alloc = intent_alloc(c->intent);
	const struct adjacency *links;
	const struct alloc_segment *s;
	size_t n;

	status_changed(c, AUDUMS__V1__KIND__KIND_NODE, node);
	n = model_node_links(model, node, &links);
	for (size_t i = 0; i < n; i++)
		status_changed(c, AUDUMS__V1__KIND__KIND_LINK, links[i].link->name);
	for (size_t at = 0; (s = strmap_next(&alloc->segments, &at));)
		if (alloc_place(s, node))
			status_segment_changed(c, s->name, node);
	operations_changed(c->operations);
}

void status_committed(struct controller *c, const struct intent_commit *commit)
{
	for (size_t i = 0; i < commit->n_changes; i++) {
		const Audums__V1__ObjectRef *ref = commit->changes[i]->object;

		status_changed(c, ref->kind, ref->name);
	}
	for (size_t i = 0; i < commit->plan->n; i++) {
		const struct plan_change *p = &commit->plan->items[i];

		status_changed(c, AUDUMS__V1__KIND__KIND_NODE, p->node);
		if (p->segment)
			status_segment_changed(c, p->segment, NULL);
	}
}

/* ---- looking ------------------------------------------------------------------------------ */

/* Phase and message of an object as it is; UNSPECIFIED for kinds without a status. */
static Audums__V1__Phase phase_find(
	const struct controller *c, const ProtobufCMessage *object, char *message, size_t size)
{
	Audums__V1__Phase phase = AUDUMS__V1__PHASE__PHASE_UNSPECIFIED;
	bool was = was_ready(c, object_kind(object), object_name(object));

	*message = '\0';
	switch (object_kind(object)) {
	case AUDUMS__V1__KIND__KIND_NODE: {
		Audums__V1__NodeStatus *s =
			status_make_node(c, (const Audums__V1__Node *)object, was);

		if (s) {
			phase = s->phase;
			snprintf(message, size, "%s", s->message);
			audums__v1__node_status__free_unpacked(s, NULL);
		}
		break;
	}
	case AUDUMS__V1__KIND__KIND_LINK: {
		Audums__V1__LinkStatus *s =
			status_make_link(c, (const Audums__V1__Link *)object, was);

		if (s) {
			phase = s->phase;
			snprintf(message, size, "%s", s->message);
			audums__v1__link_status__free_unpacked(s, NULL);
		}
		break;
	}
	case AUDUMS__V1__KIND__KIND_SEGMENT: {
		Audums__V1__SegmentStatus *s =
			status_make_segment(c, (const Audums__V1__Segment *)object, was);

		if (s) {
			phase = s->phase;
			snprintf(message, size, "%s", s->message);
			audums__v1__segment_status__free_unpacked(s, NULL);
		}
		break;
	}
	case AUDUMS__V1__KIND__KIND_ATTACHMENT: {
		Audums__V1__AttachmentStatus *s =
			status_make_attachment(c, (const Audums__V1__Attachment *)object, was);

		if (s) {
			phase = s->phase;
			snprintf(message, size, "%s", s->message);
			audums__v1__attachment_status__free_unpacked(s, NULL);
		}
		break;
	}
	default:
		break;
	}
	return phase;
}

static const char *phase_name(Audums__V1__Phase phase)
{
	static const char *const names[] = {"none", "pending", "ready", "degraded", "failed"};

	return (size_t)phase < sizeof(names) / sizeof(names[0]) ? names[phase] : "?";
}

static void entry_look(struct controller *c, struct entry *e)
{
	const ProtobufCMessage *object = model_find(intent_model(c->intent), e->kind, e->name);
	char message[256], text[300];
	Audums__V1__Phase phase;

	watchers_notify(c->watchers, e->kind, e->name);
	if (!object) {
		strmap_take(&c->status->entries, e->key);
		free(e);
		return;
	}
	phase = phase_find(c, object, message, sizeof(message));
	if (phase == AUDUMS__V1__PHASE__PHASE_READY) {
		e->ready = true;
		e->ready_for = wanted_generation(c, e->kind, e->name);
	}
	if (phase == e->phase)
		return;
	log_event(e->phase ? LOG_LEVEL_INFO : LOG_LEVEL_DEBUG, "phase",
		"object=%s/%s from=%s to=%s why=%s", kind_name(e->kind), e->name,
		phase_name(e->phase), phase_name(phase), log_quote(text, sizeof(text), message));
	e->phase = phase;
}

/* So many a turn, so that a large change doesn't keep the streams waiting. */
static void on_task(void *arg)
{
	struct status *s = arg;
	struct entry *e;

	for (int i = 0; i < TURN_MAX && s->pending; i++) {
		e = s->pending;
		s->pending = e->next;
		if (!s->pending)
			s->tail = &s->pending;
		e->pending = false;
		e->next = NULL;
		entry_look(s->c, e);
	}
	operations_look(s->c->operations);
	if (s->pending)
		loop_task_schedule(s->task);
}

int status_fill(const struct controller *c, ProtobufCMessage *object)
{
	bool was = was_ready(c, object_kind(object), object_name(object));

	switch (object_kind(object)) {
	case AUDUMS__V1__KIND__KIND_NODE: {
		Audums__V1__Node *o = (Audums__V1__Node *)object;

		o->status = status_make_node(c, o, was);
		return o->status ? 0 : -ENOMEM;
	}
	case AUDUMS__V1__KIND__KIND_LINK: {
		Audums__V1__Link *o = (Audums__V1__Link *)object;

		o->status = status_make_link(c, o, was);
		return o->status ? 0 : -ENOMEM;
	}
	case AUDUMS__V1__KIND__KIND_SEGMENT: {
		Audums__V1__Segment *o = (Audums__V1__Segment *)object;

		o->status = status_make_segment(c, o, was);
		return o->status ? 0 : -ENOMEM;
	}
	case AUDUMS__V1__KIND__KIND_ATTACHMENT: {
		Audums__V1__Attachment *o = (Audums__V1__Attachment *)object;

		o->status = status_make_attachment(c, o, was);
		return o->status ? 0 : -ENOMEM;
	}
	default:
		return 0;
	}
}

/* ---- life --------------------------------------------------------------------------------- */

struct status *status_new(struct controller *c)
{
	struct status *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->c = c;
	s->tail = &s->pending;
	s->task = loop_task_new(c->loop, on_task, s);
	if (!s->task) {
		free(s);
		return NULL;
	}
	return s;
}

void status_free(struct status *status)
{
	struct entry *e;

	if (!status)
		return;
	for (size_t at = 0; (e = strmap_next(&status->entries, &at));)
		free(e);
	strmap_free(&status->entries);
	loop_task_free(status->task);
	free(status);
}
