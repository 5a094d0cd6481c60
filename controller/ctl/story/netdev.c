/* Devices of a node's namespace, by netlink from a socket that was opened in it. */
#include "controller/ctl/story/netdev.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>

#include "controller/ctl/story/internal.h"

struct devices {
	struct netdev *list;
	unsigned int count;
	unsigned int room;
};

static int on_attr(const struct nlattr *attr, void *arg)
{
	struct netdev *dev = arg;
	struct rtnl_link_stats64 stats;

	switch (mnl_attr_get_type(attr)) {
	case IFLA_IFNAME:
		if (mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) >= 0)
			strncpy(dev->name, mnl_attr_get_str(attr), sizeof(dev->name) - 1);
		break;
	case IFLA_CARRIER_CHANGES:
		if (mnl_attr_validate(attr, MNL_TYPE_U32) >= 0)
			dev->carrier_changes = mnl_attr_get_u32(attr);
		break;
	case IFLA_STATS64:
		if (mnl_attr_get_payload_len(attr) >= sizeof(stats.rx_packets) * 2) {
			memcpy(&stats, mnl_attr_get_payload(attr), sizeof(stats.rx_packets) * 2);
			dev->tx_packets = stats.tx_packets;
		}
		break;
	default:
		break;
	}
	return MNL_CB_OK;
}

static int on_link(const struct nlmsghdr *nlh, void *arg)
{
	struct devices *d = arg;
	struct netdev dev = {{0}};

	if (nlh->nlmsg_type != RTM_NEWLINK)
		return MNL_CB_OK;
	dev.index = ((const struct ifinfomsg *)mnl_nlmsg_get_payload(nlh))->ifi_index;
	mnl_attr_parse(nlh, sizeof(struct ifinfomsg), on_attr, &dev);
	if (d->count == d->room) {
		const unsigned int room = d->room ? 2 * d->room : 32;
		struct netdev *list = realloc(d->list, room * sizeof(*list));

		if (!list)
			return MNL_CB_ERROR;
		d->list = list;
		d->room = room;
	}
	d->list[d->count++] = dev;
	return MNL_CB_OK;
}

/* Send one request about a link and hand the answers to `fn`. */
static int ask(const struct lab *lab, unsigned int node, uint16_t type, uint16_t flags, int index,
	mnl_cb_t fn, void *arg, struct lab_err *err)
{
	char buf[32768];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct ifinfomsg *ifm;
	struct mnl_socket *nl;
	char netns[LAB_NETNS_LEN];
	ssize_t len;
	int back;
	int r = 1;

	lab_netns_node(lab, node, netns);
	back = lab_netns_enter(netns);
	if (back < 0)
		return story_fail(err, back, "cannot enter %s", netns);
	nl = mnl_socket_open(NETLINK_ROUTE);
	lab_netns_leave(back);
	if (!nl)
		return story_fail(err, -errno, "no netlink socket");
	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	nlh->nlmsg_seq = 1;
	ifm = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifm));
	ifm->ifi_family = AF_UNSPEC;
	ifm->ifi_index = index;
	if (mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0 ||
		mnl_socket_sendto(nl, nlh, nlh->nlmsg_len) < 0)
		r = -1;
	while (r > 0) {
		len = mnl_socket_recvfrom(nl, buf, sizeof(buf));
		r = len < 0 ? -1
			    : mnl_cb_run(buf, (size_t)len, 1, mnl_socket_get_portid(nl), fn, arg);
	}
	if (r < 0)
		r = story_fail(err, -errno, "netlink in %s: %s", netns, strerror(errno));
	mnl_socket_close(nl);
	return r;
}

int netdev_list(const struct lab *lab, unsigned int node, struct netdev **list, unsigned int *count,
	struct lab_err *err)
{
	struct devices d = {0};
	const int r = ask(lab, node, RTM_GETLINK, NLM_F_DUMP, 0, on_link, &d, err);

	if (r) {
		free(d.list);
		return r;
	}
	*list = d.list;
	*count = d.count;
	return 0;
}

int netdev_delete(const struct lab *lab, unsigned int node, int index, struct lab_err *err)
{
	return ask(lab, node, RTM_DELLINK, NLM_F_ACK, index, NULL, NULL, err);
}
