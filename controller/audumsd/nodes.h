/*
 * What the controller knows of each node at run time: its session, its lease, what it reported, and
 * what it is yet to be sent.
 *
 * Invariants: there is one struct node for each managed node of the intent and none else; what is
 * kept of a node is bounded by the intent and the limits below, whatever the node sends; a node is
 * connected only as long as its lease is valid.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "audums/v1/fabric.pb-c.h"
#include "controller/audumsd/controller.h"
#include "controller/audumsd/strmap.h"

enum report_kind {
	REPORT_SEGMENT,
	REPORT_UPLINK,
	REPORT_PEER,
	REPORT_COMPONENT,
	REPORT_PORT,
	REPORT_KINDS,
};

struct node {
	struct controller *c;
	char *name;

	/* session.c */
	struct rpc_call *call; /* NULL: no session */
	struct loop_timer *lease;
	bool connected;
	uint64_t last_seen_ms;
	char version[64];
	char instance[64];

	/* report.c: name -> message (SegmentReport, ...), as reported last */
	uint64_t applied_generation;
	struct strmap reports[REPORT_KINDS];
	Audums__V1__AgentEvent *events[NODE_EVENTS]; /* a ring */
	uint64_t n_events;                           /* ever */
	uint64_t events_from_ms;                     /* begin of the second that is counted */
	unsigned int events_logged;                  /* in it, of all that it tells */
	unsigned int events_unlogged;

	/* desired.c: what is to be sent */
	struct strmap dirty; /* names of segments (own copies) */
	bool dirty_base;
	bool dirty_full;
	Audums__V1__DesiredState **outbox;
	size_t n_outbox;
	size_t at_outbox;
};

struct nodes *nodes_new(struct controller *c);
void nodes_free(struct nodes *nodes);
struct node *nodes_get(const struct nodes *nodes, const char *name);
/* Walk all nodes; see strmap_next(). */
struct node *nodes_next(const struct nodes *nodes, size_t *at);

/* Make the nodes those of the intent: at the start, and when a commit changed nodes. */
void nodes_sync(struct controller *c);

/* A change was committed: note what each node is to be sent, and send. */
void nodes_committed(struct controller *c, const struct intent_commit *commit);

/* What a node reported of a thing; NULL when it is not connected or has not. */
const ProtobufCMessage *node_report(
	const struct node *node, enum report_kind kind, const char *name);

/* ---- desired.c ---- */

/* Note that something is to be sent; `segment` NULL: the base. */
void desired_note(struct node *node, const char *segment);
/* Note that the whole state is to be sent. */
void desired_note_full(struct node *node);
/* Send what is noted, as far as the session takes it; goes on when it is writable. */
void desired_send(struct node *node);
/* Forget what is noted or half sent. */
void desired_clear(struct node *node);

/* ---- report.c ---- */
void report_take(struct node *node, const Audums__V1__Report *report);
void report_event(struct node *node, const Audums__V1__AgentEvent *event);
/* Forget what was reported, without the events: a new session begins with a full report. */
void report_forget(struct node *node);
/* And the events. */
void report_clear(struct node *node);
/* Forget what was reported of a segment that doesn't lie on the node any more. */
void report_prune(struct node *node, const char *segment);

/* ---- session.c ---- */
extern const struct rpc_method session_methods[];
extern const size_t session_methods_n;
/* End a node's session, if there is one. */
void session_end(struct node *node, enum rpc_code code, const char *why);
