/* The registry of nodes. See nodes.h. */
#include "controller/audumsd/nodes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "controller/audumsd/status.h"
#include "proto/lib/log.h"

struct nodes {
	struct controller *c;
	struct strmap map; /* name -> struct node */
};

static void node_free(struct node *node)
{
	desired_clear(node);
	report_clear(node);
	loop_timer_free(node->lease);
	free(node->name);
	free(node);
}

static void on_lease(void *arg)
{
	struct node *node = arg;

	if (!node->connected)
		return;
	node->connected = false;
	log_warn("node_lease_expired", "node=%s silent_ms=%d", node->name, LEASE_MS);
	status_node_changed(node->c, node->name);
}

static struct node *node_new(struct controller *c, const char *name)
{
	struct node *node = calloc(1, sizeof(*node));

	if (!node)
		return NULL;
	node->c = c;
	node->name = strdup(name);
	node->lease = loop_timer_new(c->loop, on_lease, node);
	if (!node->name || !node->lease) {
		loop_timer_free(node->lease);
		free(node->name);
		free(node);
		return NULL;
	}
	return node;
}

struct nodes *nodes_new(struct controller *c)
{
	struct nodes *nodes = calloc(1, sizeof(*nodes));

	if (nodes)
		nodes->c = c;
	return nodes;
}

void nodes_free(struct nodes *nodes)
{
	struct node *node;

	if (!nodes)
		return;
	for (size_t at = 0; (node = strmap_next(&nodes->map, &at));)
		node_free(node);
	strmap_free(&nodes->map);
	free(nodes);
}

struct node *nodes_get(const struct nodes *nodes, const char *name)
{
	return strmap_get(&nodes->map, name);
}

struct node *nodes_next(const struct nodes *nodes, size_t *at)
{
	return strmap_next(&nodes->map, at);
}

static bool node_managed(const struct controller *c, const char *name)
{
	const Audums__V1__Node *node = model_node(intent_model(c->intent), name);

	return node && !node->unmanaged;
}

void nodes_sync(struct controller *c)
{
	const Audums__V1__Document *doc = model_document(intent_model(c->intent));
	struct nodes *nodes = c->nodes;
	struct node *node;
	size_t at = 0;

	while ((node = strmap_next(&nodes->map, &at))) {
		if (node_managed(c, node->name))
			continue;
		session_end(node, RPC_NOT_FOUND,
			"the node was deleted from the intent, or is not managed any more");
		strmap_take(&nodes->map, node->name);
		node_free(node);
		at = 0; /* the table has moved */
	}
	for (size_t i = 0; i < doc->n_nodes; i++) {
		const char *name = doc->nodes[i]->name;

		if (doc->nodes[i]->unmanaged || nodes_get(nodes, name))
			continue;
		node = node_new(c, name);
		if (!node || strmap_put(&nodes->map, node->name, node) < 0) {
			/* its session is refused until there is memory */
			log_error("node_not_tracked", "node=%s error=memory", name);
			if (node)
				node_free(node);
		}
	}
}

void nodes_committed(struct controller *c, const struct intent_commit *commit)
{
	struct node *node;

	for (size_t i = 0; i < commit->n_changes; i++)
		if (commit->changes[i]->object->kind == AUDUMS__V1__KIND__KIND_NODE) {
			nodes_sync(c);
			break;
		}
	for (size_t i = 0; i < commit->plan->n; i++) {
		node = nodes_get(c->nodes, commit->plan->items[i].node);
		if (!node)
			continue;
		desired_note(node, commit->plan->items[i].segment);
		if (commit->plan->items[i].segment)
			report_prune(node, commit->plan->items[i].segment);
	}
	for (size_t at = 0; (node = strmap_next(&c->nodes->map, &at));)
		desired_send(node);
}

const ProtobufCMessage *node_report(
	const struct node *node, enum report_kind kind, const char *name)
{
	return node && node->connected ? strmap_get(&node->reports[kind], name) : NULL;
}
