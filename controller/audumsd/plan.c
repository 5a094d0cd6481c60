/* See plan.h. */
#include "controller/audumsd/plan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/audumsd/records.h"

#define BFD_INTERVAL_MS 100
#define BFD_MULTIPLIER  3

/* Replace a string of a message (which is the empty one at first). */
static int text_set(char **field, const char *text)
{
	char *copy = strdup(text);

	if (!copy)
		return -ENOMEM;
	*field = copy;
	return 0;
}

static int address_set(char **field, uint32_t address, const char *suffix)
{
	char buf[IPV4_TEXT + 8];

	ipv4_print(address, buf);
	strcat(buf, suffix);
	return text_set(field, buf);
}

static int name_compare(const void *a, const void *b)
{
	return strcmp(object_name(*(const ProtobufCMessage *const *)a),
		object_name(*(const ProtobufCMessage *const *)b));
}

/* ---- the base ----------------------------------------------------------------------------- */

static int adjacency_compare(const void *a, const void *b)
{
	return strcmp(((const struct adjacency *)a)->link->name,
		((const struct adjacency *)b)->link->name);
}

/* An uplink; *out stays NULL when it can't be made (check.h refuses such links). */
static int uplink_make(const struct alloc *alloc, const struct adjacency *adjacency,
	Audums__V1__UplinkConfig **out)
{
	const struct alloc_link *link = alloc_link(alloc, adjacency->link->name);
	const struct alloc_node *peer = alloc_node(alloc, adjacency->peer->node);
	bool is_a = adjacency->self == adjacency->link->a;
	Audums__V1__UplinkConfig *u;

	if (!link || !peer)
		return 0;
	u = malloc(sizeof(*u));
	if (!u)
		return -ENOMEM;
	audums__v1__uplink_config__init(u);
	*out = u;
	u->peer_asn = peer->asn;
	u->mtu = link_mtu(adjacency->link);
	if (text_set(&u->link, adjacency->link->name) < 0 ||
		text_set(&u->port, adjacency->self->port) < 0 ||
		text_set(&u->peer_node, adjacency->peer->node) < 0 ||
		address_set(&u->address, link->network + !is_a, "/31") < 0 ||
		address_set(&u->peer_address, link->network + is_a, "") < 0)
		return -ENOMEM;
	return 0;
}

static int uplinks_make(Audums__V1__NodeBase *base, const struct model *model,
	const struct alloc *alloc, const char *node)
{
	const struct adjacency *adjacencies;
	size_t n = model_node_links(model, node, &adjacencies);
	struct adjacency *sorted;
	int ret = 0;

	if (!n)
		return 0;
	sorted = calloc(n, sizeof(*sorted));
	base->uplinks = calloc(n, sizeof(*base->uplinks));
	if (!sorted || !base->uplinks) {
		free(sorted);
		return -ENOMEM;
	}
	memcpy(sorted, adjacencies, n * sizeof(*sorted));
	qsort(sorted, n, sizeof(*sorted), adjacency_compare);
	for (size_t i = 0; i < n && !ret; i++) {
		ret = uplink_make(alloc, &sorted[i], &base->uplinks[base->n_uplinks]);
		base->n_uplinks += base->uplinks[base->n_uplinks] != NULL;
	}
	free(sorted);
	return ret;
}

static int peers_make(Audums__V1__NodeBase *base, const struct model *model,
	const struct alloc *alloc, const char *node)
{
	const Audums__V1__Document *doc = model_document(model);
	const Audums__V1__Node **sorted;
	int ret = 0;

	sorted = calloc(doc->n_nodes + 1, sizeof(*sorted));
	base->evpn_peers = calloc(doc->n_nodes + 1, sizeof(*base->evpn_peers));
	if (!sorted || !base->evpn_peers) {
		free(sorted);
		return -ENOMEM;
	}
	for (size_t i = 0; i < doc->n_nodes; i++)
		sorted[i] = doc->nodes[i];
	qsort(sorted, doc->n_nodes, sizeof(*sorted), name_compare);
	for (size_t i = 0; i < doc->n_nodes && !ret; i++) {
		const struct alloc_node *peer = alloc_node(alloc, sorted[i]->name);
		Audums__V1__EvpnPeerConfig *p;

		if (!peer || !strcmp(sorted[i]->name, node))
			continue;
		p = malloc(sizeof(*p));
		if (!p) {
			ret = -ENOMEM;
			break;
		}
		audums__v1__evpn_peer_config__init(p);
		base->evpn_peers[base->n_evpn_peers++] = p;
		p->asn = peer->asn;
		ret = text_set(&p->node, peer->name);
		if (!ret)
			ret = address_set(&p->address, peer->vtep, "");
	}
	free(sorted);
	return ret;
}

Audums__V1__NodeBase *plan_base(
	const struct model *model, const struct alloc *alloc, const char *node)
{
	const struct alloc_node *self = alloc_node(alloc, node);
	Audums__V1__NodeBase *base = malloc(sizeof(*base));

	if (!base)
		return NULL;
	audums__v1__node_base__init(base);
	base->bfd = malloc(sizeof(*base->bfd));
	if (!base->bfd || !self)
		goto fail;
	audums__v1__bfd_config__init(base->bfd);
	base->bfd->transmit_ms = BFD_INTERVAL_MS;
	base->bfd->receive_ms = BFD_INTERVAL_MS;
	base->bfd->multiplier = BFD_MULTIPLIER;
	base->asn = self->asn;
	if (text_set(&base->node, node) < 0 || address_set(&base->router_id, self->vtep, "") < 0 ||
		address_set(&base->vtep, self->vtep, "") < 0 ||
		uplinks_make(base, model, alloc, node) < 0 ||
		peers_make(base, model, alloc, node) < 0)
		goto fail;
	return base;
fail:
	audums__v1__node_base__free_unpacked(base, NULL);
	return NULL;
}

/* ---- segments ----------------------------------------------------------------------------- */

const char *plan_route_target(
	const struct model *model, const struct alloc_segment *segment, char *buf)
{
	const Audums__V1__Segment *s = model_segment(model, segment->name);
	const Audums__V1__Provider *p = s ? model_provider(model, s->provider) : NULL;

	snprintf(buf, PLAN_TEXT, "%u:%u", p && p->asns ? p->asns->first : 0, segment->vni);
	return buf;
}

static char **list_of_one(const char *text, size_t *n)
{
	char **list = malloc(sizeof(*list));

	*n = 0;
	if (!list)
		return NULL;
	list[0] = strdup(text);
	if (list[0])
		*n = 1;
	return list;
}

static int attachments_make(
	Audums__V1__SegmentConfig *config, const struct model *model, const char *node)
{
	const Audums__V1__Attachment *const *all;
	size_t n = model_segment_attachments(model, config->name, &all);
	const Audums__V1__Attachment **mine;
	size_t n_mine = 0;

	if (!n)
		return 0;
	mine = calloc(n, sizeof(*mine));
	config->attachments = calloc(n, sizeof(*config->attachments));
	if (!mine || !config->attachments) {
		free(mine);
		return -ENOMEM;
	}
	for (size_t i = 0; i < n; i++)
		if (!strcmp(all[i]->node, node))
			mine[n_mine++] = all[i];
	qsort(mine, n_mine, sizeof(*mine), name_compare);
	for (size_t i = 0; i < n_mine; i++) {
		Audums__V1__AttachmentConfig *a = malloc(sizeof(*a));

		if (!a)
			goto fail;
		audums__v1__attachment_config__init(a);
		config->attachments[config->n_attachments++] = a;
		a->vlan = mine[i]->vlan;
		if (text_set(&a->name, mine[i]->name) < 0 || text_set(&a->port, mine[i]->port) < 0)
			goto fail;
	}
	free(mine);
	return 0;
fail:
	free(mine);
	return -ENOMEM;
}

Audums__V1__SegmentConfig *plan_segment(const struct model *model, const struct alloc *alloc,
	const struct alloc_segment *segment, const struct alloc_place *place)
{
	const Audums__V1__Segment *s = model_segment(model, segment->name);
	const struct alloc_node *self = alloc_node(alloc, place->node);
	Audums__V1__SegmentConfig *config = malloc(sizeof(*config));
	char text[IPV4_TEXT + PLAN_TEXT];

	if (!config)
		return NULL;
	audums__v1__segment_config__init(config);
	if (!s || !self || text_set(&config->name, segment->name) < 0)
		goto fail;
	config->vni = segment->vni;
	config->mtu = segment_mtu(s);
	config->generation = place->generation;
	ipv4_print(self->vtep, text);
	snprintf(text + strlen(text), sizeof(text) - strlen(text), ":%u", place->rd_index);
	if (text_set(&config->rd, text) < 0)
		goto fail;
	plan_route_target(model, segment, text);
	config->rt_import = list_of_one(text, &config->n_rt_import);
	config->rt_export = list_of_one(text, &config->n_rt_export);
	config->vteps = calloc(segment->n_places, sizeof(*config->vteps));
	if (!config->n_rt_import || !config->n_rt_export || !config->vteps)
		goto fail;
	for (size_t i = 0; i < segment->n_places; i++) {
		const struct alloc_node *other = alloc_node(alloc, segment->places[i].node);

		if (!other || !strcmp(segment->places[i].node, place->node))
			continue;
		if (address_set(&config->vteps[config->n_vteps], other->vtep, "") < 0)
			goto fail;
		config->n_vteps++;
	}
	if (attachments_make(config, model, place->node) < 0)
		goto fail;
	return config;
fail:
	audums__v1__segment_config__free_unpacked(config, NULL);
	return NULL;
}

/* ---- generations -------------------------------------------------------------------------- */

void plan_changes_free(struct plan_changes *changes)
{
	free(changes->items);
	*changes = (struct plan_changes){0};
}

/* Something became different on a node: note it, and raise the node's generation. */
static int node_changed(struct alloc *alloc, const char *node, const char *segment,
	uint64_t generation, struct touched *touched, struct plan_changes *changes)
{
	struct alloc_node *n;

	if (changes->n == changes->room) {
		size_t room = changes->room ? changes->room * 2 : 64;
		struct plan_change *items = realloc(changes->items, room * sizeof(*items));

		if (!items)
			return -ENOMEM;
		changes->items = items;
		changes->room = room;
	}
	changes->items[changes->n++] = (struct plan_change){node, segment};
	if (!alloc_node(alloc, node))
		return 0; /* the node has gone, too */
	n = alloc_edit_node(alloc, node);
	if (!n)
		return -ENOMEM;
	n->generation = generation;
	return touched_add(touched, RECORD_DESIRED, 0, node);
}

static int base_update(struct alloc *alloc, const struct model *model, const char *node,
	uint64_t generation, struct touched *touched, struct plan_changes *changes)
{
	const struct alloc_node *have = alloc_node(alloc, node);
	Audums__V1__NodeBase *base = plan_base(model, alloc, node);
	struct alloc_node *n;
	uint64_t digest;
	bool ok = base && message_digest(&base->base, &digest);

	audums__v1__node_base__free_unpacked(base, NULL);
	if (!ok)
		return -ENOMEM;
	if (have->base_generation && have->base_digest == digest)
		return 0;
	n = alloc_edit_node(alloc, node);
	if (!n)
		return -ENOMEM;
	n->base_digest = digest;
	n->base_generation = generation;
	return node_changed(alloc, n->name, NULL, generation, touched, changes);
}

/* The places of one segment; `before` may be NULL. */
static int segment_update(struct alloc *alloc, const struct alloc_segment *before,
	const struct model *model, const char *name, uint64_t generation, struct touched *touched,
	struct plan_changes *changes)
{
	const struct alloc_segment *s = alloc_segment(alloc, name);
	int ret = 0;

	for (size_t i = 0; before && i < before->n_places && !ret; i++)
		if (!s || !alloc_place(s, before->places[i].node))
			ret = node_changed(alloc, before->places[i].node, before->name, generation,
				touched, changes);
	for (size_t i = 0; s && i < s->n_places && !ret; i++) {
		Audums__V1__SegmentConfig *config = plan_segment(model, alloc, s, &s->places[i]);
		struct alloc_segment *edit;
		uint64_t digest;
		bool ok;

		if (!config)
			return -ENOMEM;
		config->generation = 0;
		ok = message_digest(&config->base, &digest);
		audums__v1__segment_config__free_unpacked(config, NULL);
		if (!ok)
			return -ENOMEM;
		if (s->places[i].generation && s->places[i].digest == digest)
			continue;
		edit = alloc_edit_segment(alloc, name);
		if (!edit)
			return -ENOMEM;
		s = edit;
		edit->places[i].digest = digest;
		edit->places[i].generation = generation;
		ret = touched_add(touched, RECORD_OBJECT, AUDUMS__V1__KIND__KIND_SEGMENT, name);
		if (!ret)
			ret = node_changed(alloc, edit->places[i].node, edit->name, generation,
				touched, changes);
	}
	return ret;
}

int plan_update(struct alloc *alloc, const struct alloc *before, const struct model *model,
	bool all, const struct strmap *segments, uint64_t generation, struct touched *touched,
	struct plan_changes *changes)
{
	const Audums__V1__Document *doc = model_document(model);
	const struct alloc_segment *old;
	int ret = 0;

	for (size_t i = 0; all && i < doc->n_nodes && !ret; i++)
		ret = base_update(alloc, model, doc->nodes[i]->name, generation, touched, changes);
	for (size_t i = 0; i < doc->n_segments && !ret; i++) {
		const char *name = doc->segments[i]->name;

		if (all || strmap_get(segments, name))
			ret = segment_update(alloc, alloc_segment(before, name), model, name,
				generation, touched, changes);
	}
	/* those that have gone */
	for (size_t at = 0; !ret && (old = strmap_next(&before->segments, &at));)
		if (!alloc_segment(alloc, old->name))
			ret = segment_update(
				alloc, old, model, old->name, generation, touched, changes);
	return ret;
}
