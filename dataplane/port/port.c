/*
 * Opens and closes ports whatever their back end. Called by the forwarding process's main thread.
 *
 * Invariant: a port owns the descriptors of its spec from the moment port_open() is called.
 */
#include "dataplane/port/port.h"

#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/if_tun.h>

#include "proto/lib/log.h"

static void fd_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* The descriptor came from another process: it must be a TAP as tap.c expects. */
static bool tap_fd_valid(int fd)
{
	struct ifreq ifr = {0};

	return ioctl(fd, TUNGETIFF, &ifr) == 0 &&
	       ((unsigned int)ifr.ifr_flags & (IFF_TAP | IFF_NO_PI | IFF_VNET_HDR)) ==
		       (IFF_TAP | IFF_NO_PI);
}

int port_open(const struct port_spec *spec, const struct port_options *options, struct port **out)
{
	struct port_spec mine = *spec;
	struct port *port = NULL;
	const char *why = NULL;
	int rc;

	*out = NULL;
	rc = port_spec_check(spec, &why);
	if (rc == 0 && options->pool == NULL) {
		rc = -EINVAL;
		why = "no mbuf pool";
	}
	if (rc == 0 && mine.tap_fd >= 0 && !tap_fd_valid(mine.tap_fd)) {
		rc = -EINVAL;
		why = "the TAP's descriptor is no plain TAP";
	}
	if (rc < 0) {
		log_error("port_spec_invalid", "id=%u reason=\"%s\"", mine.id, why);
		goto fail;
	}
	port = aligned_alloc(RTE_CACHE_LINE_SIZE, RTE_CACHE_LINE_ROUNDUP(sizeof(*port)));
	if (port == NULL) {
		rc = -ENOMEM;
		goto fail;
	}
	memset(port, 0, sizeof(*port));
	port->id = mine.id;
	port->queues = 1;
	port->mtu = mine.mtu;
	memcpy(port->mac, mine.mac, sizeof(port->mac));
	port->link_fd = -1;
	port->rx_fd = -1;
	port->pool = options->pool;
	port->spec = mine;
	rc = tap_init(&port->tap, mine.tap_fd);
	if (rc < 0)
		goto fail;
	if (mine.backend == PORT_BACKEND_PACKET)
		rc = packet_port_open(port, options);
	else
		rc = ethdev_port_open(port, options);
	if (rc < 0) {
		log_error("port_open_failed", "port=%s backend=%s device=%s error=\"%s\"",
			mine.name, port_backend_name(mine.backend), mine.device, strerror(-rc));
		mine.tap_fd = -1; /* closed here */
		tap_fini(&port->tap);
		goto fail;
	}
	*out = port;
	return 0;
fail:
	fd_close(&mine.tap_fd);
	fd_close(&mine.packet_fd);
	fd_close(&mine.link_fd);
	free(port);
	return rc;
}

void port_close(struct port *port)
{
	if (port == NULL)
		return;
	port->ops->close(port);
	tap_fini(&port->tap);
	fd_close(&port->spec.packet_fd);
	fd_close(&port->spec.link_fd);
	free(port);
}
