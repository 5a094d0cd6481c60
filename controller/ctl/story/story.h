/*
 * The story that a lab is brought up for: steps that act on a running lab and measure what
 * happens. `audumsctl lab demo` tells them one after another, the fabric tests assert on them.
 *
 * Each step waits for events with a deadline and fills in its part of `figures`. It returns 0, or a
 * negative errno with a sentence in `err` when something that must hold did not come to hold. A
 * figure that is merely bad (a lost packet, a long outage) is no failure of the step: whoever calls
 * judges it.
 */
#pragma once

#include "controller/ctl/ctl.h"
#include "controller/ctl/lab/lab.h"

/* What the steps measured. Times are milliseconds. */
struct story_figures {
	double up_ms;        /* the lab's processes, before any tenant */
	double connected_ms; /* from then until all nodes and links were ready */
	double provision_ms; /* Apply to all nodes of the segment ready, first tenant */
	uint64_t ping_sent;  /* every pair, both families, two sizes */
	uint64_t ping_lost;
	uint64_t leaked_frames; /* frames of one tenant seen by another */
	uint64_t marked_frames; /* frames of the tenant seen by its own workloads */
	double move_outage_ms;  /* towards the workload that moves */
	double move_back_outage_ms;
	double link_down_outage_ms;   /* a link loses carrier */
	double link_down_back_ms;     /* outage when it returns */
	double link_silent_outage_ms; /* frames vanish, carrier stays */
	double link_silent_back_ms;
	uint64_t controller_killed_lost; /* packets */
	uint64_t agent_killed_lost;
	uint64_t dataplane_killed_lost;
	double dataplane_killed_outage_ms;
	unsigned int sessions_lost; /* BGP sessions and TAP carriers that a dead dataplane cost */
	double stall_ms;            /* longest time this machine did not let a probe send */
	double delete_ms;           /* Delete to nothing left */
};

struct story {
	struct lab lab;
	struct ctl ctl;
	char context[LAB_PATH_LEN];
	FILE *progress; /* one line a step, or NULL */
	struct story_figures figures;
};

/* Begin on the lab `name`, which is up. -ENOENT and so on, as lab_open(). */
int story_open(struct story *s, const char *name, FILE *progress, struct lab_err *err);
/*
 * Bring up the lab `name` of the topology in a file, anew when it is up already, open the story on
 * it and apply the topology. On failure nothing is left.
 */
int story_up(struct story *s, const char *topology, const char *name, FILE *progress,
	struct lab_err *err);
/* Close the client. The lab stays as it is. */
void story_close(struct story *s);

/* Wait until all nodes and links are ready, at most timeout_ms. */
int story_wait_nodes(struct story *s, unsigned int timeout_ms, struct lab_err *err);

/* Apply a file, the topology for example, and wait for nothing. */
int story_apply(struct story *s, const char *file, struct lab_err *err);

/*
 * Apply a tenant's file and wait until its segments are ready: *ms is the time between. */
int story_provision(struct story *s, const char *file, unsigned int timeout_ms, double *ms,
	struct lab_err *err);

/* Whether the attachment is a place to move to, labelled use=standby, and has no workload at first.
 */
bool story_is_standby(const Audums__V1__Attachment *attachment);

/*
 * A workload for each attachment of the file that is not labelled use=standby, named like the
 * attachment, with the n-th address of each subnet of its segment (n = 11 for the first attachment
 * of the segment) and the MAC 02:00:0a:00:00:n: so tenants with the same subnets get the same
 * addresses and MACs. Those that exist stay.
 */
int story_workloads(struct story *s, const char *file, struct lab_err *err);

/* All pairs within each segment, both families, small and 1,500 octets. `count` packets each. */
int story_ping(struct story *s, unsigned int count, struct lab_err *err);

/*
 * Every workload of `group` sends `count` marked broadcasts and marked frames to unknown MACs; all
 * workloads listen. Counts what the group itself saw (marked_frames) and others (leaked_frames).
 */
int story_isolation(struct story *s, const char *group, unsigned int count, struct lab_err *err);

/* Move `workload` to the port of `attachment` under 1 kHz traffic from `from`. */
int story_move(struct story *s, const char *workload, const char *node, const char *port,
	const char *from, double *outage_ms, struct lab_err *err);

/*
 * Take a link away (state DOWN or SILENT) under 1 kHz traffic between the two workloads, wait until
 * traffic and the controller's view have settled, give it back, wait until every node is what it
 * was before.
 */
int story_link(struct story *s, const char *link, enum lab_link_state state, const char *from,
	const char *to, double *outage_ms, double *back_ms, struct lab_err *err);

/* kill -9 of a process under 1 kHz traffic; waits until it is back and the nodes are ready. */
int story_kill(struct story *s, const char *process, const char *from, const char *to,
	struct lab_probe_result *result, struct lab_err *err);

/* kill -9 of a node's forwarding process; also counts BGP sessions and carriers lost meanwhile. */
int story_kill_dataplane(
	struct story *s, const char *node, const char *from, const char *to, struct lab_err *err);

/* Delete all that the file declares and wait until the nodes are ready without it. */
int story_delete(struct story *s, const char *file, unsigned int timeout_ms, double *ms,
	struct lab_err *err);
