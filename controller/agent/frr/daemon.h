/*
 * One FRR daemon: its vty connection, the configuration it should have, and what was applied to it.
 * daemon_sync() sends the difference; items are acknowledged one by one. What was applied is kept
 * in a file beside the instance (the process) it was applied to, so an agent that starts again
 * sends nothing that is there, and takes away what is not wanted any more. A new instance gets
 * everything.
 */
#pragma once

#include "controller/agent/frr/conf.h"
#include "controller/agent/frr/vty.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop;
struct loop_task;
struct loop_timer;

#define DAEMON_KEY_MAX   64
#define DAEMON_ERROR_MAX 160

struct daemon_failure {
	char key[DAEMON_KEY_MAX];
	char error[DAEMON_ERROR_MAX];
	uint64_t retry_at_ms;
	uint32_t delay_ms;
};

struct daemon {
	const char *name; /* "bgpd" */
	struct loop *loop;
	struct vty *vty;
	struct loop_task *task;   /* daemon_sync() later in this turn */
	struct loop_timer *retry; /* for failed and postponed items */
	struct conf wanted, applied;
	char file[256]; /* where `applied` is kept; "" = nowhere */
	char instance[VTY_INSTANCE_MAX];
	bool up;
	bool was_up;     /* at least once since the start */
	char reason[64]; /* why it is down; "" while nothing is known yet */
	uint64_t up_at_ms;
	unsigned int in_flight; /* items sent and not wholly answered */
	uint64_t epoch;         /* grows with everything that changes the daemon's configuration */
	uint64_t commands;      /* configuration commands ever sent */
	struct daemon_failure *failures;
	size_t failure_count;
	/* Called from the loop when up, an item's outcome or a failure changed. */
	void (*changed)(void *arg, struct daemon *dm);
	/* Whether an item may be taken away now; false: asked again later. NULL: always. */
	bool (*may_undo)(void *arg, const struct conf_item *item);
	void *arg;
};

/* `file` may be NULL. Callbacks are to be set by the caller before the loop turns. Returns 0 or a
 * negative errno. */
int daemon_open(struct daemon *dm, struct loop *loop, const char *name, const char *socket,
	const char *file);
void daemon_close(struct daemon *dm);

/* Take over a configuration (leaves `c` empty) and send the difference soon. */
void daemon_want(struct daemon *dm, struct conf *c);
/* Send the difference soon. */
void daemon_sync(struct daemon *dm);

/* The item is not as it should be: apply it again, with `fix` lines (may be NULL). */
void daemon_redo(struct daemon *dm, enum conf_order order, const char *key, const char *fix);
/* The daemon has lost all items of this order and later. */
void daemon_forget(struct daemon *dm, enum conf_order from);

/* The daemon has acknowledged the wanted item. */
bool daemon_holds(const struct daemon *dm, enum conf_order order, const char *key);
/* Why the item could not be applied, or NULL. */
const char *daemon_error(const struct daemon *dm, const char *key);
