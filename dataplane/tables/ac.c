/*
 * Attachment circuits: ids, and the arrays by which tagged frames find them.
 *
 * Invariant: an array names only ACs whose struct ac is complete; an array that names none any more
 * is taken out of its place and freed after a grace period. Called by the main thread.
 */
#include "dataplane/tables/ac.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_common.h>

#include "dataplane/tables/ids.h"

/* Outer VIDs that may have inner ones, over all ports; 8 kB each when they do. */
#define INNER_MAX VLAN_VIDS

struct ac_gone {
	struct rcu_entry rcu;
	struct ac_tbl *tbl;
	uint16_t id;
};

int ac_tbl_init(struct ac_tbl *t, struct rcu *rcu, uint16_t max)
{
	if (max < AC_TAGGED || max == AC_NONE)
		return -EINVAL;
	t->rcu = rcu;
	t->max = max;
	t->end = AC_TAGGED;
	t->acs = calloc(max, sizeof(*t->acs));
	t->ifindex = calloc(max, sizeof(*t->ifindex));
	t->inner = calloc(INNER_MAX + 1, sizeof(*t->inner));
	t->busy = ids_create(max);
	t->inner_busy = ids_create(INNER_MAX);
	if (!t->acs || !t->ifindex || !t->inner || !t->busy || !t->inner_busy) {
		ac_tbl_fini(t);
		return -ENOMEM;
	}
	for (uint16_t i = 0; i < AC_TAGGED; i++)
		t->acs[i].port = i;
	/* so that the lowest id given out is the first tagged one */
	memset(t->busy, 0xff, AC_TAGGED / 8);
	return 0;
}

void ac_tbl_fini(struct ac_tbl *t)
{
	for (unsigned int i = 0; i < PORT_TBL_MAX; i++) {
		free(t->outer[i][0]);
		free(t->outer[i][1]);
	}
	for (unsigned int i = 0; t->inner && i <= INNER_MAX; i++)
		free(t->inner[i]);
	free(t->acs);
	free(t->ifindex);
	free(t->inner);
	free(t->busy);
	free(t->inner_busy);
	memset(t, 0, sizeof(*t));
}

static void outer_free(struct rcu_entry *entry)
{
	free(container_of(entry, struct ac_outer, rcu));
}

static void inner_free(struct rcu_entry *entry)
{
	struct ac_inner *inner = container_of(entry, struct ac_inner, rcu);

	inner->tbl->inner[inner->index] = NULL;
	ids_give(inner->tbl->inner_busy, inner->index);
	free(inner);
}

static void id_free(struct rcu_entry *entry)
{
	struct ac_gone *gone = container_of(entry, struct ac_gone, rcu);

	ids_give(gone->tbl->busy, gone->id);
	free(gone);
}

/* Take the array away when nothing in it is used. */
static void outer_put_away(struct ac_tbl *t, uint16_t port, bool service)
{
	struct ac_outer *outer = t->outer[port][service];

	if (outer == NULL || outer->used > 0)
		return;
	__atomic_store_n(&t->outer[port][service], NULL, __ATOMIC_RELEASE);
	rcu_defer(t->rcu, &outer->rcu, outer_free);
}

static void inner_put_away(struct ac_tbl *t, struct ac_outer *outer, uint16_t vid)
{
	struct ac_inner *inner = t->inner[outer->vids[vid].inner];

	if (inner == NULL || inner->used > 0)
		return;
	__atomic_store_n(&outer->vids[vid].inner, 0, __ATOMIC_RELEASE);
	outer->used--;
	rcu_defer(t->rcu, &inner->rcu, inner_free);
}

static struct ac_outer *outer_make(struct ac_tbl *t, uint16_t port, bool service)
{
	struct ac_outer *outer = t->outer[port][service];

	if (outer != NULL)
		return outer;
	outer = calloc(1, sizeof(*outer));
	if (outer != NULL)
		__atomic_store_n(&t->outer[port][service], outer, __ATOMIC_RELEASE);
	return outer;
}

static struct ac_inner *inner_make(struct ac_tbl *t, struct ac_outer *outer, uint16_t vid)
{
	struct ac_inner *inner = t->inner[outer->vids[vid].inner];
	uint32_t index;

	if (inner != NULL)
		return inner;
	inner = calloc(1, sizeof(*inner));
	if (inner == NULL)
		return NULL;
	index = ids_take(t->inner_busy, INNER_MAX);
	if (index == 0) {
		free(inner);
		return NULL;
	}
	inner->tbl = t;
	inner->index = (uint16_t)index;
	t->inner[index] = inner;
	__atomic_store_n(&outer->vids[vid].inner, inner->index, __ATOMIC_RELEASE);
	outer->used++;
	return inner;
}

static rte_be32_t tag_of(uint16_t tpid, uint16_t vid)
{
	return rte_cpu_to_be_32((uint32_t)tpid << 16 | vid);
}

static void tags_of(const struct ac_config *c, rte_be32_t tags[AC_TAGS_MAX])
{
	tags[0] = tag_of(c->outer_tpid, c->vid[0]);
	tags[1] = c->n_tags > 1 ? tag_of(VLAN_TPID_Q, c->vid[1]) : 0;
}

static bool config_valid(const struct ac_config *c)
{
	if (c->port >= PORT_TBL_MAX || c->n_tags < 1 || c->n_tags > AC_TAGS_MAX ||
		(c->outer_tpid != VLAN_TPID_Q && c->outer_tpid != VLAN_TPID_AD))
		return false;
	for (unsigned int i = 0; i < c->n_tags; i++)
		if (c->vid[i] == 0 || c->vid[i] >= VLAN_VIDS - 1)
			return false;
	return true;
}

int ac_add(struct ac_tbl *t, const struct ac_config *config)
{
	const bool service = config->outer_tpid == VLAN_TPID_AD;
	const uint16_t vid = config->vid[0];
	struct ac_outer *outer;
	struct ac_inner *inner = NULL;
	uint16_t *place;
	uint32_t id;
	int rc;

	if (!config_valid(config))
		return -EINVAL;
	outer = outer_make(t, config->port, service);
	if (outer == NULL)
		return -ENOMEM;
	if (config->n_tags > 1) {
		inner = inner_make(t, outer, vid);
		rc = -ENOMEM;
		if (inner == NULL)
			goto out;
	}
	place = inner != NULL ? &inner->acs[config->vid[1]] : &outer->vids[vid].ac;
	rc = -EEXIST;
	if (*place != 0)
		goto out;
	rc = -ENOSPC;
	id = ids_take(t->busy, (uint32_t)t->max - 1);
	if (id == 0)
		goto out;
	t->acs[id] = (struct ac){.port = config->port, .n_tags = config->n_tags, .live = true};
	tags_of(config, t->acs[id].tags);
	t->ifindex[id] = 0;
	__atomic_store_n(place, (uint16_t)id, __ATOMIC_RELEASE);
	if (inner != NULL)
		inner->used++;
	else
		outer->used++;
	t->tagged++;
	if (id >= t->end)
		t->end = (uint16_t)(id + 1);
	return (int)id;
out:
	if (inner != NULL)
		inner_put_away(t, outer, vid);
	outer_put_away(t, config->port, service);
	return rc;
}

void ac_vids(const struct ac_tbl *t, uint16_t id, uint16_t *outer, uint16_t *inner)
{
	const struct ac *ac = &t->acs[id];

	*outer = ac->n_tags > 0 ? rte_be_to_cpu_32(ac->tags[0]) & (VLAN_VIDS - 1) : 0;
	*inner = ac->n_tags > 1 ? rte_be_to_cpu_32(ac->tags[1]) & (VLAN_VIDS - 1) : 0;
}

void ac_hide(struct ac_tbl *t, uint16_t id)
{
	struct ac *ac = &t->acs[id];
	const bool service = rte_be_to_cpu_32(ac->tags[0]) >> 16 == VLAN_TPID_AD;
	struct ac_outer *outer = t->outer[ac->port][service];
	uint16_t vid, second;

	if (!ac->live || outer == NULL)
		return;
	ac_vids(t, id, &vid, &second);
	ac->live = false;
	ac_set_bd(t, id, 0);
	t->ifindex[id] = 0;
	t->tagged--;
	if (ac->n_tags > 1) {
		struct ac_inner *inner = t->inner[outer->vids[vid].inner];

		__atomic_store_n(&inner->acs[second], 0, __ATOMIC_RELEASE);
		inner->used--;
		inner_put_away(t, outer, vid);
	} else {
		__atomic_store_n(&outer->vids[vid].ac, 0, __ATOMIC_RELEASE);
		outer->used--;
	}
	outer_put_away(t, ac->port, service);
}

void ac_del(struct ac_tbl *t, uint16_t id)
{
	struct ac_gone *gone;

	if (id < AC_TAGGED || t->acs[id].live)
		return;
	gone = malloc(sizeof(*gone));
	if (gone == NULL)
		return; /* the id stays taken: better than given out too early */
	gone->tbl = t;
	gone->id = id;
	rcu_defer(t->rcu, &gone->rcu, id_free);
}

bool ac_is(const struct ac_tbl *t, uint16_t id, const struct ac_config *config)
{
	const struct ac *ac = &t->acs[id];
	rte_be32_t tags[AC_TAGS_MAX];

	tags_of(config, tags);
	return ac->live && ac->port == config->port && ac->n_tags == config->n_tags &&
	       memcmp(ac->tags, tags, sizeof(tags)) == 0;
}

struct ac_text ac_tags_text(const struct ac_tbl *t, uint16_t id)
{
	const struct ac *ac = &t->acs[id];
	struct ac_text to = {""};
	uint16_t outer, inner;
	const char *kind;

	ac_vids(t, id, &outer, &inner);
	kind = rte_be_to_cpu_32(ac->tags[0]) >> 16 == VLAN_TPID_AD ? "(ad)" : "";
	if (ac->n_tags > 1)
		snprintf(to.text, sizeof(to.text), "%u%s.%u", outer, kind, inner);
	else if (ac->n_tags > 0)
		snprintf(to.text, sizeof(to.text), "%u%s", outer, kind);
	return to;
}

void ac_set_bd(struct ac_tbl *t, uint16_t id, uint16_t bd)
{
	__atomic_store_n(&t->acs[id].bd, bd, __ATOMIC_RELEASE);
}

void ac_set_ifindex(struct ac_tbl *t, uint16_t id, uint32_t ifindex)
{
	t->ifindex[id] = ifindex;
}
