/*
 * The groups of commands, one file each. Their order is that of the help.
 */
#pragma once

#include "controller/ctl/cmd.h"

extern const struct command lab_commands[];         /* cmd_lab.c */
extern const struct command lab_net_commands[];     /* cmd_lab_net.c: links, workloads */
extern const struct command lab_measure_commands[]; /* cmd_lab_measure.c */
extern const struct command misc_commands[];        /* cmd_misc.c: completion, version */
