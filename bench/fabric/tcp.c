/*
 * A sending thread, and the caller who receives. Sockets are opened in the namespaces of their ends
 * and stay there. The first tenth of the time does not count: the window opens then.
 */
#include "bench/fabric/tcp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CHUNK      65536
#define CONNECT_MS 5000

struct stream {
	int fd;
	_Atomic bool stop;
};

static double now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

static int open_in(const struct lab_probe_end *end, struct sockaddr_in *address)
{
	const struct timeval limit = {CONNECT_MS / 1000, 0};
	int back, fd, r = -EADDRNOTAVAIL;
	char text[64];

	memset(address, 0, sizeof(*address));
	address->sin_family = AF_INET;
	for (unsigned int i = 0; i < end->address_count && r; i++) {
		snprintf(text, sizeof(text), "%.*s", (int)strcspn(end->addresses[i], "/"),
			end->addresses[i]);
		if (inet_pton(AF_INET, text, &address->sin_addr) == 1)
			r = 0;
	}
	if (r)
		return r;
	back = lab_netns_enter(end->netns);
	if (back < 0)
		return back;
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	r = fd < 0 ? -errno : fd;
	lab_netns_leave(back);
	if (fd < 0)
		return r;
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	if (bind(fd, (struct sockaddr *)address, sizeof(*address))) {
		r = -errno;
		close(fd);
	}
	return r;
}

static void *send_all(void *arg)
{
	static const char chunk[CHUNK];
	struct stream *s = arg;

	while (!atomic_load(&s->stop))
		if (send(s->fd, chunk, sizeof(chunk), MSG_NOSIGNAL) < 0 && errno != EINTR)
			break;
	shutdown(s->fd, SHUT_RDWR);
	return NULL;
}

/* Bits a second that arrive on fd within `ms`, the first tenth not counted. */
static double receive(int fd, unsigned int ms)
{
	const double began = now_ms();
	double counted_from = 0, now = began, bytes = 0;
	char *buffer = malloc(CHUNK);

	while (buffer && now < began + ms) {
		const ssize_t n = recv(fd, buffer, CHUNK, 0);

		now = now_ms();
		if (n <= 0)
			break;
		if (now < began + ms / 10.0)
			continue;
		if (counted_from == 0)
			counted_from = now;
		else
			bytes += (double)n;
	}
	free(buffer);
	return now > counted_from && counted_from > 0 ? bytes * 8 * 1e3 / (now - counted_from) : 0;
}

int tcp_measure(const struct lab_probe_end *from, const struct lab_probe_end *to, unsigned int ms,
	double *mbps, struct lab_err *err)
{
	struct stream s = {.fd = -1};
	struct sockaddr_in near, far;
	socklen_t len = sizeof(far);
	int listener, accepted = -1;
	pthread_t thread;
	int r;

	*mbps = 0;
	listener = open_in(to, &far);
	r = listener < 0 ? listener : 0;
	if (r == 0 && (listen(listener, 1) || getsockname(listener, (struct sockaddr *)&far, &len)))
		r = -errno;
	if (r == 0) {
		s.fd = open_in(from, &near);
		r = s.fd < 0 ? s.fd : 0;
	}
	if (r == 0 && connect(s.fd, (struct sockaddr *)&far, sizeof(far)))
		r = -errno;
	if (r == 0) {
		accepted = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (accepted < 0)
			r = -errno;
	}
	if (r == 0)
		r = -pthread_create(&thread, NULL, send_all, &s);
	if (r == 0) {
		*mbps = receive(accepted, ms) / 1e6;
		atomic_store(&s.stop, true);
		/* nobody reads any more: a sender that waits for room ends with the connection */
		shutdown(s.fd, SHUT_RDWR);
		pthread_join(thread, NULL);
	}
	if (accepted >= 0)
		close(accepted);
	if (s.fd >= 0)
		close(s.fd);
	if (listener >= 0)
		close(listener);
	if (r)
		snprintf(err->text, sizeof(err->text), "TCP from %s to %s: %s", from->name,
			to->name, strerror(-r));
	return r;
}
