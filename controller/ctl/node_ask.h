/*
 * Asking a node's forwarding process: by way of the controller and the node's agent; or, with
 * --socket or --direct, at its own unix socket on this machine, which works without either. Used by
 * all "node" commands and by trace.
 */
#pragma once

#include "audums/v1/dataplane.pb-c.h"
#include "controller/ctl/ctl.h"

#define NODE_ASK_MS 15000

/*
 * Takes over one reply, the next of an answer. None has an error: that is said by node_ask().
 * Returns false when it wants no more, after having said why.
 */
typedef bool node_reply_fn(void *arg, Audums__V1__DataplaneReply *reply);

/*
 * Ask `node` and hand each reply to `fn`, until the last one. `timeout_ms` in all. Options socket,
 * direct and lab of `args` say where. Returns EXIT_OK, or EXIT_FAILED after having said why.
 */
int node_ask(struct ctl *ctl, const struct args *args, const char *node,
	Audums__V1__DataplaneRequest *ask, unsigned long timeout_ms, node_reply_fn *fn, void *arg);

/* All parts of an answer, for those who want it whole; node_replies_take() is a node_reply_fn. */
struct node_replies {
	Audums__V1__DataplaneReply **items;
	size_t count;
};
bool node_replies_take(void *replies, Audums__V1__DataplaneReply *reply);
void node_replies_free(struct node_replies *r);

/* The options of a command that uses it. */
#define NODE_ASK_OPTIONS                                                                           \
	{.name = "direct", .help = "in a lab: ask at the node's own socket, not the controller"},  \
		{.name = "socket",                                                                 \
			.value = "PATH",                                                           \
			.help = "ask at this socket of a forwarding process on this machine",      \
			.completion = COMPLETE_FILE},                                              \
		LAB_OPTION
