/*
 * Do two tenants with the same addresses and MACs see anything of each other? Every workload of one
 * group sends marked frames, broadcast and to a MAC that nobody has, so that they are flooded as
 * far as they ever will be; sockets that capture whole frames listen at every workload.
 */
#include "controller/ctl/story/internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MARK_TYPE 0x88b5 /* IEEE 802, local experimental */
#define MARK      "audums isolation "
#define FRAME_LEN 128

struct listener {
	struct lab_workload w;
	int fd;
	bool own; /* of the group that sends */
};

static int open_capture(const struct lab *lab, const struct lab_workload *w, struct lab_err *err)
{
	struct sockaddr_ll ll = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
	const int on = 1;
	const int room = 8 << 20; /* all frames at once: the default holds some 270 */
	char netns[LAB_NETNS_LEN];
	int back;
	int fd;

	lab_netns_workload(lab, w->name, netns);
	back = lab_netns_enter(netns);
	if (back < 0)
		return story_fail(err, back, "cannot enter %s", netns);
	fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	ll.sll_ifindex = (int)if_nametoindex("eth0");
	lab_netns_leave(back);
	if (fd < 0)
		return story_fail(err, -errno, "no packet socket");
	if (setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)) ||
		setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)) ||
		bind(fd, (struct sockaddr *)&ll, sizeof(ll))) {
		close(fd);
		return story_fail(err, -errno, "cannot capture at %s", w->name);
	}
	return fd;
}

static int send_marked(const struct listener *l, const char *group, bool broadcast)
{
	static const unsigned char nobody[6] = {0x02, 0x00, 0x0a, 0xff, 0xff, 0xfe};
	unsigned char frame[FRAME_LEN] = {0};
	unsigned int mac[6];

	if (sscanf(l->w.mac, "%x:%x:%x:%x:%x:%x", &mac[0], &mac[1], &mac[2], &mac[3], &mac[4],
		    &mac[5]) != 6)
		return -EINVAL;
	if (broadcast)
		memset(frame, 0xff, 6);
	else
		memcpy(frame, nobody, 6);
	for (int i = 0; i < 6; i++)
		frame[6 + i] = (unsigned char)mac[i];
	frame[12] = MARK_TYPE >> 8;
	frame[13] = MARK_TYPE & 0xff;
	snprintf((char *)frame + 14, sizeof(frame) - 14, MARK "%s", group);
	return send(l->fd, frame, sizeof(frame), 0) == sizeof(frame) ? 0 : -errno;
}

/* Take what has arrived; returns how many of the frames are marked with `group`. */
static unsigned int drain(const struct listener *l, const char *group)
{
	char wanted[FRAME_LEN];
	unsigned char frame[2048];
	unsigned int n = 0;
	ssize_t len;

	snprintf(wanted, sizeof(wanted), MARK "%s", group);
	while ((len = recv(l->fd, frame, sizeof(frame), MSG_DONTWAIT)) > 0)
		if (len == FRAME_LEN && frame[12] == MARK_TYPE >> 8 &&
			frame[13] == (MARK_TYPE & 0xff) && strcmp((char *)frame + 14, wanted) == 0)
			n++;
	return n;
}

static void drain_all(struct story *s, const struct listener *l, unsigned int n, const char *group)
{
	for (unsigned int i = 0; i < n; i++) {
		const unsigned int seen = drain(&l[i], group);

		if (l[i].own)
			s->figures.marked_frames += seen;
		else
			s->figures.leaked_frames += seen;
	}
}

int story_isolation(struct story *s, const char *group, unsigned int count, struct lab_err *err)
{
	struct lab_workload *list = NULL;
	struct listener *l = NULL;
	unsigned int own = 0;
	unsigned int n = 0;
	uint64_t expected;
	double deadline;
	int r;

	r = lab_workload_list(&s->lab, &list, &n, err);
	if (r)
		return r;
	l = calloc(n + 1, sizeof(*l));
	if (!l) {
		free(list);
		return story_fail(err, -ENOMEM, "out of memory");
	}
	for (unsigned int i = 0; i < n; i++)
		l[i].fd = -1;
	for (unsigned int i = 0; i < n && r == 0; i++) {
		l[i].w = list[i];
		l[i].own = strcmp(list[i].group, group) == 0;
		own += l[i].own;
		l[i].fd = open_capture(&s->lab, &list[i], err);
		if (l[i].fd < 0)
			r = l[i].fd;
	}
	if (r == 0 && (own < 2 || own == n))
		r = story_fail(err, -EINVAL, "isolation needs two groups of workloads");
	expected = s->figures.marked_frames + 2ull * count * own * (own - 1);
	for (unsigned int c = 0; c < count && r == 0; c++) {
		for (unsigned int i = 0; i < n && r == 0; i++) {
			if (!l[i].own)
				continue;
			r = send_marked(&l[i], group, true);
			if (r == 0)
				r = send_marked(&l[i], group, false);
			if (r)
				story_fail(err, r, "cannot send at %s", l[i].w.name);
		}
		drain_all(s, l, n, group);
	}
	/* All copies travel the same way at the same time: when the group has seen all of its own,
	 * a little longer is enough for those that went astray. */
	deadline = story_now() + 2000;
	while (r == 0 && s->figures.marked_frames < expected && story_now() < deadline) {
		poll(NULL, 0, 5);
		drain_all(s, l, n, group);
	}
	if (r == 0) {
		poll(NULL, 0, 200);
		drain_all(s, l, n, group);
		if (s->figures.marked_frames < expected)
			r = story_fail(err, -EIO, "%s saw %llu of %llu of its own frames", group,
				(unsigned long long)s->figures.marked_frames,
				(unsigned long long)expected);
	}
	for (unsigned int i = 0; i < n; i++)
		if (l[i].fd >= 0)
			close(l[i].fd);
	free(l);
	free(list);
	return r;
}
