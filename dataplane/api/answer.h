/*
 * Makes the replies to requests: a pure reading of tables and counters, one reply at a time.
 *
 * A struct answer is a request in progress; where a list does not fit in one reply, it remembers
 * where to go on. Entries that come or go meanwhile may or may not be shown; those that stay are
 * shown once.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/nodes/trace.h"

struct dataplane;

struct answer {
	uint32_t ask;    /* Audums__V1__DataplaneRequest__AskCase */
	uint32_t vni;    /* FDB: only this one; 0 = all */
	uint32_t cursor; /* index or FDB cursor */
	uint64_t route;  /* last route shown: address << 8 | depth, plus 1; 0 = none yet */
};

/*
 * Encode the next reply of `a` with its length in front. *out is to be freed; *more says whether
 * to come again. Returns 0, -ENOMEM or -EMSGSIZE.
 */
int answer_next(struct dataplane *dp, struct answer *a, uint8_t **out, size_t *len, bool *more);

/* Encode what a trace recorded. As answer_next(). */
int answer_trace(struct dataplane *dp, const struct trace *trace, uint8_t **out, size_t *len);

struct capture;

/*
 * Encode what a capture's rings hold; `first`: with the ports' names in front. *last: no more will
 * come. As answer_next().
 */
int answer_capture(struct dataplane *dp, struct capture *c, bool first, bool *last, uint8_t **out,
	size_t *len);

/* Whether any ring holds a frame. */
bool answer_capture_waits(struct capture *c);

/* Encode a failure. As answer_next(). */
int answer_error(const char *text, uint8_t **out, size_t *len);
