/*
 * The node's port inventory: which ports there are, what for, and which TAP in the site's namespace
 * stands for each. The file belongs to the operator; the agent takes three of its words and leaves
 * the rest to the port holder.
 *
 * One line a port: `port NAME role=uplink|access [tap=DEVICE] ...`; '#' begins a comment. The TAP
 * is named like the port unless `tap=` says otherwise.
 */
#pragma once

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>

#define INVENTORY_PORT_MAX 2048
#define INVENTORY_NAME_MAX 14

enum port_role {
	PORT_UPLINK,
	PORT_ACCESS,
};

struct port {
	char name[INVENTORY_NAME_MAX + 1];
	enum port_role role;
	char tap[IFNAMSIZ];
};

struct inventory {
	struct port *ports; /* sorted by name */
	size_t count;
};

/*
 * Read the file. Returns 0, or a negative errno with `error` saying "FILE:LINE: what is wrong".
 * `inv` is only changed on success; release it with inventory_clear().
 */
int inventory_load(struct inventory *inv, const char *path, char *error, size_t error_size);
void inventory_clear(struct inventory *inv);

/* The port of that name, or NULL. */
const struct port *inventory_find(const struct inventory *inv, const char *name);

const char *port_role_name(enum port_role role);
