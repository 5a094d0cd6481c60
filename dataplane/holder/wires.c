/*
 * Opens the ports of the inventory: packet sockets in the wires' namespaces, TAPs in ours; and
 * copies the wires' link state, and MTU, to the TAPs for as long as the holder lives.
 *
 * Invariant: outside these functions the thread is in the site's namespace. A holder that cannot
 * return to it exits at once, because every later request would go to the wrong kernel.
 */
#include "dataplane/holder/holder.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dataplane/port/packet.h"
#include "dataplane/port/wirelink.h"

#define MTU_UNKNOWN 1500 /* of a wire that is not there */

static void site_return(const struct holder *h)
{
	if (setns(h->site_fd, CLONE_NEWNET) == 0)
		return;
	log_error("site_namespace_lost", "error=\"%s\"", strerror(errno));
	abort();
}

/* Find or open a wire namespace and our watch in it. */
static int wire_get(struct holder *h, const char *netns, uint16_t *index)
{
	struct holder_wire *wire = &h->wires[h->n_wires];
	unsigned int i;
	int rc;

	for (i = 0; i < h->n_wires; i++) {
		if (strcmp(h->wires[i].netns, netns) == 0) {
			*index = (uint16_t)i;
			return 0;
		}
	}
	memcpy(wire->netns, netns, strlen(netns) + 1);
	wire->fd = open(netns[0] != '\0' ? netns : "/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (wire->fd < 0) {
		rc = -errno;
		log_error("wire_namespace", "path=%s error=\"%s\"", netns, strerror(-rc));
		return rc;
	}
	if (setns(wire->fd, CLONE_NEWNET) < 0) {
		rc = -errno;
		log_error("wire_namespace", "path=%s error=\"%s\"", netns, strerror(-rc));
		close(wire->fd);
		return rc;
	}
	wire->link_fd = packet_link_socket_open();
	site_return(h);
	if (wire->link_fd < 0) {
		log_error("wire_watch", "path=%s error=\"%s\"", netns, strerror(-wire->link_fd));
		close(wire->fd);
		return wire->link_fd;
	}
	*index = (uint16_t)h->n_wires++;
	return 0;
}

/*
 * The wire's kernel must not answer in the port's name: it has the same MAC, and would make itself
 * the same link-local address as the TAP.
 */
static void wire_ipv6_off(const char *device)
{
	char path[96];
	int fd;

	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%.15s/disable_ipv6", device);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return; /* no IPv6 in this kernel */
	if (write(fd, "1", 1) != 1)
		log_warn("wire_ipv6", "device=%s error=\"%s\"", device, strerror(errno));
	close(fd);
}

/* In the wire's namespace: the device's index, MAC and MTU, and bring it up. */
static int wire_device(struct port_spec *spec)
{
	struct ifreq ifr = {0};
	int rc = 0;
	const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	wire_ipv6_off(spec->device);
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%.15s", spec->device);
	if (ioctl(fd, SIOCGIFINDEX, &ifr) < 0)
		goto fail;
	spec->wire_ifindex = (uint32_t)ifr.ifr_ifindex;
	if (ioctl(fd, SIOCGIFMTU, &ifr) < 0)
		goto fail;
	spec->mtu = (uint32_t)ifr.ifr_mtu;
	if (ioctl(fd, SIOCGIFHWADDR, &ifr) < 0)
		goto fail;
	memcpy(spec->mac, ifr.ifr_hwaddr.sa_data, sizeof(spec->mac));
	if (ioctl(fd, SIOCGIFFLAGS, &ifr) < 0)
		goto fail;
	if ((ifr.ifr_flags & IFF_UP) == 0) {
		ifr.ifr_flags |= IFF_UP;
		if (ioctl(fd, SIOCSIFFLAGS, &ifr) < 0)
			goto fail;
	}
	goto out;
fail:
	rc = -errno;
out:
	close(fd);
	return rc;
}

/* May it be a port (port_spec_check())? */
static bool wire_fits(const struct port_spec *spec)
{
	static const uint8_t none[6];

	return spec->mtu >= PORT_MTU_MIN && spec->mtu <= PORT_MTU_MAX && (spec->mac[0] & 1) == 0 &&
	       memcmp(spec->mac, none, sizeof(none)) != 0;
}

static void fd_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* Open a packet port's sockets; closes former ones. -ENODEV: there is no such device; -ERANGE: its
 * MTU or MAC is none that a port may have. */
static int wire_sockets(struct holder *h, struct holder_port *port)
{
	struct port_spec *spec = &port->spec;
	const char *what = "enter";
	int rc = 0;

	fd_close(&spec->packet_fd);
	fd_close(&spec->link_fd);
	if (setns(h->wires[port->wire].fd, CLONE_NEWNET) < 0) {
		rc = -errno;
		goto out;
	}
	what = "device";
	rc = wire_device(spec);
	if (rc == 0 && !wire_fits(spec)) {
		what = "limits";
		rc = -ERANGE;
		spec->mtu = MTU_UNKNOWN;
		memset(spec->mac, 0, sizeof(spec->mac));
	}
	if (rc == 0) {
		what = "packet_socket";
		spec->packet_fd = packet_socket_open(spec->wire_ifindex);
		rc = spec->packet_fd < 0 ? spec->packet_fd : 0;
	}
	if (rc == 0) {
		what = "link_socket";
		spec->link_fd = packet_link_socket_open();
		rc = spec->link_fd < 0 ? spec->link_fd : 0;
	}
	site_return(h);
out:
	if (rc < 0)
		log_error("wire_failed", "port=%s device=%s netns=%s step=%s error=\"%s\"",
			spec->name, spec->device, h->wires[port->wire].netns, what, strerror(-rc));
	return rc;
}

static int port_open_one(
	struct holder *h, const struct inventory_port *line, struct holder_port *port)
{
	const char *why = NULL;
	int rc;

	port->spec = line->spec;
	port->spec.tap_fd = port->spec.packet_fd = port->spec.link_fd = -1;
	if (port->spec.backend == PORT_BACKEND_PACKET) {
		rc = wire_get(h, line->netns, &port->wire);
		if (rc == 0)
			rc = wire_sockets(h, port);
		/* one lost or unfit device must not keep the others from working */
		if (rc == -ENODEV || rc == -ERANGE) {
			port->wire_gone = true;
			port->spec.mtu = MTU_UNKNOWN;
		} else if (rc < 0) {
			return rc;
		}
	}
	rc = tap_make(h, port);
	if (rc < 0 || port->wire_gone)
		return rc;
	rc = port_spec_check(&port->spec, &why);
	if (rc < 0)
		log_error("port_unusable", "port=%s reason=\"%s\"", port->spec.name, why);
	else
		log_info("port_opened",
			"port=%s role=%s backend=%s device=%s tap=%s tap_ifindex=%u mtu=%u",
			port->spec.name, port_role_name(port->spec.role),
			port_backend_name(port->spec.backend), port->spec.device, port->spec.tap,
			port->spec.tap_ifindex, port->spec.mtu);
	return rc;
}

int wires_open(struct holder *h)
{
	unsigned int i;
	int rc;

	for (i = 0; i < h->inventory.n; i++) {
		h->n_ports = i + 1;
		rc = port_open_one(h, &h->inventory.ports[i], &h->ports[i]);
		if (rc < 0)
			return rc;
	}
	for (i = 0; i < h->n_wires; i++) {
		rc = holder_watch(h, h->wires[i].link_fd, SOURCE_WIRE, i);
		if (rc == 0)
			rc = wirelink_request(h->wires[i].link_fd, 0);
		if (rc < 0) {
			log_error("wire_watch", "error=\"%s\"", strerror(-rc));
			return rc;
		}
		wires_event(h, i);
	}
	return 0;
}

void wires_close(struct holder *h)
{
	unsigned int i;

	for (i = 0; i < h->n_ports; i++) {
		fd_close(&h->ports[i].spec.packet_fd);
		fd_close(&h->ports[i].spec.link_fd);
		tap_unmake(&h->ports[i], h->options.keep);
	}
	for (i = 0; i < h->n_wires; i++) {
		fd_close(&h->wires[i].fd);
		fd_close(&h->wires[i].link_fd);
	}
	h->n_ports = h->n_wires = 0;
}

/* A wire was deleted and one of its name is there again: the sockets are of the old one. */
static void port_reopen(struct holder *h, struct holder_port *port)
{
	const bool pumping = h->pump_since != 0;

	if (pumping)
		pump_stop(h);
	if (wire_sockets(h, port) == 0) {
		port->wire_gone = false;
		(void)kernel_link_set(
			h, port->spec.tap_ifindex, port->spec.mac, port->spec.mtu, 0, false);
		log_info("wire_reopened", "port=%s ifindex=%u", port->spec.name,
			port->spec.wire_ifindex);
		/* descriptors go down at the start only */
		child_stop(h, "wire_reopened");
	}
	if (pumping)
		pump_start(h);
}

struct link_context {
	struct holder *h;
	unsigned int wire;
};

static void port_link_take(
	struct holder *h, struct holder_port *port, const struct wirelink_state *state)
{
	struct port_spec *spec = &port->spec;

	tap_link_set(h, port, state->up);
	if (state->mtu != 0 && state->mtu != spec->mtu) {
		if (state->mtu < PORT_MTU_MIN || state->mtu > PORT_MTU_MAX) {
			log_warn("wire_mtu", "port=%s mtu=%u reason=\"out of bounds\"", spec->name,
				state->mtu);
			return;
		}
		spec->mtu = state->mtu;
		(void)kernel_link_set(h, spec->tap_ifindex, NULL, spec->mtu, 0, false);
		log_info("wire_mtu", "port=%s mtu=%u", spec->name, spec->mtu);
	}
}

static void link_take(const struct wirelink_state *state, void *arg)
{
	const struct link_context *context = arg;
	struct holder *h = context->h;
	unsigned int i;

	for (i = 0; i < h->n_ports; i++) {
		struct holder_port *port = &h->ports[i];
		struct port_spec *spec = &port->spec;

		if (spec->backend != PORT_BACKEND_PACKET || port->wire != context->wire)
			continue;
		if (!port->wire_gone && state->ifindex == spec->wire_ifindex) {
			port->wire_seen = true;
			port_link_take(h, port, state);
			/* deleted, or renamed or moved away: the kernel says the same */
			if (state->deleted) {
				port->wire_gone = true;
				log_warn(
					"wire_gone", "port=%s device=%s", spec->name, spec->device);
			}
		} else if (port->wire_gone && !state->deleted &&
			   strcmp(state->name, spec->device) == 0) {
			port_reopen(h, port);
			if (!port->wire_gone && state->ifindex == spec->wire_ifindex)
				port_link_take(h, port, state);
		}
	}
}

/* Events were lost: look at all links, and take those that are not there as deleted. */
static int wire_resync(struct holder *h, unsigned int wire)
{
	struct link_context context = {.h = h, .wire = wire};
	unsigned int i;
	int rc;

	log_warn("wire_watch_overrun", "netns=%s", h->wires[wire].netns);
	for (i = 0; i < h->n_ports; i++)
		h->ports[i].wire_seen = false;
	rc = wirelink_request(h->wires[wire].link_fd, 0);
	if (rc == 0)
		rc = wirelink_read(h->wires[wire].link_fd, link_take, &context);
	for (i = 0; rc == 0 && i < h->n_ports; i++) {
		const struct holder_port *port = &h->ports[i];

		if (port->spec.backend == PORT_BACKEND_PACKET && port->wire == wire &&
			!port->wire_seen && !port->wire_gone) {
			const struct wirelink_state gone = {
				.ifindex = port->spec.wire_ifindex, .deleted = true};

			link_take(&gone, &context);
		}
	}
	return rc;
}

void wires_event(struct holder *h, unsigned int wire)
{
	struct link_context context = {.h = h, .wire = wire};
	int rc = wirelink_read(h->wires[wire].link_fd, link_take, &context);

	if (rc == -ENOBUFS)
		rc = wire_resync(h, wire);
	if (rc < 0)
		log_error(
			"wire_watch", "netns=%s error=\"%s\"", h->wires[wire].netns, strerror(-rc));
}
