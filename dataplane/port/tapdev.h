/*
 * A TAP's descriptor: carrier and stale frames. Free of DPDK: used by the holder and by tap.c.
 */
#pragma once

#include <stdbool.h>

/* Set the TAP's carrier (TUNSETCARRIER). Needs no capability, only the descriptor. Returns 0 or a
 * negative errno. */
int tap_carrier_set(int fd, bool up);

/* Throw away frames that wait in the TAP's queue, at most 4,096. Returns how many. */
unsigned int tap_flush(int fd);
