/*
 * FDB entries: the bridges' (`master`), the vxlan devices' (`self`), and what the FDB gets of them.
 *
 * D17: where the bridge has an entry, that one says where the MAC is; a vxlan device's entry only
 * gives the VTEP. An entry of the device without one of the bridge counts only if a person made it
 * (FRR's come in pairs, and what is left of a pair after a move is stale). A MAC learnt here and
 * not yet confirmed stands until the kernel says otherwise. Invariant: mac->dest is what the FDB
 * holds. A struct mac exists as long as the kernel, learning or the FDB says anything of it.
 */
#include <stdlib.h>

#include <linux/neighbour.h>
#include <linux/rtnetlink.h>

#include "dataplane/mirror/nl.h"
#include "dataplane/mirror/state.h"

#define MAC48 ((UINT64_C(1) << 48) - 1)

static uint64_t slot_key(uint32_t slot, uint64_t mac48)
{
	return (uint64_t)slot << 48 | mac48;
}

static uint32_t key_slot(uint64_t key)
{
	return (uint32_t)(key >> 48);
}

uint64_t mac_fdb_key(const struct mirror *m, const struct mac *e)
{
	return (uint64_t)LINK(m, key_slot(e->key))->bd << 48 | (e->key & MAC48);
}

/* Index of the first VTEP whose address is >= addr. */
static uint32_t vtep_at(const struct link *l, rte_be32_t addr)
{
	uint32_t lo = 0, hi = l->n_vteps;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (rte_be_to_cpu_32(l->vteps[mid].addr) < rte_be_to_cpu_32(addr))
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

struct link_vtep *link_vtep_find(const struct link *l, rte_be32_t addr)
{
	uint32_t at = vtep_at(l, addr);

	return at < l->n_vteps && l->vteps[at].addr == addr ? &l->vteps[at] : NULL;
}

static void vtep_take(struct mirror *m, const struct link *l, struct link_vtep *v)
{
	int rc;

	if (v->vtep != VTEP_NONE || l->local == 0)
		return;
	rc = vtep_hold(&m->t->vteps, l->local, v->addr);
	if (rc < 0) {
		m->stats.full++;
		return;
	}
	v->vtep = (uint16_t)rc;
	m->vteps_dirty = true;
}

static struct link_vtep *link_vtep_make(struct mirror *m, struct link *l, rte_be32_t addr)
{
	uint32_t at = vtep_at(l, addr);

	if (at < l->n_vteps && l->vteps[at].addr == addr)
		return &l->vteps[at];
	if (l->n_vteps >= m->t->options.max_vteps) {
		m->stats.full++;
		return NULL;
	}
	if (l->n_vteps == l->vteps_size) {
		uint32_t size = l->vteps_size ? l->vteps_size * 2 : 4;
		struct link_vtep *vteps = realloc(l->vteps, size * sizeof(*vteps));

		if (!vteps) {
			m->stats.full++;
			return NULL;
		}
		l->vteps = vteps;
		l->vteps_size = size;
	}
	memmove(&l->vteps[at + 1], &l->vteps[at], (l->n_vteps - at) * sizeof(*l->vteps));
	l->vteps[at] = (struct link_vtep){.addr = addr, .vtep = VTEP_NONE};
	l->n_vteps++;
	vtep_take(m, l, &l->vteps[at]);
	return &l->vteps[at];
}

/* Released at the end of settle, when flood lists don't name it any more. */
static void vtep_drop(struct mirror *m, struct link_vtep *v)
{
	if (v->vtep == VTEP_NONE)
		return;
	(void)list16_push(&m->dead_vteps, &m->n_dead_vteps, &m->dead_vteps_size, v->vtep);
	v->vtep = VTEP_NONE;
}

static void link_vtep_put_away(struct mirror *m, struct link *l, struct link_vtep *v)
{
	uint32_t at = (uint32_t)(v - l->vteps);

	if (v->n_macs || v->flood_gen)
		return;
	vtep_drop(m, v);
	l->n_vteps--;
	memmove(v, v + 1, (l->n_vteps - at) * sizeof(*v));
}

void macs_finish(struct mirror *m)
{
	if (m->derive_failed)
		return; /* the tables' older flood list still names them */
	while (m->n_dead_vteps > 0)
		vtep_release(&m->t->vteps, m->dead_vteps[--m->n_dead_vteps]);
}

static void domain_dirty(struct mirror *m, uint32_t vx)
{
	if (LINK(m, vx)->master)
		link_dirty(m, LINK(m, vx)->master);
}

static void flood_set(struct mirror *m, uint32_t vx, rte_be32_t dst, bool want)
{
	struct link *l = LINK(m, vx);
	struct link_vtep *v = want ? link_vtep_make(m, l, dst) : link_vtep_find(l, dst);

	if (!v)
		return;
	if ((v->flood_gen != 0) != want) {
		m->fdb_changes++;
		domain_dirty(m, vx);
	}
	v->flood_gen = want ? class_gen(m, MIRROR_FDB) : 0;
	link_vtep_put_away(m, l, v);
}

static void vtep_count(struct mirror *m, uint32_t vx, rte_be32_t dst, int by)
{
	struct link *l = LINK(m, vx);
	struct link_vtep *v = by > 0 ? link_vtep_make(m, l, dst) : link_vtep_find(l, dst);

	if (!v)
		return;
	v->n_macs += (uint32_t)by;
	if (!v->flood_gen && v->n_macs == (by > 0 ? 1 : 0))
		domain_dirty(m, vx);
	link_vtep_put_away(m, l, v);
}

uint32_t mac_find(const struct mirror *m, uint32_t bridge, uint64_t mac48)
{
	return keyed_get(&m->mac_by_key, slot_key(bridge, mac48));
}

uint32_t mac_make(struct mirror *m, uint32_t bridge, uint64_t mac48)
{
	uint64_t key = slot_key(bridge, mac48);
	uint32_t index = keyed_get(&m->mac_by_key, key);
	struct mac *e;

	if (index != 0)
		return index;
	index = pool_take(&m->macs);
	if (index == 0 || keyed_add(&m->mac_by_key, key, index) != 0) {
		if (index != 0)
			pool_give(&m->macs, index);
		m->stats.full++;
		return 0;
	}
	e = MAC(m, index);
	e->key = key;
	e->lac = AC_NONE;
	e->next = LINK(m, bridge)->macs;
	if (e->next)
		MAC(m, e->next)->prev = index;
	LINK(m, bridge)->macs = index;
	link_ref(m, bridge);
	return index;
}

void mac_release(struct mirror *m, uint32_t index)
{
	struct mac *e = MAC(m, index);
	uint32_t bridge = key_slot(e->key);

	if (e->kport || e->lac != AC_NONE || e->dest != FDB_MISS || e->flags & MAC_AUDIT)
		return;
	keyed_del(&m->mac_by_key, e->key);
	if (e->prev)
		MAC(m, e->prev)->next = e->next;
	else
		LINK(m, bridge)->macs = e->next;
	if (e->next)
		MAC(m, e->next)->prev = e->prev;
	pool_give(&m->macs, index);
	link_unref(m, bridge);
}

static uint32_t vxmac_find(const struct mirror *m, uint32_t vx, uint64_t mac48)
{
	return keyed_get(&m->vxmac_by_key, slot_key(vx, mac48));
}

static uint32_t dest_by_vxlan(const struct mirror *m, uint32_t vx, uint64_t mac48, bool ext_too)
{
	uint32_t index = vx ? vxmac_find(m, vx, mac48) : 0;
	const struct link_vtep *v;

	if (index == 0 || (VXMAC(m, index)->ext && !ext_too))
		return FDB_MISS;
	v = link_vtep_find(LINK(m, vx), VXMAC(m, index)->dst);
	return v && v->vtep != VTEP_NONE ? fdb_dest(FDB_KIND_VTEP, v->vtep) : FDB_MISS;
}

static uint32_t mac_dest(const struct mirror *m, const struct mac *e)
{
	const struct link *bridge = LINK(m, key_slot(e->key)), *k;

	if (bridge->bd == BD_NONE)
		return FDB_MISS;
	if (e->lac != AC_NONE)
		return fdb_dest(FDB_KIND_AC, e->lac);
	if (e->kport == 0)
		return dest_by_vxlan(m, bridge->vx, e->key & MAC48, false);
	if (e->flags & (MAC_K_OWN | MAC_EXPIRING))
		return FDB_MISS;
	if (e->kport == bridge->vx)
		return dest_by_vxlan(m, bridge->vx, e->key & MAC48, true);
	k = LINK(m, e->kport);
	if (k->ac != AC_NONE && k->master == key_slot(e->key))
		return fdb_dest(FDB_KIND_AC, k->ac);
	return FDB_MISS;
}

static void dest_count(struct mirror *m, struct link *bridge, uint32_t dest, int by)
{
	if (fdb_dest_kind(dest) == FDB_KIND_AC) {
		bridge->n_local += (uint32_t)by;
		m->port_macs[ac_port(&m->t->acs, fdb_dest_index(dest))] += (uint32_t)by;
	} else if (dest != FDB_MISS) {
		bridge->n_remote += (uint32_t)by;
	}
}

int mac_derive(struct mirror *m, uint32_t index)
{
	struct mac *e = MAC(m, index);
	struct link *bridge = LINK(m, key_slot(e->key));
	uint32_t dest = mac_dest(m, e);
	int rc = 0;

	if (dest == e->dest)
		return 0;
	if (dest == FDB_MISS)
		(void)fdb_del(m->t->fdb, mac_fdb_key(m, e));
	else
		rc = fdb_put(m->t->fdb, mac_fdb_key(m, e), dest, tables_now());
	if (rc < 0) {
		m->stats.full++;
		m->fdb_refused = true;
		return rc;
	}
	dest_count(m, bridge, e->dest, -1);
	dest_count(m, bridge, dest, 1);
	e->dest = dest;
	return 0;
}

static void kport_set(struct mirror *m, struct mac *e, uint32_t slot)
{
	uint32_t old = e->kport;

	if (old == slot)
		return;
	e->kport = slot;
	if (slot)
		link_ref(m, slot);
	link_unref(m, old);
}

static void kernel_forgets(struct mirror *m, uint32_t index)
{
	struct mac *e = MAC(m, index);

	kport_set(m, e, 0);
	e->flags &= (uint8_t) ~(MAC_K_EXT | MAC_K_OWN | MAC_EXPIRING);
	(void)mac_derive(m, index);
	mac_release(m, index);
}

/* The bridge's entry: `slot` is the port it names. */
static void master_entry(
	struct mirror *m, uint32_t bridge, uint32_t slot, uint64_t mac48, const struct ndmsg *ndm)
{
	uint32_t index = mac_make(m, bridge, mac48);
	const struct link *k = LINK(m, slot);
	bool ext = ndm->ndm_flags & NTF_EXT_LEARNED;
	struct mac *e;

	if (index == 0)
		return;
	e = MAC(m, index);
	if (e->lac != AC_NONE) {
		if (k->ac == e->lac) {
			e->lac = AC_NONE;
			e->tries = 0;
		} else if (k->ac == AC_NONE || !ext) {
			e->lac = AC_NONE; /* the kernel decides */
		} /* else the echo of our own earlier write: the MAC has moved on since */
	}
	if (e->kport != slot)
		m->fdb_changes++;
	if (e->kport != slot)
		e->flags &= (uint8_t)~MAC_EXPIRING;
	kport_set(m, e, slot);
	e->flags &= (uint8_t) ~(MAC_K_EXT | MAC_K_OWN);
	if (ext)
		e->flags |= MAC_K_EXT;
	else if (ndm->ndm_state & NUD_PERMANENT)
		e->flags |= MAC_K_OWN;
	e->gen = class_gen(m, MIRROR_FDB);
	(void)mac_derive(m, index);
	if (ext && m->learn)
		learn_found(m->learn, index);
	mac_release(m, index);
}

/* The bridge's MAC by a vxlan device's entry has changed. */
static void vxmac_changed(struct mirror *m, uint32_t vx, uint64_t mac48, bool make)
{
	uint32_t bridge = LINK(m, vx)->master, index;

	if (bridge == 0)
		return;
	index = make ? mac_make(m, bridge, mac48) : mac_find(m, bridge, mac48);
	if (index == 0)
		return;
	(void)mac_derive(m, index);
	mac_release(m, index);
}

static void vxmac_forget(struct mirror *m, uint32_t index)
{
	struct vxmac *e = VXMAC(m, index);
	uint32_t vx = key_slot(e->key);
	uint64_t mac48 = e->key & MAC48;
	rte_be32_t dst = e->dst;

	keyed_del(&m->vxmac_by_key, e->key);
	if (e->prev)
		VXMAC(m, e->prev)->next = e->next;
	else
		LINK(m, vx)->selfs = e->next;
	if (e->next)
		VXMAC(m, e->next)->prev = e->prev;
	pool_give(&m->vxmacs, index);
	vxmac_changed(m, vx, mac48, false);
	vtep_count(m, vx, dst, -1);
	link_unref(m, vx);
}

static void self_entry(struct mirror *m, uint32_t vx, uint64_t mac48, rte_be32_t dst, bool ext)
{
	uint64_t key = slot_key(vx, mac48);
	uint32_t index = keyed_get(&m->vxmac_by_key, key);
	struct vxmac *e;
	rte_be32_t old = 0;

	if (index == 0) {
		index = pool_take(&m->vxmacs);
		if (index == 0 || keyed_add(&m->vxmac_by_key, key, index) != 0) {
			if (index != 0)
				pool_give(&m->vxmacs, index);
			m->stats.full++;
			return;
		}
		e = VXMAC(m, index);
		e->key = key;
		e->next = LINK(m, vx)->selfs;
		if (e->next)
			VXMAC(m, e->next)->prev = index;
		LINK(m, vx)->selfs = index;
		link_ref(m, vx);
	} else {
		e = VXMAC(m, index);
		old = e->dst;
	}
	e->gen = class_gen(m, MIRROR_FDB);
	if (old == dst && e->ext == ext)
		return;
	m->fdb_changes++;
	e->dst = dst;
	e->ext = ext;
	if (old != dst)
		vtep_count(m, vx, dst, 1);
	vxmac_changed(m, vx, mac48, !ext);
	if (old != dst && old != 0)
		vtep_count(m, vx, old, -1);
}

static void self_message(struct mirror *m, const struct nlmsghdr *h, uint64_t mac48, rte_be32_t dst)
{
	const struct ndmsg *ndm = NLMSG_DATA(h);
	bool gone = h->nlmsg_type == RTM_DELNEIGH || ndm->ndm_state & NUD_FAILED;
	uint32_t ifindex = (uint32_t)ndm->ndm_ifindex;
	uint32_t vx = gone ? link_find(m, ifindex) : link_slot(m, ifindex), index;

	if (vx == 0)
		return;
	link_ref(m, vx); /* keep the slot while its last entry may go */
	if (mac48 == 0) {
		flood_set(m, vx, dst, !gone);
	} else if (!gone) {
		self_entry(m, vx, mac48, dst, ndm->ndm_flags & NTF_EXT_LEARNED);
	} else {
		index = vxmac_find(m, vx, mac48);
		if (index != 0 && VXMAC(m, index)->dst == dst)
			vxmac_forget(m, index);
	}
	link_unref(m, vx);
}

static void master_message(
	struct mirror *m, const struct nlmsghdr *h, uint64_t mac48, uint32_t master)
{
	const struct ndmsg *ndm = NLMSG_DATA(h);
	bool gone = h->nlmsg_type == RTM_DELNEIGH || ndm->ndm_state & NUD_FAILED;
	uint32_t ifindex = (uint32_t)ndm->ndm_ifindex, bridge, slot, index;

	if (gone) {
		bridge = link_find(m, master);
		slot = link_find(m, ifindex);
		index = bridge ? mac_find(m, bridge, mac48) : 0;
		/* After a move the removal at the old place may come last. */
		if (index != 0 && slot != 0 && MAC(m, index)->kport == slot)
			kernel_forgets(m, index);
		return;
	}
	bridge = link_slot(m, master);
	slot = link_slot(m, ifindex);
	if (bridge != 0 && slot != 0)
		master_entry(m, bridge, slot, mac48, ndm);
}

static bool fdb_take(struct mirror *m, const struct nlmsghdr *h)
{
	const struct ndmsg *ndm = NLMSG_DATA(h);
	const struct nlattr *tb[NDA_MAX + 1];
	struct rte_ether_addr mac;
	uint64_t mac48;
	uint32_t master = 0;
	uint16_t vlan = 0;
	rte_be32_t dst = 0;
	size_t head = NLMSG_ALIGN(sizeof(*ndm));

	if (h->nlmsg_len < NLMSG_LENGTH(head) || ndm->ndm_ifindex <= 0 ||
		!nl_attrs((const char *)ndm + head, h->nlmsg_len - NLMSG_LENGTH(head), tb, NDA_MAX))
		return false;
	if (!tb[NDA_LLADDR] || !nl_get(tb[NDA_LLADDR], &mac, 6) ||
		!nl_get(tb[NDA_VLAN], &vlan, 2) || !nl_get(tb[NDA_MASTER], &master, 4))
		return false;
	if (tb[NDA_DST] && nl_len(tb[NDA_DST]) != 4 && nl_len(tb[NDA_DST]) != 16)
		return false;
	mac48 = fdb_key(0, &mac);
	if (rte_is_multicast_ether_addr(&mac) || vlan != 0 ||
		(tb[NDA_DST] && nl_len(tb[NDA_DST]) != 4) || tb[NDA_NH_ID] || tb[NDA_VNI] ||
		tb[NDA_PORT]) {
		/* Groups, VLANs and other tunnels than ours; a device's own filter is no news. */
		if (tb[NDA_DST] || tb[NDA_NH_ID])
			m->stats.unsupported++;
		return true;
	}
	if (ndm->ndm_flags & NTF_SELF) {
		if (!tb[NDA_DST])
			return true;
		memcpy(&dst, nl_data(tb[NDA_DST]), 4);
		if (dst != 0 && rte_be_to_cpu_32(dst) < 0xe0000000u)
			self_message(m, h, mac48, dst);
		else
			m->stats.unsupported++;
		return true;
	}
	if (master != 0 && master <= INT32_MAX && mac48 != 0)
		master_message(m, h, mac48, master);
	return true;
}

bool fdb_message(struct mirror *m, const struct nlmsghdr *h)
{
	const uint64_t before = m->fdb_changes;
	const bool ok = fdb_take(m, h);

	/* only a dump's messages are parts of many; it began with all events read */
	if (m->auditing && h->nlmsg_flags & NLM_F_MULTI && m->fdb_changes != before)
		m->stats.healed++;
	return ok;
}

void macs_sweep(struct mirror *m)
{
	uint32_t gen = class_gen(m, MIRROR_FDB);

	for (uint32_t i = 1; i < m->macs.end; i++) {
		if (MAC(m, i)->key && MAC(m, i)->kport && MAC(m, i)->gen != gen) {
			m->stats.sweeps++;
			kernel_forgets(m, i);
		}
	}
	for (uint32_t i = 1; i < m->vxmacs.end; i++) {
		if (VXMAC(m, i)->key && VXMAC(m, i)->gen != gen) {
			m->stats.sweeps++;
			vxmac_forget(m, i);
		}
	}
	for (uint32_t i = 1; i < m->links.end; i++) {
		struct link *l = LINK(m, i);

		if (l->ifindex == 0)
			continue;
		link_ref(m, i);
		for (uint32_t v = l->n_vteps; v-- > 0;) {
			if (l->vteps[v].flood_gen && l->vteps[v].flood_gen != gen) {
				m->stats.sweeps++;
				flood_set(m, i, l->vteps[v].addr, false);
			}
		}
		link_unref(m, i);
	}
}

/* The FDB was full: what it refused may have room now. */
void macs_retry(struct mirror *m)
{
	m->fdb_refused = false;
	for (uint32_t i = 1; i < m->macs.end; i++)
		if (MAC(m, i)->key)
			(void)mac_derive(m, i);
}

void macs_bridge_changed(struct mirror *m, uint32_t bridge)
{
	uint32_t next;

	for (uint32_t i = LINK(m, bridge)->macs; i; i = next) {
		next = MAC(m, i)->next;
		(void)mac_derive(m, i);
		mac_release(m, i);
	}
	for (uint32_t i = LINK(m, bridge)->vx ? LINK(m, LINK(m, bridge)->vx)->selfs : 0; i;
		i = VXMAC(m, i)->next)
		if (!VXMAC(m, i)->ext)
			vxmac_changed(m, LINK(m, bridge)->vx, VXMAC(m, i)->key & MAC48, true);
}

void macs_bridge_gone(struct mirror *m, uint32_t bridge)
{
	uint32_t next;

	for (uint32_t i = LINK(m, bridge)->macs; i; i = next) {
		struct mac *e = MAC(m, i);

		next = e->next;
		e->lac = AC_NONE;
		kernel_forgets(m, i);
	}
	LINK(m, bridge)->vx = 0;
	macs_bridge_changed(m, bridge);
}

void macs_vxlan_gone(struct mirror *m, uint32_t vx)
{
	link_ref(m, vx);
	while (LINK(m, vx)->selfs)
		vxmac_forget(m, LINK(m, vx)->selfs);
	for (uint32_t v = LINK(m, vx)->n_vteps; v-- > 0;)
		flood_set(m, vx, LINK(m, vx)->vteps[v].addr, false);
	LINK(m, vx)->refs--; /* the caller puts it away */
}

void macs_port_left(struct mirror *m, uint32_t bridge, uint32_t slot)
{
	uint32_t next;

	if (LINK(m, bridge)->vx == slot)
		LINK(m, bridge)->vx = 0;
	for (uint32_t i = LINK(m, bridge)->macs; i; i = next) {
		next = MAC(m, i)->next;
		if (MAC(m, i)->kport == slot) {
			kernel_forgets(m, i);
			continue;
		}
		(void)mac_derive(m, i);
		mac_release(m, i);
	}
}

void macs_vteps_hold(struct mirror *m, uint32_t vx)
{
	struct link *l = LINK(m, vx);

	for (uint32_t v = 0; v < l->n_vteps; v++)
		vtep_take(m, l, &l->vteps[v]);
	domain_dirty(m, vx);
}

void macs_vteps_drop(struct mirror *m, uint32_t vx)
{
	struct link *l = LINK(m, vx);

	for (uint32_t v = 0; v < l->n_vteps; v++)
		vtep_drop(m, &l->vteps[v]);
	domain_dirty(m, vx);
	if (l->master)
		macs_bridge_changed(m, l->master);
}
