/*
 * The stream to the controller: sends hello, reports, events and answers; takes desired state and
 * queries. Connects again for ever with growing pauses. Nothing the node forwards depends on it.
 */
#pragma once

#include <stddef.h>

struct agent;
struct loop;
struct session;

struct session_options {
	const char *target;          /* "ADDRESS:PORT" or "unix:PATH" */
	const char *ca, *cert, *key; /* files, PEM */
	const char *node;            /* our name, as the certificate says */
};

/* Returns NULL with `error`. `agent` must outlive it; the strings are needed until it returns. */
struct session *session_open(struct loop *loop, struct agent *agent,
	const struct session_options *opt, char *error, size_t error_size);
void session_close(struct session *s);
