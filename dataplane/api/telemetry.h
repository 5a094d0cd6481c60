/*
 * The same counters by DPDK's telemetry (rte_telemetry), for its own tools and collectors:
 * RUN/dpdk/rte/dpdk_telemetry.v2, commands under /audums/.
 *
 * Telemetry calls back in threads of its own. Nothing is read there: the question waits until the
 * main thread answers it in its turn, so the tables' one writer stays alone with them. DPDK gives
 * callbacks no argument and takes none back, hence one desk a process, in telemetry.c.
 */
#pragma once

struct dataplane;

/*
 * Answer questions from `dp` until telemetry_close(). The first call of a process registers the
 * commands; without a telemetry socket (eal.h) nobody asks. Returns 0, -EBUSY (another dataplane
 * answers), or another negative errno.
 */
int telemetry_open(struct dataplane *dp);

/* Questions are refused from now on; those that wait are too. Harmless when not open for `dp`. */
void telemetry_close(struct dataplane *dp);
