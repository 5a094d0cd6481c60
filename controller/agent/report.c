/* Building reports; see report.h. Messages point into the agent's own structures while they are
 * sent, so nothing but arrays of pointers is allocated. */
#include "controller/agent/report.h"

#include "controller/agent/frr/render.h"
#include "controller/agent/text.h"
#include "controller/rpc/loop.h"
#include "proto/lib/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_SEGMENTS 256
#define CHUNK_OCTETS   (256 * 1024)

static uint64_t digest(const uint8_t *p, size_t n)
{
	uint64_t h = 14695981039346656037u;

	for (size_t i = 0; i < n; i++)
		h = (h ^ p[i]) * 1099511628211u;
	return h ? h : 1;
}

/* Digest of a message's serialised form; 0 when there is no memory (differs from every digest). */
static uint64_t message_digest(const ProtobufCMessage *m)
{
	const size_t n = protobuf_c_message_get_packed_size(m);
	uint8_t *buf = malloc(n + 1);
	uint64_t h = 0;

	if (buf) {
		protobuf_c_message_pack(m, buf);
		h = digest(buf, n);
		free(buf);
	}
	return h;
}

/* ---- segments ---- */

Audums__V1__ApplyState report_segment_state(
	const struct agent *a, const struct segment *s, const char **message)
{
	*message = "";
	if (s->invalid[0]) {
		*message = s->invalid;
		return AUDUMS__V1__APPLY_STATE__APPLY_STATE_FAILED;
	}
	if (s->kernel_error[0] && !s->kernel_ok) {
		*message = s->kernel_error;
		return AUDUMS__V1__APPLY_STATE__APPLY_STATE_FAILED;
	}
	if (s->frr_error[0]) {
		*message = s->frr_error;
		return AUDUMS__V1__APPLY_STATE__APPLY_STATE_FAILED;
	}
	if (s->kernel_ok && s->frr_ok)
		return AUDUMS__V1__APPLY_STATE__APPLY_STATE_APPLIED;
	if (!a->frr.bgpd.up)
		*message = "bgpd is down";
	else if (!a->frr.zebra.up)
		*message = "zebra is down";
	else if (!s->kernel_ok)
		*message = "kernel devices are being made";
	else
		*message = "bgpd does not know the device yet";
	return AUDUMS__V1__APPLY_STATE__APPLY_STATE_PENDING;
}

static void attachment_fill(Audums__V1__AttachmentReport *r, const struct attachment *t,
	const Audums__V1__AttachmentConfig *c)
{
	audums__v1__attachment_report__init(r);
	r->name = c->name;
	r->link_up = t->link_up;
	if (t->invalid[0] || (t->error[0] && !t->attached)) {
		r->state = AUDUMS__V1__APPLY_STATE__APPLY_STATE_FAILED;
		r->message = (char *)(t->invalid[0] ? t->invalid : t->error);
	} else if (t->attached) {
		r->state = AUDUMS__V1__APPLY_STATE__APPLY_STATE_APPLIED;
	} else {
		r->state = AUDUMS__V1__APPLY_STATE__APPLY_STATE_PENDING;
		r->message = (char *)"the port's device is not there";
	}
}

static int compare_ip(const void *x, const void *y)
{
	const uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;

	return a < b ? -1 : a > b;
}

/* Everything a segment's report points to. */
struct segment_parts {
	Audums__V1__SegmentReport report;
	Audums__V1__AttachmentReport *attachments;
	Audums__V1__AttachmentReport **attachment_list;
	char (*vteps)[TEXT_IPV4_MAX];
	char **vtep_list;
};

static void parts_clear(struct segment_parts *p)
{
	free(p->attachments);
	free(p->attachment_list);
	free(p->vteps);
	free(p->vtep_list);
	memset(p, 0, sizeof(*p));
}

static bool vteps_fill(struct segment_parts *p, const struct klink *l)
{
	const size_t n = l ? l->flood_count : 0;
	uint32_t *ips = calloc(n + 1, sizeof(*ips));

	p->vteps = calloc(n + 1, sizeof(*p->vteps));
	p->vtep_list = calloc(n + 1, sizeof(*p->vtep_list));
	if (!ips || !p->vteps || !p->vtep_list) {
		free(ips);
		return false;
	}
	for (size_t i = 0; i < n; i++)
		ips[i] = l->flood[i].ip;
	qsort(ips, n, sizeof(*ips), compare_ip);
	for (size_t i = 0; i < n; i++) {
		text_ipv4_put(p->vteps[i], ips[i]);
		p->vtep_list[i] = p->vteps[i];
	}
	free(ips);
	p->report.vteps = p->vtep_list;
	p->report.n_vteps = n;
	return true;
}

static bool parts_fill(struct agent *a, struct segment_parts *p, struct segment *s)
{
	const size_t n = s->cfg->n_attachments;
	const char *message;
	char name[IFNAMSIZ];

	memset(p, 0, sizeof(*p));
	audums__v1__segment_report__init(&p->report);
	p->report.name = s->cfg->name;
	p->report.vni = s->cfg->vni;
	p->report.generation = s->cfg->generation;
	p->report.state = report_segment_state(a, s, &message);
	p->report.message = (char *)message;
	p->report.rd = s->rd;
	kplan_vxlan_name(name, s->cfg->vni);
	p->attachments = calloc(n + 1, sizeof(*p->attachments));
	p->attachment_list = calloc(n + 1, sizeof(*p->attachment_list));
	if (!p->attachments || !p->attachment_list ||
		!vteps_fill(p, s->invalid[0] ? NULL : kmodel_name(&a->kernel.model, name))) {
		parts_clear(p);
		return false;
	}
	for (size_t i = 0; i < n; i++) {
		attachment_fill(&p->attachments[i], &s->attachments[i], s->cfg->attachments[i]);
		p->attachment_list[i] = &p->attachments[i];
	}
	p->report.attachments = p->attachment_list;
	p->report.n_attachments = n;
	return true;
}

/* ---- the rest: uplinks, peers, components, ports ---- */

#define COMPONENTS 5

struct base_parts {
	Audums__V1__Report report;
	Audums__V1__UplinkReport *uplinks, **uplink_list;
	Audums__V1__EvpnPeerReport *peers, **peer_list;
	Audums__V1__PortReport *ports, **port_list;
	Audums__V1__ComponentReport components[COMPONENTS], *component_list[COMPONENTS];
};

static void base_clear(struct base_parts *p)
{
	free(p->uplinks);
	free(p->uplink_list);
	free(p->peers);
	free(p->peer_list);
	free(p->ports);
	free(p->port_list);
	memset(p, 0, sizeof(*p));
}

static void component(struct base_parts *p, const char *name, bool up, const char *reason)
{
	Audums__V1__ComponentReport *c = &p->components[p->report.n_components];

	audums__v1__component_report__init(c);
	c->name = (char *)name;
	c->up = up;
	c->message = (char *)reason;
	p->component_list[p->report.n_components++] = c;
	p->report.components = p->component_list;
}

static void daemon_component(struct base_parts *p, const struct daemon *dm)
{
	const char *reason = dm->reason;

	if (dm->up && dm->failure_count)
		reason = dm->failures[0].error;
	component(p, dm->name, dm->up, reason);
}

static bool base_fill(struct agent *a, struct base_parts *p)
{
	const Audums__V1__NodeBase *b = a->desired.base;
	const size_t uplinks = b ? b->n_uplinks : 0, peers = b ? b->n_evpn_peers : 0;
	const size_t ports = a->inventory.count;

	memset(p, 0, sizeof(*p));
	audums__v1__report__init(&p->report);
	p->uplinks = calloc(uplinks + 1, sizeof(*p->uplinks));
	p->uplink_list = calloc(uplinks + 1, sizeof(*p->uplink_list));
	p->peers = calloc(peers + 1, sizeof(*p->peers));
	p->peer_list = calloc(peers + 1, sizeof(*p->peer_list));
	p->ports = calloc(ports + 1, sizeof(*p->ports));
	p->port_list = calloc(ports + 1, sizeof(*p->port_list));
	if (!p->uplinks || !p->uplink_list || !p->peers || !p->peer_list || !p->ports ||
		!p->port_list) {
		base_clear(p);
		return false;
	}
	for (size_t i = 0; i < uplinks; i++) {
		const Audums__V1__UplinkConfig *u = b->uplinks[i];
		const struct klink *l =
			kmodel_name(&a->kernel.model, kplan_tap(&a->inventory, u->port));
		const struct rb_peer *peer = rb_peers_find(&a->frr.summary.ipv4, u->peer_address);
		const struct rb_bfd_peer *bfd = rb_bfd_find(&a->frr.bfd, u->peer_address);

		audums__v1__uplink_report__init(&p->uplinks[i]);
		p->uplinks[i].link = u->link;
		p->uplinks[i].oper_up = l && l->oper_up;
		p->uplinks[i].bfd_up = bfd && bfd->up;
		p->uplinks[i].bgp_established = peer && peer->established;
		p->uplink_list[i] = &p->uplinks[i];
	}
	for (size_t i = 0; i < peers; i++) {
		const struct rb_peer *peer =
			rb_peers_find(&a->frr.summary.evpn, b->evpn_peers[i]->address);

		audums__v1__evpn_peer_report__init(&p->peers[i]);
		p->peers[i].node = b->evpn_peers[i]->node;
		p->peers[i].established = peer && peer->established;
		p->peer_list[i] = &p->peers[i];
	}
	for (size_t i = 0; i < ports; i++) {
		const struct port *port = &a->inventory.ports[i];
		const struct klink *l = kmodel_name(&a->kernel.model, port->tap);

		audums__v1__port_report__init(&p->ports[i]);
		p->ports[i].name = (char *)port->name;
		p->ports[i].role = (char *)port_role_name(port->role);
		p->ports[i].oper_up = l && l->oper_up;
		p->port_list[i] = &p->ports[i];
	}
	p->report.uplinks = p->uplink_list;
	p->report.n_uplinks = uplinks;
	p->report.evpn_peers = p->peer_list;
	p->report.n_evpn_peers = peers;
	p->report.ports = p->port_list;
	p->report.n_ports = ports;
	component(p, "kernel", a->kernel.up,
		a->kernel.up ? a->kernel.base_error : "cannot be watched");
	daemon_component(p, &a->frr.zebra);
	daemon_component(p, &a->frr.bgpd);
	daemon_component(p, &a->frr.bfdd);
	component(p, "dataplane", a->dataplane_up, a->dataplane_reason);
	return true;
}

/* ---- what is applied, what has gone ---- */

static bool all_applied(const struct agent *a)
{
	const struct desired *d = &a->desired;
	const char *message;

	if (!d->base || !a->kernel.up || !a->kernel.base_ok || !a->kernel_settled ||
		!frr_settled(&a->frr) || a->leaving_count)
		return false;
	for (size_t i = 0; i < d->count; i++)
		if (report_segment_state(a, d->segments[i], &message) !=
			AUDUMS__V1__APPLY_STATE__APPLY_STATE_APPLIED)
			return false;
	return true;
}

static bool is_gone(const struct agent *a, const struct leaving *l)
{
	char name[IFNAMSIZ], key[RENDER_KEY_MAX];
	const struct rb_vni *v;

	if (desired_vni(&a->desired, l->vni))
		return true; /* the VNI is another segment's now */
	kplan_bridge_name(name, l->vni);
	if (kmodel_name(&a->kernel.model, name) || kernel_has_vni(&a->kernel, l->vni))
		return false;
	render_key_vni(key, l->vni);
	/* what a dead bgpd held died with it */
	if (a->frr.bgpd.up && conf_find(&a->frr.bgpd.applied, CONF_VNI, key))
		return false;
	v = a->frr.have_vnis ? rb_vnis_find(&a->frr.vnis, l->vni) : NULL;
	return !v || !a->frr.bgpd.up;
}

/* Move the names of segments that have gone to `names`. Returns how many. */
static size_t take_gone(struct agent *a, char (*names)[32], char **list, size_t max)
{
	size_t n = 0;

	for (size_t i = 0; i < a->leaving_count && n < max;) {
		if (!is_gone(a, &a->leaving[i])) {
			i++;
			continue;
		}
		/* back under the same name: not gone */
		if (!desired_find(&a->desired, a->leaving[i].name)) {
			memcpy(names[n], a->leaving[i].name, sizeof(names[n]));
			list[n] = names[n];
			n++;
		}
		a->leaving[i] = a->leaving[--a->leaving_count];
	}
	return n;
}

/* ---- sending ---- */

struct chunk {
	struct agent *a;
	struct segment_parts parts[CHUNK_SEGMENTS];
	Audums__V1__SegmentReport *list[CHUNK_SEGMENTS];
	size_t count, octets;
	char gone[CHUNK_SEGMENTS][32];
	char *gone_list[CHUNK_SEGMENTS];
	bool full; /* the next one sent is the first of a full report */
	bool failed;
};

static void chunk_send(struct chunk *c, Audums__V1__Report *r)
{
	struct agent *a = c->a;

	r->applied_generation = a->applied_generation;
	r->full = c->full;
	r->segments = c->list;
	r->n_segments = c->count;
	if (!a->report || !a->report(a->listener, r))
		c->failed = true;
	c->full = false;
	for (size_t i = 0; i < c->count; i++)
		parts_clear(&c->parts[i]);
	c->count = c->octets = 0;
}

void report_look(struct agent *a)
{
	if (a->applied_generation == a->desired.generation || !all_applied(a))
		return;
	a->applied_generation = a->desired.generation;
	log_info("applied", "generation=%lu ms=%lu", (unsigned long)a->applied_generation,
		(unsigned long)(loop_now_ms() - a->taken_at_ms));
}

void report_make(struct agent *a)
{
	struct base_parts base;
	struct chunk *c;
	uint64_t base_digest, before = a->applied_generation;
	size_t n_gone;
	bool sent = false;

	c = calloc(1, sizeof(*c));
	if (!c || !base_fill(a, &base)) {
		free(c);
		log_error("report_failed", "error=\"out of memory\"");
		return;
	}
	n_gone = take_gone(a, c->gone, c->gone_list, CHUNK_SEGMENTS);
	report_look(a);
	c->a = a;
	c->full = a->report_all;
	for (size_t i = 0; i < a->desired.count && a->report && !c->failed; i++) {
		struct segment *s = a->desired.segments[i];
		struct segment_parts *p = &c->parts[c->count];
		uint64_t h;

		if (!parts_fill(a, p, s))
			continue;
		h = message_digest(&p->report.base);
		if (!a->report_all && h == s->reported) {
			parts_clear(p);
			continue;
		}
		s->reported = h;
		c->list[c->count++] = &p->report;
		c->octets += protobuf_c_message_get_packed_size(&p->report.base);
		if (c->count == CHUNK_SEGMENTS || c->octets > CHUNK_OCTETS) {
			Audums__V1__Report r = AUDUMS__V1__REPORT__INIT;

			chunk_send(c, &r);
			sent = true;
		}
	}
	base_digest = message_digest(&base.report.base);
	if (a->report && !c->failed &&
		(c->count || n_gone || c->full || base_digest != a->base_reported ||
			(before != a->applied_generation && !sent))) {
		base.report.gone_segments = c->gone_list;
		base.report.n_gone_segments = n_gone;
		chunk_send(c, &base.report);
		a->base_reported = base_digest;
	}
	if (c->failed)
		a->report = NULL; /* until the listener comes back */
	else if (a->report)
		a->report_all = false;
	for (size_t i = 0; i < c->count; i++)
		parts_clear(&c->parts[i]);
	base_clear(&base);
	free(c);
}
