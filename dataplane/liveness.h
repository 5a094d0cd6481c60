/*
 * Do the workers still walk? The main thread is asked by the port holder once a second and says
 * yes by answering at all; what it says about its workers comes from here.
 *
 * Invariant: no clock, and nothing that a worker would have to do for it: each is woken by every
 * question, so one that works has walked at least once until the next.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/worker.h"

struct dataplane;

struct liveness {
	bool asked;
	uint64_t walks[WORKER_MAX]; /* at the last question */
};

/*
 * Take a question: false when a worker has not walked since the last one (logged). *l is zero at
 * first. True before the workers were started. Main thread.
 */
bool liveness_check(struct liveness *l, struct dataplane *dp);
