/*
 * The supervisor's processes: starting them in their namespaces, starting again what dies, bounding
 * their logs.
 *
 * Invariant: a service has a process if and only if its pid is not 0.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "controller/ctl/lab/supervisor.h"
#include "proto/lib/log.h"

#define BACKOFF_MAX_MS   2000
#define BACKOFF_RESET_MS 10000 /* a process that lived so long was well */
#define WAIT_PATH_MS     5000
#define WAIT_POLL_MS     20
#define LOG_MAX          (16 << 20)

/* ---- starting ----------------------------------------------------------------------------- */

/* In the child, between fork and exec. Only returns to say what failed. */
static const char *child_enter(const struct supervisor *sup, const struct service *s)
{
	sigset_t none;
	int fd;

	setsid();
	if (prctl(PR_SET_PDEATHSIG, SIGKILL))
		return "pdeathsig";
	fd = open(s->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	if (fd < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0)
		return "log";
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || dup2(fd, 0) < 0)
		return "null";
	if (*s->netns) {
		fd = netns_open(s->netns);
		if (fd < 0 || setns(fd, CLONE_NEWNET))
			return "namespace";
	}
	close_range(3, ~0U, 0);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	for (int i = 1; i < NSIG; i++)
		signal(i, SIG_DFL);
	setenv("AUDUMS_LAB", sup->mark, 1);
	execv(s->program, s->argv);
	return "exec";
}

static void child_exec(const struct supervisor *sup, const struct service *s, pid_t parent)
{
	const char *what;

	if (getppid() != parent)
		_exit(70);
	what = child_enter(sup, s);
	log_error("service_not_started", "service=%s step=%s error=\"%s\"", s->name, what,
		strerror(errno));
	_exit(71);
}

static void child_backoff(struct child *c, uint64_t now)
{
	c->state = CHILD_BACKOFF;
	c->since_ms = now;
	c->due_ms = now + c->backoff_ms;
	c->backoff_ms = c->backoff_ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : c->backoff_ms * 2;
}

static void child_spawn(struct supervisor *sup, struct child *c, uint64_t now)
{
	pid_t self = getpid(), pid = fork();

	if (!pid)
		child_exec(sup, c->service, self);
	if (pid < 0) {
		log_error("fork_failed", "service=%s error=\"%s\"", c->service->name,
			strerror(errno));
		child_backoff(c, now);
		return;
	}
	c->pid = pid;
	c->state = CHILD_RUNNING;
	c->since_ms = now;
	c->due_ms = 0;
	log_info("service_started", "service=%s pid=%d restarts=%u", c->service->name, (int)pid,
		c->restarts);
}

void child_begin(struct supervisor *sup, struct child *c, uint64_t now)
{
	if (*c->service->wait_path && access(c->service->wait_path, F_OK)) {
		c->state = CHILD_WAITING;
		c->since_ms = now;
		c->due_ms = now + WAIT_POLL_MS;
		return;
	}
	child_spawn(sup, c, now);
}

/* ---- ending ------------------------------------------------------------------------------- */

static struct child *child_by_pid(struct supervisor *sup, pid_t pid)
{
	for (unsigned int i = 0; i < sup->count; i++)
		if (sup->children[i].pid == pid)
			return &sup->children[i];
	return NULL;
}

/*
 * What a dead service leaves behind (a forwarding process whose holder was killed) became ours; it
 * would be in the way of the next one.
 */
void orphans_kill(struct supervisor *sup)
{
	char path[64], *text, *p, *end;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	text = file_read(path, 65536);
	if (!text)
		return;
	for (p = text;; p = end) {
		pid_t pid = (pid_t)strtol(p, &end, 10);

		if (end == p)
			break;
		if (child_by_pid(sup, pid))
			continue;
		log_warn("orphan_killed", "pid=%d", (int)pid);
		kill(pid, SIGKILL);
	}
	free(text);
}

static void child_exited(struct supervisor *sup, struct child *c, int status, uint64_t now)
{
	if (WIFSIGNALED(status))
		snprintf(c->last_exit, sizeof(c->last_exit), "signal %d", WTERMSIG(status));
	else
		snprintf(c->last_exit, sizeof(c->last_exit), "status %d", WEXITSTATUS(status));
	log_warn("service_ended", "service=%s pid=%d after_ms=%llu %s", c->service->name,
		(int)c->pid, (unsigned long long)(now - c->since_ms), c->last_exit);
	c->pid = 0;
	if (c->state == CHILD_STOPPED || sup->quit) {
		c->state = CHILD_STOPPED;
		c->since_ms = now;
		c->due_ms = 0;
		return;
	}
	if (now - c->since_ms >= BACKOFF_RESET_MS)
		c->backoff_ms = BACKOFF_MIN_MS;
	c->restarts++;
	child_backoff(c, now);
}

void children_reap(struct supervisor *sup)
{
	bool any = false;
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		struct child *c = child_by_pid(sup, pid);

		if (c) {
			child_exited(sup, c, status, clock_ms());
			any = true;
		}
	}
	if (any)
		orphans_kill(sup);
}

/* ---- time --------------------------------------------------------------------------------- */

/* Log files are bounded: one that is too long begins anew. */
static void logs_check(struct supervisor *sup)
{
	for (unsigned int i = 0; i < sup->count; i++) {
		const char *path = sup->children[i].service->log;
		struct stat st;

		if (!stat(path, &st) && st.st_size > LOG_MAX && !truncate(path, 0))
			log_warn("log_cut", "file=%s bytes=%lld", path, (long long)st.st_size);
	}
}

void children_due(struct supervisor *sup, uint64_t now)
{
	for (unsigned int i = 0; i < sup->count; i++) {
		struct child *c = &sup->children[i];

		if (!c->due_ms || c->due_ms > now)
			continue;
		switch (c->state) {
		case CHILD_WAITING:
			if (access(c->service->wait_path, F_OK) && now - c->since_ms < WAIT_PATH_MS)
				c->due_ms = now + WAIT_POLL_MS;
			else
				child_spawn(sup, c, now);
			break;
		case CHILD_BACKOFF:
			child_begin(sup, c, now);
			break;
		case CHILD_STOPPED: /* asked to end, and did not */
			if (c->pid)
				kill(c->pid, SIGKILL);
			c->due_ms = 0;
			break;
		case CHILD_RUNNING:
			c->due_ms = 0;
			break;
		}
	}
	if (now >= sup->log_check_ms) {
		sup->log_check_ms = now + LOG_CHECK_MS;
		logs_check(sup);
	}
}

int children_timeout(const struct supervisor *sup, uint64_t now)
{
	uint64_t next = sup->log_check_ms;

	for (unsigned int i = 0; i < sup->count; i++)
		if (sup->children[i].due_ms && sup->children[i].due_ms < next)
			next = sup->children[i].due_ms;
	return next > now ? (int)(next - now) : 0;
}
