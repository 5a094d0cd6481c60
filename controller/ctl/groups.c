/*
 * The table of all commands.
 */
#include <stddef.h>

#include "controller/ctl/groups.h"

const struct command *const command_groups[] = {
	apply_commands,
	get_commands,
	wait_commands,
	node_commands,
	top_commands,
	capture_commands,
	lab_commands,
	lab_process_commands,
	lab_net_commands,
	lab_measure_commands,
	demo_commands,
	misc_commands,
	NULL,
};
