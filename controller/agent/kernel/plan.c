/* Desired state against the kernel; see plan.h. */
#include "controller/agent/kernel/plan.h"

#include "controller/agent/desired.h"
#include "controller/agent/inventory.h"
#include "controller/agent/kernel/journal.h"
#include "controller/agent/kernel/model.h"
#include "controller/agent/text.h"

#include <errno.h>
#include <linux/if_link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GROUP_FIRST 0x41554400u /* a number nobody else is likely to use */

struct ctx {
	struct kplan *p;
	struct desired *d;
	const struct inventory *inv;
	const struct kmodel *m;
	const struct journal *j;
	uint32_t vtep;
	size_t segment, attachment; /* for whom ops are planned */
	bool sweep_bridges;         /* second pass of the sweep */
	bool nomem;
};

void kplan_clear(struct kplan *p)
{
	free(p->ops);
	memset(p, 0, sizeof(*p));
}

void kplan_bridge_name(char name[IFNAMSIZ], uint32_t vni)
{
	snprintf(name, IFNAMSIZ, "br%u", vni);
}

void kplan_vxlan_name(char name[IFNAMSIZ], uint32_t vni)
{
	snprintf(name, IFNAMSIZ, "vx%u", vni);
}

const char *kplan_tap(const struct inventory *inv, const char *port)
{
	const struct port *p = inventory_find(inv, port);

	return p ? p->tap : port;
}

/* The VNI in a name of ours, or 0. */
static uint32_t name_vni(const char *name, const char *prefix)
{
	const size_t n = strlen(prefix);
	uint32_t vni;

	return strncmp(name, prefix, n) == 0 && text_u32(name + n, 16777215, &vni) ? vni : 0;
}

bool kplan_link_wanted(const struct desired *d, const char *name)
{
	uint32_t vni = name_vni(name, "br");

	if (!vni)
		vni = name_vni(name, "vx");
	return vni && desired_vni(d, vni);
}

bool kplan_ours(const struct klink *l, const struct journal *j)
{
	if (strcmp(l->kind, "bridge") != 0 && strcmp(l->kind, "vxlan") != 0)
		return false;
	return strncmp(l->alias, KPLAN_ALIAS_PREFIX, strlen(KPLAN_ALIAS_PREFIX)) == 0 ||
	       journal_has_link(j, l->name);
}

/* Add an op for `l` (NULL: a link that is to be made). Never returns NULL; on lack of memory the op
 * goes nowhere and the plan is refused as a whole. */
static struct kop *op_add(struct ctx *c, enum kop_type type, const struct klink *l)
{
	static struct kop nowhere;
	struct kplan *p = c->p;
	struct kop *op;

	if (p->count == p->capacity) {
		const size_t capacity = p->capacity ? 2 * p->capacity : 64;
		struct kop *grown = realloc(p->ops, capacity * sizeof(*grown));

		if (!grown) {
			c->nomem = true;
			return &nowhere;
		}
		p->ops = grown;
		p->capacity = capacity;
	}
	op = &p->ops[p->count++];
	memset(op, 0, sizeof(*op));
	op->type = type;
	op->segment = c->segment;
	op->attachment = c->attachment;
	if (l) {
		op->ifindex = l->ifindex;
		memcpy(op->name, l->name, sizeof(op->name));
	}
	return op;
}

static void want_mtu(struct ctx *c, const struct klink *l, uint32_t mtu)
{
	if (l->mtu != mtu)
		op_add(c, KOP_MTU, l)->mtu = mtu;
}

static void want_genmode_none(struct ctx *c, const struct klink *l)
{
	if (l->addrgenmode != IN6_ADDR_GEN_MODE_NONE && l->addrgenmode != KLINK_UNKNOWN)
		op_add(c, KOP_GENMODE, l);
}

static void want_up(struct ctx *c, const struct klink *l)
{
	if (!(l->flags & IFF_UP))
		op_add(c, KOP_UP, l);
}

static void want_addr(struct ctx *c, const struct klink *l, uint32_t ip, uint8_t plen)
{
	struct kop *op;

	if (klink_has_addr(l, ip, plen))
		return;
	op = op_add(c, KOP_ADDR_ADD, l);
	op->ip = ip;
	op->plen = plen;
}

static void want_master(struct ctx *c, const struct klink *l, int master)
{
	if (l->master != master)
		op_add(c, KOP_MASTER, l)->master = master;
}

static void want_isolated(struct ctx *c, const struct klink *l, bool joins_now)
{
	if (joins_now || l->isolated != 1 || l->learning != 0)
		op_add(c, KOP_BRPORT, l);
}

static void want_alias(struct ctx *c, const struct klink *l, const char *segment)
{
	char alias[KOP_ALIAS_MAX];

	snprintf(alias, sizeof(alias), KPLAN_ALIAS_PREFIX "%s", segment);
	if (strcmp(l->alias, alias) != 0)
		memcpy(op_add(c, KOP_ALIAS, l)->alias, alias, sizeof(alias));
}

/* ---- the node's base ---- */

static void plan_base(struct ctx *c)
{
	const Audums__V1__NodeBase *b = c->d->base;
	const struct klink *lo = kmodel_name(c->m, "lo");

	if (lo) {
		want_up(c, lo);
		want_addr(c, lo, c->vtep, 32);
	}
	for (size_t i = 0; i < c->inv->count; i++) {
		const struct klink *l = kmodel_name(c->m, c->inv->ports[i].tap);

		if (!l)
			continue;
		if (c->inv->ports[i].role == PORT_ACCESS)
			want_genmode_none(c, l);
		want_up(c, l);
	}
	for (size_t i = 0; i < b->n_uplinks; i++) {
		const Audums__V1__UplinkConfig *u = b->uplinks[i];
		const struct port *port = inventory_find(c->inv, u->port);
		const struct klink *l = kmodel_name(c->m, kplan_tap(c->inv, u->port));
		uint32_t ip;
		uint8_t plen;

		if (!l || (port && port->role != PORT_UPLINK) ||
			!text_ipv4_plen(u->address, &ip, &plen))
			continue;
		want_mtu(c, l, u->mtu);
		want_addr(c, l, ip, plen);
		if (!port)
			want_up(c, l);
	}
}

bool kplan_addr_wanted(const struct desired *d, const struct inventory *inv, const char *device,
	uint32_t ip, uint8_t plen)
{
	uint32_t want;
	uint8_t want_plen;

	if (!d->base)
		return false;
	if (strcmp(device, "lo") == 0)
		return plen == 32 && text_ipv4(d->base->vtep, &want) && want == ip;
	for (size_t i = 0; i < d->base->n_uplinks; i++)
		if (strcmp(kplan_tap(inv, d->base->uplinks[i]->port), device) == 0 &&
			text_ipv4_plen(d->base->uplinks[i]->address, &want, &want_plen) &&
			want == ip && want_plen == plen)
			return true;
	return false;
}

static void plan_old_addresses(struct ctx *c)
{
	for (size_t i = 0; i < c->j->count; i++) {
		const struct journal_entry *e = &c->j->entries[i];
		const struct klink *l = e->is_addr ? kmodel_name(c->m, e->device) : NULL;
		struct kop *op;

		if (!l || !klink_has_addr(l, e->ip, e->plen) ||
			kplan_addr_wanted(c->d, c->inv, e->device, e->ip, e->plen))
			continue;
		op = op_add(c, KOP_ADDR_DEL, l);
		op->ip = e->ip;
		op->plen = e->plen;
	}
}

/* ---- segments ---- */

static bool foreign(struct ctx *c, struct segment *s, const struct klink *l, const char *kind)
{
	if (strcmp(l->kind, kind) == 0 && kplan_ours(l, c->j))
		return false;
	snprintf(s->kernel_error, sizeof(s->kernel_error), "device %s exists and is not ours",
		l->name);
	return true;
}

/*
 * All bridges and VXLAN devices of a node have one MAC, made of its VTEP: nobody speaks from them.
 * A bridge with a MAC of its own does not change it when a port joins, which would be one more
 * event for bgpd; and bgpd walks all its routes for each MAC that comes or goes.
 */
static void node_mac(const struct ctx *c, uint8_t mac[6])
{
	const uint8_t bytes[6] = {0x02, 0x41, (uint8_t)(c->vtep >> 24), (uint8_t)(c->vtep >> 16),
		(uint8_t)(c->vtep >> 8), (uint8_t)c->vtep};

	memcpy(mac, bytes, sizeof(bytes));
}

/* Returns the bridge when it is there and usable. */
static const struct klink *plan_bridge(struct ctx *c, struct segment *s)
{
	const Audums__V1__SegmentConfig *cfg = s->cfg;
	const struct klink *l;
	char name[IFNAMSIZ];
	struct kop *op;

	kplan_bridge_name(name, cfg->vni);
	l = kmodel_name(c->m, name);
	if (!l) {
		op = op_add(c, KOP_BRIDGE_ADD, NULL);
		memcpy(op->name, name, sizeof(name));
		node_mac(c, op->mac);
		op->mtu = cfg->mtu;
		return NULL;
	}
	if (foreign(c, s, l, "bridge"))
		return NULL;
	want_alias(c, l, cfg->name);
	if ((l->mcast_snooping != 0 && l->mcast_snooping != KLINK_UNKNOWN) || l->stp == 1 ||
		l->forward_delay != 0)
		op_add(c, KOP_BRIDGE_SET, l);
	want_mtu(c, l, cfg->mtu);
	want_genmode_none(c, l);
	return l;
}

/*
 * A bridge comes up behind its VXLAN device: what happens to a bridge that is up already is told to
 * bgpd, each time. Where there will be no VXLAN device, it comes up for the ports of this site.
 */
static void plan_bridge_up(struct ctx *c, const struct segment *s, const struct klink *bridge)
{
	char name[IFNAMSIZ];

	kplan_vxlan_name(name, s->cfg->vni);
	if (kmodel_name(c->m, name) || s->kernel_error[0] || s->frr_error[0])
		want_up(c, bridge);
}

static void plan_vxlan(struct ctx *c, struct segment *s, const struct klink *bridge)
{
	const Audums__V1__SegmentConfig *cfg = s->cfg;
	const struct klink *l;
	char name[IFNAMSIZ];
	struct kop *op;

	kplan_vxlan_name(name, cfg->vni);
	l = kmodel_name(c->m, name);
	if (l && foreign(c, s, l, "vxlan"))
		return;
	if (l && (l->vni != cfg->vni || l->vxlan_local != c->vtep || l->vxlan_port != 4789 ||
			 l->vxlan_learning != 0 || l->vxlan_ttl != 64)) {
		op_add(c, KOP_LINK_DEL, l);
		return;
	}
	if (!l) {
		/* Without explicit route targets bgpd would derive some, and import a stranger's
		 * routes: the device waits for them. */
		if (!s->frr_open) {
			c->p->waiting = true;
			return;
		}
		op = op_add(c, KOP_VXLAN_ADD, NULL);
		memcpy(op->name, name, sizeof(name));
		node_mac(c, op->mac);
		op->mtu = cfg->mtu;
		op->vni = cfg->vni;
		op->ip = c->vtep;
		op->master = bridge ? bridge->ifindex : 0;
		return;
	}
	want_alias(c, l, cfg->name);
	want_mtu(c, l, cfg->mtu);
	want_genmode_none(c, l);
	if (!bridge)
		return;
	want_master(c, l, bridge->ifindex);
	want_isolated(c, l, l->master != bridge->ifindex);
	want_up(c, l);
}

static void plan_attachment(struct ctx *c, struct segment *s, size_t i, const struct klink *bridge)
{
	struct attachment *a = &s->attachments[i];
	const char *name = s->cfg->attachments[i]->port;
	const struct port *port = inventory_find(c->inv, name);
	const size_t before = c->p->count;
	const struct klink *l, *master;

	a->attached = a->link_up = false;
	if (a->invalid[0])
		return;
	if ((c->inv->count && !port) || (port && port->role != PORT_ACCESS)) {
		snprintf(a->error, sizeof(a->error),
			port ? "port %s is not an access port"
			     : "port %s is not in the port inventory",
			name);
		return;
	}
	l = kmodel_name(c->m, port ? port->tap : name);
	if (!l) {
		a->ifindex = 0;
		a->error[0] = '\0';
		return;
	}
	if (!bridge)
		return;
	master = l->master ? kmodel_index(c->m, l->master) : NULL;
	if (l->master && l->master != bridge->ifindex && (!master || !kplan_ours(master, c->j))) {
		snprintf(a->error, sizeof(a->error), "port %s belongs to %s, which is not ours",
			name, master ? master->name : "another device");
		return;
	}
	c->attachment = i;
	if (!port) {
		want_genmode_none(c, l);
		want_up(c, l);
	}
	want_master(c, l, bridge->ifindex);
	want_isolated(c, l, l->master != bridge->ifindex);
	c->attachment = KOP_NO_SEGMENT;
	if (c->p->count != before)
		return;
	a->error[0] = '\0';
	a->attached = true;
	a->link_up = l->oper_up;
	a->ifindex = l->ifindex;
}

static void plan_segment(struct ctx *c, size_t i)
{
	struct segment *s = c->d->segments[i];
	const size_t before = c->p->count;
	const struct klink *bridge;
	char name[IFNAMSIZ];

	s->kernel_ok = false;
	if (s->invalid[0])
		return;
	c->segment = i;
	bridge = plan_bridge(c, s);
	kplan_bridge_name(name, s->cfg->vni);
	/* over a stranger's bridge nothing is built */
	if (bridge || !kmodel_name(c->m, name))
		plan_vxlan(c, s, bridge);
	if (bridge)
		plan_bridge_up(c, s, bridge);
	kplan_vxlan_name(name, s->cfg->vni);
	if (c->p->count == before && bridge && kmodel_name(c->m, name) &&
		kplan_ours(kmodel_name(c->m, name), c->j)) {
		s->kernel_ok = true;
		s->kernel_error[0] = '\0';
	}
	for (size_t k = 0; k < s->cfg->n_attachments; k++)
		plan_attachment(c, s, k, bridge);
	c->segment = KOP_NO_SEGMENT;
}

/* ---- what is no longer wanted ---- */

static void sweep_link(void *arg, const struct klink *l)
{
	struct ctx *c = arg;
	const bool is_bridge = strcmp(l->kind, "bridge") == 0;
	const struct klink *master;
	uint32_t vni;

	if (kplan_ours(l, c->j)) {
		vni = name_vni(l->name, is_bridge ? "br" : "vx");
		if (is_bridge == c->sweep_bridges && !(vni && desired_vni(c->d, vni)))
			op_add(c, KOP_LINK_DEL, l)->slow = is_bridge;
		return;
	}
	if (c->sweep_bridges || !l->master)
		return;
	/* An access TAP in one of our bridges without an attachment that says so. */
	master = kmodel_index(c->m, l->master);
	if (!master || !kplan_ours(master, c->j))
		return;
	for (size_t i = 0; i < c->inv->count; i++) {
		const struct port *port = &c->inv->ports[i];
		const struct segment *s;

		if (strcmp(port->tap, l->name) != 0)
			continue;
		vni = name_vni(master->name, "br");
		s = vni ? desired_vni(c->d, vni) : NULL;
		for (size_t k = 0; s && k < s->cfg->n_attachments; k++)
			if (!s->attachments[k].invalid[0] &&
				strcmp(s->cfg->attachments[k]->port, port->name) == 0)
				return;
		/* Not if another segment takes it over in this very plan. */
		for (size_t k = 0; k < c->p->count; k++)
			if (c->p->ops[k].type == KOP_MASTER && c->p->ops[k].ifindex == l->ifindex)
				return;
		op_add(c, KOP_MASTER, l)->master = 0;
		return;
	}
}

int kplan_make(struct kplan *p, struct desired *d, const struct inventory *inv,
	const struct kmodel *m, const struct journal *j)
{
	struct ctx c = {.p = p,
		.d = d,
		.inv = inv,
		.m = m,
		.j = j,
		.segment = KOP_NO_SEGMENT,
		.attachment = KOP_NO_SEGMENT};

	p->count = 0;
	p->waiting = false;
	if (!d->base || !text_ipv4(d->base->vtep, &c.vtep))
		return 0;
	plan_base(&c);
	for (size_t i = 0; i < d->count; i++)
		plan_segment(&c, i);
	kmodel_each(m, sweep_link, &c);
	c.sweep_bridges = true;
	kmodel_each(m, sweep_link, &c);
	plan_old_addresses(&c);
	return c.nomem ? -ENOMEM : 0;
}

struct group_search {
	uint32_t group;
	bool taken;
};

static void group_look(void *arg, const struct klink *l)
{
	struct group_search *g = arg;

	g->taken = g->taken || l->group == g->group;
}

int kplan_slice(struct kplan *p, const struct kmodel *m, size_t max, size_t max_cost)
{
	struct group_search g = {.group = GROUP_FIRST};
	struct ctx c = {.p = p, .segment = KOP_NO_SEGMENT, .attachment = KOP_NO_SEGMENT};
	size_t deletions = 0, cost = 0, n = 0;

	for (; n < p->count && n < max && cost < max_cost; n++) {
		if (p->ops[n].type != KOP_LINK_DEL)
			continue;
		deletions++;
		cost += p->ops[n].slow ? KPLAN_SLOW_COST : 1;
	}
	p->count = n;
	if (deletions < 2)
		return 0;
	do {
		g.group++;
		g.taken = false;
		kmodel_each(m, group_look, &g);
	} while (g.taken);
	for (size_t i = 0; i < n; i++) {
		if (p->ops[i].type != KOP_LINK_DEL)
			continue;
		p->ops[i].type = KOP_GROUP;
		p->ops[i].group = g.group;
	}
	op_add(&c, KOP_GROUP_DEL, NULL)->group = g.group;
	return c.nomem ? -ENOMEM : 0;
}
