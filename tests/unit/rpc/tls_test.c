/*
 * Who may talk to whom: certificates that are loaded, reloaded, refused on either side, and what
 * the errors say.
 */
#include <errno.h>
#include <fcntl.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/rpc/fixture.h"

static void write_text(const char *path, const char *text)
{
	const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

/* Load with three files of the directory; returns the code, *error filled. */
static int load(const struct fixture *f, const char *ca, const char *cert, const char *key,
	struct rpc_error *error)
{
	char paths[3][256];
	struct rpc_tls *tls = NULL;
	int ret;

	snprintf(paths[0], sizeof(paths[0]), "%s/%s", f->dir, ca);
	snprintf(paths[1], sizeof(paths[1]), "%s/%s", f->dir, cert);
	snprintf(paths[2], sizeof(paths[2]), "%s/%s", f->dir, key);
	error->text[0] = '\0';
	ret = rpc_tls_load(&tls, paths[0], paths[1], paths[2], error);
	rpc_tls_free(tls);
	return ret;
}

static void says(const struct rpc_error *error, const char *what)
{
	if (!strstr(error->text, what))
		fail_msg("\"%s\" is not in \"%s\"", what, error->text);
}

static void load_errors_name_the_file(void **state)
{
	struct fixture *f = *state;
	struct rpc_error e;

	assert_int_equal(load(f, "ca.crt", "node.crt", "node.key", &e), 0);
	assert_int_equal(load(f, "none.crt", "node.crt", "node.key", &e), -ENOENT);
	says(&e, "cannot read certificate authority ");
	says(&e, "none.crt: No such file or directory");
	assert_int_equal(load(f, "ca.crt", "none.crt", "node.key", &e), -ENOENT);
	says(&e, "cannot read certificate ");
	assert_int_equal(load(f, "ca.crt", "node.crt", "none.key", &e), -ENOENT);
	says(&e, "cannot read key ");
	says(&e, "none.key: No such file or directory");
	write_text(fixture_path(f, "junk.pem"), "this is no PEM file\n");
	assert_int_equal(load(f, "ca.crt", "junk.pem", "node.key", &e), -EINVAL);
	says(&e, "junk.pem: it holds no such PEM block");
	assert_int_equal(load(f, "ca.crt", "node.crt", "junk.pem", &e), -EINVAL);
	says(&e, "cannot read key ");
	assert_int_equal(load(f, "junk.pem", "node.crt", "node.key", &e), -EINVAL);
	says(&e, "junk.pem");
	assert_int_equal(load(f, "ca.crt", "node.crt", "server.key", &e), -EINVAL);
	says(&e, "server.key does not belong to certificate ");
	/* a key with a passphrase is refused, not asked about on the terminal */
	write_text(fixture_path(f, "locked.key"),
		"-----BEGIN ENCRYPTED PRIVATE KEY-----\n"
		"MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAgZ0sFV\n"
		"-----END ENCRYPTED PRIVATE KEY-----\n");
	assert_int_equal(load(f, "ca.crt", "node.crt", "locked.key", &e), -EINVAL);
	says(&e, "locked.key");
}

static void identity_of_our_own(void **state)
{
	struct fixture *f = *state;

	assert_string_equal(rpc_tls_identity(f->node_tls), "audums://node/riga-1");
	assert_string_equal(rpc_tls_identity(f->server_tls), "audums://controller/main");
}

static void authority_is_written_and_read(void **state)
{
	struct fixture *f = *state;
	struct rpc_ca *again = NULL;
	struct rpc_cert_request r = {.uri = "audums://node/second", .days = 1};
	struct rpc_error e;
	struct stat st;

	assert_int_equal(
		rpc_ca_write(f->ca, fixture_path(f, "ca.crt"), fixture_path(f, "ca.key"), &e), 0);
	assert_int_equal(stat(fixture_path(f, "ca.key"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(stat(fixture_path(f, "node.key"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(
		rpc_ca_load(&again, fixture_path(f, "ca.crt"), fixture_path(f, "ca.key"), &e), 0);
	assert_int_equal(rpc_ca_issue(again, &r, fixture_path(f, "second.crt"),
				 fixture_path(f, "second.key"), &e),
		0);
	rpc_ca_free(again);
	assert_int_equal(load(f, "ca.crt", "second.crt", "second.key", &e), 0);
	/* not an authority; the other's key; not there; not writable */
	assert_int_equal(rpc_ca_load(&again, fixture_path(f, "second.crt"),
				 fixture_path(f, "second.key"), &e),
		-EINVAL);
	says(&e, "is not an authority's certificate");
	assert_int_equal(
		rpc_ca_load(&again, fixture_path(f, "ca.crt"), fixture_path(f, "node.key"), &e),
		-EINVAL);
	says(&e, "does not belong");
	assert_int_equal(
		rpc_ca_load(&again, fixture_path(f, "no.crt"), fixture_path(f, "node.key"), &e),
		-ENOENT);
	assert_int_equal(rpc_ca_issue(f->ca, &r, fixture_path(f, "no/dir.crt"),
				 fixture_path(f, "no/dir.key"), &e),
		-ENOENT);
	says(&e, "cannot write ");
}

/* ---- refusals ---- */

/* Connect with given credentials and options; returns when IDLE again, f->reason filled. */
static void expect_refusal(
	struct fixture *f, struct rpc_tls *tls, const struct rpc_client_options *o)
{
	struct rpc_client *client;
	struct rpc_error e;

	f->state_count = 0;
	client = rpc_client_new(f->loop, tls, o, &e);
	assert_non_null(client);
	assert_int_equal(rpc_client_connect(client, &e), 0);
	wait_for(f, f->state_count > 0);
	assert_int_equal(f->states[0], RPC_CLIENT_IDLE);
	rpc_client_free(client);
}

static void expect_reason(const struct fixture *f, const char *what)
{
	if (!strstr(f->reason, what))
		fail_msg("\"%s\" is not in \"%s\"", what, f->reason);
}

static void server_of_another_name(void **state)
{
	struct fixture *f = *state;
	struct rpc_client_options o = fixture_options(f);

	o.server_name = "controller.example";
	expect_refusal(f, f->node_tls, &o);
	expect_reason(f, "ostname mismatch");
	o.server_name = "127.0.0.2";
	expect_refusal(f, f->node_tls, &o);
	expect_reason(f, "IP address mismatch");
	o.server_name = NULL;
	o.server_uri_prefix = "audums://controller/other";
	expect_refusal(f, f->node_tls, &o);
	expect_reason(f, "the server is \"audums://controller/main\", expected");
	/* another node can't play the controller */
	o.server_uri_prefix = "audums://controller/";
	rpc_tls_free(f->server_tls);
	f->server_tls = fixture_tls(f, "node");
	fixture_server(f, NULL);
	o.target = f->unix_target;
	expect_refusal(f, f->node_tls, &o);
	expect_reason(f, "the server is \"audums://node/riga-1\"");
}

static void server_by_address(void **state)
{
	struct fixture *f = *state;
	struct rpc_client_options o = fixture_options(f);
	struct rpc_result r;

	o.server_name = "127.0.0.1";
	f->client = rpc_client_new(f->loop, f->node_tls, &o, NULL);
	assert_int_equal(fixture_get(f->client, "a", 0, &r), RPC_OK);
	rpc_result_clear(&r);
}

static void client_of_another_authority(void **state)
{
	struct fixture *f = *state;
	struct rpc_client_options o = fixture_options(f);
	struct rpc_server_stats stats;
	struct rpc_ca *ours = f->ca;
	struct rpc_ca *other = NULL;
	struct rpc_tls *tls;
	struct rpc_error e;

	/* it trusts our authority, but was certified by another */
	assert_int_equal(rpc_ca_create(&other, "test authority", 1, &e), 0);
	f->ca = other;
	fixture_issue(f, "stranger", "audums://node/riga-1", 1);
	f->ca = ours;
	rpc_ca_free(other);
	tls = fixture_tls(f, "stranger");
	expect_refusal(f, tls, &o);
	rpc_tls_free(tls);
	rpc_server_stats(f->server, &stats);
	assert_int_equal(stats.failed_handshakes, 1);
	assert_int_equal(stats.connections, 0);
	assert_int_equal(stats.handshakes, 0);
	assert_int_equal(f->service.requests, 0);
}

static void client_with_expired_certificate(void **state)
{
	struct fixture *f = *state;
	struct rpc_client_options o = fixture_options(f);
	struct rpc_tls *tls;

	fixture_issue(f, "old", "audums://node/old", 0);
	tls = fixture_tls(f, "old");
	expect_refusal(f, tls, &o);
	rpc_tls_free(tls);
	expect_reason(f, "expired");
}

static void reload_is_for_new_connections(void **state)
{
	struct fixture *f = *state;
	struct rpc_client *second;
	struct rpc_client_options o = fixture_options(f);
	const Audums__V1__Document *doc;
	struct rpc_result r;
	struct rpc_error e;

	fixture_client(f, NULL);
	fixture_issue(f, "node", "audums://node/riga-2", 1);
	assert_int_equal(rpc_tls_reload(f->node_tls, &e), 0);
	assert_string_equal(rpc_tls_identity(f->node_tls), "audums://node/riga-2");
	assert_int_equal(fixture_get(f->client, "a", 0, &r), RPC_OK);
	doc = (const Audums__V1__Document *)r.response;
	assert_string_equal(doc->providers[0]->display_name, "audums://node/riga-1");
	rpc_result_clear(&r);
	second = rpc_client_new(f->loop, f->node_tls, &o, NULL);
	assert_int_equal(fixture_get(second, "a", 0, &r), RPC_OK);
	doc = (const Audums__V1__Document *)r.response;
	assert_string_equal(doc->providers[0]->display_name, "audums://node/riga-2");
	rpc_result_clear(&r);
	/* a failed reload changes nothing */
	write_text(fixture_path(f, "node.crt"), "rubbish");
	assert_int_equal(rpc_tls_reload(f->node_tls, &e), -EINVAL);
	says(&e, "node.crt");
	rpc_client_close(second);
	wait_for(f, rpc_client_state(second) == RPC_CLIENT_IDLE);
	assert_int_equal(fixture_get(second, "a", 0, &r), RPC_OK);
	rpc_result_clear(&r);
	rpc_client_free(second);
}

/* A bare TLS client of its own making against our server; returns whether the server let it in:
 * answered with HTTP/2. */
static bool bare_client(struct fixture *f, int version, bool with_cert, const char *alpn)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	struct rpc_server_stats before, now;
	const uint64_t until = loop_now_ms() + WAIT_MS;
	char target[32];
	uint8_t in[64];
	bool let_in = false, over = false;
	BIO *bio;
	SSL *ssl;

	SSL_CTX_set_max_proto_version(ctx, version);
	SSL_CTX_set_min_proto_version(ctx, version);
	if (with_cert) {
		assert_int_equal(SSL_CTX_use_certificate_file(
					 ctx, fixture_path(f, "node.crt"), SSL_FILETYPE_PEM),
			1);
		assert_int_equal(SSL_CTX_use_PrivateKey_file(
					 ctx, fixture_path(f, "node.key"), SSL_FILETYPE_PEM),
			1);
	}
	if (alpn)
		SSL_CTX_set_alpn_protos(
			ctx, (const unsigned char *)alpn, (unsigned int)strlen(alpn));
	rpc_server_stats(f->server, &before);
	snprintf(target, sizeof(target), "127.0.0.1:%u", f->port);
	bio = BIO_new_ssl_connect(ctx);
	BIO_get_ssl(bio, &ssl);
	BIO_set_conn_hostname(bio, target);
	BIO_set_nbio(bio, 1);
	while (!over && !let_in) {
		assert_true(loop_now_ms() < until);
		assert_true(loop_turn(f->loop, 5) >= 0);
		/* the server's SETTINGS are the first octets it sends */
		if (BIO_do_handshake(bio) == 1)
			let_in = BIO_read(bio, in, sizeof(in)) > 0;
		over = !let_in && !BIO_should_retry(bio);
	}
	BIO_free_all(bio);
	SSL_CTX_free(ctx);
	do {
		assert_true(loop_turn(f->loop, 20) >= 0);
		rpc_server_stats(f->server, &now);
	} while (now.connections > 0 && loop_now_ms() < until);
	assert_int_equal(now.failed_handshakes - before.failed_handshakes, !let_in);
	return let_in;
}

static void bare_clients(void **state)
{
	struct fixture *f = *state;

	assert_true(bare_client(f, TLS1_3_VERSION, true, "\x02h2"));
	assert_false(bare_client(f, TLS1_3_VERSION, false, "\x02h2"));
	assert_false(bare_client(f, TLS1_2_VERSION, true, "\x02h2"));
	assert_false(bare_client(f, TLS1_3_VERSION, true, NULL));
	assert_false(bare_client(f, TLS1_3_VERSION, true, "\x08http/1.1"));
	assert_true(bare_client(f, TLS1_3_VERSION, true, "\x08http/1.1\x02h2"));
}

static void targets(void **state)
{
	static const char *const wrong[] = {"", "host", "host:", ":80", "host:0", "host:70000",
		"host:12x", "::1:80", "[::1:80", "a:b:80"};
	struct fixture *f = *state;
	struct rpc_client_options o = fixture_options(f);
	struct rpc_client *client;
	struct rpc_error e;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		o.target = wrong[i];
		client = rpc_client_new(f->loop, f->node_tls, &o, &e);
		assert_non_null(client);
		assert_int_equal(rpc_client_connect(client, &e), -EINVAL);
		says(&e, "is not HOST:PORT");
		rpc_client_free(client);
	}
	o.target = "unix:";
	assert_null(rpc_client_new(f->loop, f->node_tls, &o, &e));
	o.target = "unix:/nowhere/at/all";
	client = rpc_client_new(f->loop, f->node_tls, &o, &e);
	assert_int_equal(rpc_client_connect(client, &e), -ENOENT);
	says(&e, "cannot connect to unix:/nowhere/at/all: No such file");
	rpc_client_free(client);
	o.server_name = o.server_uri_prefix = NULL;
	assert_null(rpc_client_new(f->loop, f->node_tls, &o, &e));
}

static void nobody_listens(void **state)
{
	struct fixture *f = *state;
	struct rpc_client_options o = fixture_options(f);
	struct rpc_result r;

	rpc_server_free(f->server);
	f->server = NULL;
	f->client = rpc_client_new(f->loop, f->node_tls, &o, NULL);
	assert_int_equal(fixture_get(f->client, "a", 0, &r), RPC_UNAVAILABLE);
	assert_non_null(strstr(r.status.message, "Connection refused"));
	rpc_result_clear(&r);
	assert_int_equal(rpc_client_state(f->client), RPC_CLIENT_IDLE);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		TEST(load_errors_name_the_file),
		TEST(identity_of_our_own),
		TEST(authority_is_written_and_read),
		TEST(server_of_another_name),
		TEST(server_by_address),
		TEST(client_of_another_authority),
		TEST(client_with_expired_certificate),
		TEST(reload_is_for_new_connections),
		TEST(bare_clients),
		TEST(targets),
		TEST(nobody_listens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
