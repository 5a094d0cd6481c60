/*
 * What the files of the lab's commands share.
 */
#pragma once

#include <jansson.h>

#include "controller/ctl/ctl.h"
#include "controller/ctl/lab/lab.h"

/* The option all of them take. */
#define LAB_OPTION                                                                                 \
	{                                                                                          \
		.name = "lab", .value = "NAME", .help = "which lab, when several are up",          \
		.completion = COMPLETE_LAB                                                         \
	}
extern const struct command_option lab_only_options[];

/* Say the sentence on stderr; returns EXIT_FAILED. */
int lab_error(const struct lab_err *err);
/* Open the lab that --lab names, or the only one. Returns an exit code, having said what is wrong.
 */
int lab_choose(const struct args *args, struct lab *lab);
/* The context to reach this lab's controller with, unless another one was asked for. */
const char *lab_context(const struct ctl *ctl, const struct lab *lab, char path[LAB_PATH_LEN]);
/* Print and free a JSON value. */
int json_print(const struct ctl *ctl, json_t *root);
json_t *workloads_json(const struct lab_workload *list, unsigned int count);
int workloads_table(const struct ctl *ctl, const struct lab_workload *list, unsigned int count);
