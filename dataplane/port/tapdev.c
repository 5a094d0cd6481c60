/*
 * A TAP's descriptor: carrier and stale frames. Called by the holder and the forwarding process.
 */
#include "dataplane/port/tapdev.h"

#include <errno.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/if_tun.h>

#define FLUSH_MAX 4096 /* more than any sensible queue; a bound on a kernel that keeps sending */

int tap_carrier_set(int fd, bool up)
{
	int value = up;

	return ioctl(fd, TUNSETCARRIER, &value) < 0 ? -errno : 0;
}

unsigned int tap_flush(int fd)
{
	uint8_t scratch[64]; /* a frame is cut, the rest of it is thrown away by the kernel */
	unsigned int n;

	for (n = 0; n < FLUSH_MAX; n++) {
		if (read(fd, scratch, sizeof(scratch)) < 0 && errno != EINTR)
			break;
	}
	return n;
}
