/*
 * VLAN devices: which attachment circuit a device enslaved to a bridge is.
 *
 * A VLAN device on an access TAP is the port with one tag, one on such a device the port with two
 * (QinQ). Links come in any order: a device has an AC exactly while it is in a bridge and the way
 * down to an access TAP is known. Invariant: a device is in the list of the one below it (`uppers`)
 * and holds its slot. An AC that goes is hidden at once and given back at the end of settle, when
 * no domain and no FDB entry names it.
 */
#include <net/if.h>

#include <linux/if_link.h>

#include "dataplane/mirror/state.h"

static void lower_set(struct mirror *m, uint32_t slot, uint32_t lower)
{
	struct link *l = LINK(m, slot);
	uint32_t old = l->lower;

	if (old == lower)
		return;
	if (old) {
		if (l->up_prev)
			LINK(m, l->up_prev)->up_next = l->up_next;
		else
			LINK(m, old)->uppers = l->up_next;
		if (l->up_next)
			LINK(m, l->up_next)->up_prev = l->up_prev;
		l->up_next = l->up_prev = 0;
	}
	l->lower = lower;
	if (lower) {
		struct link *below = LINK(m, lower);

		l->up_next = below->uppers;
		if (l->up_next)
			LINK(m, l->up_next)->up_prev = slot;
		below->uppers = slot;
		link_ref(m, lower);
	}
	link_unref(m, old);
}

/* The port and tags of a VLAN device; false: it is on none of ours, or on none yet. */
static bool vlan_resolve(struct mirror *m, const struct link *l, struct ac_config *to)
{
	const struct link *below = l->lower ? LINK(m, l->lower) : NULL;

	*to = (struct ac_config){.n_tags = 1, .outer_tpid = l->tpid, .vid = {l->vid}};
	if (!below || !below->known)
		return false;
	if (below->kind == LINK_VLAN) {
		*to = (struct ac_config){
			.n_tags = 2, .outer_tpid = below->tpid, .vid = {below->vid, l->vid}};
		below = below->lower ? LINK(m, below->lower) : NULL;
		if (!below || !below->known || below->port == PORT_NONE)
			return false;
		if (l->tpid != VLAN_TPID_Q || below->kind == LINK_VLAN) {
			m->stats.unsupported++; /* 802.1ad inside, or a third tag */
			return false;
		}
	}
	if (below->kind == LINK_VLAN || below->ac == AC_NONE)
		return false;
	to->port = below->port;
	return true;
}

static void ac_drop(struct mirror *m, uint32_t slot)
{
	struct link *l = LINK(m, slot);
	uint16_t ac = l->ac;

	ac_hide(&m->t->acs, ac);
	if (l->master)
		learn_withdraw(m->learn, l->master, ac, false);
	l = LINK(m, slot);
	l->ac = AC_NONE;
	if (l->master) {
		link_dirty(m, l->master);
		macs_bridge_changed(m, l->master);
	}
	(void)list16_push(&m->dead_acs, &m->n_dead_acs, &m->dead_acs_size, ac);
}

void vlan_derive(struct mirror *m, uint32_t slot)
{
	struct link *l = LINK(m, slot);
	struct ac_config want;
	bool wanted = l->known && l->kind == LINK_VLAN && l->master && vlan_resolve(m, l, &want);
	int rc;

	l->ac_refused = false;
	if (l->ac != AC_NONE) {
		if (wanted && ac_is(&m->t->acs, l->ac, &want))
			return;
		ac_drop(m, slot);
	}
	if (!wanted)
		return;
	rc = ac_add(&m->t->acs, &want);
	l = LINK(m, slot);
	if (rc == -ENOSPC || rc == -ENOMEM) {
		m->stats.full++;
		l->ac_refused = true;
		m->acs_refused = true;
		return;
	}
	if (rc < 0) {
		m->stats.conflicts++; /* the kernel has no two such devices at a time */
		return;
	}
	l->ac = (uint16_t)rc;
	ac_set_ifindex(&m->t->acs, l->ac, l->ifindex);
	link_dirty(m, l->master);
	macs_bridge_changed(m, l->master);
}

/* The kernel's devices form no circle; messages might. Two tags are two levels. */
static void uppers_derive(struct mirror *m, uint32_t slot, unsigned int levels)
{
	for (uint32_t i = LINK(m, slot)->uppers; i; i = LINK(m, i)->up_next) {
		vlan_derive(m, i);
		if (levels > 1)
			uppers_derive(m, i, levels - 1);
	}
}

void vlans_lower_changed(struct mirror *m, uint32_t slot)
{
	uppers_derive(m, slot, AC_TAGS_MAX);
}

void vlan_set(struct mirror *m, uint32_t slot, uint32_t lower, uint16_t tpid, uint16_t vid)
{
	struct link *l = LINK(m, slot);

	if (l->lower == lower && l->tpid == tpid && l->vid == vid) {
		if (l->ac == AC_NONE)
			vlan_derive(m, slot); /* in a bridge since */
		return;
	}
	l->tpid = tpid;
	l->vid = vid;
	lower_set(m, slot, lower == slot ? 0 : lower);
	vlan_derive(m, slot);
	uppers_derive(m, slot, 1);
}

void vlan_unset(struct mirror *m, uint32_t slot)
{
	struct link *l = LINK(m, slot);

	if (l->ac != AC_NONE)
		ac_drop(m, slot);
	lower_set(m, slot, 0);
	l = LINK(m, slot);
	l->tpid = l->vid = 0;
	l->kind = LINK_OTHER;
	uppers_derive(m, slot, 1);
}

static void uppers_dirty(struct mirror *m, uint32_t slot, bool up, unsigned int levels)
{
	for (uint32_t i = LINK(m, slot)->uppers; i; i = LINK(m, i)->up_next) {
		if (LINK(m, i)->ac != AC_NONE) {
			if (!up)
				learn_withdraw(m->learn, LINK(m, i)->master, LINK(m, i)->ac, true);
			link_dirty(m, LINK(m, i)->master);
		}
		if (levels > 1)
			uppers_dirty(m, i, up, levels - 1);
	}
}

void vlans_port_changed(struct mirror *m, uint32_t slot)
{
	struct link *l = LINK(m, slot);
	bool fit = l->port != PORT_NONE && port_up(&m->t->ports, l->port);

	if (l->fit == fit)
		return;
	l->fit = fit;
	uppers_dirty(m, slot, fit, AC_TAGS_MAX);
}

void vlans_retry(struct mirror *m)
{
	m->acs_refused = false;
	for (uint32_t i = 1; i < m->links.end; i++)
		if (LINK(m, i)->ifindex && LINK(m, i)->ac_refused)
			vlan_derive(m, i);
}

void vlans_finish(struct mirror *m)
{
	if (m->derive_failed)
		return; /* the tables' older list still names them */
	while (m->n_dead_acs > 0)
		ac_del(&m->t->acs, m->dead_acs[--m->n_dead_acs]);
}
