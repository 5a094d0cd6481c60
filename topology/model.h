/*
 * An indexed view of a Document: look-up by kind and name, neighbours in the graph, and merging.
 *
 * Invariant: a model borrows its document, which must neither change nor go away while the model
 * lives; everything a model gives is borrowed from it. References to nothing are allowed (the
 * look-ups just don't find them): check.h finds and names them. No I/O.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "audums/v1/fabric.pb-c.h"
#include "topology/object.h"

#define LINK_MTU_DEFAULT    1600 /* octets of layer 3, when Link.mtu is 0 */
#define SEGMENT_MTU_DEFAULT 1500 /* when Segment.mtu is 0 */
#define VXLAN_OVERHEAD_IPV4 50

struct model;

/* One end of a link as its node sees it. */
struct adjacency {
	const Audums__V1__Link *link;
	const Audums__V1__LinkEnd *self;
	const Audums__V1__LinkEnd *peer;
};

/* Index a document. NULL when memory is short. Of two objects with one name the first is found. */
struct model *model_create(const Audums__V1__Document *document);
void model_destroy(struct model *model);
const Audums__V1__Document *model_document(const struct model *model);

/* Find an object; NULL when there is none. */
const ProtobufCMessage *model_find(
	const struct model *model, Audums__V1__Kind kind, const char *name);
/* Its position among the document's objects of that kind; -1 when there is none. */
ssize_t model_position(const struct model *model, Audums__V1__Kind kind, const char *name);

const Audums__V1__Provider *model_provider(const struct model *model, const char *name);
const Audums__V1__Site *model_site(const struct model *model, const char *name);
const Audums__V1__Node *model_node(const struct model *model, const char *name);
const Audums__V1__Link *model_link(const struct model *model, const char *name);
const Audums__V1__Tenant *model_tenant(const struct model *model, const char *name);
const Audums__V1__Segment *model_segment(const struct model *model, const char *name);
const Audums__V1__Attachment *model_attachment(const struct model *model, const char *name);

/*
 * Neighbours, by name; each returns how many and sets an array that the model owns. The order is
 * that of the document. A link to itself gives two adjacencies.
 */
size_t model_node_links(
	const struct model *model, const char *node, const struct adjacency **links);
size_t model_node_attachments(const struct model *model, const char *node,
	const Audums__V1__Attachment *const **attachments);
size_t model_segment_attachments(const struct model *model, const char *segment,
	const Audums__V1__Attachment *const **attachments);
size_t model_site_nodes(
	const struct model *model, const char *site, const Audums__V1__Node *const **nodes);
size_t model_site_segments(
	const struct model *model, const char *site, const Audums__V1__Segment *const **segments);
size_t model_tenant_segments(
	const struct model *model, const char *tenant, const Audums__V1__Segment *const **segments);

/* Values with their defaults put in. */
uint32_t link_mtu(const Audums__V1__Link *link);
uint32_t segment_mtu(const Audums__V1__Segment *segment);

/* The outcome of a merge. */
struct merge {
	Audums__V1__Document *document; /* what the intent is afterwards */
	Audums__V1__Change **changes;   /* creations and updates, in the order of `change` */
	size_t n_changes;
};

/*
 * What becomes of `base` when `change` is applied: each object of `change` replaces the one of its
 * kind and name, or is added at the end. Fields that only the controller sets are kept from `base`
 * and ignored in `change`. An object that is the same gives no Change. Of an object that is twice
 * in `change`, the last one stays (check.h refuses that). Both inputs stay untouched. Returns 0 or
 * -ENOMEM; `merge` is freed with model_merge_free().
 */
int model_merge(
	const Audums__V1__Document *base, const Audums__V1__Document *change, struct merge *merge);

/*
 * What becomes of `base` when the objects named are deleted; names that are not there are passed
 * over. One Change with ACTION_DELETE for each that was.
 */
int model_remove(const Audums__V1__Document *base, Audums__V1__ObjectRef *const *refs,
	size_t n_refs, struct merge *merge);
void model_merge_free(struct merge *merge);
