/*
 * Relays questions to the dataplane of a node, through its session, and the answers back
 * (NodeShow).
 *
 * Invariant: each question has an id of its own, a deadline, and at most SHOW_QUEUE_BYTES of
 * answers that the client has not taken yet; a node has at most SHOW_MAX questions open.
 */
#pragma once

#include "controller/audumsd/controller.h"

#define SHOW_MAX         32
#define SHOW_QUEUE_BYTES (8u << 20)

struct shows *shows_new(struct controller *c);
void shows_free(struct shows *shows);

/* A node's answer. */
void shows_reply(struct shows *shows, const char *node, const Audums__V1__QueryReply *reply);
/* A node's session has ended. */
void shows_node_lost(struct shows *shows, const char *node);

/* The NodeShow method. */
void show_request(struct rpc_call *call, const ProtobufCMessage *request);
void show_writable(struct rpc_call *call);
void show_done(struct rpc_call *call, const struct rpc_status *status);
