/*
 * Certificates for rpc servers and clients; see rpc.h and tls.h.
 *
 * Invariant: TLS 1.3 only, both sides verified against our authority, no resumption (a ticket would
 * carry an identity past a reload). A connection keeps the SSL_CTX it was made with.
 */
#include "controller/rpc/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

struct rpc_tls {
	unsigned int refs;
	char *ca_file;
	char *cert_file;
	char *key_file;
	SSL_CTX *ctx;
	BIO_METHOD *bio;
	char identity[IDENTITY_SIZE];
};

static const unsigned char alpn_h2[] = {2, 'h', '2'};

/* ---- a socket BIO that never raises SIGPIPE ---- */

static int sock_write(BIO *b, const char *p, int n)
{
	const ssize_t ret = send((int)(intptr_t)BIO_get_data(b), p, (size_t)n, MSG_NOSIGNAL);

	BIO_clear_retry_flags(b);
	if (ret < 0 && (errno == EAGAIN || errno == EINTR))
		BIO_set_retry_write(b);
	return (int)ret;
}

static int sock_read(BIO *b, char *p, int n)
{
	const ssize_t ret = recv((int)(intptr_t)BIO_get_data(b), p, (size_t)n, 0);

	BIO_clear_retry_flags(b);
	if (ret < 0 && (errno == EAGAIN || errno == EINTR))
		BIO_set_retry_read(b);
	if (ret == 0)
		BIO_set_flags(b, BIO_FLAGS_IN_EOF);
	return (int)ret;
}

static long sock_ctrl(BIO *b, int cmd, long num, void *ptr)
{
	if (cmd == BIO_CTRL_EOF)
		return BIO_test_flags(b, BIO_FLAGS_IN_EOF) != 0;
	return cmd == BIO_CTRL_FLUSH;
}

static BIO_METHOD *sock_method(void)
{
	BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "audums socket");

	if (!m)
		return NULL;
	BIO_meth_set_write(m, sock_write);
	BIO_meth_set_read(m, sock_read);
	BIO_meth_set_ctrl(m, sock_ctrl);
	return m;
}

/* ---- loading ---- */

static int fail(struct rpc_error *error, const char *what, const char *file)
{
	/* The oldest error is the cause, those after it say who was told. */
	const unsigned long e = ERR_peek_error();
	const char *why = e ? ERR_reason_error_string(e) : NULL;
	int ret = -EINVAL;

	if (ERR_SYSTEM_ERROR(e)) {
		ret = -ERR_GET_REASON(e);
		why = strerror(ERR_GET_REASON(e));
	} else if (ERR_GET_LIB(e) == ERR_LIB_PEM && ERR_GET_REASON(e) == PEM_R_NO_START_LINE) {
		why = "it holds no such PEM block";
	}
	if (error)
		snprintf(error->text, sizeof(error->text), "cannot read %s %s: %s", what, file,
			why ? why : "malformed");
	ERR_clear_error();
	return ret;
}

static int select_h2(SSL *ssl, const unsigned char **out, unsigned char *out_len,
	const unsigned char *in, unsigned int in_len, void *arg)
{
	for (unsigned int i = 0; i + 3 <= in_len; i += 1u + in[i]) {
		if (memcmp(in + i, alpn_h2, sizeof(alpn_h2)) == 0) {
			*out = in + i + 1;
			*out_len = 2;
			return SSL_TLSEXT_ERR_OK;
		}
	}
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* We never prompt: a key with a passphrase is an error. */
static int no_passphrase(char *buf, int size, int rwflag, void *arg)
{
	return -1;
}

static bool cert_identity(X509 *cert, char out[IDENTITY_SIZE])
{
	GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	bool ok = true;

	out[0] = '\0';
	for (int i = 0; i < sk_GENERAL_NAME_num(names) && out[0] == '\0' && ok; i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
		const unsigned char *uri;
		int len;

		if (name->type != GEN_URI)
			continue;
		uri = ASN1_STRING_get0_data(name->d.uniformResourceIdentifier);
		len = ASN1_STRING_length(name->d.uniformResourceIdentifier);
		ok = len > 0 && len < IDENTITY_SIZE;
		for (int k = 0; ok && k < len; k++)
			ok = uri[k] > 0x20 && uri[k] < 0x7f;
		if (ok) {
			memcpy(out, uri, (size_t)len);
			out[len] = '\0';
		}
	}
	GENERAL_NAMES_free(names);
	return ok;
}

static int load(
	struct rpc_tls *tls, SSL_CTX **out, char identity[IDENTITY_SIZE], struct rpc_error *error)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_method());
	X509 *own;
	int ret = 0;

	ERR_clear_error();
	if (!ctx) {
		if (error)
			snprintf(error->text, sizeof(error->text), "out of memory");
		return -ENOMEM;
	}
	SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION);
	SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION);
	SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
	SSL_CTX_set_num_tickets(ctx, 0);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				      SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	SSL_CTX_set_verify_depth(ctx, 4);
	SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
	SSL_CTX_set_alpn_protos(ctx, alpn_h2, sizeof(alpn_h2));
	SSL_CTX_set_alpn_select_cb(ctx, select_h2, NULL);
	if (SSL_CTX_load_verify_file(ctx, tls->ca_file) != 1) {
		ret = fail(error, "certificate authority", tls->ca_file);
	} else if (SSL_CTX_use_certificate_chain_file(ctx, tls->cert_file) != 1) {
		ret = fail(error, "certificate", tls->cert_file);
	} else if (SSL_CTX_use_PrivateKey_file(ctx, tls->key_file, SSL_FILETYPE_PEM) != 1 &&
		   ERR_GET_REASON(ERR_peek_last_error()) != X509_R_KEY_VALUES_MISMATCH) {
		ret = fail(error, "key", tls->key_file);
	} else if (SSL_CTX_check_private_key(ctx) != 1) {
		if (error)
			snprintf(error->text, sizeof(error->text),
				"key %s does not belong to certificate %s", tls->key_file,
				tls->cert_file);
		ERR_clear_error();
		ret = -EINVAL;
	} else {
		own = SSL_CTX_get0_certificate(ctx);
		if (!cert_identity(own, identity)) {
			if (error)
				snprintf(error->text, sizeof(error->text),
					"certificate %s: its URI name is not printable or longer "
					"than %d octets",
					tls->cert_file, IDENTITY_SIZE - 1);
			ret = -EINVAL;
		}
	}
	if (ret < 0)
		SSL_CTX_free(ctx);
	else
		*out = ctx;
	return ret;
}

int rpc_tls_load(struct rpc_tls **out, const char *ca_file, const char *cert_file,
	const char *key_file, struct rpc_error *error)
{
	struct rpc_tls *tls = calloc(1, sizeof(*tls));
	int ret = -ENOMEM;

	if (!tls)
		goto out;
	tls->refs = 1;
	tls->ca_file = strdup(ca_file);
	tls->cert_file = strdup(cert_file);
	tls->key_file = strdup(key_file);
	tls->bio = sock_method();
	if (!tls->ca_file || !tls->cert_file || !tls->key_file || !tls->bio)
		goto out;
	ret = load(tls, &tls->ctx, tls->identity, error);
	if (ret == 0) {
		*out = tls;
		return 0;
	}
out:
	if (ret == -ENOMEM && error)
		snprintf(error->text, sizeof(error->text), "out of memory");
	rpc_tls_free(tls);
	return ret;
}

int rpc_tls_reload(struct rpc_tls *tls, struct rpc_error *error)
{
	char identity[IDENTITY_SIZE];
	SSL_CTX *ctx;
	const int ret = load(tls, &ctx, identity, error);

	if (ret < 0)
		return ret;
	SSL_CTX_free(tls->ctx);
	tls->ctx = ctx;
	memcpy(tls->identity, identity, sizeof(identity));
	return 0;
}

const char *rpc_tls_identity(const struct rpc_tls *tls)
{
	return tls->identity;
}

struct rpc_tls *rpc_tls_ref(struct rpc_tls *tls)
{
	tls->refs++;
	return tls;
}

void rpc_tls_free(struct rpc_tls *tls)
{
	if (!tls || --tls->refs > 0)
		return;
	SSL_CTX_free(tls->ctx);
	BIO_meth_free(tls->bio);
	free(tls->ca_file);
	free(tls->cert_file);
	free(tls->key_file);
	free(tls);
}

/* ---- a connection ---- */

static bool set_server_name(SSL *ssl, const char *name)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
	unsigned char address[16];

	if (inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1)
		return X509_VERIFY_PARAM_set1_ip_asc(param, name) == 1;
	X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return SSL_set1_host(ssl, name) == 1 && SSL_set_tlsext_host_name(ssl, name) == 1;
}

SSL *rpc_tls_connection(struct rpc_tls *tls, int fd, bool server, const char *server_name)
{
	SSL *ssl = SSL_new(tls->ctx);
	BIO *bio = BIO_new(tls->bio);

	if (!ssl || !bio)
		goto fail;
	BIO_set_data(bio, (void *)(intptr_t)fd);
	BIO_set_init(bio, 1);
	if (!server && server_name && !set_server_name(ssl, server_name))
		goto fail;
	SSL_set_bio(ssl, bio, bio);
	if (server)
		SSL_set_accept_state(ssl);
	else
		SSL_set_connect_state(ssl);
	return ssl;
fail:
	BIO_free(bio);
	SSL_free(ssl);
	ERR_clear_error();
	return NULL;
}

bool rpc_tls_peer_identity(const SSL *ssl, char out[IDENTITY_SIZE])
{
	X509 *cert = SSL_get0_peer_certificate(ssl);

	out[0] = '\0';
	return cert && cert_identity(cert, out);
}

bool rpc_tls_is_h2(const SSL *ssl)
{
	const unsigned char *name;
	unsigned int len;

	SSL_get0_alpn_selected(ssl, &name, &len);
	return len == 2 && memcmp(name, "h2", 2) == 0;
}

void rpc_tls_failure(const SSL *ssl, int ret, int err, char *out, size_t size)
{
	const int kind = SSL_get_error(ssl, ret);
	const unsigned long e = ERR_peek_error();
	const long verify = SSL_get_verify_result(ssl);
	const char *why = e ? ERR_reason_error_string(e) : NULL;

	if (e && ERR_GET_REASON(e) == SSL_R_CERTIFICATE_VERIFY_FAILED && verify != X509_V_OK)
		snprintf(out, size, "the peer's certificate is refused: %s",
			X509_verify_cert_error_string(verify));
	else if (e && ERR_GET_REASON(e) != SSL_R_UNEXPECTED_EOF_WHILE_READING)
		snprintf(out, size, "TLS: %s", why ? why : "protocol error");
	else if (kind == SSL_ERROR_SYSCALL && ret < 0 && err)
		snprintf(out, size, "%s", strerror(err));
	else
		snprintf(out, size, "closed by the peer");
	ERR_clear_error();
}
