/*
 * The indexed view of a document; see model.h.
 *
 * Invariant: everything is computed once, in model_create(), and constant afterwards. Names are
 * hashed per kind; neighbours are kept as one array for each relation, sorted by owner, with the
 * start of each owner's part (owners and items in the order of the document).
 */
#include "topology/model.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct names {
	size_t *slots; /* position + 1; 0 = free */
	size_t n_slots;
	ProtobufCMessage *const *objects;
	size_t n_objects;
};

enum relation_kind {
	NODE_LINKS,
	NODE_ATTACHMENTS,
	SEGMENT_ATTACHMENTS,
	SITE_NODES,
	SITE_SEGMENTS,
	TENANT_SEGMENTS,
	N_RELATIONS,
};

struct relation {
	size_t *start; /* one more than owners */
	char *items;
};

struct model {
	const Audums__V1__Document *document;
	struct names names[KIND_COUNT];
	struct relation relations[N_RELATIONS];
};

static const Audums__V1__Kind relation_owner[N_RELATIONS] = {
	[NODE_LINKS] = AUDUMS__V1__KIND__KIND_NODE,
	[NODE_ATTACHMENTS] = AUDUMS__V1__KIND__KIND_NODE,
	[SEGMENT_ATTACHMENTS] = AUDUMS__V1__KIND__KIND_SEGMENT,
	[SITE_NODES] = AUDUMS__V1__KIND__KIND_SITE,
	[SITE_SEGMENTS] = AUDUMS__V1__KIND__KIND_SITE,
	[TENANT_SEGMENTS] = AUDUMS__V1__KIND__KIND_TENANT,
};

/* ---- names -------------------------------------------------------------------------------------
 */

static size_t name_hash(const char *name)
{
	uint64_t h = 14695981039346656037u; /* FNV-1a */

	for (; *name; name++)
		h = (h ^ (uint8_t)*name) * 1099511628211u;
	return (size_t)(h ^ h >> 32);
}

static size_t *name_slot(const struct names *names, const char *name)
{
	size_t i = name_hash(name) & (names->n_slots - 1);

	while (names->slots[i] != 0 &&
		strcmp(object_name(names->objects[names->slots[i] - 1]), name) != 0)
		i = (i + 1) & (names->n_slots - 1);
	return &names->slots[i];
}

static int names_build(
	struct names *names, const Audums__V1__Document *document, Audums__V1__Kind kind)
{
	names->n_objects = document_objects(document, kind, &names->objects);
	names->n_slots = 8;
	while (names->n_slots < names->n_objects * 2)
		names->n_slots *= 2;
	names->slots = calloc(names->n_slots, sizeof(names->slots[0]));
	if (names->slots == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < names->n_objects; i++) {
		size_t *slot = name_slot(names, object_name(names->objects[i]));

		if (*slot == 0)
			*slot = i + 1;
	}
	return 0;
}

ssize_t model_position(const struct model *model, Audums__V1__Kind kind, const char *name)
{
	if (kind < KIND_FIRST || kind > KIND_LAST)
		return -1;
	return (ssize_t)*name_slot(&model->names[kind], name) - 1;
}

const ProtobufCMessage *model_find(
	const struct model *model, Audums__V1__Kind kind, const char *name)
{
	const ssize_t at = model_position(model, kind, name);

	return at >= 0 ? model->names[kind].objects[at] : NULL;
}

const Audums__V1__Provider *model_provider(const struct model *model, const char *name)
{
	return (const void *)model_find(model, AUDUMS__V1__KIND__KIND_PROVIDER, name);
}

const Audums__V1__Site *model_site(const struct model *model, const char *name)
{
	return (const void *)model_find(model, AUDUMS__V1__KIND__KIND_SITE, name);
}

const Audums__V1__Node *model_node(const struct model *model, const char *name)
{
	return (const void *)model_find(model, AUDUMS__V1__KIND__KIND_NODE, name);
}

const Audums__V1__Link *model_link(const struct model *model, const char *name)
{
	return (const void *)model_find(model, AUDUMS__V1__KIND__KIND_LINK, name);
}

const Audums__V1__Tenant *model_tenant(const struct model *model, const char *name)
{
	return (const void *)model_find(model, AUDUMS__V1__KIND__KIND_TENANT, name);
}

const Audums__V1__Segment *model_segment(const struct model *model, const char *name)
{
	return (const void *)model_find(model, AUDUMS__V1__KIND__KIND_SEGMENT, name);
}

const Audums__V1__Attachment *model_attachment(const struct model *model, const char *name)
{
	return (const void *)model_find(model, AUDUMS__V1__KIND__KIND_ATTACHMENT, name);
}

/* ---- relations ---------------------------------------------------------------------------------
 */

/* What belongs to whom, in the order of the document, before it is sorted by owner. */
struct pairs {
	size_t *owners;
	char *items;
	size_t n, cap, item_size;
};

static int pairs_add(struct pairs *pairs, ssize_t owner, const void *item)
{
	size_t *owners;
	char *items;

	if (owner < 0) /* a reference to nothing: check.c names it */
		return 0;
	if (pairs->n == pairs->cap) {
		const size_t cap = pairs->cap ? pairs->cap * 2 : 16;

		owners = realloc(pairs->owners, cap * sizeof(owners[0]));
		if (owners == NULL)
			return -ENOMEM;
		pairs->owners = owners;
		items = realloc(pairs->items, cap * pairs->item_size);
		if (items == NULL)
			return -ENOMEM;
		pairs->items = items;
		pairs->cap = cap;
	}
	pairs->owners[pairs->n] = (size_t)owner;
	memcpy(pairs->items + pairs->n * pairs->item_size, item, pairs->item_size);
	pairs->n++;
	return 0;
}

static int relation_build(struct relation *relation, size_t n_owners, const struct pairs *pairs)
{
	const size_t size = pairs->item_size;
	size_t *start = calloc(n_owners + 2, sizeof(start[0]));

	relation->start = start;
	relation->items = malloc(pairs->n ? pairs->n * size : 1);
	if (start == NULL || relation->items == NULL)
		return -ENOMEM;
	/* count two places ahead; filling moves each start up to where the next owner begins */
	for (size_t i = 0; i < pairs->n; i++)
		start[pairs->owners[i] + 2]++;
	for (size_t i = 2; i < n_owners + 2; i++)
		start[i] += start[i - 1];
	for (size_t i = 0; i < pairs->n; i++)
		memcpy(relation->items + start[pairs->owners[i] + 1]++ * size,
			pairs->items + i * size, size);
	return 0;
}

static int pairs_collect(const struct model *m, enum relation_kind relation, struct pairs *p)
{
	const Audums__V1__Kind owner = relation_owner[relation];
	const Audums__V1__Document *d = m->document;
	int err = 0;

	switch (relation) {
	case NODE_LINKS:
		for (size_t i = 0; i < d->n_links && err == 0; i++) {
			const Audums__V1__Link *l = d->links[i];
			const struct adjacency ab = {l, l->a, l->b}, ba = {l, l->b, l->a};

			if (l->a == NULL || l->b == NULL)
				continue;
			err = pairs_add(p, model_position(m, owner, l->a->node), &ab);
			if (err == 0)
				err = pairs_add(p, model_position(m, owner, l->b->node), &ba);
		}
		break;
	case NODE_ATTACHMENTS:
	case SEGMENT_ATTACHMENTS:
		for (size_t i = 0; i < d->n_attachments && err == 0; i++) {
			const Audums__V1__Attachment *a = d->attachments[i];

			err = pairs_add(p,
				model_position(m, owner,
					relation == NODE_ATTACHMENTS ? a->node : a->segment),
				&a);
		}
		break;
	case SITE_NODES:
		for (size_t i = 0; i < d->n_nodes && err == 0; i++)
			err = pairs_add(
				p, model_position(m, owner, d->nodes[i]->site), &d->nodes[i]);
		break;
	case SITE_SEGMENTS:
		for (size_t i = 0; i < d->n_segments; i++) {
			const Audums__V1__Segment *s = d->segments[i];

			for (size_t k = 0; k < s->n_sites && err == 0; k++)
				err = pairs_add(p, model_position(m, owner, s->sites[k]), &s);
		}
		break;
	case TENANT_SEGMENTS:
		for (size_t i = 0; i < d->n_segments && err == 0; i++)
			err = pairs_add(p, model_position(m, owner, d->segments[i]->tenant),
				&d->segments[i]);
		break;
	case N_RELATIONS:
		break;
	}
	return err;
}

static int relations_build(struct model *m)
{
	int err = 0;

	for (unsigned r = 0; r < N_RELATIONS && err == 0; r++) {
		struct pairs pairs = {
			.item_size = r == NODE_LINKS ? sizeof(struct adjacency) : sizeof(void *)};

		err = pairs_collect(m, r, &pairs);
		if (err == 0)
			err = relation_build(
				&m->relations[r], m->names[relation_owner[r]].n_objects, &pairs);
		free(pairs.owners);
		free(pairs.items);
	}
	return err;
}

static size_t related(const struct model *m, enum relation_kind relation, const char *owner,
	size_t item_size, const void **items)
{
	const struct relation *r = &m->relations[relation];
	const ssize_t at = model_position(m, relation_owner[relation], owner);

	*items = r->items;
	if (at < 0)
		return 0;
	*items = r->items + r->start[at] * item_size;
	return r->start[at + 1] - r->start[at];
}

size_t model_node_links(const struct model *model, const char *node, const struct adjacency **links)
{
	return related(model, NODE_LINKS, node, sizeof(struct adjacency), (const void **)links);
}

size_t model_node_attachments(const struct model *model, const char *node,
	const Audums__V1__Attachment *const **attachments)
{
	return related(model, NODE_ATTACHMENTS, node, sizeof(void *), (const void **)attachments);
}

size_t model_segment_attachments(const struct model *model, const char *segment,
	const Audums__V1__Attachment *const **attachments)
{
	return related(
		model, SEGMENT_ATTACHMENTS, segment, sizeof(void *), (const void **)attachments);
}

size_t model_site_nodes(
	const struct model *model, const char *site, const Audums__V1__Node *const **nodes)
{
	return related(model, SITE_NODES, site, sizeof(void *), (const void **)nodes);
}

size_t model_site_segments(
	const struct model *model, const char *site, const Audums__V1__Segment *const **segments)
{
	return related(model, SITE_SEGMENTS, site, sizeof(void *), (const void **)segments);
}

size_t model_tenant_segments(
	const struct model *model, const char *tenant, const Audums__V1__Segment *const **segments)
{
	return related(model, TENANT_SEGMENTS, tenant, sizeof(void *), (const void **)segments);
}

/* ---- life --------------------------------------------------------------------------------------
 */

struct model *model_create(const Audums__V1__Document *document)
{
	struct model *model = calloc(1, sizeof(*model));
	int err = 0;

	if (model == NULL)
		return NULL;
	model->document = document;
	for (Audums__V1__Kind k = KIND_FIRST; k <= KIND_LAST && err == 0; k++)
		err = names_build(&model->names[k], document, k);
	if (err == 0)
		err = relations_build(model);
	if (err < 0) {
		model_destroy(model);
		return NULL;
	}
	return model;
}

void model_destroy(struct model *model)
{
	if (model == NULL)
		return;
	for (unsigned k = 0; k < KIND_COUNT; k++)
		free(model->names[k].slots);
	for (unsigned r = 0; r < N_RELATIONS; r++) {
		free(model->relations[r].start);
		free(model->relations[r].items);
	}
	free(model);
}

const Audums__V1__Document *model_document(const struct model *model)
{
	return model->document;
}

uint32_t link_mtu(const Audums__V1__Link *link)
{
	return link->mtu ? link->mtu : LINK_MTU_DEFAULT;
}

uint32_t segment_mtu(const Audums__V1__Segment *segment)
{
	return segment->mtu ? segment->mtu : SEGMENT_MTU_DEFAULT;
}
