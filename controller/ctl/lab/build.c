/*
 * Builds what a lab consists of besides processes: namespaces, wires, port inventories.
 *
 *     au-LAB-bb:   link0a -- link0 (bridge) -- link0b      one such for each link
 *                    |                            |
 *     NODE-wire:    up0 (veth)                   up0       what the port holder binds to
 *     NODE-wire:    p1 (veth) ---- NODE-p1 in au-LAB-ext   until a workload takes that end
 *     NODE:         mgmt0 (veth) -- bridge "mgmt" in au-LAB-ctl
 *
 * The two ends of a wire are never joined directly: a bridge port can be disabled, which makes a
 * link silent without taking its carrier.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "controller/ctl/lab/internal.h"
#include "controller/ctl/lab/rtnl.h"

#define ACCESS_WIRE_MTU 9216 /* what a workload sends is for the fabric to judge */
#define WORKLOAD_MTU    1500
/* Interface indexes of the wires' ends, which no other end has: see rtnl_veth_add(). */
#define UPLINK_INDEX    100000U
#define ACCESS_INDEX    200000U

/* Keys are set before any device exists: new devices take over the defaults. */
static const char *const site_sysctls[][2] = {
	{"net/ipv4/ip_forward", "1"},
	{"net/ipv4/conf/all/rp_filter", "0"},
	{"net/ipv4/conf/default/rp_filter", "0"},
	{"net/ipv4/fib_multipath_hash_policy", "1"},
	{"net/ipv6/conf/default/accept_ra", "0"},
	{"net/ipv6/conf/default/accept_dad", "0"},
};

static int make_netns(const char *name, struct lab_err *err)
{
	int ret = netns_create(name);

	return ret ? lab_fail(err, ret, "cannot create namespace %s: %s", name, strerror(-ret)) : 0;
}

/* A namespace whose devices only pass frames on: no address of any kind. */
static int make_plain_netns(const char *name, struct lab_err *err)
{
	int ret = make_netns(name, err);

	if (ret)
		return ret;
	ret = netns_sysctl(name, "net/ipv6/conf/all/disable_ipv6", "1");
	if (!ret)
		ret = netns_sysctl(name, "net/ipv6/conf/default/disable_ipv6", "1");
	if (ret == -ENOENT) /* a kernel without IPv6 has nothing to switch off */
		ret = 0;
	return ret ? lab_fail(err, ret, "cannot switch IPv6 off in %s: %s", name, strerror(-ret))
		   : 0;
}

static int make_netns_all(const struct lab *lab, struct lab_err *err)
{
	char name[LAB_NETNS_LEN];
	int ret;

	for (unsigned int i = 0; i < lab->node_count; i++) {
		if (!lab->nodes[i].unmanaged) {
			lab_netns_wire(lab, i, name);
			ret = make_plain_netns(name, err);
			if (ret)
				return ret;
		}
		lab_netns_node(lab, i, name);
		ret = make_netns(name, err);
		if (ret)
			return ret;
		for (size_t k = 0; k < sizeof(site_sysctls) / sizeof(site_sysctls[0]); k++) {
			ret = netns_sysctl(name, site_sysctls[k][0], site_sysctls[k][1]);
			if (ret && ret != -ENOENT)
				return lab_fail(err, ret, "cannot set %s in %s: %s",
					site_sysctls[k][0], name, strerror(-ret));
		}
	}
	lab_netns_role(lab, "bb", name);
	ret = make_plain_netns(name, err);
	if (ret)
		return ret;
	lab_netns_role(lab, "ext", name);
	ret = make_plain_netns(name, err);
	if (ret)
		return ret;
	lab_netns_role(lab, "ctl", name);
	return make_netns(name, err);
}

/* One end of a link: a veth from the backbone's bridge to the node's wire namespace. */
static int make_link_end(const struct lab *lab, struct rtnl *bb, unsigned int index, unsigned int e)
{
	const struct lab_link *link = &lab->links[index];
	char bridge[LAB_IFNAME_LEN], dev[LAB_IFNAME_LEN], netns[LAB_NETNS_LEN];
	struct rtnl *wire = NULL;
	int fd, ret;

	lab_link_bridge(lab, index, bridge);
	lab_link_dev(lab, index, e, dev);
	lab_netns_wire(lab, link->end[e].node, netns);
	fd = netns_open(netns);
	if (fd < 0)
		return fd;
	ret = rtnl_veth_add(
		bb, dev, link->mtu, fd, link->end[e].port, link->mtu, UPLINK_INDEX + 2 * index + e);
	close(fd);
	if (ret)
		return ret;
	ret = rtnl_link_alias(bb, dev, link->name);
	if (!ret)
		ret = rtnl_link_master(bb, dev, bridge);
	if (!ret)
		ret = rtnl_port_plain(bb, dev);
	if (!ret)
		ret = rtnl_link_up(bb, dev, true);
	if (!ret)
		ret = rtnl_open(&wire, netns);
	if (!ret)
		ret = rtnl_link_alias(wire, link->end[e].port, link->name);
	if (!ret)
		ret = rtnl_link_up(wire, link->end[e].port, true);
	rtnl_close(wire);
	return ret;
}

static int make_links(const struct lab *lab, struct lab_err *err)
{
	char bridge[LAB_IFNAME_LEN], netns[LAB_NETNS_LEN];
	struct rtnl *bb;
	int ret;

	lab_netns_role(lab, "bb", netns);
	ret = rtnl_open(&bb, netns);
	for (unsigned int i = 0; !ret && i < lab->link_count; i++) {
		lab_link_bridge(lab, i, bridge);
		ret = rtnl_bridge_add(bb, bridge);
		if (!ret)
			ret = rtnl_link_alias(bb, bridge, lab->links[i].name);
		for (unsigned int e = 0; !ret && e < 2; e++)
			ret = make_link_end(lab, bb, i, e);
		if (!ret)
			ret = rtnl_link_up(bb, bridge, true);
		if (ret)
			lab_fail(err, ret, "cannot make link %s: %s", lab->links[i].name,
				strerror(-ret));
	}
	rtnl_close(bb);
	return ret;
}

static int make_access_ports(const struct lab *lab, struct lab_err *err)
{
	char dev[LAB_IFNAME_LEN], netns[LAB_NETNS_LEN], alias[LAB_PATH_LEN];
	struct rtnl *ext, *wire = NULL;
	int ret, fd;

	lab_netns_role(lab, "ext", netns);
	ret = rtnl_open(&ext, netns);
	for (unsigned int i = 0; !ret && i < lab->node_count; i++) {
		const struct lab_node *node = &lab->nodes[i];

		lab_netns_wire(lab, i, netns);
		fd = netns_open(netns);
		ret = fd < 0 ? fd : rtnl_open(&wire, netns);
		for (unsigned int p = 0; !ret && p < node->access_count; p++) {
			lab_parked_dev(lab, i, p, dev);
			snprintf(alias, sizeof(alias), "%s/%s", node->name, node->access[p]);
			ret = rtnl_veth_add(ext, dev, WORKLOAD_MTU, fd, node->access[p],
				ACCESS_WIRE_MTU, ACCESS_INDEX + p);
			if (!ret)
				ret = rtnl_link_alias(ext, dev, alias);
			if (!ret)
				ret = rtnl_link_up(wire, node->access[p], true);
			if (ret)
				lab_fail(err, ret, "cannot make access port %s: %s", alias,
					strerror(-ret));
		}
		rtnl_close(wire);
		wire = NULL;
		if (fd >= 0)
			close(fd);
	}
	rtnl_close(ext);
	return ret;
}

static int make_management_node(const struct lab *lab, struct rtnl *ctl, unsigned int node)
{
	char dev[LAB_IFNAME_LEN], netns[LAB_NETNS_LEN], address[32];
	struct rtnl *site = NULL;
	int fd, ret;

	snprintf(dev, sizeof(dev), "node%u", node);
	snprintf(address, sizeof(address), "192.168.255.%u/24", node + 1);
	lab_netns_node(lab, node, netns);
	fd = netns_open(netns);
	if (fd < 0)
		return fd;
	ret = rtnl_veth_add(ctl, dev, 1500, fd, "mgmt0", 1500, 0);
	close(fd);
	if (!ret)
		ret = netns_sysctl(netns, "net/ipv6/conf/mgmt0/disable_ipv6", "1");
	if (ret == -ENOENT)
		ret = 0;
	if (!ret)
		ret = rtnl_link_alias(ctl, dev, lab->nodes[node].name);
	if (!ret)
		ret = rtnl_link_master(ctl, dev, "mgmt");
	if (!ret)
		ret = rtnl_link_up(ctl, dev, true);
	if (!ret)
		ret = rtnl_open(&site, netns);
	if (!ret)
		ret = rtnl_addr_add(site, "mgmt0", address);
	if (!ret)
		ret = rtnl_link_up(site, "mgmt0", true);
	rtnl_close(site);
	return ret;
}

static int make_management(const struct lab *lab, struct lab_err *err)
{
	char netns[LAB_NETNS_LEN];
	struct rtnl *ctl;
	int ret;

	lab_netns_role(lab, "ctl", netns);
	ret = rtnl_open(&ctl, netns);
	if (!ret)
		ret = rtnl_bridge_add(ctl, "mgmt");
	if (!ret)
		ret = rtnl_addr_add(ctl, "mgmt", LAB_CONTROLLER_ADDRESS "/24");
	for (unsigned int i = 0; !ret && i < lab->node_count; i++)
		ret = make_management_node(lab, ctl, i);
	if (!ret)
		ret = rtnl_link_up(ctl, "mgmt", true);
	rtnl_close(ctl);
	return ret ? lab_fail(err, ret, "cannot make the management network: %s", strerror(-ret))
		   : 0;
}

int lab_build(const struct lab *lab, struct lab_err *err)
{
	int ret = make_netns_all(lab, err);

	if (!ret)
		ret = make_links(lab, err);
	if (!ret)
		ret = make_access_ports(lab, err);
	if (!ret)
		ret = make_management(lab, err);
	return ret;
}

static void inventory_port(
	FILE *f, const struct lab *lab, unsigned int node, const char *role, const char *port)
{
	char netns[LAB_NETNS_LEN];

	lab_netns_wire(lab, node, netns);
	fprintf(f, "port %s role=%s backend=packet netns=%s/%s device=%s tap=%s\n", port, role,
		LAB_NETNS_DIR, netns, port, port);
}

static int inventory_write(const struct lab *lab, unsigned int node)
{
	char path[LAB_PATH_LEN], *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);
	int ret;

	if (!f)
		return -ENOMEM;
	fprintf(f, "# Ports of node %s in lab %s\n", lab->nodes[node].name, lab->name);
	for (unsigned int i = 0; i < lab->link_count; i++)
		for (int e = 0; e < 2; e++)
			if (lab->links[i].end[e].node == node)
				inventory_port(f, lab, node, "uplink", lab->links[i].end[e].port);
	for (unsigned int i = 0; i < lab->nodes[node].access_count; i++)
		inventory_port(f, lab, node, "access", lab->nodes[node].access[i]);
	if (fclose(f)) {
		free(text);
		return -ENOMEM;
	}
	lab_node_path(lab, node, "ports.conf", path);
	ret = file_write(path, text, 0644);
	free(text);
	return ret;
}

int lab_inventories(const struct lab *lab, struct lab_err *err)
{
	for (unsigned int i = 0; i < lab->node_count; i++) {
		int ret = lab->nodes[i].unmanaged ? 0 : inventory_write(lab, i);

		if (ret)
			return lab_fail(err, ret, "cannot write the port inventory of node %s: %s",
				lab->nodes[i].name, strerror(-ret));
	}
	return 0;
}
