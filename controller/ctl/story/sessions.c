/*
 * BGP sessions are asked of each node's bgpd through vtysh, carriers of the kernel by netlink.
 * Counters that only grow make a loss visible even when all is well again.
 */
#include "controller/ctl/story/sessions.h"

#include <errno.h>
#include <jansson.h>
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "controller/ctl/story/internal.h"

static int bgp_count(
	const struct lab *lab, unsigned int node, uint64_t *dropped, struct lab_err *err)
{
	json_error_t json_error;
	const char *name;
	json_t *root;
	json_t *peer;
	char command[256];
	FILE *in;

	snprintf(command, sizeof(command),
		"vtysh -N au-%s-%s -c 'show bgp neighbors json' 2>/dev/null", lab->name,
		lab->nodes[node].name);
	in = popen(command, "re");
	if (!in)
		return story_fail(err, -errno, "cannot run vtysh");
	root = json_loadf(in, JSON_DISABLE_EOF_CHECK, &json_error);
	pclose(in);
	if (!json_is_object(root)) {
		json_decref(root);
		return story_fail(err, -EIO, "bgpd of %s does not tell its neighbours",
			lab->nodes[node].name);
	}
	json_object_foreach (root, name, peer) {
		const json_t *n = json_object_get(peer, "connectionsDropped");

		if (json_is_integer(n))
			*dropped += (uint64_t)json_integer_value(n);
	}
	json_decref(root);
	return 0;
}

struct link_seen {
	const char *name;
	uint32_t changes;
};

static int on_attr(const struct nlattr *attr, void *arg)
{
	struct link_seen *seen = arg;

	if (mnl_attr_get_type(attr) == IFLA_IFNAME &&
		mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) >= 0)
		seen->name = mnl_attr_get_str(attr);
	else if (mnl_attr_get_type(attr) == IFLA_CARRIER_CHANGES &&
		 mnl_attr_validate(attr, MNL_TYPE_U32) >= 0)
		seen->changes = mnl_attr_get_u32(attr);
	return MNL_CB_OK;
}

static int on_link(const struct nlmsghdr *nlh, void *arg)
{
	struct link_seen seen = {0};
	uint64_t *changes = arg;

	if (nlh->nlmsg_type == RTM_NEWLINK)
		mnl_attr_parse(nlh, sizeof(struct ifinfomsg), on_attr, &seen);
	if (seen.name && strncmp(seen.name, "up", 2) == 0)
		*changes += seen.changes;
	return MNL_CB_OK;
}

static int carrier_count(
	const struct lab *lab, unsigned int node, uint64_t *changes, struct lab_err *err)
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
	nlh->nlmsg_type = RTM_GETLINK;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	nlh->nlmsg_seq = 1;
	ifm = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifm));
	ifm->ifi_family = AF_UNSPEC;
	if (mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0 ||
		mnl_socket_sendto(nl, nlh, nlh->nlmsg_len) < 0)
		r = -1;
	while (r > 0) {
		len = mnl_socket_recvfrom(nl, buf, sizeof(buf));
		if (len < 0)
			r = -1;
		else
			r = mnl_cb_run(
				buf, (size_t)len, 1, mnl_socket_get_portid(nl), on_link, changes);
	}
	mnl_socket_close(nl);
	return r < 0 ? story_fail(err, -EIO, "cannot list the links of %s", lab->nodes[node].name)
		     : 0;
}

int sessions_count(const struct lab *lab, struct sessions *out, struct lab_err *err)
{
	int r = 0;

	memset(out, 0, sizeof(*out));
	for (unsigned int i = 0; i < lab->node_count && r == 0; i++) {
		r = bgp_count(lab, i, &out->bgp_dropped, err);
		if (r == 0)
			r = carrier_count(lab, i, &out->carrier_changes, err);
	}
	return r;
}

unsigned int sessions_lost(const struct sessions *before, const struct sessions *after)
{
	return (unsigned int)(after->bgp_dropped - before->bgp_dropped + after->carrier_changes -
			      before->carrier_changes);
}
