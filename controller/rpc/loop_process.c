/*
 * Signals and children on the loop; see loop.h.
 *
 * Invariant: a signal is in the signalfd's mask exactly while it has a callback, and is unblocked
 * afterwards only if it was we who blocked it.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "controller/rpc/loop_internal.h"

struct loop_signal {
	struct loop *loop;
	int signo;
	void (*cb)(void *arg, int signo);
	void *arg;
};

struct loop_child {
	struct loop *loop;
	pid_t pid;
	int pidfd;
	bool ended;
	struct loop_fd *watch;
	void (*cb)(void *arg, pid_t pid, int wait_status);
	void *arg;
	LIST_ENTRY(loop_child) all;
};

/* ---- signals ---- */

static void signal_ready(void *arg, int fd, unsigned int ready)
{
	struct loop *l = arg;
	struct signalfd_siginfo info;

	/* A callback may remove the last signal, which closes the descriptor. */
	while (l->signal_fd == fd && read(fd, &info, sizeof(info)) == sizeof(info)) {
		struct loop_signal *s = info.ssi_signo < _NSIG ? l->by_signo[info.ssi_signo] : NULL;

		if (s)
			s->cb(s->arg, s->signo);
	}
}

static int signal_fd_update(struct loop *l)
{
	int fd;

	if (l->signal_fd >= 0)
		return signalfd(l->signal_fd, &l->signals, 0) < 0 ? -errno : 0;
	fd = signalfd(-1, &l->signals, SFD_NONBLOCK | SFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	l->signal_watch = loop_fd_add(l, fd, LOOP_IN, signal_ready, l);
	if (!l->signal_watch) {
		const int saved = errno;

		close(fd);
		return -saved;
	}
	l->signal_fd = fd;
	return 0;
}

struct loop_signal *loop_signal_add(
	struct loop *l, int signo, void (*cb)(void *arg, int signo), void *arg)
{
	struct loop_signal *s;
	sigset_t one, old;
	int ret;

	if (signo <= 0 || signo >= _NSIG || signo == SIGKILL || signo == SIGSTOP) {
		errno = EINVAL;
		return NULL;
	}
	if (l->by_signo[signo]) {
		errno = EEXIST;
		return NULL;
	}
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->loop = l;
	s->signo = signo;
	s->cb = cb;
	s->arg = arg;
	sigemptyset(&one);
	sigaddset(&one, signo);
	pthread_sigmask(SIG_BLOCK, &one, &old);
	sigaddset(&l->signals, signo);
	ret = signal_fd_update(l);
	if (ret < 0) {
		sigdelset(&l->signals, signo);
		if (!sigismember(&old, signo))
			pthread_sigmask(SIG_UNBLOCK, &one, NULL);
		free(s);
		errno = -ret;
		return NULL;
	}
	if (!sigismember(&old, signo))
		sigaddset(&l->blocked, signo);
	l->by_signo[signo] = s;
	return s;
}

void loop_signal_remove(struct loop_signal *s)
{
	struct loop *l;
	sigset_t one;

	if (!s)
		return;
	l = s->loop;
	l->by_signo[s->signo] = NULL;
	sigdelset(&l->signals, s->signo);
	signal_fd_update(l);
	if (sigismember(&l->blocked, s->signo)) {
		sigdelset(&l->blocked, s->signo);
		sigemptyset(&one);
		sigaddset(&one, s->signo);
		pthread_sigmask(SIG_UNBLOCK, &one, NULL);
	}
	free(s);
}

void loop_signal_reset(const struct loop *l)
{
	pthread_sigmask(SIG_UNBLOCK, &l->blocked, NULL);
}

void loop_signals_free(struct loop *l)
{
	for (int i = 0; i < _NSIG; i++)
		loop_signal_remove(l->by_signo[i]);
	loop_fd_remove(l->signal_watch);
	if (l->signal_fd >= 0)
		close(l->signal_fd);
}

/* ---- children ---- */

static void child_unwatch(struct loop_child *c)
{
	LIST_REMOVE(c, all);
	loop_fd_remove(c->watch);
	close(c->pidfd);
}

static void child_ready(void *arg, int fd, unsigned int ready)
{
	struct loop_child *c = arg;
	int status = -1;

	if (waitpid(c->pid, &status, WNOHANG) == 0)
		return;
	c->ended = true;
	child_unwatch(c);
	c->cb(c->arg, c->pid, status);
	free(c);
}

struct loop_child *loop_child_add(
	struct loop *l, pid_t pid, void (*cb)(void *arg, pid_t pid, int wait_status), void *arg)
{
	struct loop_child *c = calloc(1, sizeof(*c));
	int saved;

	if (!c)
		return NULL;
	c->loop = l;
	c->pid = pid;
	c->cb = cb;
	c->arg = arg;
	/* By number: glibc has no wrapper before 2.36. The descriptor is close-on-exec. */
	c->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (c->pidfd < 0)
		goto fail;
	c->watch = loop_fd_add(l, c->pidfd, LOOP_IN, child_ready, c);
	if (!c->watch)
		goto fail;
	LIST_INSERT_HEAD(&l->children, c, all);
	return c;
fail:
	saved = errno;
	if (c->pidfd >= 0)
		close(c->pidfd);
	free(c);
	errno = saved;
	return NULL;
}

void loop_child_remove(struct loop_child *c)
{
	if (!c || c->ended)
		return;
	child_unwatch(c);
	free(c);
}

void loop_children_free(struct loop *l)
{
	struct loop_child *c;

	while ((c = LIST_FIRST(&l->children)))
		loop_child_remove(c);
}
