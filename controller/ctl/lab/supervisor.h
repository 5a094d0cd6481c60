/*
 * The supervisor's request language, apart from it for its test.
 */
#pragma once

enum supervisor_verb {
	SUPERVISOR_UNKNOWN, /* no such word, or too few or too many after it */
	SUPERVISOR_STATUS,
	SUPERVISOR_KILL,  /* NAME SIGNAL */
	SUPERVISOR_STOP,  /* NAME */
	SUPERVISOR_START, /* NAME */
	SUPERVISOR_QUIT,
};

/*
 * Take a request line apart, in place. `name` and `argument` point into `line` or are NULL.
 */
enum supervisor_verb supervisor_parse(char *line, char **name, char **argument);
