/*
 * Finds outages in a row of samples "sent at T, came through or not". Used by probe.c.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "controller/ctl/lab/lab.h"

/* Zero it before the first sample. */
struct outage_counter {
	bool open; /* the last sample was lost */
	uint64_t start_ns;
	uint64_t lost; /* of the open one */
	uint64_t longest_ns;
	unsigned int count; /* all, also those that are not listed */
	struct lab_outage list[LAB_OUTAGES_MAX];
};

static inline void outage_end(struct outage_counter *c, uint64_t at_ns)
{
	uint64_t length = at_ns - c->start_ns;

	if (!c->open)
		return;
	c->open = false;
	if (c->count < LAB_OUTAGES_MAX)
		c->list[c->count] = (struct lab_outage){
			.start_ms = (double)c->start_ns / 1e6,
			.duration_ms = (double)length / 1e6,
			.lost = c->lost,
		};
	c->count++;
	if (length > c->longest_ns)
		c->longest_ns = length;
}

/* Samples come in the order of sending. */
static inline void outage_sample(struct outage_counter *c, uint64_t sent_ns, bool came_through)
{
	if (came_through) {
		outage_end(c, sent_ns);
		return;
	}
	if (!c->open) {
		c->open = true;
		c->start_ns = sent_ns;
		c->lost = 0;
	}
	c->lost++;
}
