/* Certificates and the TLS side of a connection, inside this folder. */
#pragma once

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>

#include "controller/rpc/rpc.h"

#define IDENTITY_SIZE 256

/* One more reference; give it back with rpc_tls_free(). */
struct rpc_tls *rpc_tls_ref(struct rpc_tls *tls);

/*
 * A TLS state for a connected descriptor (which stays the caller's), with the certificates of now.
 * Client: `server_name` (may be NULL) is verified and, if a DNS name, sent as SNI. Returns NULL
 * when out of memory.
 */
SSL *rpc_tls_connection(struct rpc_tls *tls, int fd, bool server, const char *server_name);

/* The peer's first URI name into `out`; "" without one. Returns false when the certificate has a
 * name that can't be one (too long, not printable): refuse such a peer. */
bool rpc_tls_peer_identity(const SSL *ssl, char out[IDENTITY_SIZE]);

/* Whether ALPN has chosen h2. */
bool rpc_tls_is_h2(const SSL *ssl);

/* Why the last operation on `ssl` failed, in words; clears OpenSSL's error queue. `ret` is what the
 * operation returned, `err` errno at that moment. */
void rpc_tls_failure(const SSL *ssl, int ret, int err, char *out, size_t size);
