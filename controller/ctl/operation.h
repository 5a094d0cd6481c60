/*
 * Operations: the controller's account of one change. Used by the commands that make changes.
 */
#pragma once

#include "controller/ctl/ctl.h"

/*
 * Wait until an operation is done (the controller tells, nothing polls). Returns an exit code;
 * EXIT_FAILED when it failed or took longer than timeout_ms, having said which nodes are missing.
 */
int operation_wait(struct ctl *ctl, const char *id, unsigned long timeout_ms);
