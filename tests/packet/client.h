/*
 * A client of the forwarding process's socket, stepped together with the rig: a reply is complete
 * when the turns have been made.
 */
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include "audums/v1/dataplane.pb-c.h"
#include "proto/lib/frame.h"
#include "tests/packet/rig.h"

/* The rig's listening socket. */
struct client_server {
	struct rig *rig;
	struct sockaddr_un addr;
	socklen_t addr_len;
};

struct client {
	struct rig *rig;
	int fd;
	struct frame_decoder decoder;
};

/* Serve the rig's API at a socket of an unnamed place. */
void client_serve(struct client_server *server, struct rig *rig);

void client_connect(const struct client_server *server, struct client *c);
void client_close(struct client *c);

void client_send(struct client *c, const Audums__V1__DataplaneRequest *request);

/* Step the server until a whole reply is here; NULL: it closed the connection. */
Audums__V1__DataplaneReply *client_recv(struct client *c);

/* kernel_site() with its API served, and a client: a cmocka fixture, *state is one of these. */
struct site {
	struct rig *rig;
	struct client_server server;
	struct client client;
};

int client_site_setup(void **state);
int client_site_teardown(void **state);
