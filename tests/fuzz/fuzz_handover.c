/*
 * libFuzzer: what the holder and the forwarding process may say to each other, whichever of them is
 * not to be trusted: any datagrams with any descriptors. Nothing crashes, and no descriptor is left
 * open.
 *
 * Bit 0 of the input's first octet: to the holder or to the forwarding process. Then records
 * (records.h); the operation: bits 0-3 the type, bits 4-6 how many descriptors come with it, bit 7
 * no header is put in front.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dataplane/holder/holder.h"
#include "dataplane/holder_link.h"
#include "proto/lib/log.h"
#include "tests/fuzz/records.h"

#define MAGIC 0x41754831U

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct holder *holder;

/* ---- the holder's doors to the kernel ---- */

void kernel_fdb_write(struct holder *h, const struct handover_fdb_write *write,
	struct handover_fdb_result *result)
{
	for (uint32_t i = 0; i < write->n; i++)
		if (result->error[i] == 0 && write->entries[i].mac[5] & 1)
			result->error[i] = -ENOENT;
}

int kernel_link_set(struct holder *h, uint32_t ifindex, const uint8_t *mac, uint32_t mtu,
	uint32_t txqlen, bool up)
{
	/* nothing but its own port's TAP may be asked for */
	if (ifindex != 3)
		abort();
	return mtu % 7 == 0 ? -EINVAL : 0;
}

void tap_link_set(struct holder *h, struct holder_port *port, bool up)
{
	port->wire_up = up;
}

/* VLAN devices: 10 on the TAP of an access port, 11 on 10, 12 on that of an uplink, 13 on itself */
uint32_t kernel_vlan_lower(uint32_t ifindex)
{
	static const uint32_t lower[] = {2, 10, 1, 13};

	return ifindex >= 10 && ifindex <= 13 ? lower[ifindex - 10] : 0;
}

int kernel_neigh_probe(struct holder *h, uint32_t ifindex, uint32_t address)
{
	if (ifindex != 1)
		abort();
	return 0;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	log_setup(LOG_LEVEL_ERROR, open("/dev/null", O_WRONLY | O_CLOEXEC));
	holder = calloc(1, sizeof(*holder));
	if (holder == NULL)
		abort();
	holder->n_ports = 3;
	for (unsigned int i = 0; i < 3; i++) {
		holder->ports[i].spec.tap_ifindex = i + 1;
		holder->ports[i].spec.role = i == 0 ? PORT_ROLE_UPLINK : PORT_ROLE_ACCESS;
		holder->ports[i].spec.backend = i == 2 ? PORT_BACKEND_ETHDEV : PORT_BACKEND_PACKET;
	}
	return 0;
}

static void datagram_send(int fd, const struct record *r)
{
	struct {
		uint32_t magic;
		uint16_t type, size;
		uint8_t body[8192];
	} d = {.magic = MAGIC, .type = r->op & 15, .size = r->len};
	union {
		struct cmsghdr align;
		char octets[CMSG_SPACE(8 * sizeof(int))];
	} control;
	const size_t n = r->op >> 4 & 7, len = r->len < sizeof(d.body) ? r->len : sizeof(d.body);
	struct iovec iov = {.iov_base = &d, .iov_len = 8 + len};
	struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};
	int fds[8];

	memcpy(d.body, r->data, len);
	if (r->op & 0x80)
		iov = (struct iovec){.iov_base = d.body, .iov_len = len};
	if (n > 0) {
		struct cmsghdr *cmsg;

		memset(&control, 0, sizeof(control));
		for (size_t i = 0; i < n; i++)
			fds[i] = fd;
		mh.msg_control = &control;
		mh.msg_controllen = CMSG_SPACE(n * sizeof(int));
		cmsg = CMSG_FIRSTHDR(&mh);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(n * sizeof(int));
		memcpy(CMSG_DATA(cmsg), fds, n * sizeof(int));
	}
	(void)sendmsg(fd, &mh, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void to_holder(int fd)
{
	struct handover_msg msg;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0)
		abort();
	holder->child.fd = pair[0];
	while (handover_recv(fd, &msg) == 0) {
		(void)request_serve(holder, &msg);
		handover_msg_close(&msg);
		while (handover_recv(pair[1], &msg) == 0)
			if (msg.type != HANDOVER_FDB_RESULT)
				abort();
	}
	close(pair[0]);
	close(pair[1]);
}

static void to_forwarder(int fd)
{
	static struct holder_given given;

	if (holder_receive(fd, 0, &given) == 0)
		holder_given_close(&given);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct record records[RECORDS_MAX];
	int pair[2], before, after;
	size_t n;

	if (size < 2)
		return 0;
	before = dup(STDERR_FILENO);
	close(before);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0)
		abort();
	n = records_split(data + 1, size - 1, records);
	for (size_t i = 0; i < n; i++)
		datagram_send(pair[1], &records[i]);
	shutdown(pair[1], SHUT_WR);
	if (data[0] & 1)
		to_holder(pair[0]);
	else
		to_forwarder(pair[0]);
	close(pair[0]);
	close(pair[1]);
	after = dup(STDERR_FILENO);
	close(after);
	if (after != before)
		abort();
	return 0;
}
