/*
 * Status: what is, as far as the nodes have said, against what was asked for.
 *
 * Invariant: a status is true or absent. What a node said counts only while its lease is valid, and
 * only for the generation it spoke of. Changes within a turn of the loop are looked at together at
 * its end, and told to the watchers then.
 */
#pragma once

#include "controller/audumsd/controller.h"

struct status *status_new(struct controller *c);
void status_free(struct status *status);

/* Something an object's status is made of has changed. */
void status_changed(struct controller *c, Audums__V1__Kind kind, const char *name);
/* A segment on a node: the segment and its attachments there (node NULL: all). */
void status_segment_changed(struct controller *c, const char *segment, const char *node);
/* A node came or went: everything that touches it. */
void status_node_changed(struct controller *c, const char *node);
/* Look at what is pending, operations too, at the end of this turn. */
void status_schedule(struct controller *c);
/* A change was committed. */
void status_committed(struct controller *c, const struct intent_commit *commit);

/* Set the status of an object (a copy of one of the intent, without status). Returns 0 or -ENOMEM,
 * then the status may be incomplete. */
int status_fill(const struct controller *c, ProtobufCMessage *object);

/* ---- status_make.c: the statuses themselves; NULL when memory is short. `was_ready`: it was
 * ready for what is asked for now. ---- */
Audums__V1__NodeStatus *status_make_node(
	const struct controller *c, const Audums__V1__Node *node, bool was_ready);
Audums__V1__LinkStatus *status_make_link(
	const struct controller *c, const Audums__V1__Link *link, bool was_ready);
Audums__V1__SegmentStatus *status_make_segment(
	const struct controller *c, const Audums__V1__Segment *segment, bool was_ready);
Audums__V1__AttachmentStatus *status_make_attachment(
	const struct controller *c, const Audums__V1__Attachment *attachment, bool was_ready);
