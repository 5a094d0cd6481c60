/*
 * A whole controller in the test's process: real store, real TLS and gRPC over a unix socket, one
 * loop for both sides; and fake agents, which apply what they are told in memory.
 */
#pragma once

#include "controller/audumsd/controller.h"
#include "controller/audumsd/strmap.h"
#include "controller/rpc/rpc_cert.h"

#define DEADLINE_MS 30000

struct fixture {
	char dir[64];
	char socket[96];
	struct loop *loop;
	struct store *store;
	struct controller *controller;
	struct rpc_server *server;
	struct rpc_ca *ca;
	struct rpc_tls *server_tls;
	struct controller_options options;
	unsigned int n_agents;
	bool external; /* the controller is another process, on `socket` */
};

/* In a fresh directory. */
void fixture_start(struct fixture *f);
/* The controller ends and begins again on the same store. Clients lose their connections. */
void fixture_restart(struct fixture *f);
void fixture_stop(struct fixture *f);

/* A connected client with a certificate for `uri` (NULL: none in it). */
struct rpc_client *fixture_client(struct fixture *f, const char *uri);

/* Turn the loop until `condition` holds; fails the test at the deadline. */
void fixture_wait(struct fixture *f, bool (*condition)(void *arg), void *arg);

/* Read a file of topology/ (or "inline" YAML when it has a newline) as a document. */
Audums__V1__Document *document_load(const char *name);

/* Unary calls; the code, and the response in *response (to be freed by the caller) if wanted. */
enum rpc_code call(struct rpc_client *client, const char *method, const ProtobufCMessage *request,
	const ProtobufCMessageDescriptor *output, ProtobufCMessage **response);
enum rpc_code call_apply(
	struct rpc_client *client, const char *document, Audums__V1__ApplyResponse **response);
/* "segment/registri" and the like, with blanks between. */
enum rpc_code call_delete(struct rpc_client *client, const char *refs);
/* One object with its status; NULL when it is not there. */
Audums__V1__Document *call_get(struct rpc_client *client, Audums__V1__Kind kind, const char *name);
/* What the last call that failed said. */
extern char call_message[1024];
extern char call_problems[8192]; /* "path: message\n" each */

struct agent {
	struct fixture *f;
	char name[32];
	char instance[32];
	struct rpc_client *client;
	struct rpc_call *call;
	enum rpc_code ended; /* how the session ended */
	char ended_text[512];
	bool is_over;

	/* what it was told */
	Audums__V1__NodeBase *base;
	struct strmap segments; /* name -> SegmentConfig */
	uint64_t generation;
	uint64_t applied;
	unsigned int n_desired; /* complete ones */
	unsigned int n_full;
	unsigned int n_chunks;
	Audums__V1__Query *query; /* the last one */

	/* how it behaves */
	bool silent;          /* says nothing by itself */
	const char *failing;  /* reports this segment as failed */
	const char *blind_to; /* never sees this VTEP */
};

/* Open a session of node `name`, with the certificate of `identity` (NULL: of the node). */
struct agent *agent_start(struct fixture *f, const char *name, const char *identity);
/* Say hello as `node`. */
void agent_hello(struct agent *a, const char *node);
/* Say what is applied, everything. */
void agent_report(struct agent *a);
void agent_send(struct agent *a, const Audums__V1__AgentMessage *message);
void agent_stop(struct agent *a);
