/*
 * The controller: its parts, and how they are wired.
 *
 * Invariant: one thread, one loop; everything that a part needs of another it gets through struct
 * controller. A commit is pushed to the nodes in the turn that made it.
 *
 *	api.c, watch.c, show.c   the Fabric service: requests in, answers out
 *	session.c                the NodeControl service: one stream a node
 *	nodes.c                  what is known of each node, and what it is yet to be sent
 *	status.c                 phases, from the intent and what the nodes report
 *	operations.c             progress of changes
 *	intent.c                 the intent itself
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "controller/audumsd/intent.h"
#include "controller/rpc/loop.h"
#include "controller/rpc/rpc.h"

#define LEASE_MS      5000      /* no word from a node for so long: it is not connected */
#define NODE_EVENTS   32        /* kept of each node */
#define REQUEST_BYTES (8 << 20) /* greatest message taken from anybody */

struct nodes;
struct operations;
struct shows;
struct status;
struct watchers;

struct controller {
	struct loop *loop;
	struct intent *intent;
	struct nodes *nodes;
	struct operations *operations;
	struct shows *shows;
	struct status *status;
	struct watchers *watchers;
	struct loop_timer *settle; /* of the intent, when the nodes have been told */
};

struct controller_options {
	uint64_t quarantine_ms;
	char *const *providers; /* copied by nobody: must outlive the controller */
	size_t n_providers;
};

/*
 * A controller on a store (which stays the caller's, and must answer at once: the embedded back
 * end). Returns 0, or a status of intent_open(). Free it with controller_free() after the server.
 */
int controller_new(struct controller **out, struct loop *loop, struct store *store,
	const struct controller_options *options);
void controller_free(struct controller *c);

/* Add both services to a server. Returns 0 or an error of rpc_server_add(). */
int controller_serve(struct controller *c, struct rpc_server *server);

/* Give up what would keep a server from draining: sessions, watches, waiters. */
void controller_drain(struct controller *c);

/* True when the program must end and begin anew (see intent_broken()). */
bool controller_broken(const struct controller *c);

/* Milliseconds since the epoch. */
uint64_t clock_ms(void);
