/*
 * What the forwarding process says of itself over its unix socket: statistics, tables, traces
 * (proto/audums/v1/dataplane.proto).
 *
 * The main thread's; never blocks. Bounded: API_CONNECTIONS clients, one request at a time each,
 * one reply in memory each (large tables come in several, made as the client reads). A client that
 * sends nonsense is closed, one that does not read only stops itself.
 */
#pragma once

#include <stdint.h>

struct api;
struct dataplane;

#define API_CONNECTIONS 16

/*
 * Serve `dp` on `listen_fd`, a listening unix stream socket (taken over in any case). NULL and
 * errno.
 */
struct api *api_open(struct dataplane *dp, int listen_fd);

/* Close all connections and the socket. NULL is allowed. */
void api_close(struct api *api);

/* Once a turn: traces that are complete or out of time. Returns milliseconds until it wants to be
 * called again, -1 = no need. `api` may be NULL. */
int api_turn(struct api *api, int64_t now_ms);
