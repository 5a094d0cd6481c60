/* Watches the machine. See machine.h. */
#include "bench/fabric/machine.h"

#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>

#define PERIOD_NS 2000000u

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void *watch(void *arg)
{
	const struct timespec period = {0, PERIOD_NS};
	struct machine *m = arg;

	prctl(PR_SET_NAME, "stalls");
	prctl(PR_SET_TIMERSLACK, 1UL);
	while (!atomic_load(&m->stop)) {
		const uint64_t began = now_ns();
		uint64_t late;

		nanosleep(&period, NULL);
		late = now_ns() - began;
		late = late > PERIOD_NS ? late - PERIOD_NS : 0;
		if (late > atomic_load(&m->stall_ns))
			atomic_store(&m->stall_ns, late);
	}
	return NULL;
}

int machine_start(struct machine *m)
{
	const int r = pthread_create(&m->thread, NULL, watch, m);

	m->runs = r == 0;
	return -r;
}

void machine_stop(struct machine *m)
{
	if (!m->runs)
		return;
	atomic_store(&m->stop, true);
	pthread_join(m->thread, NULL);
	m->runs = false;
}

double machine_stall(struct machine *m)
{
	return (double)atomic_exchange(&m->stall_ns, 0) / 1e6;
}

double machine_load(void)
{
	double load[1];

	return getloadavg(load, 1) == 1 ? load[0] : 0;
}
