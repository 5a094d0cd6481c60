/*
 * Bridge domains: build an immutable struct bd, show it, defer the old one.
 *
 * Invariant: by_vni[] names only domains whose struct bd says that VNI; a removed domain stays
 * readable, and its id taken, until a grace period has passed. Called by the main thread.
 */
#include "dataplane/tables/bd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_common.h>

#include "dataplane/tables/ids.h"
#include "dataplane/tables/mem.h"

#define BY_VNI_SIZE ((size_t)(VNI_MAX + 1) * sizeof(uint16_t))

static void bd_free(struct rcu_entry *entry)
{
	free(container_of(entry, struct bd, rcu));
}

static void bd_gone(struct rcu_entry *entry)
{
	struct bd *bd = container_of(entry, struct bd, rcu);

	bd->tbl->bds[bd->id] = NULL;
	ids_give(bd->tbl->busy, bd->id);
	free(bd);
}

struct bd_tbl *bd_tbl_create(struct rcu *rcu, uint16_t max_bds, uint16_t max_vteps)
{
	struct bd_tbl *t;

	if (max_bds == 0) {
		errno = EINVAL;
		return NULL;
	}
	t = calloc(1, sizeof(*t));
	if (!t)
		return NULL;
	t->rcu = rcu;
	t->max = max_bds;
	t->max_vteps = max_vteps;
	t->bds = calloc((size_t)max_bds + 1, sizeof(*t->bds));
	t->busy = ids_create(max_bds);
	t->by_vni = mem_map(BY_VNI_SIZE, false);
	if (!t->bds || !t->busy || !t->by_vni) {
		bd_tbl_destroy(t);
		errno = ENOMEM;
		return NULL;
	}
	return t;
}

void bd_tbl_destroy(struct bd_tbl *t)
{
	if (!t)
		return;
	for (uint32_t i = 0; t->bds && i < t->end; i++)
		free((void *)(uintptr_t)t->bds[i]);
	free(t->bds);
	free(t->busy);
	mem_unmap(t->by_vni, BY_VNI_SIZE);
	free(t);
}

/* Copy `n` indexes in ascending order without doubles; returns how many are left. */
static uint16_t list_copy(uint16_t *to, const uint16_t *from, uint16_t n)
{
	uint16_t len = 0;

	for (uint16_t i = 0; i < n; i++) {
		uint16_t at = len;

		while (at > 0 && to[at - 1] > from[i])
			at--;
		if (at > 0 && to[at - 1] == from[i])
			continue;
		memmove(&to[at + 1], &to[at], (size_t)(len - at) * sizeof(*to));
		to[at] = from[i];
		len++;
	}
	return len;
}

static int bd_make(struct bd_tbl *t, const struct bd_config *conf, struct bd **made)
{
	size_t words = (size_t)t->max_vteps / 64 + 1;
	struct bd *bd;
	uint64_t *allowed;
	uint16_t *acs, *flood;

	if (conf->vni > VNI_MAX)
		return -EINVAL;
	for (uint16_t i = 0; i < conf->n_flood; i++)
		if (conf->flood[i] > t->max_vteps)
			return -EINVAL;
	for (uint16_t i = 0; i < conf->n_allowed; i++)
		if (conf->allowed[i] > t->max_vteps)
			return -EINVAL;
	bd = calloc(1, sizeof(*bd) + words * sizeof(uint64_t) +
			       ((size_t)conf->n_acs + conf->n_flood) * sizeof(uint16_t));
	if (!bd)
		return -ENOMEM;
	allowed = (uint64_t *)(bd + 1);
	acs = (uint16_t *)(allowed + words);
	flood = acs + conf->n_acs;
	bd->vni = conf->vni;
	bd->mtu = conf->mtu;
	bd->local = conf->local;
	bd->n_acs = list_copy(acs, conf->acs, conf->n_acs);
	bd->n_flood = list_copy(flood, conf->flood, conf->n_flood);
	for (uint16_t i = 0; i < bd->n_flood; i++)
		allowed[flood[i] / 64] |= (uint64_t)1 << (flood[i] % 64);
	for (uint16_t i = 0; i < conf->n_allowed; i++)
		allowed[conf->allowed[i] / 64] |= (uint64_t)1 << (conf->allowed[i] % 64);
	bd->acs = acs;
	bd->flood = flood;
	bd->allowed = allowed;
	bd->tbl = t;
	*made = bd;
	return 0;
}

static void vni_set(struct bd_tbl *t, uint32_t vni, uint16_t id)
{
	if (vni != VNI_NONE)
		__atomic_store_n(&t->by_vni[vni], id, __ATOMIC_RELEASE);
}

int bd_add(struct bd_tbl *t, const struct bd_config *conf)
{
	struct bd *bd;
	uint32_t id;
	int rc;

	if (conf->vni <= VNI_MAX && conf->vni != VNI_NONE && t->by_vni[conf->vni] != BD_NONE)
		return -EEXIST;
	rc = bd_make(t, conf, &bd);
	if (rc != 0)
		return rc;
	id = ids_take(t->busy, t->max);
	if (id == 0) {
		free(bd);
		return -ENOSPC;
	}
	bd->id = (uint16_t)id;
	__atomic_store_n(&t->bds[id], bd, __ATOMIC_RELEASE);
	vni_set(t, bd->vni, bd->id);
	t->count++;
	if (id >= t->end)
		t->end = (uint16_t)(id + 1);
	return (int)id;
}

/* A domain that was removed is still in bds[] until its grace period has passed. */
bool bd_live(const struct bd_tbl *t, uint16_t id)
{
	return id != BD_NONE && id <= t->max && t->bds[id] && t->bds[id]->rcu.free == NULL;
}

int bd_set(struct bd_tbl *t, uint16_t id, const struct bd_config *conf)
{
	struct bd *bd, *old;
	int rc;

	if (!bd_live(t, id))
		return -ENOENT;
	if (conf->vni <= VNI_MAX && conf->vni != VNI_NONE && t->by_vni[conf->vni] != BD_NONE &&
		t->by_vni[conf->vni] != id)
		return -EEXIST;
	rc = bd_make(t, conf, &bd);
	if (rc != 0)
		return rc;
	bd->id = id;
	old = (struct bd *)(uintptr_t)t->bds[id];
	__atomic_store_n(&t->bds[id], bd, __ATOMIC_RELEASE);
	if (old->vni != bd->vni) {
		vni_set(t, old->vni, BD_NONE);
		vni_set(t, bd->vni, id);
	}
	rcu_defer(t->rcu, &old->rcu, bd_free);
	return 0;
}

int bd_del(struct bd_tbl *t, uint16_t id)
{
	struct bd *bd;

	if (!bd_live(t, id))
		return -ENOENT;
	bd = (struct bd *)(uintptr_t)t->bds[id];
	vni_set(t, bd->vni, BD_NONE);
	t->count--;
	rcu_defer(t->rcu, &bd->rcu, bd_gone);
	return 0;
}

uint16_t bd_count(const struct bd_tbl *t)
{
	return t->count;
}

uint16_t bd_end(const struct bd_tbl *t)
{
	return t->end;
}
