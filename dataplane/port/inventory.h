/*
 * The port inventory: which ports a node has, written by the operator or the lab. The kernel cannot
 * say it, and a restart must find the same ports without anyone.
 *
 * Format: one line a port, blanks between words, `#` starts a comment that reaches to the line's
 *end.
 *
 *	port NAME role=uplink|access backend=packet netns=PATH device=INTERFACE [tap=NAME]
 *	port NAME role=uplink|access backend=ethdev pci=ADDRESS|vdev=ARGUMENTS [tap=NAME] [mtu=N]
 *
 * NAME is [a-z][a-z0-9-]{0,13} and unique, so is the TAP (default: the port's name), and so is the
 * device (with its namespace). `netns` is an absolute path (/run/netns/...), or the word `self` for
 * the holder's own namespace. A value ends at a blank; there is no quoting.
 *
 * Pure: text in, structure out; the holder reads the file.
 */
#pragma once

#include <stddef.h>
#include <stdio.h>

#include "dataplane/port/port_spec.h"

#define INVENTORY_SIZE_MAX   (1U << 20) /* octets of a file */
#define INVENTORY_LINE_MAX   1024       /* octets of a line */
#define INVENTORY_NETNS_SIZE 256        /* octets of a path with its NUL */
#define INVENTORY_ERRORS_MAX 20         /* messages written for one file */

struct inventory_port {
	struct port_spec spec; /* id, role, backend, name, tap, device; mtu of ethdev; fds are -1 */
	char netns[INVENTORY_NETNS_SIZE]; /* packet: the wire's namespace; "" = the holder's own */
	unsigned int line;
};

struct inventory {
	unsigned int n;
	struct inventory_port ports[PORT_MAX];
};

/*
 * Parse `size` octets of `text` (need not end in NUL) into *inventory, which is overwritten. `file`
 * is the name to put in messages. Each error is one line "FILE:LINE: what is wrong, what was
 * expected" on `errors` (may be NULL); all errors of a file are said, up to INVENTORY_ERRORS_MAX.
 * Returns 0, or -EINVAL when there was an error or no port (then *inventory must not be used), or
 * -EFBIG.
 */
int inventory_parse(
	const char *file, const char *text, size_t size, struct inventory *inventory, FILE *errors);
