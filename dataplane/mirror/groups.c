/*
 * Next-hop objects of the kernel, and the next-hop groups of the tables.
 *
 * A group belongs to a kernel next-hop id, so that replacing the next hop moves all its routes by
 * one swap, or to a set of equal inline legs. Invariants: group->result is what every route by it
 * has in the FIB; a group of the tables is removed at the end of settle, when neither FIB nor VTEPs
 * name it.
 */
#include <stdlib.h>

#include <linux/nexthop.h>
#include <linux/rtnetlink.h>

#include "dataplane/mirror/nl.h"
#include "dataplane/mirror/state.h"

#define KEY_ID (UINT64_C(1) << 63)

void legs_count(struct mirror *m, const struct leg legs[], unsigned int n, int by)
{
	for (unsigned int i = 0; i < n; i++) {
		if (legs[i].link == 0)
			continue;
		LINK(m, legs[i].link)->legs += (uint32_t)by;
		if (by > 0)
			link_ref(m, legs[i].link);
		else
			link_unref(m, legs[i].link);
	}
}

static uint32_t nexthop_find(const struct mirror *m, uint32_t id)
{
	return map64_get(&m->nexthop_by_id, id);
}

static uint32_t nexthop_make(struct mirror *m, uint32_t id)
{
	uint32_t index = nexthop_find(m, id);

	if (index != 0)
		return index;
	index = pool_take(&m->nexthops);
	if (index == 0 || map64_put(&m->nexthop_by_id, id, index) != 0) {
		if (index != 0)
			pool_give(&m->nexthops, index);
		m->stats.full++;
		return 0;
	}
	NEXTHOP(m, index)->id = id;
	return index;
}

static void nexthop_put_away(struct mirror *m, uint32_t index)
{
	struct nexthop *nh = NEXTHOP(m, index);

	if (nh->known || nh->refs)
		return;
	map64_del(&m->nexthop_by_id, nh->id);
	pool_give(&m->nexthops, index);
}

static void group_dirty_by_id(struct mirror *m, uint32_t id)
{
	uint32_t index = map64_get(&m->group_by_key, KEY_ID | id);

	if (index == 0)
		return;
	GROUP(m, index)->dirty = true;
	m->groups_dirty = true;
}

/* The next hop changed: its group, and those of the groups it is in, are to be resolved again. */
static void nexthop_changed(struct mirror *m, uint32_t id)
{
	group_dirty_by_id(m, id);
	m->hosts_dirty = true; /* a route by it may be a connected one */
	for (uint32_t i = 1; i < m->nexthops.end; i++) {
		const struct nexthop *nh = NEXTHOP(m, i);

		for (unsigned int k = 0; nh->id && nh->is_group && k < nh->n_members; k++) {
			if (nh->members[k].id == id) {
				group_dirty_by_id(m, nh->id);
				break;
			}
		}
	}
}

/* Drop what the kernel said of it. */
static void nexthop_empty(struct mirror *m, struct nexthop *nh)
{
	legs_count(m, &nh->leg, 1, -1);
	free(nh->members);
	memset(&nh->leg, 0, sizeof(nh->leg));
	nh->members = NULL;
	nh->n_members = 0;
	nh->is_group = nh->blackhole = false;
}

static void nexthop_forget(struct mirror *m, uint32_t index)
{
	struct nexthop *nh = NEXTHOP(m, index);

	if (!nh->known)
		return;
	nexthop_empty(m, nh);
	nh->known = false;
	m->stats.nexthops--;
	nexthop_changed(m, nh->id);
	nexthop_put_away(m, index);
}

/* Members of a group as NHA_GROUP lists them. False: malformed or no memory. */
static bool members_parse(struct nexthop *nh, const struct nlattr *nla)
{
	size_t n = nl_len(nla) / sizeof(struct nexthop_grp);

	if (nl_len(nla) % sizeof(struct nexthop_grp) || n == 0 || n > UINT16_MAX)
		return false;
	nh->members = calloc(n, sizeof(*nh->members));
	if (!nh->members)
		return false;
	for (size_t i = 0; i < n; i++) {
		struct nexthop_grp g;

		memcpy(&g, (const char *)nl_data(nla) + i * sizeof(g), sizeof(g));
		nh->members[i].id = g.id;
		nh->members[i].weight = (uint16_t)(g.weight + 1);
	}
	nh->n_members = (uint16_t)n;
	nh->is_group = true;
	return true;
}

static bool nexthop_said(
	struct mirror *m, struct nexthop *said, const struct nhmsg *nhm, const struct nlattr *tb[])
{
	uint32_t oif = 0;

	if (tb[NHA_GROUP])
		return members_parse(said, tb[NHA_GROUP]);
	if (!nl_get(tb[NHA_OIF], &oif, 4))
		return false;
	said->blackhole = tb[NHA_BLACKHOLE] != NULL;
	if (tb[NHA_GATEWAY]) {
		if (nl_len(tb[NHA_GATEWAY]) == 4)
			memcpy(&said->leg.gw, nl_data(tb[NHA_GATEWAY]), 4);
		else if (nl_len(tb[NHA_GATEWAY]) != 16)
			return false;
		said->leg.foreign = nl_len(tb[NHA_GATEWAY]) != 4;
	}
	if (tb[NHA_ENCAP])
		said->leg.foreign = true;
	said->leg.weight = 1;
	said->leg.flags = (uint8_t)(nhm->nh_flags & (RTNH_F_DEAD | RTNH_F_LINKDOWN));
	said->leg.link = oif <= INT32_MAX ? link_slot(m, oif) : 0;
	return true;
}

bool nexthop_message(struct mirror *m, const struct nlmsghdr *h)
{
	const struct nhmsg *nhm = NLMSG_DATA(h);
	const struct nlattr *tb[NHA_MAX + 1];
	struct nexthop said = {0}, *nh;
	uint32_t id = 0, index;
	size_t head = NLMSG_ALIGN(sizeof(*nhm));

	if (h->nlmsg_len < NLMSG_LENGTH(head) ||
		!nl_attrs((const char *)nhm + head, h->nlmsg_len - NLMSG_LENGTH(head), tb, NHA_MAX))
		return false;
	if (!nl_get(tb[NHA_ID], &id, 4) || id == 0)
		return false;
	if (tb[NHA_FDB])
		return true; /* of a vxlan device's FDB, not of a route */
	if (h->nlmsg_type == RTM_DELNEXTHOP) {
		/* the kernel takes the routes by it away, too, and says nothing of them */
		if (map64_get(&m->group_by_key, KEY_ID | id) != 0)
			m->redump |= MIRROR_ROUTE;
		index = nexthop_find(m, id);
		if (index)
			nexthop_forget(m, index);
		return true;
	}
	if (!nexthop_said(m, &said, nhm, tb))
		return false;
	legs_count(m, &said.leg, 1, 1);
	index = nexthop_make(m, id);
	if (index == 0) {
		legs_count(m, &said.leg, 1, -1);
		free(said.members);
		return true;
	}
	nh = NEXTHOP(m, index);
	if (!nh->known)
		m->stats.nexthops++;
	nexthop_empty(m, nh);
	nh->known = true;
	nh->gen = class_gen(m, MIRROR_NEXTHOP);
	nh->leg = said.leg;
	nh->is_group = said.is_group;
	nh->blackhole = said.blackhole;
	nh->members = said.members;
	nh->n_members = said.n_members;
	nexthop_changed(m, id);
	return true;
}

void nexthops_sweep(struct mirror *m)
{
	for (uint32_t i = 1; i < m->nexthops.end; i++) {
		if (NEXTHOP(m, i)->id && NEXTHOP(m, i)->known &&
			NEXTHOP(m, i)->gen != class_gen(m, MIRROR_NEXTHOP)) {
			m->stats.sweeps++;
			nexthop_forget(m, i);
		}
	}
}

/* The legs of a group as the kernel says them, at most NHG_MAX_LEGS. Returns their number; *result
 * is what to do if none can be used. */
static unsigned int group_legs(
	struct mirror *m, const struct group *g, struct leg legs[], uint16_t *result)
{
	unsigned int n = 0;
	const struct nexthop *nh;
	uint32_t index;

	*result = FIB4_PUNT;
	if (g->nh_id == 0) {
		memcpy(legs, g->legs, g->n_legs * sizeof(legs[0]));
		return g->n_legs;
	}
	index = nexthop_find(m, g->nh_id);
	if (index == 0 || !NEXTHOP(m, index)->known)
		return 0;
	nh = NEXTHOP(m, index);
	if (nh->blackhole)
		*result = FIB4_BLACKHOLE;
	if (!nh->is_group) {
		legs[0] = nh->leg;
		return nh->blackhole ? 0 : 1;
	}
	for (unsigned int i = 0; i < nh->n_members && n < NHG_MAX_LEGS; i++) {
		uint32_t member = nexthop_find(m, nh->members[i].id);

		if (member == 0 || !NEXTHOP(m, member)->known || NEXTHOP(m, member)->is_group)
			continue;
		if (NEXTHOP(m, member)->blackhole) {
			*result = FIB4_BLACKHOLE;
			continue;
		}
		legs[n] = NEXTHOP(m, member)->leg;
		legs[n++].weight = nh->members[i].weight;
	}
	if (nh->n_members > NHG_MAX_LEGS)
		m->stats.unsupported++;
	return n;
}

/* Hold the adjacencies of usable legs; those the kernel calls dead only if `dead_too`. */
static unsigned int legs_hold(struct mirror *m, const struct leg legs[], unsigned int n,
	bool dead_too, struct nhg_leg out[])
{
	unsigned int len = 0;

	for (unsigned int i = 0; i < n; i++) {
		uint16_t port = link_uplink(m, legs[i].link);
		int adj;

		if (legs[i].foreign || legs[i].gw == 0 || port == PORT_NONE ||
			(legs[i].flags & RTNH_F_DEAD && !dead_too))
			continue;
		adj = adj_hold(&m->t->adjs, port, legs[i].gw, port_mtu(&m->t->ports, port));
		if (adj < 0) {
			m->stats.full++;
			continue;
		}
		if (m->t->adjs.refs[adj] == 1)
			neigh_apply(m, (uint16_t)adj);
		if (!adj_get(&m->t->adjs, (uint16_t)adj)->resolved)
			m->resolve_at = 0;
		out[len].adj = (uint16_t)adj;
		out[len++].weight = legs[i].weight ? legs[i].weight : 1;
	}
	return len;
}

static void nhg_drop(struct mirror *m, struct group *g)
{
	if (g->nhg != NHG_NONE)
		(void)list16_push(&m->dead_nhgs, &m->n_dead_nhgs, &m->dead_nhgs_size, g->nhg);
	g->nhg = NHG_NONE;
}

/* Make the tables' group equal to what the kernel says. */
static void group_resolve(struct mirror *m, uint32_t index)
{
	struct group *g = GROUP(m, index);
	struct leg legs[NHG_MAX_LEGS];
	struct nhg_leg held[NHG_MAX_LEGS];
	uint16_t result, before = g->result;
	unsigned int n = group_legs(m, g, legs, &result), len;
	int rc = 0;

	g->dirty = false;
	len = legs_hold(m, legs, n, false, held);
	if (len == 0)
		len = legs_hold(m, legs, n, true, held);
	if (len > 0) {
		rc = g->nhg == NHG_NONE ? nhg_add(&m->t->nhgs, held, len)
					: nhg_set(&m->t->nhgs, g->nhg, held, len);
		if (rc > 0 && g->nhg == NHG_NONE)
			g->nhg = (uint16_t)rc;
		if (rc < 0)
			m->stats.full++;
		for (unsigned int i = 0; i < len; i++)
			adj_release(&m->t->adjs, held[i].adj);
	}
	if (len == 0 || rc < 0)
		nhg_drop(m, g);
	g->result = g->nhg == NHG_NONE ? result : (uint16_t)(FIB4_NHG + g->nhg);
	if (before != g->result && before != 0)
		routes_group_changed(m, index);
}

static bool leg_equal(const struct leg *a, const struct leg *b)
{
	return a->link == b->link && a->gw == b->gw && a->weight == b->weight &&
	       a->flags == b->flags && a->foreign == b->foreign;
}

/* Key of equal inline legs: a hash, counted up past others that have it. */
static uint64_t legs_key(struct mirror *m, const struct leg legs[], uint16_t n)
{
	uint64_t key = n;
	uint32_t index;

	for (uint16_t i = 0; i < n; i++) {
		key = (key ^ legs[i].link) * UINT64_C(0x9e3779b97f4a7c15);
		key = (key ^ legs[i].gw) * UINT64_C(0x9e3779b97f4a7c15);
		key = (key ^ ((uint32_t)legs[i].weight << 16 | (uint32_t)legs[i].flags << 1 |
				     legs[i].foreign)) *
		      UINT64_C(0x9e3779b97f4a7c15);
		key ^= key >> 29;
	}
	for (;; key++) {
		uint16_t same = 0;

		key &= ~KEY_ID;
		index = map64_get(&m->group_by_key, key);
		if (index == 0)
			return key;
		if (GROUP(m, index)->n_legs != n)
			continue;
		while (same < n && leg_equal(&GROUP(m, index)->legs[same], &legs[same]))
			same++;
		if (same == n)
			return key;
	}
}

uint32_t group_hold(struct mirror *m, uint32_t nh_id, const struct leg legs[], uint16_t n)
{
	uint64_t key = nh_id ? KEY_ID | nh_id : legs_key(m, legs, n);
	uint32_t index = map64_get(&m->group_by_key, key), nh = 0;
	struct leg *own = NULL;
	struct group *g;

	if (index != 0) {
		GROUP(m, index)->refs++;
		return index;
	}
	if (nh_id) {
		nh = nexthop_make(m, nh_id);
		if (nh == 0)
			return 0;
	} else {
		own = malloc(n * sizeof(*own));
		if (!own)
			goto full;
		memcpy(own, legs, n * sizeof(*own));
	}
	index = pool_take(&m->groups);
	if (index == 0)
		goto full;
	if (map64_put(&m->group_by_key, key, index) != 0) {
		pool_give(&m->groups, index);
		goto full;
	}
	g = GROUP(m, index);
	g->key = key;
	g->refs = 1;
	g->nh_id = nh_id;
	g->legs = own;
	g->n_legs = nh_id ? 0 : n;
	legs_count(m, g->legs, g->n_legs, 1);
	if (nh)
		NEXTHOP(m, nh)->refs++;
	group_resolve(m, index);
	return index;
full:
	m->stats.full++;
	free(own);
	if (nh)
		nexthop_put_away(m, nh);
	return 0;
}

void group_release(struct mirror *m, uint32_t index)
{
	struct group *g;

	if (index == 0)
		return;
	g = GROUP(m, index);
	if (--g->refs > 0)
		return;
	nhg_drop(m, g);
	map64_del(&m->group_by_key, g->key);
	legs_count(m, g->legs, g->n_legs, -1);
	free(g->legs);
	if (g->nh_id) {
		uint32_t nh = nexthop_find(m, g->nh_id);

		NEXTHOP(m, nh)->refs--;
		nexthop_put_away(m, nh);
	}
	pool_give(&m->groups, index);
}

void groups_port_changed(struct mirror *m)
{
	for (uint32_t i = 1; i < m->groups.end; i++)
		if (GROUP(m, i)->refs)
			GROUP(m, i)->dirty = true;
	m->groups_dirty = true;
}

void groups_settle(struct mirror *m)
{
	if (!m->groups_dirty)
		return;
	m->groups_dirty = false;
	for (uint32_t i = 1; i < m->groups.end; i++)
		if (GROUP(m, i)->refs && GROUP(m, i)->dirty)
			group_resolve(m, i);
}

void groups_finish(struct mirror *m)
{
	while (m->n_dead_nhgs > 0)
		(void)nhg_del(&m->t->nhgs, m->dead_nhgs[--m->n_dead_nhgs]);
}

void groups_fini(struct mirror *m)
{
	for (uint32_t i = 1; i < m->groups.end; i++)
		if (GROUP(m, i)->refs)
			free(GROUP(m, i)->legs);
	for (uint32_t i = 1; i < m->nexthops.end; i++)
		if (NEXTHOP(m, i)->id)
			free(NEXTHOP(m, i)->members);
}
