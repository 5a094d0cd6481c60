/*
 * Asks the lab's supervisor, and adds what only /proc knows: memory, CPU time, and the forwarding
 * process, which is the port holder's child and not the supervisor's.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>
#include <signal.h>

#include "controller/ctl/lab/internal.h"

#define REPLY_MAX (1 << 20)

static char *reply_read(int fd)
{
	size_t used = 0, size = 4096;
	char *text = malloc(size), *grown;

	while (text) {
		ssize_t n;

		if (used + 1 >= size) {
			grown = size < REPLY_MAX ? realloc(text, size * 2) : NULL;
			if (!grown)
				break;
			text = grown;
			size *= 2;
		}
		n = recv(fd, text + used, size - used - 1, 0);
		if (n <= 0)
			break;
		used += (size_t)n;
		if (text[used - 1] == '\n') {
			text[used] = '\0';
			return text;
		}
	}
	free(text);
	return NULL;
}

int supervisor_ask(
	const char *socket_path, const char *request, json_t **reply, struct lab_err *err)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	/* starting 61 processes keeps it busy; one that has died closes the connection at once */
	struct timeval limit = {.tv_sec = 60};
	const char *error;
	char *text = NULL;
	int fd, ret = 0;

	*reply = NULL;
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", socket_path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return lab_fail(err, -errno, "cannot make a socket: %s", strerror(errno));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa))) {
		ret = lab_fail(err, -errno,
			"the lab's supervisor does not answer at %s: %s (audumsctl lab down and "
			"lab up start the lab anew)",
			socket_path, strerror(errno));
		goto out;
	}
	if (send(fd, request, strlen(request), MSG_NOSIGNAL) < 0 ||
		send(fd, "\n", 1, MSG_NOSIGNAL) < 0) {
		ret = lab_fail(err, -errno, "the lab's supervisor went away: %s", strerror(errno));
		goto out;
	}
	text = reply_read(fd);
	*reply = text ? json_loads(text, 0, NULL) : NULL;
	if (!*reply) {
		ret = lab_fail(err, -EPROTO, "the lab's supervisor gave no answer");
		goto out;
	}
	error = json_string_value(json_object_get(*reply, "error"));
	if (error) {
		ret = lab_fail(err, -EINVAL, "%s", error);
		json_decref(*reply);
		*reply = NULL;
	}
out:
	free(text);
	close(fd);
	return ret;
}

static int lab_ask(const char *lab, json_t **reply, struct lab_err *err, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
static int lab_ask(const char *lab, json_t **reply, struct lab_err *err, const char *fmt, ...)
{
	char path[LAB_PATH_LEN], request[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(request, sizeof(request), fmt, ap);
	va_end(ap);
	lab_run_path(lab, "supervisor.sock", path);
	if (access(path, F_OK))
		return lab_fail(err, -ENOENT,
			"lab %s is not up (audumsctl lab up TOPOLOGY brings one up)", lab);
	return supervisor_ask(path, request, reply, err);
}

/* Memory and CPU time of a process; zeros when it is gone. */
static void process_usage(struct lab_process *p)
{
	char path[64], *text, *s;
	unsigned long utime = 0, stime = 0;
	unsigned long long start = 0;
	long pages = 0, tick = sysconf(_SC_CLK_TCK);

	if (!p->pid)
		return;
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)p->pid);
	text = file_read(path, 4096);
	s = text ? strrchr(text, ')') : NULL;
	if (s && sscanf(s + 1,
			 " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %*d %*d %*d %*d "
			 "%*d %*d %llu %*u %ld",
			 &utime, &stime, &start, &pages) == 4) {
		p->rss_kb = (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE) / 1024;
		p->cpu_ms = (uint64_t)(utime + stime) * 1000 / (uint64_t)tick;
	}
	free(text);
}

/* The forwarding process of a node is a child of its port holder, and starts again by itself. */
static void dataplane_fill(struct lab_process *p, const struct lab_process *holder)
{
	char path[64], node[sizeof(p->name)], *text, *s, *end;
	uint64_t start = 0;

	memcpy(node, holder->name, sizeof(node));
	node[strcspn(node, "/")] = '\0';
	snprintf(p->name, sizeof(p->name), "%.40s/dataplane", node);
	strcpy(p->state, holder->pid ? "backoff" : "stopped");
	if (!holder->pid)
		return;
	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)holder->pid,
		(int)holder->pid);
	text = file_read(path, 4096);
	for (s = text; s; s = end) {
		pid_t pid = (pid_t)strtol(s, &end, 10);
		char comm[64], *name;

		if (end == s)
			break;
		snprintf(comm, sizeof(comm), "/proc/%d/comm", (int)pid);
		name = file_read(comm, 63);
		if (name && !strncmp(name, "audums-dataplan", 15))
			p->pid = pid;
		free(name);
	}
	free(text);
	if (!p->pid)
		return;
	strcpy(p->state, "running");
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)p->pid);
	text = file_read(path, 4096);
	s = text ? strrchr(text, ')') : NULL;
	for (int i = 0; s && i < 20; i++)
		s = strchr(s + 1, ' ');
	if (s)
		start = strtoull(s, NULL, 10) * 1000 / (uint64_t)sysconf(_SC_CLK_TCK);
	free(text);
	if (start && clock_ms() > start)
		p->uptime_ms = clock_ms() - start;
}

int lab_processes(
	const char *lab, struct lab_process **list, unsigned int *count, struct lab_err *err)
{
	json_t *reply, *array, *item;
	struct lab_process *out;
	unsigned int n = 0;
	size_t i;
	int ret;

	*list = NULL;
	*count = 0;
	ret = lab_ask(lab, &reply, err, "status");
	if (ret)
		return ret;
	array = json_object_get(reply, "processes");
	/* twice as many as the supervisor has: a holder brings a forwarding process */
	out = calloc(2 * json_array_size(array) + 1, sizeof(*out));
	if (!out) {
		json_decref(reply);
		return lab_fail(err, -ENOMEM, "out of memory");
	}
	json_array_foreach (array, i, item) {
		struct lab_process *p = &out[n++];
		const char *name = json_string_value(json_object_get(item, "name"));
		const char *state = json_string_value(json_object_get(item, "state"));
		const char *last = json_string_value(json_object_get(item, "last_exit"));

		snprintf(p->name, sizeof(p->name), "%s", name ? name : "?");
		snprintf(p->state, sizeof(p->state), "%s", state ? state : "?");
		snprintf(p->last_exit, sizeof(p->last_exit), "%s", last ? last : "");
		p->pid = (pid_t)json_integer_value(json_object_get(item, "pid"));
		p->restarts = (unsigned int)json_integer_value(json_object_get(item, "restarts"));
		if (p->pid)
			p->uptime_ms =
				(uint64_t)json_integer_value(json_object_get(item, "since_ms"));
		process_usage(p);
		if (name && strlen(name) > 7 && !strcmp(name + strlen(name) - 7, "/holder")) {
			dataplane_fill(&out[n], p);
			process_usage(&out[n++]);
		}
	}
	json_decref(reply);
	*list = out;
	*count = n;
	return 0;
}

static int process_find(
	const char *lab, const char *name, struct lab_process *out, struct lab_err *err)
{
	struct lab_process *list;
	unsigned int count;
	int ret = lab_processes(lab, &list, &count, err);

	if (ret)
		return ret;
	ret = -ENOENT;
	for (unsigned int i = 0; i < count; i++)
		if (!strcmp(list[i].name, name)) {
			*out = list[i];
			ret = 0;
		}
	free(list);
	return ret ? lab_fail(err, ret,
			     "there is no process \"%s\" in lab %s (audumsctl lab status lists "
			     "them)",
			     name, lab)
		   : 0;
}

static bool is_dataplane(const char *name)
{
	const char *slash = strchr(name, '/');

	return slash && !strcmp(slash, "/dataplane");
}

int lab_process_kill(const char *lab, const char *process, int sig, struct lab_err *err)
{
	struct lab_process p;
	json_t *reply;
	int ret;

	if (!is_dataplane(process)) {
		ret = lab_ask(lab, &reply, err, "kill %s %d", process, sig);
		json_decref(reply);
		return ret;
	}
	ret = process_find(lab, process, &p, err);
	if (ret)
		return ret;
	if (!p.pid)
		return lab_fail(err, -ESRCH, "%s does not run", process);
	if (kill(p.pid, sig))
		return lab_fail(err, -errno, "cannot signal %s: %s", process, strerror(errno));
	return 0;
}

int lab_process_stop(const char *lab, const char *process, struct lab_err *err)
{
	const uint64_t deadline = clock_ms() + 10000;
	struct lab_process p;
	json_t *reply;
	int ret;

	if (is_dataplane(process))
		return lab_fail(err, -EINVAL,
			"%s is started by its port holder: stop that one (%.*s/holder)", process,
			(int)strcspn(process, "/"), process);
	ret = lab_ask(lab, &reply, err, "stop %s", process);
	json_decref(reply);
	/* The supervisor is patient for two seconds, then kills. */
	while (ret == 0) {
		ret = process_find(lab, process, &p, err);
		if (ret || p.pid == 0)
			break;
		if (clock_ms() >= deadline)
			ret = lab_fail(err, -ETIMEDOUT, "%s does not end", process);
		poll(NULL, 0, 10);
	}
	return ret;
}

int lab_process_start(const char *lab, const char *process, struct lab_err *err)
{
	json_t *reply;
	int ret = lab_ask(lab, &reply, err, "start %s", process);

	json_decref(reply);
	return ret;
}

int lab_process_wait(const char *lab, const char *process, pid_t old, unsigned int timeout_ms,
	struct lab_err *err)
{
	uint64_t deadline = clock_ms() + timeout_ms;
	struct lab_process p;
	int ret;

	for (;;) {
		ret = process_find(lab, process, &p, err);
		if (ret)
			return ret;
		if (p.pid && p.pid != old && !strcmp(p.state, "running"))
			return 0;
		if (clock_ms() >= deadline)
			return lab_fail(err, -ETIMEDOUT,
				"%s did not start within %u ms (it is in state %s, last end: %s)",
				process, timeout_ms, p.state, *p.last_exit ? p.last_exit : "none");
		poll(NULL, 0, 10);
	}
}
