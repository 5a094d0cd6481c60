/*
 * nlrec FILE COMMAND [ARGUMENT ...]: record what rtnetlink says while COMMAND runs, then a full
 * dump.
 *
 * A recording is a sequence of records: two 32-bit words in host order (kind: 'E' event or 'D'
 * dump; length) and the octets of one recv(2), padded to 4. Run it in the network namespace to
 * record.
 */
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/nexthop.h>
#include <linux/rtnetlink.h>

#define QUIET_MS 500 /* no event for so long after the command: all are in */

static char buf[1 << 17];

static int fail(const char *what)
{
	perror(what);
	return 1;
}

static void record(FILE *out, uint32_t kind, uint32_t len)
{
	static const char zero[4];

	fwrite(&kind, 4, 1, out);
	fwrite(&len, 4, 1, out);
	fwrite(buf, 1, len, out);
	fwrite(zero, 1, (4 - len % 4) % 4, out);
}

static int open_socket(const int groups[], size_t n)
{
	struct sockaddr_nl addr = {.nl_family = AF_NETLINK};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), size = 16 << 20;

	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return -1;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	for (size_t i = 0; i < n; i++)
		if (setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &groups[i],
			    sizeof(groups[i])) < 0)
			return -1;
	return fd;
}

static int dump(FILE *out, uint32_t kind, int fd, uint16_t type, uint8_t family)
{
	struct {
		struct nlmsghdr h;
		char body[sizeof(struct ifinfomsg)];
	} req = {.h = {.nlmsg_len = sizeof(req),
			 .nlmsg_type = type,
			 .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP}};

	if (type == RTM_GETNEXTHOP)
		req.h.nlmsg_len = NLMSG_LENGTH(sizeof(struct nhmsg));
	req.body[0] = (char)family;
	if (send(fd, &req, req.h.nlmsg_len, 0) < 0)
		return -1;
	for (;;) {
		ssize_t len = recv(fd, buf, sizeof(buf), 0);
		const struct nlmsghdr *h = (const struct nlmsghdr *)(const void *)buf;

		if (len < 0)
			return -1;
		record(out, kind, (uint32_t)len);
		for (size_t left = (size_t)len; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
			if (h->nlmsg_type == NLMSG_DONE)
				return 0;
			if (h->nlmsg_type == NLMSG_ERROR)
				return -1;
		}
	}
}

int main(int argc, char **argv)
{
	static const int groups[] = {RTNLGRP_LINK, RTNLGRP_NEIGH, RTNLGRP_IPV4_IFADDR,
		RTNLGRP_IPV4_ROUTE, RTNLGRP_NEXTHOP};
	int events = open_socket(groups, sizeof(groups) / sizeof(groups[0]));
	int dumps = open_socket(NULL, 0), status = 0;
	struct pollfd pfd = {.fd = events, .events = POLLIN};
	bool ended = false;
	FILE *out;
	pid_t pid;

	if (argc < 3 || events < 0 || dumps < 0)
		return fail("nlrec");
	out = fopen(argv[1], "w");
	if (!out)
		return fail(argv[1]);
	/* what was there before the command (the loopback) comes as if it were an event */
	if (dump(out, 'E', dumps, RTM_GETLINK, AF_UNSPEC) < 0)
		return fail("dump");
	pid = fork();
	if (pid == 0) {
		execvp(argv[2], &argv[2]);
		_exit(127);
	}
	while (poll(&pfd, 1, QUIET_MS) > 0 || !ended) {
		if (!ended && waitpid(pid, &status, WNOHANG) == pid)
			ended = true;
		if (!(pfd.revents & POLLIN))
			continue;
		ssize_t len = recv(events, buf, sizeof(buf), MSG_DONTWAIT);
		if (len < 0)
			return fail("events");
		record(out, 'E', (uint32_t)len);
	}
	if (dump(out, 'D', dumps, RTM_GETLINK, AF_UNSPEC) < 0 ||
		dump(out, 'D', dumps, RTM_GETADDR, AF_INET) < 0 ||
		dump(out, 'D', dumps, RTM_GETNEXTHOP, AF_UNSPEC) < 0 ||
		dump(out, 'D', dumps, RTM_GETROUTE, AF_INET) < 0 ||
		dump(out, 'D', dumps, RTM_GETNEIGH, AF_BRIDGE) < 0 ||
		dump(out, 'D', dumps, RTM_GETNEIGH, AF_INET) < 0)
		return fail("dump");
	return fclose(out) != 0 || !WIFEXITED(status) ? 1 : WEXITSTATUS(status);
}
