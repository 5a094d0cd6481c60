/*
 * Link messages of the kernel (rtnetlink(7)), reduced to what a port needs.
 */
#include "dataplane/port/wirelink.h"

#include <errno.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>

#include <linux/if.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

int wirelink_request(int fd, uint32_t ifindex)
{
	struct {
		struct nlmsghdr nlh;
		struct ifinfomsg ifi;
	} request = {
		.nlh =
			{
				.nlmsg_len = sizeof(request),
				.nlmsg_type = RTM_GETLINK,
				.nlmsg_flags =
					(uint16_t)(NLM_F_REQUEST | (ifindex == 0 ? NLM_F_DUMP : 0)),
			},
		.ifi = {.ifi_family = AF_UNSPEC, .ifi_index = (int)ifindex},
	};
	const struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};

	while (sendto(fd, &request, sizeof(request), 0, (const struct sockaddr *)&kernel,
		       sizeof(kernel)) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	return 0;
}

static bool link_parse(const struct nlmsghdr *nlh, struct wirelink_state *state)
{
	const struct ifinfomsg *ifi = NLMSG_DATA(nlh);
	const struct rtattr *rta;
	unsigned int operstate = IF_OPER_UNKNOWN;
	int len = (int)nlh->nlmsg_len - (int)NLMSG_LENGTH(sizeof(*ifi));

	if (len < 0 || ifi->ifi_family != AF_UNSPEC)
		return false; /* AF_BRIDGE: a port's bridge attributes, not its link */
	memset(state, 0, sizeof(*state));
	state->ifindex = (uint32_t)ifi->ifi_index;
	state->deleted = nlh->nlmsg_type == RTM_DELLINK;
	for (rta = IFLA_RTA(ifi); RTA_OK(rta, len); rta = RTA_NEXT(rta, len)) {
		const size_t size = RTA_PAYLOAD(rta);

		switch (rta->rta_type & NLA_TYPE_MASK) {
		case IFLA_IFNAME:
			if (size > 0 && size <= sizeof(state->name)) {
				memcpy(state->name, RTA_DATA(rta), size);
				state->name[sizeof(state->name) - 1] = '\0';
			}
			break;
		case IFLA_OPERSTATE:
			if (size >= 1)
				operstate = *(const uint8_t *)RTA_DATA(rta);
			break;
		case IFLA_MTU:
			if (size == sizeof(state->mtu))
				memcpy(&state->mtu, RTA_DATA(rta), size);
			break;
		case IFLA_ADDRESS:
			if (size == sizeof(state->mac))
				memcpy(state->mac, RTA_DATA(rta), size);
			break;
		default:
			break;
		}
	}
	state->up = !state->deleted && (ifi->ifi_flags & IFF_UP) != 0 &&
		    (ifi->ifi_flags & IFF_LOWER_UP) != 0 &&
		    (operstate == IF_OPER_UP || operstate == IF_OPER_UNKNOWN);
	return true;
}

int wirelink_read(int fd, void (*cb)(const struct wirelink_state *state, void *arg), void *arg)
{
	_Alignas(struct nlmsghdr) char buffer[32768];

	for (;;) {
		const ssize_t n = recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT);
		const struct nlmsghdr *nlh = (const struct nlmsghdr *)buffer;
		unsigned int left = n > 0 ? (unsigned int)n : 0;

		if (n < 0) {
			if (errno == EINTR)
				continue;
			return errno == EAGAIN ? 0 : -errno;
		}
		for (; NLMSG_OK(nlh, left); nlh = wirelink_next(nlh, &left)) {
			struct wirelink_state state;

			if (nlh->nlmsg_type == RTM_NEWLINK || nlh->nlmsg_type == RTM_DELLINK) {
				if (link_parse(nlh, &state))
					cb(&state, arg);
			} else if (nlh->nlmsg_type == NLMSG_ERROR &&
				   nlh->nlmsg_len >= NLMSG_LENGTH(sizeof(struct nlmsgerr))) {
				const struct nlmsgerr *e = NLMSG_DATA(nlh);

				if (e->error == -ENODEV) {
					state = (struct wirelink_state){.deleted = true};
					cb(&state, arg);
				}
			}
		}
	}
}
