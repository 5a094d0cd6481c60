/* The story's steps on a living fabric: a workload moves, links fail and return, processes die. */
#include "controller/ctl/story/internal.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "controller/ctl/story/sessions.h"

/* How many further round trips must come back before things count as calm again. */
#define CALM 500

int story_move(struct story *s, const char *workload, const char *node, const char *port,
	const char *from, double *outage_ms, struct lab_err *err)
{
	struct lab_probe_result result;
	struct lab_probe *probe;
	int r;

	r = story_probe(s, from, workload, &probe, err);
	if (r)
		return r;
	r = lab_workload_move(&s->lab, workload, node, port, err);
	if (r == 0)
		r = story_wait_traffic(probe, CALM, 30000, err);
	story_probe_end(s, probe, &result);
	*outage_ms = result.longest_outage_ms;
	return r;
}

/* Wait until the controller says that the link is (not) ready. */
static int wait_link(struct story *s, const char *link, bool ready, struct lab_err *err)
{
	static const Audums__V1__Kind kind = AUDUMS__V1__KIND__KIND_LINK;
	const struct story_wait w = {
		.kinds = &kind, .kind_count = 1, .names = &link, .name_count = 1, .ready = ready};

	return story_wait(s, &w, 30000, err);
}

/* Set the link under traffic, wait for the controller's view and for calm. */
static int link_change(struct story *s, const char *link, enum lab_link_state state,
	const char *from, const char *to, double *outage_ms, struct lab_err *err)
{
	struct lab_probe_result result;
	struct lab_probe *probe;
	int r;

	r = story_probe(s, from, to, &probe, err);
	if (r)
		return r;
	r = lab_link_set(&s->lab, link, state, err);
	if (r == 0)
		r = wait_link(s, link, state == LAB_LINK_UP, err);
	if (r == 0)
		r = story_wait_traffic(probe, CALM, 30000, err);
	story_probe_end(s, probe, &result);
	*outage_ms = result.longest_outage_ms;
	return r;
}

static void states_free(const struct story *s, char **states)
{
	for (unsigned int i = 0; i < s->lab.node_count; i++)
		free(states[i]);
}

/* What all nodes' kernels and FRR hold, or with `want`: wait until it is that again. */
static int states_take(struct story *s, char **states, char *const *want, struct lab_err *err)
{
	const double deadline = story_now() + 30000;
	unsigned int i = 0;
	int r;

	while (i < s->lab.node_count) {
		r = lab_snapshot(&s->lab, i, &states[i], err);
		if (r)
			return r;
		if (!want || strcmp(states[i], want[i]) == 0) {
			i++;
			continue;
		}
		if (story_now() > deadline)
			return story_fail(err, -ETIMEDOUT, "node %s does not return to what it was",
				s->lab.nodes[i].name);
		free(states[i]);
		states[i] = NULL;
		poll(NULL, 0, 50);
	}
	return 0;
}

int story_link(struct story *s, const char *link, enum lab_link_state state, const char *from,
	const char *to, double *outage_ms, double *back_ms, struct lab_err *err)
{
	char *before[LAB_NODES_MAX] = {NULL};
	char *after[LAB_NODES_MAX] = {NULL};
	struct lab_err unused;
	int r;

	r = states_take(s, before, NULL, err);
	if (r)
		goto out;
	r = link_change(s, link, state, from, to, outage_ms, err);
	if (r) {
		lab_link_set(&s->lab, link, LAB_LINK_UP, &unused);
		goto out;
	}
	r = link_change(s, link, LAB_LINK_UP, from, to, back_ms, err);
	/* A session that is up again has not yet brought all routes back. */
	if (r == 0)
		r = states_take(s, after, before, err);
	if (r == 0)
		r = story_wait_nodes(s, 30000, err);
out:
	states_free(s, before);
	states_free(s, after);
	return r;
}

static pid_t process_pid(const struct story *s, const char *process, struct lab_err *err)
{
	struct lab_process *list = NULL;
	unsigned int count = 0;
	pid_t pid = 0;

	if (lab_processes(s->lab.name, &list, &count, err))
		return 0;
	for (unsigned int i = 0; i < count; i++)
		if (strcmp(list[i].name, process) == 0)
			pid = list[i].pid;
	free(list);
	if (pid == 0)
		story_fail(err, -ESRCH, "process %s does not run", process);
	return pid;
}

int story_kill(struct story *s, const char *process, const char *from, const char *to,
	struct lab_probe_result *result, struct lab_err *err)
{
	struct lab_probe *probe;
	pid_t pid;
	int r;

	pid = process_pid(s, process, err);
	if (pid == 0)
		return -ESRCH;
	r = story_probe(s, from, to, &probe, err);
	if (r)
		return r;
	r = lab_process_kill(s->lab.name, process, SIGKILL, err);
	if (r == 0)
		r = lab_process_wait(s->lab.name, process, pid, 30000, err);
	if (r == 0)
		r = story_wait_nodes(s, 30000, err);
	if (r == 0)
		r = story_wait_traffic(probe, CALM, 30000, err);
	story_probe_end(s, probe, result);
	return r;
}

int story_kill_dataplane(
	struct story *s, const char *node, const char *from, const char *to, struct lab_err *err)
{
	struct lab_probe_result result;
	struct sessions before;
	struct sessions after;
	char process[64];
	int r;

	snprintf(process, sizeof(process), "%s/dataplane", node);
	r = sessions_count(&s->lab, &before, err);
	if (r)
		return r;
	r = story_kill(s, process, from, to, &result, err);
	if (r)
		return r;
	r = sessions_count(&s->lab, &after, err);
	if (r)
		return r;
	s->figures.dataplane_killed_lost = result.lost;
	s->figures.dataplane_killed_outage_ms = result.longest_outage_ms;
	s->figures.sessions_lost = sessions_lost(&before, &after);
	return 0;
}
