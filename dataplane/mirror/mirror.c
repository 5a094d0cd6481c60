/*
 * The mirror as a whole: messages to their classes, settling, mark and sweep.
 *
 * Invariant: between two settles the tables may lag behind the kernel's objects, but what they name
 * exists: indexes are given back at the end of settle, when nothing derived names them any more.
 */
#include <errno.h>
#include <stdlib.h>

#include <linux/neighbour.h>
#include <linux/rtnetlink.h>

#include "dataplane/mirror/state.h"
#include "proto/lib/log.h"

#define FULL_MS        5000
#define FDB_AUDIT_MS   60000
#define CLASSES        6
#define DEFAULT_LINKS  16384
#define MOST_LINKS     65534
#define DEFAULT_NEIGHS 4096

static int mirror_pools(struct mirror *m)
{
	const struct mirror_options *o = &m->options;
	uint32_t hops = m->t->options.max_nhgs + o->max_routes;
	int rc = 0;

	rc |= pool_init(&m->links, sizeof(struct link), o->max_links);
	rc |= pool_init(&m->macs, sizeof(struct mac), o->max_fdb);
	rc |= pool_init(&m->vxmacs, sizeof(struct vxmac), o->max_fdb);
	rc |= pool_init(&m->nexthops, sizeof(struct nexthop), hops);
	rc |= pool_init(&m->groups, sizeof(struct group), hops);
	rc |= pool_init(&m->routes, sizeof(struct route), o->max_routes + o->max_neighs);
	rc |= pool_init(&m->neighs, sizeof(struct neigh), o->max_neighs);
	rc |= map64_init(&m->link_by_ifindex);
	rc |= keyed_init(&m->mac_by_key, &m->macs, offsetof(struct mac, key));
	rc |= keyed_init(&m->vxmac_by_key, &m->vxmacs, offsetof(struct vxmac, key));
	rc |= map64_init(&m->nexthop_by_id);
	rc |= map64_init(&m->group_by_key);
	rc |= map64_init(&m->route_by_prefix);
	rc |= map64_init(&m->neigh_by_key);
	return rc;
}

struct mirror *mirror_create(const struct mirror_options *options)
{
	struct mirror *m = calloc(1, sizeof(*m));
	struct mirror_options *o;

	if (!m)
		return NULL;
	m->options = *options;
	m->t = options->tables;
	o = &m->options;
	o->max_links = o->max_links ? o->max_links : DEFAULT_LINKS;
	if (o->max_links > MOST_LINKS)
		o->max_links = MOST_LINKS;
	o->max_fdb = o->max_fdb ? o->max_fdb : 4 * m->t->options.max_macs;
	o->max_routes = o->max_routes ? o->max_routes : m->t->options.max_routes;
	o->max_neighs = o->max_neighs ? o->max_neighs : DEFAULT_NEIGHS;
	for (unsigned int i = 0; i < CLASSES; i++)
		m->gen[i] = 1;
	m->bd_link = calloc((size_t)m->t->options.max_bds + 1, sizeof(*m->bd_link));
	m->scratch = calloc(
		m->t->options.max_acs + 2 * (size_t)m->t->options.max_vteps, sizeof(*m->scratch));
	m->dirty_links = calloc((size_t)o->max_links + 1, sizeof(*m->dirty_links));
	if (mirror_pools(m) != 0 || !m->bd_link || !m->scratch || !m->dirty_links) {
		mirror_destroy(m);
		errno = ENOMEM;
		return NULL;
	}
	return m;
}

void mirror_destroy(struct mirror *m)
{
	struct map64 *maps[] = {&m->link_by_ifindex, &m->nexthop_by_id, &m->group_by_key,
		&m->route_by_prefix, &m->neigh_by_key};
	struct pool *pools[] = {
		&m->links, &m->macs, &m->vxmacs, &m->nexthops, &m->groups, &m->routes, &m->neighs};

	if (!m)
		return;
	for (uint32_t i = 1; i < m->links.end; i++)
		if (LINK(m, i)->ifindex)
			free(LINK(m, i)->vteps);
	groups_fini(m);
	for (size_t i = 0; i < sizeof(maps) / sizeof(maps[0]); i++)
		map64_fini(maps[i]);
	keyed_fini(&m->mac_by_key);
	keyed_fini(&m->vxmac_by_key);
	for (size_t i = 0; i < sizeof(pools) / sizeof(pools[0]); i++)
		pool_fini(pools[i]);
	free(m->bd_link);
	free(m->scratch);
	free(m->dirty_links);
	free(m->dead_nhgs);
	free(m->dead_vteps);
	free(m->dead_acs);
	free(m);
}

/* One message that is about an object. False: malformed. */
static bool object_message(struct mirror *m, const struct nlmsghdr *h)
{
	const struct ndmsg *ndm = NLMSG_DATA(h);

	switch (h->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		return link_message(m, h);
	case RTM_NEWADDR:
	case RTM_DELADDR:
		return addr_message(m, h);
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
		return route_message(m, h);
	case RTM_NEWNEXTHOP:
	case RTM_DELNEXTHOP:
		return nexthop_message(m, h);
	case RTM_NEWNEIGH:
	case RTM_DELNEIGH:
		if (h->nlmsg_len < NLMSG_LENGTH(sizeof(*ndm)))
			return false;
		if (ndm->ndm_family == AF_BRIDGE)
			return fdb_message(m, h);
		if (ndm->ndm_family == AF_INET)
			return neigh_message(m, h);
		return true;
	default:
		return true;
	}
}

static unsigned int error_message(struct mirror *m, const struct nlmsghdr *h)
{
	const struct nlmsgerr *err = NLMSG_DATA(h);

	if (h->nlmsg_len < NLMSG_LENGTH(sizeof(*err))) {
		m->stats.malformed++;
		return MIRROR_SEEN_ERROR;
	}
	if (err->error == 0)
		return 0;
	m->stats.last_error = err->error;
	return MIRROR_SEEN_ERROR;
}

unsigned int mirror_feed(struct mirror *m, const void *buf, size_t len)
{
	const char *at = buf;
	unsigned int seen = 0;

	while (len >= sizeof(struct nlmsghdr)) {
		const struct nlmsghdr *h = (const struct nlmsghdr *)(const void *)at;
		size_t step;

		if (h->nlmsg_len < sizeof(*h) || h->nlmsg_len > len) {
			m->stats.malformed++;
			return seen;
		}
		m->stats.messages++;
		if (h->nlmsg_flags & NLM_F_DUMP_INTR)
			seen |= MIRROR_SEEN_INTR;
		if (h->nlmsg_type == NLMSG_DONE)
			seen |= MIRROR_SEEN_DONE;
		else if (h->nlmsg_type == NLMSG_OVERRUN)
			seen |= MIRROR_SEEN_OVERRUN;
		else if (h->nlmsg_type == NLMSG_ERROR)
			seen |= error_message(m, h);
		else if (!object_message(m, h))
			m->stats.malformed++;
		step = NLMSG_ALIGN((size_t)h->nlmsg_len);
		if (step >= len)
			return seen;
		at += step;
		len -= step;
	}
	if (len > 0)
		m->stats.malformed++;
	return seen;
}

void mirror_settle(struct mirror *m)
{
	links_settle(m);
	groups_settle(m);
	neighs_settle(m);
	vteps_settle(m);
	macs_finish(m);
	vlans_finish(m);
	groups_finish(m);
}

void mirror_sync_begin(struct mirror *m, unsigned int classes)
{
	for (unsigned int i = 0; i < CLASSES; i++)
		if (classes & 1u << i)
			if (++m->gen[i] == 0)
				m->gen[i] = 1;
}

void mirror_sync_end(struct mirror *m, unsigned int classes)
{
	uint64_t before = m->stats.sweeps;

	if (classes & MIRROR_LINK)
		links_sweep(m);
	if (classes & MIRROR_NEXTHOP)
		nexthops_sweep(m);
	if (classes & MIRROR_ROUTE)
		routes_sweep(m);
	if (classes & MIRROR_FDB)
		macs_sweep(m);
	if (classes & MIRROR_NEIGH)
		neighs_sweep(m);
	if (m->auditing && classes & MIRROR_FDB) {
		m->auditing = false;
		m->stats.audits++;
		if (classes == MIRROR_FDB)
			m->stats.healed += m->stats.sweeps - before;
	}
	if (m->stats.sweeps != before)
		log_info("mirror_swept", "classes=0x%x objects=%llu", classes,
			(unsigned long long)(m->stats.sweeps - before));
	mirror_settle(m);
}

unsigned int mirror_take_redump(struct mirror *m)
{
	unsigned int classes = m->redump;

	m->redump = 0;
	return classes;
}

/* Say that something was full, and offer the FDB again what it refused: every few seconds at most.
 */
static int full_poll(struct mirror *m, uint64_t now_ms)
{
	struct fdb_stats fdb;

	if (m->stats.full == m->full_said && !m->fdb_refused && !m->acs_refused)
		return -1;
	if (now_ms < m->full_at)
		return (int)(m->full_at - now_ms);
	m->full_at = now_ms + FULL_MS;
	fdb_stats_get(m->t->fdb, &fdb);
	if (m->stats.full != m->full_said)
		log_warn("mirror_full", "refused=%llu fdb=%u/%u macs=%u/%u routes=%u links=%u",
			(unsigned long long)(m->stats.full - m->full_said), fdb.entries,
			fdb.capacity, m->macs.n, m->macs.max, m->routes.n, m->links.n);
	m->full_said = m->stats.full;
	if (m->fdb_refused && fdb.entries < fdb.capacity) {
		macs_retry(m);
		m->full_said = m->stats.full; /* refused again: no news */
	}
	if (m->acs_refused) {
		vlans_retry(m);
		m->full_said = m->stats.full;
	}
	return m->fdb_refused || m->acs_refused ? FULL_MS : -1;
}

/*
 * Now and then the kernel's FDB is read whole although no event was missed: should one be, by
 * whatever fault, no entry stays wrong for longer than that. Read in the bounded bites of any dump.
 */
static int audit_poll(struct mirror *m, uint64_t now_ms)
{
	if (m->audit_at == 0 || now_ms < m->audit_at) {
		if (m->audit_at == 0)
			m->audit_at = now_ms + FDB_AUDIT_MS;
		return (int)(m->audit_at - now_ms);
	}
	m->audit_at = now_ms + FDB_AUDIT_MS;
	m->auditing = true;
	m->redump |= MIRROR_FDB;
	return 0;
}

int mirror_poll(struct mirror *m, uint64_t now_ms)
{
	const int audit = audit_poll(m, now_ms);
	int full, asked;

	mirror_settle(m);
	full = full_poll(m, now_ms);
	asked = resolve_poll(m, now_ms);
	if (full < 0 || (asked >= 0 && asked < full))
		full = asked;
	return full < 0 || audit < full ? audit : full;
}

void mirror_port_changed(struct mirror *m, uint16_t port)
{
	const struct port_entry *p = port_get(&m->t->ports, port);

	for (uint32_t i = 1; i < m->links.end; i++) {
		const struct link *l = LINK(m, i);

		if (l->ifindex && l->known && (l->port == port || strcmp(l->name, p->tap) == 0))
			link_match_port(m, i);
	}
	if (p->kind == PORT_KIND_ACCESS && !port_up(&m->t->ports, port))
		learn_port_down(m->learn, port);
	else if (p->kind == PORT_KIND_ACCESS)
		learn_port_up(m->learn, port);
	m->resolve_at = 0;
}

const char *mirror_bd_name(const struct mirror *m, uint16_t bd)
{
	if (bd > m->t->options.max_bds || m->bd_link[bd] == 0)
		return "";
	return LINK(m, m->bd_link[bd])->name;
}

void mirror_bd_macs(const struct mirror *m, uint16_t bd, uint32_t *local, uint32_t *remote)
{
	*local = *remote = 0;
	if (bd > m->t->options.max_bds || m->bd_link[bd] == 0)
		return;
	*local = LINK(m, m->bd_link[bd])->n_local;
	*remote = LINK(m, m->bd_link[bd])->n_remote;
}

void mirror_stats_get(const struct mirror *m, struct mirror_stats *stats)
{
	*stats = m->stats;
	stats->neighs = m->neighs.n;
	stats->macs = m->macs.n;
	stats->vxlan_macs = m->vxmacs.n;
}
