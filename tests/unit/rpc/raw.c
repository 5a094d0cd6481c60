/* A peer that speaks HTTP/2 as it likes; see raw.h. */
#include "tests/unit/rpc/raw.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
	size_t name_len, const uint8_t *value, size_t len, uint8_t flags, void *arg)
{
	struct raw *r = arg;

	/* nghttp2 ends both with NUL */
	if (strcmp((const char *)name, ":status") == 0)
		r->http_status = atoi((const char *)value);
	else if (strcmp((const char *)name, "grpc-status") == 0)
		r->grpc_status = atoi((const char *)value);
	else if (strcmp((const char *)name, "grpc-message") == 0)
		snprintf(r->grpc_message, sizeof(r->grpc_message), "%s", value);
	else if (strcmp((const char *)name, "grpc-accept-encoding") == 0)
		snprintf(r->accept_encoding, sizeof(r->accept_encoding), "%s", value);
	return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct raw *r = arg;

	if (frame->hd.type == NGHTTP2_GOAWAY) {
		r->goaway = true;
		r->goaway_error = frame->goaway.error_code;
	}
	if ((frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS) &&
		(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
		r->request_stream = frame->hd.stream_id;
	return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream, const uint8_t *p,
	size_t n, void *arg)
{
	struct raw *r = arg;

	r->data += n;
	return 0;
}

static int on_close(nghttp2_session *session, int32_t stream, uint32_t error, void *arg)
{
	struct raw *r = arg;

	r->stream_closed = true;
	r->stream_error = error;
	return 0;
}

static ssize_t read_body(nghttp2_session *session, int32_t stream, uint8_t *p, size_t len,
	uint32_t *flags, nghttp2_data_source *source, void *arg)
{
	struct raw *r = arg;
	size_t n = r->body_len - r->body_at;

	if (n > len)
		n = len;
	if (n > 0)
		memcpy(p, r->body + r->body_at, n);
	r->body_at += n;
	if (r->body_at < r->body_len)
		return (ssize_t)n;
	if (r->body_open)
		return n > 0 ? (ssize_t)n : NGHTTP2_ERR_DEFERRED;
	*flags |= NGHTTP2_DATA_FLAG_EOF;
	if (r->trailer_status) {
		const nghttp2_nv nv = {.name = (uint8_t *)"grpc-status",
			.value = (uint8_t *)r->trailer_status,
			.namelen = 11,
			.valuelen = strlen(r->trailer_status)};

		*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
		nghttp2_submit_trailer(session, stream, &nv, 1);
	}
	return (ssize_t)n;
}

static void session_new(struct raw *r, bool server)
{
	nghttp2_session_callbacks *cb;
	nghttp2_option *option;

	nghttp2_session_callbacks_new(&cb);
	nghttp2_option_new(&option);
	nghttp2_option_set_max_send_header_block_length(option, 1 << 20);
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_close);
	if (server)
		nghttp2_session_server_new2(&r->session, cb, r, option);
	else
		nghttp2_session_client_new2(&r->session, cb, r, option);
	nghttp2_option_del(option);
	nghttp2_session_callbacks_del(cb);
	assert_int_equal(nghttp2_submit_settings(r->session, 0, NULL, 0), 0);
}

static int select_h2(SSL *ssl, const unsigned char **out, unsigned char *out_len,
	const unsigned char *in, unsigned int in_len, void *arg)
{
	*out = (const unsigned char *)"h2";
	*out_len = 2;
	return SSL_TLSEXT_ERR_OK;
}

/* TLS on r->fd with the credentials `name`; turns the loop until it stands or fails. */
static void handshake(struct raw *r, const char *name, bool server)
{
	const uint64_t until = loop_now_ms() + WAIT_MS;
	char file[64];
	int ret;

	signal(SIGPIPE, SIG_IGN);
	fcntl(r->fd, F_SETFL, O_NONBLOCK);
	r->ctx = SSL_CTX_new(TLS_method());
	snprintf(file, sizeof(file), "%s.crt", name);
	assert_int_equal(SSL_CTX_use_certificate_chain_file(r->ctx, fixture_path(r->f, file)), 1);
	snprintf(file, sizeof(file), "%s.key", name);
	assert_int_equal(
		SSL_CTX_use_PrivateKey_file(r->ctx, fixture_path(r->f, file), SSL_FILETYPE_PEM), 1);
	SSL_CTX_set_mode(
		r->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_alpn_protos(r->ctx, (const unsigned char *)"\x02h2", 3);
	SSL_CTX_set_alpn_select_cb(r->ctx, select_h2, NULL);
	r->ssl = SSL_new(r->ctx);
	SSL_set_fd(r->ssl, r->fd);
	if (server)
		SSL_set_accept_state(r->ssl);
	else
		SSL_set_connect_state(r->ssl);
	while ((ret = SSL_do_handshake(r->ssl)) != 1) {
		const int kind = SSL_get_error(r->ssl, ret);

		assert_true(kind == SSL_ERROR_WANT_READ || kind == SSL_ERROR_WANT_WRITE);
		assert_true(loop_turn(r->f->loop, 1) >= 0);
		assert_true(loop_now_ms() < until);
	}
}

void raw_connect(struct raw *r, struct fixture *f, bool http2)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
		.sin_port = htons(f->port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	*r = (struct raw){.f = f, .grpc_status = -1};
	r->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(r->fd, (struct sockaddr *)&a, sizeof(a)), 0);
	handshake(r, "node", false);
	if (http2)
		session_new(r, false);
}

int raw_listen(struct fixture *f)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	f->port = ntohs(a.sin_port);
	return fd;
}

void raw_accept(struct raw *r, struct fixture *f, int listener)
{
	*r = (struct raw){.f = f, .grpc_status = -1};
	r->fd = accept(listener, NULL, NULL);
	assert_true(r->fd >= 0);
	close(listener);
	handshake(r, "server", true);
	session_new(r, true);
}

void raw_close(struct raw *r)
{
	nghttp2_session_del(r->session);
	SSL_free(r->ssl);
	SSL_CTX_free(r->ctx);
	close(r->fd);
	ERR_clear_error();
}

/* Returns false when nothing more can be done now. */
static bool check(struct raw *r, int ret)
{
	const int kind = SSL_get_error(r->ssl, ret);

	if (ret <= 0 && kind != SSL_ERROR_WANT_READ && kind != SSL_ERROR_WANT_WRITE)
		r->closed = true;
	ERR_clear_error();
	return ret > 0;
}

static void read_all(struct raw *r)
{
	uint8_t in[16384];
	int n;

	while (!r->closed && !r->greedy && (n = SSL_read(r->ssl, in, sizeof(in)), check(r, n)))
		if (r->session && nghttp2_session_mem_recv(r->session, in, (size_t)n) < 0)
			r->closed = true;
}

void raw_write(struct raw *r, const void *p, size_t n)
{
	const uint64_t until = loop_now_ms() + WAIT_MS;
	const uint8_t *at = p;

	while (n > 0 && !r->closed) {
		const int ret = SSL_write(r->ssl, at, n < 16384 ? (int)n : 16384);

		if (check(r, ret)) {
			at += ret;
			n -= (size_t)ret;
		} else {
			read_all(r);
		}
		assert_true(loop_turn(r->f->loop, 0) >= 0);
		assert_true(loop_now_ms() < until);
	}
}

void raw_turn(struct raw *r)
{
	const uint8_t *p;
	ssize_t n;

	while (r->session && !r->closed && (n = nghttp2_session_mem_send(r->session, &p)) > 0)
		raw_write(r, p, (size_t)n);
	assert_true(loop_turn(r->f->loop, 2) >= 0);
	read_all(r);
}

static size_t make_list(nghttp2_nv *list, const char *const *headers, size_t n)
{
	for (; *headers; headers += 2)
		list[n++] = (nghttp2_nv){.name = (uint8_t *)headers[0],
			.value = (uint8_t *)headers[1],
			.namelen = strlen(headers[0]),
			.valuelen = strlen(headers[1])};
	return n;
}

int32_t raw_request(struct raw *r, const char *const *headers)
{
	static const char *const fixed[] = {":scheme", "https", ":authority", "localhost", NULL};
	const nghttp2_data_provider source = {.read_callback = read_body};
	nghttp2_nv list[64];
	size_t n = make_list(list, fixed, 0);
	int32_t stream;

	n = make_list(list, headers, n);
	r->http_status = 0;
	r->grpc_status = -1;
	r->grpc_message[0] = '\0';
	r->stream_closed = false;
	r->body_at = 0;
	stream = nghttp2_submit_request(r->session, NULL, list, n, &source, NULL);
	assert_true(stream > 0);
	return stream;
}

void raw_respond(struct raw *r, const char *const *headers)
{
	const nghttp2_data_provider source = {.read_callback = read_body};
	nghttp2_nv list[64];
	const size_t n = make_list(list, headers, 0);

	r->body_at = 0;
	assert_int_equal(nghttp2_submit_response(r->session, r->request_stream, list, n,
				 r->body || r->trailer_status || r->body_open ? &source : NULL),
		0);
}
