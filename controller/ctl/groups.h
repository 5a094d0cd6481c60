/*
 * The groups of commands, one file each. Their order is that of the help.
 */
#pragma once

#include "controller/ctl/cmd.h"

extern const struct command apply_commands[];       /* cmd_apply.c: apply, diff, delete */
extern const struct command get_commands[];         /* cmd_get.c: get, describe */
extern const struct command wait_commands[];        /* cmd_wait.c: wait, watch, operation */
extern const struct command node_commands[];        /* cmd_node.c: node show, trace */
extern const struct command capture_commands[];     /* cmd_capture.c: node capture */
extern const struct command top_commands[];         /* cmd_top.c: node top */
extern const struct command lab_commands[];         /* cmd_lab.c */
extern const struct command lab_process_commands[]; /* cmd_lab_process.c: exec, kill, stop, start */
extern const struct command lab_net_commands[];     /* cmd_lab_net.c: links, workloads */
extern const struct command lab_measure_commands[]; /* cmd_lab_measure.c */
extern const struct command demo_commands[];        /* cmd_demo.c: the story */
extern const struct command misc_commands[];        /* cmd_misc.c: completion, version */
