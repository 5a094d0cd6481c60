/*
 * Preparing a change: judge it, merge it, allocate and plan for it, all on copies. Pure but for the
 * time that is handed in. Called by intent.c only.
 */
#pragma once

#include "controller/audumsd/intent.h"

/* The intent at one generation. */
struct intent_state {
	uint64_t generation;
	Audums__V1__Document *document;
	struct model *model;
	struct alloc *alloc;
};
void intent_state_free(struct intent_state *state);

struct change {
	struct intent_state next; /* what the intent becomes */
	struct touched touched;
	struct plan_changes plan;
	bool empty; /* there is nothing to commit */
};
void change_free(struct change *change);

/*
 * Prepare `request` (NULL: only plan anew) on `base`. Fills `result`; returns result->status. With
 * 0, `change` is to be committed or freed; otherwise it is freed already.
 */
int change_prepare(const struct intent_state *base, const struct intent_options *options,
	const struct intent_request *request, uint64_t generation, uint64_t now_ms,
	struct change *change, struct intent_result *result);
