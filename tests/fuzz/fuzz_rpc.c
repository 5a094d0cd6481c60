/*
 * libFuzzer: what the other side of an rpc connection may send, after TLS. The first octet chooses:
 * a client's octets to our server, a server's octets to our client with calls under way, one call's
 * data in pieces, or header values. Nothing may crash, leak, or be left when the connection ends.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "audums/v1/fabric.pb-c.h"
#include "controller/rpc/client_internal.h"
#include "controller/rpc/rpc_cert.h"
#include "proto/lib/log.h"

#define MAGIC "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct loop *loop;
static struct rpc_tls *tls;
static struct rpc_server *server;
static int open_calls; /* for which `done` is owed */

/* ---- the service and the caller ---- */

static void get(struct rpc_call *call, const ProtobufCMessage *request)
{
	const Audums__V1__GetRequest *req = (const Audums__V1__GetRequest *)request;
	Audums__V1__Document doc = AUDUMS__V1__DOCUMENT__INIT;

	open_calls++;
	if (req->kind == 1)
		rpc_finish(call, RPC_NOT_FOUND, "no \"%s\"", req->name);
	else if (req->kind == 2)
		rpc_call_cancel(call);
	else if (req->kind != 3)
		rpc_reply(call, &doc.base);
}

static void start(struct rpc_call *call)
{
	open_calls++;
}

static void message(struct rpc_call *call, const ProtobufCMessage *m)
{
	Audums__V1__ControllerMessage answer = AUDUMS__V1__CONTROLLER_MESSAGE__INIT;

	rpc_send(call, &answer.base);
	rpc_call_pause(call);
	rpc_call_resume(call);
}

static void done(struct rpc_call *call, const struct rpc_status *status)
{
	open_calls--;
}

static const struct rpc_method methods[] = {
	{.path = "/audums.v1.Fabric/Get",
		.input = &audums__v1__get_request__descriptor,
		.output = &audums__v1__document__descriptor,
		.request = get,
		.done = done},
	{.path = "/audums.v1.NodeControl/Session",
		.input = &audums__v1__agent_message__descriptor,
		.output = &audums__v1__controller_message__descriptor,
		.start = start,
		.message = message,
		.done = done},
};

static void on_message(struct rpc_call *call, const ProtobufCMessage *m)
{
	rpc_call_pause(call);
	rpc_call_resume(call);
}

static const struct rpc_call_events events = {.message = on_message, .done = done};

static void on_unary(void *arg, const struct rpc_status *status, const ProtobufCMessage *response)
{
	ProtobufCMessage *detail = rpc_status_detail(status, &audums__v1__problems__descriptor);

	if (detail)
		protobuf_c_message_free_unpacked(detail, NULL);
	open_calls--;
}

/* ---- a connection without a socket ---- */

static void on_closed(struct rpc_conn *c)
{
	rpc_conn_free(c);
}

static const struct conn_ops ops = {.closed = on_closed};

static void drain_output(struct rpc_conn *c)
{
	const uint8_t *p;

	rpc_calls_work(c);
	while (!c->closing && nghttp2_session_mem_send(c->session, &p) > 0)
		;
	rpc_calls_work(c);
}

static void end(struct rpc_conn *c)
{
	c->phase = CONN_HANDSHAKE; /* there is no TLS to say good-bye on */
	rpc_conn_close(c, FAULT_NONE, "the end");
	rpc_conn_teardown(c);
	if (open_calls != 0)
		abort();
}

static struct rpc_conn *begin(const struct rpc_limits *limits, bool is_server)
{
	struct rpc_conn *c = rpc_conn_new(loop, tls, limits, is_server, &ops, server);

	if (!c)
		abort();
	c->phase = CONN_OPEN;
	c->authority = "localhost";
	return c;
}

static void feed(struct rpc_conn *c, const uint8_t *data, size_t size, size_t piece)
{
	for (size_t at = 0; at < size && !c->closing; at += piece) {
		const size_t n = piece < size - at ? piece : size - at;

		if (nghttp2_session_mem_recv(c->session, data + at, n) < 0)
			break;
		drain_output(c);
	}
}

static void fuzz_server(const uint8_t *data, size_t size, size_t piece)
{
	struct rpc_limits limits = {.message_bytes = 2000, .header_bytes = 4000};
	struct rpc_conn *c;

	rpc_limits_fill(&limits, &limits, true);
	c = begin(&limits, true);
	feed(c, (const uint8_t *)MAGIC, sizeof(MAGIC) - 1, sizeof(MAGIC));
	feed(c, data, size, piece);
	end(c);
}

static void fuzz_client(const uint8_t *data, size_t size, size_t piece)
{
	struct rpc_client client = {.loop = loop, .tls = tls};
	Audums__V1__GetRequest req = AUDUMS__V1__GET_REQUEST__INIT;

	rpc_limits_fill(&client.limits, NULL, false);
	client.conn = begin(&client.limits, false);
	for (int i = 0; i < 3; i++) {
		if (rpc_unary(&client, methods[0].path, &req.base,
			    &audums__v1__document__descriptor, 0, on_unary, NULL))
			open_calls++;
		if (rpc_call_start(&client, methods[1].path,
			    &audums__v1__controller_message__descriptor, 0, &events, NULL))
			open_calls++;
	}
	drain_output(client.conn);
	feed(client.conn, data, size, piece);
	end(client.conn);
}

/* The octets are a call's data: the server's way from DATA to messages. */
static void fuzz_data(const uint8_t *data, size_t size, size_t piece)
{
	static const uint8_t head[] = {0, 0, 0, 4, 0, 0, 0, 0, 0, /* SETTINGS */
		0, 0, 56, 1, 4, 0, 0, 0, 1,                       /* HEADERS: POST, https */
		0x83, 0x87, 0x01, 1, 'a', 0x04, 30};
	static const char path[] = "/audums.v1.NodeControl/Session";
	static const char type[] = "\x0f\x10\x10"
				   "application/grpc";
	struct rpc_limits limits = {.message_bytes = 2000};
	struct rpc_conn *c;

	rpc_limits_fill(&limits, &limits, true);
	c = begin(&limits, true);
	feed(c, (const uint8_t *)MAGIC, sizeof(MAGIC) - 1, sizeof(MAGIC));
	feed(c, head, sizeof(head), sizeof(head));
	feed(c, (const uint8_t *)path, 30, 30);
	feed(c, (const uint8_t *)type, sizeof(type) - 1, sizeof(type));
	if (open_calls != 1)
		abort();
	for (size_t at = 0; at < size && !c->closing; at += piece) {
		struct rpc_call *call = nghttp2_session_get_stream_user_data(c->session, 1);
		const size_t n = piece < size - at ? piece : size - at;

		if (!call)
			break;
		rpc_call_receive(call, data + at, n);
		drain_output(c);
	}
	end(c);
}

static void fuzz_values(const uint8_t *data, size_t size)
{
	uint8_t *out = malloc(size / 4 * 3 + 3);
	char *text = malloc(3 * size + 1);
	char *again = malloc(size + 1);
	char timeout[16];
	ssize_t n;
	int64_t ms;

	rpc_percent_decode(again, size + 1, data, size);
	rpc_percent_encode(text, 3 * size + 1, again);
	rpc_percent_encode(text, size / 2, again);
	n = rpc_base64_decode(out, data, size);
	if (n > 0) {
		const struct rpc_status status = {.details = out, .details_len = (size_t)n};

		on_unary(NULL, &status, NULL);
		open_calls++;
	}
	ms = rpc_timeout_parse(data, size);
	if (ms >= 0)
		rpc_timeout_format(timeout, (uint64_t)ms);
	rpc_code_parse(data, size);
	free(out);
	free(text);
	free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t piece;

	if (size < 2)
		return 0;
	piece = data[0] >> 2 ? data[0] >> 2 : size;
	switch (data[0] & 3) {
	case 0:
		fuzz_server(data + 1, size - 1, piece);
		break;
	case 1:
		fuzz_client(data + 1, size - 1, piece);
		break;
	case 2:
		fuzz_data(data + 1, size - 1, piece);
		break;
	default:
		fuzz_values(data + 1, size - 1);
	}
	return 0;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const struct rpc_cert_request r = {.uri = "audums://controller/fuzz", .days = 1};
	char dir[] = "/tmp/audums-fuzz-rpc-XXXXXX";
	char path[3][64];
	struct rpc_error error;
	struct rpc_ca *ca;

	log_setup(LOG_LEVEL_ERROR, 2);
	if (!mkdtemp(dir))
		abort();
	snprintf(path[0], sizeof(path[0]), "%s/ca", dir);
	snprintf(path[1], sizeof(path[1]), "%s/cert", dir);
	snprintf(path[2], sizeof(path[2]), "%s/key", dir);
	if (rpc_ca_create(&ca, "fuzz", 1, &error) < 0 ||
		rpc_ca_write(ca, path[0], NULL, &error) < 0 ||
		rpc_ca_issue(ca, &r, path[1], path[2], &error) < 0 ||
		rpc_tls_load(&tls, path[0], path[1], path[2], &error) < 0)
		abort();
	rpc_ca_free(ca);
	for (int i = 0; i < 3; i++)
		unlink(path[i]);
	rmdir(dir);
	loop = loop_new();
	server = rpc_server_new(loop, tls, NULL);
	if (!server || rpc_server_add(server, methods, 2, NULL) < 0)
		abort();
	return 0;
}
