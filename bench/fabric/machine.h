/*
 * What the machine itself does meanwhile: how long it does not let a thread run that only wants to
 * look at the clock every 2 ms. Stalls say how far a time can be believed.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct machine {
	pthread_t thread;
	bool runs;
	_Atomic bool stop;
	_Atomic uint64_t stall_ns; /* the longest since the last machine_stall() */
};

/* 0 or a negative errno. */
int machine_start(struct machine *m);
void machine_stop(struct machine *m);
/* The longest stall since the last call, milliseconds. */
double machine_stall(struct machine *m);
/* Load average of the last minute. */
double machine_load(void);
