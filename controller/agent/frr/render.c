/* Desired state -> FRR configuration; see render.h. */
#include "controller/agent/frr/render.h"

#include "controller/agent/desired.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BFD_DEFAULT_MS   100
#define BFD_DEFAULT_MULT 3
#define COALESCE_MS      50
#define MULTIHOP_TTL     16 /* longest detour an EVPN session survives, in nodes */

/* A growing text. */
struct text {
	char *s;
	size_t len, capacity;
	bool failed;
};

static void text_add(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void text_add(struct text *t, const char *fmt, ...)
{
	char line[512];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (n < 0 || n >= (int)sizeof(line)) {
		t->failed = true;
		return;
	}
	if (t->len + (size_t)n + 1 > t->capacity) {
		const size_t capacity = 2 * (t->len + (size_t)n + 1) + 256;
		char *grown = realloc(t->s, capacity);

		if (!grown) {
			t->failed = true;
			return;
		}
		t->s = grown;
		t->capacity = capacity;
	}
	memcpy(t->s + t->len, line, (size_t)n + 1);
	t->len += (size_t)n;
}

void render_key_vni(char key[RENDER_KEY_MAX], unsigned int vni)
{
	snprintf(key, RENDER_KEY_MAX, "vni/%u", vni);
}

void render_key_uplink(char key[RENDER_KEY_MAX], const char *peer_address)
{
	snprintf(key, RENDER_KEY_MAX, "uplink/%s", peer_address);
}

void render_key_peer(char key[RENDER_KEY_MAX], const char *address)
{
	snprintf(key, RENDER_KEY_MAX, "peer/%s", address);
}

void render_key_base(char key[RENDER_KEY_MAX], unsigned int asn, const char *vtep)
{
	snprintf(key, RENDER_KEY_MAX, RENDER_KEY_BASE "/%u/%s", asn, vtep);
}

void render_bfd_times(const struct desired *d, unsigned int *transmit, unsigned int *receive,
	unsigned int *multiplier)
{
	const Audums__V1__BfdConfig *b = d->base ? d->base->bfd : NULL;

	*transmit = b && b->transmit_ms ? b->transmit_ms : BFD_DEFAULT_MS;
	*receive = b && b->receive_ms ? b->receive_ms : BFD_DEFAULT_MS;
	*multiplier = b && b->multiplier ? b->multiplier : BFD_DEFAULT_MULT;
}

/* ---- policies: nothing passes a session but what stands here (RFC 8212) ---- */

static int put_prefix(struct conf *c, const char *address)
{
	char key[64], apply[128], undo[128];

	snprintf(key, sizeof(key), "prefix/%s", address);
	snprintf(
		apply, sizeof(apply), "ip prefix-list " RENDER_PREFIXES " permit %s/32\n", address);
	snprintf(undo, sizeof(undo), "no ip prefix-list " RENDER_PREFIXES " permit %s/32\n",
		address);
	return conf_put(c, CONF_POLICY, true, key, "", apply, undo);
}

static int put_policies(const struct desired *d, struct conf *c)
{
	int err = put_prefix(c, d->base->vtep);

	for (size_t i = 0; i < d->base->n_evpn_peers && !err; i++)
		err = put_prefix(c, d->base->evpn_peers[i]->address);
	if (!err)
		err = conf_put(c, CONF_POLICY, true, "route-map/" RENDER_UNDERLAY, "",
			"route-map " RENDER_UNDERLAY " permit 10\n"
			"match ip address prefix-list " RENDER_PREFIXES "\n"
			"exit\n",
			"no route-map " RENDER_UNDERLAY "\n");
	if (!err)
		err = conf_put(c, CONF_POLICY, true, "route-map/" RENDER_OVERLAY, "",
			"route-map " RENDER_OVERLAY " permit 10\n"
			"exit\n",
			"no route-map " RENDER_OVERLAY "\n");
	return err;
}

/* ---- the BGP instance and its sessions ---- */

static int put_base(const Audums__V1__NodeBase *b, struct conf *c)
{
	char key[RENDER_KEY_MAX], undo[64];
	struct text t = {0};
	int err;

	/* The connected check comes off first of all: with it, EVPN routes of a multihop session
	 * can stay unusable for ever. */
	text_add(&t, "router bgp %u\n", b->asn);
	text_add(&t, "bgp disable-ebgp-connected-route-check\n");
	text_add(&t, "bgp router-id %s\n", b->router_id);
	text_add(&t, "no bgp default ipv4-unicast\n");
	text_add(&t, "bgp bestpath as-path multipath-relax\n");
	text_add(&t, "bgp route-map delay-timer 1\n");
	/* bgpd holds a new session's first routes back for 1 s and 50 ms a neighbor, unless told */
	text_add(&t, "coalesce-time %d\n", COALESCE_MS);
	text_add(&t, "timers bgp 3 9\n");
	text_add(&t, "address-family ipv4 unicast\n");
	text_add(&t, "network %s/32\n", b->vtep);
	text_add(&t, "exit-address-family\n");
	text_add(&t, "address-family l2vpn evpn\n");
	text_add(&t, "advertise-all-vni\n");
	text_add(&t, "exit-address-family\n");
	text_add(&t, "exit\n");
	render_key_base(key, b->asn, b->vtep);
	snprintf(undo, sizeof(undo), "no router bgp %u\n", b->asn);
	err = t.failed ? -ENOMEM : conf_put(c, CONF_BASE, true, key, "", t.s, undo);
	free(t.s);
	return err;
}

static int put_uplink(const Audums__V1__UplinkConfig *u, const char *context, struct conf *c)
{
	const char *p = u->peer_address;
	char key[RENDER_KEY_MAX], undo[64];
	struct text t = {0};
	int err;

	text_add(&t, "neighbor %s remote-as %u\n", p, u->peer_asn);
	text_add(&t, "neighbor %s bfd profile " RENDER_PROFILE "\n", p);
	text_add(&t, "neighbor %s advertisement-interval 0\n", p);
	text_add(&t, "neighbor %s timers connect 2\n", p);
	text_add(&t, "address-family ipv4 unicast\n");
	text_add(&t, "neighbor %s route-map " RENDER_UNDERLAY " in\n", p);
	text_add(&t, "neighbor %s route-map " RENDER_UNDERLAY " out\n", p);
	text_add(&t, "neighbor %s activate\n", p);
	text_add(&t, "exit-address-family\n");
	render_key_uplink(key, p);
	snprintf(undo, sizeof(undo), "no neighbor %s\n", p);
	err = t.failed ? -ENOMEM : conf_put(c, CONF_UPLINK, false, key, context, t.s, undo);
	free(t.s);
	return err;
}

static int put_peer(const Audums__V1__NodeBase *b, const Audums__V1__EvpnPeerConfig *e,
	const char *context, struct conf *c)
{
	const char *p = e->address;
	char key[RENDER_KEY_MAX], undo[64];
	struct text t = {0};
	int err;

	text_add(&t, "neighbor %s remote-as %u\n", p, e->asn);
	text_add(&t, "neighbor %s ebgp-multihop %d\n", p, MULTIHOP_TTL);
	text_add(&t, "neighbor %s update-source %s\n", p, b->vtep);
	text_add(&t, "neighbor %s advertisement-interval 0\n", p);
	text_add(&t, "neighbor %s timers connect 2\n", p);
	text_add(&t, "address-family l2vpn evpn\n");
	text_add(&t, "neighbor %s route-map " RENDER_OVERLAY " in\n", p);
	text_add(&t, "neighbor %s route-map " RENDER_OVERLAY " out\n", p);
	text_add(&t, "neighbor %s activate\n", p);
	text_add(&t, "exit-address-family\n");
	render_key_peer(key, p);
	snprintf(undo, sizeof(undo), "no neighbor %s\n", p);
	err = t.failed ? -ENOMEM : conf_put(c, CONF_PEER, false, key, context, t.s, undo);
	free(t.s);
	return err;
}

static int put_vni(const Audums__V1__SegmentConfig *s, const char *context, struct conf *c)
{
	char key[RENDER_KEY_MAX], undo[64];
	struct text t = {0};
	int err;

	text_add(&t, "vni %u\n", s->vni);
	text_add(&t, "rd %s\n", s->rd);
	for (size_t i = 0; i < s->n_rt_import; i++)
		text_add(&t, "route-target import %s\n", s->rt_import[i]);
	for (size_t i = 0; i < s->n_rt_export; i++)
		text_add(&t, "route-target export %s\n", s->rt_export[i]);
	text_add(&t, "exit-vni\n");
	render_key_vni(key, s->vni);
	snprintf(undo, sizeof(undo), "no vni %u\n", s->vni);
	err = t.failed ? -ENOMEM : conf_put(c, CONF_VNI, true, key, context, t.s, undo);
	free(t.s);
	return err;
}

int render_bgpd(const struct desired *d, struct conf *c)
{
	char bgp[64], evpn[128];
	int err;

	conf_clear(c);
	if (!d->base)
		return 0;
	snprintf(bgp, sizeof(bgp), "router bgp %u\n", d->base->asn);
	snprintf(evpn, sizeof(evpn), "%saddress-family l2vpn evpn\n", bgp);
	err = put_policies(d, c);
	if (!err)
		err = put_base(d->base, c);
	for (size_t i = 0; i < d->base->n_uplinks && !err; i++)
		err = put_uplink(d->base->uplinks[i], bgp, c);
	for (size_t i = 0; i < d->vni_count && !err; i++)
		err = put_vni(d->by_vni[i]->cfg, evpn, c);
	for (size_t i = 0; i < d->base->n_evpn_peers && !err; i++)
		err = put_peer(d->base, d->base->evpn_peers[i], bgp, c);
	return err;
}

int render_bfdd(const struct desired *d, struct conf *c)
{
	unsigned int transmit, receive, multiplier;
	char apply[256];

	conf_clear(c);
	if (!d->base)
		return 0;
	render_bfd_times(d, &transmit, &receive, &multiplier);
	snprintf(apply, sizeof(apply),
		"bfd\n"
		"profile " RENDER_PROFILE "\n"
		"transmit-interval %u\n"
		"receive-interval %u\n"
		"detect-multiplier %u\n"
		"exit\n"
		"exit\n",
		transmit, receive, multiplier);
	return conf_put(c, CONF_POLICY, true, RENDER_KEY_PROFILE, "", apply,
		"bfd\nno profile " RENDER_PROFILE "\nexit\n");
}

int render_zebra(const struct desired *d, struct conf *c)
{
	int err;

	conf_clear(c);
	if (!d->base)
		return 0;
	err = conf_put(c, CONF_POLICY, true, "work-queue", "", "zebra work-queue 0\n",
		"no zebra work-queue\n");
	/* The kernel deletes next-hop objects of a port that loses carrier, and groups with them;
	 * zebra 8.4 goes on to use such a group, and a route with two paths is refused for ever
	 * after. Routes that carry their paths themselves have no such memory. */
	if (!err)
		err = conf_put(c, CONF_POLICY, true, "nexthops", "",
			"no zebra nexthop kernel enable\n", "zebra nexthop kernel enable\n");
	return err;
}
