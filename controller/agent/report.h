/*
 * What really is, as Report messages: the difference to what was told before, in chunks.
 */
#pragma once

#include "controller/agent/agent.h"

/* Tell the listener what has changed since the last report (everything when a->report_all). Updates
 * applied_generation and the list of leaving segments. */
void report_make(struct agent *a);

/* Update applied_generation only. */
void report_look(struct agent *a);

/* The state of one segment with a reason for people. `message` points to static text or into the
 * segment. */
Audums__V1__ApplyState report_segment_state(
	const struct agent *a, const struct segment *s, const char **message);
