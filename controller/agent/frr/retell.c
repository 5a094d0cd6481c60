/*
 * See retell.h. Invariant: no session is interrupted by telling, and what the kernel holds of the
 * old zebra stays until the new one has said the same.
 */
#include "controller/agent/frr/retell.h"

#include "controller/agent/desired.h"
#include "controller/agent/frr/frr.h"
#include "controller/agent/frr/render.h"
#include "proto/lib/log.h"

#include <stdio.h>
#include <string.h>

#define NOBODYS_AS "65535" /* reserved (RFC 7300), in no provider's pool */

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

/* An import route target that no provider can have comes and goes: bgpd takes what it has imported
 * out of zebra and puts it in again, at each. */
static void retell_vnis(struct frr *f)
{
	const struct desired *d = f->desired;
	char key[RENDER_KEY_MAX], line[64];

	enter_bgp(f);
	vty_send(f->bgpd.vty, "address-family l2vpn evpn", NULL, NULL);
	for (size_t i = 0; i < d->vni_count; i++) {
		const uint32_t vni = d->by_vni[i]->cfg->vni;

		render_key_vni(key, vni);
		if (!daemon_holds(&f->bgpd, CONF_VNI, key))
			continue;
		snprintf(line, sizeof(line), "vni %u", vni);
		vty_send(f->bgpd.vty, line, NULL, NULL);
		snprintf(line, sizeof(line), "route-target import " NOBODYS_AS ":%u", vni);
		vty_send(f->bgpd.vty, line, NULL, NULL);
		snprintf(line, sizeof(line), "no route-target import " NOBODYS_AS ":%u", vni);
		vty_send(f->bgpd.vty, line, NULL, NULL);
		vty_send(f->bgpd.vty, "exit-vni", NULL, NULL);
	}
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

/* Taking BFD off a session that has it would have the peer take BGP down. */
static bool bfd_lost(const struct frr *f)
{
	const Audums__V1__NodeBase *b = f->desired->base;

	for (size_t i = 0; i < b->n_uplinks; i++)
		if (!rb_bfd_find(&f->bfd, b->uplinks[i]->peer_address))
			return true;
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
		if (bfd_lost(f))
			retell_bfd(f);
		retell_vnis(f);
	}
	snprintf(f->zebra_told, sizeof(f->zebra_told), "%s", f->zebra.instance);
}
