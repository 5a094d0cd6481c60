/*
 * Compares the desired state with the picture of the kernel and says what can be done about it now.
 * What needs an interface index of something that is not there yet comes in a later round, so the
 * caller runs plan, write and read in turns until the plan is empty.
 *
 * No I/O: all it knows is given to it. Ours are links whose alias begins with "audums:", those the
 * journal names, addresses the journal names, and the membership of the inventory's access TAPs in
 * our bridges. Nothing else is ever touched.
 */
#pragma once

#include "controller/agent/kernel/write.h"

#include <stdbool.h>
#include <stddef.h>

struct desired;
struct inventory;
struct journal;
struct klink;
struct kmodel;

#define KPLAN_ALIAS_PREFIX "audums:"

struct kplan {
	struct kop *ops;
	size_t count, capacity;
	bool waiting; /* something waits for FRR before it can be planned */
};

/*
 * Fill in the plan (what it held before is dropped), and per segment kernel_ok, per attachment
 * attached, link_up and, where nothing can be done, error. Returns 0 or -ENOMEM.
 */
int kplan_make(struct kplan *p, struct desired *d, const struct inventory *inv,
	const struct kmodel *m, const struct journal *j);
void kplan_clear(struct kplan *p);

/*
 * Cut the plan to at most `max` changes and deletions of a cost of `max_cost` (a bridge counts
 * KPLAN_SLOW_COST, another link 1), and make its deletions
 * one: each link is put in a group that nothing else is in, and the group is deleted. The kernel
 * waits for all processors once a deletion, some 20 ms, whatever the number of links, and once more
 * for each bridge (br_multicast_dev_del), all the time with the lock that every other change of any
 * namespace needs. Returns 0 or -ENOMEM.
 */
int kplan_slice(struct kplan *p, const struct kmodel *m, size_t max, size_t max_cost);
#define KPLAN_SLOW_COST 32

/* Whether an address stands in the desired state. */
bool kplan_addr_wanted(const struct desired *d, const struct inventory *inv, const char *device,
	uint32_t ip, uint8_t plen);

/* Whether a device of this name belongs to a segment of the desired state. */
bool kplan_link_wanted(const struct desired *d, const char *name);

/* The TAP of a port: as the inventory says, or named like the port when there is no inventory. */
const char *kplan_tap(const struct inventory *inv, const char *port);

/* Names of a segment's devices. */
void kplan_bridge_name(char name[IFNAMSIZ], uint32_t vni);
void kplan_vxlan_name(char name[IFNAMSIZ], uint32_t vni);

/* Whether a link bears our mark. */
bool kplan_ours(const struct klink *l, const struct journal *j);
