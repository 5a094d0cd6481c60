/*
 * A peer that speaks HTTP/2 as it likes: TLS as it should be, then nghttp2 without manners, or bare
 * octets. Plays a client against our server, or a server against our client; the fixture's loop is
 * turned meanwhile.
 */
#pragma once

#include <nghttp2/nghttp2.h>
#include <openssl/ssl.h>

#include "tests/unit/rpc/fixture.h"

struct raw {
	struct fixture *f;
	SSL_CTX *ctx;
	SSL *ssl;
	int fd;
	nghttp2_session *session;
	bool closed; /* by the other side */
	bool greedy; /* don't read: let the other side's answers pile up */

	/* what was received */
	int http_status;
	int grpc_status; /* -1: none */
	char grpc_message[1024];
	char accept_encoding[64];
	bool stream_closed;
	uint32_t stream_error;
	size_t data;
	bool goaway;
	uint32_t goaway_error;
	int32_t request_stream; /* server: the last complete request */

	/* what to send as data of the next response or request */
	const uint8_t *body;
	size_t body_len;
	size_t body_at;
	bool body_open;             /* don't end the stream after it */
	const char *trailer_status; /* server: grpc-status after the body; NULL: none */
};

/* Connect to f->port as the node; HTTP/2 preface and SETTINGS are queued when `http2`. */
void raw_connect(struct raw *r, struct fixture *f, bool http2);

/* Wait on a socket of our own for f->client to connect (f->port is set to it), then shake hands and
 * send SETTINGS. raw_listen() first, then start the client, then raw_accept(). */
int raw_listen(struct fixture *f);
void raw_accept(struct raw *r, struct fixture *f, int listener);

void raw_close(struct raw *r);

/* Exchange what there is and turn the loop once. */
void raw_turn(struct raw *r);

/* Write octets as they are, as far as the other side takes them while its loop turns; stops when it
 * closes. */
void raw_write(struct raw *r, const void *p, size_t n);

/* Client: a request with these headers beside :scheme and :authority ("name", "value", ..., NULL)
 * and r->body. Returns the stream. */
int32_t raw_request(struct raw *r, const char *const *headers);

/* Server: answer the request with these headers and r->body, r->trailer_status. */
void raw_respond(struct raw *r, const char *const *headers);

/* Turn until `cond` holds or the connection is closed by the other side. */
#define raw_wait(r, cond)                                                                          \
	do {                                                                                       \
		const uint64_t until = loop_now_ms() + WAIT_MS;                                    \
		while (!(cond) && !(r)->closed) {                                                  \
			if (loop_now_ms() > until)                                                 \
				fail_msg("waited in vain for %s", #cond);                          \
			raw_turn(r);                                                               \
		}                                                                                  \
	} while (0)
