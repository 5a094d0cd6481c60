/* What client.c and client_call.c share; nobody else includes it. */
#pragma once

#include <stdarg.h>
#include <sys/socket.h>

#include "controller/rpc/rpc_internal.h"

#define CLIENT_ADDRESSES 8 /* that are tried */

struct client_address {
	struct sockaddr_storage storage;
	socklen_t len;
};

struct rpc_client {
	struct loop *loop;
	struct rpc_tls *tls;
	struct rpc_limits limits;
	char *target;
	char *server_name; /* or NULL */
	char *uri_prefix;  /* or NULL */
	char *authority;
	void (*on_state)(void *arg, enum rpc_client_state state, const char *reason);
	void *arg;
	enum rpc_client_state state;
	bool freeing;
	struct rpc_conn *conn; /* NULL: IDLE */
	struct client_address addresses[CLIENT_ADDRESSES];
	unsigned int address_count;
	unsigned int address_next;
};
