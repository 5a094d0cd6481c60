/* What the story's files share. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "controller/ctl/story/story.h"

/* Milliseconds of the monotonic clock. */
double story_now(void);
/* Put a sentence into err and return `error` (negative errno). */
int story_fail(struct lab_err *err, int error, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* One line of progress. */
void story_say(const struct story *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/*
 * Watch objects until the wanted ones are all ready (or, `ready` false, at least one is not), at
 * most timeout_ms. `kinds` and `names` select: names NULL = all of those kinds. Follows the
 * controller through restarts. -ETIMEDOUT: err says which objects are not as wanted and why.
 */
struct story_wait {
	const Audums__V1__Kind *kinds;
	unsigned int kind_count;
	const char *const *names; /* of any of the kinds; NULL = all */
	unsigned int name_count;
	bool ready;
};
int story_wait(
	struct story *s, const struct story_wait *w, unsigned int timeout_ms, struct lab_err *err);

/* Wait until `more` further round trips came back. */
int story_wait_traffic(
	struct lab_probe *probe, uint64_t more, unsigned int timeout_ms, struct lab_err *err);
/* Start a 1 kHz probe and wait until traffic flows. */
int story_probe(struct story *s, const char *from, const char *to, struct lab_probe **probe,
	struct lab_err *err);
/* Stop it; remembers this machine's stalls. */
void story_probe_end(struct story *s, struct lab_probe *probe, struct lab_probe_result *result);
