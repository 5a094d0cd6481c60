/* CPU time and memory of a lab's processes, from /proc. */
#pragma once

#include <stdint.h>

#include "controller/ctl/lab/lab.h"

struct usage {
	char program[32];          /* "dataplane", "bgpd", "controller" */
	char node[LAB_OBJECT_LEN]; /* "" = of the whole lab */
	pid_t pid;
	uint64_t cpu_ticks; /* user and system, of sysconf(_SC_CLK_TCK) a second */
	uint64_t rss_kb;
	uint64_t pss_kb;
};

/* All that run, in the supervisor's order; free(*list). */
int usage_read(const char *lab, struct usage **list, unsigned int *count, struct lab_err *err);
/* The entry of the same process (by pid), or NULL. */
const struct usage *usage_find(const struct usage *list, unsigned int count, pid_t pid);
