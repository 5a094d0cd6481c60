/*
 * A small certificate authority; see rpc_cert.h. Called by audumsctl and by tests, never by
 * daemons.
 */
#include "controller/rpc/rpc_cert.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BACKDATE_S 300 /* clocks differ */

struct rpc_ca {
	X509 *cert;
	EVP_PKEY *key;
};

static int fail(struct rpc_error *error, int ret, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static int fail(struct rpc_error *error, int ret, const char *fmt, ...)
{
	va_list ap;

	if (error) {
		va_start(ap, fmt);
		vsnprintf(error->text, sizeof(error->text), fmt, ap);
		va_end(ap);
	}
	ERR_clear_error();
	return ret;
}

static const char *crypto_reason(void)
{
	const char *why = ERR_reason_error_string(ERR_peek_last_error());

	return why ? why : "out of memory";
}

/* ---- files ---- */

/* Write `bio`'s contents to a new file beside `path`, then rename it over. */
static int write_file(const char *path, BIO *bio, mode_t mode, struct rpc_error *error)
{
	const char *data;
	const long len = BIO_get_mem_data(bio, &data);
	char *tmp = NULL;
	int fd = -1;
	int ret = 0;

	if (asprintf(&tmp, "%s.XXXXXX", path) < 0)
		return fail(error, -ENOMEM, "out of memory");
	fd = mkostemp(tmp, O_CLOEXEC);
	if (fd < 0) {
		ret = fail(error, -errno, "cannot write %s: %s", path, strerror(errno));
		goto out;
	}
	errno = 0;
	if (fchmod(fd, mode) < 0 || write(fd, data, (size_t)len) != len || fsync(fd) < 0 ||
		rename(tmp, path) < 0) {
		ret = errno ? -errno : -ENOSPC;
		fail(error, ret, "cannot write %s: %s", path, strerror(-ret));
		unlink(tmp);
	}
	close(fd);
out:
	free(tmp);
	return ret;
}

static int write_pem(const char *path, X509 *cert, EVP_PKEY *key, struct rpc_error *error)
{
	BIO *bio = BIO_new(BIO_s_mem());
	int ret;

	if (bio && (cert ? PEM_write_bio_X509(bio, cert)
			 : PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL)) == 1)
		ret = write_file(path, bio, cert ? 0644 : 0600, error);
	else
		ret = fail(error, -ENOMEM, "cannot write %s: %s", path, crypto_reason());
	BIO_free(bio);
	return ret;
}

/* ---- certificates ---- */

static bool add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *ext;
	bool ok;

	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	ok = ext && X509_add_ext(cert, ext, -1) == 1;
	X509_EXTENSION_free(ext);
	return ok;
}

static bool add_name(GENERAL_NAMES *names, int type, const void *data, size_t len)
{
	GENERAL_NAME *name = GENERAL_NAME_new();
	ASN1_STRING *s = type == GEN_IPADD ? ASN1_OCTET_STRING_new() : ASN1_IA5STRING_new();

	if (!name || !s || ASN1_STRING_set(s, data, (int)len) != 1) {
		ASN1_STRING_free(s);
		GENERAL_NAME_free(name);
		return false;
	}
	GENERAL_NAME_set0_value(name, type, s);
	if (sk_GENERAL_NAME_push(names, name) <= 0) {
		GENERAL_NAME_free(name);
		return false;
	}
	return true;
}

/* Built from structures, not from OpenSSL's configuration language, where a comma in a name would
 * begin another one. */
static bool add_alternative_names(X509 *cert, const struct rpc_cert_request *r)
{
	GENERAL_NAMES *names = GENERAL_NAMES_new();
	bool ok = names != NULL;

	if (ok && r->uri)
		ok = add_name(names, GEN_URI, r->uri, strlen(r->uri));
	for (size_t i = 0; ok && i < r->name_count; i++) {
		const char *name = r->names[i];
		unsigned char address[16];

		if (inet_pton(AF_INET, name, address) == 1)
			ok = add_name(names, GEN_IPADD, address, 4);
		else if (inet_pton(AF_INET6, name, address) == 1)
			ok = add_name(names, GEN_IPADD, address, 16);
		else
			ok = add_name(names, GEN_DNS, name, strlen(name));
	}
	if (ok && sk_GENERAL_NAME_num(names) > 0)
		ok = X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT) ==
		     1;
	GENERAL_NAMES_free(names);
	return ok;
}

/* A certificate for `key` with a random serial number and a subject; not signed yet. */
static X509 *cert_new(EVP_PKEY *key, const char *common_name, unsigned int days)
{
	X509 *cert = X509_new();
	unsigned char serial[16];
	BIGNUM *number = NULL;
	bool ok;

	ok = cert && RAND_bytes(serial, sizeof(serial)) == 1;
	if (ok) {
		serial[0] = (serial[0] & 0x7f) | 0x40; /* positive, never shorter */
		number = BN_bin2bn(serial, sizeof(serial), NULL);
		ok = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert));
	}
	BN_free(number);
	ok = ok && X509_set_version(cert, X509_VERSION_3) == 1 &&
	     X509_gmtime_adj(X509_getm_notBefore(cert), -BACKDATE_S) &&
	     X509_time_adj_ex(X509_getm_notAfter(cert), (int)days, 0, NULL) &&
	     X509_set_pubkey(cert, key) == 1 &&
	     X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_UTF8,
		     (const unsigned char *)common_name, -1, -1, 0) == 1;
	if (!ok) {
		X509_free(cert);
		return NULL;
	}
	return cert;
}

int rpc_ca_create(
	struct rpc_ca **out, const char *common_name, unsigned int days, struct rpc_error *error)
{
	struct rpc_ca *ca = calloc(1, sizeof(*ca));
	bool ok;

	ERR_clear_error();
	if (!ca)
		return fail(error, -ENOMEM, "out of memory");
	ca->key = EVP_EC_gen("P-256");
	ca->cert = ca->key ? cert_new(ca->key, common_name, days) : NULL;
	ok = ca->cert && X509_set_issuer_name(ca->cert, X509_get_subject_name(ca->cert)) == 1 &&
	     add_extension(
		     ca->cert, ca->cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
	     add_extension(ca->cert, ca->cert, NID_key_usage, "critical,keyCertSign,cRLSign") &&
	     add_extension(ca->cert, ca->cert, NID_subject_key_identifier, "hash") &&
	     X509_sign(ca->cert, ca->key, EVP_sha256()) > 0;
	if (!ok) {
		fail(error, -EINVAL, "cannot make an authority \"%s\": %s", common_name,
			crypto_reason());
		rpc_ca_free(ca);
		return -EINVAL;
	}
	*out = ca;
	return 0;
}

int rpc_ca_load(
	struct rpc_ca **out, const char *cert_file, const char *key_file, struct rpc_error *error)
{
	struct rpc_ca *ca = calloc(1, sizeof(*ca));
	const char *file = cert_file;
	FILE *f;
	int ret;

	ERR_clear_error();
	if (!ca)
		return fail(error, -ENOMEM, "out of memory");
	f = fopen(cert_file, "re");
	if (!f)
		goto no_file;
	ca->cert = PEM_read_X509(f, NULL, NULL, NULL);
	fclose(f);
	if (!ca->cert) {
		ret = fail(error, -EINVAL, "%s holds no certificate", cert_file);
		goto out;
	}
	file = key_file;
	f = fopen(key_file, "re");
	if (!f)
		goto no_file;
	ca->key = PEM_read_PrivateKey(f, NULL, NULL, (void *)"");
	fclose(f);
	if (!ca->key) {
		ret = fail(error, -EINVAL, "%s holds no key, or one with a passphrase", key_file);
		goto out;
	}
	if (X509_check_private_key(ca->cert, ca->key) != 1) {
		ret = fail(error, -EINVAL, "key %s does not belong to certificate %s", key_file,
			cert_file);
		goto out;
	}
	if (X509_check_ca(ca->cert) < 1) {
		ret = fail(error, -EINVAL, "%s is not an authority's certificate", cert_file);
		goto out;
	}
	*out = ca;
	return 0;
no_file:
	ret = fail(error, -errno, "cannot read %s: %s", file, strerror(errno));
out:
	rpc_ca_free(ca);
	return ret;
}

int rpc_ca_write(const struct rpc_ca *ca, const char *cert_file, const char *key_file,
	struct rpc_error *error)
{
	int ret = write_pem(cert_file, ca->cert, NULL, error);

	if (ret == 0 && key_file)
		ret = write_pem(key_file, NULL, ca->key, error);
	return ret;
}

void rpc_ca_free(struct rpc_ca *ca)
{
	if (!ca)
		return;
	X509_free(ca->cert);
	EVP_PKEY_free(ca->key);
	free(ca);
}

int rpc_ca_issue(const struct rpc_ca *ca, const struct rpc_cert_request *r, const char *cert_file,
	const char *key_file, struct rpc_error *error)
{
	const char *common_name = r->common_name ? r->common_name : "audums";
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = key ? cert_new(key, common_name, r->days) : NULL;
	bool ok;
	int ret;

	ok = cert && X509_set_issuer_name(cert, X509_get_subject_name(ca->cert)) == 1 &&
	     add_extension(cert, ca->cert, NID_basic_constraints, "critical,CA:FALSE") &&
	     add_extension(cert, ca->cert, NID_key_usage, "critical,digitalSignature") &&
	     add_extension(cert, ca->cert, NID_ext_key_usage, "serverAuth,clientAuth") &&
	     add_extension(cert, ca->cert, NID_subject_key_identifier, "hash") &&
	     add_extension(cert, ca->cert, NID_authority_key_identifier, "keyid:always") &&
	     add_alternative_names(cert, r) && X509_sign(cert, ca->key, EVP_sha256()) > 0;
	if (!ok)
		ret = fail(
			error, -EINVAL, "cannot certify \"%s\": %s", common_name, crypto_reason());
	else
		ret = write_pem(key_file, NULL, key, error);
	if (ret == 0)
		ret = write_pem(cert_file, cert, NULL, error);
	X509_free(cert);
	EVP_PKEY_free(key);
	return ret;
}
