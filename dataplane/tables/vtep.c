/*
 * VTEPs: an array by index and a hash index by address pair.
 *
 * Invariant: refs[i] > 0 exactly for living ones. The hash index gains entries in place (the key is
 * written after the value, a slot is never reused) and loses them only by being rebuilt and
 * swapped; a removed VTEP stays readable, and its index taken, until a grace period has passed.
 * Called by the main thread but for vtep_lookup().
 */
#include "dataplane/tables/vtep.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_common.h>

#include "dataplane/tables/ids.h"

#define INDEX_MIN_BITS 4

struct vtep_slot {
	uint64_t key; /* local << 32 | remote; 0 = empty */
	uint16_t index;
};

struct vtep_index {
	struct rcu_entry rcu;
	uint32_t mask;
	uint32_t n;
	unsigned int shift;
	struct vtep_slot slots[];
};

struct vtep_gone {
	struct rcu_entry rcu;
	struct vtep_tbl *tbl;
	uint16_t index;
};

static uint64_t pair_key(rte_be32_t local, rte_be32_t remote)
{
	return (uint64_t)local << 32 | remote;
}

static uint32_t pair_home(const struct vtep_index *x, uint64_t key)
{
	return (uint32_t)(((key ^ key >> 32) * 0x9e3779b97f4a7c15u) >> x->shift);
}

static void index_free(struct rcu_entry *entry)
{
	free(container_of(entry, struct vtep_index, rcu));
}

static void vtep_gone(struct rcu_entry *entry)
{
	struct vtep_gone *gone = container_of(entry, struct vtep_gone, rcu);

	struct vtep_tbl *t = gone->tbl;

	memset(&t->vteps[gone->index], 0, sizeof(struct vtep));
	ids_give(t->busy, gone->index);
	gone->tbl = NULL;
}

static void index_add(struct vtep_index *x, uint64_t key, uint16_t index)
{
	uint32_t at = pair_home(x, key);

	while (x->slots[at].key != 0)
		at = (at + 1) & x->mask;
	x->slots[at].index = index;
	__atomic_store_n(&x->slots[at].key, key, __ATOMIC_RELEASE);
	x->n++;
}

/* A fresh index of the living VTEPs with room for one more. */
static int index_rebuild(struct vtep_tbl *t)
{
	struct vtep_index *old = (struct vtep_index *)(uintptr_t)t->index;
	unsigned int bits = INDEX_MIN_BITS;
	struct vtep_index *x;

	while (((uint32_t)1 << bits) < ((uint32_t)t->count + 1) * 4)
		bits++;
	x = calloc(1, sizeof(*x) + ((size_t)1 << bits) * sizeof(x->slots[0]));
	if (!x)
		return -ENOMEM;
	x->mask = ((uint32_t)1 << bits) - 1;
	x->shift = 64 - bits;
	for (uint16_t i = 1; i < t->end; i++)
		if (t->refs[i])
			index_add(x, pair_key(t->vteps[i].local, t->vteps[i].remote), i);
	__atomic_store_n(&t->index, x, __ATOMIC_RELEASE);
	if (old)
		rcu_defer(t->rcu, &old->rcu, index_free);
	return 0;
}

int vtep_tbl_init(struct vtep_tbl *t, struct rcu *rcu, uint16_t max)
{
	size_t size = ((size_t)max + 1) * sizeof(struct vtep);

	memset(t, 0, sizeof(*t));
	if (max == 0 || max == UINT16_MAX)
		return -EINVAL;
	t->rcu = rcu;
	t->max = max;
	t->vteps = aligned_alloc(RTE_CACHE_LINE_SIZE, size);
	t->refs = calloc((size_t)max + 1, sizeof(*t->refs));
	t->gone = calloc((size_t)max + 1, sizeof(*t->gone));
	t->busy = ids_create(max);
	if (!t->vteps || !t->refs || !t->gone || !t->busy || index_rebuild(t) != 0) {
		vtep_tbl_fini(t);
		return -ENOMEM;
	}
	memset(t->vteps, 0, size);
	return 0;
}

void vtep_tbl_fini(struct vtep_tbl *t)
{
	free(t->vteps);
	free(t->refs);
	free(t->gone);
	free(t->busy);
	free((void *)(uintptr_t)t->index);
	memset(t, 0, sizeof(*t));
}

uint16_t vtep_lookup(const struct vtep_tbl *t, rte_be32_t local, rte_be32_t remote)
{
	const struct vtep_index *x = __atomic_load_n(&t->index, __ATOMIC_ACQUIRE);
	uint64_t key = pair_key(local, remote);
	uint64_t have;

	if (key == 0)
		return VTEP_NONE;
	for (uint32_t at = pair_home(x, key);; at = (at + 1) & x->mask) {
		have = __atomic_load_n(&x->slots[at].key, __ATOMIC_ACQUIRE);
		if (have == key)
			return x->slots[at].index;
		if (have == 0)
			return VTEP_NONE;
	}
}

static void hdr_make(struct vtep_hdr *h, rte_be32_t local, rte_be32_t remote)
{
	memset(h, 0, sizeof(*h));
	h->ip.version_ihl = RTE_IPV4_VHL_DEF;
	h->ip.fragment_offset = rte_cpu_to_be_16(RTE_IPV4_HDR_DF_FLAG);
	h->ip.time_to_live = 64;
	h->ip.next_proto_id = IPPROTO_UDP;
	h->ip.src_addr = local;
	h->ip.dst_addr = remote;
	h->ip.hdr_checksum = rte_ipv4_cksum(&h->ip);
	h->udp.dst_port = rte_cpu_to_be_16(VXLAN_PORT);
	h->flags = rte_cpu_to_be_32(0x08000000);
}

int vtep_hold(struct vtep_tbl *t, rte_be32_t local, rte_be32_t remote)
{
	uint32_t index;

	if (local == 0 || remote == 0)
		return -EINVAL;
	index = vtep_lookup(t, local, remote);
	if (index != VTEP_NONE && t->refs[index] > 0) {
		if (t->refs[index] == UINT32_MAX)
			return -ENOSPC;
		t->refs[index]++;
		return (int)index;
	}
	if ((t->index->n + 1) * 2 > t->index->mask && index_rebuild(t) != 0)
		return -ENOMEM;
	index = ids_take(t->busy, t->max);
	if (index == 0)
		return -ENOSPC;
	hdr_make(&t->vteps[index].hdr, local, remote);
	t->vteps[index].local = local;
	t->vteps[index].remote = remote;
	t->vteps[index].nhg = 0;
	t->refs[index] = 1;
	t->count++;
	if (index >= t->end)
		t->end = (uint16_t)(index + 1);
	index_add(
		(struct vtep_index *)(uintptr_t)t->index, pair_key(local, remote), (uint16_t)index);
	return (int)index;
}

/*
 * Without memory for a new index the old one would go on naming the VTEP; then the VTEP stays, with
 * no reference and no way to send, until the next removal finds memory.
 */
static void sweep(struct vtep_tbl *t)
{
	if (index_rebuild(t) != 0)
		return;
	for (uint16_t i = 1; i < t->end; i++) {
		if (!t->gone[i].tbl && t->refs[i] == 0 && t->vteps[i].remote != 0) {
			t->gone[i].tbl = t;
			t->gone[i].index = i;
			rcu_defer(t->rcu, &t->gone[i].rcu, vtep_gone);
		}
	}
}

void vtep_release(struct vtep_tbl *t, uint16_t index)
{
	if (index == VTEP_NONE || index > t->max || t->refs[index] == 0)
		return;
	if (--t->refs[index] > 0)
		return;
	t->count--;
	sweep(t);
}

void vtep_set_nhg(struct vtep_tbl *t, uint16_t index, uint16_t nhg)
{
	__atomic_store_n(&t->vteps[index].nhg, nhg, __ATOMIC_RELEASE);
}
