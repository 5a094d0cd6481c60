/*
 * Waiting for the controller's view, by Watch, and for traffic. Invariant: every wait has a
 * deadline, and what it says on passing it names what was missing.
 */
#include "controller/ctl/story/internal.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "controller/ctl/client.h"

#define OBJECTS_MAX 4096

double story_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

int story_fail(struct lab_err *err, int error, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	return error;
}

void story_say(const struct story *s, const char *fmt, ...)
{
	va_list ap;

	if (!s->progress)
		return;
	va_start(ap, fmt);
	vfprintf(s->progress, fmt, ap);
	va_end(ap);
	fputc('\n', s->progress);
	fflush(s->progress);
}

/* One object as the last event showed it. */
struct seen {
	Audums__V1__Kind kind;
	char name[LAB_OBJECT_LEN];
	Audums__V1__Phase phase;
	char message[160];
};

struct watching {
	const struct story_wait *wait;
	struct seen *seen;
	unsigned int count;
	bool synced;
};

static bool is_wanted(const struct story_wait *w, const char *name)
{
	if (!w->names)
		return true;
	for (unsigned int i = 0; i < w->name_count; i++)
		if (strcmp(w->names[i], name) == 0)
			return true;
	return false;
}

/* The phase and message of the one object in `doc`; false when it has no status to wait for. */
static bool object_phase(
	const Audums__V1__Document *doc, Audums__V1__Phase *phase, const char **message)
{
#define PHASE_OF(list, n)                                                                          \
	do {                                                                                       \
		if ((n) == 1) {                                                                    \
			*phase = (list)[0]->status ? (list)[0]->status->phase                      \
						   : AUDUMS__V1__PHASE__PHASE_UNSPECIFIED;         \
			*message = (list)[0]->status ? (list)[0]->status->message : "";            \
			return true;                                                               \
		}                                                                                  \
	} while (0)
	if (doc->n_nodes == 1 && doc->nodes[0]->unmanaged)
		return false;
	PHASE_OF(doc->nodes, doc->n_nodes);
	PHASE_OF(doc->links, doc->n_links);
	PHASE_OF(doc->segments, doc->n_segments);
	PHASE_OF(doc->attachments, doc->n_attachments);
#undef PHASE_OF
	return false;
}

static void seen_remove(struct watching *w, Audums__V1__Kind kind, const char *name)
{
	for (unsigned int i = 0; i < w->count; i++) {
		if (w->seen[i].kind != kind || strcmp(w->seen[i].name, name) != 0)
			continue;
		w->seen[i] = w->seen[--w->count];
		return;
	}
}

static struct seen *seen_get(struct watching *w, Audums__V1__Kind kind, const char *name)
{
	struct seen *s;

	for (unsigned int i = 0; i < w->count; i++)
		if (w->seen[i].kind == kind && strcmp(w->seen[i].name, name) == 0)
			return &w->seen[i];
	if (w->count == OBJECTS_MAX)
		return NULL;
	s = &w->seen[w->count++];
	s->kind = kind;
	snprintf(s->name, sizeof(s->name), "%s", name);
	return s;
}

static bool is_done(const struct watching *w)
{
	unsigned int ready = 0;

	if (!w->synced)
		return false;
	for (unsigned int i = 0; i < w->count; i++)
		ready += w->seen[i].phase == AUDUMS__V1__PHASE__PHASE_READY;
	if (!w->wait->ready)
		return ready < w->count;
	return ready == w->count && w->count > 0 && w->count >= w->wait->name_count;
}

static enum stream_step on_event(void *arg, const ProtobufCMessage *message)
{
	const Audums__V1__WatchEvent *event = (const Audums__V1__WatchEvent *)message;
	struct watching *w = arg;
	Audums__V1__Phase phase;
	const char *text = "";
	struct seen *seen;

	if (event->type == AUDUMS__V1__WATCH_EVENT__TYPE__TYPE_SYNCED) {
		w->synced = true;
	} else if (event->ref && is_wanted(w->wait, event->ref->name)) {
		if (event->type == AUDUMS__V1__WATCH_EVENT__TYPE__TYPE_DELETE) {
			seen_remove(w, event->ref->kind, event->ref->name);
		} else if (event->object && object_phase(event->object, &phase, &text)) {
			seen = seen_get(w, event->ref->kind, event->ref->name);
			if (seen) {
				seen->phase = phase;
				snprintf(seen->message, sizeof(seen->message), "%s", text);
			}
		}
	}
	return is_done(w) ? STREAM_DONE : STREAM_GO_ON;
}

static int say_missing(const struct watching *w, struct lab_err *err)
{
	static const char *const kinds[] = {
		"?", "provider", "site", "node", "link", "tenant", "segment", "attachment"};
	size_t at;

	if (!w->synced)
		return story_fail(err, -ETIMEDOUT, "the controller did not answer in time");
	if (!w->wait->ready)
		return story_fail(err, -ETIMEDOUT, "everything still counts as ready");
	if (w->count == 0)
		return story_fail(err, -ETIMEDOUT, "the controller knows none of the objects");
	at = (size_t)snprintf(err->text, sizeof(err->text), "not ready:");
	for (unsigned int i = 0; i < w->count && at < sizeof(err->text); i++) {
		const struct seen *s = &w->seen[i];

		if (s->phase != AUDUMS__V1__PHASE__PHASE_READY)
			at += (size_t)snprintf(err->text + at, sizeof(err->text) - at,
				" %s/%s (%s)", (unsigned int)s->kind < 8 ? kinds[s->kind] : "?",
				s->name, s->message[0] ? s->message : "no reason given");
	}
	return -ETIMEDOUT;
}

int story_wait(struct story *s, const struct story_wait *wait, unsigned int timeout_ms,
	struct lab_err *err)
{
	Audums__V1__WatchRequest request = AUDUMS__V1__WATCH_REQUEST__INIT;
	const double deadline = story_now() + timeout_ms;
	struct watching w = {.wait = wait};
	int r = 0;

	w.seen = calloc(OBJECTS_MAX, sizeof(*w.seen));
	if (!w.seen)
		return story_fail(err, -ENOMEM, "out of memory");
	request.kinds = (Audums__V1__Kind *)wait->kinds;
	request.n_kinds = wait->kind_count;
	for (;;) {
		const double left = deadline - story_now();
		enum stream_end end;

		if (left < 1) {
			r = say_missing(&w, err);
			break;
		}
		w.count = 0;
		w.synced = false;
		end = client_stream(&s->ctl, "Watch", &request.base,
			&audums__v1__watch_event__descriptor, (unsigned long)left, true, on_event,
			&w);
		if (end == STREAM_STOPPED)
			break;
		if (end == STREAM_FAILED) {
			r = story_fail(err, -EIO, "the controller refuses to be watched");
			break;
		}
		/* The controller is away (it may have been killed): ask again a little later. */
		if (end != STREAM_TIMEOUT) {
			client_close(&s->ctl);
			poll(NULL, 0, 50);
		}
	}
	free(w.seen);
	return r;
}

int story_wait_traffic(
	struct lab_probe *probe, uint64_t more, unsigned int timeout_ms, struct lab_err *err)
{
	const uint64_t target = lab_probe_received(probe) + more;
	const double deadline = story_now() + timeout_ms;

	while (lab_probe_received(probe) < target) {
		if (story_now() > deadline)
			return story_fail(err, -ETIMEDOUT, "no traffic within %u ms", timeout_ms);
		poll(NULL, 0, 5);
	}
	return 0;
}

int story_probe(struct story *s, const char *from, const char *to, struct lab_probe **probe,
	struct lab_err *err)
{
	const struct lab_probe_options options = {.from = from, .to = to, .rate = 1000};
	struct lab_probe_result unused;
	int r;

	r = lab_probe_start(&s->lab, &options, probe, err);
	if (r)
		return r;
	r = story_wait_traffic(*probe, 300, 10000, err);
	if (r)
		lab_probe_stop(*probe, &unused);
	return r;
}

void story_probe_end(struct story *s, struct lab_probe *probe, struct lab_probe_result *result)
{
	lab_probe_stop(probe, result);
	if (result->longest_stall_ms > s->figures.stall_ms)
		s->figures.stall_ms = result->longest_stall_ms;
}
