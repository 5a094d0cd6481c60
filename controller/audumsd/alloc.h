/*
 * Allocation from the providers' pools (D4): VNIs, RD indexes, ASNs, VTEP addresses and link
 * networks. One struct alloc is a snapshot: what every object has been given.
 *
 * Invariants: no number is given twice; an explicit value of the intent is honoured or refused,
 * never changed; of free numbers the lowest is taken, so the same changes in the same order give
 * the same numbers; a freed VNI or RD index rests before it is given again, unless the same tenant
 * asks for the same VNI by number.
 *
 * Pure: no store, no clock. Called by intent.c, which keeps the records (records.h); read by
 * plan.c and status.c.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "controller/audumsd/strmap.h"
#include "controller/audumsd/touched.h"
#include "proto/lib/problems.h"
#include "topology/model.h"

/* A segment on a node. */
struct alloc_place {
	char *node;
	uint32_t rd_index;   /* 1-65535, unique on the node */
	uint64_t generation; /* that changed the segment's configuration on this node last */
	uint64_t digest;     /* of that configuration */
};

/* Records are shared between snapshots: they are changed through alloc_edit_*() only. */
struct alloc_segment {
	unsigned int refs;
	char *name;
	char *tenant;
	uint32_t vni;
	struct alloc_place *places; /* by name of the node */
	size_t n_places;
};
struct alloc_node {
	unsigned int refs;
	char *name;
	uint32_t asn;
	uint32_t vtep;            /* host byte order */
	uint64_t generation;      /* of the node's desired state */
	uint64_t base_generation; /* of the part that is not segments */
	uint64_t base_digest;
};
struct alloc_link {
	unsigned int refs;
	char *name;
	uint32_t network; /* the /31's first address, host byte order */
};
struct alloc_rest {
	unsigned int refs;
	char name[64]; /* "vni/N" or "rd/NODE/N" */
	uint64_t freed_ms;
	char *tenant;
	char *segment;
};

struct alloc {
	struct strmap segments;
	struct strmap nodes;
	struct strmap links;
	struct strmap rests;
};

struct alloc *alloc_new(void);
/* Another snapshot with the same records; NULL when memory is short. */
struct alloc *alloc_clone(const struct alloc *alloc);
void alloc_free(struct alloc *alloc);

const struct alloc_segment *alloc_segment(const struct alloc *alloc, const char *name);
const struct alloc_node *alloc_node(const struct alloc *alloc, const char *name);
const struct alloc_link *alloc_link(const struct alloc *alloc, const char *name);
/* A segment's place on a node, or NULL. */
const struct alloc_place *alloc_place(const struct alloc_segment *segment, const char *node);

/* The record for writing: made if there is none, copied if another snapshot shares it. NULL when
 * memory is short. */
struct alloc_segment *alloc_edit_segment(struct alloc *alloc, const char *name);
struct alloc_node *alloc_edit_node(struct alloc *alloc, const char *name);
struct alloc_link *alloc_edit_link(struct alloc *alloc, const char *name);
struct alloc_rest *alloc_edit_rest(struct alloc *alloc, const char *name);
/* Append a place; the caller keeps the order. Returns 0 or -ENOMEM. */
int alloc_segment_add_place(struct alloc_segment *segment, const char *node, uint32_t rd_index,
	uint64_t generation, uint64_t digest);
/* Set a text of a record. Returns 0 or -ENOMEM. */
int alloc_set_text(char **field, const char *text);

void alloc_drop_segment(struct alloc *alloc, const char *name);
void alloc_drop_node(struct alloc *alloc, const char *name);
void alloc_drop_link(struct alloc *alloc, const char *name);
void alloc_drop_rest(struct alloc *alloc, const char *name);

/* What alloc_update() has to look at, and what it works with. */
struct alloc_task {
	const struct model *before; /* the intent the snapshot was made for */
	const struct model *after;  /* the intent to allocate for */
	const struct model *change; /* index of the document that is applied, for paths; or NULL */
	bool all; /* sites, nodes, links or providers changed: look at everything */
	const struct strmap *segments; /* else: names of the segments to look at */
	uint64_t now_ms;               /* since the epoch */
	uint64_t quarantine_ms;
	struct touched *touched;
	struct problems *problems;
};

/*
 * Make `alloc` fit the intent `task->after`: give, keep and free. What cannot be given is added to
 * the problems. Returns 0 (problems or not), or -ENOMEM; with problems or an error the snapshot is
 * good for nothing but alloc_free().
 */
int alloc_update(struct alloc *alloc, const struct alloc_task *task);

/* Path of a field of an object for problems: into the applied document if the object is in it, else
 * "kind/name.field". Gives `buf`. */
const char *problem_path(const struct model *change, Audums__V1__Kind kind, const char *name,
	const char *field, char *buf, size_t size);

/* ---- alloc_segments.c, called by alloc_update() ---- */
int alloc_update_segments(struct alloc *alloc, const struct alloc_task *task);

/* ---- addresses ---- */

/* Parse "a.b.c.d/n" or "a.b.c.d" into host byte order and length. False when it is neither. */
bool ipv4_parse(const char *text, uint32_t *address, unsigned int *len);
#define IPV4_TEXT 20 /* room for an address with prefix length */
/* Print an address (host byte order) into `buf` of IPV4_TEXT; gives `buf`. */
const char *ipv4_print(uint32_t address, char *buf);
