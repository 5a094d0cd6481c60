/* What the sections of the benchmark share: one run. */
#pragma once

#include "bench/fabric/figures.h"
#include "bench/fabric/machine.h"
#include "controller/ctl/story/story.h"

#define BENCH_FROM "registri-lvrtc"
#define BENCH_TO   "registri-ic"

struct bench {
	const char *lab;
	const char *topology; /* files */
	const char *tenant;
	const char *many; /* intent of many segments, or NULL */
	const char *peer; /* its namespaces' common name, or NULL */
	unsigned int runs;
	unsigned int idle_ms; /* length of a window in which CPU time is counted */
	struct machine machine;
	struct story story;
	struct figures figures;
};

/* A sample, with what the machine did since the last one. */
void bench_sample(struct bench *b, struct figure *f, double value);
/* Forget the stalls so far: what follows is measured. */
void bench_begin(struct bench *b);
/* Wait without doing anything, so that what came before is over and not measured. */
void bench_settle(unsigned int ms);

/* Memory and, when idle_ms is not 0, CPU time of each process; keys begin with `prefix`. */
int bench_processes(struct bench *b, const char *prefix, const char *when, unsigned int idle_ms,
	struct lab_err *err);

/* The sections, in the order they are run. 0, or a negative errno with `err`. */
int section_provision(struct bench *b, struct lab_err *err);
int section_idle(struct bench *b, struct lab_err *err);
int section_rtt(struct bench *b, struct lab_err *err);
int section_tcp(struct bench *b, struct lab_err *err);
int section_move(struct bench *b, struct lab_err *err);
int section_down(struct bench *b, struct lab_err *err);
int section_silent(struct bench *b, struct lab_err *err);
int section_kill(struct bench *b, struct lab_err *err);
int section_many(struct bench *b, struct lab_err *err);
