/*
 * ICMP echo between all pairs of workloads at once (RFC 792, RFC 4443), don't-fragment.
 *
 * One raw socket a workload and family, opened in its namespace; one poll loop for all. The pair
 * and the packet's number travel in the echo's data, so answers need no table to be found by.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/icmp6.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "controller/ctl/lab/internal.h"

#define PING_MAGIC  0x70696e67u
#define PAIRS_MAX   65536
#define COUNT_MAX   1000
#define PACKET_MAX  65535
#define PING_SIZE   84 /* as ping(8): 56 octets of data */
#define PING_BUFFER (1 << 20)

struct ping_data {
	uint32_t magic;
	uint32_t pair;
	uint32_t number;
	uint32_t run; /* another ping's answers are not ours */
	uint64_t sent_ns;
};

struct ping_end {
	struct lab_workload workload;
	int fd[2]; /* IPv4, IPv6; -1 = it has no such address */
};

/* What a pair is besides what its caller sees. */
struct ping_target {
	unsigned int from; /* index of the end */
	int family;
	struct sockaddr_storage to;
	socklen_t to_len;
	uint8_t seen[COUNT_MAX]; /* numbers answered, so that duplicates do not count */
};

struct ping_run {
	unsigned int end_count;
	struct ping_end *ends;
	unsigned int pair_count;
	unsigned int pair_room;
	struct lab_ping_pair *pairs;
	struct ping_target *targets;
	uint32_t run;
	_Alignas(8) char packet[PACKET_MAX]; /* headers are looked at in place */
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* ---- what is pinged ----------------------------------------------------------------------- */

static bool workload_chosen(const struct lab_ping_options *opt, const char *name)
{
	for (unsigned int i = 0; i < opt->workload_count; i++)
		if (!strcmp(opt->workloads[i], name))
			return true;
	return !opt->workloads;
}

/* Without a choice, workloads are pinged within their groups. */
static bool pair_wanted(const struct lab_ping_options *opt, const struct lab_workload *a,
	const struct lab_workload *b)
{
	return a != b && (opt->workloads || !strcmp(a->group, b->group));
}

static int pair_add(struct ping_run *run, unsigned int from, const struct lab_workload *to,
	const char *address, unsigned int size)
{
	int family = strchr(address, ':') ? AF_INET6 : AF_INET;
	struct ping_target *t;
	struct lab_ping_pair *p;

	if (run->ends[from].fd[family == AF_INET6] < 0)
		return 0;
	if (run->pair_count == run->pair_room) {
		unsigned int room = run->pair_room ? run->pair_room * 2 : 64;
		struct lab_ping_pair *pairs = realloc(run->pairs, room * sizeof(*pairs));
		struct ping_target *targets;

		if (!pairs)
			return -ENOMEM;
		run->pairs = pairs;
		targets = realloc(run->targets, room * sizeof(*targets));
		if (!targets)
			return -ENOMEM;
		run->targets = targets;
		run->pair_room = room;
	}
	if (run->pair_count >= PAIRS_MAX)
		return -E2BIG;
	p = &run->pairs[run->pair_count];
	t = &run->targets[run->pair_count++];
	memset(p, 0, sizeof(*p));
	memset(t, 0, sizeof(*t));
	strcpy(p->from, run->ends[from].workload.name);
	strcpy(p->to, to->name);
	snprintf(p->address, sizeof(p->address), "%.*s", (int)strcspn(address, "/"), address);
	p->size = size;
	t->from = from;
	t->family = family;
	t->to.ss_family = (sa_family_t)family;
	if (family == AF_INET) {
		t->to_len = sizeof(struct sockaddr_in);
		inet_pton(family, p->address, &((struct sockaddr_in *)&t->to)->sin_addr);
	} else {
		t->to_len = sizeof(struct sockaddr_in6);
		inet_pton(family, p->address, &((struct sockaddr_in6 *)&t->to)->sin6_addr);
	}
	return 0;
}

static int plan_pairs(struct ping_run *run, const struct lab_ping_options *opt)
{
	int ret = 0;

	for (unsigned int a = 0; a < run->end_count; a++)
		for (unsigned int b = 0; b < run->end_count; b++) {
			const struct lab_workload *from = &run->ends[a].workload;
			const struct lab_workload *to = &run->ends[b].workload;
			unsigned int usual[2] = {
				PING_SIZE, from->mtu < to->mtu ? from->mtu : to->mtu};
			const unsigned int *sizes = opt->sizes ? opt->sizes : usual;
			unsigned int size_count = opt->sizes ? opt->size_count : 2;

			if (!pair_wanted(opt, from, to))
				continue;
			for (unsigned int i = 0; !ret && i < to->address_count; i++)
				for (unsigned int s = 0; !ret && s < size_count; s++)
					ret = pair_add(run, a, to, to->addresses[i], sizes[s]);
		}
	return ret;
}

/* ---- sockets ------------------------------------------------------------------------------ */

static int ping_socket(int family)
{
	int on = family == AF_INET ? IP_PMTUDISC_PROBE : IPV6_PMTUDISC_PROBE;
	int size = PING_BUFFER;
	int fd = family == AF_INET ? socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP)
				   : socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMPV6);

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	if (family == AF_INET) {
		setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &on, sizeof(on));
	} else {
		struct icmp6_filter filter;

		ICMP6_FILTER_SETBLOCKALL(&filter);
		ICMP6_FILTER_SETPASS(ICMP6_ECHO_REPLY, &filter);
		setsockopt(fd, IPPROTO_ICMPV6, ICMP6_FILTER, &filter, sizeof(filter));
		setsockopt(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &on, sizeof(on));
	}
	return fd;
}

static int end_open(const struct lab *lab, struct ping_end *end)
{
	char netns[LAB_NETNS_LEN];
	int back, ret = 0;

	lab_netns_workload(lab, end->workload.name, netns);
	back = lab_netns_enter(netns);
	if (back < 0)
		return back;
	for (int v6 = 0; !ret && v6 < 2; v6++)
		for (unsigned int i = 0; i < end->workload.address_count; i++) {
			if (!!strchr(end->workload.addresses[i], ':') != v6)
				continue;
			end->fd[v6] = ping_socket(v6 ? AF_INET6 : AF_INET);
			if (end->fd[v6] < 0)
				ret = end->fd[v6];
			else if (v6) /* one that never is counts as lost */
				netns_ipv6_wait("eth0", IPV6_READY_MS);
			break;
		}
	lab_netns_leave(back);
	return ret;
}

/* ---- sending and receiving ---------------------------------------------------------------- */

static uint16_t checksum(const void *data, size_t len)
{
	const uint8_t *p = data;
	uint32_t sum = 0;

	for (size_t i = 0; i < len; i++)
		sum += i & 1 ? p[i] : (uint32_t)p[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

static void ping_send(struct ping_run *run, unsigned int pair, unsigned int number)
{
	struct lab_ping_pair *p = &run->pairs[pair];
	struct ping_target *t = &run->targets[pair];
	size_t ip = t->family == AF_INET ? 20 : 40, len = p->size > ip ? p->size - ip : 0;
	struct icmphdr *icmp = (struct icmphdr *)run->packet;
	struct ping_data data = {PING_MAGIC, pair, number, run->run, now_ns()};

	/* both families' echo headers have the same layout */
	if (len < sizeof(*icmp) + sizeof(data))
		len = sizeof(*icmp) + sizeof(data);
	if (len > sizeof(run->packet))
		len = sizeof(run->packet);
	memset(run->packet, 0x5a, len);
	memset(icmp, 0, sizeof(*icmp));
	icmp->type = t->family == AF_INET ? ICMP_ECHO : ICMP6_ECHO_REQUEST;
	icmp->un.echo.id = htons((uint16_t)run->run);
	icmp->un.echo.sequence = htons((uint16_t)number);
	memcpy(run->packet + sizeof(*icmp), &data, sizeof(data));
	if (t->family == AF_INET) /* the kernel does it for ICMPv6 */
		icmp->checksum = checksum(run->packet, len);
	p->sent++;
	/* what cannot be sent counts as lost */
	if (sendto(run->ends[t->from].fd[t->family == AF_INET6], run->packet, len, MSG_DONTWAIT,
		    (struct sockaddr *)&t->to, t->to_len) < 0)
		return;
}

static void ping_receive(struct ping_run *run, int fd, bool v6)
{
	ssize_t n;

	while ((n = recv(fd, run->packet, sizeof(run->packet), MSG_DONTWAIT)) > 0) {
		const struct iphdr *ip = (const struct iphdr *)run->packet;
		size_t skip = v6 ? 0 : ip->ihl * 4u, len = (size_t)n;
		const struct icmphdr *icmp = (const struct icmphdr *)(run->packet + skip);
		struct ping_data data;
		double rtt;

		if (len < skip + sizeof(*icmp) + sizeof(data) ||
			icmp->type != (v6 ? ICMP6_ECHO_REPLY : ICMP_ECHOREPLY))
			continue;
		memcpy(&data, run->packet + skip + sizeof(*icmp), sizeof(data));
		if (data.magic != PING_MAGIC || data.run != run->run ||
			data.pair >= run->pair_count || data.number >= COUNT_MAX)
			continue;
		struct lab_ping_pair *p = &run->pairs[data.pair];
		struct ping_target *t = &run->targets[data.pair];

		if (t->seen[data.number])
			continue;
		t->seen[data.number] = 1;
		p->received++;
		rtt = (double)(now_ns() - data.sent_ns) / 1e3;
		if (rtt > p->rtt_max_us)
			p->rtt_max_us = rtt;
	}
}

static void ping_wait(struct ping_run *run, uint64_t until_ms, bool stop_when_all)
{
	struct pollfd *pfd = calloc(run->end_count * 2 + 1, sizeof(*pfd));

	if (!pfd)
		return;
	for (unsigned int i = 0; i < run->end_count * 2; i++)
		pfd[i] = (struct pollfd){.fd = run->ends[i / 2].fd[i % 2], .events = POLLIN};
	for (;;) {
		uint64_t now = clock_ms(), sent = 0, received = 0;

		for (unsigned int i = 0; stop_when_all && i < run->pair_count; i++) {
			sent += run->pairs[i].sent;
			received += run->pairs[i].received;
		}
		if (now >= until_ms || (stop_when_all && sent == received))
			break;
		if (poll(pfd, run->end_count * 2, (int)(until_ms - now)) < 0 && errno != EINTR)
			break;
		for (unsigned int i = 0; i < run->end_count * 2; i++)
			if (pfd[i].fd >= 0 && pfd[i].revents)
				ping_receive(run, pfd[i].fd, i % 2);
	}
	free(pfd);
}

/* The rounds: in each, one packet for every pair, spread over the interval. */
static void ping_rounds(struct ping_run *run, const struct lab_ping_options *opt)
{
	unsigned int count = opt->count ? opt->count : 3;
	unsigned int interval = opt->interval_ms ? opt->interval_ms : 100;
	unsigned int timeout = opt->timeout_ms ? opt->timeout_ms : 1000;

	if (count > COUNT_MAX)
		count = COUNT_MAX;
	for (unsigned int n = 0; n < count; n++) {
		uint64_t begin = clock_ms();

		for (unsigned int i = 0; i < run->pair_count; i++) {
			uint64_t at = begin + (uint64_t)interval * i / run->pair_count;

			if (clock_ms() < at)
				ping_wait(run, at, false);
			ping_send(run, i, n);
		}
		ping_wait(run, n + 1 < count ? begin + interval : clock_ms() + timeout,
			n + 1 == count);
	}
}

int lab_ping(const struct lab *lab, const struct lab_ping_options *opt,
	struct lab_ping_pair **pairs, unsigned int *count, struct lab_err *err)
{
	struct ping_run *run = calloc(1, sizeof(*run));
	struct lab_workload *list = NULL;
	unsigned int n = 0, room;
	int ret;

	*pairs = NULL;
	*count = 0;
	if (!run)
		return lab_fail(err, -ENOMEM, "out of memory");
	run->run = (uint32_t)now_ns() ^ (uint32_t)getpid();
	ret = lab_workload_list(lab, &list, &room, err);
	if (ret)
		goto out;
	run->ends = calloc(room + 1, sizeof(*run->ends));
	if (!run->ends) {
		ret = lab_fail(err, -ENOMEM, "out of memory");
		goto out;
	}
	for (unsigned int i = 0; i < opt->workload_count; i++) {
		struct lab_workload w;

		ret = lab_workload_get(lab, opt->workloads[i], &w, err);
		if (ret)
			goto out;
	}
	for (unsigned int i = 0; i < room; i++) {
		struct ping_end *end = &run->ends[n];

		if (!workload_chosen(opt, list[i].name))
			continue;
		end->workload = list[i];
		end->fd[0] = end->fd[1] = -1;
		run->end_count = ++n;
		ret = end_open(lab, end);
		if (ret) {
			lab_fail(err, ret, "cannot open sockets of workload %s: %s", list[i].name,
				strerror(-ret));
			goto out;
		}
	}
	ret = plan_pairs(run, opt);
	if (ret) {
		lab_fail(err, ret, "too many pairs of workloads: %s", strerror(-ret));
		goto out;
	}
	if (!run->pair_count) {
		ret = lab_fail(err, -ENOENT,
			"there are no two workloads to ping between (audumsctl lab workload list)");
		goto out;
	}
	ping_rounds(run, opt);
	*pairs = run->pairs;
	*count = run->pair_count;
	run->pairs = NULL;
out:
	for (unsigned int i = 0; i < run->end_count; i++)
		for (int v6 = 0; v6 < 2; v6++)
			if (run->ends[i].fd[v6] >= 0)
				close(run->ends[i].fd[v6]);
	free(list);
	free(run->ends);
	free(run->pairs);
	free(run->targets);
	free(run);
	return ret;
}
