/*
 * The supervisor's two halves, supervisor.c (requests and the loop) and supervisor_child.c (the
 * processes), share this; and its test the request language.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "controller/ctl/lab/internal.h"

#define SUPERVISOR_CLIENTS_MAX 8
#define SUPERVISOR_LINE_MAX    512
#define BACKOFF_MIN_MS         200
#define LOG_CHECK_MS           10000

enum child_state {
	CHILD_WAITING, /* for wait_path */
	CHILD_RUNNING,
	CHILD_BACKOFF,
	CHILD_STOPPED,
};

struct child {
	const struct service *service;
	enum child_state state;
	pid_t pid;
	uint64_t since_ms; /* when the state began */
	uint64_t due_ms;   /* when something must be done about it */
	unsigned int backoff_ms;
	unsigned int restarts;
	char last_exit[64];
};

struct client {
	int fd; /* -1 = free */
	size_t used;
	char line[SUPERVISOR_LINE_MAX];
};

struct supervisor {
	struct child *children;
	unsigned int count;
	const char *mark;
	int signal_fd;
	int listen_fd;
	struct client clients[SUPERVISOR_CLIENTS_MAX];
	uint64_t log_check_ms;
	bool quit;
};

/* Start a service now, or as soon as the path it waits for exists. */
void child_begin(struct supervisor *sup, struct child *c, uint64_t now);
/* Collect the processes that have ended; those of services are started again after a while. */
void children_reap(struct supervisor *sup);
/* Do what is due: starts after a back-off, kills of those that do not end, bounds of the logs. */
void children_due(struct supervisor *sup, uint64_t now);
/* Milliseconds until something is due. */
int children_timeout(const struct supervisor *sup, uint64_t now);
/* Kill what dead services have left behind. */
void orphans_kill(struct supervisor *sup);

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
