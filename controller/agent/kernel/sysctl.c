/* Kernel settings; see sysctl.h. Reached by /proc/sys/net, which shows the caller's namespace. */
#include "controller/agent/kernel/sysctl.h"

#include "proto/lib/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct setting {
	const char *path; /* below /proc/sys/net/ipv4 */
	const char *value;
};

static const struct setting namespace_settings[] = {
	{"ip_forward", "1"},
	{"fib_multipath_hash_policy", "1"},
	/* The strictest of "all" and the device counts: both must let asymmetric paths through. */
	{"conf/all/rp_filter", "0"},
	{"conf/default/rp_filter", "0"},
	/* The VTEP's address on lo is nobody's business on a link. */
	{"conf/all/arp_ignore", "1"},
	{"conf/all/arp_announce", "2"},
	{"conf/all/ignore_routes_with_linkdown", "1"},
	{"conf/default/ignore_routes_with_linkdown", "1"},
};

static const struct setting uplink_settings[] = {
	{"rp_filter", "0"},
	{"ignore_routes_with_linkdown", "1"},
};

static unsigned int apply(const char *path, const char *value)
{
	char now[32];
	ssize_t n;
	int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd < 0) {
		/* A device may have gone meanwhile; its return brings us back here. */
		if (errno != ENOENT)
			log_warn("sysctl_failed", "path=%s error=%s", path, strerror(errno));
		return 0;
	}
	n = read(fd, now, sizeof(now) - 1);
	if (n > 0) {
		now[n] = '\0';
		now[strcspn(now, "\n")] = '\0';
		if (strcmp(now, value) == 0) {
			close(fd);
			return 0;
		}
	}
	n = pwrite(fd, value, strlen(value), 0);
	if (n < 0)
		log_warn("sysctl_failed", "path=%s error=%s", path, strerror(errno));
	else
		log_info("sysctl_set", "path=%s value=%s", path, value);
	close(fd);
	return n < 0 ? 0 : 1;
}

unsigned int sysctl_apply_namespace(void)
{
	const size_t count = sizeof(namespace_settings) / sizeof(namespace_settings[0]);
	char path[PATH_MAX];
	unsigned int written = 0;

	for (size_t i = 0; i < count; i++) {
		snprintf(path, sizeof(path), "/proc/sys/net/ipv4/%s", namespace_settings[i].path);
		written += apply(path, namespace_settings[i].value);
	}
	return written;
}

unsigned int sysctl_apply_uplink(const char *device)
{
	const size_t count = sizeof(uplink_settings) / sizeof(uplink_settings[0]);
	char path[PATH_MAX];
	unsigned int written = 0;

	for (size_t i = 0; i < count; i++) {
		snprintf(path, sizeof(path), "/proc/sys/net/ipv4/conf/%s/%s", device,
			uplink_settings[i].path);
		written += apply(path, uplink_settings[i].value);
	}
	return written;
}
