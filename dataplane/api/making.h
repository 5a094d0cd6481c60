/*
 * A reply in the making: what the files that make replies share. Private to api/.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "audums/v1/dataplane.pb-c.h"
#include "dataplane/api/answer.h"
#include "dataplane/api/arena.h"
#include "dataplane/counters.h"
#include "dataplane/dataplane.h"
#include "proto/lib/frame.h"

/* A list ends its reply at so many entries or (before encoding) octets. */
#define ENTRIES_A_REPLY 512
#define OCTETS_A_REPLY  (FRAME_MAX_BYTES / 2)

/* One message of a type, initialised; NULL when out of memory. */
#define NEW(arena, type, name)                                                                     \
	({                                                                                         \
		type *new_ = arena_alloc((arena), sizeof(*new_));                                  \
		if (new_ != NULL)                                                                  \
			audums__v1__##name##__init(new_);                                          \
		new_;                                                                              \
	})

/* A reply in the making. */
struct making {
	struct arena arena;
	struct dataplane *dp;
	struct answer *a;
	Audums__V1__DataplaneReply reply;
	void **entries;
	size_t n;
	bool full;
};

static inline bool making_put(struct making *mk, void *entry)
{
	if (entry == NULL || mk->arena.failed)
		return false;
	mk->entries[mk->n++] = entry;
	mk->full = mk->n == ENTRIES_A_REPLY || mk->arena.used > OCTETS_A_REPLY;
	return true;
}

static inline char *port_name(const struct making *mk, uint16_t port)
{
	const struct port *p = port < PORT_MAX ? mk->dp->ports[port] : NULL;

	return (char *)(uintptr_t)(p != NULL ? p->spec.name : "?");
}

/* All counters of a kind in the structure at `base`, as a message's field. */
void making_counters(struct making *mk, enum counter_kind kind, const void *base,
	Audums__V1__Counter ***list, size_t *n);

/* answer_workers.c: drops, graph nodes, workers, latency. Each fits in one reply. */
void make_drops(struct making *mk);
void make_nodes(struct making *mk);
void make_workers(struct making *mk);
void make_latency(struct making *mk);
