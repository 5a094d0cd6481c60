/*
 * Bridge domains: the tenants' segments on this node. Ids are 1 .. max, 0 (BD_NONE) is none.
 *
 * What workers see is one immutable struct bd a domain, replaced as a whole (RCU) by every change.
 * The main thread alone writes; the lists are kept sorted and free of doubles.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rte_byteorder.h>

#include "dataplane/tables/rcu.h"

#define BD_NONE  0
#define VNI_MAX  0xffffff
#define VNI_NONE 0

struct bd_tbl;

struct bd {
	uint16_t id;
	uint16_t mtu;          /* octets of layer 3 inside the segment */
	uint32_t vni;          /* host order; VNI_NONE: no vxlan device yet, local switching only */
	rte_be32_t local;      /* our VTEP address in this segment; 0 = none */
	uint16_t n_acs;        /* attachment circuits that are up and in the domain */
	uint16_t n_flood;      /* VTEPs that get flooded frames */
	const uint16_t *acs;   /* their ids (ac.h), ascending */
	const uint16_t *flood; /* vtep indexes, ascending */
	const uint64_t *allowed; /* bitmap by vtep index: may send us frames of this segment */
	struct rcu_entry rcu;
	struct bd_tbl *tbl;
};

/* Contents of a domain as the writer wants it; copied. `allowed`: further VTEPs that may send
 * (those of the flood list always may). */
struct bd_config {
	uint32_t vni;
	uint16_t mtu;
	rte_be32_t local;
	const uint16_t *acs;
	uint16_t n_acs;
	const uint16_t *flood;
	uint16_t n_flood;
	const uint16_t *allowed;
	uint16_t n_allowed;
};

/* At most max_bds domains (1 .. 65535), vtep indexes below max_vteps. NULL and errno. */
struct bd_tbl *bd_tbl_create(struct rcu *rcu, uint16_t max_bds, uint16_t max_vteps);
void bd_tbl_destroy(struct bd_tbl *t);

/*
 * Main thread: a new domain with this configuration. Returns its id (>= 1), -ENOSPC, -ENOMEM,
 * -EINVAL (an index or the VNI out of range), -EEXIST (the VNI belongs to another domain).
 */
int bd_add(struct bd_tbl *t, const struct bd_config *conf);

/* Main thread: replace the contents of domain `id`. 0 or as bd_add(), -ENOENT. */
int bd_set(struct bd_tbl *t, uint16_t id, const struct bd_config *conf);

/* Main thread: remove the domain. Its id is given out again after a grace period; the caller has
 * removed FDB entries and port references before. 0 or -ENOENT. */
int bd_del(struct bd_tbl *t, uint16_t id);

/* Main thread: is there such a domain, and has bd_del() not been called for it? */
bool bd_live(const struct bd_tbl *t, uint16_t id);

/* Domains that exist now, and the highest id + 1 ever used, for iteration with bd_get(). */
uint16_t bd_count(const struct bd_tbl *t);
uint16_t bd_end(const struct bd_tbl *t);

/* Private to the inline look-ups below. */
struct bd_tbl {
	const struct bd **bds;
	uint16_t *by_vni; /* direct: 2^24 ids, memory touched only where used */
	uint16_t max;
	uint16_t max_vteps;
	uint16_t end;
	uint16_t count;
	uint64_t *busy; /* bitmap of ids not to be given out */
	struct rcu *rcu;
};

/* Workers: the domain, or NULL. Valid until the worker's next quiescent state. */
static inline const struct bd *bd_get(const struct bd_tbl *t, uint16_t id)
{
	if (id > t->max)
		return NULL;
	return __atomic_load_n(&t->bds[id], __ATOMIC_ACQUIRE);
}

/* Workers: id of the domain of a VNI (24 bits, host order), or BD_NONE. */
static inline uint16_t bd_by_vni(const struct bd_tbl *t, uint32_t vni)
{
	return __atomic_load_n(&t->by_vni[vni & VNI_MAX], __ATOMIC_ACQUIRE);
}

/* Workers: may this VTEP send us frames of the segment? */
static inline bool bd_allows(const struct bd *bd, uint16_t vtep)
{
	return bd->allowed[vtep / 64] >> (vtep % 64) & 1;
}
