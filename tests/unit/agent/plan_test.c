/*
 * Model and planner without a kernel: a small imitation of one carries the plan out and says what a
 * real one says (RTM_NEWLINK and so on, made with libmnl), which is fed to the model. A plan that
 * was carried out must leave an empty one.
 */
#include "tests/unit/agent/support.h"

#include "controller/agent/desired.h"
#include "controller/agent/inventory.h"
#include "controller/agent/kernel/journal.h"
#include "controller/agent/kernel/model.h"
#include "controller/agent/kernel/plan.h"

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

struct world {
	struct kmodel m;
	struct desired d;
	struct inventory inv;
	struct journal j;
	struct kplan p;
	int next_index;
};

static struct port ports[] = {
	{.name = "p1", .role = PORT_ACCESS, .tap = "p1"},
	{.name = "p2", .role = PORT_ACCESS, .tap = "tap2"},
	{.name = "up0", .role = PORT_UPLINK, .tap = "up0"},
};

/* ---- the imitation ---- */

static void feed_link(struct world *w, const struct klink *l, bool del)
{
	char buf[4096] = {0};
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct ifinfomsg *ifi;
	struct nlattr *info, *data, *af;

	nlh->nlmsg_type = del ? RTM_DELLINK : RTM_NEWLINK;
	ifi = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifi));
	ifi->ifi_family = AF_UNSPEC;
	ifi->ifi_index = l->ifindex;
	ifi->ifi_flags = l->flags;
	mnl_attr_put_strz(nlh, IFLA_IFNAME, l->name);
	mnl_attr_put_u32(nlh, IFLA_MTU, l->mtu);
	mnl_attr_put_u32(nlh, IFLA_GROUP, l->group);
	mnl_attr_put_u8(nlh, IFLA_OPERSTATE, l->oper_up ? IF_OPER_UP : IF_OPER_DOWN);
	if (l->master)
		mnl_attr_put_u32(nlh, IFLA_MASTER, (uint32_t)l->master);
	if (l->alias[0])
		mnl_attr_put_strz(nlh, IFLA_IFALIAS, l->alias);
	info = mnl_attr_nest_start(nlh, IFLA_LINKINFO);
	mnl_attr_put_strz(nlh, IFLA_INFO_KIND, l->kind);
	data = mnl_attr_nest_start(nlh, IFLA_INFO_DATA);
	if (strcmp(l->kind, "vxlan") == 0) {
		mnl_attr_put_u32(nlh, IFLA_VXLAN_ID, l->vni);
		mnl_attr_put_u32(nlh, IFLA_VXLAN_LOCAL, htonl(l->vxlan_local));
		mnl_attr_put_u16(nlh, IFLA_VXLAN_PORT, htons(l->vxlan_port));
		mnl_attr_put_u8(nlh, IFLA_VXLAN_LEARNING, l->vxlan_learning);
		mnl_attr_put_u8(nlh, IFLA_VXLAN_TTL, l->vxlan_ttl);
	} else if (strcmp(l->kind, "bridge") == 0) {
		mnl_attr_put_u8(nlh, IFLA_BR_MCAST_SNOOPING, l->mcast_snooping);
		mnl_attr_put_u32(nlh, IFLA_BR_STP_STATE, l->stp);
		mnl_attr_put_u32(nlh, IFLA_BR_FORWARD_DELAY, l->forward_delay);
	}
	mnl_attr_nest_end(nlh, data);
	if (l->master) {
		mnl_attr_put_strz(nlh, IFLA_INFO_SLAVE_KIND, "bridge");
		data = mnl_attr_nest_start(nlh, IFLA_INFO_SLAVE_DATA);
		mnl_attr_put_u8(nlh, IFLA_BRPORT_ISOLATED, l->isolated);
		mnl_attr_put_u8(nlh, IFLA_BRPORT_LEARNING, l->learning);
		mnl_attr_nest_end(nlh, data);
	}
	mnl_attr_nest_end(nlh, info);
	info = mnl_attr_nest_start(nlh, IFLA_AF_SPEC);
	af = mnl_attr_nest_start(nlh, AF_INET6);
	mnl_attr_put_u8(nlh, IFLA_INET6_ADDR_GEN_MODE, l->addrgenmode);
	mnl_attr_nest_end(nlh, af);
	mnl_attr_nest_end(nlh, info);
	assert_true(kmodel_feed(&w->m, nlh) >= 0);
}

static void feed_addr(struct world *w, int ifindex, uint32_t ip, uint8_t plen, bool del)
{
	char buf[256] = {0};
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct ifaddrmsg *ifa;

	nlh->nlmsg_type = del ? RTM_DELADDR : RTM_NEWADDR;
	ifa = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifa));
	ifa->ifa_family = AF_INET;
	ifa->ifa_prefixlen = plen;
	ifa->ifa_index = (unsigned int)ifindex;
	mnl_attr_put_u32(nlh, IFA_LOCAL, htonl(ip));
	assert_true(kmodel_feed(&w->m, nlh) >= 0);
}

static int feed_flood(struct world *w, int ifindex, uint32_t ip, bool with_dst, bool del)
{
	static const uint8_t zero[6];
	char buf[256] = {0};
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct ndmsg *ndm;

	nlh->nlmsg_type = del ? RTM_DELNEIGH : RTM_NEWNEIGH;
	ndm = mnl_nlmsg_put_extra_header(nlh, sizeof(*ndm));
	ndm->ndm_family = AF_BRIDGE;
	ndm->ndm_flags = NTF_SELF;
	ndm->ndm_ifindex = ifindex;
	mnl_attr_put(nlh, NDA_LLADDR, 6, zero);
	if (with_dst)
		mnl_attr_put_u32(nlh, NDA_DST, htonl(ip));
	return kmodel_feed(&w->m, nlh);
}

static struct klink fresh(struct world *w, const char *name, const char *kind)
{
	struct klink l = {.ifindex = w->next_index++, .mtu = 1500};

	snprintf(l.name, sizeof(l.name), "%s", name);
	snprintf(l.kind, sizeof(l.kind), "%s", kind);
	l.mcast_snooping = 1;
	l.learning = 1;
	return l;
}

static int device(struct world *w, const char *name, const char *kind)
{
	struct klink l = fresh(w, name, kind);

	feed_link(w, &l, false);
	return l.ifindex;
}

static void delete_link(struct world *w, int ifindex)
{
	const struct klink *l = kmodel_index(&w->m, ifindex);

	if (l)
		feed_link(w, &(struct klink){.ifindex = ifindex}, true);
}

struct group_del {
	uint32_t group;
	int found[256];
	size_t count;
};

static void collect_group(void *arg, const struct klink *l)
{
	struct group_del *g = arg;

	if (l->group == g->group && g->count < 256)
		g->found[g->count++] = l->ifindex;
}

static void carry_out(struct world *w, const struct kop *op)
{
	const struct klink *was = op->ifindex ? kmodel_index(&w->m, op->ifindex) : NULL;
	struct group_del g = {.group = op->group};
	struct klink l = was ? *was : fresh(w, op->name, "");

	assert_true(was || op->type == KOP_BRIDGE_ADD || op->type == KOP_VXLAN_ADD ||
		    op->type == KOP_GROUP_DEL);
	switch (op->type) {
	case KOP_BRIDGE_ADD:
		snprintf(l.kind, sizeof(l.kind), "bridge");
		l.mtu = op->mtu;
		l.mcast_snooping = 0;
		journal_add_link(&w->j, op->name);
		break;
	case KOP_VXLAN_ADD:
		snprintf(l.kind, sizeof(l.kind), "vxlan");
		l.mtu = op->mtu;
		l.vni = op->vni;
		l.vxlan_local = op->ip;
		l.vxlan_port = 4789;
		l.vxlan_ttl = 64;
		l.master = op->master;
		journal_add_link(&w->j, op->name);
		break;
	case KOP_BRIDGE_SET:
		l.mcast_snooping = 0;
		l.stp = 0;
		l.forward_delay = 0;
		break;
	case KOP_ALIAS:
		snprintf(l.alias, sizeof(l.alias), "%s", op->alias);
		break;
	case KOP_MTU:
		l.mtu = op->mtu;
		break;
	case KOP_GENMODE:
		l.addrgenmode = IN6_ADDR_GEN_MODE_NONE;
		break;
	case KOP_MASTER:
		l.master = op->master;
		l.isolated = 0;
		l.learning = 1;
		break;
	case KOP_BRPORT:
		assert_true(l.master != 0);
		l.isolated = 1;
		l.learning = 0;
		break;
	case KOP_UP:
		l.flags |= IFF_UP;
		break;
	case KOP_GROUP:
		l.group = op->group;
		break;
	case KOP_LINK_DEL:
		delete_link(w, op->ifindex);
		return;
	case KOP_GROUP_DEL:
		kmodel_each(&w->m, collect_group, &g);
		assert_true(g.count > 0);
		for (size_t i = 0; i < g.count; i++)
			delete_link(w, g.found[i]);
		return;
	case KOP_ADDR_ADD:
		journal_add_addr(&w->j, op->name, op->ip, op->plen);
		feed_addr(w, op->ifindex, op->ip, op->plen, false);
		return;
	case KOP_ADDR_DEL:
		feed_addr(w, op->ifindex, op->ip, op->plen, true);
		return;
	default:
		fail();
	}
	feed_link(w, &l, false);
}

static size_t plan(struct world *w)
{
	assert_int_equal(kplan_make(&w->p, &w->d, &w->inv, &w->m, &w->j), 0);
	return w->p.count;
}

/* Plan and carry out until nothing is left. Returns how many changes that took. */
static size_t settle(struct world *w)
{
	size_t total = 0;

	for (unsigned int round = 0; round < 12; round++) {
		if (plan(w) == 0)
			return total;
		assert_int_equal(kplan_slice(&w->p, &w->m, 512, 128), 0);
		for (size_t i = 0; i < w->p.count; i++)
			carry_out(w, &w->p.ops[i]);
		total += w->p.count;
	}
	fail_msg("never done: %s", kop_name(w->p.ops[0].type));
	return total;
}

static void take(struct world *w, Audums__V1__DesiredState *m)
{
	char error[200];

	assert_int_equal(desired_merge(&w->d, m, error, sizeof(error)), 0);
	audums__v1__desired_state__free_unpacked(m, NULL);
	for (size_t i = 0; i < w->d.count; i++)
		w->d.segments[i]->frr_open = true;
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	*state = w;
	w->next_index = 1;
	assert_int_equal(kmodel_init(&w->m), 0);
	assert_int_equal(journal_open(&w->j, NULL), 0);
	w->inv = (struct inventory){.ports = ports, .count = 3};
	device(w, "lo", "");
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	kplan_clear(&w->p);
	journal_clear(&w->j);
	kmodel_clear(&w->m);
	desired_clear(&w->d);
	free(w);
	return 0;
}

/* ---- tests ---- */

static void test_from_nothing(void **state)
{
	struct world *w = *state;
	Audums__V1__DesiredState *m = support_desired(1, 1, 2, 100);
	struct segment *s;

	assert_int_equal(plan(w), 0); /* nothing was asked: nothing is touched */
	support_attach(m, 0, "a", "p1");
	support_attach(m, 1, "b", "p2");
	take(w, m);
	device(w, "up0", "tun");
	device(w, "p1", "tun");
	assert_true(settle(w) > 10);
	s = desired_find(&w->d, "seg0");
	assert_true(s->kernel_ok && s->attachments[0].attached);
	s = desired_find(&w->d, "seg1");
	assert_true(s->kernel_ok && !s->attachments[0].attached);
	assert_string_equal(s->attachments[0].error, "");
	assert_int_equal(kmodel_name(&w->m, "up0")->mtu, 1600);
	assert_int_equal(kmodel_name(&w->m, "vx101")->master, kmodel_name(&w->m, "br101")->ifindex);

	/* the port's TAP comes later, under its other name */
	device(w, "tap2", "tun");
	assert_int_equal(settle(w), 4); /* genmode, up, master, flags */
	assert_true(s->attachments[0].attached);
	assert_int_equal(settle(w), 0);
}

static void test_waits_for_route_targets(void **state)
{
	struct world *w = *state;

	take(w, support_desired(1, 1, 1, 100));
	w->d.segments[0]->frr_open = false;
	settle(w);
	assert_true(w->p.waiting);
	assert_non_null(kmodel_name(&w->m, "br100"));
	assert_null(kmodel_name(&w->m, "vx100"));
	w->d.segments[0]->frr_open = true;
	settle(w);
	assert_false(w->p.waiting);
	assert_non_null(kmodel_name(&w->m, "vx100"));
}

static void test_removal(void **state)
{
	struct world *w = *state;
	Audums__V1__DesiredState *m = support_desired(1, 1, 20, 100);
	const int foreign_bridge = device(w, "br9", "bridge");

	support_attach(m, 0, "a", "p1");
	take(w, m);
	device(w, "up0", "tun");
	device(w, "p1", "tun");
	settle(w);
	/* one attachment moves, one segment goes */
	m = support_desired(1, 2, 19, 100);
	support_attach(m, 1, "a", "p1");
	take(w, m);
	settle(w);
	assert_null(kmodel_name(&w->m, "vx119"));
	assert_null(kmodel_name(&w->m, "br119"));
	assert_int_equal(kmodel_name(&w->m, "p1")->master, kmodel_name(&w->m, "br101")->ifindex);
	/* all go; what is not ours stays */
	take(w, support_desired(1, 3, 0, 100));
	settle(w);
	assert_int_equal(w->m.links, 4); /* lo, up0, p1, br9 */
	assert_non_null(kmodel_index(&w->m, foreign_bridge));
	assert_int_equal(kmodel_name(&w->m, "p1")->master, 0);
}

static void test_access_port_released(void **state)
{
	struct world *w = *state;
	Audums__V1__DesiredState *m = support_desired(1, 1, 1, 100);
	const int p1 = device(w, "p1", "tun"), other = device(w, "eth9", "tun");
	struct klink l;

	support_attach(m, 0, "a", "p1");
	take(w, m);
	settle(w);
	/* an engineer's own device in our bridge is not ours to take out */
	l = *kmodel_index(&w->m, other);
	l.master = kmodel_name(&w->m, "br100")->ifindex;
	feed_link(w, &l, false);
	take(w, support_desired(1, 2, 1, 100));
	assert_int_equal(settle(w), 1);
	assert_int_equal(kmodel_index(&w->m, p1)->master, 0);
	assert_true(kmodel_index(&w->m, other)->master != 0);
}

static void test_strangers(void **state)
{
	struct world *w = *state;
	Audums__V1__DesiredState *m = support_desired(1, 1, 2, 100);
	struct klink l;
	struct segment *s;

	device(w, "br100", "bridge"); /* no alias: an engineer's */
	device(w, "p1", "tun");
	support_attach(m, 1, "a", "p1");
	support_attach(m, 1, "b", "up0"); /* not an access port */
	support_attach(m, 1, "c", "p9");  /* not in the inventory */
	take(w, m);
	l = *kmodel_name(&w->m, "p1");
	l.master = kmodel_name(&w->m, "br100")->ifindex;
	feed_link(w, &l, false);
	settle(w);
	s = desired_find(&w->d, "seg0");
	assert_false(s->kernel_ok);
	assert_string_equal(s->kernel_error, "device br100 exists and is not ours");
	assert_null(kmodel_name(&w->m, "vx100"));
	s = desired_find(&w->d, "seg1");
	assert_true(s->kernel_ok);
	assert_string_equal(s->attachments[0].error, "port p1 belongs to br100, which is not ours");
	assert_string_equal(s->attachments[1].error, "port up0 is not an access port");
	assert_string_equal(s->attachments[2].error, "port p9 is not in the port inventory");
}

static void test_repairs(void **state)
{
	struct world *w = *state;
	struct klink l;

	device(w, "up0", "tun");
	take(w, support_desired(1, 1, 2, 100));
	settle(w);
	/* an alias taken off: the journal still knows */
	l = *kmodel_name(&w->m, "br100");
	l.alias[0] = '\0';
	l.mcast_snooping = 1;
	l.flags = 0;
	feed_link(w, &l, false);
	assert_int_equal(settle(w), 3);
	/* another local address: made anew */
	l = *kmodel_name(&w->m, "vx101");
	l.vxlan_local++;
	feed_link(w, &l, false);
	assert_true(settle(w) > 3);
	assert_int_equal(kmodel_name(&w->m, "vx101")->vxlan_local, 0x0afe0101);
	feed_addr(w, kmodel_name(&w->m, "up0")->ifindex, 0x0afd0100, 31, true);
	assert_int_equal(settle(w), 1);
}

static void test_addresses(void **state)
{
	struct world *w = *state;
	Audums__V1__DesiredState *m = support_desired(1, 1, 0, 100);
	const int lo = kmodel_name(&w->m, "lo")->ifindex, up0 = device(w, "up0", "tun");

	feed_addr(w, up0, 0xc0000201, 24, false); /* an engineer's */
	take(w, m);
	settle(w);
	m = support_desired(2, 2, 0, 100); /* another VTEP, another /31 */
	take(w, m);
	settle(w);
	assert_false(klink_has_addr(kmodel_index(&w->m, lo), 0x0afe0101, 32));
	assert_true(klink_has_addr(kmodel_index(&w->m, lo), 0x0afe0201, 32));
	assert_false(klink_has_addr(kmodel_index(&w->m, up0), 0x0afd0100, 31));
	assert_true(klink_has_addr(kmodel_index(&w->m, up0), 0x0afd0101, 31));
	assert_true(klink_has_addr(kmodel_index(&w->m, up0), 0xc0000201, 24));
}

static void test_mark_and_sweep(void **state)
{
	struct world *w = *state;
	const int a = device(w, "a", "tun"), b = device(w, "b", "vxlan");

	assert_int_equal(feed_flood(w, b, 1, true, false), 1);
	assert_int_equal(feed_flood(w, b, 2, true, false), 1);
	assert_int_equal(feed_flood(w, b, 2, true, false), 0);
	assert_int_equal(feed_flood(w, b, 3, false, true), 0); /* noise without a destination */
	assert_int_equal(kmodel_index(&w->m, b)->flood_count, 2);
	feed_addr(w, b, 7, 32, false);
	kmodel_mark(&w->m);
	feed_link(w, kmodel_index(&w->m, b), false);
	feed_flood(w, b, 2, true, false);
	assert_int_equal(kmodel_sweep(&w->m), 1);
	assert_null(kmodel_index(&w->m, a));
	assert_null(kmodel_name(&w->m, "lo"));
	assert_int_equal(kmodel_index(&w->m, b)->flood_count, 1);
	assert_int_equal(kmodel_index(&w->m, b)->flood[0].ip, 2);
	assert_int_equal(kmodel_index(&w->m, b)->addr_count, 0);
	kmodel_mark(&w->m);
	feed_link(w, kmodel_index(&w->m, b), false);
	feed_flood(w, b, 2, true, false);
	assert_int_equal(kmodel_sweep(&w->m), 0);
}

/* A device is renamed; another takes its name; messages are cut short. */
static void test_names_and_short_messages(void **state)
{
	struct world *w = *state;
	struct klink l;
	const int a = device(w, "a", "tun");
	char buf[64] = {0};
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);

	l = *kmodel_index(&w->m, a);
	snprintf(l.name, sizeof(l.name), "b");
	feed_link(w, &l, false);
	assert_null(kmodel_name(&w->m, "a"));
	assert_int_equal(kmodel_name(&w->m, "b")->ifindex, a);
	device(w, "a", "tun");
	assert_true(kmodel_name(&w->m, "a")->ifindex != a);

	nlh->nlmsg_type = RTM_NEWLINK;
	assert_int_equal(kmodel_feed(&w->m, nlh), -EINVAL);
	nlh->nlmsg_type = RTM_NEWADDR;
	assert_int_equal(kmodel_feed(&w->m, nlh), -EINVAL);
	nlh->nlmsg_type = RTM_DELNEIGH;
	assert_int_equal(kmodel_feed(&w->m, nlh), -EINVAL);
}

static void test_slices(void **state)
{
	struct world *w = *state;

	take(w, support_desired(1, 1, 200, 1000));
	settle(w);
	take(w, support_desired(1, 2, 0, 1000));
	assert_true(plan(w) >= 400);
	assert_int_equal(kplan_slice(&w->p, &w->m, 512, 128), 0);
	assert_int_equal(w->p.count, 129); /* and the deletion of the group */
	assert_int_equal(w->p.ops[128].type, KOP_GROUP_DEL);
	for (unsigned int i = 0; i < 100; i++) {
		if (plan(w) == 0)
			break;
		kplan_slice(&w->p, &w->m, 512, 128);
		for (size_t k = 0; k < w->p.count; k++)
			carry_out(w, &w->p.ops[k]);
	}
	assert_int_equal(plan(w), 0);
	assert_int_equal(w->m.links, 1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_from_nothing),
		T(test_waits_for_route_targets),
		T(test_removal),
		T(test_access_port_released),
		T(test_strangers),
		T(test_repairs),
		T(test_addresses),
		T(test_mark_and_sweep),
		T(test_names_and_short_messages),
		T(test_slices),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
