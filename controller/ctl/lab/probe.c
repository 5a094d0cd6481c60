/*
 * Measures outages: UDP round trips at a steady rate between two workloads.
 *
 * One thread does all three jobs in one poll loop: it sends at absolute times, echoes at the far
 * side, and takes the answers. Each packet has a sequence number; when a packet left is kept in an
 * array, so nothing is decided before the end. The sockets are opened in the workloads' namespaces
 * and stay there when the workloads' interfaces move.
 *
 * Outages are counted from the first packet lost to the first that came through again, in times of
 * sending: a packet that was merely late is not lost.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "controller/ctl/lab/internal.h"
#include "controller/ctl/lab/outage.h"

#define PROBE_MAGIC    0x61756d73u
#define PROBE_MAX_MS   600000
#define PROBE_RATE_MAX 10000
#define PROBE_SIZE_MAX 9000
#define LINGER_NS      200000000ull
#define SOCKET_BUFFER  (4 << 20)
#define ECHO_BATCH     64

struct packet {
	uint32_t magic;
	uint32_t reserved;
	uint64_t seq;
};

struct probe_sample {
	uint64_t sent_ns; /* since the start */
	uint32_t rtt_ns;  /* 0 = did not come back; capped at 4 s */
	bool far;         /* arrived at the other side */
};

struct lab_probe {
	pthread_t thread;
	int near_fd; /* connected to the far side */
	int far_fd;
	int timer_fd;
	unsigned int rate;
	unsigned int size;
	uint64_t start_ns;
	uint64_t limit; /* packets to send */
	uint64_t sent;
	uint64_t duplicates;
	uint64_t far_count;
	uint64_t last_arrival_ns;
	uint64_t silence_ns;
	uint64_t stall_ns;
	struct probe_sample *samples;
	_Atomic uint64_t received;
	_Atomic bool stop;
	_Atomic bool running;
	_Alignas(struct packet) char buffer[PROBE_SIZE_MAX + 1];
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* ---- the thread --------------------------------------------------------------------------- */

static void probe_send(struct lab_probe *p)
{
	struct packet *packet = (struct packet *)p->buffer;
	uint64_t now = now_ns() - p->start_ns;

	if (p->sent) {
		uint64_t gap = now - p->samples[p->sent - 1].sent_ns;

		if (gap > p->stall_ns)
			p->stall_ns = gap;
	}
	*packet = (struct packet){PROBE_MAGIC, 0, p->sent};
	p->samples[p->sent++].sent_ns = now;
	/* what cannot be sent is lost like any other: an interface on the move has no route */
	if (send(p->near_fd, p->buffer, p->size, MSG_DONTWAIT) < 0)
		return;
}

static bool packet_known(const struct lab_probe *p, const char *buffer, ssize_t n)
{
	const struct packet *packet = (const struct packet *)buffer;

	return n >= (ssize_t)sizeof(*packet) && packet->magic == PROBE_MAGIC &&
	       packet->seq < p->sent;
}

static void probe_echo(struct lab_probe *p)
{
	struct sockaddr_storage from;

	for (int i = 0; i < ECHO_BATCH; i++) {
		socklen_t len = sizeof(from);
		ssize_t n = recvfrom(p->far_fd, p->buffer, sizeof(p->buffer), MSG_DONTWAIT,
			(struct sockaddr *)&from, &len);

		if (n < 0 && errno != EAGAIN && errno != EINTR)
			continue; /* an error of an earlier send */
		if (n < 0)
			return;
		if (!packet_known(p, p->buffer, n))
			continue;
		struct probe_sample *s = &p->samples[((struct packet *)p->buffer)->seq];

		p->far_count += !s->far;
		s->far = true;
		if (sendto(p->far_fd, p->buffer, (size_t)n, MSG_DONTWAIT, (struct sockaddr *)&from,
			    len) < 0)
			continue;
	}
}

static void probe_take(struct lab_probe *p)
{
	for (int i = 0; i < ECHO_BATCH; i++) {
		ssize_t n = recv(p->near_fd, p->buffer, sizeof(p->buffer), MSG_DONTWAIT);
		uint64_t now, rtt;

		if (n < 0 && errno != EAGAIN && errno != EINTR)
			continue;
		if (n < 0)
			return;
		if (!packet_known(p, p->buffer, n))
			continue;
		now = now_ns() - p->start_ns;
		struct probe_sample *s = &p->samples[((struct packet *)p->buffer)->seq];

		if (s->rtt_ns) {
			p->duplicates++;
			continue;
		}
		rtt = now - s->sent_ns;
		s->rtt_ns = rtt < 1 ? 1 : rtt > UINT32_MAX ? UINT32_MAX : (uint32_t)rtt;
		if (now - p->last_arrival_ns > p->silence_ns)
			p->silence_ns = now - p->last_arrival_ns;
		p->last_arrival_ns = now;
		atomic_fetch_add(&p->received, 1);
	}
}

static void *probe_run(void *arg)
{
	struct lab_probe *p = arg;
	uint64_t end = 0, ticks;

	prctl(PR_SET_NAME, "probe");
	prctl(PR_SET_TIMERSLACK, 1UL);
	for (;;) {
		struct pollfd pfd[3] = {
			{.fd = p->timer_fd, .events = POLLIN},
			{.fd = p->far_fd, .events = POLLIN},
			{.fd = p->near_fd, .events = POLLIN},
		};
		bool sending = p->sent < p->limit && !atomic_load(&p->stop);

		if (!sending && !end)
			end = now_ns() + LINGER_NS;
		if (end && now_ns() >= end)
			break;
		if (poll(pfd, 3, 50) < 0 && errno != EINTR)
			break;
		if (pfd[0].revents && read(p->timer_fd, &ticks, sizeof(ticks)) == sizeof(ticks) &&
			sending)
			/* the ticks that were missed are sent now: none is counted as lost */
			for (; ticks && p->sent < p->limit; ticks--)
				probe_send(p);
		if (pfd[1].revents)
			probe_echo(p);
		if (pfd[2].revents)
			probe_take(p);
	}
	atomic_store(&p->running, false);
	return NULL;
}

/* ---- start -------------------------------------------------------------------------------- */

/* The first address of a family that an end has. */
static bool end_address(
	const struct lab_probe_end *e, int family, struct sockaddr_storage *out, socklen_t *len)
{
	for (unsigned int i = 0; i < e->address_count; i++) {
		char text[64];

		memset(out, 0, sizeof(*out));
		snprintf(text, sizeof(text), "%.*s", (int)strcspn(e->addresses[i], "/"),
			e->addresses[i]);
		out->ss_family = (sa_family_t)family;
		if (family == AF_INET) {
			*len = sizeof(struct sockaddr_in);
			if (inet_pton(family, text, &((struct sockaddr_in *)out)->sin_addr) == 1)
				return true;
		} else {
			*len = sizeof(struct sockaddr_in6);
			if (inet_pton(family, text, &((struct sockaddr_in6 *)out)->sin6_addr) == 1)
				return true;
		}
	}
	return false;
}

static int socket_in(const char *netns, const struct sockaddr_storage *sa, socklen_t len)
{
	int size = SOCKET_BUFFER, back, fd, ret = 0;

	back = lab_netns_enter(netns);
	if (back < 0)
		return back;
	fd = socket(sa->ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		ret = -errno;
	else if (bind(fd, (const struct sockaddr *)sa, len))
		ret = -errno;
	if (!ret && sa->ss_family == AF_INET6) /* one that never is shows as lost */
		netns_ipv6_wait("eth0", IPV6_READY_MS);
	lab_netns_leave(back);
	if (ret) {
		if (fd >= 0)
			close(fd);
		return ret;
	}
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	return fd;
}

static int probe_connect(struct lab_probe *p, const struct lab_probe_end *from,
	const struct lab_probe_end *to, int family)
{
	struct sockaddr_storage near, far;
	socklen_t near_len, far_len;

	if (!end_address(from, family, &near, &near_len) ||
		!end_address(to, family, &far, &far_len))
		return -EADDRNOTAVAIL;
	p->far_fd = socket_in(to->netns, &far, far_len);
	if (p->far_fd < 0)
		return p->far_fd;
	if (getsockname(p->far_fd, (struct sockaddr *)&far, &far_len))
		return -errno;
	p->near_fd = socket_in(from->netns, &near, near_len);
	if (p->near_fd < 0)
		return p->near_fd;
	return connect(p->near_fd, (struct sockaddr *)&far, far_len) ? -errno : 0;
}

static void probe_free(struct lab_probe *p)
{
	if (p->near_fd >= 0)
		close(p->near_fd);
	if (p->far_fd >= 0)
		close(p->far_fd);
	if (p->timer_fd >= 0)
		close(p->timer_fd);
	free(p->samples);
	free(p);
}

static int probe_timer(struct lab_probe *p)
{
	long period = 1000000000L / (long)p->rate;
	struct itimerspec timer = {
		.it_interval = {period / 1000000000L, period % 1000000000L},
		.it_value = {0, 1},
	};

	p->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	if (p->timer_fd < 0 || timerfd_settime(p->timer_fd, 0, &timer, NULL))
		return -errno;
	return 0;
}

int lab_probe_between(const struct lab_probe_end *from, const struct lab_probe_end *to,
	const struct lab_probe_options *opt, struct lab_probe **probe, struct lab_err *err)
{
	unsigned int duration_ms;
	struct lab_probe *p;
	int family = opt->family ? opt->family : AF_INET, ret;

	*probe = NULL;
	if (opt->rate > PROBE_RATE_MAX || opt->size > PROBE_SIZE_MAX ||
		opt->duration_ms > PROBE_MAX_MS)
		return lab_fail(err, -EINVAL,
			"a probe has at most %d packets a second of %d octets, for %d s",
			PROBE_RATE_MAX, PROBE_SIZE_MAX, PROBE_MAX_MS / 1000);
	p = calloc(1, sizeof(*p));
	if (!p)
		return lab_fail(err, -ENOMEM, "out of memory");
	p->near_fd = p->far_fd = p->timer_fd = -1;
	p->rate = opt->rate ? opt->rate : 1000;
	p->size = opt->size ? opt->size : 64;
	if (p->size < sizeof(struct packet))
		p->size = sizeof(struct packet);
	duration_ms = opt->duration_ms ? opt->duration_ms : PROBE_MAX_MS;
	p->limit = (uint64_t)p->rate * duration_ms / 1000;
	p->samples = calloc(p->limit + 1, sizeof(*p->samples));
	if (!p->samples) {
		ret = lab_fail(err, -ENOMEM, "out of memory");
		goto out;
	}
	ret = probe_connect(p, from, to, family);
	if (ret == -EADDRNOTAVAIL && !opt->family) {
		if (p->near_fd >= 0)
			close(p->near_fd);
		if (p->far_fd >= 0)
			close(p->far_fd);
		p->near_fd = p->far_fd = -1;
		ret = probe_connect(p, from, to, AF_INET6);
	}
	if (ret == -EADDRNOTAVAIL)
		lab_fail(err, ret, "%s and %s have no address of one family", from->name, to->name);
	else if (ret)
		lab_fail(err, ret, "cannot probe from %s to %s: %s", from->name, to->name,
			strerror(-ret));
	if (ret)
		goto out;
	p->start_ns = now_ns();
	p->running = true;
	ret = probe_timer(p);
	if (!ret)
		ret = -pthread_create(&p->thread, NULL, probe_run, p);
	if (ret) {
		lab_fail(err, ret, "cannot start a probe: %s", strerror(-ret));
		goto out;
	}
	*probe = p;
	return 0;
out:
	probe_free(p);
	return ret;
}

static int workload_end(
	const struct lab *lab, const char *name, struct lab_probe_end *end, struct lab_err *err)
{
	struct lab_workload w;
	int ret = lab_workload_get(lab, name, &w, err);

	if (ret)
		return ret;
	memset(end, 0, sizeof(*end));
	snprintf(end->name, sizeof(end->name), "%s", w.name);
	lab_netns_workload(lab, w.name, end->netns);
	end->address_count = w.address_count;
	memcpy(end->addresses, w.addresses, sizeof(end->addresses));
	return 0;
}

int lab_probe_start(const struct lab *lab, const struct lab_probe_options *opt,
	struct lab_probe **probe, struct lab_err *err)
{
	struct lab_probe_end from, to;
	int ret;

	*probe = NULL;
	ret = workload_end(lab, opt->from, &from, err);
	if (!ret)
		ret = workload_end(lab, opt->to, &to, err);
	return ret ? ret : lab_probe_between(&from, &to, opt, probe, err);
}

uint64_t lab_probe_received(const struct lab_probe *p)
{
	return atomic_load(&p->received);
}

bool lab_probe_running(const struct lab_probe *p)
{
	return atomic_load(&p->running);
}

/* ---- stop --------------------------------------------------------------------------------- */

static int compare_rtt(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static void result_rtt(const struct lab_probe *p, struct lab_probe_result *r)
{
	uint32_t *rtt = calloc(p->sent + 1, sizeof(*rtt));
	size_t n = 0;

	for (uint64_t i = 0; rtt && i < p->sent; i++)
		if (p->samples[i].rtt_ns)
			rtt[n++] = p->samples[i].rtt_ns;
	if (n) {
		qsort(rtt, n, sizeof(*rtt), compare_rtt);
		r->rtt_min_us = rtt[0] / 1e3;
		r->rtt_p50_us = rtt[n / 2] / 1e3;
		r->rtt_p99_us = rtt[n * 99 / 100] / 1e3;
		r->rtt_max_us = rtt[n - 1] / 1e3;
	}
	free(rtt);
}

void lab_probe_stop(struct lab_probe *p, struct lab_probe_result *result)
{
	struct outage_counter round = {0}, far = {0};
	struct lab_probe_result ignored;
	uint64_t last = 0;

	if (!result)
		result = &ignored;
	memset(result, 0, sizeof(*result));
	atomic_store(&p->stop, true);
	pthread_join(p->thread, NULL);
	for (uint64_t i = 0; i < p->sent; i++) {
		const struct probe_sample *s = &p->samples[i];

		outage_sample(&round, s->sent_ns, s->rtt_ns != 0);
		outage_sample(&far, s->sent_ns, s->far);
		last = s->sent_ns;
	}
	/* one that lasts to the end is as long as was sent */
	outage_end(&round, last + 1000000000u / p->rate);
	outage_end(&far, last + 1000000000u / p->rate);
	result->sent = p->sent;
	result->received = p->received;
	result->received_far = p->far_count;
	result->lost = p->sent - result->received;
	result->duplicates = p->duplicates;
	result->longest_outage_ms = (double)round.longest_ns / 1e6;
	result->longest_far_ms = (double)far.longest_ns / 1e6;
	result->longest_silence_ms = (double)p->silence_ns / 1e6;
	result->longest_stall_ms = (double)p->stall_ns / 1e6;
	result->duration_ms = (double)(last + 1000000000u / p->rate) / 1e6;
	result->outage_count = round.count;
	for (unsigned int i = 0; i < round.count && i < LAB_OUTAGES_MAX; i++)
		result->outages[i] = round.list[i];
	result_rtt(p, result);
	probe_free(p);
}
