/*
 * A lab's plan: made of a topology, kept in the run directory, and the names that follow from it.
 *
 * Invariant: every name of a namespace, device or path of a lab is made here and nowhere else.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "controller/ctl/lab/internal.h"

#define LAB_MTU_DEFAULT 1600 /* as fabric.proto says for Link.mtu */

void lab_name_from_path(const char *path, char name[LAB_NAME_LEN])
{
	const char *base = strrchr(path, '/');
	size_t n = 0;

	base = base ? base + 1 : path;
	for (; *base && *base != '.' && n < LAB_NAME_LEN - 1; base++) {
		char c = (char)tolower((unsigned char)*base);

		if (isalpha((unsigned char)c) || (n && isdigit((unsigned char)c)))
			name[n++] = c;
	}
	name[n] = '\0';
	if (!n)
		strcpy(name, "lab");
}

static bool lab_name_valid(const char *name)
{
	size_t n = strlen(name);

	if (!n || n >= LAB_NAME_LEN || !islower((unsigned char)name[0]))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!islower((unsigned char)name[i]) && !isdigit((unsigned char)name[i]))
			return false;
	return true;
}

int lab_node_find(const struct lab *lab, const char *node)
{
	for (unsigned int i = 0; i < lab->node_count; i++)
		if (!strcmp(lab->nodes[i].name, node))
			return (int)i;
	return -1;
}

int lab_link_find(const struct lab *lab, const char *link)
{
	for (unsigned int i = 0; i < lab->link_count; i++)
		if (!strcmp(lab->links[i].name, link))
			return (int)i;
	return -1;
}

int lab_access_find(const struct lab *lab, unsigned int node, const char *port)
{
	for (unsigned int i = 0; i < lab->nodes[node].access_count; i++)
		if (!strcmp(lab->nodes[node].access[i], port))
			return (int)i;
	return -1;
}

/* ---- from a topology ---------------------------------------------------------------------- */

static bool copy_name(
	char *out, size_t size, const char *name, const char *kind, struct lab_err *err)
{
	if (snprintf(out, size, "%s", name) < (int)size)
		return true;
	lab_err_add(err, "%s name \"%s\" is longer than %zu characters", kind, name, size - 1);
	return false;
}

/* A node's name becomes part of a namespace's: it must not be one of the lab's own. */
static bool node_name_free(const Audums__V1__Document *doc, const char *name, struct lab_err *err)
{
	/* of namespaces, of the run and state directories, of `lab exec` */
	static const char *const own[] = {
		"bb", "ext", "ctl", "pki", "workloads", "controller", "backbone"};
	size_t n = strlen(name);

	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
		if (strcmp(own[i], name))
			continue;
		lab_err_add(err, "a node cannot be called \"%s\" in a lab: the lab uses that name",
			name);
		return false;
	}
	if (!strncmp(name, "w-", 2)) {
		lab_err_add(err,
			"a node cannot be called \"%s\" in a lab: names that begin with \"w-\" are "
			"workloads'",
			name);
		return false;
	}
	if (n > 5 && !strcmp(name + n - 5, "-wire"))
		for (size_t i = 0; i < doc->n_nodes; i++)
			if (strlen(doc->nodes[i]->name) == n - 5 &&
				!strncmp(doc->nodes[i]->name, name, n - 5)) {
				lab_err_add(err,
					"nodes \"%s\" and \"%s\" cannot be in one lab: their "
					"namespaces would have one name",
					doc->nodes[i]->name, name);
				return false;
			}
	return true;
}

/* A port's name becomes a device's: not one of the kernel's own or the lab's, which are there
 * already, nor one that the agent gives to a segment's devices. */
static bool port_name_free(const char *name)
{
	static const char *const own[] = {"lo", "mgmt0", "all", "default"};

	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		if (!strcmp(own[i], name))
			return false;
	return (strncmp(name, "br", 2) && strncmp(name, "vx", 2)) || !name[2] ||
	       name[2 + strspn(name + 2, "0123456789")];
}

static bool plan_node(struct lab *lab, const Audums__V1__Document *doc,
	const Audums__V1__Node *from, struct lab_err *err)
{
	struct lab_node *node = &lab->nodes[lab->node_count];
	bool ok = copy_name(node->name, sizeof(node->name), from->name, "node", err) &&
		  node_name_free(doc, from->name, err);

	if (from->n_access_ports > LAB_PORTS_MAX) {
		lab_err_add(err, "node \"%s\" has %zu access ports; a lab has at most %d a node",
			from->name, from->n_access_ports, LAB_PORTS_MAX);
		return false;
	}
	node->unmanaged = from->unmanaged;
	for (size_t i = 0; i < from->n_access_ports; i++) {
		const char *port = from->access_ports[i];

		ok &= copy_name(
			node->access[node->access_count++], LAB_IFNAME_LEN, port, "port", err);
		if (!port_name_free(port)) {
			lab_err_add(err, "node \"%s\": a port cannot be called \"%s\" in a lab",
				from->name, port);
			ok = false;
		}
	}
	lab->node_count++;
	return ok;
}

static bool port_taken(const struct lab *lab, const struct lab_link_end *end)
{
	if (lab_access_find(lab, end->node, end->port) >= 0)
		return true;
	for (unsigned int i = 0; i < lab->link_count; i++)
		for (int e = 0; e < 2; e++)
			if (lab->links[i].end[e].node == end->node &&
				!strcmp(lab->links[i].end[e].port, end->port))
				return true;
	return false;
}

static bool plan_link(struct lab *lab, const Audums__V1__Link *from, struct lab_err *err)
{
	struct lab_link *link = &lab->links[lab->link_count];
	const Audums__V1__LinkEnd *ends[2] = {from->a, from->b};

	if (!copy_name(link->name, sizeof(link->name), from->name, "link", err))
		return false;
	link->mtu = from->mtu ? from->mtu : LAB_MTU_DEFAULT;
	for (int e = 0; e < 2; e++) {
		int node = ends[e] ? lab_node_find(lab, ends[e]->node) : -1;

		if (node < 0) {
			lab_err_add(err, "link \"%s\" ends at node \"%s\", which is not defined",
				from->name, ends[e] ? ends[e]->node : "");
			return false;
		}
		link->end[e].node = (unsigned int)node;
		if (!copy_name(link->end[e].port, LAB_IFNAME_LEN, ends[e]->port, "port", err))
			return false;
		if (!port_name_free(ends[e]->port)) {
			lab_err_add(err, "link \"%s\": a port cannot be called \"%s\" in a lab",
				from->name, ends[e]->port);
			return false;
		}
		if (port_taken(lab, &link->end[e])) {
			lab_err_add(err, "link \"%s\": port \"%s\" of node \"%s\" is used twice",
				from->name, ends[e]->port, ends[e]->node);
			return false;
		}
	}
	if (link->end[0].node == link->end[1].node &&
		!strcmp(link->end[0].port, link->end[1].port)) {
		lab_err_add(err, "link \"%s\" connects a port to itself", from->name);
		return false;
	}
	lab->link_count++;
	return true;
}

static bool plan_providers(struct lab *lab, const Audums__V1__Document *doc, struct lab_err *err)
{
	size_t used = 0;

	for (size_t i = 0; i < doc->n_providers; i++) {
		int n = snprintf(lab->providers + used, sizeof(lab->providers) - used, "%s%s",
			i ? "," : "", doc->providers[i]->name);

		if (n < 0 || used + (size_t)n >= sizeof(lab->providers)) {
			lab_err_add(err, "too many providers for a lab");
			return false;
		}
		used += (size_t)n;
	}
	return true;
}

int lab_plan(
	struct lab *lab, const char *name, const Audums__V1__Document *doc, struct lab_err *err)
{
	bool ok = true;

	memset(lab, 0, sizeof(*lab));
	if (err)
		err->text[0] = '\0';
	if (!lab_name_valid(name))
		return lab_fail(err, -EINVAL,
			"\"%s\" cannot be a lab's name: 1 to %d small letters and digits, a letter "
			"first",
			name, LAB_NAME_LEN - 1);
	strcpy(lab->name, name);
	lab->parts = LAB_PART_ALL;
	if (!doc->n_nodes)
		return lab_fail(err, -EINVAL, "the topology has no nodes");
	if (doc->n_nodes > LAB_NODES_MAX)
		return lab_fail(err, -EINVAL,
			"the topology has %zu nodes; a lab on one machine has at most %d",
			doc->n_nodes, LAB_NODES_MAX);
	if (doc->n_links > LAB_LINKS_MAX)
		return lab_fail(err, -EINVAL, "the topology has %zu links; a lab has at most %d",
			doc->n_links, LAB_LINKS_MAX);
	for (size_t i = 0; i < doc->n_nodes; i++)
		ok &= plan_node(lab, doc, doc->nodes[i], err);
	for (size_t i = 0; ok && i < doc->n_links; i++)
		ok &= plan_link(lab, doc->links[i], err);
	ok &= plan_providers(lab, doc, err);
	return ok ? 0 : -EINVAL;
}

/* ---- names -------------------------------------------------------------------------------- */

void lab_netns_node(const struct lab *lab, unsigned int node, char out[LAB_NETNS_LEN])
{
	snprintf(out, LAB_NETNS_LEN, "au-%s-%s", lab->name, lab->nodes[node].name);
}

void lab_netns_wire(const struct lab *lab, unsigned int node, char out[LAB_NETNS_LEN])
{
	snprintf(out, LAB_NETNS_LEN, "au-%s-%s%s", lab->name, lab->nodes[node].name,
		lab->nodes[node].unmanaged ? "" : "-wire");
}

void lab_netns_role(const struct lab *lab, const char *role, char out[LAB_NETNS_LEN])
{
	snprintf(out, LAB_NETNS_LEN, "au-%s-%s", lab->name, role);
}

void lab_netns_workload(const struct lab *lab, const char *workload, char out[LAB_NETNS_LEN])
{
	snprintf(out, LAB_NETNS_LEN, "au-%s-w-%s", lab->name, workload);
}

int lab_netns_find(
	const struct lab *lab, const char *what, char out[LAB_NETNS_LEN], struct lab_err *err)
{
	if (lab_node_find(lab, what) >= 0)
		lab_netns_role(lab, what, out);
	else if (!strcmp(what, "controller"))
		lab_netns_role(lab, "ctl", out);
	else if (!strcmp(what, "backbone"))
		lab_netns_role(lab, "bb", out);
	else {
		/* the lab's names come after the workloads', which people choose */
		lab_netns_workload(lab, what, out);
		if (strchr(what, '/') || !netns_exists(out))
			lab_netns_role(lab, what, out);
	}
	if (strchr(what, '/') || !netns_exists(out))
		return lab_fail(err, -ENOENT,
			"lab %s has no node, workload or namespace \"%s\" (nodes and workloads: "
			"audumsctl lab status)",
			lab->name, what);
	return 0;
}

void lab_run_path(const char *lab, const char *file, char out[LAB_PATH_LEN])
{
	snprintf(out, LAB_PATH_LEN, "%s/%s%s%s", LAB_RUN_ROOT, lab, file ? "/" : "",
		file ? file : "");
}

void lab_node_path(
	const struct lab *lab, unsigned int node, const char *file, char out[LAB_PATH_LEN])
{
	snprintf(out, LAB_PATH_LEN, "%s/%s/%s%s%s", LAB_RUN_ROOT, lab->name, lab->nodes[node].name,
		file ? "/" : "", file ? file : "");
}

void lab_link_bridge(const struct lab *lab, unsigned int link, char out[LAB_IFNAME_LEN])
{
	snprintf(out, LAB_IFNAME_LEN, "link%u", link);
}

void lab_link_dev(
	const struct lab *lab, unsigned int link, unsigned int end, char out[LAB_IFNAME_LEN])
{
	snprintf(out, LAB_IFNAME_LEN, "link%u%c", link, "ab"[end]);
}

void lab_parked_dev(
	const struct lab *lab, unsigned int node, unsigned int port, char out[LAB_IFNAME_LEN])
{
	const struct lab_node *n = &lab->nodes[node];

	/* names are for people; where one does not fit, the device's alias has it in full */
	if (snprintf(out, LAB_IFNAME_LEN, "%s-%s", n->name, n->access[port]) >= LAB_IFNAME_LEN)
		snprintf(out, LAB_IFNAME_LEN, "n%u.%u", node, port);
}

/* ---- the plan on disk --------------------------------------------------------------------- */

static json_t *node_json(const struct lab_node *node)
{
	json_t *ports = json_array();

	for (unsigned int i = 0; i < node->access_count; i++)
		json_array_append_new(ports, json_string(node->access[i]));
	return json_pack("{s:s, s:b, s:o}", "name", node->name, "unmanaged", (int)node->unmanaged,
		"access", ports);
}

int lab_save(const struct lab *lab)
{
	json_t *nodes = json_array(), *links = json_array(), *root;
	char path[LAB_PATH_LEN], *text;
	int ret = -ENOMEM;

	for (unsigned int i = 0; i < lab->node_count; i++)
		json_array_append_new(nodes, node_json(&lab->nodes[i]));
	for (unsigned int i = 0; i < lab->link_count; i++) {
		const struct lab_link *l = &lab->links[i];

		json_array_append_new(
			links, json_pack("{s:s, s:i, s:[{s:i, s:s}, {s:i, s:s}]}", "name", l->name,
				       "mtu", (int)l->mtu, "ends", "node", (int)l->end[0].node,
				       "port", l->end[0].port, "node", (int)l->end[1].node, "port",
				       l->end[1].port));
	}
	root = json_pack("{s:s, s:i, s:s, s:o, s:o}", "name", lab->name, "parts", (int)lab->parts,
		"providers", lab->providers, "nodes", nodes, "links", links);
	if (!root)
		return -ENOMEM;
	text = json_dumps(root, JSON_INDENT(1));
	lab_run_path(lab->name, "lab.json", path);
	if (text)
		ret = file_write(path, text, 0644);
	free(text);
	json_decref(root);
	return ret;
}

static bool load_string(json_t *from, const char *key, char *out, size_t size)
{
	const char *s = json_string_value(json_object_get(from, key));

	return s && snprintf(out, size, "%s", s) < (int)size;
}

static bool load_plan(struct lab *lab, json_t *root)
{
	json_t *item, *port;
	size_t i, k;

	if (!load_string(root, "name", lab->name, sizeof(lab->name)) ||
		!load_string(root, "providers", lab->providers, sizeof(lab->providers)))
		return false;
	lab->parts = (unsigned int)json_integer_value(json_object_get(root, "parts"));
	json_array_foreach (json_object_get(root, "nodes"), i, item) {
		struct lab_node *node = &lab->nodes[i];

		if (i >= LAB_NODES_MAX ||
			!load_string(item, "name", node->name, sizeof(node->name)))
			return false;
		node->unmanaged = json_is_true(json_object_get(item, "unmanaged"));
		lab->node_count++;
		json_array_foreach (json_object_get(item, "access"), k, port) {
			const char *s = json_string_value(port);

			if (k >= LAB_PORTS_MAX || !s ||
				snprintf(node->access[k], LAB_IFNAME_LEN, "%s", s) >=
					LAB_IFNAME_LEN)
				return false;
			node->access_count++;
		}
	}
	json_array_foreach (json_object_get(root, "links"), i, item) {
		struct lab_link *link = &lab->links[i];

		if (i >= LAB_LINKS_MAX ||
			!load_string(item, "name", link->name, sizeof(link->name)))
			return false;
		link->mtu = (uint32_t)json_integer_value(json_object_get(item, "mtu"));
		for (size_t e = 0; e < 2; e++) {
			port = json_array_get(json_object_get(item, "ends"), e);
			json_int_t node = json_integer_value(json_object_get(port, "node"));

			if (node < 0 || node >= lab->node_count ||
				!load_string(port, "port", link->end[e].port, LAB_IFNAME_LEN))
				return false;
			link->end[e].node = (unsigned int)node;
		}
		lab->link_count++;
	}
	return true;
}

int lab_open(struct lab *lab, const char *name, struct lab_err *err)
{
	char path[LAB_PATH_LEN];
	json_t *root;
	bool ok;

	memset(lab, 0, sizeof(*lab));
	if (!lab_name_valid(name))
		return lab_fail(err, -ENOENT, "\"%s\" cannot be a lab's name", name);
	lab_run_path(name, "lab.json", path);
	if (access(path, F_OK))
		return lab_fail(err, -ENOENT,
			"lab %s is not up (audumsctl lab up TOPOLOGY brings one up)", name);
	root = json_load_file(path, 0, NULL);
	ok = root && load_plan(lab, root);
	json_decref(root);
	return ok ? 0
		  : lab_fail(err, -EINVAL,
			    "%s is damaged; audumsctl lab down %s removes the lab all the same",
			    path, name);
}

static unsigned int list_add(char names[][LAB_NAME_LEN], unsigned int count, unsigned int max,
	const char *name, size_t len)
{
	char copy[LAB_NAME_LEN];

	if (len >= LAB_NAME_LEN)
		return count;
	memcpy(copy, name, len);
	copy[len] = '\0';
	if (!lab_name_valid(copy))
		return count;
	for (unsigned int i = 0; i < count; i++)
		if (!strcmp(names[i], copy))
			return count;
	if (count < max)
		strcpy(names[count++], copy);
	return count;
}

unsigned int lab_list(char names[][LAB_NAME_LEN], unsigned int max)
{
	static const char *const roots[] = {LAB_RUN_ROOT, LAB_STATE_ROOT};
	unsigned int count = 0;
	struct dirent *entry;
	DIR *dir;

	for (int i = 0; i < 2; i++) {
		dir = opendir(roots[i]);
		while (dir && (entry = readdir(dir)))
			count = list_add(names, count, max, entry->d_name, strlen(entry->d_name));
		if (dir)
			closedir(dir);
	}
	dir = opendir(LAB_NETNS_DIR);
	while (dir && (entry = readdir(dir))) {
		const char *end;

		if (strncmp(entry->d_name, "au-", 3))
			continue;
		end = strchr(entry->d_name + 3, '-');
		/* the lab's own namespaces tell it from others' that are named alike */
		if (end && (!strcmp(end, "-bb") || !strcmp(end, "-ext") || !strcmp(end, "-ctl")))
			count = list_add(names, count, max, entry->d_name + 3,
				(size_t)(end - entry->d_name - 3));
	}
	if (dir)
		closedir(dir);
	return count;
}
