/*
 * The service that the tests call: a few methods of the schema with scripted answers. Also served
 * to the foreign client by serve.c.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "controller/rpc/loop.h"
#include "controller/rpc/rpc.h"

#define GET_PATH     "/audums.v1.Fabric/Get"
#define APPLY_PATH   "/audums.v1.Fabric/Apply"
#define WATCH_PATH   "/audums.v1.Fabric/Watch"
#define SESSION_PATH "/audums.v1.NodeControl/Session"

/* What the service has seen. */
struct service {
	struct loop *loop;
	unsigned int requests;
	unsigned int starts;
	unsigned int messages;
	unsigned int half_closes;
	unsigned int dones;
	enum rpc_code last_done;
	char last_peer[256];
	size_t queue_max;        /* largest send queue that was seen */
	unsigned int again;      /* times that rpc_send() was refused */
	struct rpc_call *parked; /* Get "never", or a Session that is paused */
	uint64_t time_left_ms;   /* of the last Get */
	bool pause_sessions;     /* pause each Session at its first message */
};

/*
 * Get(name): "later": answered after 20 ms; "never": not; "missing": NOT_FOUND; "invalid":
 *	INVALID_ARGUMENT with Problems; "many-problems": a detail of 30 kB; "big-N": a document of N
 *	octets; "strange": a message that has to be encoded; else a document with one provider of
 *	that name whose display name is the peer's identity.
 * Apply: answers with generation = number of segments.
 * Watch(name = "COUNT SIZE"): COUNT events with SIZE octets of text, then OK; without name: one
 *	event, then nothing until cancelled.
 * Session: answers each Hello with a Query whose id counts the messages; node "finish" ends the
 *	stream with ABORTED; OK after half-close.
 */
extern const struct rpc_method service_methods[];
extern const size_t service_method_count;
