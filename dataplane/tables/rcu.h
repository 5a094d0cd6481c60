/*
 * Read-copy-update for the tables: quiescent states of the workers (rte_rcu_qsbr) and the list of
 * what waits to be freed.
 *
 * Invariant: memory or an index that a worker may have seen is given back only after every online
 * worker has passed a quiescent state. The main thread alone writes, defers and polls; it never
 * waits inline. A worker reports a quiescent state after each walk of the graph, and goes offline
 * before it sleeps.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rte_rcu_qsbr.h>

struct rcu_entry {
	struct rcu_entry *next;
	uint64_t token;
	void (*free)(struct rcu_entry *entry);
};

struct rcu {
	struct rte_rcu_qsbr *qsbr;
	struct rcu_entry *head; /* oldest first, so tokens rise */
	struct rcu_entry **tail;
	uint64_t acked; /* every token up to this one has passed */
	size_t pending;
};

/*
 * Set up `rcu` for workers 0 .. max_workers - 1. Uses plain memory, no EAL. Returns 0, -EINVAL or
 * -ENOMEM.
 */
int rcu_init(struct rcu *rcu, unsigned int max_workers);

/* Free everything still deferred and the state. All workers must have left (unregistered). */
void rcu_fini(struct rcu *rcu);

/* Make worker `id` count, still offline. Once a worker, from any thread. 0 or -EINVAL. */
int rcu_worker_register(struct rcu *rcu, unsigned int id);

/* Worker `id` ends. 0 or -EINVAL. */
int rcu_worker_unregister(struct rcu *rcu, unsigned int id);

/* Worker: from now on I hold references (call after waking, before touching a table). */
static inline void rcu_worker_online(struct rcu *rcu, unsigned int id)
{
	rte_rcu_qsbr_thread_online(rcu->qsbr, id);
}

/* Worker: I hold no reference until I am online again (call before sleeping). */
static inline void rcu_worker_offline(struct rcu *rcu, unsigned int id)
{
	rte_rcu_qsbr_thread_offline(rcu->qsbr, id);
}

/* Worker: I hold no reference now (call once a graph walk). */
static inline void rcu_worker_quiescent(struct rcu *rcu, unsigned int id)
{
	rte_rcu_qsbr_quiescent(rcu->qsbr, id);
}

/*
 * Main thread: call fn(entry) once no worker can see it any more. `entry` is part of the object,
 * already unlinked from its table; fn runs in rcu_poll() or rcu_fini().
 */
void rcu_defer(struct rcu *rcu, struct rcu_entry *entry, void (*fn)(struct rcu_entry *entry));

/* Main thread: free at most `max` entries whose grace period has passed. Never waits. Returns how
 * many were freed. */
size_t rcu_poll(struct rcu *rcu, size_t max);

/* Main thread: start a grace period; the token is for rcu_passed(). */
uint64_t rcu_start(struct rcu *rcu);

/* Main thread: has the grace period of `token` passed? Never waits. */
bool rcu_passed(struct rcu *rcu, uint64_t token);
