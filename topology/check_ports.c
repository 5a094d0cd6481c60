/*
 * Checks of links and attachments on the ports of nodes; see check.h.
 *
 * Invariant: a port of a node is the end of one link, or an access port with one attachment, or
 * free.
 */
#include <stdlib.h>
#include <string.h>

#include "proto/lib/strbuf.h"
#include "topology/check_internal.h"

/* A link's end or an attachment on a port. */
struct use {
	size_t node; /* position */
	const char *port;
	size_t order; /* in the document; links before attachments */
	const ProtobufCMessage *object;
	const char *field;
	bool link;
};

static int use_compare(const void *a, const void *b)
{
	const struct use *x = a, *y = b;
	int order;

	if (x->node != y->node)
		return x->node < y->node ? -1 : 1;
	order = strcmp(x->port, y->port);
	if (order != 0)
		return order;
	return (x->order > y->order) - (x->order < y->order);
}

static bool access_port(const Audums__V1__Node *node, const char *port)
{
	for (size_t i = 0; i < node->n_access_ports; i++)
		if (strcmp(node->access_ports[i], port) == 0)
			return true;
	return false;
}

static void end_check(struct check *check, const Audums__V1__Link *link,
	const Audums__V1__LinkEnd *end, char side)
{
	const Audums__V1__Node *node = model_node(check->model, end->node);
	const struct place places[2] = {
		place_at(link, "%c.port", side), place_at(node, "access_ports")};

	if (node != NULL && end->port[0] != '\0' && access_port(node, end->port))
		check_report(check, places, 2,
			"port \"%s\" of node \"%s\" is an access port, expected an uplink",
			end->port, node->name);
}

static void link_check(struct check *check, const Audums__V1__Link *link)
{
	const struct place place = place_at(link, "b.node");

	if (link->a == NULL || link->b == NULL)
		return;
	if (link->a->node[0] != '\0' && strcmp(link->a->node, link->b->node) == 0)
		check_report(check, &place, 1,
			"both ends are at node \"%s\", expected two different nodes",
			link->b->node);
	end_check(check, link, link->a, 'a');
	end_check(check, link, link->b, 'b');
}

static bool segment_at_site(const Audums__V1__Segment *segment, const char *site)
{
	for (size_t i = 0; i < segment->n_sites; i++)
		if (strcmp(segment->sites[i], site) == 0)
			return true;
	return false;
}

static void port_unknown(
	struct check *check, const Audums__V1__Attachment *a, const Audums__V1__Node *node)
{
	const struct place places[2] = {place_at(a, "port"), place_at(node, "access_ports")};
	struct strbuf list = STRBUF_INIT;

	for (size_t i = 0; i < node->n_access_ports && i < 8; i++)
		strbuf_printf(&list, "%s%s", i ? ", " : "", node->access_ports[i]);
	if (node->n_access_ports > 8)
		strbuf_printf(&list, " and %zu more", node->n_access_ports - 8);
	check_report(check, places, 2, "node \"%s\" has no access port \"%s\", expected one of: %s",
		node->name, a->port, list.len ? strbuf_text(&list) : "none");
	strbuf_free(&list);
}

static void attachment_check(struct check *check, const Audums__V1__Attachment *a)
{
	const Audums__V1__Node *node = model_node(check->model, a->node);
	const Audums__V1__Segment *segment = model_segment(check->model, a->segment);
	const struct place vlan = place_at(a, "vlan");
	const struct place places[3] = {
		place_at(a, "node"), place_at(segment, "sites"), place_at(node, "site")};

	if (a->vlan != 0)
		check_report(check, &vlan, 1,
			"tagged attachments are not supported by this release, expected 0 or no vlan");
	if (node != NULL && a->port[0] != '\0' && !access_port(node, a->port))
		port_unknown(check, a, node);
	if (node != NULL && segment != NULL && node->site[0] != '\0' && segment->n_sites > 0 &&
		!segment_at_site(segment, node->site))
		check_report(check, places, 3,
			"node \"%s\" of attachment \"%s\" is at site \"%s\", which is not among the "
			"sites of segment \"%s\"",
			node->name, a->name, node->site, segment->name);
}

/* ---- who else is on the port
 * --------------------------------------------------------------------- */

static void use_add(
	const struct model *model, struct use *uses, size_t *n, const char *node, struct use use)
{
	const ssize_t at = model_position(model, AUDUMS__V1__KIND__KIND_NODE, node);

	if (at < 0 || use.port[0] == '\0')
		return;
	use.node = (size_t)at;
	use.order = *n;
	uses[(*n)++] = use;
}

static void uses_check(struct check *check, struct use *uses, size_t n)
{
	if (n > 1)
		qsort(uses, n, sizeof(uses[0]), use_compare);
	for (size_t i = 1; i < n; i++) {
		const struct use *a = &uses[i - 1], *b = &uses[i];
		const struct place places[2] = {
			place_at(b->object, "%s", b->field), place_at(a->object, "%s", a->field)};

		/* a link and an attachment on one port: one of them is wrong by the port's role,
		 * and that is said already; a link to itself too */
		if (a->node != b->node || strcmp(a->port, b->port) != 0 || a->link != b->link ||
			a->object == b->object)
			continue;
		check_report(check, places, 2, "port \"%s\" of node \"%s\" is taken by %s \"%s\"",
			b->port, model_document(check->model)->nodes[b->node]->name,
			a->link ? "link" : "attachment", object_name(a->object));
	}
}

void check_ports(struct check *check)
{
	const Audums__V1__Document *d = model_document(check->model);
	struct use *uses = calloc(d->n_links * 2 + d->n_attachments + 1, sizeof(uses[0]));
	size_t n = 0;

	if (uses == NULL) {
		check->no_memory = true;
		return;
	}
	for (size_t i = 0; i < d->n_links; i++) {
		const Audums__V1__Link *l = d->links[i];

		link_check(check, l);
		if (l->a == NULL || l->b == NULL)
			continue;
		use_add(check->model, uses, &n, l->a->node,
			(struct use){.port = l->a->port,
				.object = &l->base,
				.field = "a.port",
				.link = true});
		use_add(check->model, uses, &n, l->b->node,
			(struct use){.port = l->b->port,
				.object = &l->base,
				.field = "b.port",
				.link = true});
	}
	for (size_t i = 0; i < d->n_attachments; i++) {
		const Audums__V1__Attachment *a = d->attachments[i];

		attachment_check(check, a);
		use_add(check->model, uses, &n, a->node,
			(struct use){.port = a->port, .object = &a->base, .field = "port"});
	}
	uses_check(check, uses, n);
	free(uses);
}
