/*
 * The program itself, as a process: its command line, what it says when it can't start, ready,
 * SIGHUP, SIGTERM, kill -9 and what is there afterwards.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "controller/audumsd/options.h"
#include "tests/unit/audumsd/fixture.h"

#define OPERATOR "audums://client/operator/*/ops"

/* ---- the command line --------------------------------------------------------------------- */

static int parse(struct options *o, char *error, size_t size, const char *line)
{
	static char copy[512];
	static char *argv[32];
	int argc = 0;
	char *save;

	snprintf(copy, sizeof(copy), "audumsd %s", line);
	for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save))
		argv[argc++] = word;
	argv[argc] = NULL;
	error[0] = '\0';
	return options_parse(o, argc, argv, error, size);
}

static void test_options(void **state)
{
	static const struct {
		const char *line, *says;
	} bad[] = {
		{"", "--ca, --cert and --key are needed"},
		{"--ca a --cert b", "--ca, --cert and --key are needed"},
		{"--ca a --cert b --key c more", "unexpected argument more"},
		{"--nothing", "unknown option --nothing"},
		{"--ca", "--ca needs a value"},
		{"--ca a --cert b --key c --listen 7443", "expected ADDR:PORT"},
		{"--ca a --cert b --key c --listen 1.2.3.4:70000", "expected ADDR:PORT"},
		{"--ca a --cert b --key c --listen 1.2.3.4:", "expected ADDR:PORT"},
		{"--ca a --cert b --key c --listen none", "needs --listen-unix"},
		{"--ca a --cert b --key c --providers a,,b", "expected names"},
		{"--ca a --cert b --key c --providers A", "expected names"},
		{"--ca a --cert b --key c --quarantine -1", "expected seconds"},
		{"--ca a --cert b --key c --quarantine 1h", "expected seconds"},
		{"--ca a --cert b --key c --log-level loud", "expected error, warn"},
	};
	struct options o;
	char error[512];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(parse(&o, error, sizeof(error), bad[i].line), -EINVAL);
		if (!strstr(error, bad[i].says))
			fail_msg("\"%s\": %s", bad[i].line, error);
		options_free(&o);
	}
	assert_int_equal(parse(&o, error, sizeof(error), "--ca a --cert b --key c"), 0);
	assert_string_equal(o.address, "0.0.0.0");
	assert_int_equal(o.port, 7443);
	assert_string_equal(o.state, "/var/lib/audums");
	assert_int_equal(o.quarantine_ms, 60000);
	assert_int_equal(o.n_providers, 0);
	options_free(&o);
	assert_int_equal(parse(&o, error, sizeof(error),
				 "--ca a --cert b --key c --listen [::1]:0 --providers lvrtc,lnb "
				 "--quarantine 0 --log-level debug --state /x --listen-unix /y"),
		0);
	assert_string_equal(o.address, "::1");
	assert_int_equal(o.port, 0);
	assert_int_equal(o.n_providers, 2);
	assert_string_equal(o.providers[1], "lnb");
	assert_int_equal(o.quarantine_ms, 0);
	assert_string_equal(o.listen_unix, "/y");
	options_free(&o);
	assert_int_equal(parse(&o, error, sizeof(error), "--help"), 0);
	assert_true(o.help);
	options_free(&o);
}

/* ---- the process -------------------------------------------------------------------------- */

struct program {
	pid_t pid;
	int log;
	char text[65536];
	size_t len;
};

/* Start audumsd in the fixture's directory, on the fixture's socket. */
static void program_start(struct fixture *f, struct program *p)
{
	char db[96], ca[96], cert[96], key[96];
	int fds[2];

	snprintf(db, sizeof(db), "%s", f->dir);
	snprintf(ca, sizeof(ca), "%s/ca.pem", f->dir);
	snprintf(cert, sizeof(cert), "%s/server.pem", f->dir);
	snprintf(key, sizeof(key), "%s/server.key", f->dir);
	*p = (struct program){0};
	assert_int_equal(pipe(fds), 0);
	p->pid = fork();
	assert_true(p->pid >= 0);
	if (!p->pid) {
		dup2(fds[1], 2);
		close(fds[0]);
		close(fds[1]);
		execl(AUDUMSD, AUDUMSD, "--ca", ca, "--cert", cert, "--key", key, "--state", db,
			"--listen", "127.0.0.1:0", "--listen-unix", f->socket, (char *)NULL);
		_exit(127);
	}
	close(fds[1]);
	p->log = fds[0];
}

/* Read its log until it says `what`; fails at the deadline or the log's end. */
static void program_says(struct program *p, const char *what)
{
	uint64_t end = loop_now_ms() + DEADLINE_MS;

	while (!strstr(p->text, what)) {
		struct pollfd poller = {.fd = p->log, .events = POLLIN};
		ssize_t n;

		if (loop_now_ms() > end || p->len + 1 == sizeof(p->text))
			fail_msg("it doesn't say \"%s\":\n%s", what, p->text);
		if (poll(&poller, 1, 100) <= 0)
			continue;
		n = read(p->log, p->text + p->len, sizeof(p->text) - 1 - p->len);
		if (n <= 0)
			fail_msg("it ended without \"%s\":\n%s", what, p->text);
		p->len += (size_t)n;
		p->text[p->len] = '\0';
	}
}

static int program_wait(struct program *p)
{
	int status;

	assert_int_equal(waitpid(p->pid, &status, 0), p->pid);
	close(p->log);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void certificate_write(struct fixture *f, const char *uri)
{
	static const char *const names[] = {"localhost"};
	const struct rpc_cert_request request = {
		.common_name = "test", .uri = uri, .names = names, .name_count = 1, .days = 1};
	char cert[96], key[96];
	struct rpc_error error;

	snprintf(cert, sizeof(cert), "%s/server.pem", f->dir);
	snprintf(key, sizeof(key), "%s/server.key", f->dir);
	assert_int_equal(rpc_ca_issue(f->ca, &request, cert, key, &error), 0);
}

static void test_program(void **state)
{
	struct fixture f = {.external = true};
	struct program p, second;
	struct rpc_client *ops;
	Audums__V1__ApplyResponse *response;
	char file[96];

	fixture_start(&f);
	/* no certificate */
	program_start(&f, &p);
	program_says(&p, "error certificates text=");
	assert_int_equal(program_wait(&p), 1);

	certificate_write(&f, "audums://controller/one");
	program_start(&f, &p);
	program_says(&p, " ready version=");
	ops = fixture_client(&f, OPERATOR);
	assert_int_equal(call_apply(ops, "latvia.yaml", NULL), RPC_OK);
	/* a second one on the same state */
	program_start(&f, &second);
	program_says(&second, "in use by another process");
	assert_int_equal(program_wait(&second), 1);

	/* new certificates: for new connections, the old ones go on */
	certificate_write(&f, "audums://controller/two");
	kill(p.pid, SIGHUP);
	program_says(&p, "certificates_reloaded identity=audums://controller/two");
	assert_int_equal(call_apply(ops, "demo-tenant.yaml", NULL), RPC_OK);
	rpc_client_free(ops);
	ops = fixture_client(&f, OPERATOR);
	assert_string_equal(rpc_client_peer(ops), "audums://controller/two");
	/* bad ones: refused, the old ones stay */
	snprintf(file, sizeof(file), "%s/server.pem", f.dir);
	assert_int_equal(truncate(file, 10), 0);
	kill(p.pid, SIGHUP);
	program_says(&p, "certificates_not_reloaded");
	rpc_client_free(ops);
	ops = fixture_client(&f, OPERATOR);
	assert_int_equal(call_apply(ops, "latvia.yaml", NULL), RPC_OK);
	rpc_client_free(ops);

	/* killed, and everything is there again */
	certificate_write(&f, "audums://controller/one");
	kill(p.pid, SIGKILL);
	assert_int_equal(program_wait(&p), -SIGKILL);
	program_start(&f, &p);
	program_says(&p, " ready version=");
	ops = fixture_client(&f, OPERATOR);
	assert_int_equal(call_apply(ops, "demo-tenant.yaml", &response), RPC_OK);
	assert_string_equal(response->operation, "");
	assert_int_equal(response->generation, 2);
	audums__v1__apply_response__free_unpacked(response, NULL);

	/* asked to end, it ends */
	kill(p.pid, SIGTERM);
	program_says(&p, "stopping signal=15");
	rpc_client_free(ops);
	program_says(&p, "stopped status=0");
	assert_int_equal(program_wait(&p), 0);
	fixture_stop(&f);
}

/* With an agent's session and a watch open it ends in time, too. */
static bool agent_over(void *arg)
{
	return ((struct agent *)arg)->is_over;
}

static bool agent_told(void *arg)
{
	return ((struct agent *)arg)->n_desired;
}

static void test_drain(void **state)
{
	struct fixture f = {.external = true};
	struct rpc_client *ops;
	struct program p;
	struct agent *a;
	uint64_t begin;

	fixture_start(&f);
	certificate_write(&f, "audums://controller/one");
	program_start(&f, &p);
	program_says(&p, " ready version=");
	ops = fixture_client(&f, OPERATOR);
	assert_int_equal(call_apply(ops, "latvia.yaml", NULL), RPC_OK);
	a = agent_start(&f, "ic1", NULL);
	agent_hello(a, "ic1");
	fixture_wait(&f, agent_told, a);
	begin = loop_now_ms();
	kill(p.pid, SIGTERM);
	fixture_wait(&f, agent_over, a);
	assert_int_equal(a->ended, RPC_UNAVAILABLE);
	assert_non_null(strstr(a->ended_text, "stopping"));
	assert_int_equal(program_wait(&p), 0);
	assert_true(loop_now_ms() - begin < 5000);
	agent_stop(a);
	rpc_client_free(ops);
	fixture_stop(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_program),
		cmocka_unit_test(test_drain),
	};

	return cmocka_run_group_tests_name("program", tests, NULL, NULL);
}
