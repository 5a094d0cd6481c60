/*
 * The agent of one node: takes desired state, keeps it on disk, makes kernel and FRR equal to it,
 * and reports what really is. Everything runs on one loop in one thread.
 *
 * Losing the controller, and ending the agent, change nothing in kernel or FRR.
 */
#pragma once

#include "controller/agent/desired.h"
#include "controller/agent/frr/frr.h"
#include "controller/agent/inventory.h"
#include "controller/agent/kernel/kernel.h"

#include <stdbool.h>
#include <stdint.h>

struct loop;
struct loop_task;
struct loop_timer;
struct dpask;

#define AGENT_EVENTS_MAX  256 /* kept while nobody listens; the oldest are dropped and counted */
#define AGENT_LEAVING_MAX DESIRED_SEGMENT_MAX

struct agent_options {
	const char *node;       /* NULL: as the desired state says */
	const char *run_dir;    /* dataplane.sock is here */
	const char *state_dir;  /* NULL: nothing is kept */
	const char *ports_file; /* NULL: every port is a device of its name */
	const char *vty_dir;    /* FRR's vty sockets */
};

/* A segment that is no longer wanted and of which something may be left. */
struct leaving {
	char name[32];
	uint32_t vni;
};

struct agent_event {
	uint64_t time_ms; /* since the epoch */
	char kind[24], object[64], message[DAEMON_ERROR_MAX];
};

struct agent {
	struct loop *loop;
	struct agent_options opt;
	struct inventory inventory;
	struct desired desired;
	struct kernel kernel;
	struct frr frr;
	struct dpask *probe; /* a question that shows whether the dataplane lives; NULL = none */
	struct loop_timer *probe_timer;
	bool dataplane_up;
	char dataplane_reason[64];
	struct loop_task *task;      /* reconcile at the end of this turn */
	struct loop_timer *retry;    /* reconcile later */
	struct loop_timer *pace;     /* reconcile after a rest */
	struct loop_timer *coalesce; /* report soon */
	struct loop_timer *persist;  /* save the desired state */
	bool kernel_settled; /* the kernel was made equal and `desired` has not changed since */
	bool unsaved;
	bool bgpd_was_up, bfdd_was_up, zebra_was_up; /* to tell each loss once */
	uint64_t writes_seen;
	uint64_t reconcile_us, report_us; /* what the last look at all segments took */
	uint64_t applied_generation;
	uint64_t taken_at_ms;  /* when the present generation came */
	uint64_t opened_at_ms; /* when the agent started */
	struct leaving *leaving;
	size_t leaving_count;
	struct agent_event events[AGENT_EVENTS_MAX];
	size_t event_count;
	uint64_t events_dropped;
	uint64_t base_reported; /* digest of the lists that are not segments */
	bool report_all;        /* the next report is a full one */
	/* Where reports and events go; NULL while nobody listens. A report that returns false was
	 * not taken: a full one follows when agent_listen() is called again. */
	bool (*report)(void *arg, const Audums__V1__Report *r);
	bool (*event)(void *arg, const Audums__V1__AgentEvent *e);
	void *listener;
};

/* Opens kernel and FRR, reads inventory and the state on disk, begins to apply. Returns 0, or a
 * negative errno with `error`. */
int agent_open(struct agent *a, struct loop *loop, const struct agent_options *opt, char *error,
	size_t error_size);
/* Leaves kernel and FRR as they are. */
void agent_close(struct agent *a);

/* Take a complete desired state or difference; `m` is consumed but still to be freed by the caller.
 * Returns 0, or a negative errno with `error`. */
int agent_take(struct agent *a, Audums__V1__DesiredState *m, char *error, size_t error_size);

/* Begin to give reports (a full one first) and events to a listener; NULL ends it. */
void agent_listen(struct agent *a, bool (*report)(void *arg, const Audums__V1__Report *r),
	bool (*event)(void *arg, const Audums__V1__AgentEvent *e), void *arg);

/* Everything of the present generation is applied. */
bool agent_applied(const struct agent *a);

/* Something a report shows has changed: report within a few milliseconds. */
void agent_report_soon(struct agent *a);

/* Note an event, log it, tell it. */
void agent_event(struct agent *a, const char *kind, const char *object, const char *message);
