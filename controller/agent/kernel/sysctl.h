/* The kernel settings of the site's network namespace that forwarding control traffic needs. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/*
 * Set what holds for the whole namespace. Values that are right are not written. Returns how many
 * were written; what the kernel lacks or refuses is logged once a call.
 */
unsigned int sysctl_apply_namespace(void);

/* The same for one uplink's device. */
unsigned int sysctl_apply_uplink(const char *device);
