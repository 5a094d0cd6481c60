/*
 * audumsd: the controller. Opens the store, listens, runs the loop, ends on SIGTERM or SIGINT.
 *
 * Exit status: 0 ended as asked; 1 could not start, or the store failed (a supervisor starts it
 * again, and it takes up from what the store holds); 2 wrong command line.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "controller/audumsd/controller.h"
#include "controller/audumsd/options.h"
#include "controller/audumsd/store/store.h"
#include "proto/lib/log.h"
#include "proto/lib/schema.h"

#define DRAIN_MS       2000
#define WATCH_STORE_MS 1000

struct program {
	struct options options;
	struct loop *loop;
	struct store *store;
	struct loop_fd *store_fd;
	struct loop_timer *store_timer;
	struct controller *controller;
	struct rpc_tls *tls;
	struct rpc_server *server;
	bool stopping;
};

static void on_store(void *arg, int fd, unsigned int ready)
{
	struct program *p = arg;

	store_dispatch(p->store);
}

static void on_drained(void *arg)
{
	struct program *p = arg;

	loop_stop(p->loop, 0);
}

static void on_stop(void *arg, int signo)
{
	struct program *p = arg;

	log_info("stopping", "signal=%d", signo);
	if (p->stopping) {
		loop_stop(p->loop, 0);
		return;
	}
	p->stopping = true;
	controller_drain(p->controller);
	rpc_server_drain(p->server, DRAIN_MS, on_drained, p);
}

static void on_reload(void *arg, int signo)
{
	struct program *p = arg;
	struct rpc_error error;
	char text[600];

	if (rpc_tls_reload(p->tls, &error) < 0)
		log_error("certificates_not_reloaded", "text=%s",
			log_quote(text, sizeof(text), error.text));
	else
		log_info("certificates_reloaded", "identity=%s", rpc_tls_identity(p->tls));
}

/* A store that can't be trusted any more: begin anew from what it holds. */
static void on_store_timer(void *arg)
{
	struct program *p = arg;

	if (!controller_broken(p->controller))
		return;
	log_error("store_broken", "action=exit");
	loop_stop(p->loop, 1);
}

static int store_open(struct program *p)
{
	char path[4096], error[512], text[600];
	int ret;

	if (mkdir(p->options.state, 0700) < 0 && errno != EEXIST) {
		log_error("state_directory", "path=%s error=\"%s\"", p->options.state,
			strerror(errno));
		return -errno;
	}
	snprintf(path, sizeof(path), "%s/audums.db", p->options.state);
	ret = store_sqlite_open(path, &p->store, error, sizeof(error));
	if (ret < 0)
		log_error("store_not_opened", "text=%s", log_quote(text, sizeof(text), error));
	return ret;
}

static int listen_all(struct program *p)
{
	struct rpc_error error;
	char text[600];
	uint16_t port = 0;
	int ret = 0;

	if (p->options.address[0]) {
		ret = rpc_server_listen_tcp(
			p->server, p->options.address, p->options.port, &port, &error);
		if (!ret)
			log_info("listening", "address=%s port=%u", p->options.address, port);
	}
	if (!ret && p->options.listen_unix) {
		ret = rpc_server_listen_unix(p->server, p->options.listen_unix, 0666, &error);
		if (!ret)
			log_info("listening", "unix=%s", p->options.listen_unix);
	}
	if (ret < 0)
		log_error("not_listening", "text=%s", log_quote(text, sizeof(text), error.text));
	return ret;
}

static int start(struct program *p)
{
	const struct rpc_limits limits = {.message_bytes = REQUEST_BYTES};
	const struct controller_options options = {
		.quarantine_ms = p->options.quarantine_ms,
		.providers = p->options.providers,
		.n_providers = p->options.n_providers,
	};
	struct rpc_error error;
	char text[600];
	int ret;

	ret = schema_init();
	if (ret < 0) {
		log_error("schema", "status=%d", ret);
		return ret;
	}
	ret = rpc_tls_load(&p->tls, p->options.ca, p->options.cert, p->options.key, &error);
	if (ret < 0) {
		log_error("certificates", "text=%s", log_quote(text, sizeof(text), error.text));
		return ret;
	}
	p->loop = loop_new();
	if (!p->loop)
		return -errno;
	ret = store_open(p);
	if (ret < 0)
		return ret;
	ret = controller_new(&p->controller, p->loop, p->store, &options);
	if (ret < 0) {
		log_error("controller_not_started", "status=%d", ret);
		return ret;
	}
	p->store_fd = loop_fd_add(p->loop, store_fd(p->store), LOOP_IN, on_store, p);
	p->store_timer = loop_timer_new(p->loop, on_store_timer, p);
	p->server = rpc_server_new(p->loop, p->tls, &limits);
	if (!p->store_fd || !p->store_timer || !p->server)
		return -ENOMEM;
	loop_timer_arm(p->store_timer, WATCH_STORE_MS, WATCH_STORE_MS);
	ret = controller_serve(p->controller, p->server);
	if (ret < 0)
		return ret;
	if (!loop_signal_add(p->loop, SIGTERM, on_stop, p) ||
		!loop_signal_add(p->loop, SIGINT, on_stop, p) ||
		!loop_signal_add(p->loop, SIGHUP, on_reload, p))
		return -errno;
	return listen_all(p);
}

static void stop(struct program *p)
{
	rpc_server_free(p->server);
	controller_free(p->controller);
	loop_fd_remove(p->store_fd);
	loop_timer_free(p->store_timer);
	store_close(p->store);
	loop_free(p->loop);
	rpc_tls_free(p->tls);
	options_free(&p->options);
}

int main(int argc, char **argv)
{
	struct program p = {0};
	char error[512];
	int ret;

	if (options_parse(&p.options, argc, argv, error, sizeof(error)) < 0) {
		fprintf(stderr, "audumsd: %s\nTry \"audumsd --help\".\n", error);
		options_free(&p.options);
		return 2;
	}
	if (p.options.help || p.options.version) {
		if (p.options.help)
			options_help(stdout);
		else
			printf("audumsd %s\n", AUDUMS_VERSION);
		options_free(&p.options);
		return 0;
	}
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a full disk is an error of write(2) */
	log_setup(p.options.log_level, 2);
	ret = start(&p);
	if (!ret) {
		log_info("ready", "version=%s generation=%" PRIu64, AUDUMS_VERSION,
			intent_generation(p.controller->intent));
		ret = loop_run(p.loop);
	}
	log_info("stopped", "status=%d", ret);
	stop(&p);
	return ret ? 1 : 0;
}
