/*
 * Makes the status of one object: allocations from the intent, the rest from what nodes with a
 * valid lease report. See status.h.
 *
 *	READY     everything that was asked for is there, as read back by the nodes
 *	FAILED    a node says that it can't be done
 *	DEGRADED  it was ready for what is asked for now, and something is missing
 *	PENDING   otherwise
 *
 * Nothing waits for what unmanaged nodes would report.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/audumsd/nodes.h"
#include "controller/audumsd/status.h"

/* What is missing first, and whether a node has failed. */
struct verdict {
	bool missing;
	bool failed;
	char text[256];
};

static void missing(struct verdict *v, bool failed, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static void missing(struct verdict *v, bool failed, const char *fmt, ...)
{
	va_list ap;

	/* the first one is told; a failure before anything else */
	if (!v->missing || (failed && !v->failed)) {
		va_start(ap, fmt);
		vsnprintf(v->text, sizeof(v->text), fmt, ap);
		va_end(ap);
	}
	v->missing = true;
	v->failed |= failed;
}

static Audums__V1__Phase verdict_phase(const struct verdict *v, bool was_ready)
{
	if (!v->missing)
		return AUDUMS__V1__PHASE__PHASE_READY;
	if (v->failed)
		return AUDUMS__V1__PHASE__PHASE_FAILED;
	return was_ready ? AUDUMS__V1__PHASE__PHASE_DEGRADED : AUDUMS__V1__PHASE__PHASE_PENDING;
}

static int text_set(char **field, const char *text)
{
	char *copy;

	if (!*text)
		return 0;
	copy = strdup(text);
	if (!copy)
		return -ENOMEM;
	*field = copy;
	return 0;
}

static bool is_unmanaged(const struct controller *c, const char *name)
{
	const Audums__V1__Node *node = model_node(intent_model(c->intent), name);

	return node && node->unmanaged;
}

static int name_compare(const void *a, const void *b)
{
	const ProtobufCMessage *m = *(const ProtobufCMessage *const *)a;
	const ProtobufCMessage *n = *(const ProtobufCMessage *const *)b;
	size_t offset = m->descriptor->fields[0].offset;

	return strcmp(*(char *const *)((const char *)m + offset),
		*(char *const *)((const char *)n + offset));
}

/* Copies of all reports of a kind, by name. */
static int reports_copy(
	const struct node *node, enum report_kind kind, ProtobufCMessage ***list, size_t *n)
{
	ProtobufCMessage *report;

	*n = 0;
	*list = calloc(node->reports[kind].n + 1, sizeof(**list));
	if (!*list)
		return -ENOMEM;
	for (size_t at = 0; (report = strmap_next(&node->reports[kind], &at)); (*n)++) {
		(*list)[*n] = message_clone(report);
		if (!(*list)[*n])
			return -ENOMEM;
	}
	qsort(*list, *n, sizeof(**list), name_compare);
	return 0;
}

/* ---- nodes -------------------------------------------------------------------------------- */

static void node_judge(
	const struct controller *c, const struct node *node, uint64_t desired, struct verdict *v)
{
	const Audums__V1__Document *doc = model_document(intent_model(c->intent));
	const Audums__V1__ComponentReport *component;

	if (!node || !node->connected) {
		missing(v, false, "the node is not connected");
		return;
	}
	if (node->applied_generation != desired)
		missing(v, false, "generation %" PRIu64 " is applied, %" PRIu64 " is desired",
			node->applied_generation, desired);
	for (size_t at = 0; (component = strmap_next(&node->reports[REPORT_COMPONENT], &at));)
		if (!component->up)
			missing(v, false, "%s is down%s%.120s", component->name,
				*component->message ? ": " : "", component->message);
	for (size_t i = 0; i < doc->n_nodes; i++) {
		const Audums__V1__EvpnPeerReport *peer;

		if (doc->nodes[i]->unmanaged || !strcmp(doc->nodes[i]->name, node->name))
			continue;
		peer = strmap_get(&node->reports[REPORT_PEER], doc->nodes[i]->name);
		if (!peer || !peer->established)
			missing(v, false, "no EVPN session to %s", doc->nodes[i]->name);
	}
}

static int node_events(const struct node *node, Audums__V1__NodeStatus *s)
{
	uint64_t first = node->n_events > NODE_EVENTS ? node->n_events - NODE_EVENTS : 0;

	s->events = calloc(NODE_EVENTS, sizeof(*s->events));
	if (!s->events)
		return -ENOMEM;
	for (uint64_t i = first; i < node->n_events; i++) {
		ProtobufCMessage *copy = message_clone(&node->events[i % NODE_EVENTS]->base);

		if (!copy)
			return -ENOMEM;
		s->events[s->n_events++] = (Audums__V1__AgentEvent *)copy;
	}
	return 0;
}

Audums__V1__NodeStatus *status_make_node(
	const struct controller *c, const Audums__V1__Node *object, bool was_ready)
{
	const struct alloc_node *a = alloc_node(intent_alloc(c->intent), object->name);
	const struct node *node = nodes_get(c->nodes, object->name);
	Audums__V1__NodeStatus *s = malloc(sizeof(*s));
	struct verdict v = {0};
	char address[IPV4_TEXT];

	if (!s)
		return NULL;
	audums__v1__node_status__init(s);
	if (a) {
		s->desired_generation = a->generation;
		s->asn = a->asn;
		if (text_set(&s->vtep, ipv4_print(a->vtep, address)) < 0)
			goto fail;
	}
	if (object->unmanaged) {
		/* nothing is known of it */
		if (text_set(&s->message, "unmanaged") < 0)
			goto fail;
		return s;
	}
	node_judge(c, node, s->desired_generation, &v);
	s->phase = verdict_phase(&v, was_ready);
	if (text_set(&s->message, v.text) < 0)
		goto fail;
	if (!node)
		return s;
	s->last_seen_ms = node->last_seen_ms;
	if (node_events(node, s) < 0)
		goto fail;
	s->connected = node->connected;
	if (!node->connected)
		return s;
	s->applied_generation = node->applied_generation;
	if (text_set(&s->version, node->version) < 0 ||
		reports_copy(node, REPORT_COMPONENT, (ProtobufCMessage ***)&s->components,
			&s->n_components) < 0 ||
		reports_copy(node, REPORT_PEER, (ProtobufCMessage ***)&s->evpn_peers,
			&s->n_evpn_peers) < 0 ||
		reports_copy(node, REPORT_PORT, (ProtobufCMessage ***)&s->ports, &s->n_ports) < 0)
		goto fail;
	return s;
fail:
	audums__v1__node_status__free_unpacked(s, NULL);
	return NULL;
}

/* ---- links -------------------------------------------------------------------------------- */

static int end_judge(const struct controller *c, const char *link, const Audums__V1__LinkEnd *end,
	Audums__V1__UplinkReport **out, struct verdict *v)
{
	const struct node *node = nodes_get(c->nodes, end->node);
	const Audums__V1__UplinkReport *r;

	if (is_unmanaged(c, end->node))
		return 0;
	if (!node || !node->connected) {
		missing(v, false, "node %s is not connected", end->node);
		return 0;
	}
	r = (const Audums__V1__UplinkReport *)node_report(node, REPORT_UPLINK, link);
	if (!r) {
		missing(v, false, "node %s has not reported port %s", end->node, end->port);
		return 0;
	}
	if (!r->oper_up)
		missing(v, false, "port %s of node %s is down", end->port, end->node);
	else if (!r->bfd_up)
		missing(v, false, "BFD is down at node %s", end->node);
	else if (!r->bgp_established)
		missing(v, false, "BGP is not established at node %s", end->node);
	*out = (Audums__V1__UplinkReport *)message_clone(&r->base);
	return *out ? 0 : -ENOMEM;
}

Audums__V1__LinkStatus *status_make_link(
	const struct controller *c, const Audums__V1__Link *object, bool was_ready)
{
	const struct alloc_link *a = alloc_link(intent_alloc(c->intent), object->name);
	Audums__V1__LinkStatus *s = malloc(sizeof(*s));
	struct verdict v = {0};
	char network[IPV4_TEXT + 8];

	if (!s)
		return NULL;
	audums__v1__link_status__init(s);
	if (a) {
		ipv4_print(a->network, network);
		strcat(network, "/31");
		if (text_set(&s->network, network) < 0)
			goto fail;
	}
	if (end_judge(c, object->name, object->a, &s->a, &v) < 0 ||
		end_judge(c, object->name, object->b, &s->b, &v) < 0 ||
		text_set(&s->message, v.text) < 0)
		goto fail;
	s->phase = verdict_phase(&v, was_ready);
	return s;
fail:
	audums__v1__link_status__free_unpacked(s, NULL);
	return NULL;
}

/* ---- segments ----------------------------------------------------------------------------- */

static bool list_has(char *const *list, size_t n, const char *text)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(list[i], text))
			return true;
	return false;
}

/* What a node says of a segment, if it speaks of what is asked for now; else why not, in `v`. */
static const Audums__V1__SegmentReport *place_report(const struct controller *c,
	const struct alloc_segment *a, const struct alloc_place *place, struct verdict *v)
{
	const struct node *node = nodes_get(c->nodes, place->node);
	const Audums__V1__SegmentReport *r;

	if (!node || !node->connected) {
		missing(v, false, "not connected");
		return NULL;
	}
	r = (const Audums__V1__SegmentReport *)node_report(node, REPORT_SEGMENT, a->name);
	if (!r || r->generation != place->generation) {
		missing(v, false, "not applied yet");
		return NULL;
	}
	if (r->state == AUDUMS__V1__APPLY_STATE__APPLY_STATE_FAILED)
		missing(v, true, "%.200s", *r->message ? r->message : "can't be applied");
	else if (r->state != AUDUMS__V1__APPLY_STATE__APPLY_STATE_APPLIED)
		missing(v, false, "%.200s", *r->message ? r->message : "is being applied");
	return r;
}

/* Does the node flood to all others? */
static void place_peers(const struct controller *c, const struct alloc_segment *a,
	const struct alloc_place *place, const Audums__V1__SegmentReport *r, struct verdict *v)
{
	const struct alloc *alloc = intent_alloc(c->intent);
	char address[IPV4_TEXT];

	for (size_t i = 0; i < a->n_places; i++) {
		const char *name = a->places[i].node;
		const struct alloc_node *other = alloc_node(alloc, name);

		if (!other || !strcmp(name, place->node) || is_unmanaged(c, name))
			continue;
		ipv4_print(other->vtep, address);
		if (!list_has(r->vteps, r->n_vteps, address))
			missing(v, false, "does not see %s (%s) yet", name, address);
	}
}

static Audums__V1__SegmentNodeStatus *place_status(const struct controller *c,
	const struct alloc_segment *a, const struct alloc_place *place, struct verdict *all)
{
	Audums__V1__SegmentNodeStatus *s = malloc(sizeof(*s));
	const Audums__V1__SegmentReport *r;
	struct verdict v = {0};

	if (!s)
		return NULL;
	audums__v1__segment_node_status__init(s);
	if (text_set(&s->node, place->node) < 0)
		goto fail;
	if (is_unmanaged(c, place->node)) {
		if (text_set(&s->message, "unmanaged") < 0)
			goto fail;
		return s;
	}
	r = place_report(c, a, place, &v);
	if (r) {
		s->state = r->state;
		if (!v.missing)
			place_peers(c, a, place, r, &v);
		if (text_set(&s->rd, r->rd) < 0)
			goto fail;
		s->vteps = calloc(r->n_vteps + 1, sizeof(*s->vteps));
		if (!s->vteps)
			goto fail;
		for (size_t i = 0; i < r->n_vteps; i++) {
			s->vteps[i] = strdup(r->vteps[i]);
			if (!s->vteps[i])
				goto fail;
			s->n_vteps++;
		}
	} else if (strcmp(v.text, "not connected")) {
		s->state = AUDUMS__V1__APPLY_STATE__APPLY_STATE_PENDING;
	}
	if (v.missing)
		missing(all, v.failed, "node %s: %.200s", place->node, v.text);
	if (text_set(&s->message, v.text) < 0)
		goto fail;
	return s;
fail:
	audums__v1__segment_node_status__free_unpacked(s, NULL);
	return NULL;
}

Audums__V1__SegmentStatus *status_make_segment(
	const struct controller *c, const Audums__V1__Segment *object, bool was_ready)
{
	const struct alloc_segment *a = alloc_segment(intent_alloc(c->intent), object->name);
	Audums__V1__SegmentStatus *s = malloc(sizeof(*s));
	struct verdict v = {0};
	char target[PLAN_TEXT];

	if (!s)
		return NULL;
	audums__v1__segment_status__init(s);
	if (!a)
		return s;
	s->vni = a->vni;
	s->nodes = calloc(a->n_places + 1, sizeof(*s->nodes));
	if (!s->nodes || text_set(&s->route_target,
				 plan_route_target(intent_model(c->intent), a, target)) < 0)
		goto fail;
	for (size_t i = 0; i < a->n_places; i++) {
		s->nodes[i] = place_status(c, a, &a->places[i], &v);
		if (!s->nodes[i])
			goto fail;
		s->n_nodes++;
	}
	if (!a->n_places)
		missing(&v, false, "there is no node at its sites");
	s->phase = verdict_phase(&v, was_ready);
	if (text_set(&s->message, v.text) < 0)
		goto fail;
	return s;
fail:
	audums__v1__segment_status__free_unpacked(s, NULL);
	return NULL;
}

/* ---- attachments -------------------------------------------------------------------------- */

static const Audums__V1__AttachmentReport *attachment_find(
	const Audums__V1__SegmentReport *r, const char *name)
{
	for (size_t i = 0; i < r->n_attachments; i++)
		if (!strcmp(r->attachments[i]->name, name))
			return r->attachments[i];
	return NULL;
}

Audums__V1__AttachmentStatus *status_make_attachment(
	const struct controller *c, const Audums__V1__Attachment *object, bool was_ready)
{
	const struct alloc_segment *a = alloc_segment(intent_alloc(c->intent), object->segment);
	const struct alloc_place *place = a ? alloc_place(a, object->node) : NULL;
	Audums__V1__AttachmentStatus *s = malloc(sizeof(*s));
	const Audums__V1__AttachmentReport *r = NULL;
	const Audums__V1__SegmentReport *segment;
	struct verdict v = {0}, ignored = {0};

	if (!s)
		return NULL;
	audums__v1__attachment_status__init(s);
	if (!place) {
		missing(&v, false, "the segment does not lie on node %s", object->node);
	} else if (!is_unmanaged(c, object->node)) {
		segment = place_report(c, a, place, &ignored);
		r = segment ? attachment_find(segment, object->name) : NULL;
		if (!r)
			missing(&v, false, "node %s: %.200s", object->node,
				segment ? "not applied yet" : ignored.text);
		else if (r->state == AUDUMS__V1__APPLY_STATE__APPLY_STATE_FAILED)
			missing(&v, true, "node %s: %.200s", object->node, r->message);
		else if (r->state != AUDUMS__V1__APPLY_STATE__APPLY_STATE_APPLIED)
			missing(&v, false, "node %s: %.200s", object->node,
				*r->message ? r->message : "is being applied");
	}
	s->link_up = r && r->link_up;
	s->phase = verdict_phase(&v, was_ready);
	/* a workload that is off is no fault of the attachment's */
	if (text_set(&s->message, v.missing          ? v.text
				  : r && !r->link_up ? "port is down"
						     : "") < 0) {
		audums__v1__attachment_status__free_unpacked(s, NULL);
		return NULL;
	}
	return s;
}
