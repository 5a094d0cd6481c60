/*
 * A capture's life as the main thread sees it: published to the workers, closed, taken back.
 *
 * At most one at a time. The memory goes when every worker has passed a quiescent state.
 */
#pragma once

#include <stdint.h>

#include "dataplane/nodes/capture.h"

struct dataplane;

/*
 * Publish a capture of at most `count` frames (CAPTURE_FOREVER: no limit) to the workers. Returns
 * it, valid until dataplane_capture_end(); or NULL and errno: EBUSY (another runs, or has only just
 * ended), ENOMEM.
 */
struct capture *dataplane_capture_begin(
	struct dataplane *dp, const struct capture_filter *filter, uint32_t count);

/* Take it back. Harmless when there is none. */
void dataplane_capture_end(struct dataplane *dp);
