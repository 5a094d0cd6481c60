/*
 * A node's kernel and FRR state as sorted text, made to be compared with another such text.
 *
 * Left out is what changes by itself: indexes (names stand for them), ages, counters, the states of
 * neighbours, and MACs that the kernel chose.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_bridge.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#include "controller/ctl/lab/internal.h"
#include "controller/ctl/lab/rtnl.h"

#define LINES_MAX 200000

#ifndef IFF_LOWER_UP
#define IFF_LOWER_UP 0x10000 /* linux/if.h and net/if.h exclude each other */
#endif

struct lines {
	char **items;
	size_t count, room;
	bool failed;
};

static void line_add(struct lines *lines, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
static void line_add(struct lines *lines, const char *fmt, ...)
{
	char *text, **items;
	va_list ap;
	int n;

	if (lines->failed)
		return;
	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0 || lines->count >= LINES_MAX) {
		if (n >= 0)
			free(text);
		lines->failed = true;
		return;
	}
	if (lines->count == lines->room) {
		items = realloc(lines->items, (lines->room + 256) * sizeof(*items));
		if (!items) {
			free(text);
			lines->failed = true;
			return;
		}
		lines->items = items;
		lines->room += 256;
	}
	lines->items[lines->count++] = text;
}

static int compare_lines(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* ---- attributes --------------------------------------------------------------------------- */

#define ATTRS_MAX 80

struct attrs {
	const struct nlattr *at[ATTRS_MAX];
};

static int attr_take(const struct nlattr *attr, void *arg)
{
	struct attrs *a = arg;

	if (mnl_attr_get_type(attr) < ATTRS_MAX)
		a->at[mnl_attr_get_type(attr)] = attr;
	return MNL_CB_OK;
}

static void name_of(uint32_t index, char out[IF_NAMESIZE])
{
	if (!index || !if_indextoname(index, out))
		snprintf(out, IF_NAMESIZE, "-");
}

static uint32_t attr_u32(const struct attrs *a, int type)
{
	return a->at[type] ? mnl_attr_get_u32(a->at[type]) : 0;
}

static void attr_address(
	const struct attrs *a, int type, uint8_t family, char out[INET6_ADDRSTRLEN])
{
	if (!a->at[type] ||
		!inet_ntop(family, mnl_attr_get_payload(a->at[type]), out, INET6_ADDRSTRLEN))
		snprintf(out, INET6_ADDRSTRLEN, "-");
}

/* ---- the kinds ---------------------------------------------------------------------------- */

static int link_line(void *arg, const struct nlmsghdr *nlh)
{
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);
	struct attrs a = {0}, info = {0};
	char name[IF_NAMESIZE], master[IF_NAMESIZE];

	mnl_attr_parse(nlh, sizeof(*ifi), attr_take, &a);
	if (a.at[IFLA_LINKINFO])
		mnl_attr_parse_nested(a.at[IFLA_LINKINFO], attr_take, &info);
	name_of((uint32_t)ifi->ifi_index, name);
	name_of(attr_u32(&a, IFLA_MASTER), master);
	line_add(arg, "link %s kind=%s mtu=%u master=%s admin=%s carrier=%s alias=\"%s\"", name,
		info.at[IFLA_INFO_KIND] ? mnl_attr_get_str(info.at[IFLA_INFO_KIND]) : "-",
		attr_u32(&a, IFLA_MTU), master, ifi->ifi_flags & IFF_UP ? "up" : "down",
		ifi->ifi_flags & IFF_LOWER_UP ? "on" : "off",
		a.at[IFLA_IFALIAS] ? mnl_attr_get_str(a.at[IFLA_IFALIAS]) : "");
	return 0;
}

static int address_line(void *arg, const struct nlmsghdr *nlh)
{
	const struct ifaddrmsg *ifa = mnl_nlmsg_get_payload(nlh);
	char name[IF_NAMESIZE], address[INET6_ADDRSTRLEN];
	struct attrs a = {0};

	mnl_attr_parse(nlh, sizeof(*ifa), attr_take, &a);
	name_of(ifa->ifa_index, name);
	attr_address(&a, a.at[IFA_LOCAL] ? IFA_LOCAL : IFA_ADDRESS, ifa->ifa_family, address);
	/* link-local ones follow from MACs that the kernel chose */
	if (!(ifa->ifa_family == AF_INET6 && ifa->ifa_scope == RT_SCOPE_LINK))
		line_add(arg, "address %s %s/%u", name, address, ifa->ifa_prefixlen);
	return 0;
}

static int fdb_line(void *arg, const struct nlmsghdr *nlh)
{
	const struct ndmsg *nd = mnl_nlmsg_get_payload(nlh);
	char name[IF_NAMESIZE], master[IF_NAMESIZE], dst[INET6_ADDRSTRLEN] = "-";
	struct attrs a = {0};
	const uint8_t *mac;

	mnl_attr_parse(nlh, sizeof(*nd), attr_take, &a);
	if (nd->ndm_family != AF_BRIDGE || !a.at[NDA_LLADDR] ||
		mnl_attr_get_payload_len(a.at[NDA_LLADDR]) != 6)
		return 0;
	/* devices' own MACs are permanent entries of the bridge */
	if (nd->ndm_state & NUD_PERMANENT && !a.at[NDA_DST])
		return 0;
	mac = mnl_attr_get_payload(a.at[NDA_LLADDR]);
	name_of((uint32_t)nd->ndm_ifindex, name);
	name_of(attr_u32(&a, NDA_MASTER), master);
	if (a.at[NDA_DST])
		attr_address(&a, NDA_DST,
			mnl_attr_get_payload_len(a.at[NDA_DST]) == 4 ? AF_INET : AF_INET6, dst);
	line_add(arg, "fdb %s %02x:%02x:%02x:%02x:%02x:%02x master=%s dst=%s%s", name, mac[0],
		mac[1], mac[2], mac[3], mac[4], mac[5], master, dst,
		nd->ndm_flags & NTF_EXT_LEARNED ? " extern_learn" : "");
	return 0;
}

static int neighbour_line(void *arg, const struct nlmsghdr *nlh)
{
	const struct ndmsg *nd = mnl_nlmsg_get_payload(nlh);
	char name[IF_NAMESIZE], address[INET6_ADDRSTRLEN];
	struct attrs a = {0};

	mnl_attr_parse(nlh, sizeof(*nd), attr_take, &a);
	/* only what somebody has put there: what the kernel resolves comes and goes */
	if (!(nd->ndm_state & (NUD_PERMANENT | NUD_NOARP)) || nd->ndm_type == RTN_MULTICAST ||
		nd->ndm_type == RTN_BROADCAST || nd->ndm_type == RTN_LOCAL)
		return 0;
	name_of((uint32_t)nd->ndm_ifindex, name);
	attr_address(&a, NDA_DST, nd->ndm_family, address);
	if (nd->ndm_family == AF_INET || nd->ndm_family == AF_INET6)
		if (strcmp(name, "lo"))
			line_add(arg, "neighbour %s %s", name, address);
	return 0;
}

static void route_hops(const struct attrs *a, uint8_t family, char *out, size_t size)
{
	char via[INET6_ADDRSTRLEN], dev[IF_NAMESIZE];
	struct lines hops = {0};
	size_t used = 0;

	out[0] = '\0';
	if (!a->at[RTA_MULTIPATH]) {
		attr_address(a, RTA_GATEWAY, family, via);
		name_of(attr_u32(a, RTA_OIF), dev);
		snprintf(out, size, "%s@%s", via, dev);
		return;
	}
	const struct rtnexthop *hop = mnl_attr_get_payload(a->at[RTA_MULTIPATH]);
	int left = mnl_attr_get_payload_len(a->at[RTA_MULTIPATH]);

	for (; RTNH_OK(hop, left); left -= (int)NLMSG_ALIGN(hop->rtnh_len), hop = RTNH_NEXT(hop)) {
		struct attrs h = {0};

		mnl_attr_parse_payload(RTNH_DATA(hop), hop->rtnh_len - sizeof(*hop), attr_take, &h);
		attr_address(&h, RTA_GATEWAY, family, via);
		name_of((uint32_t)hop->rtnh_ifindex, dev);
		line_add(&hops, "%s@%s", via, dev);
	}
	qsort(hops.items, hops.count, sizeof(*hops.items), compare_lines);
	for (size_t i = 0; i < hops.count; i++) {
		int n = snprintf(out + used, size - used, "%s%s", i ? "," : "", hops.items[i]);

		if (n > 0 && used + (size_t)n < size)
			used += (size_t)n;
		free(hops.items[i]);
	}
	free(hops.items);
}

static int route_line(void *arg, const struct nlmsghdr *nlh)
{
	const struct rtmsg *rt = mnl_nlmsg_get_payload(nlh);
	char dst[INET6_ADDRSTRLEN], hops[1024];
	struct attrs a = {0};
	uint32_t table;

	mnl_attr_parse(nlh, sizeof(*rt), attr_take, &a);
	table = a.at[RTA_TABLE] ? attr_u32(&a, RTA_TABLE) : rt->rtm_table;
	if (rt->rtm_type != RTN_UNICAST && rt->rtm_type != RTN_BLACKHOLE)
		return 0;
	if (rt->rtm_family != AF_INET && rt->rtm_family != AF_INET6)
		return 0;
	attr_address(&a, RTA_DST, rt->rtm_family, dst);
	if (!strncmp(dst, "fe80:", 5) || !strncmp(dst, "ff00:", 5))
		return 0;
	route_hops(&a, rt->rtm_family, hops, sizeof(hops));
	line_add(arg, "route %s/%u table=%u protocol=%u %s", a.at[RTA_DST] ? dst : "default",
		rt->rtm_dst_len, table, rt->rtm_protocol, hops);
	return 0;
}

static int kernel_lines(const char *netns, struct lines *lines)
{
	static const struct {
		uint16_t type;
		uint8_t family;
		rtnl_dump_fn *fn;
	} dumps[] = {
		{RTM_GETLINK, AF_UNSPEC, link_line},
		{RTM_GETADDR, AF_UNSPEC, address_line},
		{RTM_GETNEIGH, AF_BRIDGE, fdb_line},
		{RTM_GETNEIGH, AF_UNSPEC, neighbour_line},
		{RTM_GETROUTE, AF_INET, route_line},
		{RTM_GETROUTE, AF_INET6, route_line},
	};
	struct rtnl *nl;
	int back, ret;

	/* names are looked up while dumping, so all of it happens inside */
	back = lab_netns_enter(netns);
	if (back < 0)
		return back;
	ret = rtnl_open(&nl, NULL);
	for (size_t i = 0; !ret && i < sizeof(dumps) / sizeof(dumps[0]); i++)
		ret = rtnl_dump(nl, dumps[i].type, dumps[i].family, dumps[i].fn, lines);
	rtnl_close(nl);
	lab_netns_leave(back);
	qsort(lines->items, lines->count, sizeof(*lines->items), compare_lines);
	return ret;
}

int lab_snapshot(const struct lab *lab, unsigned int node, char **text, struct lab_err *err)
{
	static const char *const daemons[] = {"zebra", "bgpd", "bfdd"};
	struct lines lines = {0};
	char netns[LAB_NETNS_LEN];
	size_t size;
	FILE *f;
	int ret;

	*text = NULL;
	lab_netns_node(lab, node, netns);
	f = open_memstream(text, &size);
	if (!f)
		return lab_fail(err, -ENOMEM, "out of memory");
	ret = kernel_lines(netns, &lines);
	if (!ret && lines.failed)
		ret = -ENOMEM;
	for (size_t i = 0; i < lines.count; i++) {
		fprintf(f, "%s\n", lines.items[i]);
		free(lines.items[i]);
	}
	free(lines.items);
	for (size_t i = 0; i < sizeof(daemons) / sizeof(daemons[0]); i++) {
		char *config = vty_show(netns, daemons[i], "show running-config");

		fprintf(f, "--- %s\n%s\n", daemons[i], config ? config : "(does not answer)");
		free(config);
	}
	if (fclose(f) && !ret)
		ret = -ENOMEM;
	if (ret) {
		free(*text);
		*text = NULL;
		return lab_fail(err, ret, "cannot take a snapshot of node %s: %s",
			lab->nodes[node].name, strerror(-ret));
	}
	return 0;
}
