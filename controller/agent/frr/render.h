/*
 * The desired state as configuration items of bgpd, bfdd and zebra. No I/O; everything that goes
 * into a command was checked before (check.c).
 */
#pragma once

#include "controller/agent/frr/conf.h"

struct desired;

#define RENDER_PROFILE     "audums"          /* BFD profile */
#define RENDER_PREFIXES    "audums-vteps"    /* prefix list: the VTEP loopbacks we know */
#define RENDER_UNDERLAY    "audums-underlay" /* route map of the underlay sessions */
#define RENDER_OVERLAY     "audums-overlay"  /* route map of the EVPN sessions */

/* Keys of items that others look for. */
#define RENDER_KEY_PROFILE "profile"
#define RENDER_KEY_BASE    "bgp" /* "bgp/ASN/VTEP": a change of either makes a new instance */

/* Fill in `c` (cleared first). Return 0 or -ENOMEM. A desired state without base gives nothing. */
int render_bgpd(const struct desired *d, struct conf *c);
int render_bfdd(const struct desired *d, struct conf *c);
int render_zebra(const struct desired *d, struct conf *c);

/* Key of a segment's item, "vni/N"; of a session's, "uplink/A.B.C.D" and "peer/A.B.C.D". */
#define RENDER_KEY_MAX 40
void render_key_vni(char key[RENDER_KEY_MAX], unsigned int vni);
void render_key_uplink(char key[RENDER_KEY_MAX], const char *peer_address);
void render_key_peer(char key[RENDER_KEY_MAX], const char *address);
void render_key_base(char key[RENDER_KEY_MAX], unsigned int asn, const char *vtep);

/* BFD times with the defaults filled in, milliseconds and count. */
void render_bfd_times(const struct desired *d, unsigned int *transmit, unsigned int *receive,
	unsigned int *multiplier);
