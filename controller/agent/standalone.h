/* Working from a desired-state file instead of a controller. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct agent;
struct loop;
struct standalone;

/*
 * Give the state of `path` (*.pb: a serialised DesiredState; *.yaml: the same as text) to the
 * agent. `once`: print the report when it is applied, or after `timeout_ms`, and stop the loop with
 * 0 or 1. Otherwise the file is watched and taken again whenever it is written or replaced. Returns
 * NULL with `error`.
 */
struct standalone *standalone_open(struct loop *loop, struct agent *agent, const char *path,
	bool once, unsigned int timeout_ms, char *error, size_t error_size);
void standalone_close(struct standalone *s);
