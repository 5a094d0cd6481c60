/*
 * Read-copy-update: a thin layer over rte_rcu_qsbr and a list of what waits to be freed.
 *
 * Invariant: the list is in order of tokens, so polling looks at its head only and stops at the
 * first entry whose grace period has not passed. Called by the main thread.
 */
#include "dataplane/tables/rcu.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int rcu_init(struct rcu *rcu, unsigned int max_workers)
{
	size_t size;

	memset(rcu, 0, sizeof(*rcu));
	rcu->tail = &rcu->head;
	if (max_workers == 0)
		return -EINVAL;
	size = rte_rcu_qsbr_get_memsize(max_workers);
	if (size == 1)
		return -EINVAL;
	size = RTE_ALIGN_CEIL(size, (size_t)RTE_CACHE_LINE_SIZE);
	rcu->qsbr = aligned_alloc(RTE_CACHE_LINE_SIZE, size);
	if (!rcu->qsbr)
		return -ENOMEM;
	if (rte_rcu_qsbr_init(rcu->qsbr, max_workers) != 0) {
		free(rcu->qsbr);
		rcu->qsbr = NULL;
		return -EINVAL;
	}
	return 0;
}

static void entry_pop(struct rcu *rcu)
{
	struct rcu_entry *entry = rcu->head;

	rcu->head = entry->next;
	if (!rcu->head)
		rcu->tail = &rcu->head;
	rcu->pending--;
	entry->free(entry);
}

void rcu_fini(struct rcu *rcu)
{
	while (rcu->head)
		entry_pop(rcu);
	free(rcu->qsbr);
	rcu->qsbr = NULL;
}

int rcu_worker_register(struct rcu *rcu, unsigned int id)
{
	return rte_rcu_qsbr_thread_register(rcu->qsbr, id) == 0 ? 0 : -EINVAL;
}

int rcu_worker_unregister(struct rcu *rcu, unsigned int id)
{
	return rte_rcu_qsbr_thread_unregister(rcu->qsbr, id) == 0 ? 0 : -EINVAL;
}

uint64_t rcu_start(struct rcu *rcu)
{
	return rte_rcu_qsbr_start(rcu->qsbr);
}

bool rcu_passed(struct rcu *rcu, uint64_t token)
{
	if (token <= rcu->acked)
		return true;
	if (rte_rcu_qsbr_check(rcu->qsbr, token, false) != 1)
		return false;
	rcu->acked = token;
	return true;
}

void rcu_defer(struct rcu *rcu, struct rcu_entry *entry, void (*fn)(struct rcu_entry *entry))
{
	entry->next = NULL;
	entry->free = fn;
	entry->token = rcu_start(rcu);
	*rcu->tail = entry;
	rcu->tail = &entry->next;
	rcu->pending++;
}

size_t rcu_poll(struct rcu *rcu, size_t max)
{
	size_t n = 0;

	while (rcu->head && n < max && rcu_passed(rcu, rcu->head->token)) {
		entry_pop(rcu);
		n++;
	}
	return n;
}
