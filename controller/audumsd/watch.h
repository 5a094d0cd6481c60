/*
 * Watchers: clients that follow objects and their status.
 *
 * A watcher has a queue of names, each in it at most once; an object is made into an event when the
 * stream takes it, as it is then. So a slow client gets fewer, newer events, and costs the memory
 * of the names only.
 */
#pragma once

#include "controller/audumsd/controller.h"

struct watchers *watchers_new(struct controller *c);
void watchers_free(struct watchers *watchers);

/* An object, or its status, has changed or gone. */
void watchers_notify(struct watchers *watchers, Audums__V1__Kind kind, const char *name);

/* The Watch method. */
void watch_request(struct rpc_call *call, const ProtobufCMessage *request);
void watch_writable(struct rpc_call *call);
void watch_done(struct rpc_call *call, const struct rpc_status *status);

/* End all watches. */
void watchers_release(struct watchers *watchers);
