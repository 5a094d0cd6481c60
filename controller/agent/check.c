/* Checks of the desired state; see check.h. */
#include "controller/agent/check.h"

#include "controller/agent/desired.h"
#include "controller/agent/inventory.h"
#include "controller/agent/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_MAX_CHARS 31
#define MTU_MIN        1280
#define MTU_MAX        9216
#define ASN_MAX        65535

static bool fail(char *error, size_t size, const char *what, const char *value)
{
	snprintf(error, size, "%s: \"%.64s\"", what, value);
	return false;
}

static bool check_uplink(const Audums__V1__UplinkConfig *u, char *error, size_t size)
{
	uint32_t ip;
	uint8_t plen;

	if (!text_name(u->link, NAME_MAX_CHARS))
		return fail(error, size, "uplink: not a link's name", u->link);
	if (!text_name(u->port, INVENTORY_NAME_MAX))
		return fail(error, size, "uplink: not a port's name", u->port);
	if (!text_ipv4_plen(u->address, &ip, &plen) || plen == 0)
		return fail(error, size, "uplink: not an address with prefix length", u->address);
	if (!text_ipv4(u->peer_address, &ip))
		return fail(error, size, "uplink: not a peer's IPv4 address", u->peer_address);
	if (u->peer_asn < 1 || u->peer_asn > ASN_MAX)
		return fail(error, size, "uplink: peer ASN is not a 16-bit one", u->link);
	if (u->mtu < MTU_MIN || u->mtu > 65535)
		return fail(error, size, "uplink: MTU out of range", u->link);
	return true;
}

bool check_base(const Audums__V1__NodeBase *b, char *error, size_t size)
{
	uint32_t ip;

	if (!text_name(b->node, NAME_MAX_CHARS))
		return fail(error, size, "not a node's name", b->node);
	if (b->asn < 1 || b->asn > ASN_MAX)
		return fail(error, size, "ASN is not a 16-bit one", b->node);
	if (!text_ipv4(b->router_id, &ip) || ip == 0)
		return fail(error, size, "not a router id", b->router_id);
	if (!text_ipv4(b->vtep, &ip) || ip == 0)
		return fail(error, size, "not a VTEP's IPv4 address", b->vtep);
	if (b->n_uplinks > DESIRED_UPLINK_MAX)
		return fail(error, size, "too many uplinks", b->node);
	if (b->n_evpn_peers > DESIRED_PEER_MAX)
		return fail(error, size, "too many EVPN peers", b->node);
	for (size_t i = 0; i < b->n_uplinks; i++) {
		if (!check_uplink(b->uplinks[i], error, size))
			return false;
		for (size_t j = 0; j < i; j++)
			if (strcmp(b->uplinks[i]->port, b->uplinks[j]->port) == 0 ||
				strcmp(b->uplinks[i]->peer_address, b->uplinks[j]->peer_address) ==
					0)
				return fail(error, size, "two uplinks share port or peer",
					b->uplinks[i]->link);
	}
	for (size_t i = 0; i < b->n_evpn_peers; i++) {
		const Audums__V1__EvpnPeerConfig *p = b->evpn_peers[i];

		if (!text_ipv4(p->address, &ip))
			return fail(error, size, "EVPN peer: not an IPv4 address", p->address);
		if (p->asn < 1 || p->asn > ASN_MAX)
			return fail(error, size, "EVPN peer: ASN is not a 16-bit one", p->address);
		for (size_t j = 0; j < i; j++)
			if (strcmp(p->address, b->evpn_peers[j]->address) == 0)
				return fail(error, size, "EVPN peer named twice", p->address);
	}
	if (b->bfd && (b->bfd->transmit_ms > 60000 || b->bfd->receive_ms > 60000 ||
			      (b->bfd->transmit_ms && b->bfd->transmit_ms < 10) ||
			      (b->bfd->receive_ms && b->bfd->receive_ms < 10) ||
			      b->bfd->multiplier > 255 || b->bfd->multiplier == 1))
		return fail(error, size, "BFD times out of range (10-60000 ms, x 2-255)", b->node);
	return true;
}

static bool check_rts(char *const *rts, size_t n, char *error, size_t size)
{
	if (n == 0 || n > DESIRED_RT_MAX)
		return fail(error, size, "route targets: expected 1 to 64, explicit", "");
	for (size_t i = 0; i < n; i++)
		if (!text_rt(rts[i]))
			return fail(error, size, "route target is not ASN:VNI with a 16-bit ASN",
				rts[i]);
	return true;
}

static bool check_segment(const Audums__V1__SegmentConfig *c, char *error, size_t size)
{
	uint32_t ip;

	if (!text_name(c->name, NAME_MAX_CHARS))
		return fail(error, size, "not a segment's name", c->name);
	if (c->vni < 1 || c->vni > 16777215)
		return fail(error, size, "VNI out of range", c->name);
	if (!text_rd(c->rd))
		return fail(error, size, "RD is not A.B.C.D:INDEX with INDEX below 65536", c->rd);
	if (!check_rts(c->rt_import, c->n_rt_import, error, size) ||
		!check_rts(c->rt_export, c->n_rt_export, error, size))
		return false;
	if (c->mtu < MTU_MIN || c->mtu > MTU_MAX)
		return fail(error, size, "MTU out of range (1280-9216)", c->name);
	if (c->n_attachments > DESIRED_ATTACHMENT_MAX)
		return fail(error, size, "too many attachments", c->name);
	if (c->n_vteps > DESIRED_VTEP_MAX)
		return fail(error, size, "too many VTEPs", c->name);
	for (size_t i = 0; i < c->n_vteps; i++)
		if (!text_ipv4(c->vteps[i], &ip))
			return fail(error, size, "VTEP is not an IPv4 address", c->vteps[i]);
	return true;
}

static void check_attachment(const Audums__V1__AttachmentConfig *c, struct attachment *a)
{
	a->invalid[0] = '\0';
	if (!text_name(c->name, NAME_MAX_CHARS))
		fail(a->invalid, sizeof(a->invalid), "not an attachment's name", c->name);
	else if (!text_name(c->port, INVENTORY_NAME_MAX))
		fail(a->invalid, sizeof(a->invalid), "not a port's name", c->port);
	else if (c->vlan != 0)
		snprintf(a->invalid, sizeof(a->invalid),
			"VLAN %u: attachments with a VLAN are not supported", c->vlan);
}

struct claim {
	const char *key;
	uint32_t vni;
	size_t order; /* position of the segment by name */
	struct segment *segment;
	struct attachment *attachment;
};

static int compare_vni(const void *a, const void *b)
{
	const struct claim *x = a, *y = b;

	if (x->vni != y->vni)
		return x->vni < y->vni ? -1 : 1;
	return x->order < y->order ? -1 : x->order > y->order;
}

static int compare_key(const void *a, const void *b)
{
	const struct claim *x = a, *y = b;
	const int c = strcmp(x->key, y->key);

	return c ? c : x->order < y->order ? -1 : x->order > y->order;
}

void check_segments(struct segment **segments, size_t count)
{
	struct claim *claims;
	size_t n = 0, total = count;

	for (size_t i = 0; i < count; i++) {
		struct segment *s = segments[i];

		s->invalid[0] = '\0';
		check_segment(s->cfg, s->invalid, sizeof(s->invalid));
		for (size_t j = 0; j < s->cfg->n_attachments; j++)
			check_attachment(s->cfg->attachments[j], &s->attachments[j]);
		total += s->cfg->n_attachments;
	}
	claims = calloc(total + 1, sizeof(*claims));
	if (!claims) {
		for (size_t i = 0; i < count; i++)
			snprintf(segments[i]->invalid, sizeof(segments[i]->invalid),
				"out of memory");
		return;
	}
	for (size_t i = 0; i < count; i++)
		if (!segments[i]->invalid[0])
			claims[n++] = (struct claim){.vni = segments[i]->cfg->vni,
				.key = segments[i]->cfg->rd,
				.order = i,
				.segment = segments[i]};
	qsort(claims, n, sizeof(*claims), compare_vni);
	for (size_t i = 1; i < n; i++)
		if (claims[i].vni == claims[i - 1].vni)
			snprintf(claims[i].segment->invalid, sizeof(claims[i].segment->invalid),
				"VNI %u belongs to segment %s", claims[i].vni,
				claims[i - 1].segment->cfg->name);
	qsort(claims, n, sizeof(*claims), compare_key);
	for (size_t i = 1; i < n; i++)
		if (strcmp(claims[i].key, claims[i - 1].key) == 0 && !claims[i].segment->invalid[0])
			snprintf(claims[i].segment->invalid, sizeof(claims[i].segment->invalid),
				"RD %s belongs to segment %s", claims[i].key,
				claims[i - 1].segment->cfg->name);
	n = 0;
	for (size_t i = 0; i < count; i++)
		for (size_t j = 0; j < segments[i]->cfg->n_attachments; j++)
			if (!segments[i]->invalid[0] && !segments[i]->attachments[j].invalid[0])
				claims[n++] = (struct claim){
					.key = segments[i]->cfg->attachments[j]->port,
					.order = i,
					.segment = segments[i],
					.attachment = &segments[i]->attachments[j]};
	qsort(claims, n, sizeof(*claims), compare_key);
	for (size_t i = 1; i < n; i++)
		if (strcmp(claims[i].key, claims[i - 1].key) == 0)
			snprintf(claims[i].attachment->invalid,
				sizeof(claims[i].attachment->invalid),
				"port %s belongs to segment %s", claims[i].key,
				claims[i - 1].segment->cfg->name);
	free(claims);
}
