/* The agent of a node; see agent.h. */
#include "controller/agent/agent.h"

#include "controller/agent/dpclient.h"
#include "controller/agent/report.h"
#include "controller/rpc/loop.h"
#include "proto/lib/log.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define COALESCE_MS     5
#define PACE            3 /* rest so many times as long as looking at all segments took */
#define FIRST_REPORT_MS 300
#define FIRST_LOOK_MS   10
#define PERSIST_MS      20
#define GATE_MS         50
#define PROBE_MS        1000

static int state_path(const struct agent *a, char path[PATH_MAX], const char *name)
{
	const int n = snprintf(path, PATH_MAX, "%s/%s", a->opt.state_dir, name);

	return n < PATH_MAX ? 0 : -ENAMETOOLONG;
}

/* ---- events and reports ---- */

void agent_event(struct agent *a, const char *kind, const char *object, const char *message)
{
	struct agent_event *e;
	struct timespec ts;
	char quoted[256];

	log_warn(kind, "object=%s message=%s", object, log_quote(quoted, sizeof(quoted), message));
	if (a->event_count == AGENT_EVENTS_MAX) {
		memmove(a->events, a->events + 1, (AGENT_EVENTS_MAX - 1) * sizeof(*a->events));
		a->event_count--;
		a->events_dropped++;
	}
	clock_gettime(CLOCK_REALTIME, &ts);
	e = &a->events[a->event_count++];
	e->time_ms = (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
	snprintf(e->kind, sizeof(e->kind), "%s", kind);
	snprintf(e->object, sizeof(e->object), "%s", object);
	snprintf(e->message, sizeof(e->message), "%s", message);
	agent_report_soon(a);
}

static void events_tell(struct agent *a)
{
	size_t done = 0;

	while (done < a->event_count && a->event) {
		struct agent_event *e = &a->events[done];
		Audums__V1__AgentEvent m = AUDUMS__V1__AGENT_EVENT__INIT;

		m.time_ms = e->time_ms;
		m.kind = e->kind;
		m.object = e->object;
		m.message = e->message;
		if (!a->event(a->listener, &m))
			break;
		done++;
	}
	memmove(a->events, a->events + done, (a->event_count - done) * sizeof(*a->events));
	a->event_count -= done;
}

void agent_report_soon(struct agent *a)
{
	if (!loop_timer_armed(a->coalesce))
		loop_timer_arm(a->coalesce, COALESCE_MS + PACE * a->report_us / 1000, 0);
}

static uint64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static void report_now(void *arg)
{
	const uint64_t began = now_us();
	struct agent *a = arg;

	/* An agent that starts again first reads back what was applied before: nobody shall see
	 * segments as pending that never ceased to work. */
	if (a->desired.base && !a->applied_generation &&
		loop_now_ms() - a->opened_at_ms < FIRST_REPORT_MS) {
		report_look(a);
		if (!a->applied_generation) {
			loop_timer_arm(a->coalesce, FIRST_LOOK_MS, 0);
			return;
		}
	}
	report_make(a);
	events_tell(a);
	a->report_us = now_us() - began;
}

void agent_listen(struct agent *a, bool (*report)(void *arg, const Audums__V1__Report *r),
	bool (*event)(void *arg, const Audums__V1__AgentEvent *e), void *arg)
{
	a->report = report;
	a->event = event;
	a->listener = arg;
	a->report_all = true;
	if (report)
		agent_report_soon(a);
}

bool agent_applied(const struct agent *a)
{
	return a->desired.base && a->applied_generation == a->desired.generation;
}

/* ---- reconciling ---- */

static void reconcile(void *arg)
{
	struct agent *a = arg;
	const uint64_t began = now_us(), writes = a->kernel.writes;
	const bool waits = frr_gate(&a->frr);
	const enum kernel_result r =
		kernel_reconcile(&a->kernel, &a->desired, &a->inventory, a->kernel_settled);

	if (a->kernel.writes != a->writes_seen) {
		a->writes_seen = a->kernel.writes;
		frr_hurry(&a->frr); /* bgpd is about to hear of it */
	}
	switch (r) {
	case KERNEL_DONE:
		/* what waits for FRR is asked for, not drift, when its turn comes */
		a->kernel_settled = !a->kernel.plan.waiting;
		if (waits)
			loop_timer_arm(a->retry, GATE_MS, 0);
		break;
	case KERNEL_AGAIN:
		loop_task_schedule(a->task);
		break;
	case KERNEL_BACKOFF:
		loop_timer_arm(a->retry, kernel_backoff_ms(&a->kernel), 0);
		break;
	}
	if (a->leaving_count)
		daemon_sync(&a->frr.bgpd);
	if (a->kernel.writes == writes)
		a->reconcile_us = now_us() - began;
	agent_report_soon(a);
}

/*
 * Kernel or FRR have changed. Each change calls for a look at all segments: a thousand of them in a
 * row, as when many segments come, are looked at together. With few segments that is at once.
 */
static void reconcile_soon(void *arg)
{
	struct agent *a = arg;
	const uint64_t ms = PACE * a->reconcile_us / 1000;

	if (ms == 0)
		loop_task_schedule(a->task);
	else if (!loop_timer_armed(a->pace))
		loop_timer_arm(a->pace, ms, 0);
}

static void reconcile_now(void *arg)
{
	struct agent *a = arg;

	loop_task_schedule(a->task);
}

static void kernel_drift(void *arg, const char *object, const char *message)
{
	agent_event(arg, "kernel_drift", object, message);
}

static void frr_drift(void *arg, const char *object, const char *message)
{
	agent_event(arg, "frr_drift", object, message);
}

static void daemon_watch(struct agent *a, const struct daemon *dm, bool *was_up)
{
	if (*was_up && !dm->up)
		agent_event(a, "component_down", dm->name, dm->reason);
	*was_up = dm->up;
}

static void frr_changed(void *arg)
{
	struct agent *a = arg;

	daemon_watch(a, &a->frr.bgpd, &a->bgpd_was_up);
	daemon_watch(a, &a->frr.bfdd, &a->bfdd_was_up);
	daemon_watch(a, &a->frr.zebra, &a->zebra_was_up);

	/* A segment whose route targets are in place now gets its devices. */
	if (a->kernel.plan.waiting)
		reconcile_soon(a);
	agent_report_soon(a);
}

static bool has_vni(void *arg, uint32_t vni)
{
	struct agent *a = arg;

	return kernel_has_vni(&a->kernel, vni);
}

/* ---- desired state ---- */

static void persist(void *arg)
{
	struct agent *a = arg;
	char path[PATH_MAX];
	int err;

	if (!a->unsaved || !a->opt.state_dir || state_path(a, path, "desired.pb") < 0)
		return;
	err = desired_save(&a->desired, path);
	if (err) {
		log_error("state_write_failed", "path=%s error=%s", path, strerror(-err));
		loop_timer_arm(a->persist, 1000, 0);
		return;
	}
	a->unsaved = false;
}

static int note_leaving(struct agent *a, const struct segment *s)
{
	struct leaving *grown, l = {.vni = s->cfg->vni};

	if (s->invalid[0])
		return 0;
	snprintf(l.name, sizeof(l.name), "%s", s->cfg->name);
	for (size_t i = 0; i < a->leaving_count; i++)
		if (a->leaving[i].vni == l.vni && strcmp(a->leaving[i].name, l.name) == 0)
			return 0;
	if (a->leaving_count >= AGENT_LEAVING_MAX) {
		log_error("leaving_full", "segments=%zu", a->leaving_count);
		return -ENOBUFS;
	}
	if ((a->leaving_count & (a->leaving_count - 1)) == 0) {
		grown = realloc(
			a->leaving, (a->leaving_count ? 2 * a->leaving_count : 1) * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		a->leaving = grown;
	}
	a->leaving[a->leaving_count++] = l;
	return 0;
}

static int compare_config(const void *x, const void *y)
{
	return strcmp((*(Audums__V1__SegmentConfig *const *)x)->name,
		(*(Audums__V1__SegmentConfig *const *)y)->name);
}

static int compare_text(const void *x, const void *y)
{
	return strcmp(*(char *const *)x, *(char *const *)y);
}

/* Segments (or VNIs of segments) that the message takes away. Sorts the message's lists, whose
 * order means nothing. */
static void note_all_leaving(struct agent *a, Audums__V1__DesiredState *m)
{
	if (m->n_segments)
		qsort(m->segments, m->n_segments, sizeof(*m->segments), compare_config);
	if (m->n_removed_segments)
		qsort(m->removed_segments, m->n_removed_segments, sizeof(*m->removed_segments),
			compare_text);
	for (size_t i = 0; i < a->desired.count; i++) {
		const struct segment *s = a->desired.segments[i];
		Audums__V1__SegmentConfig key = {.name = s->cfg->name}, *k = &key, **now = NULL;
		bool stays = !m->full;

		if (m->n_segments)
			now = bsearch(&k, m->segments, m->n_segments, sizeof(*m->segments),
				compare_config);
		if (now)
			stays = (*now)->vni == s->cfg->vni;
		else if (stays && m->n_removed_segments)
			stays = !bsearch(&key.name, m->removed_segments, m->n_removed_segments,
				sizeof(*m->removed_segments), compare_text);
		if (!stays)
			note_leaving(a, s);
	}
}

int agent_take(struct agent *a, Audums__V1__DesiredState *m, char *error, size_t error_size)
{
	int err;

	if (m->node_base && a->opt.node && strcmp(m->node_base->node, a->opt.node) != 0) {
		snprintf(error, error_size, "desired state is of node \"%.40s\", this is \"%s\"",
			m->node_base->node, a->opt.node);
		return -EINVAL;
	}
	if (m->full && !m->node_base) {
		snprintf(error, error_size, "a whole desired state without node_base");
		return -EINVAL;
	}
	/* The old names are only known before the merge, whether it succeeds only after it. */
	const size_t before = a->leaving_count;

	note_all_leaving(a, m);
	err = desired_merge(&a->desired, m, error, error_size);
	if (err) {
		a->leaving_count = before;
		return err;
	}
	a->kernel_settled = false;
	a->taken_at_ms = loop_now_ms();
	err = frr_apply(&a->frr);
	if (err)
		log_error("render_failed", "error=%s", strerror(-err));
	a->unsaved = true;
	loop_timer_arm(a->persist, PERSIST_MS, 0);
	loop_task_schedule(a->task);
	log_info("desired_state", "generation=%lu segments=%zu",
		(unsigned long)a->desired.generation, a->desired.count);
	return 0;
}

static int load_state(struct agent *a, char *error, size_t error_size)
{
	Audums__V1__DesiredState *m;
	char path[PATH_MAX];
	int err;

	if (!a->opt.state_dir)
		return 0;
	if (mkdir(a->opt.state_dir, 0700) < 0 && errno != EEXIST) {
		err = -errno;
		snprintf(error, error_size, "%s: %s", a->opt.state_dir, strerror(-err));
		return err;
	}
	err = state_path(a, path, "desired.pb");
	if (err)
		return err;
	m = desired_read(path);
	if (!m) {
		/* What is there can't be used; the controller will send it anew. */
		if (errno != ENOENT)
			log_error("state_unreadable", "path=%s error=%s", path, strerror(errno));
		return 0;
	}
	err = agent_take(a, m, error, error_size);
	if (err)
		log_error("state_unusable", "path=%s error=\"%s\"", path, error);
	a->unsaved = false;
	audums__v1__desired_state__free_unpacked(m, NULL);
	return 0;
}

/* ---- the dataplane's life ---- */

static void dataplane_state(struct agent *a, bool up, const char *reason)
{
	if (a->dataplane_up && !up)
		agent_event(a, "component_down", "dataplane", reason);
	if (a->dataplane_up == up && strcmp(a->dataplane_reason, reason) == 0)
		return;
	a->dataplane_up = up;
	snprintf(a->dataplane_reason, sizeof(a->dataplane_reason), "%s", reason);
	agent_report_soon(a);
}

static bool probed(void *arg, const Audums__V1__DataplaneReply *reply, const char *error)
{
	struct agent *a = arg;

	if (reply && reply->more)
		return true;
	a->probe = NULL;
	if (reply)
		dataplane_state(a, true, "");
	else
		dataplane_state(a, false, error);
	return true;
}

static void probe(void *arg)
{
	struct agent *a = arg;
	Audums__V1__DataplaneRequest m = AUDUMS__V1__DATAPLANE_REQUEST__INIT;
	Audums__V1__InfoRequest info = AUDUMS__V1__INFO_REQUEST__INIT;
	char path[PATH_MAX];

	if (a->probe || snprintf(path, sizeof(path), "%s/dataplane.sock", a->opt.run_dir) >=
				(int)sizeof(path))
		return;
	m.ask_case = AUDUMS__V1__DATAPLANE_REQUEST__ASK_INFO;
	m.info = &info;
	a->probe = dpask_new(a->loop, path, &m, DPCLIENT_TIMEOUT_MS, probed, a);
	if (!a->probe)
		dataplane_state(a, false, strerror(errno));
}

/* ---- life ---- */

int agent_open(struct agent *a, struct loop *loop, const struct agent_options *opt, char *error,
	size_t error_size)
{
	char journal[PATH_MAX];
	int err;

	a->loop = loop;
	a->opt = *opt;
	a->opened_at_ms = loop_now_ms();
	snprintf(a->dataplane_reason, sizeof(a->dataplane_reason), "not asked");
	a->task = loop_task_new(loop, reconcile, a);
	a->retry = loop_timer_new(loop, reconcile_now, a);
	a->pace = loop_timer_new(loop, reconcile_now, a);
	a->coalesce = loop_timer_new(loop, report_now, a);
	a->persist = loop_timer_new(loop, persist, a);
	a->probe_timer = loop_timer_new(loop, probe, a);
	if (!a->probe_timer || !a->task || !a->retry || !a->pace || !a->coalesce || !a->persist) {
		err = -ENOMEM;
		goto fail;
	}
	if (opt->ports_file) {
		err = inventory_load(&a->inventory, opt->ports_file, error, error_size);
		if (err) {
			agent_close(a);
			return err;
		}
	}
	if (opt->state_dir && mkdir(opt->state_dir, 0700) < 0 && errno != EEXIST) {
		err = -errno;
		snprintf(error, error_size, "%s: %s", opt->state_dir, strerror(-err));
		agent_close(a);
		return err;
	}
	a->kernel.changed = reconcile_soon;
	a->kernel.drift = kernel_drift;
	a->kernel.arg = a;
	err = opt->state_dir ? state_path(a, journal, "journal") : 0;
	if (!err)
		err = kernel_open(&a->kernel, loop, opt->state_dir ? journal : NULL);
	if (err) {
		snprintf(error, error_size, "kernel: %s", strerror(-err));
		agent_close(a);
		return err;
	}
	a->frr.changed = frr_changed;
	a->frr.drift = frr_drift;
	a->frr.kernel_has_vni = has_vni;
	a->frr.arg = a;
	err = frr_open(&a->frr, loop, opt->vty_dir, opt->state_dir, &a->desired);
	if (err)
		goto fail;
	err = load_state(a, error, error_size);
	if (err)
		goto fail;
	if (opt->run_dir)
		loop_timer_arm(a->probe_timer, 0, PROBE_MS);
	return 0;
fail:
	snprintf(error, error_size, "%s", strerror(-err));
	agent_close(a);
	return err;
}

void agent_close(struct agent *a)
{
	persist(a);
	dpask_cancel(a->probe);
	if (a->frr.loop)
		frr_close(&a->frr);
	if (a->kernel.loop)
		kernel_close(&a->kernel);
	loop_task_free(a->task);
	loop_timer_free(a->retry);
	loop_timer_free(a->pace);
	loop_timer_free(a->coalesce);
	loop_timer_free(a->persist);
	loop_timer_free(a->probe_timer);
	inventory_clear(&a->inventory);
	desired_clear(&a->desired);
	free(a->leaving);
	memset(a, 0, sizeof(*a));
}
