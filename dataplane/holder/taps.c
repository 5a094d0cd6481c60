/*
 * Makes the persistent TAPs that stand for ports in the site's namespace, and removes them.
 *
 * Invariant: a TAP is set up (addresses' generation, MAC, MTU) before it is brought up, so that the
 * kernel never speaks from it under a wrong name.
 */
#include "dataplane/holder/holder.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/if_tun.h>

#include "dataplane/port/packet.h"
#include "dataplane/port/tapdev.h"
#include "dataplane/port/wirelink.h"

#define TXQLEN_UPLINK 1000
#define TXQLEN_ACCESS 64 /* nothing useful goes out here until there are gateways */

/* True when the device has this MAC already: setting it again would make the kernel forget. */
static bool mac_is(int fd, const char *name, const uint8_t mac[6])
{
	struct ifreq ifr = {0};

	memcpy(ifr.ifr_name, name, strlen(name) + 1);
	return ioctl(fd, SIOCGIFHWADDR, &ifr) == 0 && memcmp(ifr.ifr_hwaddr.sa_data, mac, 6) == 0;
}

int tap_make(struct holder *h, struct holder_port *port)
{
	static const uint8_t none[6];
	struct port_spec *spec = &port->spec;
	struct ifreq ifr = {.ifr_flags = IFF_TAP | IFF_NO_PI};
	const uint8_t *mac = spec->mac;
	const char *what = "open";
	int rc;
	const int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		goto fail;
	memcpy(ifr.ifr_name, spec->tap, sizeof(spec->tap));
	what = "attach";
	if (ioctl(fd, TUNSETIFF, &ifr) < 0)
		goto fail;
	spec->tap_fd = fd;
	what = "persist";
	if (ioctl(fd, TUNSETPERSIST, 1) < 0)
		goto fail;
	(void)tap_carrier_set(fd, port->wire_up);
	spec->tap_ifindex = if_nametoindex(spec->tap);
	what = "index";
	if (spec->tap_ifindex == 0)
		goto fail;
	if (spec->role == PORT_ROLE_ACCESS) {
		rc = kernel_addrgen_none(h, spec->tap_ifindex);
		/* no IPv6 in this kernel: nothing to keep it from */
		if (rc < 0 && rc != -EAFNOSUPPORT && rc != -EOPNOTSUPP)
			log_warn(
				"tap_addrgenmode", "tap=%s error=\"%s\"", spec->tap, strerror(-rc));
	}
	if (memcmp(mac, none, sizeof(none)) == 0 || mac_is(h->nl_fd, spec->tap, mac))
		mac = NULL;
	rc = kernel_link_set(h, spec->tap_ifindex, mac, spec->mtu,
		spec->role == PORT_ROLE_UPLINK ? TXQLEN_UPLINK : TXQLEN_ACCESS, true);
	if (rc < 0) {
		errno = -rc;
		what = "set";
		goto fail;
	}
	tap_flush(fd);
	return 0;
fail:
	rc = -errno;
	log_error("tap_failed", "tap=%s step=%s error=\"%s\"%s", spec->tap, what, strerror(-rc),
		rc == -EBUSY ? " hint=\"another holder has it\"" : "");
	if (spec->tap_fd < 0 && fd >= 0)
		close(fd);
	return rc;
}

void tap_link_set(struct holder *h, struct holder_port *port, bool up)
{
	const struct port_spec *spec = &port->spec;
	int rc;

	if (up == port->wire_up)
		return;
	port->wire_up = up;
	rc = tap_carrier_set(spec->tap_fd, up);
	if (rc == 0)
		rc = kernel_link_announce(h, spec->tap_ifindex, up);
	if (rc < 0)
		log_error("tap_carrier", "tap=%s error=\"%s\"", spec->tap, strerror(-rc));
	log_info("wire_link", "port=%s up=%d", spec->name, up);
}

void tap_unmake(struct holder_port *port, bool keep)
{
	if (port->spec.tap_fd < 0)
		return;
	if (!keep && ioctl(port->spec.tap_fd, TUNSETPERSIST, 0) < 0)
		log_warn("tap_unpersist", "tap=%s error=\"%s\"", port->spec.tap, strerror(errno));
	close(port->spec.tap_fd);
	port->spec.tap_fd = -1;
}

int taps_watch(struct holder *h)
{
	h->site_link_fd = packet_link_socket_open();
	if (h->site_link_fd < 0)
		return h->site_link_fd;
	return holder_watch(h, h->site_link_fd, SOURCE_SITE, 0);
}

/* Its addresses and routes are gone with it: whoever made them must make them again. */
static void tap_remake(struct holder *h, struct holder_port *port)
{
	const bool pumping = h->pump_since != 0;

	log_warn("tap_lost", "tap=%s", port->spec.tap);
	if (pumping)
		pump_stop(h);
	if (port->spec.tap_fd >= 0)
		close(port->spec.tap_fd);
	port->spec.tap_fd = -1;
	if (tap_make(h, port) == 0) /* its descriptor goes down at the start only */
		child_stop(h, "tap_lost");
	if (pumping)
		pump_start(h);
}

static void link_gone(const struct wirelink_state *state, void *arg)
{
	struct holder *h = arg;
	unsigned int i;

	if (!state->deleted)
		return;
	for (i = 0; i < h->n_ports; i++) {
		const struct port_spec *spec = &h->ports[i].spec;

		/* the TAP itself, or what had taken its name when it was to be made again */
		if (spec->tap_fd >= 0 ? spec->tap_ifindex == state->ifindex
				      : strcmp(spec->tap, state->name) == 0)
			tap_remake(h, &h->ports[i]);
	}
}

void taps_event(struct holder *h)
{
	const int rc = wirelink_read(h->site_link_fd, link_gone, h);
	unsigned int i;

	if (rc == 0)
		return;
	log_warn("site_watch", "error=\"%s\"", strerror(-rc));
	for (i = 0; i < h->n_ports; i++) {
		char name[IF_NAMESIZE];

		if (if_indextoname(h->ports[i].spec.tap_ifindex, name) == NULL)
			tap_remake(h, &h->ports[i]);
	}
}
