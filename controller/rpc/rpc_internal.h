/*
 * Connections and calls as the files of this folder share them; nobody else includes it.
 *
 *	conn.c    a connection: descriptor, TLS, reading, writing, keepalive, the end
 *	h2.c      nghttp2's callbacks, which hand on to calls
 *	call.c    a call, what both sides have in common: queues, delivery, the end
 *	server.c, server_call.c    listening, draining; a call that was received
 *	client.c, client_call.c    connecting; a call that was started; unary and synchronous calls
 *
 * Who calls whom back: the functions of rpc.h only queue and schedule the connection's task, which
 * runs at the end of the loop's turn, calls `writable` and `done`, and writes. `message` and the
 * like are called while reading. A call is freed by the task only, so a pointer to it stays good
 * through any callback.
 */
#pragma once

#include <nghttp2/nghttp2.h>
#include <sys/queue.h>

#include "controller/rpc/buf.h"
#include "controller/rpc/frame.h"
#include "controller/rpc/loop.h"
#include "controller/rpc/rpc.h"
#include "controller/rpc/status.h"
#include "controller/rpc/tls.h"

#define STREAM_WINDOW_BYTES     (256 * 1024)
#define CONNECTION_WINDOW_BYTES (1024 * 1024)
#define SEND_MESSAGE_MAX        (64u * 1024 * 1024)
#define REASON_SIZE             256
#define ADDRESS_SIZE            64
#define PATH_SIZE               256

struct rpc_conn;

/* What the owner of a connection wants to know. All but `closed` may be NULL. */
struct conn_ops {
	/* connect(2) failed with `err`; returns true when it has begun to try another address */
	bool (*connect_failed)(struct rpc_conn *c, int err);
	/* The peer's certificate is verified, its identity is in c->peer. Returns false with
	 * c->reason set to refuse it. */
	bool (*verified)(struct rpc_conn *c);
	void (*ready)(struct rpc_conn *c);  /* the peer's SETTINGS have come */
	void (*goaway)(struct rpc_conn *c); /* the peer wants to end it */
	/* All calls have ended and the descriptor is closed; free it with rpc_conn_free() in here.
	 */
	void (*closed)(struct rpc_conn *c);
};

enum conn_phase {
	CONN_CONNECTING, /* TCP; client only */
	CONN_HANDSHAKE,  /* TLS */
	CONN_SETTINGS,   /* HTTP/2 preface */
	CONN_OPEN,
	CONN_CLOSED,
};

/* Why a connection was cut, for the counters. */
enum conn_fault {
	FAULT_NONE,
	FAULT_HANDSHAKE,
	FAULT_FLOOD,
	FAULT_DEAD,
};

struct rpc_conn {
	struct loop *loop;
	struct rpc_tls *tls; /* borrowed from the owner */
	const struct rpc_limits *limits;
	const struct conn_ops *ops;
	void *owner;
	bool server;
	const char *server_name; /* client: to verify, or NULL */
	const char *authority;   /* client: of requests */

	enum conn_phase phase;
	bool verified;    /* the peer's certificate, and by the owner */
	bool closing;     /* the task will end it */
	bool quiet;       /* closed by our own side: calls end with CANCELLED */
	bool draining;    /* server: GOAWAY is on its way */
	bool drain_final; /* server: the second one is sent */
	bool goaway;      /* one was received */
	uint32_t goaway_code;
	enum conn_fault fault;
	char reason[REASON_SIZE]; /* why it is closing */
	char peer[IDENTITY_SIZE];
	char address[ADDRESS_SIZE];

	int fd;
	struct loop_fd *watch;
	struct loop_task *task;
	struct loop_timer *timer; /* handshake, then keepalive */
	SSL *ssl;
	nghttp2_session *session;
	struct buf out; /* HTTP/2 octets not written yet; bounded by pump() */
	uint64_t last_rx_ms;
	bool pinged; /* since last_rx_ms */

	TAILQ_HEAD(, rpc_call) calls;
	TAILQ_HEAD(call_work, rpc_call) work;
	uint32_t call_count;
	size_t buffered;     /* octets of partly received and held messages of all calls */
	size_t block_octets; /* of the header block that is being received */
	uint64_t flood_ms;   /* token bucket against floods */
	uint64_t flood_level;
	struct rpc_server_stats *stats; /* server */
	TAILQ_ENTRY(rpc_conn) all;      /* server's list */
};

enum call_work_bits {
	WORK_RESUME = 1,
	WORK_WRITABLE = 2,
	WORK_END = 4,
};

/* What differs between the two sides of a call. */
struct call_ops {
	void (*header)(struct rpc_call *call, const uint8_t *name, size_t name_len,
		const uint8_t *value, size_t len);
	/* A header block is complete. */
	void (*headers)(struct rpc_call *call, bool end_stream);
	/* A message; it has to be freed or kept. */
	void (*message)(struct rpc_call *call, ProtobufCMessage *message);
	/* The peer sends no more, and all it sent is delivered. */
	void (*remote_end)(struct rpc_call *call);
	/* What was received can't be taken: end the call with this status. */
	void (*reject)(struct rpc_call *call, enum rpc_code code, const char *why);
	/* Something was queued, or the call is finishing. */
	void (*wake)(struct rpc_call *call);
	/* The queue is empty and the call is finishing: called by the data source; returns 0 and
	 * sets *flags, or an nghttp2 error. */
	int (*last_data)(struct rpc_call *call, uint32_t *flags);
	void (*closed)(struct rpc_call *call, uint32_t error_code);
	void (*writable)(struct rpc_call *call);
	void (*done)(struct rpc_call *call, const struct rpc_status *status);
};

struct rpc_call {
	struct rpc_conn *conn;
	const struct call_ops *ops;
	int32_t stream;
	char path[PATH_SIZE];
	const ProtobufCMessageDescriptor *input;  /* of what we receive */
	const ProtobufCMessageDescriptor *output; /* of what we send; NULL: any */
	void *data;
	struct loop_timer *deadline;
	uint64_t deadline_ms; /* CLOCK_MONOTONIC; UINT64_MAX: none */

	/* sending */
	struct buf out;
	bool headers_sent;
	bool finishing; /* server: status is set; client: half-closed */
	bool deferred;  /* HTTP/2 waits for us */
	bool want_writable;

	/* receiving */
	struct frame_reader in;
	struct buf held;  /* received while paused */
	size_t accounted; /* our part of conn->buffered */
	bool paused;
	bool deaf;       /* nothing received is delivered any more */
	bool encoded;    /* grpc-encoding names a compression */
	bool remote_end; /* the peer has half-closed */
	bool remote_end_told;
	bool headers_too_long;
	bool headers_seen;
	ProtobufCMessage *message; /* server: the request; client: the unary response */

	/* the end */
	bool over; /* HTTP/2 doesn't know us any more */
	enum rpc_code code;
	char *text;
	uint8_t *details;
	size_t details_len;

	unsigned int work;
	TAILQ_ENTRY(rpc_call) work_entry;
	TAILQ_ENTRY(rpc_call) entry;

	/* server */
	const struct rpc_method *method;
	void *service;
	bool told;       /* `done` is owed */
	int http_status; /* server: to refuse with; client: as received */
	bool is_grpc;
	bool has_timeout;
	int64_t timeout_ms; /* negative: malformed */

	/* client */
	const struct rpc_call_events *events;
	bool has_status;
	bool end_sent; /* our END_STREAM */
	bool gone;     /* HTTP/2 has closed the stream, the call is not over yet */
	void (*unary_done)(
		void *arg, const struct rpc_status *status, const ProtobufCMessage *response);
};

/* ---- conn.c ---- */

/* A connection without descriptor. Returns NULL when out of memory. */
struct rpc_conn *rpc_conn_new(struct loop *loop, struct rpc_tls *tls,
	const struct rpc_limits *limits, bool server, const struct conn_ops *ops, void *owner);

/* Give it a descriptor, which it owns from now on also on failure: connected (server), or one that
 * connect(2) was called for; replaces an earlier one. Returns 0 or a negative errno. */
int rpc_conn_attach(struct rpc_conn *c, int fd);

/* End it at the end of this turn. Only the first call counts. */
void rpc_conn_close(struct rpc_conn *c, enum conn_fault fault, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* End it now; calls what has to be called back, `closed` at last. */
void rpc_conn_teardown(struct rpc_conn *c);

/* Free what rpc_conn_teardown() has ended, or what never had a descriptor. */
void rpc_conn_free(struct rpc_conn *c);

/* Have the task run: there is something to write or to call back. */
void rpc_conn_schedule(struct rpc_conn *c);

/* Server: tell the peer to go, in two steps (RFC 9113, 6.8). */
void rpc_conn_drain(struct rpc_conn *c);

/* Count one frame that a flood could be made of; false: too many, the connection is closing. */
bool rpc_conn_flood_check(struct rpc_conn *c);

/* The peer has sent its SETTINGS. */
void rpc_conn_settings_received(struct rpc_conn *c);

/* ---- h2.c ---- */

/* Make c->session and queue our SETTINGS. Returns 0 or -ENOMEM. */
int rpc_h2_session_new(struct rpc_conn *c);

/* The data source of a call's messages. */
nghttp2_data_provider rpc_h2_data_provider(void);

/* ---- call.c ---- */

struct rpc_call *rpc_call_new(struct rpc_conn *c, const struct call_ops *ops, int32_t stream);
void rpc_call_free(struct rpc_call *call);

/* DATA was received. */
void rpc_call_receive(struct rpc_call *call, const uint8_t *p, size_t n);
/* END_STREAM was received. */
void rpc_call_remote_end(struct rpc_call *call);
/* HTTP/2 wants up to `len` octets of data; as nghttp2_data_source_read_callback. */
ssize_t rpc_call_read(struct rpc_call *call, uint8_t *p, size_t len, uint32_t *flags);

/* Set the final status; texts are copied. */
void rpc_call_set_status(struct rpc_call *call, enum rpc_code code, const char *text);

/* End with the status that is set: detach from HTTP/2, reset the stream with `error_code` unless it
 * is negative, have `done` called by the task. Does nothing when over. */
void rpc_call_end(struct rpc_call *call, int error_code);

/* Have the task look at the call. */
void rpc_call_add_work(struct rpc_call *call, unsigned int bits);

/* Let HTTP/2 ask for data again. */
void rpc_call_wake(struct rpc_call *call);

/* Queue a message whatever the queue's bound. */
int rpc_call_queue(struct rpc_call *call, const ProtobufCMessage *message);

/* Arm the deadline; `cb` gets the call. Returns 0 or -ENOMEM. */
int rpc_call_set_deadline(struct rpc_call *call, uint64_t ms, void (*cb)(void *arg));

/* Do what calls have scheduled; called by the task. */
void rpc_calls_work(struct rpc_conn *c);

/* ---- server_call.c, client_call.c ---- */

extern const struct call_ops rpc_server_call_ops;

/* ---- server.c ---- */

/* Look a path up: sets call->method and call->service. Returns false when it is unknown. */
bool rpc_server_find_method(struct rpc_conn *c, struct rpc_call *call);

/* ---- limits ---- */

/* Put the defaults where `in` (may be NULL) has zeros. */
void rpc_limits_fill(struct rpc_limits *out, const struct rpc_limits *in, bool server);
