/*
 * What the forwarding process asks of the holder. It is not trusted: it parses frames and has no
 * privilege, so everything it asks is held against the inventory first.
 */
#include "dataplane/holder/holder.h"

#include <errno.h>
#include <string.h>

static struct holder_port *port_of_tap(struct holder *h, uint32_t ifindex)
{
	unsigned int i;

	for (i = 0; i < h->n_ports; i++) {
		if (h->ports[i].spec.tap_ifindex == ifindex)
			return &h->ports[i];
	}
	return NULL;
}

/* The access port whose TAP, or VLAN device on it (one or two tags), `ifindex` is; else NULL. */
static const struct holder_port *access_port_of(struct holder *h, uint32_t ifindex)
{
	const struct holder_port *port = port_of_tap(h, ifindex);

	for (int level = 0; port == NULL && ifindex != 0 && level < 2; level++) {
		ifindex = kernel_vlan_lower(ifindex);
		port = ifindex != 0 ? port_of_tap(h, ifindex) : NULL;
	}
	return port != NULL && port->spec.role == PORT_ROLE_ACCESS ? port : NULL;
}

static int fdb_serve(struct holder *h, const struct handover_fdb_write *write)
{
	struct handover_msg answer = {.type = HANDOVER_FDB_RESULT};
	struct handover_fdb_result *result = &answer.result;
	uint32_t i;
	int rc;

	result->seq = write->seq;
	result->n = write->n;
	for (i = 0; i < write->n; i++) {
		if (access_port_of(h, write->entries[i].tap_ifindex) == NULL)
			result->error[i] = -EPERM;
	}
	kernel_fdb_write(h, write, result);
	for (i = 0; i < write->n; i++) {
		if (result->error[i] > 0)
			result->error[i] = -EIO;
		result->failed += result->error[i] != 0;
	}
	if (result->failed > 0)
		log_debug("fdb_write_failed", "seq=%u of=%u failed=%u", result->seq, result->n,
			result->failed);
	rc = handover_send(h->child.fd, &answer);
	if (rc == -EAGAIN) { /* it does not read: its audit finds what became of the batch */
		log_warn("fdb_result_lost", "seq=%u", result->seq);
		rc = 0;
	}
	return rc;
}

static int tap_set_serve(struct holder *h, const struct handover_tap_set *set)
{
	struct holder_port *port = port_of_tap(h, set->tap_ifindex);
	int rc;

	if (port == NULL || port->spec.backend != PORT_BACKEND_ETHDEV) {
		log_warn("tap_set_refused", "tap_ifindex=%u", set->tap_ifindex);
		return 0;
	}
	rc = kernel_link_set(h, set->tap_ifindex,
		memcmp(port->spec.mac, set->mac, 6) != 0 ? set->mac : NULL, set->mtu, 0, false);
	if (rc < 0) {
		log_error("tap_set_failed", "tap=%s error=\"%s\"", port->spec.tap, strerror(-rc));
		return 0;
	}
	memcpy(port->spec.mac, set->mac, sizeof(port->spec.mac));
	if (set->mtu != 0)
		port->spec.mtu = set->mtu;
	if (set->link != HANDOVER_LINK_KEEP)
		tap_link_set(h, port, set->link == HANDOVER_LINK_UP);
	return 0;
}

static void probe_serve(struct holder *h, const struct handover_neigh_probe *probe)
{
	const struct holder_port *port = port_of_tap(h, probe->tap_ifindex);
	int rc;

	if (port == NULL || port->spec.role != PORT_ROLE_UPLINK) {
		log_warn("neigh_probe_refused", "tap_ifindex=%u", probe->tap_ifindex);
		return;
	}
	rc = kernel_neigh_probe(h, probe->tap_ifindex, probe->address);
	if (rc < 0)
		log_debug(
			"neigh_probe_failed", "tap=%s error=\"%s\"", port->spec.tap, strerror(-rc));
}

int request_serve(struct holder *h, const struct handover_msg *msg)
{
	switch (msg->type) {
	case HANDOVER_FDB_WRITE:
		return fdb_serve(h, &msg->fdb);
	case HANDOVER_NEIGH_PROBE:
		probe_serve(h, &msg->probe);
		return 0;
	case HANDOVER_TAP_SET:
		return tap_set_serve(h, &msg->tap);
	default: /* not for us */
		return -EBADMSG;
	}
}
