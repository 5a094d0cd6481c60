/*
 * Operations: how far each change is on the nodes it touches.
 *
 * An operation is done when every node it touched has applied the generation it made, or a later
 * one; failed as long as a node says that it can't apply something of it (it may still become
 * done). The newest OPERATIONS_MAX are kept, here and in the store.
 */
#pragma once

#include "controller/audumsd/controller.h"

struct operations *operations_new(struct controller *c);
void operations_free(struct operations *ops);

/* Take over what was in the store. Returns 0 or -ENOMEM. */
int operations_load(struct operations *ops);
/* A change was committed. */
void operations_committed(struct operations *ops, const Audums__V1__Operation *operation);
/* Something a progress hangs on has changed; looked at by operations_look(). */
void operations_changed(struct operations *ops);
/* Look at all that are not done; called at the end of a turn. */
void operations_look(struct operations *ops);

/* By id; NULL when it is not known (any more). */
const Audums__V1__Operation *operations_get(const struct operations *ops, const char *id);

/*
 * Answer `call` with the operation when it is done or failed, or after `wait_ms`. The waiter ends
 * by itself with the call's answer; operations_forget() when the call ends before. Returns 0,
 * -ENOENT or -ENOMEM.
 */
int operations_wait(
	struct operations *ops, struct rpc_call *call, const char *id, uint32_t wait_ms);
void operations_forget(struct operations *ops, struct rpc_call *call);
/* Answer all waiters now. */
void operations_release(struct operations *ops);
