/*
 * IPv4 routes: the kernel's, of tables local and main, and those derived of neighbours; the best of
 * each prefix goes into the FIB.
 *
 * The kernel asks table local before main whatever the prefix length; both share one FIB here,
 * which differs only where main has a longer prefix inside one of local (127.0.0.0/8 is the usual
 * one). Invariant: the routes of a prefix are in order of preference; the FIB has the first that
 * forwards.
 */
#include <linux/rtnetlink.h>

#include "dataplane/mirror/nl.h"
#include "dataplane/mirror/state.h"

struct route_said {
	uint32_t addr, prio, nh_id;
	uint8_t depth, table, type;
	uint16_t n_legs;
	struct leg legs[NHG_MAX_LEGS];
};

static uint32_t depth_mask(uint8_t depth)
{
	return (uint32_t)(UINT64_C(0xffffffff) << (32 - depth));
}

static uint64_t prefix_key(uint32_t addr, uint8_t depth)
{
	return (uint64_t)addr << 8 | depth;
}

/* What a route gives in the FIB; 0 = it does not forward here (throw). */
static uint16_t route_result(const struct mirror *m, const struct route *r)
{
	switch (r->type) {
	case RTN_UNICAST:
		return r->group ? GROUP(m, r->group)->result : FIB4_PUNT;
	case RTN_LOCAL:
	case RTN_BROADCAST:
	case RTN_ANYCAST:
		return FIB4_LOCAL;
	case RTN_BLACKHOLE:
		return FIB4_BLACKHOLE;
	case RTN_UNREACHABLE:
	case RTN_PROHIBIT:
		return FIB4_REJECT;
	case RTN_MULTICAST:
		return FIB4_PUNT;
	default:
		return 0;
	}
}

/* VTEPs under the prefix may be reached another way now. */
static void vteps_check(struct mirror *m, uint32_t addr, uint8_t depth)
{
	const struct vtep_tbl *t = &m->t->vteps;

	if (m->vteps_dirty)
		return;
	for (uint16_t i = 1; i < t->end; i++) {
		if (t->refs[i] &&
			(rte_be_to_cpu_32(t->vteps[i].remote) & depth_mask(depth)) == addr) {
			m->vteps_dirty = true;
			return;
		}
	}
}

static void prefix_apply(struct mirror *m, uint32_t addr, uint8_t depth)
{
	uint32_t index = map64_get(&m->route_by_prefix, prefix_key(addr, depth));
	uint16_t result = 0;

	for (; index && result == 0; index = ROUTE(m, index)->next)
		result = route_result(m, ROUTE(m, index));
	if (result == fib4_find(m->t->fib, addr, depth))
		return;
	if (result == 0)
		(void)fib4_del(m->t->fib, addr, depth);
	else if (fib4_put(m->t->fib, addr, depth, result) != 0)
		m->stats.full++;
	vteps_check(m, addr, depth);
}

static bool route_before(const struct route *a, uint8_t table, uint32_t prio)
{
	return a->table < table || (a->table == table && a->prio < prio);
}

/* The route with this table and metric, or 0; *prev is what is before its place. */
static uint32_t route_find(const struct mirror *m, const struct route_said *said, uint32_t *prev)
{
	uint32_t i = map64_get(&m->route_by_prefix, prefix_key(said->addr, said->depth));

	*prev = 0;
	while (i && route_before(ROUTE(m, i), said->table, said->prio)) {
		*prev = i;
		i = ROUTE(m, i)->next;
	}
	return i && ROUTE(m, i)->table == said->table && ROUTE(m, i)->prio == said->prio ? i : 0;
}

static void route_remove(struct mirror *m, uint32_t index)
{
	struct route r = *ROUTE(m, index);
	uint64_t key = prefix_key(r.addr, r.depth);
	uint32_t first = map64_get(&m->route_by_prefix, key), i = first;

	if (first == index) {
		if (r.next)
			(void)map64_put(&m->route_by_prefix, key, r.next);
		else
			map64_del(&m->route_by_prefix, key);
	} else {
		while (ROUTE(m, i)->next != index)
			i = ROUTE(m, i)->next;
		ROUTE(m, i)->next = r.next;
	}
	pool_give(&m->routes, index);
	m->stats.routes--;
	if (r.connected || r.nh_id || r.depth == 32)
		m->hosts_dirty = true;
	prefix_apply(m, r.addr, r.depth);
	link_unref(m, r.connected);
	group_release(m, r.group);
}

/* Put a new route in its place. */
static uint32_t route_insert(struct mirror *m, const struct route_said *said, uint32_t prev)
{
	uint64_t key = prefix_key(said->addr, said->depth);
	uint32_t first = map64_get(&m->route_by_prefix, key), index = pool_take(&m->routes);
	struct route *r;

	if (index == 0 || (prev == 0 && map64_put(&m->route_by_prefix, key, index) != 0)) {
		if (index != 0)
			pool_give(&m->routes, index);
		m->stats.full++;
		return 0;
	}
	r = ROUTE(m, index);
	r->addr = said->addr;
	r->depth = said->depth;
	r->table = said->table;
	r->prio = said->prio;
	r->next = prev ? ROUTE(m, prev)->next : first;
	if (prev)
		ROUTE(m, prev)->next = index;
	m->stats.routes++;
	return index;
}

static void route_upsert(struct mirror *m, struct route_said *said)
{
	uint32_t prev, index = route_find(m, said, &prev), group = 0, connected = 0;
	uint32_t old_group, old_connected;
	struct route *r;

	if (said->type == RTN_UNICAST) {
		if (said->nh_id == 0 && said->n_legs == 1 && said->legs[0].gw == 0 &&
			!said->legs[0].foreign) {
			connected = said->legs[0].link;
			if (said->depth == 32)
				said->legs[0].gw = rte_cpu_to_be_32(said->addr);
		}
		if (said->nh_id || (said->n_legs > 0 && (!connected || said->depth == 32)))
			group = group_hold(m, said->nh_id, said->legs, said->n_legs);
	}
	if (connected)
		link_ref(m, connected);
	if (index == 0)
		index = route_insert(m, said, prev);
	if (index == 0) {
		group_release(m, group);
		link_unref(m, connected);
		return;
	}
	r = ROUTE(m, index);
	old_group = r->group;
	old_connected = r->connected;
	r->gen = class_gen(m, MIRROR_ROUTE);
	r->type = said->type;
	r->nh_id = said->nh_id;
	r->group = group;
	r->connected = connected;
	if (connected != old_connected || r->nh_id || (r->depth == 32 && r->table != ROUTE_DERIVED))
		m->hosts_dirty = true;
	prefix_apply(m, said->addr, said->depth);
	group_release(m, old_group);
	link_unref(m, old_connected);
}

/* One leg of its attributes. False: malformed. */
static bool leg_parse(struct mirror *m, struct leg *leg, const struct nlattr *tb[],
	uint32_t ifindex, uint8_t hops, uint8_t flags)
{
	memset(leg, 0, sizeof(*leg));
	if (!nl_get(tb[RTA_GATEWAY], &leg->gw, 4))
		return false;
	leg->foreign = tb[RTA_VIA] || tb[RTA_ENCAP];
	leg->weight = (uint16_t)(hops + 1);
	leg->flags = flags & (RTNH_F_DEAD | RTNH_F_LINKDOWN);
	leg->link = ifindex <= INT32_MAX ? link_slot(m, ifindex) : 0;
	return true;
}

static bool multipath_parse(struct mirror *m, const struct nlattr *nla, struct route_said *said)
{
	const struct nlattr *tb[RTA_MAX + 1];
	const char *at = nl_data(nla);
	size_t len = nl_len(nla);

	while (len > 0) {
		const struct rtnexthop *rtnh = (const struct rtnexthop *)(const void *)at;
		size_t step;

		if (len < sizeof(*rtnh) || rtnh->rtnh_len < sizeof(*rtnh) || rtnh->rtnh_len > len ||
			!nl_attrs(RTNH_DATA(rtnh), rtnh->rtnh_len - sizeof(*rtnh), tb, RTA_MAX))
			return false;
		if (said->n_legs < NHG_MAX_LEGS) {
			if (!leg_parse(m, &said->legs[said->n_legs], tb,
				    (uint32_t)rtnh->rtnh_ifindex, rtnh->rtnh_hops,
				    rtnh->rtnh_flags))
				return false;
			said->n_legs++;
		} else {
			m->stats.unsupported++;
		}
		step = RTNH_ALIGN((size_t)rtnh->rtnh_len);
		if (step >= len)
			break;
		at += step;
		len -= step;
	}
	return true;
}

static bool route_parse(struct mirror *m, const struct nlmsghdr *h, struct route_said *said)
{
	const struct rtmsg *rtm = NLMSG_DATA(h);
	const struct nlattr *tb[RTA_MAX + 1];
	size_t head = NLMSG_ALIGN(sizeof(*rtm));
	uint32_t table = rtm->rtm_table, oif = 0;
	rte_be32_t dst = 0;

	if (!nl_attrs((const char *)rtm + head, h->nlmsg_len - NLMSG_LENGTH(head), tb, RTA_MAX) ||
		!nl_get(tb[RTA_TABLE], &table, 4) || !nl_get(tb[RTA_DST], &dst, 4) ||
		!nl_get(tb[RTA_PRIORITY], &said->prio, 4) ||
		!nl_get(tb[RTA_NH_ID], &said->nh_id, 4) || !nl_get(tb[RTA_OIF], &oif, 4))
		return false;
	if (rtm->rtm_dst_len > 32 || (rtm->rtm_dst_len > 0 && !tb[RTA_DST]))
		return false;
	said->addr = rte_be_to_cpu_32(dst);
	said->depth = rtm->rtm_dst_len;
	said->type = rtm->rtm_type;
	if (said->addr & ~depth_mask(said->depth))
		return false;
	said->table = table == RT_TABLE_LOCAL  ? ROUTE_LOCAL
		      : table == RT_TABLE_MAIN ? ROUTE_MAIN
					       : ROUTE_DERIVED; /* here: another table */
	if (said->table == ROUTE_DERIVED || said->nh_id != 0)
		return true;
	if (tb[RTA_MULTIPATH])
		return multipath_parse(m, tb[RTA_MULTIPATH], said);
	if (oif == 0 && !tb[RTA_GATEWAY])
		return true; /* blackhole and the like */
	said->n_legs = 1;
	return leg_parse(m, &said->legs[0], tb, oif, 0, (uint8_t)rtm->rtm_flags);
}

/* An interface that only a refused or unused leg named needs no slot. */
static void legs_put_away(struct mirror *m, const struct route_said *said)
{
	for (unsigned int i = 0; i < said->n_legs; i++) {
		if (said->legs[i].link && LINK(m, said->legs[i].link)->ifindex) {
			link_ref(m, said->legs[i].link);
			link_unref(m, said->legs[i].link);
		}
	}
}

/* Made although there was one of the same prefix and metric: prepended or appended. (The kernel
 * says NLM_F_EXCL of the first one, NLM_F_REPLACE alone where one takes the other's place.) */
static bool said_beside_others(const struct nlmsghdr *h)
{
	return (h->nlmsg_flags & (NLM_F_CREATE | NLM_F_EXCL)) == NLM_F_CREATE;
}

bool route_message(struct mirror *m, const struct nlmsghdr *h)
{
	const struct rtmsg *rtm = NLMSG_DATA(h);
	struct route_said said = {0};
	uint32_t index, prev;
	bool ok;

	if (h->nlmsg_len < NLMSG_LENGTH(sizeof(*rtm)))
		return false;
	if (rtm->rtm_family != AF_INET || rtm->rtm_flags & RTM_F_CLONED)
		return true;
	ok = route_parse(m, h, &said);
	if (!ok || said.table == ROUTE_DERIVED)
		goto out;
	if (rtm->rtm_tos != 0) {
		m->stats.unsupported++;
		goto out;
	}
	index = route_find(m, &said, &prev);
	if (h->nlmsg_type == RTM_DELROUTE) {
		if (index && ROUTE(m, index)->shares)
			m->redump |= MIRROR_ROUTE; /* which one went, and what is left? */
		if (index)
			route_remove(m, index);
		goto out;
	}
	if (index && ((h->nlmsg_flags & NLM_F_MULTI &&
			      ROUTE(m, index)->gen == class_gen(m, MIRROR_ROUTE)) ||
			     h->nlmsg_flags & NLM_F_APPEND)) {
		m->stats.conflicts++; /* appended after one of the same metric: not used */
		ROUTE(m, index)->shares = true;
		goto out;
	}
	route_upsert(m, &said);
	if (said_beside_others(h) && (index = route_find(m, &said, &prev)) != 0)
		ROUTE(m, index)->shares = true;
out:
	legs_put_away(m, &said);
	return ok;
}

void routes_sweep(struct mirror *m)
{
	uint32_t gen = class_gen(m, MIRROR_ROUTE);

	for (uint32_t i = 1; i < m->routes.end; i++) {
		const struct route *r = ROUTE(m, i);

		if (r->gen && r->gen != gen && r->table != ROUTE_DERIVED) {
			m->stats.sweeps++;
			route_remove(m, i);
		}
	}
}

void routes_group_changed(struct mirror *m, uint32_t group)
{
	for (uint32_t i = 1; i < m->routes.end; i++)
		if (ROUTE(m, i)->gen && ROUTE(m, i)->group == group)
			prefix_apply(m, ROUTE(m, i)->addr, ROUTE(m, i)->depth);
}

void routes_derived_set(struct mirror *m, uint32_t addr, uint32_t link, bool want)
{
	struct route_said said = {.addr = addr,
		.depth = 32,
		.table = ROUTE_DERIVED,
		.type = RTN_UNICAST,
		.n_legs = 1};
	uint32_t prev, index = route_find(m, &said, &prev);

	if (!want) {
		if (index)
			route_remove(m, index);
		return;
	}
	said.legs[0] = (struct leg){.link = link, .gw = rte_cpu_to_be_32(addr), .weight = 1};
	if (index == 0 || !ROUTE(m, index)->group ||
		GROUP(m, ROUTE(m, index)->group)->legs[0].link != link)
		route_upsert(m, &said);
}

static uint32_t route_link(const struct mirror *m, const struct route *r)
{
	uint32_t nh;

	if (r->type != RTN_UNICAST || r->connected)
		return r->type == RTN_UNICAST ? r->connected : 0;
	nh = r->nh_id ? map64_get(&m->nexthop_by_id, r->nh_id) : 0;
	if (nh == 0 || !NEXTHOP(m, nh)->known || NEXTHOP(m, nh)->is_group ||
		NEXTHOP(m, nh)->leg.gw != 0 || NEXTHOP(m, nh)->leg.foreign)
		return 0;
	return NEXTHOP(m, nh)->leg.link;
}

uint32_t route_connected_link(const struct mirror *m, uint32_t addr)
{
	for (uint8_t depth = 31;; depth--) {
		uint32_t i =
			map64_get(&m->route_by_prefix, prefix_key(addr & depth_mask(depth), depth));

		if (i)
			return route_link(m, ROUTE(m, i));
		if (depth == 0)
			return 0;
	}
}
