/* What the kernel of a lab's node counts for its network devices. */
#pragma once

#include <net/if.h>
#include <stdint.h>

#include "controller/ctl/lab/lab.h"

struct netdev {
	char name[IFNAMSIZ];
	int index;
	uint32_t carrier_changes; /* since the device exists */
	uint64_t tx_packets;
};

/* All devices in the node's namespace; free(*list). 0 or a negative errno with `err` filled in. */
int netdev_list(const struct lab *lab, unsigned int node, struct netdev **list, unsigned int *count,
	struct lab_err *err);
/* Delete a device, as an engineer would by hand. */
int netdev_delete(const struct lab *lab, unsigned int node, int index, struct lab_err *err);
