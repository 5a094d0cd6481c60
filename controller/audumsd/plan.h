/*
 * The plan: what each node is to be made equal to, computed from the intent and the allocations.
 *
 * Invariants: a plan depends on nothing else, not even on the order of objects, so the same intent
 * gives the same bytes; a node's generation, and a segment's on it, grow only when what they stand
 * for differs from before.
 *
 * Pure. Called by intent.c for each change, and by nodes.c for what is sent.
 */
#pragma once

#include "audums/v1/node.pb-c.h"
#include "controller/audumsd/alloc.h"
#include "controller/audumsd/touched.h"
#include "topology/model.h"

/*
 * The part of a node's desired state that doesn't depend on tenants: uplinks from the links, EVPN
 * peers to the VTEP loopbacks of all other nodes. Free with audums__v1__node_base__free_unpacked().
 * NULL when memory is short. `node` is in the model.
 */
Audums__V1__NodeBase *plan_base(
	const struct model *model, const struct alloc *alloc, const char *node);

/*
 * A segment on one of its nodes, with the generation of the place. Free with
 * audums__v1__segment_config__free_unpacked(). NULL when memory is short.
 */
Audums__V1__SegmentConfig *plan_segment(const struct model *model, const struct alloc *alloc,
	const struct alloc_segment *segment, const struct alloc_place *place);

/* The segment's route target, "ASN:VNI", into `buf` of PLAN_TEXT; gives `buf`. */
#define PLAN_TEXT 32
const char *plan_route_target(
	const struct model *model, const struct alloc_segment *segment, char *buf);

/* One thing that became different on a node. The names belong to the snapshots. */
struct plan_change {
	const char *node;
	const char *segment; /* NULL: the base */
};
struct plan_changes {
	struct plan_change *items;
	size_t n;
	size_t room;
};
void plan_changes_free(struct plan_changes *changes);

/*
 * Set generations and digests in `alloc`, the snapshot that follows `before`: what differs gets
 * `generation`, is touched and listed in `changes`. `all` and `segments` as in struct alloc_task.
 * Returns 0 or -ENOMEM.
 */
int plan_update(struct alloc *alloc, const struct alloc *before, const struct model *model,
	bool all, const struct strmap *segments, uint64_t generation, struct touched *touched,
	struct plan_changes *changes);
