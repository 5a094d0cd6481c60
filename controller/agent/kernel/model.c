/* The agent's picture of the kernel; see model.h. */
#include "controller/agent/kernel/model.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <netinet/in.h>
#include <linux/if.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* libmnl's attribute loops narrow a pointer difference to int; messages are far shorter. */
#pragma GCC diagnostic ignored "-Wconversion"

#define BUCKETS 4096

static size_t hash_name(const char *name)
{
	uint32_t h = 2166136261u;

	for (; *name; name++)
		h = (h ^ (uint8_t)*name) * 16777619u;
	return h % BUCKETS;
}

int kmodel_init(struct kmodel *m)
{
	m->buckets = BUCKETS;
	m->links = 0;
	m->mark = 1;
	m->by_index = calloc(BUCKETS, sizeof(struct klink *));
	m->by_name = calloc(BUCKETS, sizeof(struct klink *));
	if (!m->by_index || !m->by_name) {
		kmodel_clear(m);
		return -ENOMEM;
	}
	return 0;
}

static void klink_free(struct klink *l)
{
	free(l->addrs);
	free(l->flood);
	free(l);
}

void kmodel_clear(struct kmodel *m)
{
	for (size_t b = 0; m->by_index && b < m->buckets; b++) {
		while (m->by_index[b]) {
			struct klink *l = m->by_index[b];

			m->by_index[b] = l->next_index;
			klink_free(l);
		}
	}
	free(m->by_index);
	free(m->by_name);
	m->by_index = m->by_name = NULL;
	m->links = 0;
}

struct klink *kmodel_index(const struct kmodel *m, int ifindex)
{
	struct klink *l = m->by_index[(unsigned int)ifindex % BUCKETS];

	while (l && l->ifindex != ifindex)
		l = l->next_index;
	return l;
}

struct klink *kmodel_name(const struct kmodel *m, const char *name)
{
	struct klink *l = m->by_name[hash_name(name)];

	while (l && strcmp(l->name, name) != 0)
		l = l->next_name;
	return l;
}

void kmodel_each(const struct kmodel *m, void (*fn)(void *arg, const struct klink *l), void *arg)
{
	for (size_t b = 0; b < BUCKETS; b++) {
		const struct klink *next;

		for (const struct klink *l = m->by_index[b]; l; l = next) {
			next = l->next_index;
			fn(arg, l);
		}
	}
}

bool klink_has_addr(const struct klink *l, uint32_t ip, uint8_t plen)
{
	for (size_t i = 0; i < l->addr_count; i++)
		if (l->addrs[i].ip == ip && l->addrs[i].plen == plen)
			return true;
	return false;
}

static void name_unlink(struct kmodel *m, struct klink *l)
{
	struct klink **p = &m->by_name[hash_name(l->name)];

	while (*p && *p != l)
		p = &(*p)->next_name;
	if (*p)
		*p = l->next_name;
}

static void name_set(struct kmodel *m, struct klink *l, const char *name)
{
	const size_t b = hash_name(name);

	snprintf(l->name, sizeof(l->name), "%s", name);
	l->next_name = m->by_name[b];
	m->by_name[b] = l;
}

static void notify(struct kmodel *m, const struct klink *l, bool gone)
{
	if (m->changed)
		m->changed(m->arg, l, gone);
}

static void link_remove(struct kmodel *m, struct klink *l)
{
	struct klink **p = &m->by_index[(unsigned int)l->ifindex % BUCKETS];

	notify(m, l, true);
	while (*p != l)
		p = &(*p)->next_index;
	*p = l->next_index;
	name_unlink(m, l);
	m->links--;
	klink_free(l);
}

/* ---- links ---- */

static uint8_t attr_u8(const struct nlattr *a, uint8_t otherwise)
{
	return mnl_attr_get_payload_len(a) >= 1 ? mnl_attr_get_u8(a) : otherwise;
}

static uint32_t attr_u32(const struct nlattr *a, uint32_t otherwise)
{
	return mnl_attr_get_payload_len(a) >= 4 ? mnl_attr_get_u32(a) : otherwise;
}

static void attr_text(char *to, size_t size, const struct nlattr *a)
{
	size_t n = strnlen(mnl_attr_get_payload(a), mnl_attr_get_payload_len(a));

	if (n > size - 1)
		n = size - 1;
	memcpy(to, mnl_attr_get_payload(a), n);
	to[n] = '\0';
}

static void read_brport(struct klink *l, const struct nlattr *nest)
{
	const struct nlattr *a;

	mnl_attr_for_each_nested (a, nest) {
		switch (mnl_attr_get_type(a)) {
		case IFLA_BRPORT_ISOLATED:
			l->isolated = attr_u8(a, KLINK_UNKNOWN);
			break;
		case IFLA_BRPORT_LEARNING:
			l->learning = attr_u8(a, KLINK_UNKNOWN);
			break;
		case IFLA_BRPORT_NEIGH_SUPPRESS:
			l->neigh_suppress = attr_u8(a, KLINK_UNKNOWN);
			break;
		default:
			break;
		}
	}
}

static void read_vxlan(struct klink *l, const struct nlattr *nest)
{
	const struct nlattr *a;

	mnl_attr_for_each_nested (a, nest) {
		switch (mnl_attr_get_type(a)) {
		case IFLA_VXLAN_ID:
			l->vni = attr_u32(a, 0);
			break;
		case IFLA_VXLAN_LOCAL:
			l->vxlan_local = ntohl(attr_u32(a, 0));
			break;
		case IFLA_VXLAN_PORT:
			if (mnl_attr_get_payload_len(a) >= 2)
				l->vxlan_port = ntohs(mnl_attr_get_u16(a));
			break;
		case IFLA_VXLAN_LEARNING:
			l->vxlan_learning = attr_u8(a, KLINK_UNKNOWN);
			break;
		case IFLA_VXLAN_TTL:
			l->vxlan_ttl = attr_u8(a, 0);
			break;
		default:
			break;
		}
	}
}

static void read_bridge(struct klink *l, const struct nlattr *nest)
{
	const struct nlattr *a;

	mnl_attr_for_each_nested (a, nest) {
		switch (mnl_attr_get_type(a)) {
		case IFLA_BR_MCAST_SNOOPING:
			l->mcast_snooping = attr_u8(a, KLINK_UNKNOWN);
			break;
		case IFLA_BR_STP_STATE:
			l->stp = attr_u32(a, 0) ? 1 : 0;
			break;
		case IFLA_BR_FORWARD_DELAY:
			l->forward_delay = attr_u32(a, 0);
			break;
		default:
			break;
		}
	}
}

static void read_linkinfo(struct klink *l, const struct nlattr *nest)
{
	const struct nlattr *data = NULL, *slave = NULL;
	const struct nlattr *a;
	char slave_kind[KLINK_KIND_MAX] = "";

	l->kind[0] = '\0';
	mnl_attr_for_each_nested (a, nest) {
		switch (mnl_attr_get_type(a)) {
		case IFLA_INFO_KIND:
			attr_text(l->kind, sizeof(l->kind), a);
			break;
		case IFLA_INFO_DATA:
			data = a;
			break;
		case IFLA_INFO_SLAVE_KIND:
			attr_text(slave_kind, sizeof(slave_kind), a);
			break;
		case IFLA_INFO_SLAVE_DATA:
			slave = a;
			break;
		default:
			break;
		}
	}
	if (data && strcmp(l->kind, "vxlan") == 0)
		read_vxlan(l, data);
	if (data && strcmp(l->kind, "bridge") == 0)
		read_bridge(l, data);
	if (slave && strcmp(slave_kind, "bridge") == 0)
		read_brport(l, slave);
}

static void read_af_spec(struct klink *l, const struct nlattr *nest)
{
	const struct nlattr *af, *a;

	mnl_attr_for_each_nested (af, nest) {
		if (mnl_attr_get_type(af) != AF_INET6)
			continue;
		mnl_attr_for_each_nested (a, af) {
			if (mnl_attr_get_type(a) == IFLA_INET6_ADDR_GEN_MODE)
				l->addrgenmode = attr_u8(a, KLINK_UNKNOWN);
		}
	}
}

/* What two pictures of one link are compared by; the hash chains and lists stay out. */
static bool link_equal(const struct klink *a, const struct klink *b)
{
	return strcmp(a->name, b->name) == 0 && strcmp(a->kind, b->kind) == 0 &&
	       strcmp(a->alias, b->alias) == 0 && a->flags == b->flags && a->mtu == b->mtu &&
	       a->master == b->master && a->oper_up == b->oper_up &&
	       a->addrgenmode == b->addrgenmode && a->vni == b->vni &&
	       a->vxlan_local == b->vxlan_local && a->vxlan_port == b->vxlan_port &&
	       a->vxlan_learning == b->vxlan_learning && a->vxlan_ttl == b->vxlan_ttl &&
	       a->mcast_snooping == b->mcast_snooping && a->stp == b->stp &&
	       a->forward_delay == b->forward_delay && a->isolated == b->isolated &&
	       a->learning == b->learning && a->neigh_suppress == b->neigh_suppress;
}

static struct klink *link_new(struct kmodel *m, int ifindex, const char *name)
{
	const size_t b = (unsigned int)ifindex % BUCKETS;
	struct klink *l;

	if (m->links >= KMODEL_LINK_MAX) {
		m->dropped++;
		return NULL;
	}
	l = calloc(1, sizeof(*l));
	if (!l)
		return NULL;
	l->ifindex = ifindex;
	l->addrgenmode = l->mcast_snooping = l->stp = KLINK_UNKNOWN;
	l->isolated = l->learning = l->neigh_suppress = KLINK_UNKNOWN;
	l->vxlan_learning = KLINK_UNKNOWN;
	l->next_index = m->by_index[b];
	m->by_index[b] = l;
	name_set(m, l, name);
	m->links++;
	return l;
}

static int feed_link(struct kmodel *m, const struct nlmsghdr *nlh)
{
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);
	const bool del = nlh->nlmsg_type == RTM_DELLINK;
	struct klink *l, before;
	const struct nlattr *a;
	char name[IFNAMSIZ] = "";
	uint8_t operstate = IF_OPER_DOWN;
	bool fresh = false;

	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*ifi) || ifi->ifi_index <= 0)
		return -EINVAL;
	l = kmodel_index(m, ifi->ifi_index);
	/* The bridge's own messages about a port: deletion means it left the bridge. */
	if (ifi->ifi_family == AF_BRIDGE) {
		if (!l)
			return 0;
		before = *l;
		mnl_attr_for_each (a, nlh, sizeof(*ifi)) {
			if (mnl_attr_get_type(a) == IFLA_PROTINFO && !del)
				read_brport(l, a);
		}
		if (link_equal(&before, l))
			return 0;
		notify(m, l, false);
		return 1;
	}
	if (ifi->ifi_family != AF_UNSPEC)
		return 0;
	if (del) {
		if (!l)
			return 0;
		link_remove(m, l);
		return 1;
	}
	mnl_attr_for_each (a, nlh, sizeof(*ifi)) {
		if (mnl_attr_get_type(a) == IFLA_IFNAME)
			attr_text(name, sizeof(name), a);
	}
	if (!name[0])
		return -EINVAL;
	if (!l) {
		l = link_new(m, ifi->ifi_index, name);
		if (!l)
			return -ENOMEM;
		fresh = true;
	}
	l->mark = m->mark;
	before = *l;
	if (strcmp(l->name, name) != 0) {
		name_unlink(m, l);
		name_set(m, l, name);
	}
	l->flags = ifi->ifi_flags;
	l->master = 0;
	l->alias[0] = '\0';
	mnl_attr_for_each (a, nlh, sizeof(*ifi)) {
		switch (mnl_attr_get_type(a)) {
		case IFLA_MTU:
			l->mtu = attr_u32(a, 0);
			break;
		case IFLA_MASTER:
			l->master = (int)attr_u32(a, 0);
			break;
		case IFLA_GROUP:
			l->group = attr_u32(a, 0);
			break;
		case IFLA_IFALIAS:
			attr_text(l->alias, sizeof(l->alias), a);
			break;
		case IFLA_OPERSTATE:
			operstate = attr_u8(a, IF_OPER_UNKNOWN);
			break;
		case IFLA_LINKINFO:
			read_linkinfo(l, a);
			break;
		case IFLA_AF_SPEC:
			read_af_spec(l, a);
			break;
		default:
			break;
		}
	}
	/* A TAP whose carrier has not changed since it is up says "unknown" (RFC 2863). */
	l->oper_up =
		operstate == IF_OPER_UP ||
		(operstate == IF_OPER_UNKNOWN && (l->flags & IFF_UP) && (l->flags & IFF_LOWER_UP));
	if (!l->master)
		l->isolated = l->learning = l->neigh_suppress = KLINK_UNKNOWN;
	if (!fresh && link_equal(&before, l))
		return 0;
	notify(m, l, false);
	return 1;
}

/* ---- addresses ---- */

static int feed_addr(struct kmodel *m, const struct nlmsghdr *nlh)
{
	const struct ifaddrmsg *ifa = mnl_nlmsg_get_payload(nlh);
	const bool del = nlh->nlmsg_type == RTM_DELADDR;
	const struct nlattr *a, *local = NULL, *address = NULL;
	struct kaddr *grown;
	struct klink *l;
	uint32_t ip;

	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*ifa))
		return -EINVAL;
	if (ifa->ifa_family != AF_INET)
		return 0;
	mnl_attr_for_each (a, nlh, sizeof(*ifa)) {
		if (mnl_attr_get_payload_len(a) < 4)
			continue;
		if (mnl_attr_get_type(a) == IFA_LOCAL)
			local = a;
		else if (mnl_attr_get_type(a) == IFA_ADDRESS)
			address = a;
	}
	if (!local)
		local = address;
	if (!local)
		return -EINVAL;
	ip = ntohl(mnl_attr_get_u32(local));
	l = kmodel_index(m, (int)ifa->ifa_index);
	if (!l)
		return 0;
	for (size_t i = 0; i < l->addr_count; i++) {
		if (l->addrs[i].ip != ip || l->addrs[i].plen != ifa->ifa_prefixlen)
			continue;
		if (!del) {
			l->addrs[i].mark = m->mark;
			return 0;
		}
		l->addrs[i] = l->addrs[--l->addr_count];
		notify(m, l, false);
		return 1;
	}
	if (del)
		return 0;
	if (l->addr_count >= KLINK_ADDR_MAX) {
		m->dropped++;
		return 0;
	}
	grown = realloc(l->addrs, (l->addr_count + 1) * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	l->addrs = grown;
	l->addrs[l->addr_count++] =
		(struct kaddr){.ip = ip, .plen = ifa->ifa_prefixlen, .mark = m->mark};
	notify(m, l, false);
	return 1;
}

/* ---- flood lists ---- */

static int feed_neigh(struct kmodel *m, const struct nlmsghdr *nlh)
{
	static const uint8_t zero[6];
	const struct ndmsg *ndm = mnl_nlmsg_get_payload(nlh);
	const bool del = nlh->nlmsg_type == RTM_DELNEIGH;
	const struct nlattr *a, *mac = NULL, *dst = NULL;
	struct kflood *grown;
	struct klink *l;
	uint32_t ip;

	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*ndm))
		return -EINVAL;
	if (ndm->ndm_family != AF_BRIDGE || !(ndm->ndm_flags & NTF_SELF))
		return 0;
	mnl_attr_for_each (a, nlh, sizeof(*ndm)) {
		if (mnl_attr_get_type(a) == NDA_LLADDR && mnl_attr_get_payload_len(a) == 6)
			mac = a;
		else if (mnl_attr_get_type(a) == NDA_DST && mnl_attr_get_payload_len(a) == 4)
			dst = a;
	}
	/* Entries without a destination are the kernel's noise when a second VTEP is added. */
	if (!mac || !dst || memcmp(mnl_attr_get_payload(mac), zero, 6) != 0)
		return 0;
	ip = ntohl(mnl_attr_get_u32(dst));
	l = kmodel_index(m, ndm->ndm_ifindex);
	if (!l)
		return 0;
	for (size_t i = 0; i < l->flood_count; i++) {
		if (l->flood[i].ip != ip)
			continue;
		if (!del) {
			l->flood[i].mark = m->mark;
			return 0;
		}
		l->flood[i] = l->flood[--l->flood_count];
		notify(m, l, false);
		return 1;
	}
	if (del)
		return 0;
	if (l->flood_count >= KLINK_FLOOD_MAX) {
		m->dropped++;
		return 0;
	}
	grown = realloc(l->flood, (l->flood_count + 1) * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	l->flood = grown;
	l->flood[l->flood_count++] = (struct kflood){.ip = ip, .mark = m->mark};
	notify(m, l, false);
	return 1;
}

int kmodel_feed(struct kmodel *m, const struct nlmsghdr *nlh)
{
	/* the kernel pads; attributes are read up to the padded end */
	if (nlh->nlmsg_len != NLMSG_ALIGN(nlh->nlmsg_len)) {
		m->dropped++;
		return 0;
	}
	switch (nlh->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		return feed_link(m, nlh);
	case RTM_NEWADDR:
	case RTM_DELADDR:
		return feed_addr(m, nlh);
	case RTM_NEWNEIGH:
	case RTM_DELNEIGH:
		return feed_neigh(m, nlh);
	default:
		return 0;
	}
}

void kmodel_mark(struct kmodel *m)
{
	m->mark++;
}

int kmodel_sweep(struct kmodel *m)
{
	int changed = 0;

	for (size_t b = 0; b < BUCKETS; b++) {
		struct klink *next;

		for (struct klink *l = m->by_index[b]; l; l = next) {
			bool touched = false;

			next = l->next_index;
			if (l->mark != m->mark) {
				link_remove(m, l);
				changed = 1;
				continue;
			}
			for (size_t i = 0; i < l->addr_count;) {
				if (l->addrs[i].mark == m->mark) {
					i++;
					continue;
				}
				l->addrs[i] = l->addrs[--l->addr_count];
				touched = true;
			}
			for (size_t i = 0; i < l->flood_count;) {
				if (l->flood[i].mark == m->mark) {
					i++;
					continue;
				}
				l->flood[i] = l->flood[--l->flood_count];
				touched = true;
			}
			if (touched) {
				notify(m, l, false);
				changed = 1;
			}
		}
	}
	return changed;
}
