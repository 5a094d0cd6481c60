/*
 * Reads the kernel: one rtnetlink socket that is subscribed to links, addresses and neighbours and
 * also asks for the dumps, so that dump and events come in one order. An overrun (ENOBUFS) or an
 * interrupted dump is answered by a new dump (mark and sweep in the model). Never blocks.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct kmodel;
struct mnl_socket;

struct kwatch {
	struct mnl_socket *nl;
	struct kmodel *model;
	unsigned int seq;
	int dump_stage;  /* 0 links, 1 addresses, 2 neighbours, 3 none running */
	bool dump_again; /* the running dump is void */
	bool synced;     /* the model holds a complete dump */
	uint64_t dumps, overruns;
	char *buf;
};

/* Open and subscribe in the current network namespace. Returns 0 or a negative errno. */
int kwatch_open(struct kwatch *w, struct kmodel *model);
void kwatch_close(struct kwatch *w);

/* Descriptor to wait on for reading. */
int kwatch_fd(const struct kwatch *w);

/* Begin a dump (again). */
int kwatch_dump(struct kwatch *w);

/*
 * Take in all that is there. Returns 1 when the model changed or a dump was completed, 0 when not,
 * or a negative errno when the socket is beyond use.
 */
int kwatch_read(struct kwatch *w);

/* kwatch_read() until a running dump is complete, waiting at most `timeout_ms`. Returns 0,
 * -ETIMEDOUT or a negative errno. */
int kwatch_sync(struct kwatch *w, int timeout_ms);
