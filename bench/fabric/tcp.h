/* One TCP stream between two namespaces for a while: how much arrives. For information. */
#pragma once

#include "controller/ctl/lab/lab.h"

/* *mbps: 10^6 bits a second of payload that arrived, over about `ms` milliseconds. IPv4. */
int tcp_measure(const struct lab_probe_end *from, const struct lab_probe_end *to, unsigned int ms,
	double *mbps, struct lab_err *err);
