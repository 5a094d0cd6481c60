/*
 * Links: bridges, vxlan devices, our TAPs, VLAN devices; and the bridge domains derived of them.
 *
 * Invariants: a slot lives as long as the kernel's link or anything that names it (refs); a member
 * is in exactly its master's list. A domain exists from settle to settle as long as its bridge is
 * known. Called from mirror_feed() and mirror_settle().
 */
#include <errno.h>
#include <net/if.h>
#include <stdlib.h>

#include <linux/if_link.h>
#include <linux/rtnetlink.h>

#include "dataplane/mirror/nl.h"
#include "dataplane/mirror/state.h"

uint32_t link_find(const struct mirror *m, uint32_t ifindex)
{
	return map64_get(&m->link_by_ifindex, ifindex);
}

uint32_t link_slot(struct mirror *m, uint32_t ifindex)
{
	uint32_t slot = link_find(m, ifindex);

	if (slot != 0 || ifindex == 0)
		return slot;
	slot = pool_take(&m->links);
	if (slot == 0 || map64_put(&m->link_by_ifindex, ifindex, slot) != 0) {
		if (slot != 0)
			pool_give(&m->links, slot);
		m->stats.full++;
		return 0;
	}
	LINK(m, slot)->ifindex = ifindex;
	LINK(m, slot)->port = PORT_NONE;
	LINK(m, slot)->ac = AC_NONE;
	return slot;
}

void link_ref(struct mirror *m, uint32_t slot)
{
	LINK(m, slot)->refs++;
}

static void link_put_away(struct mirror *m, uint32_t slot)
{
	struct link *l = LINK(m, slot);

	if (l->refs || l->known || l->members || l->dirty || l->bd != BD_NONE || l->n_vteps)
		return;
	map64_del(&m->link_by_ifindex, l->ifindex);
	free(l->vteps);
	pool_give(&m->links, slot);
}

void link_unref(struct mirror *m, uint32_t slot)
{
	if (slot == 0)
		return;
	LINK(m, slot)->refs--;
	link_put_away(m, slot);
}

void link_dirty(struct mirror *m, uint32_t slot)
{
	struct link *l = LINK(m, slot);

	if (l->dirty)
		return;
	l->dirty = true;
	m->dirty_links[m->n_dirty_links++] = slot;
}

uint16_t link_uplink(const struct mirror *m, uint32_t slot)
{
	const struct link *l;

	if (slot == 0)
		return PORT_NONE;
	l = LINK(m, slot);
	if (!l->known || l->port == PORT_NONE ||
		port_get(&m->t->ports, l->port)->kind != PORT_KIND_UPLINK)
		return PORT_NONE;
	return l->port;
}

static bool link_is_access(const struct mirror *m, const struct link *l)
{
	return l->known && l->port != PORT_NONE &&
	       port_get(&m->t->ports, l->port)->kind == PORT_KIND_ACCESS;
}

static void member_unlink(struct mirror *m, uint32_t slot)
{
	struct link *l = LINK(m, slot);
	uint32_t master = l->master;

	if (master == 0)
		return;
	if (l->prev)
		LINK(m, l->prev)->next = l->next;
	else
		LINK(m, master)->members = l->next;
	if (l->next)
		LINK(m, l->next)->prev = l->prev;
	l->master = l->next = l->prev = 0;
	link_dirty(m, master);
	if (l->ac != AC_NONE) {
		ac_set_bd(&m->t->acs, l->ac, BD_NONE);
		learn_withdraw(m->learn, master, l->ac, false);
	}
	macs_port_left(m, master, slot);
	if (LINK(m, slot)->kind == LINK_VLAN)
		vlan_derive(m, slot);
}

static void member_link(struct mirror *m, uint32_t slot, uint32_t master)
{
	struct link *l = LINK(m, slot), *bridge = LINK(m, master);

	l->master = master;
	l->prev = 0;
	l->next = bridge->members;
	if (l->next)
		LINK(m, l->next)->prev = slot;
	bridge->members = slot;
	link_dirty(m, master);
}

/* What the port behind a TAP gets from the kernel. */
static void port_apply(struct mirror *m, struct link *l)
{
	const struct port_entry *p;
	bool was_up, up = l->known && l->flags & IFF_UP;

	if (l->port == PORT_NONE)
		return;
	p = port_get(&m->t->ports, l->port);
	was_up = p->admin_up;
	port_set_tap_ifindex(&m->t->ports, l->port, l->known ? l->ifindex : 0);
	ac_set_ifindex(&m->t->acs, l->port, l->known ? l->ifindex : 0);
	if (l->known && l->mtu <= UINT16_MAX && p->mtu != l->mtu) {
		port_set_mtu(&m->t->ports, l->port, (uint16_t)l->mtu);
		neighs_link_changed(m, link_find(m, l->ifindex));
	}
	if (was_up != up) {
		(void)tables_port_admin(m->t, l->port, up);
		m->resolve_at = 0;
	}
	if (was_up && !up && l->master && l->ac != AC_NONE)
		learn_withdraw(m->learn, l->master, l->ac, true);
	if (l->master)
		link_dirty(m, l->master);
	vlans_port_changed(m, link_find(m, l->ifindex));
}

void link_match_port(struct mirror *m, uint32_t slot)
{
	struct link *l = LINK(m, slot);
	uint16_t port =
		l->known && l->kind != LINK_VLAN ? port_by_tap(&m->t->ports, l->name) : PORT_NONE;

	if (port != l->port) {
		uint16_t old = l->port;

		if (old != PORT_NONE && port_get(&m->t->ports, old)->kind != PORT_KIND_NONE) {
			port_set_tap_ifindex(&m->t->ports, old, 0);
			ac_set_bd(&m->t->acs, old, BD_NONE);
			ac_set_ifindex(&m->t->acs, old, 0);
			(void)tables_port_admin(m->t, old, false);
			if (l->master && l->ac != AC_NONE)
				learn_withdraw(m->learn, l->master, old, false);
		}
		l->port = port;
		l->fit = false;
		if (l->kind != LINK_VLAN)
			l->ac = link_is_access(m, l) ? port : AC_NONE;
		groups_port_changed(m);
		neighs_link_changed(m, slot);
		m->hosts_dirty = true;
		if (l->master) {
			link_dirty(m, l->master);
			macs_bridge_changed(m, l->master);
		}
		vlans_lower_changed(m, slot);
	}
	port_apply(m, LINK(m, slot));
}

static void vxlan_set(struct mirror *m, uint32_t slot, uint32_t vni, rte_be32_t local)
{
	struct link *l = LINK(m, slot);

	if (l->kind == LINK_VXLAN && l->vni == vni && l->local == local)
		return;
	if (l->local != local)
		macs_vteps_drop(m, slot);
	l = LINK(m, slot);
	l->kind = LINK_VXLAN;
	l->vni = vni;
	l->local = local;
	macs_vteps_hold(m, slot);
	if (LINK(m, slot)->master) {
		link_dirty(m, LINK(m, slot)->master);
		macs_bridge_changed(m, LINK(m, slot)->master);
	}
}

static void link_gone(struct mirror *m, uint32_t slot)
{
	struct link *l = LINK(m, slot);

	if (!l->known)
		return;
	if (l->legs)
		m->redump |= MIRROR_NEXTHOP | MIRROR_ROUTE;
	member_unlink(m, slot);
	if (l->kind == LINK_VXLAN) {
		macs_vxlan_gone(m, slot);
	} else if (l->kind == LINK_VLAN) {
		vlan_unset(m, slot);
	} else if (l->kind == LINK_BRIDGE) {
		while (LINK(m, slot)->members)
			member_unlink(m, LINK(m, slot)->members);
		macs_bridge_gone(m, slot);
		link_dirty(m, slot);
	}
	l = LINK(m, slot);
	l->known = false;
	link_match_port(m, slot);
	l = LINK(m, slot);
	l->kind = LINK_OTHER;
	l->flags = l->mtu = l->vni = 0;
	l->local = 0;
	m->stats.links--;
	link_put_away(m, slot);
}

/* What a message says of a link. */
struct link_said {
	char name[16];
	uint32_t mtu, master;
	enum link_kind kind;
	uint32_t vni;
	rte_be32_t local;
	bool usable;   /* a vxlan device we can speak for */
	uint32_t link; /* ifindex of the device below, 0 = none here */
	uint16_t tpid, vid;
};

static bool vlan_parse(const struct nlattr *data, struct link_said *said)
{
	const struct nlattr *tb[IFLA_VLAN_MAX + 1];
	rte_be16_t tpid = rte_cpu_to_be_16(VLAN_TPID_Q);

	said->kind = LINK_VLAN;
	if (!data)
		return true;
	if (!nl_attrs(nl_data(data), nl_len(data), tb, IFLA_VLAN_MAX) ||
		!nl_get(tb[IFLA_VLAN_ID], &said->vid, 2) ||
		!nl_get(tb[IFLA_VLAN_PROTOCOL], &tpid, 2))
		return false;
	said->tpid = rte_be_to_cpu_16(tpid);
	return true;
}

static bool info_parse(const struct nlattr *info, struct link_said *said)
{
	const struct nlattr *tb[IFLA_INFO_MAX + 1], *vx[IFLA_VXLAN_MAX + 1];
	char kind[16] = "";
	uint16_t dstport = 0;
	uint8_t metadata = 0;

	if (!nl_attrs(nl_data(info), nl_len(info), tb, IFLA_INFO_MAX))
		return false;
	if (tb[IFLA_INFO_KIND] && nl_len(tb[IFLA_INFO_KIND]) < sizeof(kind) &&
		!nl_get_string(tb[IFLA_INFO_KIND], kind, sizeof(kind)))
		return false;
	if (strcmp(kind, "bridge") == 0)
		said->kind = LINK_BRIDGE;
	if (strcmp(kind, "vlan") == 0)
		return vlan_parse(tb[IFLA_INFO_DATA], said);
	if (strcmp(kind, "vxlan") != 0)
		return true;
	said->kind = LINK_VXLAN;
	if (!tb[IFLA_INFO_DATA])
		return true;
	if (!nl_attrs(
		    nl_data(tb[IFLA_INFO_DATA]), nl_len(tb[IFLA_INFO_DATA]), vx, IFLA_VXLAN_MAX) ||
		!nl_get(vx[IFLA_VXLAN_ID], &said->vni, 4) ||
		!nl_get(vx[IFLA_VXLAN_LOCAL], &said->local, 4) ||
		!nl_get(vx[IFLA_VXLAN_PORT], &dstport, 2) ||
		!nl_get(vx[IFLA_VXLAN_COLLECT_METADATA], &metadata, 1))
		return false;
	said->usable = said->vni != VNI_NONE && said->vni <= VNI_MAX && said->local != 0 &&
		       dstport == rte_cpu_to_be_16(VXLAN_PORT) && !metadata;
	return true;
}

static bool link_parse(const struct nlmsghdr *h, struct link_said *said)
{
	const struct ifinfomsg *ifi = NLMSG_DATA(h);
	const struct nlattr *tb[IFLA_MAX + 1];
	size_t head = NLMSG_ALIGN(sizeof(*ifi));

	if (h->nlmsg_len < NLMSG_LENGTH(head) ||
		!nl_attrs(
			(const char *)ifi + head, h->nlmsg_len - NLMSG_LENGTH(head), tb, IFLA_MAX))
		return false;
	return nl_get_string(tb[IFLA_IFNAME], said->name, sizeof(said->name)) &&
	       nl_get(tb[IFLA_MTU], &said->mtu, 4) && nl_get(tb[IFLA_MASTER], &said->master, 4) &&
	       /* with a namespace id the other end is in another namespace than this one */
	       (tb[IFLA_LINK_NETNSID] || nl_get(tb[IFLA_LINK], &said->link, 4)) &&
	       (!tb[IFLA_LINKINFO] || info_parse(tb[IFLA_LINKINFO], said));
}

static void link_update(
	struct mirror *m, uint32_t slot, uint32_t flags, const struct link_said *said)
{
	uint32_t master = said->master ? link_slot(m, said->master) : 0;
	struct link *l = LINK(m, slot);
	bool renamed, changed;

	if (l->known && l->kind != (uint8_t)said->kind) {
		uint32_t ifindex = l->ifindex;

		link_gone(m, slot); /* the index was given to another device */
		slot = link_slot(m, ifindex);
		if (slot == 0)
			return;
		l = LINK(m, slot);
	}
	if (!l->known) {
		l->known = true;
		m->stats.links++;
		if (said->kind == LINK_BRIDGE) {
			link_dirty(m, slot);
			macs_bridge_changed(m, slot);
		}
	}
	l = LINK(m, slot);
	renamed = strcmp(l->name, said->name) != 0;
	changed = l->mtu != said->mtu || (l->flags ^ flags) & IFF_UP;
	if (l->flags & IFF_UP && !(flags & IFF_UP) && l->legs)
		m->redump |= MIRROR_NEXTHOP | MIRROR_ROUTE;
	l->gen = class_gen(m, MIRROR_LINK);
	l->flags = flags;
	l->mtu = said->mtu;
	l->kind = (uint8_t)said->kind;
	if (renamed)
		memcpy(l->name, said->name, sizeof(l->name));
	if (l->master != master) {
		member_unlink(m, slot);
		if (master)
			member_link(m, slot, master);
		if (said->kind == LINK_VXLAN && master)
			macs_bridge_changed(m, master);
	}
	if (said->kind == LINK_VLAN) {
		/* its MACs go while the kernel still has the device to take them from */
		if (changed && !(flags & IFF_UP) && LINK(m, slot)->ac != AC_NONE)
			learn_withdraw(m->learn, LINK(m, slot)->master, LINK(m, slot)->ac, true);
		vlan_set(m, slot, said->link ? link_slot(m, said->link) : 0, said->tpid, said->vid);
	}
	if (said->kind == LINK_VXLAN) {
		if (!said->usable)
			m->stats.unsupported++;
		vxlan_set(m, slot, said->usable ? said->vni : VNI_NONE,
			said->usable ? said->local : 0);
	}
	if (changed) {
		if (said->kind == LINK_BRIDGE)
			link_dirty(m, slot);
		if (LINK(m, slot)->master)
			link_dirty(m, LINK(m, slot)->master);
	}
	link_match_port(m, slot);
}

bool link_message(struct mirror *m, const struct nlmsghdr *h)
{
	const struct ifinfomsg *ifi = NLMSG_DATA(h);
	struct link_said said = {.kind = LINK_OTHER};
	uint32_t slot;

	if (h->nlmsg_len < NLMSG_LENGTH(sizeof(*ifi)) || ifi->ifi_index <= 0)
		return false;
	if (ifi->ifi_family != AF_UNSPEC)
		return true; /* AF_BRIDGE: flags of a bridge port, and "left the bridge" */
	if (!link_parse(h, &said))
		return false;
	if (h->nlmsg_type == RTM_DELLINK) {
		slot = link_find(m, (uint32_t)ifi->ifi_index);
		if (slot)
			link_gone(m, slot);
		return true;
	}
	if (said.name[0] == '\0')
		return false;
	slot = link_slot(m, (uint32_t)ifi->ifi_index);
	if (slot)
		link_update(m, slot, ifi->ifi_flags, &said);
	return true;
}

bool addr_message(struct mirror *m, const struct nlmsghdr *h)
{
	const struct ifaddrmsg *ifa = NLMSG_DATA(h);
	const struct nlattr *tb[IFA_MAX + 1];
	rte_be32_t addr;
	size_t head = NLMSG_ALIGN(sizeof(*ifa));

	if (h->nlmsg_len < NLMSG_LENGTH(head) ||
		!nl_attrs((const char *)ifa + head, h->nlmsg_len - NLMSG_LENGTH(head), tb, IFA_MAX))
		return false;
	if (ifa->ifa_family != AF_INET)
		return true;
	if (!nl_get(tb[IFA_LOCAL], &addr, 4) || !nl_get(tb[IFA_ADDRESS], &addr, 4))
		return false;
	/* The address itself is in table local. Routes that prefer it as source go without a word.
	 */
	if (h->nlmsg_type == RTM_DELADDR)
		m->redump |= MIRROR_NEXTHOP | MIRROR_ROUTE;
	return true;
}

void links_sweep(struct mirror *m)
{
	uint32_t gen = class_gen(m, MIRROR_LINK);

	for (uint32_t i = 1; i < m->links.end; i++) {
		if (LINK(m, i)->ifindex && LINK(m, i)->known && LINK(m, i)->gen != gen) {
			m->stats.sweeps++;
			link_gone(m, i);
		}
	}
}

/* The vxlan device of a bridge: the one with the lowest ifindex. */
static uint32_t bridge_vxlan(struct mirror *m, const struct link *bridge)
{
	uint32_t best = 0;

	for (uint32_t i = bridge->members; i; i = LINK(m, i)->next) {
		const struct link *l = LINK(m, i);

		if (!l->known || l->kind != LINK_VXLAN)
			continue;
		if (best)
			m->stats.conflicts++;
		if (!best || l->ifindex < LINK(m, best)->ifindex)
			best = i;
	}
	return best;
}

static uint16_t mtu16(uint32_t mtu)
{
	return mtu > UINT16_MAX ? UINT16_MAX : (uint16_t)mtu;
}

/* May frames pass? A TAP's own IFF_UP is its port's. */
static bool link_ac_up(const struct link *l)
{
	return l->kind != LINK_VLAN || l->flags & IFF_UP;
}

static void domain_lists(
	struct mirror *m, const struct link *bridge, const struct link *vx, struct bd_config *conf)
{
	uint16_t *acs = m->scratch, *flood = acs + m->t->options.max_acs;
	uint16_t *allowed = flood + m->t->options.max_vteps;

	for (uint32_t i = bridge->members; i; i = LINK(m, i)->next) {
		const struct link *l = LINK(m, i);

		if (l->ac != AC_NONE && port_up(&m->t->ports, ac_port(&m->t->acs, l->ac)) &&
			link_ac_up(l) && conf->n_acs < m->t->options.max_acs)
			acs[conf->n_acs++] = l->ac;
	}
	for (uint32_t i = 0; vx && i < vx->n_vteps; i++) {
		const struct link_vtep *v = &vx->vteps[i];

		if (v->vtep == VTEP_NONE)
			continue;
		if (v->flood_gen)
			flood[conf->n_flood++] = v->vtep;
		else if (v->n_macs)
			allowed[conf->n_allowed++] = v->vtep;
	}
	conf->acs = acs;
	conf->flood = flood;
	conf->allowed = allowed;
}

static void domain_gone(struct mirror *m, uint32_t slot)
{
	struct link *l = LINK(m, slot);

	if (l->bd == BD_NONE)
		return;
	m->bd_link[l->bd] = 0;
	(void)bd_del(m->t->bds, l->bd);
	l->bd = BD_NONE;
	l->vx = 0;
	m->vnis_moved = true;
}

static void domain_derive(struct mirror *m, uint32_t slot)
{
	struct link *bridge = LINK(m, slot);
	struct bd_config conf = {0};
	uint32_t vx_slot, old_vni = VNI_NONE;
	const struct link *vx;
	bool up = bridge->flags & IFF_UP, fresh = bridge->bd == BD_NONE;
	int rc;

	vx_slot = bridge_vxlan(m, bridge);
	if (vx_slot && (!(LINK(m, vx_slot)->flags & IFF_UP) || LINK(m, vx_slot)->vni == VNI_NONE))
		vx_slot = 0;
	vx = vx_slot ? LINK(m, vx_slot) : NULL;
	conf.mtu = mtu16(vx ? vx->mtu : bridge->mtu);
	if (up) {
		conf.vni = vx ? vx->vni : VNI_NONE;
		conf.local = vx ? vx->local : 0;
		domain_lists(m, bridge, vx, &conf);
	}
	if (!fresh)
		old_vni = bd_get(m->t->bds, bridge->bd)->vni;
	bridge->vni_refused = false;
	rc = fresh ? bd_add(m->t->bds, &conf) : bd_set(m->t->bds, bridge->bd, &conf);
	if (rc == -EEXIST) {
		m->stats.conflicts++;
		bridge->vni_refused = true;
		conf.vni = VNI_NONE;
		rc = fresh ? bd_add(m->t->bds, &conf) : bd_set(m->t->bds, bridge->bd, &conf);
	}
	bridge->underived = rc < 0;
	if (rc < 0) {
		m->stats.full++;
		m->derive_failed = true;
		return;
	}
	if (fresh) {
		bridge->bd = (uint16_t)rc;
		m->bd_link[bridge->bd] = slot;
	}
	if (fresh || old_vni != conf.vni)
		limits_domain(&m->t->limits, bridge->bd, conf.vni);
	if (old_vni != VNI_NONE && old_vni != conf.vni)
		m->vnis_moved = true;
	for (uint32_t i = bridge->members; i; i = LINK(m, i)->next) {
		const struct link *l = LINK(m, i);

		if (l->ac != AC_NONE)
			ac_set_bd(&m->t->acs, l->ac, up && link_ac_up(l) ? bridge->bd : BD_NONE);
	}
	if (fresh || bridge->vx != vx_slot) {
		bridge->vx = vx_slot;
		macs_bridge_changed(m, slot);
	}
}

static void dirty_take(struct mirror *m)
{
	/* Deriving MACs may make a domain dirty again (who may send), so look until all is done. */
	while (m->n_dirty_links > 0) {
		uint32_t slot = m->dirty_links[--m->n_dirty_links];
		struct link *l = LINK(m, slot);

		l->dirty = false;
		if (l->known && l->kind == LINK_BRIDGE)
			domain_derive(m, slot);
		else
			domain_gone(m, slot);
		link_put_away(m, slot);
	}
}

void links_settle(struct mirror *m)
{
	if (m->derive_failed) {
		m->derive_failed = false;
		for (uint32_t i = 1; i < m->links.end; i++)
			if (LINK(m, i)->ifindex && LINK(m, i)->underived)
				link_dirty(m, i);
	}
	dirty_take(m);
	if (!m->vnis_moved)
		return;
	m->vnis_moved = false;
	for (uint32_t i = 1; i < m->links.end; i++)
		if (LINK(m, i)->ifindex && LINK(m, i)->vni_refused)
			link_dirty(m, i);
	dirty_take(m);
	m->vnis_moved = false;
}
