/*
 * Completion of command lines for the shell. Used by cmd_misc.c.
 */
#pragma once

#include "controller/ctl/ctl.h"

/* Print what the last of `words` can be continued to, a candidate a line. */
void complete(struct ctl *ctl, int count, char *const words[]);
/* The script for bash. */
void completion_script(FILE *out);
