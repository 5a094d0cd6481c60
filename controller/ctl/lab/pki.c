/*
 * The lab's throw-away certificate authority, its certificates, and the context file that lets
 * audumsctl find the controller.
 *
 * Identities are those of controller/rpc/rpc_cert.h. Called once, by up.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "controller/ctl/lab/internal.h"
#include "controller/rpc/rpc_cert.h"

#define PKI_DAYS 365

static int issue(const struct rpc_ca *ca, const struct lab *lab, const char *file, const char *uri,
	const char *const *names, size_t name_count, struct lab_err *err)
{
	struct rpc_cert_request request = {
		.common_name = file,
		.uri = uri,
		.names = names,
		.name_count = name_count,
		.days = PKI_DAYS,
	};
	char dir[LAB_PATH_LEN], cert[LAB_PATH_LEN + 64], key[LAB_PATH_LEN + 64];
	struct rpc_error error = {""};
	int ret;

	lab_run_path(lab->name, "pki", dir);
	snprintf(cert, sizeof(cert), "%s/%s.pem", dir, file);
	snprintf(key, sizeof(key), "%s/%s.key", dir, file);
	ret = rpc_ca_issue(ca, &request, cert, key, &error);
	return ret ? lab_fail(err, ret, "cannot make certificate %s: %s", cert, error.text) : 0;
}

static int issue_nodes(const struct rpc_ca *ca, const struct lab *lab, struct lab_err *err)
{
	char file[64], uri[96];
	int ret = 0;

	for (unsigned int i = 0; !ret && i < lab->node_count; i++) {
		const char *name = lab->nodes[i].name;

		if (lab->nodes[i].unmanaged)
			continue;
		snprintf(file, sizeof(file), "node-%s", name);
		snprintf(uri, sizeof(uri), "audums://node/%s", name);
		ret = issue(ca, lab, file, uri, &name, 1, err);
	}
	return ret;
}

static int write_context(const struct lab *lab, struct lab_err *err)
{
	char path[LAB_PATH_LEN], run[LAB_PATH_LEN], text[1024];
	int ret;

	lab_run_path(lab->name, "context.yaml", path);
	lab_run_path(lab->name, NULL, run);
	snprintf(text, sizeof(text),
		"# How audumsctl reaches the controller of lab %s\n"
		"endpoint: unix:%s/audumsd.sock\n"
		"ca: %s/pki/ca.pem\n"
		"cert: %s/pki/operator.pem\n"
		"key: %s/pki/operator.key\n",
		lab->name, run, run, run, run);
	ret = file_write(path, text, 0644);
	return ret ? lab_fail(err, ret, "cannot write %s: %s", path, strerror(-ret)) : 0;
}

int lab_pki(const struct lab *lab, struct lab_err *err)
{
	static const char *const server_names[] = {
		"controller", "localhost", LAB_CONTROLLER_ADDRESS, "127.0.0.1"};
	char dir[LAB_PATH_LEN], cert[LAB_PATH_LEN + 8], key[LAB_PATH_LEN + 8];
	struct rpc_error error = {""};
	struct rpc_ca *ca = NULL;
	int ret;

	lab_run_path(lab->name, "pki", dir);
	snprintf(cert, sizeof(cert), "%s/ca.pem", dir);
	snprintf(key, sizeof(key), "%s/ca.key", dir);
	ret = path_make(dir);
	if (ret)
		return lab_fail(err, ret, "cannot make %s: %s", dir, strerror(-ret));
	ret = rpc_ca_create(&ca, lab->name, PKI_DAYS, &error);
	if (!ret)
		ret = rpc_ca_write(ca, cert, key, &error);
	if (ret) {
		lab_fail(err, ret, "cannot make the certificate authority: %s", error.text);
		goto out;
	}
	ret = issue(ca, lab, "controller", "audums://controller/lab", server_names, 4, err);
	if (!ret)
		ret = issue_nodes(ca, lab, err);
	/* "*": acts for every provider of the lab */
	if (!ret)
		ret = issue(ca, lab, "operator", "audums://client/operator/*/admin", NULL, 0, err);
	if (!ret)
		ret = issue(ca, lab, "reader", "audums://client/reader/*/viewer", NULL, 0, err);
	if (!ret)
		ret = write_context(lab, err);
out:
	rpc_ca_free(ca);
	return ret;
}
