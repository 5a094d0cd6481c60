/*
 * Who a peer is and what it may do, from the identity in its certificate (D20).
 *
 *	audums://node/NODE                    may open the session of that node, nothing else
 *	audums://client/operator/PROVIDER/N   may read, and change what PROVIDER owns (and build it
 *	                                      on what PROVIDER owns, see change.c)
 *	audums://client/reader/PROVIDER/N     may read
 *	audums://controller/NAME              nothing here
 *
 * PROVIDER "*" stands for all providers that this controller acts for. Called by the API and the
 * node sessions.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum access_role {
	ACCESS_NONE,
	ACCESS_NODE,
	ACCESS_OPERATOR,
	ACCESS_READER,
};

struct access {
	enum access_role role;
	char name[64];      /* of the node or the client */
	char provider[64];  /* of a client; "*": all */
	char identity[256]; /* the URI itself, for logs and records */
};

/* Parse an identity; one that is not understood gives ACCESS_NONE. */
void access_parse(const char *identity, struct access *access);

/* May it read intent and status? */
bool access_read(const struct access *access);

/* May it change anything at all? */
bool access_change(const struct access *access);

/*
 * May it change an object that `provider` owns, with a controller that acts for `providers` (`n` of
 * them, 0: for all)? If not, `why` says what to do.
 */
bool access_change_provider(const struct access *access, const char *provider,
	char *const *providers, size_t n, char *why, size_t size);

/* May it open the session of `node`? */
bool access_node(const struct access *access, const char *node);
