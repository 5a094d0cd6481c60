/* See retell.h. Invariant: no session is interrupted by telling. */
#include "controller/agent/frr/retell.h"

#include "controller/agent/desired.h"
#include "controller/agent/frr/frr.h"
#include "controller/agent/frr/render.h"
#include "proto/lib/log.h"

#include <stdio.h>
#include <string.h>

static void enter_bgp(struct frr *f)
{
	char line[64];

	snprintf(line, sizeof(line), "router bgp %u", f->desired->base->asn);
	vty_send(f->bgpd.vty, "configure terminal", NULL, NULL);
	vty_send(f->bgpd.vty, line, NULL, NULL);
}

void retell_bfd(struct frr *f)
{
	const Audums__V1__NodeBase *b = f->desired->base;
	char line[128];

	if (!f->bgpd.up || f->bgpd.in_flight)
		return;
	enter_bgp(f);
	for (size_t i = 0; i < b->n_uplinks; i++) {
		const char *p = b->uplinks[i]->peer_address;

		snprintf(line, sizeof(line), "no neighbor %s bfd", p);
		vty_send(f->bgpd.vty, line, NULL, NULL);
		snprintf(line, sizeof(line), "neighbor %s bfd profile " RENDER_PROFILE, p);
		vty_send(f->bgpd.vty, line, NULL, NULL);
	}
	vty_send(f->bgpd.vty, "end", NULL, NULL);
}

/* A table map is looked at by announcing the whole table to zebra, at its coming and its going. */
static void retell_routes(struct frr *f)
{
	enter_bgp(f);
	vty_send(f->bgpd.vty, "address-family ipv4 unicast", NULL, NULL);
	vty_send(f->bgpd.vty, "table-map " RENDER_UNDERLAY, NULL, NULL);
	vty_send(f->bgpd.vty, "no table-map " RENDER_UNDERLAY, NULL, NULL);
	vty_send(f->bgpd.vty, "end", NULL, NULL);
}

/* Whether a line of the summary begins with the client's name. */
static bool has_client(const char *text, const char *name)
{
	const size_t n = strlen(name);

	while (text) {
		if (strncmp(text, name, n) == 0 && text[n] == ' ')
			return true;
		text = strchr(text, '\n');
		if (text)
			text++;
	}
	return false;
}

void retell_zebra(struct frr *f, const char *clients)
{
	const bool joined = has_client(clients, "bgp") && has_client(clients, "bfd");
	const bool were = f->zebra_joined;

	if (!f->zebra.up || strcmp(f->zebra_told, f->zebra.instance) == 0)
		return;
	f->zebra_joined = joined;
	/* one poll later they have learnt of the interfaces */
	if (!joined || !were || !f->desired->base || !f->bgpd.up || f->bgpd.in_flight)
		return;
	f->zebra_joined = false;
	if (f->zebra_told[0]) {
		log_info("zebra_retold", "clients=bgpd,bfdd");
		retell_routes(f);
		retell_bfd(f);
	}
	snprintf(f->zebra_told, sizeof(f->zebra_told), "%s", f->zebra.instance);
}
