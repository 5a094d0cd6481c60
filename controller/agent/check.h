/* Checks of what comes from outside, before anything of it reaches the kernel or FRR. */
#pragma once

#include "audums/v1/node.pb-c.h"

#include <stdbool.h>
#include <stddef.h>

struct segment;

/* The node's base. Returns false with `error`. */
bool check_base(const Audums__V1__NodeBase *b, char *error, size_t error_size);

/* Fill in segments[i]->invalid and attachments[j].invalid; also finds VNIs, RDs and ports that are
 * claimed twice (the later name loses). */
void check_segments(struct segment **segments, size_t count);
