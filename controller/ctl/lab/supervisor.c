/*
 * The lab's supervisor: one background process that starts the others, each in its namespace, and
 * starts again what dies.
 *
 * It is single-threaded: one poll over a signalfd, a listening socket and its clients. It is a
 * subreaper, so that what its children leave behind becomes its own and is ended. Its children get
 * SIGKILL when it dies. The processes themselves are supervisor_child.c's.
 *
 * Requests, one line each, answered by one line of JSON:
 *     status | kill NAME SIGNAL | stop NAME | start NAME | quit
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "controller/ctl/lab/supervisor.h"
#include "proto/lib/log.h"

#define END_MS 2000 /* for all to end by themselves */

/* ---- requests ----------------------------------------------------------------------------- */

static const char *child_state_name(const struct child *c)
{
	static const char *const names[] = {"waiting", "running", "backoff", "stopped"};

	return names[c->state];
}

static json_t *reply_error(const char *fmt, const char *what)
{
	return json_pack("{s:o}", "error", json_sprintf(fmt, what));
}

static json_t *status_reply(struct supervisor *sup)
{
	json_t *list = json_array();
	uint64_t now = clock_ms();

	for (unsigned int i = 0; i < sup->count; i++) {
		struct child *c = &sup->children[i];

		json_array_append_new(list,
			json_pack("{s:s, s:i, s:s, s:i, s:I, s:s, s:s}", "name", c->service->name,
				"pid", (int)c->pid, "state", child_state_name(c), "restarts",
				(int)c->restarts, "since_ms", (json_int_t)(now - c->since_ms),
				"last_exit", c->last_exit, "ready_path", c->service->ready_path));
	}
	return json_pack("{s:i, s:o}", "pid", (int)getpid(), "processes", list);
}

static json_t *child_stop(struct child *c)
{
	c->state = CHILD_STOPPED;
	c->since_ms = clock_ms();
	c->due_ms = 0;
	if (c->pid) {
		kill(c->pid, SIGTERM);
		c->due_ms = clock_ms() + 2000;
	}
	return json_pack("{s:b}", "ok", 1);
}

static json_t *child_start(struct supervisor *sup, struct child *c)
{
	if (c->pid)
		return reply_error("%s runs already", c->service->name);
	c->backoff_ms = BACKOFF_MIN_MS;
	child_begin(sup, c, clock_ms());
	return json_pack("{s:b}", "ok", 1);
}

static json_t *child_kill(struct child *c, const char *number)
{
	char *end;
	long sig = strtol(number, &end, 10);

	if (end == number || *end || sig < 0 || sig >= NSIG)
		return reply_error("\"%s\" is no signal number", number);
	if (!c->pid)
		return reply_error("%s does not run", c->service->name);
	if (kill(c->pid, (int)sig))
		return reply_error("kill: %s", strerror(errno));
	return json_pack("{s:b, s:i}", "ok", 1, "pid", (int)c->pid);
}

enum supervisor_verb supervisor_parse(char *line, char **name, char **argument)
{
	static const struct {
		const char *word;
		enum supervisor_verb verb;
		int words;
	} verbs[] = {
		{"status", SUPERVISOR_STATUS, 1},
		{"kill", SUPERVISOR_KILL, 3},
		{"stop", SUPERVISOR_STOP, 2},
		{"start", SUPERVISOR_START, 2},
		{"quit", SUPERVISOR_QUIT, 1},
	};
	char *words[4], *save = NULL, *word;
	int n = 0;

	for (word = strtok_r(line, " \r\n", &save); word && n < 4;
		word = strtok_r(NULL, " \r\n", &save))
		words[n++] = word;
	*name = n > 1 ? words[1] : NULL;
	*argument = n > 2 ? words[2] : NULL;
	for (size_t i = 0; n && i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (!strcmp(words[0], verbs[i].word) && n == verbs[i].words)
			return verbs[i].verb;
	return SUPERVISOR_UNKNOWN;
}

static json_t *request_answer(struct supervisor *sup, char *line)
{
	enum supervisor_verb verb;
	struct child *c = NULL;
	char *name, *argument;

	verb = supervisor_parse(line, &name, &argument);
	if (verb == SUPERVISOR_UNKNOWN)
		return reply_error("unknown request%s", "");
	for (unsigned int i = 0; name && i < sup->count; i++)
		if (!strcmp(sup->children[i].service->name, name))
			c = &sup->children[i];
	if (name && !c)
		return reply_error("there is no process \"%s\" in this lab", name);
	switch (verb) {
	case SUPERVISOR_STATUS:
		return status_reply(sup);
	case SUPERVISOR_KILL:
		return child_kill(c, argument);
	case SUPERVISOR_STOP:
		return child_stop(c);
	case SUPERVISOR_START:
		return child_start(sup, c);
	case SUPERVISOR_QUIT:
		sup->quit = true;
		return json_pack("{s:b}", "ok", 1);
	case SUPERVISOR_UNKNOWN:
		break;
	}
	return NULL;
}

static void client_close(struct client *cl)
{
	close(cl->fd);
	cl->fd = -1;
	cl->used = 0;
}

static bool client_answer(struct supervisor *sup, struct client *cl, char *line)
{
	json_t *reply = request_answer(sup, line);
	char *text = reply ? json_dumps(reply, JSON_COMPACT) : NULL;
	bool ok = false;

	json_decref(reply);
	if (text) {
		size_t n = strlen(text);

		/* the socket's buffer takes it whole, or the client is not worth waiting for */
		text[n] = '\n';
		ok = send(cl->fd, text, n + 1, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)(n + 1);
	}
	free(text);
	return ok;
}

static void client_read(struct supervisor *sup, struct client *cl)
{
	ssize_t n =
		recv(cl->fd, cl->line + cl->used, sizeof(cl->line) - 1 - cl->used, MSG_DONTWAIT);
	char *end;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		client_close(cl);
		return;
	}
	cl->used += (size_t)n;
	cl->line[cl->used] = '\0';
	while ((end = memchr(cl->line, '\n', cl->used))) {
		size_t len = (size_t)(end - cl->line) + 1;
		char line[SUPERVISOR_LINE_MAX];

		memcpy(line, cl->line, len);
		line[len - 1] = '\0';
		memmove(cl->line, cl->line + len, cl->used - len);
		cl->used -= len;
		if (!client_answer(sup, cl, line)) {
			client_close(cl);
			return;
		}
	}
	if (cl->used == sizeof(cl->line) - 1)
		client_close(cl);
}

static void client_accept(struct supervisor *sup)
{
	int fd = accept4(sup->listen_fd, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		return;
	for (int i = 0; i < SUPERVISOR_CLIENTS_MAX; i++)
		if (sup->clients[i].fd < 0) {
			sup->clients[i].fd = fd;
			return;
		}
	close(fd); /* more at once than anyone needs */
}

/* ---- main --------------------------------------------------------------------------------- */

static bool children_left(const struct supervisor *sup)
{
	for (unsigned int i = 0; i < sup->count; i++)
		if (sup->children[i].pid)
			return true;
	return false;
}

static void children_signal(struct supervisor *sup, int sig)
{
	for (unsigned int i = 0; i < sup->count; i++) {
		sup->children[i].state = CHILD_STOPPED;
		if (sup->children[i].pid)
			kill(sup->children[i].pid, sig);
	}
}

/* Ask all to end, then make them. */
static void supervisor_end(struct supervisor *sup)
{
	uint64_t deadline = clock_ms() + END_MS;

	children_signal(sup, SIGTERM);
	while (children_left(sup)) {
		struct pollfd pfd = {.fd = sup->signal_fd, .events = POLLIN};
		struct signalfd_siginfo info;
		uint64_t now = clock_ms();

		if (now >= deadline)
			children_signal(sup, SIGKILL);
		if (poll(&pfd, 1, now < deadline ? (int)(deadline - now) : 100) > 0 &&
			read(sup->signal_fd, &info, sizeof(info)) < 0)
			break;
		children_reap(sup);
	}
	orphans_kill(sup);
	while (waitpid(-1, NULL, 0) > 0)
		;
}

static void supervisor_loop(struct supervisor *sup)
{
	struct pollfd pfd[2 + SUPERVISOR_CLIENTS_MAX];

	while (!sup->quit) {
		pfd[0] = (struct pollfd){.fd = sup->signal_fd, .events = POLLIN};
		pfd[1] = (struct pollfd){.fd = sup->listen_fd, .events = POLLIN};
		for (int i = 0; i < SUPERVISOR_CLIENTS_MAX; i++)
			pfd[2 + i] = (struct pollfd){.fd = sup->clients[i].fd, .events = POLLIN};
		if (poll(pfd, 2 + SUPERVISOR_CLIENTS_MAX, children_timeout(sup, clock_ms())) < 0 &&
			errno != EINTR)
			break;
		if (pfd[0].revents) {
			struct signalfd_siginfo info;

			if (read(sup->signal_fd, &info, sizeof(info)) == sizeof(info) &&
				info.ssi_signo != SIGCHLD)
				sup->quit = true;
			children_reap(sup);
		}
		children_due(sup, clock_ms());
		for (int i = 0; i < SUPERVISOR_CLIENTS_MAX; i++)
			if (sup->clients[i].fd >= 0 && pfd[2 + i].revents)
				client_read(sup, &sup->clients[i]);
		if (pfd[1].revents)
			client_accept(sup);
	}
	supervisor_end(sup);
}

static void supervisor_main(
	const struct service_list *list, const char *mark, int listen_fd, const char *log_path)
{
	struct supervisor sup = {.mark = mark, .listen_fd = listen_fd, .count = list->count};
	uint64_t now = clock_ms();
	sigset_t set;
	char netns[LAB_NETNS_LEN];
	int fd;

	prctl(PR_SET_NAME, "audums-lab");
	/* it lives where its lab's controller does: what removes the lab finds it there */
	snprintf(netns, sizeof(netns), "au-%s-ctl", mark);
	if (netns_exists(netns)) {
		fd = lab_netns_enter(netns);
		if (fd < 0)
			_exit(70);
		close(fd);
	}
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	setenv("AUDUMS_LAB", mark, 1);
	if (chdir("/"))
		_exit(70);
	umask(022);
	fd = open(log_path, O_WRONLY | O_CREAT | O_APPEND, 0644);
	if (fd < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0)
		_exit(70);
	fd = open("/dev/null", O_RDONLY);
	if (fd < 0 || dup2(fd, 0) < 0)
		_exit(70);
	/* nothing of the caller's stays open: its pipes would never end */
	if (dup2(listen_fd, 3) < 0)
		_exit(70);
	fcntl(3, F_SETFD, FD_CLOEXEC);
	close_range(4, ~0U, 0);
	sup.listen_fd = 3;
	log_setup(LOG_LEVEL_INFO, 2);

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_SETMASK, &set, NULL);
	sup.signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	sup.children = calloc(list->count ? list->count : 1, sizeof(*sup.children));
	if (sup.signal_fd < 0 || !sup.children)
		_exit(70);
	for (int i = 0; i < SUPERVISOR_CLIENTS_MAX; i++)
		sup.clients[i].fd = -1;
	for (unsigned int i = 0; i < list->count; i++) {
		sup.children[i].service = &list->items[i];
		sup.children[i].backoff_ms = BACKOFF_MIN_MS;
		child_begin(&sup, &sup.children[i], now);
	}
	sup.log_check_ms = now + LOG_CHECK_MS;
	log_info("supervisor_started", "lab=%s services=%u", mark, list->count);
	supervisor_loop(&sup);
	log_info("supervisor_ended", "lab=%s", mark);
	_exit(0);
}

int supervisor_start(const struct service_list *list, const char *mark, const char *socket_path,
	const char *log_path, struct lab_err *err)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd, ret = 0, status;
	pid_t pid;

	if (snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", socket_path) >=
		(int)sizeof(sa.sun_path))
		return lab_fail(err, -ENAMETOOLONG, "%s is too long for a socket", socket_path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return lab_fail(err, -errno, "cannot make a socket: %s", strerror(errno));
	unlink(socket_path);
	/* made here, so that it can be asked as soon as this returns */
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) || chmod(socket_path, 0600) ||
		listen(fd, SUPERVISOR_CLIENTS_MAX)) {
		ret = lab_fail(
			err, -errno, "cannot listen on %s: %s", socket_path, strerror(errno));
		goto out;
	}
	/* twice, so that it is nobody's child; in a session of its own, so that no terminal ends it
	 */
	pid = fork();
	if (!pid) {
		setsid();
		pid = fork();
		if (!pid)
			supervisor_main(list, mark, fd, log_path);
		_exit(pid < 0 ? 70 : 0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0 || status)
		ret = lab_fail(err, -EAGAIN, "cannot start the supervisor: %s", strerror(errno));
out:
	close(fd);
	return ret;
}
