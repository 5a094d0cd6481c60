/*
 * gRPC over HTTP/2 and mutual TLS 1.3, servers and clients, with protobuf-c messages.
 *
 * Wire format: gRPC's "PROTOCOL-HTTP2" document over RFC 9113; works with other gRPC programs.
 * Everything here belongs to the thread of its loop. No function calls back before it returns,
 * unless it says so: callbacks come from the loop.
 *
 * Invariants: every queue is bounded (struct rpc_limits); each call ends with exactly one `done`
 * callback, after which the call is gone; a peer is never served before its certificate is
 * verified.
 *
 * ---- A server in short
 *
 *	static void get(struct rpc_call *call, const ProtobufCMessage *request)
 *	{
 *		const Audums__V1__GetRequest *req = (const Audums__V1__GetRequest *)request;
 *		struct controller *c = rpc_call_service(call);
 *		...
 *		rpc_reply(call, &document.base);             // or, now or later:
 *		rpc_finish(call, RPC_NOT_FOUND, "no segment \"%s\"", req->name);
 *	}
 *	static const struct rpc_method methods[] = {
 *		{.path = "/audums.v1.Fabric/Get", .input = &audums__v1__get_request__descriptor,
 *			.output = &audums__v1__document__descriptor, .request = get},
 *	};
 *	rpc_tls_load(&tls, "ca.pem", "cert.pem", "key.pem", &error);
 *	server = rpc_server_new(loop, tls, NULL);
 *	rpc_server_add(server, methods, 1, controller);
 *	rpc_server_listen_tcp(server, "0.0.0.0", 7443, NULL, &error);
 *
 * ---- A client in short: rpc_client_new(), rpc_client_connect(), then rpc_unary(),
 * rpc_call_start() or, in a command-line program, rpc_call_sync().
 */
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct loop;
struct rpc_call;
struct rpc_client;
struct rpc_server;
struct rpc_tls;

/* Text of an error for people; set by functions that take one when they fail. NULL is allowed
 * wherever one is taken. */
struct rpc_error {
	char text[512];
};

/* ---- status -------------------------------------------------------------------------------- */

/* The status codes of gRPC; see google.rpc.Code. */
enum rpc_code {
	RPC_OK = 0,
	RPC_CANCELLED = 1,
	RPC_UNKNOWN = 2,
	RPC_INVALID_ARGUMENT = 3,
	RPC_DEADLINE_EXCEEDED = 4,
	RPC_NOT_FOUND = 5,
	RPC_ALREADY_EXISTS = 6,
	RPC_PERMISSION_DENIED = 7,
	RPC_RESOURCE_EXHAUSTED = 8,
	RPC_FAILED_PRECONDITION = 9,
	RPC_ABORTED = 10,
	RPC_OUT_OF_RANGE = 11,
	RPC_UNIMPLEMENTED = 12,
	RPC_INTERNAL = 13,
	RPC_UNAVAILABLE = 14,
	RPC_DATA_LOSS = 15,
	RPC_UNAUTHENTICATED = 16,
};
#define RPC_CODES 17

/* "NOT_FOUND" and so on; "UNKNOWN" for a number that is none. Never NULL. */
const char *rpc_code_name(enum rpc_code code);

/* How a call ended. Valid during the callback that gets it. */
struct rpc_status {
	enum rpc_code code;
	const char *message;    /* for people, UTF-8; "" when there is none; never NULL */
	const uint8_t *details; /* serialised audums.v1.StatusDetails, or NULL */
	size_t details_len;     /* octets */
};

/*
 * Unpack the detail of type `desc` from a status. Returns a message to be freed with
 * protobuf_c_message_free_unpacked(m, NULL), or NULL when there is none such or it is malformed.
 *	Audums__V1__Problems *p = (Audums__V1__Problems *)rpc_status_detail(status,
 *		&audums__v1__problems__descriptor);
 */
ProtobufCMessage *rpc_status_detail(
	const struct rpc_status *status, const ProtobufCMessageDescriptor *desc);

/* ---- limits -------------------------------------------------------------------------------- */

/* Zero in any field means its default. Sizes are octets, times milliseconds. */
struct rpc_limits {
	size_t message_bytes;          /* one received message; 4 MiB; above: RESOURCE_EXHAUSTED */
	size_t header_bytes;           /* header list of a request or answer; 64 KiB */
	size_t send_queue_bytes;       /* unsent messages of one call; 1 MiB; above: -EAGAIN */
	size_t connection_bytes;       /* partly received messages of a connection; 16 MiB */
	uint32_t streams;              /* concurrent calls on one connection; 256 */
	uint32_t connections;          /* of a server in total; 1,024; above: closed at once */
	uint32_t handshakes;           /* connections not verified yet; 64; above: closed at once */
	uint32_t handshake_timeout_ms; /* from accept or connect to HTTP/2 settings; 5,000 */
	uint32_t keepalive_ms; /* silence after which a PING is sent; client 1,000, server 2,000 */
	uint32_t keepalive_timeout_ms; /* silence after which it is dead; client 3,000, server 6,000
					*/
	uint32_t floods_per_s;         /* resets, pings, settings a peer may send a second; 200 */
};

/* ---- certificates -------------------------------------------------------------------------- */

/*
 * Load the authority's certificates, our own chain and its private key from PEM files. One object
 * serves servers and clients. Only TLS 1.3 with both sides' certificates verified, ALPN "h2", no
 * session resumption. Returns 0, or -EINVAL/-ENOMEM with *error saying which file and why. Free it
 * with rpc_tls_free(); servers and clients hold a reference of their own.
 */
int rpc_tls_load(struct rpc_tls **out, const char *ca_file, const char *cert_file,
	const char *key_file, struct rpc_error *error);

/*
 * Read the same files again; new connections use what they hold, living ones go on. On failure the
 * old certificates stay in use. Returns as rpc_tls_load().
 */
int rpc_tls_reload(struct rpc_tls *tls, struct rpc_error *error);

/* Our own certificate's first URI name ("audums://node/riga-1"), "" without one. Valid until the
 * next reload. */
const char *rpc_tls_identity(const struct rpc_tls *tls);

/* Give the reference back. NULL is allowed. */
void rpc_tls_free(struct rpc_tls *tls);

/* ---- calls, on both sides ------------------------------------------------------------------ */

/*
 * Queue a message of a call. A message is taken whole or not at all, and serialised at once: the
 * caller keeps `message`. Returns 0, or
 *	-EAGAIN    the queue is full: nothing was taken, `writable` will be called when there is
 *	           room again. An empty queue takes any message.
 *	-EPIPE     the call is finished, half-closed by us, or over
 *	-EMSGSIZE  longer than 64 MiB
 *	-EINVAL    not of the method's type
 *	-ENOMEM
 */
int rpc_send(struct rpc_call *call, const ProtobufCMessage *message);

/* Octets queued and not yet handed to HTTP/2. */
size_t rpc_call_queued(const struct rpc_call *call);

/*
 * The other side's verified identity: the first URI name of its certificate
 * ("audums://node/riga-1"), "" when it has none. Never NULL.
 */
const char *rpc_call_peer(const struct rpc_call *call);

/* The other side's address as text, "192.0.2.1:4711", "[2001:db8::1]:4711" or "unix". */
const char *rpc_call_peer_address(const struct rpc_call *call);

/* The path, e.g. "/audums.v1.Fabric/Apply". */
const char *rpc_call_path(const struct rpc_call *call);

/* A pointer of the user's own, NULL at first. Free what it points to in `done`. */
void *rpc_call_data(const struct rpc_call *call);
void rpc_call_set_data(struct rpc_call *call, void *data);

/*
 * Stop and go on delivering messages of this call. While stopped, at most the stream's window
 * (256 KiB) is buffered here, then the peer must wait; other calls are not held up. `half_close`,
 * and on a client a `done` that the server's status causes, wait until what came before them is
 * delivered; any other end of the call doesn't wait.
 */
void rpc_call_pause(struct rpc_call *call);
void rpc_call_resume(struct rpc_call *call);

/* ---- server -------------------------------------------------------------------------------- */

/*
 * A method and what to do. Either `request` is set (the client sends exactly one message: unary and
 * server streaming), or `message` (client and bidirectional streaming). All others may be NULL.
 * Within any callback, and later until `done`, a handler may rpc_send() and rpc_finish().
 */
struct rpc_method {
	const char *path; /* "/PACKAGE.SERVICE/METHOD"; the string must outlive the server */
	const ProtobufCMessageDescriptor *input;
	const ProtobufCMessageDescriptor *output;
	/* The one request has come whole. It stays valid until `done`. */
	void (*request)(struct rpc_call *call, const ProtobufCMessage *request);
	/* A stream was opened; nothing of it has been read yet. Only with `message`. */
	void (*start)(struct rpc_call *call);
	/* A message of the stream; valid during the callback. */
	void (*message)(struct rpc_call *call, const ProtobufCMessage *message);
	/* The client sends no more messages. Only with `message`; NULL: finish with OK. */
	void (*half_close)(struct rpc_call *call);
	/* The queue has room again after rpc_send() had returned -EAGAIN (at half of the bound). */
	void (*writable)(struct rpc_call *call);
	/*
	 * The call is over, the pointer dies with the return: finished and sent, cancelled by the
	 * client (RPC_CANCELLED), too late (RPC_DEADLINE_EXCEEDED), or the connection is lost
	 * (RPC_UNAVAILABLE). Always called once for a call that `start` or `request` was called
	 * for.
	 */
	void (*done)(struct rpc_call *call, const struct rpc_status *status);
};

/*
 * End a call with a status; the message is printf-like and reaches the client as
 * UTF-8 (cut at 1,024 octets). What was queued is sent first. Returns 0, or -EPIPE when the call is
 * finished already.
 */
int rpc_finish(struct rpc_call *call, enum rpc_code code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* rpc_finish() with OK and no message: the end of a stream that went well. */
int rpc_finish_ok(struct rpc_call *call);

/* Queue the one answer, beyond the queue's bound if need be, and finish with OK. A message that
 * can't be sent finishes with INTERNAL and returns rpc_send()'s error. */
int rpc_reply(struct rpc_call *call, const ProtobufCMessage *response);

/*
 * rpc_finish() with one detail, sent in `grpc-status-details-bin` as audums.v1.StatusDetails with
 * the type_url "type.googleapis.com/" and the message's full name. Details travel in HTTP/2
 * trailers: when the serialised detail is longer than RPC_DETAIL_MAX, or than the peer says it
 * takes, the call is finished without it; the former returns -EMSGSIZE.
 */
#define RPC_DETAIL_MAX 40000
int rpc_finish_detail(struct rpc_call *call, enum rpc_code code, const char *message,
	const ProtobufCMessage *detail);

/* The pointer given to rpc_server_add(). */
void *rpc_call_service(const struct rpc_call *call);

/* Milliseconds until the client's deadline; UINT64_MAX without one. The call is finished with
 * DEADLINE_EXCEEDED by itself. */
uint64_t rpc_call_time_left_ms(const struct rpc_call *call);

/*
 * A server that doesn't listen yet. `limits` may be NULL (all defaults). Returns NULL with errno
 * ENOMEM.
 */
struct rpc_server *rpc_server_new(
	struct loop *loop, struct rpc_tls *tls, const struct rpc_limits *limits);

/*
 * Add methods; the table must outlive the server. `service` is what rpc_call_service() gives.
 * Returns 0, -EEXIST (a path twice), -EINVAL (neither or both of `request` and `message`), -ENOMEM.
 */
int rpc_server_add(
	struct rpc_server *server, const struct rpc_method *methods, size_t count, void *service);

/*
 * Listen on a numeric IPv4 or IPv6 address and a port (0: any; *bound_port tells which, may be
 * NULL). May be called several times. Returns 0 or a negative errno with *error.
 */
int rpc_server_listen_tcp(struct rpc_server *server, const char *address, uint16_t port,
	uint16_t *bound_port, struct rpc_error *error);

/*
 * Listen on a unix stream socket, with the same TLS, file mode `mode`. A socket file that nobody
 * listens on is replaced; -EADDRINUSE when somebody does. The file is removed by rpc_server_free().
 */
int rpc_server_listen_unix(
	struct rpc_server *server, const char *path, mode_t mode, struct rpc_error *error);

/*
 * Stop listening, tell all clients to go (GOAWAY), let calls finish for at most `grace_ms`, then
 * cut. `drained` is called once from the loop when no connection is left; it may free the server.
 */
void rpc_server_drain(
	struct rpc_server *server, uint64_t grace_ms, void (*drained)(void *arg), void *arg);

struct rpc_server_stats {
	uint32_t connections;         /* now */
	uint32_t handshakes;          /* now, not verified yet */
	uint32_t calls;               /* now */
	uint64_t accepted;            /* since start, connections */
	uint64_t refused_connections; /* above `connections` or `handshakes` */
	uint64_t failed_handshakes;   /* TLS failures and timeouts */
	uint64_t floods;              /* connections cut for flooding */
	uint64_t dead_peers;          /* connections cut by keepalive */
	uint64_t started;             /* calls */
	uint64_t ended[RPC_CODES];    /* calls by final code */
};
void rpc_server_stats(const struct rpc_server *server, struct rpc_server_stats *stats);

/* Cut all connections (each call's `done` is called, with RPC_UNAVAILABLE), close, free. Not from a
 * callback of one of its calls. NULL is allowed. */
void rpc_server_free(struct rpc_server *server);

/* ---- client -------------------------------------------------------------------------------- */

enum rpc_client_state {
	RPC_CLIENT_IDLE,       /* not connected; rpc_client_connect() may be called */
	RPC_CLIENT_CONNECTING, /* calls may be started, they wait for the connection */
	RPC_CLIENT_READY,      /* the server is verified and speaks HTTP/2 */
	RPC_CLIENT_DRAINING,   /* the server wants us to go: calls go on, new ones fail */
};

struct rpc_client_options {
	/* "HOST:PORT", "[IPV6]:PORT" or "unix:/PATH". A HOST that is not an address is looked up
	 * with getaddrinfo(3), which blocks. */
	const char *target;
	/*
	 * Who the server must be; at least one is required, all given ones must hold: a DNS name or
	 * an IP address in its certificate, and how the URI name must begin
	 * ("audums://controller/").
	 */
	const char *server_name;
	const char *server_uri_prefix;
	struct rpc_limits limits;
	/* Called from the loop when the state becomes READY, DRAINING or IDLE; `reason` says why it
	 * became IDLE ("" when we closed it). May be NULL. May call rpc_client_connect(), but not
	 * rpc_client_free(). */
	void (*state)(void *arg, enum rpc_client_state state, const char *reason);
	void *arg;
};

/* A client that isn't connected; the strings are copied. Returns NULL with *error. */
struct rpc_client *rpc_client_new(struct loop *loop, struct rpc_tls *tls,
	const struct rpc_client_options *options, struct rpc_error *error);

/*
 * Begin to connect. Returns 0 and goes to CONNECTING; what follows is told by `state`. -EALREADY
 * when not IDLE; another negative errno (with *error, `state` is not called) when it failed at
 * once. The client never connects again by itself: do so on IDLE after rpc_backoff_next().
 */
int rpc_client_connect(struct rpc_client *client, struct rpc_error *error);

enum rpc_client_state rpc_client_state(const struct rpc_client *client);

/* The server's identity as rpc_call_peer(); "" unless READY or DRAINING. */
const char *rpc_client_peer(const struct rpc_client *client);

/* Close the connection: running calls end (`done`, RPC_CANCELLED), the state becomes IDLE. */
void rpc_client_close(struct rpc_client *client);

/* Close and free. `done` of running calls is called before it returns; `state` isn't. Not from a
 * callback of the client or its calls. NULL is allowed. */
void rpc_client_free(struct rpc_client *client);

/* What happens to a call that a client started. */
struct rpc_call_events {
	/* A message from the server; valid during the callback. */
	void (*message)(struct rpc_call *call, const ProtobufCMessage *message);
	/* As in struct rpc_method. */
	void (*writable)(struct rpc_call *call);
	/* The call is over; the pointer dies with the return. Required. */
	void (*done)(struct rpc_call *call, const struct rpc_status *status);
};

/*
 * Start a call. `timeout_ms` is its deadline from now (0: none), told to the server and enforced
 * here. `output` is the type of answers; `data` as rpc_call_set_data(). Send with rpc_send(), then
 * rpc_call_half_close(). `path` and `events` must outlive the call. Returns NULL with errno
 * ENOTCONN (IDLE, DRAINING), EAGAIN (more calls than limits.streams), ENOMEM.
 */
struct rpc_call *rpc_call_start(struct rpc_client *client, const char *path,
	const ProtobufCMessageDescriptor *output, uint64_t timeout_ms,
	const struct rpc_call_events *events, void *data);

/* We send no more messages on this call. Returns 0 or -EPIPE. */
int rpc_call_half_close(struct rpc_call *call);

/*
 * Give a call up. Client: resets the stream, `done` comes from the loop with RPC_CANCELLED. Server:
 * the same, without telling a status to the client.
 */
void rpc_call_cancel(struct rpc_call *call);

/*
 * Unary call: sends `request`, calls `done` once with the status and, when it is OK, the response
 * (NULL otherwise); both valid during the callback. Returns NULL with errno as rpc_call_start() (or
 * rpc_send()), without calling `done`; the call may be given to rpc_call_cancel() until `done`.
 */
struct rpc_call *rpc_unary(struct rpc_client *client, const char *path,
	const ProtobufCMessage *request, const ProtobufCMessageDescriptor *output,
	uint64_t timeout_ms,
	void (*done)(void *arg, const struct rpc_status *status, const ProtobufCMessage *response),
	void *arg);

/* The answer of rpc_call_sync(); release with rpc_result_clear(). */
struct rpc_result {
	struct rpc_status status;   /* points into this structure's own memory */
	ProtobufCMessage *response; /* NULL unless status.code is RPC_OK */
	char *message_mem;
	uint8_t *details_mem;
};

/*
 * Unary call that turns the loop until it is answered; connects first when the client is IDLE. For
 * programs without a loop of their own, not for daemons, never from a callback. Every failure, also
 * to connect, is told as a status (UNAVAILABLE with the reason). Returns status.code.
 */
enum rpc_code rpc_call_sync(struct rpc_client *client, const char *path,
	const ProtobufCMessage *request, const ProtobufCMessageDescriptor *output,
	uint64_t timeout_ms, struct rpc_result *result);
void rpc_result_clear(struct rpc_result *result);

/* ---- reconnecting -------------------------------------------------------------------------- */

/* Jittered exponential delays. */
struct rpc_backoff {
	uint32_t min_ms;
	uint32_t max_ms;
	uint32_t current_ms;
};

/* 0, 0 means 50 ms to 2,000 ms. */
void rpc_backoff_init(struct rpc_backoff *b, uint32_t min_ms, uint32_t max_ms);

/* How many milliseconds to wait before the next attempt: random between half and the whole of the
 * current step, which doubles up to the maximum. */
uint32_t rpc_backoff_next(struct rpc_backoff *b);

/* After a success: begin at the minimum again. */
void rpc_backoff_reset(struct rpc_backoff *b);
