/*
 * How the answers of a forwarding process are shown. Used by cmd_node.c.
 */
#pragma once

#include "audums/v1/dataplane.pb-c.h"
#include "controller/ctl/ctl.h"

/*
 * Print the parts of one answer as one table. All are of the same kind. Returns an exit code.
 */
int replies_table(const struct ctl *ctl, Audums__V1__DataplaneReply *const *replies, size_t n);
/* Port counters apart from the ports' state. */
int counters_table(const struct ctl *ctl, Audums__V1__DataplaneReply *const *replies, size_t n);
/* Packets as they were followed, step by step. */
void trace_print(const struct ctl *ctl, const Audums__V1__TraceReply *trace, FILE *out);
