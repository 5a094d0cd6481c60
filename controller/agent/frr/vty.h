/*
 * Client of an FRR daemon's vty socket, the one vtysh uses: an AF_UNIX stream; a command is its
 * text and a zero octet; the answer is text, three zero octets and one status octet.
 *
 * Asynchronous on the loop. Commands are pipelined within a window; the daemon executes and answers
 * them in order. Connects again by itself for ever; what was pending when a connection is lost is
 * answered with VTY_LOST. A daemon that leaves a command unanswered for VTY_DEADLINE_MS counts as
 * lost.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop;
struct vty;

#define VTY_REPLY_MAX    (16u * 1024 * 1024) /* octets of one answer */
#define VTY_QUEUE_MAX    200000              /* commands */
#define VTY_COMMAND_MAX  1024                /* octets of one command with its zero */
#define VTY_DEADLINE_MS  10000
#define VTY_INSTANCE_MAX 96

/* Status octets of answers (FRR's CMD_*), and our own for lost connections. */
enum vty_status {
	VTY_LOST = -1,
	VTY_OK = 0,
	VTY_WARNING = 1,
	VTY_NO_MATCH = 2,
	VTY_AMBIGUOUS = 3,
	VTY_INCOMPLETE = 4,
	VTY_CONFIG_FAILED = 13,
};

/* ---- answers, without I/O ---- */

struct vty_parser {
	char *text; /* of the answer so far; ends in a zero octet when it is complete */
	size_t len, capacity;
	unsigned int zeros;
	int status; /* of the complete answer */
};

/*
 * Take octets until an answer is complete. Returns 1 when it is (text, len, status are valid until
 * the next call), 0 when more is needed, -EMSGSIZE beyond VTY_REPLY_MAX, -EPROTO for zeros inside
 * the text, -ENOMEM. *used says how many octets were taken.
 */
int vty_parser_feed(struct vty_parser *p, const char *data, size_t len, size_t *used);
void vty_parser_clear(struct vty_parser *p);

/* ---- the connection ---- */

/* `text` ends in a zero octet and is valid during the callback. */
typedef void vty_done_fn(void *arg, int status, const char *text, size_t len);

struct vty_events {
	/* The daemon answers; `instance` differs for each process that ever ran, "" = unknown. */
	void (*up)(void *arg, const char *instance);
	/* Not (any more); `reason` is for people. Called once for each loss, and once at the start
	 * when the first attempt fails. */
	void (*down)(void *arg, const char *reason);
};

/* Begin to connect to the socket `path`. Returns NULL with errno. */
struct vty *vty_new(
	struct loop *loop, const char *path, const struct vty_events *events, void *arg);
/* Close and free; pending commands are answered with VTY_LOST. NULL is allowed. */
void vty_free(struct vty *v);

bool vty_is_up(const struct vty *v);
/* Commands not answered yet. */
size_t vty_pending(const struct vty *v);

/* Queue one command. Returns 0, -ENOTCONN, -ENOBUFS (queue full), -EINVAL (too long or holds a line
 * break), -ENOMEM; `done` may be NULL and is only called after 0, never before this returns. */
int vty_send(struct vty *v, const char *command, vty_done_fn *done, void *arg);
