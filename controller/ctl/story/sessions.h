/*
 * Counts what must outlive a forwarding process: BGP sessions (how often they were dropped) and the
 * carrier of the uplinks' TAPs (how often it changed), over all nodes of a lab.
 */
#pragma once

#include <stdint.h>

#include "controller/ctl/lab/lab.h"

struct sessions {
	uint64_t bgp_dropped;
	uint64_t carrier_changes;
};

/* 0, or a negative errno with a sentence in `err`. */
int sessions_count(const struct lab *lab, struct sessions *out, struct lab_err *err);
/* How many were lost between the two counts. */
unsigned int sessions_lost(const struct sessions *before, const struct sessions *after);
