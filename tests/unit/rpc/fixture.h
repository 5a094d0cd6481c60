/* A loop, certificates in a temporary directory, a server with service.c, and clients for it. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "audums/v1/fabric.pb-c.h"
#include "controller/rpc/loop.h"
#include "controller/rpc/rpc.h"
#include "controller/rpc/rpc_cert.h"
#include "tests/unit/rpc/service.h"

#define WAIT_MS 20000 /* generous: sanitisers on a busy machine */

struct fixture {
	char dir[64];
	struct loop *loop;
	struct rpc_ca *ca;
	struct rpc_tls *server_tls;
	struct rpc_tls *node_tls; /* audums://node/riga-1 */
	struct rpc_server *server;
	uint16_t port;
	char unix_target[128];
	struct service service;
	struct rpc_client *client;
	enum rpc_client_state states[16];
	unsigned int state_count;
	char reason[512];
	unsigned int turns_left;
};

/* cmocka set-up and tear-down: a server with default limits on TCP and a unix socket; no client. */
int fixture_setup(void **state);
int fixture_teardown(void **state);

/* Replace the server by one with other limits. */
void fixture_server(struct fixture *f, const struct rpc_limits *limits);

/* Make f->client, to the TCP port, with the node's certificate; limits may be NULL. Connected when
 * it returns. */
void fixture_client(struct fixture *f, const struct rpc_limits *limits);

/* A path in the directory (static memory, of the last two calls). */
const char *fixture_path(const struct fixture *f, const char *name);

/* Load the credentials NAME.crt, NAME.key against ca.crt. */
struct rpc_tls *fixture_tls(const struct fixture *f, const char *name);

/* Issue NAME.crt and NAME.key. */
void fixture_issue(const struct fixture *f, const char *name, const char *uri, unsigned int days);

/* Options for a client to the TCP port that expects our server. */
struct rpc_client_options fixture_options(struct fixture *f);

/* Turn the loop until `cond` holds; fails the test after WAIT_MS. */
#define wait_for(f, cond)                                                                          \
	do {                                                                                       \
		const uint64_t until = loop_now_ms() + WAIT_MS;                                    \
		while (!(cond)) {                                                                  \
			if (loop_now_ms() > until)                                                 \
				fail_msg("waited in vain for %s", #cond);                          \
			assert_true(loop_turn((f)->loop, 50) >= 0);                                \
		}                                                                                  \
	} while (0)

/* Get(name) by rpc_call_sync(). */
enum rpc_code fixture_get(struct rpc_client *client, const char *name, uint64_t timeout_ms,
	struct rpc_result *result);

/* A call whose end and messages are recorded. */
struct record {
	unsigned int messages;
	unsigned int writables;
	bool done;
	enum rpc_code code;
	char message[1200];
	uint64_t last_id; /* of a Query */
	bool pause;       /* after each message */
};
extern const struct rpc_call_events record_events;

struct rpc_call *fixture_watch(struct rpc_client *client, const char *name, struct record *r);
struct rpc_call *fixture_session(struct rpc_client *client, struct record *r);
int fixture_hello(struct rpc_call *call, const char *node);
