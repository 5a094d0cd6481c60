/*
 * Sends a node what it is to be made equal to: the whole state when it connects, differences after
 * that, in chunks.
 *
 * Invariant: what is noted is sent from the intent of the moment of sending, so a slow node gets
 * the newest state and not the history; a sequence of chunks, once begun, is of one generation.
 * Bounded: one name for each segment noted, above DIRTY_MAX the whole state instead, and one
 * sequence of chunks at a time.
 */
#include "controller/audumsd/nodes.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/lib/log.h"

#define DIRTY_MAX   4096
#define CHUNK_BYTES (256 * 1024) /* the protocol allows 1 MiB */

static void dirty_clear(struct node *node)
{
	char *name;

	for (size_t at = 0; (name = strmap_next(&node->dirty, &at));)
		free(name);
	strmap_free(&node->dirty);
	node->dirty_base = false;
	node->dirty_full = false;
}

static void outbox_clear(struct node *node)
{
	for (size_t i = node->at_outbox; i < node->n_outbox; i++)
		audums__v1__desired_state__free_unpacked(node->outbox[i], NULL);
	free(node->outbox);
	node->outbox = NULL;
	node->n_outbox = 0;
	node->at_outbox = 0;
}

void desired_clear(struct node *node)
{
	dirty_clear(node);
	outbox_clear(node);
}

void desired_note_full(struct node *node)
{
	dirty_clear(node);
	node->dirty_full = true;
}

void desired_note(struct node *node, const char *segment)
{
	char *copy;

	/* what isn't connected gets the whole state when it is */
	if (!node->call || node->dirty_full)
		return;
	if (!segment) {
		node->dirty_base = true;
		return;
	}
	if (strmap_get(&node->dirty, segment))
		return;
	copy = node->dirty.n < DIRTY_MAX ? strdup(segment) : NULL;
	if (!copy || strmap_put(&node->dirty, copy, copy) < 0) {
		free(copy);
		desired_note_full(node);
	}
}

/* A new chunk at the end of the outbox; NULL when memory is short. */
static Audums__V1__DesiredState *chunk_new(struct node *node, uint64_t generation)
{
	Audums__V1__DesiredState **outbox, *d;

	outbox = realloc(node->outbox, (node->n_outbox + 1) * sizeof(*outbox));
	if (!outbox)
		return NULL;
	node->outbox = outbox;
	d = malloc(sizeof(*d));
	if (!d)
		return NULL;
	audums__v1__desired_state__init(d);
	d->generation = generation;
	outbox[node->n_outbox++] = d;
	return d;
}

/* The chunk to add `bytes` more to: the last one, or a new one. */
static Audums__V1__DesiredState *chunk_for(struct node *node, size_t bytes, size_t *filled)
{
	Audums__V1__DesiredState *last = node->outbox[node->n_outbox - 1];

	if (*filled && *filled + bytes > CHUNK_BYTES) {
		*filled = 0;
		last = chunk_new(node, last->generation);
	}
	*filled += bytes;
	return last;
}

/* Room for one more pointer in a list that grows by doubling. */
static int list_room(void **list, size_t n)
{
	void *bigger;

	if (n & (n - 1) || (n && n < 8))
		return 0;
	bigger = realloc(*list, (n < 8 ? 8 : n * 2) * sizeof(void *));
	if (!bigger)
		return -ENOMEM;
	*list = bigger;
	return 0;
}

static int segment_add(struct node *node, const struct alloc_segment *segment, size_t *filled)
{
	const struct intent *intent = node->c->intent;
	const struct alloc_place *place = alloc_place(segment, node->name);
	Audums__V1__SegmentConfig *config;
	Audums__V1__DesiredState *d;

	config = plan_segment(intent_model(intent), intent_alloc(intent), segment, place);
	if (!config)
		return -ENOMEM;
	d = chunk_for(node, audums__v1__segment_config__get_packed_size(config) + 8, filled);
	if (!d || list_room((void **)&d->segments, d->n_segments) < 0) {
		audums__v1__segment_config__free_unpacked(config, NULL);
		return -ENOMEM;
	}
	d->segments[d->n_segments++] = config;
	return 0;
}

static int removal_add(struct node *node, const char *name, size_t *filled)
{
	Audums__V1__DesiredState *d = chunk_for(node, strlen(name) + 8, filled);
	char *copy = strdup(name);

	if (!d || !copy || list_room((void **)&d->removed_segments, d->n_removed_segments) < 0) {
		free(copy);
		return -ENOMEM;
	}
	d->removed_segments[d->n_removed_segments++] = copy;
	return 0;
}

static int base_add(struct node *node, size_t *filled)
{
	const struct intent *intent = node->c->intent;
	Audums__V1__DesiredState *first = node->outbox[0];

	first->node_base = plan_base(intent_model(intent), intent_alloc(intent), node->name);
	if (!first->node_base)
		return -ENOMEM;
	*filled += audums__v1__node_base__get_packed_size(first->node_base) + 8;
	return 0;
}

/* Fill the outbox with what is noted. */
static int outbox_fill(struct node *node)
{
	const struct alloc *alloc = intent_alloc(node->c->intent);
	const struct alloc_node *self = alloc_node(alloc, node->name);
	const struct alloc_segment *s;
	const char *name;
	size_t filled = 0;
	int ret = 0;

	if (!self)
		return 0;
	if (!chunk_new(node, self->generation))
		return -ENOMEM;
	node->outbox[0]->full = node->dirty_full;
	if (node->dirty_full || node->dirty_base)
		ret = base_add(node, &filled);
	if (node->dirty_full) {
		for (size_t at = 0; !ret && (s = strmap_next(&alloc->segments, &at));)
			if (alloc_place(s, node->name))
				ret = segment_add(node, s, &filled);
	} else {
		for (size_t at = 0; !ret && (name = strmap_next(&node->dirty, &at));) {
			s = alloc_segment(alloc, name);
			if (s && alloc_place(s, node->name))
				ret = segment_add(node, s, &filled);
			else
				ret = removal_add(node, name, &filled);
		}
	}
	if (!ret)
		node->outbox[node->n_outbox - 1]->last = true;
	return ret;
}

/* Send the outbox as far as it goes. Returns true when it is empty. */
static bool outbox_send(struct node *node)
{
	while (node->at_outbox < node->n_outbox) {
		Audums__V1__ControllerMessage m = AUDUMS__V1__CONTROLLER_MESSAGE__INIT;
		Audums__V1__DesiredState *d = node->outbox[node->at_outbox];
		int ret;

		m.body_case = AUDUMS__V1__CONTROLLER_MESSAGE__BODY_DESIRED;
		m.desired = d;
		ret = rpc_send(node->call, &m.base);
		if (ret == -EAGAIN)
			return false;
		if (ret < 0) {
			/* it connects again and gets the whole state */
			log_warn("desired_not_sent", "node=%s status=%d", node->name, ret);
			session_end(node, RPC_INTERNAL, "the desired state could not be sent");
			return false;
		}
		log_info("desired_sent",
			"node=%s generation=%" PRIu64 " full=%d last=%d segments=%zu removed=%zu",
			node->name, d->generation, d->full, d->last, d->n_segments,
			d->n_removed_segments);
		audums__v1__desired_state__free_unpacked(d, NULL);
		node->at_outbox++;
	}
	outbox_clear(node);
	return true;
}

void desired_send(struct node *node)
{
	while (node->call && outbox_send(node)) {
		if (!node->dirty_full && !node->dirty_base && !node->dirty.n)
			return;
		if (outbox_fill(node) < 0) {
			log_error("desired_not_made", "node=%s error=memory", node->name);
			session_end(
				node, RPC_RESOURCE_EXHAUSTED, "the controller is out of memory");
			return;
		}
		dirty_clear(node);
	}
}
