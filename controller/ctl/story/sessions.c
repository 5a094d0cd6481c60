/*
 * BGP sessions are asked of each node's bgpd through vtysh, carriers of the kernel by netlink.
 * Counters that only grow make a loss visible even when all is well again.
 */
#include "controller/ctl/story/sessions.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controller/ctl/story/internal.h"
#include "controller/ctl/story/netdev.h"

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

static int carrier_count(
	const struct lab *lab, unsigned int node, uint64_t *changes, struct lab_err *err)
{
	struct netdev *list = NULL;
	unsigned int count = 0;
	const int r = netdev_list(lab, node, &list, &count, err);

	for (unsigned int i = 0; r == 0 && i < count; i++)
		if (strncmp(list[i].name, "up", 2) == 0)
			*changes += list[i].carrier_changes;
	free(list);
	return r;
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
