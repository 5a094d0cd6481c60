/*
 * The forwarding process: started without privilege, given its descriptors, watched, started again.
 *
 * Invariant: the pump runs exactly while the state is not CHILD_RUNNING (and the holder not
 * stopping). At most one forwarding process lives: the next starts after the last was reaped.
 */
#include "dataplane/holder/holder.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/close_range.h>

#define HANDOVER_FD      3
#define READY_MS         30000 /* EAL, tables and the kernel's dump at the latest by then */
#define TERM_MS          3000
#define EXIT_MS          500  /* from a closed socket to the end of the process */
#define PING_MS          1000 /* between two questions whether it lives */
#define UNANSWERED_MAX   5    /* so many in a row unanswered: it hangs */
#define GRACE            3    /* deaths in a row without a pause, before it was ever ready */
#define BACKOFF_FIRST_MS 50
#define BACKOFF_MAX_MS   1000

/* Find the user; the default one may be missing, a named one may not. */
int child_prepare(struct holder *h)
{
	const char *name = h->options.user != NULL ? h->options.user : "audums";
	const struct passwd *pw = getpwnam(name);

	if (pw == NULL && h->options.user == NULL) {
		name = "nobody";
		pw = getpwnam(name);
	}
	if (pw == NULL) {
		log_error("no_user", "user=%s", name);
		return -ENOENT;
	}
	h->child.uid = pw->pw_uid;
	h->child.gid = pw->pw_gid;
	h->child.fd = -1;
	h->child.netlink.event_fd = h->child.netlink.dump_fd = -1;
	log_info("forwarding_user", "user=%s uid=%u", name, (unsigned int)pw->pw_uid);
	/* an absolute path, as the child changes its directory */
	if (realpath(h->options.dataplane, h->dataplane_path) == NULL ||
		access(h->dataplane_path, X_OK) < 0) {
		log_error("no_dataplane", "path=%s error=\"%s\"", h->options.dataplane,
			strerror(errno));
		return -ENOENT;
	}
	if (realpath(h->options.run, h->run_path) == NULL) {
		log_error("no_run_directory", "path=%s error=\"%s\"", h->options.run,
			strerror(errno));
		return -ENOENT;
	}
	return 0;
}

/* In the child: drop everything. Returns 0, or -1 with errno. */
static int privileges_drop(const struct child *child)
{
	const cap_t none = cap_init();
	int cap;

	if (none == NULL)
		return -1;
	for (cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++) {
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
			return -1;
	}
	(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (setgroups(0, NULL) < 0 || setresgid(child->gid, child->gid, child->gid) < 0 ||
		setresuid(child->uid, child->uid, child->uid) < 0 || cap_set_proc(none) < 0 ||
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -1;
	cap_free(none);
	return 0;
}

/* In the child, after fork. Only returns when something failed. */
static void child_exec(const struct holder *h, int fd, pid_t parent)
{
	const struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
	char number[16];
	char *argv[] = {
		(char *)h->dataplane_path,
		(char *)"--handover-fd",
		number,
		(char *)"--run",
		(char *)h->run_path,
		(char *)"--log-level",
		(char *)h->options.log_level,
		NULL,
	};
	sigset_t empty;
	const int null = open("/dev/null", O_RDWR);

	snprintf(number, sizeof(number), "%d", HANDOVER_FD);
	sigemptyset(&empty);
	sigprocmask(SIG_SETMASK, &empty, NULL);
	(void)setrlimit(RLIMIT_MEMLOCK, &unlimited); /* pages stay in place, if we may */
	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || chdir("/") < 0)
		return;
	if (fd == HANDOVER_FD ? fcntl(fd, F_SETFD, 0) < 0 : dup2(fd, HANDOVER_FD) < 0)
		return;
	/* ours are close-on-exec; those that whoever started us left open are not */
	if (close_range(HANDOVER_FD + 1, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
		return;
	if (privileges_drop(&h->child) < 0)
		return;
	/* after the change of user, which clears it; the parent may be gone already */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		return;
	execv(argv[0], argv);
}

static void child_socket_close(struct child *child)
{
	if (child->fd >= 0)
		close(child->fd);
	child->fd = -1;
	kernel_mirror_close(&child->netlink);
}

static void child_start(struct holder *h)
{
	struct child *child = &h->child;
	const pid_t parent = getpid();
	int pair[2];
	int rc;

	child->start_at = holder_now() + BACKOFF_MAX_MS; /* if this fails */
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		log_error("forwarding_start_failed", "error=\"%s\"", strerror(errno));
		return;
	}
	child->fd = pair[0];
	rc = fcntl(pair[0], F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
	if (rc == 0)
		rc = kernel_mirror_open(&child->netlink);
	if (rc == 0)
		rc = holder_watch(h, pair[0], SOURCE_CHILD, 0);
	if (rc == 0) {
		child->pid = fork();
		rc = child->pid < 0 ? -errno : 0;
	}
	if (rc < 0) {
		log_error("forwarding_start_failed", "error=\"%s\"", strerror(-rc));
		close(pair[1]);
		child_socket_close(child);
		return;
	}
	if (child->pid == 0) {
		child_exec(h, pair[1], parent);
		log_error("forwarding_exec_failed", "path=%s error=\"%s\"", h->options.dataplane,
			strerror(errno));
		_exit(127);
	}
	close(pair[1]);
	child->state = CHILD_STARTING;
	child->next = 0;
	child->list_sent = false;
	child->started_ms = holder_now();
	child->ready_ms = 0;
	child->deadline = child->started_ms + READY_MS;
	log_info("forwarding_started", "pid=%d restarts=%lu", (int)child->pid,
		(unsigned long)child->restarts);
	child_event(h, 0);
}

/* The n-th message of the list: hello, ports, netlink, api, start. */
static int list_send(struct holder *h, unsigned int n)
{
	struct handover_msg msg = {0};

	if (n == 0) {
		msg.type = HANDOVER_HELLO;
		msg.version = HANDOVER_VERSION;
	} else if (n <= h->n_ports) {
		/* it starts again when the wire is back, or the TAP could be made */
		if (h->ports[n - 1].wire_gone || h->ports[n - 1].spec.tap_fd < 0)
			return 0;
		msg.type = HANDOVER_PORT;
		msg.port = h->ports[n - 1].spec;
	} else if (n == h->n_ports + 1) {
		msg.type = HANDOVER_NETLINK;
		msg.netlink = h->child.netlink;
	} else if (n == h->n_ports + 2) {
		msg.type = HANDOVER_API;
		msg.api_fd = h->api_fd;
	} else {
		msg.type = HANDOVER_START;
	}
	return handover_send(h->child.fd, &msg);
}

/* Send as much of the list as the socket takes. */
static int list_continue(struct holder *h)
{
	struct child *child = &h->child;
	struct epoll_event event = {.data.u64 = (uint64_t)SOURCE_CHILD << 32};
	const bool before = child->list_sent;

	while (!child->list_sent) {
		const int rc = list_send(h, child->next);

		if (rc == -EAGAIN)
			break;
		if (rc < 0)
			return rc;
		child->list_sent = child->next == h->n_ports + 3;
		child->next++;
	}
	if (child->list_sent && !before)
		kernel_mirror_close(&child->netlink); /* it has its own now */
	event.events = child->list_sent ? EPOLLIN : EPOLLIN | EPOLLOUT;
	return epoll_ctl(h->epoll_fd, EPOLL_CTL_MOD, child->fd, &event) < 0 ? -errno : 0;
}

static void child_ready(struct holder *h)
{
	const struct handover_msg go = {.type = HANDOVER_GO};
	struct child *child = &h->child;

	pump_stop(h);
	child->state = CHILD_RUNNING;
	child->ready_ms = holder_now();
	child->ping_at = child->ready_ms + PING_MS;
	child->unanswered = 0;
	log_info("forwarding_ready", "pid=%d ms=%ld", (int)child->pid,
		(long)(child->ready_ms - child->started_ms));
	if (handover_send(child->fd, &go) < 0)
		child_stop(h, "go_not_sent");
}

/* It is of no use any more: end it for good, and take over at once. */
static void child_kill(struct holder *h, const char *why)
{
	struct child *child = &h->child;

	log_warn("forwarding_killed", "pid=%d reason=%s", (int)child->pid, why);
	kill(child->pid, SIGKILL);
	child_socket_close(child);
	child->state = CHILD_DYING;
	child->deadline = INT64_MAX;
	pump_start(h);
}

void child_event(struct holder *h, uint32_t events)
{
	struct child *child = &h->child;
	unsigned int budget = 64; /* the loop has others to serve, too */
	int rc;

	if (child->fd < 0)
		return;
	rc = child->list_sent ? 0 : list_continue(h);
	while (rc == 0 && budget-- > 0 && child->fd >= 0) {
		struct handover_msg msg;

		rc = handover_recv(child->fd, &msg);
		if (rc < 0)
			break;
		if (msg.type == HANDOVER_READY) {
			if (child->state == CHILD_STARTING && child->list_sent)
				child_ready(h);
			else if (child->state != CHILD_DYING)
				rc = -EBADMSG;
		} else if (msg.type == HANDOVER_PONG) {
			if (msg.ping == child->ping)
				child->unanswered = 0;
		} else {
			rc = request_serve(h, &msg);
			handover_msg_close(&msg);
		}
	}
	if (rc == 0 || rc == -EAGAIN)
		return;
	if (rc != -EPIPE && rc != -ECONNRESET)
		log_error("forwarding_protocol", "error=\"%s\" events=%u", strerror(-rc), events);
	if (rc != -EPIPE && rc != -ECONNRESET) {
		child_kill(h, "protocol");
		return;
	}
	/* it is ending, and has let go of its descriptors: take over before it is reaped */
	child_socket_close(child);
	child->state = CHILD_DYING;
	child->deadline = holder_now() + EXIT_MS;
	pump_start(h);
}

/*
 * How long to wait before the next start. What had been ready is replaced at once, however often:
 * a start costs a fraction of what a pause would cost the tenants. Pauses are for one that does not
 * get that far several times in a row.
 */
static int64_t backoff(struct child *child)
{
	int64_t wait = BACKOFF_FIRST_MS;

	if (child->ready_ms != 0) {
		child->fast_deaths = 0;
		return 0;
	}
	child->fast_deaths++;
	if (child->fast_deaths <= GRACE)
		return 0;
	for (unsigned int i = GRACE + 1; i < child->fast_deaths && wait < BACKOFF_MAX_MS; i++)
		wait *= 2;
	return wait < BACKOFF_MAX_MS ? wait : BACKOFF_MAX_MS;
}

void child_reaped(struct holder *h, int status)
{
	struct child *child = &h->child;
	const int64_t lived = holder_now() - child->started_ms;
	int64_t wait;

	child_socket_close(child);
	child->state = CHILD_ABSENT;
	if (h->stopping) {
		child->pid = 0;
		return;
	}
	pump_start(h);
	child->restarts++;
	wait = backoff(child);
	log_error("forwarding_died",
		"pid=%d %s=%d lived_ms=%ld restarts=%lu fast_deaths=%u wait_ms=%ld",
		(int)child->pid, WIFSIGNALED(status) ? "signal" : "exit",
		WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), (long)lived,
		(unsigned long)child->restarts, child->fast_deaths, (long)wait);
	child->pid = 0;
	child->start_at = holder_now() + wait;
}

void child_stop(struct holder *h, const char *why)
{
	struct child *child = &h->child;

	if (child->state == CHILD_ABSENT || child->state == CHILD_DYING)
		return;
	log_info("forwarding_stop", "pid=%d reason=%s", (int)child->pid, why);
	kill(child->pid, SIGTERM);
	child->state = CHILD_DYING;
	child->deadline = holder_now() + TERM_MS;
}

/*
 * Ask a running forwarding process whether it lives. Questions are counted, not time: when this
 * machine, or we, stood still for a while, it has its chance to answer all the same.
 */
static void child_ask(struct holder *h, int64_t now)
{
	struct child *child = &h->child;
	struct handover_msg msg = {.type = HANDOVER_PING};

	if (child->unanswered >= UNANSWERED_MAX) {
		child_kill(h, "silent");
		return;
	}
	child->ping_at = now + PING_MS;
	child->unanswered++;
	msg.ping = ++child->ping;
	/* a queue that is full is no answer either; a closed one is seen by child_event() */
	(void)handover_send(child->fd, &msg);
}

int child_tick(struct holder *h)
{
	struct child *child = &h->child;
	const int64_t now = holder_now();
	int64_t due;

	if (child->state == CHILD_ABSENT && !h->stopping && child->start_at <= now)
		child_start(h);
	if ((child->state == CHILD_STARTING || child->state == CHILD_DYING) &&
		child->deadline <= now)
		child_kill(h, child->state == CHILD_STARTING ? "not_ready" : "not_ending");
	if (child->state == CHILD_RUNNING && child->ping_at <= now)
		child_ask(h, now);
	switch (child->state) {
	case CHILD_RUNNING:
		due = child->ping_at;
		break;
	case CHILD_ABSENT:
		due = h->stopping ? INT64_MAX : child->start_at;
		break;
	case CHILD_STARTING:
	case CHILD_DYING:
		due = child->deadline;
		break;
	default:
		due = INT64_MAX;
		break;
	}
	if (due == INT64_MAX)
		return -1;
	return due <= now ? 0 : due - now > 60000 ? 60000 : (int)(due - now);
}
