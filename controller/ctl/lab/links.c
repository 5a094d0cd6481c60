/*
 * Breaking backbone links and mending them, at the bridge in the middle.
 */
#include <errno.h>
#include <linux/if_bridge.h>
#include <net/if.h>
#include <string.h>

#include "controller/ctl/lab/internal.h"
#include "controller/ctl/lab/rtnl.h"

const char *lab_link_state_name(enum lab_link_state state)
{
	static const char *const names[] = {"up", "down", "silent"};

	return names[state];
}

static int link_open(const struct lab *lab, const char *link, struct rtnl **nl, struct lab_err *err)
{
	char netns[LAB_NETNS_LEN];
	int index = lab_link_find(lab, link);
	int ret;

	if (index < 0)
		return lab_fail(err, -ENOENT,
			"lab %s has no link \"%s\" (audumsctl lab status lists them)", lab->name,
			link);
	lab_netns_role(lab, "bb", netns);
	ret = rtnl_open(nl, netns);
	return ret ? lab_fail(err, ret, "cannot enter namespace %s: %s", netns, strerror(-ret))
		   : index;
}

/* A port that comes up forwards by itself, as spanning tree is off; one that is up is told to. */
static int link_end_set(struct rtnl *nl, const char *dev, enum lab_link_state state)
{
	int ret;

	if (state == LAB_LINK_DOWN)
		return rtnl_link_up(nl, dev, false);
	ret = rtnl_link_up(nl, dev, true);
	if (!ret)
		ret = rtnl_port_state(nl, dev,
			state == LAB_LINK_SILENT ? BR_STATE_DISABLED : BR_STATE_FORWARDING);
	return ret;
}

int lab_link_set(
	const struct lab *lab, const char *link, enum lab_link_state state, struct lab_err *err)
{
	char dev[LAB_IFNAME_LEN];
	struct rtnl *nl;
	int index = link_open(lab, link, &nl, err), ret = 0;

	if (index < 0)
		return index;
	for (unsigned int e = 0; !ret && e < 2; e++) {
		lab_link_dev(lab, (unsigned int)index, e, dev);
		ret = link_end_set(nl, dev, state);
	}
	rtnl_close(nl);
	return ret ? lab_fail(err, ret, "cannot bring link %s %s: %s", link,
			     lab_link_state_name(state), strerror(-ret))
		   : 0;
}

int lab_link_get(
	const struct lab *lab, const char *link, enum lab_link_state *state, struct lab_err *err)
{
	char dev[LAB_IFNAME_LEN];
	struct rtnl_link info;
	struct rtnl *nl;
	int index = link_open(lab, link, &nl, err), ret = 0;

	if (index < 0)
		return index;
	*state = LAB_LINK_UP;
	for (unsigned int e = 0; !ret && e < 2; e++) {
		lab_link_dev(lab, (unsigned int)index, e, dev);
		ret = rtnl_link_get(nl, dev, &info);
		if (ret)
			break;
		if (!(info.flags & IFF_UP))
			*state = LAB_LINK_DOWN;
		else if (info.port_state != BR_STATE_FORWARDING && *state == LAB_LINK_UP)
			*state = LAB_LINK_SILENT;
	}
	rtnl_close(nl);
	return ret ? lab_fail(err, ret, "cannot look at link %s: %s", link, strerror(-ret)) : 0;
}
