/*
 * IPv4 neighbours: adjacencies get their MACs, neighbours in connected networks a route, VTEPs
 * their next-hop group; and who is to be resolved is asked for.
 *
 * Invariant: after settle, every adjacency in use says what the kernel's neighbour entry says, and
 * every VTEP has the group of the best route to it.
 */
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>

#include "dataplane/mirror/nl.h"
#include "dataplane/mirror/state.h"

#define NUD_USABLE     (NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT | NUD_NOARP)
#define RESOLVE_MS     1000
#define RESOLVE_A_TURN 64

static uint64_t neigh_key(uint32_t link, rte_be32_t addr)
{
	return (uint64_t)link << 32 | addr;
}

void neigh_apply(struct mirror *m, uint16_t index)
{
	const struct adj *adj = adj_get(&m->t->adjs, index);
	const struct port_entry *port = port_get(&m->t->ports, adj->port);
	uint32_t link = link_find(m, port->tap_ifindex);
	uint32_t n = link ? map64_get(&m->neigh_by_key, neigh_key(link, adj->addr)) : 0;
	const struct rte_ether_addr *mac = n && NEIGH(m, n)->valid ? &NEIGH(m, n)->mac : NULL;

	if (tables_adj_set(m->t, index, &port->mac, mac, port->mtu) < 0)
		m->stats.full++;
	if (!mac)
		m->resolve_at = 0;
}

void neighs_link_changed(struct mirror *m, uint32_t slot)
{
	uint16_t port = link_uplink(m, slot);

	if (port == PORT_NONE)
		return;
	for (uint16_t i = 1; i < m->t->adjs.end; i++)
		if (m->t->adjs.refs[i] && adj_get(&m->t->adjs, i)->port == port)
			neigh_apply(m, i);
}

/* The neighbour is another now: its adjacency, and perhaps its route. */
static void neigh_changed(struct mirror *m, uint32_t link, rte_be32_t addr)
{
	uint16_t port = link_uplink(m, link), adj;

	if (port == PORT_NONE)
		return;
	adj = adj_find(&m->t->adjs, port, addr);
	if (adj != ADJ_NONE)
		neigh_apply(m, adj);
	m->hosts_dirty = true;
}

static void neigh_remove(struct mirror *m, uint32_t index)
{
	struct neigh n = *NEIGH(m, index);

	map64_del(&m->neigh_by_key, neigh_key(n.link, n.addr));
	pool_give(&m->neighs, index);
	if (n.host_route)
		routes_derived_set(m, rte_be_to_cpu_32(n.addr), n.link, false);
	neigh_changed(m, n.link, n.addr);
	link_unref(m, n.link);
}

static void neigh_upsert(
	struct mirror *m, uint32_t ifindex, rte_be32_t addr, const struct rte_ether_addr *mac)
{
	uint32_t link = link_slot(m, ifindex), index;
	struct neigh *n;

	if (link == 0)
		return;
	index = map64_get(&m->neigh_by_key, neigh_key(link, addr));
	if (index == 0) {
		index = pool_take(&m->neighs);
		if (index == 0 || map64_put(&m->neigh_by_key, neigh_key(link, addr), index) != 0) {
			if (index != 0)
				pool_give(&m->neighs, index);
			m->stats.full++;
			link_ref(m, link);
			link_unref(m, link);
			return;
		}
		n = NEIGH(m, index);
		n->link = link;
		n->addr = addr;
		link_ref(m, link);
	}
	n = NEIGH(m, index);
	n->gen = class_gen(m, MIRROR_NEIGH);
	if (n->valid == (mac != NULL) && (!mac || rte_is_same_ether_addr(&n->mac, mac)))
		return;
	n->valid = mac != NULL;
	if (mac)
		n->mac = *mac;
	neigh_changed(m, link, addr);
}

bool neigh_message(struct mirror *m, const struct nlmsghdr *h)
{
	const struct ndmsg *ndm = NLMSG_DATA(h);
	const struct nlattr *tb[NDA_MAX + 1];
	struct rte_ether_addr mac;
	rte_be32_t addr;
	size_t head = NLMSG_ALIGN(sizeof(*ndm));
	uint32_t link, index;
	bool has_mac;

	if (h->nlmsg_len < NLMSG_LENGTH(head) || ndm->ndm_ifindex <= 0 ||
		!nl_attrs((const char *)ndm + head, h->nlmsg_len - NLMSG_LENGTH(head), tb, NDA_MAX))
		return false;
	if (!tb[NDA_DST] || !nl_get(tb[NDA_DST], &addr, 4))
		return false;
	if (ndm->ndm_flags & NTF_PROXY || rte_be_to_cpu_32(addr) >= 0xe0000000u)
		return true;
	if (h->nlmsg_type == RTM_DELNEIGH || ndm->ndm_state & NUD_FAILED) {
		link = link_find(m, (uint32_t)ndm->ndm_ifindex);
		index = link ? map64_get(&m->neigh_by_key, neigh_key(link, addr)) : 0;
		if (index)
			neigh_remove(m, index);
		return true;
	}
	has_mac = ndm->ndm_state & NUD_USABLE && tb[NDA_LLADDR] &&
		  nl_get(tb[NDA_LLADDR], &mac, 6) && rte_is_valid_assigned_ether_addr(&mac);
	neigh_upsert(m, (uint32_t)ndm->ndm_ifindex, addr, has_mac ? &mac : NULL);
	return true;
}

void neighs_sweep(struct mirror *m)
{
	for (uint32_t i = 1; i < m->neighs.end; i++) {
		if (NEIGH(m, i)->link && NEIGH(m, i)->gen &&
			NEIGH(m, i)->gen != class_gen(m, MIRROR_NEIGH)) {
			m->stats.sweeps++;
			neigh_remove(m, i);
		}
	}
}

void neighs_settle(struct mirror *m)
{
	if (!m->hosts_dirty)
		return;
	m->hosts_dirty = false;
	for (uint32_t i = 1; i < m->neighs.end; i++) {
		struct neigh *n = NEIGH(m, i);
		uint32_t addr = rte_be_to_cpu_32(n->addr);
		bool want;

		if (n->link == 0 || n->gen == 0)
			continue;
		want = n->valid && link_uplink(m, n->link) != PORT_NONE &&
		       route_connected_link(m, addr) == n->link;
		if (want == n->host_route && !want)
			continue;
		n->host_route = want;
		routes_derived_set(m, addr, n->link, want);
	}
	m->hosts_dirty = false;
}

void vteps_settle(struct mirror *m)
{
	struct vtep_tbl *t = &m->t->vteps;

	if (!m->vteps_dirty)
		return;
	m->vteps_dirty = false;
	for (uint16_t i = 1; i < t->end; i++) {
		uint16_t result, nhg = NHG_NONE;

		if (t->refs[i] == 0)
			continue;
		result = fib4_lookup(m->t->fib, rte_be_to_cpu_32(t->vteps[i].remote));
		if (fib4_is_nhg(result))
			nhg = fib4_nhg(result);
		else
			m->resolve_at = 0;
		if (nhg != vtep_nhg(&t->vteps[i]))
			vtep_set_nhg(t, i, nhg);
	}
}

static bool resolve(struct mirror *m, uint16_t port, rte_be32_t addr, unsigned int *asked)
{
	if (!port_up(&m->t->ports, port))
		return false;
	if (m->options.resolve && *asked < RESOLVE_A_TURN) {
		m->options.resolve(m->options.ctx, port, addr);
		(*asked)++;
	}
	return true;
}

int resolve_poll(struct mirror *m, uint64_t now_ms)
{
	const struct vtep_tbl *t = &m->t->vteps;
	unsigned int asked = 0;
	bool waiting = false;

	if (m->resolve_at == UINT64_MAX)
		return -1;
	if (now_ms < m->resolve_at)
		return (int)(m->resolve_at - now_ms);
	for (uint16_t i = 1; i < m->t->adjs.end; i++) {
		const struct adj *adj = adj_get(&m->t->adjs, i);

		if (m->t->adjs.refs[i] && !adj->resolved)
			waiting |= resolve(m, adj->port, adj->addr, &asked);
	}
	for (uint16_t i = 1; i < t->end; i++) {
		uint16_t port;

		if (t->refs[i] == 0 || vtep_nhg(&t->vteps[i]) != NHG_NONE)
			continue;
		port = link_uplink(
			m, route_connected_link(m, rte_be_to_cpu_32(t->vteps[i].remote)));
		if (port != PORT_NONE)
			waiting |= resolve(m, port, t->vteps[i].remote, &asked);
	}
	m->resolve_at = waiting ? now_ms + RESOLVE_MS : UINT64_MAX;
	return waiting ? RESOLVE_MS : -1;
}
