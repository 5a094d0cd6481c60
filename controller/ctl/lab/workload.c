/*
 * Workloads: a namespace with one interface, eth0, that is the far end of an access port.
 *
 * A workload that moves gives the old end back and takes the new one, with the same MAC and
 * addresses; the kernel's offloads stay as they are. What a workload is stands in
 * RUN/workloads/NAME.json, written before it is made: so a half-made one can be removed.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "controller/ctl/lab/announce.h"
#include "controller/ctl/lab/internal.h"
#include "controller/ctl/lab/rtnl.h"

#define MTU_DEFAULT      1500
#define OLD_PORT_REST_MS 200

/* ---- records ------------------------------------------------------------------------------ */

static void record_path(const struct lab *lab, const char *name, char out[LAB_PATH_LEN])
{
	char file[LAB_OBJECT_LEN + 32];

	snprintf(file, sizeof(file), "workloads/%s.json", name);
	lab_run_path(lab->name, file, out);
}

static int record_save(const struct lab *lab, const struct lab_workload *w)
{
	json_t *addresses = json_array(), *root;
	char path[LAB_PATH_LEN], *text;
	int ret = -ENOMEM;

	for (unsigned int i = 0; i < w->address_count; i++)
		json_array_append_new(addresses, json_string(w->addresses[i]));
	root = json_pack("{s:s, s:s, s:s, s:s, s:s, s:i, s:o}", "name", w->name, "node", w->node,
		"port", w->port, "group", w->group, "mac", w->mac, "mtu", (int)w->mtu, "addresses",
		addresses);
	text = root ? json_dumps(root, JSON_INDENT(1)) : NULL;
	record_path(lab, w->name, path);
	if (text)
		ret = file_write(path, text, 0644);
	free(text);
	json_decref(root);
	return ret;
}

static bool record_string(json_t *root, const char *key, char *out, size_t size)
{
	const char *s = json_string_value(json_object_get(root, key));

	return s && snprintf(out, size, "%s", s) < (int)size;
}

static int record_load(const char *path, struct lab_workload *w)
{
	json_t *root = json_load_file(path, 0, NULL), *item;
	size_t i;
	bool ok;

	memset(w, 0, sizeof(*w));
	if (!root)
		return access(path, F_OK) ? -ENOENT : -EINVAL;
	ok = record_string(root, "name", w->name, sizeof(w->name)) &&
	     record_string(root, "node", w->node, sizeof(w->node)) &&
	     record_string(root, "port", w->port, sizeof(w->port)) &&
	     record_string(root, "group", w->group, sizeof(w->group)) &&
	     record_string(root, "mac", w->mac, sizeof(w->mac));
	w->mtu = (uint32_t)json_integer_value(json_object_get(root, "mtu"));
	json_array_foreach (json_object_get(root, "addresses"), i, item) {
		const char *s = json_string_value(item);

		if (!s || w->address_count >= LAB_ADDRESSES_MAX)
			break;
		snprintf(w->addresses[w->address_count++], sizeof(w->addresses[0]), "%s", s);
	}
	json_decref(root);
	return ok ? 0 : -EINVAL;
}

int lab_workload_get(
	const struct lab *lab, const char *name, struct lab_workload *w, struct lab_err *err)
{
	char path[LAB_PATH_LEN];

	record_path(lab, name, path);
	if (strchr(name, '/') || strlen(name) >= LAB_OBJECT_LEN || record_load(path, w))
		return lab_fail(err, -ENOENT,
			"lab %s has no workload \"%s\" (audumsctl lab workload list shows them)",
			lab->name, name);
	return 0;
}

static int workload_compare(const void *a, const void *b)
{
	return strcmp(
		((const struct lab_workload *)a)->name, ((const struct lab_workload *)b)->name);
}

int lab_workload_list(
	const struct lab *lab, struct lab_workload **list, unsigned int *count, struct lab_err *err)
{
	char dir_path[LAB_PATH_LEN], path[LAB_PATH_LEN * 4];
	struct lab_workload *out;
	struct dirent *entry;
	unsigned int n = 0;
	DIR *dir;

	*list = NULL;
	*count = 0;
	lab_run_path(lab->name, "workloads", dir_path);
	out = calloc(LAB_WORKLOADS_MAX, sizeof(*out));
	if (!out)
		return lab_fail(err, -ENOMEM, "out of memory");
	dir = opendir(dir_path);
	while (dir && (entry = readdir(dir)) && n < LAB_WORKLOADS_MAX) {
		size_t len = strlen(entry->d_name);

		if (len < 6 || strcmp(entry->d_name + len - 5, ".json"))
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir_path, entry->d_name);
		if (!record_load(path, &out[n]))
			n++;
	}
	if (dir)
		closedir(dir);
	qsort(out, n, sizeof(*out), workload_compare);
	*list = out;
	*count = n;
	return 0;
}

/* ---- what is asked for -------------------------------------------------------------------- */

static bool name_valid(const char *name)
{
	size_t n = strlen(name);

	if (!n || n >= LAB_OBJECT_LEN || !islower((unsigned char)name[0]))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!islower((unsigned char)name[i]) && !isdigit((unsigned char)name[i]) &&
			name[i] != '-')
			return false;
	return true;
}

static bool mac_parse(const char *text, uint8_t mac[6])
{
	char end;

	return sscanf(text, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%c", &mac[0], &mac[1], &mac[2],
		       &mac[3], &mac[4], &mac[5], &end) == 6 &&
	       !(mac[0] & 1);
}

/* A locally administered MAC that is always the same for one name (FNV-1a). */
static void mac_from_name(const char *name, char out[18])
{
	uint64_t h = 0xcbf29ce484222325;

	for (; *name; name++)
		h = (h ^ (unsigned char)*name) * 0x100000001b3;
	snprintf(out, 18, "02:%02x:%02x:%02x:%02x:%02x", (unsigned int)(h >> 32) & 255,
		(unsigned int)(h >> 24) & 255, (unsigned int)(h >> 16) & 255,
		(unsigned int)(h >> 8) & 255, (unsigned int)h & 255);
}

static bool address_valid(const char *cidr)
{
	char text[64], *slash;
	struct in6_addr ip;

	if (snprintf(text, sizeof(text), "%s", cidr) >= (int)sizeof(text))
		return false;
	slash = strchr(text, '/');
	if (!slash || !isdigit((unsigned char)slash[1]))
		return false;
	*slash = '\0';
	if (strchr(text, ':'))
		return inet_pton(AF_INET6, text, &ip) == 1 && atoi(slash + 1) <= 128;
	return inet_pton(AF_INET, text, &ip) == 1 && atoi(slash + 1) <= 32;
}

/* Where a port's far end is parked, and that nobody has taken it. */
static int place_find(const struct lab *lab, const char *node, const char *port,
	char dev[LAB_IFNAME_LEN], struct lab_err *err)
{
	struct lab_workload *list;
	unsigned int count;
	int n = lab_node_find(lab, node), p, ret;

	if (n < 0)
		return lab_fail(err, -ENOENT, "lab %s has no node \"%s\"", lab->name, node);
	p = lab_access_find(lab, (unsigned int)n, port);
	if (p < 0)
		return lab_fail(err, -ENOENT, "node %s has no access port \"%s\"", node, port);
	ret = lab_workload_list(lab, &list, &count, err);
	if (ret)
		return ret;
	for (unsigned int i = 0; i < count; i++)
		if (!strcmp(list[i].node, node) && !strcmp(list[i].port, port))
			ret = lab_fail(err, -EBUSY,
				"port %s of node %s is taken by workload \"%s\" (audumsctl lab "
				"workload remove %s frees it)",
				port, node, list[i].name, list[i].name);
	free(list);
	lab_parked_dev(lab, (unsigned int)n, (unsigned int)p, dev);
	return ret;
}

/* ---- plugging ----------------------------------------------------------------------------- */

/* Bring the parked end `dev` into the workload's namespace under the name `as`, still down. */
static int take(
	const struct lab *lab, const struct lab_workload *w, const char *dev, const char *as)
{
	char netns[LAB_NETNS_LEN], ext_name[LAB_NETNS_LEN];
	struct rtnl *ext = NULL;
	uint8_t mac[6];
	int fd, ret;

	lab_netns_workload(lab, w->name, netns);
	lab_netns_role(lab, "ext", ext_name);
	if (!mac_parse(w->mac, mac))
		return -EINVAL;
	fd = netns_open(netns);
	if (fd < 0)
		return fd;
	ret = rtnl_open(&ext, ext_name);
	if (!ret)
		ret = rtnl_link_mac(ext, dev, mac);
	if (!ret)
		ret = rtnl_link_mtu(ext, dev, w->mtu);
	if (!ret)
		ret = rtnl_link_move(ext, dev, fd, as);
	close(fd);
	rtnl_close(ext);
	return ret;
}

/* Give the device `as` (eth0 or old0) back to where it is parked; none of that name is fine. */
static int give(const struct lab *lab, const struct lab_workload *w, const char *as)
{
	char netns[LAB_NETNS_LEN], ext_name[LAB_NETNS_LEN], dev[LAB_IFNAME_LEN];
	int n = lab_node_find(lab, w->node);
	int p = n < 0 ? -1 : lab_access_find(lab, (unsigned int)n, w->port);
	struct rtnl *own = NULL;
	struct rtnl_link link;
	int fd, ret;

	if (p < 0)
		return -EINVAL;
	lab_parked_dev(lab, (unsigned int)n, (unsigned int)p, dev);
	lab_netns_workload(lab, w->name, netns);
	lab_netns_role(lab, "ext", ext_name);
	if (!netns_exists(netns))
		return 0;
	ret = rtnl_open(&own, netns);
	if (ret)
		return ret;
	ret = rtnl_link_get(own, as, &link);
	if (ret == -ENODEV) {
		rtnl_close(own);
		return 0;
	}
	if (!ret)
		ret = rtnl_link_up(own, as, false);
	fd = netns_open(ext_name);
	if (fd < 0 && !ret)
		ret = fd;
	if (!ret)
		ret = rtnl_link_move(own, as, fd, dev);
	if (fd >= 0)
		close(fd);
	rtnl_close(own);
	return ret;
}

/* Give eth0 its addresses and bring it up. */
static int activate(struct rtnl *own, const struct lab_workload *w)
{
	int ret = 0;

	for (unsigned int i = 0; !ret && i < w->address_count; i++)
		ret = rtnl_addr_add(own, "eth0", w->addresses[i]);
	return ret ? ret : rtnl_link_up(own, "eth0", true);
}

static int plug(const struct lab *lab, const struct lab_workload *w, const char *dev)
{
	char netns[LAB_NETNS_LEN];
	struct rtnl *own = NULL;
	int ret = take(lab, w, dev, "eth0");

	lab_netns_workload(lab, w->name, netns);
	if (!ret)
		ret = rtnl_open(&own, netns);
	if (!ret)
		ret = activate(own, w);
	rtnl_close(own);
	return ret;
}

/*
 * Replace eth0 by `dev`. Handing devices from one namespace to another takes the kernel tens of
 * milliseconds, so the new one is brought before the old one goes down, and the old one is taken
 * away after the new one was announced: what is then measured is the fabric.
 */
static int replug(const struct lab *lab, const struct lab_workload *old,
	const struct lab_workload *moved, const char *dev)
{
	char netns[LAB_NETNS_LEN];
	struct rtnl *own = NULL;
	int ret = take(lab, moved, dev, "new0");

	lab_netns_workload(lab, old->name, netns);
	if (!ret)
		ret = rtnl_open(&own, netns);
	if (!ret)
		ret = rtnl_link_up(own, "eth0", false);
	if (!ret)
		ret = rtnl_link_rename(own, "eth0", "old0");
	if (!ret)
		ret = rtnl_link_rename(own, "new0", "eth0");
	if (!ret)
		ret = activate(own, moved);
	rtnl_close(own);
	if (!ret)
		ret = lab_workload_announce(lab, old->name, NULL);
	return ret;
}

static int make_netns(const struct lab *lab, const struct lab_workload *w)
{
	/* addresses are usable at once: duplicate detection would wait for a second */
	static const char *const keys[] = {"net/ipv6/conf/all/accept_dad",
		"net/ipv6/conf/default/accept_dad", "net/ipv6/conf/default/accept_ra"};
	char netns[LAB_NETNS_LEN];
	int ret;

	lab_netns_workload(lab, w->name, netns);
	ret = netns_create(netns);
	for (size_t i = 0; !ret && i < sizeof(keys) / sizeof(keys[0]); i++) {
		ret = netns_sysctl(netns, keys[i], "0");
		if (ret == -ENOENT)
			ret = 0;
	}
	return ret;
}

int lab_workload_add(const struct lab *lab, const struct lab_workload *asked, struct lab_err *err)
{
	char dev[LAB_IFNAME_LEN], path[LAB_PATH_LEN], netns[LAB_NETNS_LEN];
	struct lab_workload w = *asked;
	uint8_t mac[6];
	int ret;

	if (!name_valid(w.name))
		return lab_fail(err, -EINVAL,
			"\"%s\" cannot be a workload's name: a small letter, then small letters, "
			"digits and hyphens, at most %d",
			w.name, LAB_OBJECT_LEN - 1);
	if (!*w.mac)
		mac_from_name(w.name, w.mac);
	if (!mac_parse(w.mac, mac))
		return lab_fail(err, -EINVAL, "\"%s\" is no MAC like 02:00:00:00:00:01", w.mac);
	if (!w.mtu)
		w.mtu = MTU_DEFAULT;
	for (unsigned int i = 0; i < w.address_count; i++)
		if (!address_valid(w.addresses[i]))
			return lab_fail(err, -EINVAL,
				"\"%s\" is no address with prefix length like 192.0.2.1/24 or "
				"2001:db8::1/64",
				w.addresses[i]);
	record_path(lab, w.name, path);
	if (!access(path, F_OK))
		return lab_fail(
			err, -EEXIST, "lab %s has a workload \"%s\" already", lab->name, w.name);
	ret = place_find(lab, w.node, w.port, dev, err);
	if (ret)
		return ret;
	ret = record_save(lab, &w);
	if (!ret)
		ret = make_netns(lab, &w);
	if (!ret)
		ret = plug(lab, &w, dev);
	if (!ret)
		return 0;
	give(lab, &w, "eth0");
	lab_netns_workload(lab, w.name, netns);
	netns_delete(netns);
	unlink(path);
	return lab_fail(err, ret, "cannot make workload %s: %s", w.name, strerror(-ret));
}

int lab_workload_announce(const struct lab *lab, const char *name, struct lab_err *err)
{
	struct lab_workload w;
	char netns[LAB_NETNS_LEN];
	int back, ret = lab_workload_get(lab, name, &w, err);

	if (ret)
		return ret;
	lab_netns_workload(lab, name, netns);
	back = lab_netns_enter(netns);
	if (back < 0)
		return lab_fail(err, back, "cannot enter namespace %s: %s", netns, strerror(-back));
	for (unsigned int i = 0; !ret && i < w.address_count; i++)
		ret = announce_address("eth0", w.addresses[i]);
	lab_netns_leave(back);
	return ret ? lab_fail(err, ret, "cannot announce workload %s: %s", name, strerror(-ret))
		   : 0;
}

int lab_workload_move(const struct lab *lab, const char *name, const char *node, const char *port,
	struct lab_err *err)
{
	char dev[LAB_IFNAME_LEN];
	struct lab_workload w, moved;
	int ret = lab_workload_get(lab, name, &w, err);

	if (ret)
		return ret;
	if (!strcmp(w.node, node) && !strcmp(w.port, port))
		return lab_fail(err, -EEXIST, "workload %s is at port %s of node %s already", name,
			port, node);
	ret = place_find(lab, node, port, dev, err);
	if (ret)
		return ret;
	moved = w;
	snprintf(moved.node, sizeof(moved.node), "%s", node);
	snprintf(moved.port, sizeof(moved.port), "%s", port);
	ret = record_save(lab, &moved);
	if (!ret)
		ret = replug(lab, &w, &moved, dev);
	if (ret)
		return lab_fail(err, ret,
			"cannot put workload %s on port %s of node %s: %s (audumsctl lab workload "
			"remove %s removes it)",
			name, port, node, strerror(-ret), name);
	/* Handing a device over takes the kernel some 15 ms with the lock that the sites' own
	 * changes need too: they go first. Nothing depends on how long this is. */
	poll(NULL, 0, OLD_PORT_REST_MS);
	ret = give(lab, &w, "old0");
	return ret ? lab_fail(err, ret, "workload %s has moved, but its old port is not free: %s",
			     name, strerror(-ret))
		   : 0;
}

int lab_workload_remove(const struct lab *lab, const char *name, struct lab_err *err)
{
	char netns[LAB_NETNS_LEN], path[LAB_PATH_LEN];
	struct lab_workload w;
	int ret = lab_workload_get(lab, name, &w, err);

	if (ret)
		return ret;
	ret = give(lab, &w, "eth0");
	lab_netns_workload(lab, name, netns);
	if (!ret)
		ret = netns_delete(netns);
	record_path(lab, name, path);
	if (!ret && unlink(path))
		ret = -errno;
	return ret ? lab_fail(err, ret, "cannot remove workload %s: %s", name, strerror(-ret)) : 0;
}
