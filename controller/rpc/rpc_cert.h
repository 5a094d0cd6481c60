/*
 * A small certificate authority: EC P-256, X.509 v3 (RFC 5280), names as URI (RFC 3986), DNS and
 * IP. For labs and first set-ups (`audumsctl lab`); a provider with a real authority uses that.
 *
 * Identities: audums://node/NODE, audums://client/ROLE/PROVIDER/NAME, audums://controller/NAME.
 */
#pragma once

#include <stddef.h>

#include "controller/rpc/rpc.h"

struct rpc_ca;

/*
 * Make an authority with a new key, valid from five minutes ago for `days` days. Returns 0, -EINVAL
 * or -ENOMEM with *error. Free it with rpc_ca_free().
 */
int rpc_ca_create(
	struct rpc_ca **out, const char *common_name, unsigned int days, struct rpc_error *error);

/* Read an authority from PEM files. Returns 0, or a negative errno with *error naming the file. */
int rpc_ca_load(
	struct rpc_ca **out, const char *cert_file, const char *key_file, struct rpc_error *error);

/* Write its certificate (mode 0644) and key (0600), replacing files atomically. `key_file` may be
 * NULL. Returns 0 or a negative errno with *error. */
int rpc_ca_write(const struct rpc_ca *ca, const char *cert_file, const char *key_file,
	struct rpc_error *error);

void rpc_ca_free(struct rpc_ca *ca);

/* What to certify. Usable by servers and clients alike. */
struct rpc_cert_request {
	const char *common_name;  /* for people, at most 64 octets; NULL: "audums" */
	const char *uri;          /* identity, NULL: none */
	const char *const *names; /* DNS names and numeric IP addresses, mixed */
	size_t name_count;
	unsigned int days; /* 0: expires at once (for tests) */
};

/*
 * Make a new key and a certificate for it, write both (certificate 0644, key 0600, replaced
 * atomically). Returns 0 or a negative errno with *error.
 */
int rpc_ca_issue(const struct rpc_ca *ca, const struct rpc_cert_request *request,
	const char *cert_file, const char *key_file, struct rpc_error *error);
