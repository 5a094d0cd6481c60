/*
 * What the peers get of a case: its frames as a capture, its state as OpenFlow rules. See case.h.
 */
#pragma once

#include <stdio.h>

#include "bench/dataplane/case.h"

/* The case's frames as a pcap file (the classic format, Ethernet). 0 or a negative errno. */
int capture_write(const struct bench_case *c, const char *path);

/*
 * Rules for Open vSwitch that do what the tables of the case do: a frame's source must be known
 * behind its port (table 0), its destination says where it goes (table 1). Ports by name: `in`,
 * `out` and vx0 .. vx7. 0 or a negative errno.
 */
int rules_write(const struct bench_case *c, FILE *f);
