/*
 * A server with service.c for a foreign client: serve DIRECTORY. Makes an authority and
 * certificates there (ca.crt, server.*, node.*), prints the TCP port, and "done CODE" for each call
 * that ends; drains when its input ends. Started by foreign_test.py.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "controller/rpc/loop.h"
#include "controller/rpc/rpc_cert.h"
#include "tests/unit/rpc/service.h"

struct serve {
	struct loop *loop;
	struct rpc_server *server;
	struct loop_fd *input;
};

static void on_drained(void *arg)
{
	const struct serve *s = arg;

	loop_stop(s->loop, 0);
}

static void on_input(void *arg, int fd, unsigned int ready)
{
	struct serve *s = arg;
	char mem[64];

	if (read(fd, mem, sizeof(mem)) > 0)
		return;
	loop_fd_remove(s->input);
	rpc_server_drain(s->server, 2000, on_drained, s);
}

static int issue(const struct rpc_ca *ca, const char *dir, const char *name, const char *uri,
	struct rpc_error *error)
{
	static const char *const names[] = {"localhost", "127.0.0.1"};
	const struct rpc_cert_request r = {
		.common_name = name, .uri = uri, .names = names, .name_count = 2, .days = 1};
	char cert[256], key[256];

	snprintf(cert, sizeof(cert), "%s/%s.crt", dir, name);
	snprintf(key, sizeof(key), "%s/%s.key", dir, name);
	return rpc_ca_issue(ca, &r, cert, key, error);
}

int main(int argc, char **argv)
{
	struct rpc_error error = {.text = "out of memory"};
	struct serve s = {.loop = loop_new()};
	struct service service = {.loop = s.loop};
	char files[3][256];
	struct rpc_tls *tls = NULL;
	struct rpc_ca *ca = NULL;
	uint16_t port;
	int ret = 1;

	if (argc != 2)
		return 2;
	snprintf(files[0], sizeof(files[0]), "%s/ca.crt", argv[1]);
	snprintf(files[1], sizeof(files[1]), "%s/server.crt", argv[1]);
	snprintf(files[2], sizeof(files[2]), "%s/server.key", argv[1]);
	if (rpc_ca_create(&ca, "test authority", 1, &error) < 0 ||
		rpc_ca_write(ca, files[0], NULL, &error) < 0 ||
		issue(ca, argv[1], "server", "audums://controller/main", &error) < 0 ||
		issue(ca, argv[1], "node", "audums://node/riga-1", &error) < 0 ||
		rpc_tls_load(&tls, files[0], files[1], files[2], &error) < 0)
		goto out;
	s.server = rpc_server_new(s.loop, tls, NULL);
	s.input = loop_fd_add(s.loop, 0, LOOP_IN, on_input, &s);
	if (!s.server || !s.input ||
		rpc_server_add(s.server, service_methods, service_method_count, &service) < 0 ||
		rpc_server_listen_tcp(s.server, "127.0.0.1", 0, &port, &error) < 0)
		goto out;
	printf("%u\n", port);
	fflush(stdout);
	ret = loop_run(s.loop);
	printf("requests=%u starts=%u messages=%u dones=%u\n", service.requests, service.starts,
		service.messages, service.dones);
	error.text[0] = '\0';
out:
	if (error.text[0])
		fprintf(stderr, "%s\n", error.text);
	rpc_server_free(s.server);
	rpc_tls_free(tls);
	rpc_ca_free(ca);
	loop_free(s.loop);
	return ret;
}
