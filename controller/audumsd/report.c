/*
 * Takes what a node says of itself. The node is not trusted with our memory: what is kept is
 * bounded in number and size, whatever it sends, and what doesn't belong to the node is passed
 * over.
 */
#include "controller/audumsd/nodes.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "controller/audumsd/operations.h"
#include "controller/audumsd/status.h"
#include "proto/lib/log.h"
#include "proto/lib/rules.h"

#define SEGMENT_BYTES (64 * 1024) /* of one report of a segment */
#define REPORT_BYTES  1024        /* of one of anything else */
#define EVENT_BYTES   1024
#define EVENTS_LOGGED 50 /* a second, of each node */

static const size_t kind_max[REPORT_KINDS] = {
	[REPORT_SEGMENT] = SIZE_MAX, /* only those of the intent */
	[REPORT_UPLINK] = 1024,
	[REPORT_PEER] = 4096,
	[REPORT_COMPONENT] = 32,
	[REPORT_PORT] = 4096,
};

/* All items carry their name as the first field. */
static const char *item_name(const ProtobufCMessage *item)
{
	const char *name =
		*(char *const *)((const char *)item + item->descriptor->fields[0].offset);

	return name ? name : "";
}

static bool items_equal(const ProtobufCMessage *a, const ProtobufCMessage *b)
{
	size_t n = protobuf_c_message_get_packed_size(a);
	uint8_t *bytes;
	bool equal;

	if (n != protobuf_c_message_get_packed_size(b))
		return false;
	bytes = malloc(2 * n + 1);
	if (!bytes)
		return false;
	protobuf_c_message_pack(a, bytes);
	protobuf_c_message_pack(b, bytes + n);
	equal = !memcmp(bytes, bytes + n, n);
	free(bytes);
	return equal;
}

/* What a node may speak of: what the intent has of it. Nobody else's, and nothing that is not
 * there: what is said here reaches people's terminals and whoever watches. */
static bool item_ours(const struct node *node, enum report_kind kind, const char *name)
{
	const struct model *model = intent_model(node->c->intent);
	const struct alloc_segment *s;
	const Audums__V1__Link *link;

	switch (kind) {
	case REPORT_SEGMENT:
		s = alloc_segment(intent_alloc(node->c->intent), name);
		return s && alloc_place(s, node->name);
	case REPORT_UPLINK:
		link = model_link(model, name);
		return link && link->a && link->b &&
		       (!strcmp(link->a->node, node->name) || !strcmp(link->b->node, node->name));
	case REPORT_PEER:
		return model_node(model, name);
	default:
		/* of a form that names have, whatever they name */
		return !rules_format_check(AUDUMS__V1__FORMAT__FORMAT_NAME, name);
	}
}

/* Say what hangs on an item that became different. */
static void item_changed(struct node *node, enum report_kind kind, const char *name)
{
	if (kind == REPORT_SEGMENT)
		status_segment_changed(node->c, name, node->name);
	else if (kind == REPORT_UPLINK)
		status_changed(node->c, AUDUMS__V1__KIND__KIND_LINK, name);
	else
		status_changed(node->c, AUDUMS__V1__KIND__KIND_NODE, node->name);
}

static void item_drop(struct node *node, enum report_kind kind, const char *name)
{
	ProtobufCMessage *old = strmap_take(&node->reports[kind], name);

	if (!old)
		return;
	item_changed(node, kind, item_name(old));
	protobuf_c_message_free_unpacked(old, NULL);
}

/* A node that tells more than this is counted, not quoted, in the log. */
static bool loggable(struct node *node)
{
	uint64_t now = loop_now_ms();

	if (now - node->events_from_ms >= 1000) {
		if (node->events_unlogged)
			log_warn("node_events_not_logged", "node=%s events=%u", node->name,
				node->events_unlogged);
		node->events_from_ms = now;
		node->events_logged = 0;
		node->events_unlogged = 0;
	}
	if (node->events_logged++ < EVENTS_LOGGED)
		return true;
	node->events_unlogged++;
	return false;
}

static void item_take(struct node *node, enum report_kind kind, const ProtobufCMessage *item)
{
	const char *name = item_name(item);
	struct strmap *map = &node->reports[kind];
	ProtobufCMessage *old = strmap_get(map, name), *copy;

	if (!item_ours(node, kind, name) || (old && items_equal(old, item)))
		return;
	if (protobuf_c_message_get_packed_size(item) >
			(kind == REPORT_SEGMENT ? SEGMENT_BYTES : REPORT_BYTES) ||
		(!old && map->n >= kind_max[kind])) {
		if (loggable(node))
			log_warn("report_too_large", "node=%s kind=%d items=%zu", node->name, kind,
				map->n);
		return;
	}
	copy = message_clone(item);
	if (!copy || strmap_put(map, item_name(copy), copy) < 0) {
		if (copy)
			protobuf_c_message_free_unpacked(copy, NULL);
		log_error("report_not_kept", "node=%s error=memory", node->name);
		return;
	}
	if (old)
		protobuf_c_message_free_unpacked(old, NULL);
	item_changed(node, kind, item_name(copy));
}

/* A full list: what is not in it is not there any more. */
static void items_retain(
	struct node *node, enum report_kind kind, ProtobufCMessage *const *items, size_t n)
{
	struct strmap named = {0};
	ProtobufCMessage *old;
	size_t at = 0;

	for (size_t i = 0; i < n; i++)
		if (strmap_put(&named, item_name(items[i]), items[i]) < 0)
			goto out;
	while ((old = strmap_next(&node->reports[kind], &at)))
		if (!strmap_get(&named, item_name(old))) {
			item_drop(node, kind, item_name(old));
			at = 0; /* the table has moved */
		}
out:
	strmap_free(&named);
}

void report_prune(struct node *node, const char *segment)
{
	if (!item_ours(node, REPORT_SEGMENT, segment))
		item_drop(node, REPORT_SEGMENT, segment);
}

/* A generation that the node was never asked for is of another history (the store was put back from
 * a copy): it says nothing of this one's changes, however great it is. */
static uint64_t generation_credible(const struct node *node, uint64_t generation)
{
	const struct alloc_node *n = alloc_node(intent_alloc(node->c->intent), node->name);

	return n && generation <= n->generation ? generation : 0;
}

void report_take(struct node *node, const Audums__V1__Report *report)
{
	const struct {
		ProtobufCMessage *const *items;
		size_t n;
	} lists[REPORT_KINDS] = {
		[REPORT_SEGMENT] = {(ProtobufCMessage *const *)report->segments,
			report->n_segments},
		[REPORT_UPLINK] = {(ProtobufCMessage *const *)report->uplinks, report->n_uplinks},
		[REPORT_PEER] = {(ProtobufCMessage *const *)report->evpn_peers,
			report->n_evpn_peers},
		[REPORT_COMPONENT] = {(ProtobufCMessage *const *)report->components,
			report->n_components},
		[REPORT_PORT] = {(ProtobufCMessage *const *)report->ports, report->n_ports},
	};

	uint64_t applied;

	if (report->renewal)
		return;
	applied = generation_credible(node, report->applied_generation);
	if (applied != node->applied_generation) {
		node->applied_generation = applied;
		if (loggable(node))
			log_info(
				"node_applied", "node=%s generation=%" PRIu64, node->name, applied);
		status_changed(node->c, AUDUMS__V1__KIND__KIND_NODE, node->name);
	}
	for (enum report_kind kind = 0; kind < REPORT_KINDS; kind++) {
		if (report->full)
			items_retain(node, kind, lists[kind].items, lists[kind].n);
		for (size_t i = 0; i < lists[kind].n; i++)
			item_take(node, kind, lists[kind].items[i]);
	}
	for (size_t i = 0; i < report->n_gone_segments; i++)
		item_drop(node, REPORT_SEGMENT, report->gone_segments[i]);
	operations_changed(node->c->operations);
}

void report_event(struct node *node, const Audums__V1__AgentEvent *event)
{
	Audums__V1__AgentEvent **slot = &node->events[node->n_events % NODE_EVENTS];
	char kind[128], object[256], message[800];
	ProtobufCMessage *copy;

	if (loggable(node))
		log_info("node_event", "node=%s kind=%s object=%s message=%s", node->name,
			log_quote(kind, sizeof(kind), event->kind),
			log_quote(object, sizeof(object), event->object),
			log_quote(message, sizeof(message), event->message));
	if (audums__v1__agent_event__get_packed_size(event) > EVENT_BYTES)
		return;
	copy = message_clone(&event->base);
	if (!copy)
		return;
	if (*slot)
		audums__v1__agent_event__free_unpacked(*slot, NULL);
	*slot = (Audums__V1__AgentEvent *)copy;
	node->n_events++;
	status_changed(node->c, AUDUMS__V1__KIND__KIND_NODE, node->name);
}

void report_forget(struct node *node)
{
	ProtobufCMessage *item;

	for (enum report_kind kind = 0; kind < REPORT_KINDS; kind++) {
		for (size_t at = 0; (item = strmap_next(&node->reports[kind], &at));)
			protobuf_c_message_free_unpacked(item, NULL);
		strmap_free(&node->reports[kind]);
	}
	node->applied_generation = 0;
}

void report_clear(struct node *node)
{
	report_forget(node);
	for (size_t i = 0; i < NODE_EVENTS; i++)
		if (node->events[i])
			audums__v1__agent_event__free_unpacked(node->events[i], NULL);
	memset(node->events, 0, sizeof(node->events));
	node->n_events = 0;
}
