/*
 * What the two halves of learning share: learn.c (what workers report) and learn_turn.c (what is
 * done turn by turn). Private to the mirror.
 *
 * Two rings: writes for the kernel, in order; and the audit, the keys of MACs whose last write is
 * not confirmed, in the order of their next look.
 */
#pragma once

#include "dataplane/mirror/damp.h"
#include "dataplane/mirror/state.h"

#define PARKED_MAX 64

struct audit {
	uint64_t key;
	uint64_t due_ms;
};

struct ring {
	char *items;
	size_t item_size;
	uint32_t size, head, n, max;
};

/* Told by a worker of a port whose link is not known to be up yet. */
struct parked {
	struct learn_event event;
	uint64_t until_ms;
};

struct learn {
	struct mirror *m;
	struct learn_options options;
	struct learn_stats stats;
	struct ring writes; /* struct learn_write */
	struct ring audit;  /* struct audit */
	struct parked parked[PARKED_MAX];
	unsigned int n_parked;
	uint64_t now_ms;
	uint64_t age_at;
	uint32_t age_cursor;
	uint32_t fdb_cursor;                 /* of the walk over the FDB */
	uint64_t budget_at;                  /* ms of the last refill */
	uint32_t budget;                     /* writes that may be handed out now */
	uint64_t failures;                   /* writes that the kernel refused */
	uint64_t failure_said, refusal_said; /* ms */
	struct damp damp;
	struct learn_note notes[LEARN_NOTES]; /* by seq */
	uint64_t note_seq;
	uint64_t full_noted; /* ms */
	uint64_t refused_port[PORT_TBL_MAX];
	uint64_t *refused_bd;
};

/* Queue a write. A full queue is no loss: the audit comes back to it. */
void learn_write_queue(struct learn *l, enum learn_op op, uint16_t ac, const struct mac *e);

/* Look at it again in a second. */
void learn_audit_queue(struct learn *l, struct mac *e);

/* The AC the kernel's entry is at, if it is ours and may be withdrawn by us; else AC_NONE. */
uint16_t learn_kernel_ac(const struct learn *l, const struct mac *e);

/* Forget a local MAC, here and (if it has it) in the kernel. */
void learn_mac_withdraw(struct learn *l, uint32_t index, bool kernel_too);

/* May a line be written about something that may happen with every frame? */
bool learn_say_now(const struct learn *l, uint64_t *said);
