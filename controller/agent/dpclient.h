/*
 * Questions to the forwarding process over its unix socket (dataplane.proto). Each has a connection
 * of its own, so that a trace that waits for packets holds nothing up. Asynchronous, bounded by a
 * deadline; belongs to the loop's thread.
 */
#pragma once

#include "audums/v1/dataplane.pb-c.h"

#include <stdbool.h>
#include <stdint.h>

struct dpask;
struct loop;

#define DPCLIENT_TIMEOUT_MS 5000

/*
 * One answer: `reply` (with `more` set: others follow), or NULL with `error`, which is the last.
 * Return false to pause: the same answer comes again after dpask_resume(). After the last one was
 * taken the question is gone.
 */
typedef bool dpask_fn(void *arg, const Audums__V1__DataplaneReply *reply, const char *error);

/* Ask. `fn` is never called before this returns. NULL with errno: ENOMEM, EMSGSIZE. */
struct dpask *dpask_new(struct loop *loop, const char *socket,
	const Audums__V1__DataplaneRequest *request, uint32_t timeout_ms, dpask_fn *fn, void *arg);
void dpask_resume(struct dpask *q);
/* Give it up; `fn` is not called. NULL is allowed. */
void dpask_cancel(struct dpask *q);
