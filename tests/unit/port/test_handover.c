/*
 * Handover messages over a socketpair: what is sent arrives, with descriptors; what is not valid is
 * refused on either side, and no descriptor leaks.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "dataplane/port/handover.h"

static int pair[2];
static struct handover_msg out, in;

static unsigned int fds_open(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned int n = 0;

	assert_non_null(dir);
	while (readdir(dir) != NULL)
		n++;
	closedir(dir);
	return n;
}

static int setup(void **state)
{
	(void)state;
	memset(&out, 0, sizeof(out));
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair);
}

static int teardown(void **state)
{
	(void)state;
	close(pair[0]);
	close(pair[1]);
	return 0;
}

static void port_make(struct handover_msg *msg, int fd)
{
	*msg = (struct handover_msg){.type = HANDOVER_PORT};
	msg->port = (struct port_spec){
		.id = 3,
		.role = PORT_ROLE_ACCESS,
		.backend = PORT_BACKEND_PACKET,
		.name = "p1",
		.tap = "p1",
		.device = "p1",
		.tap_ifindex = 9,
		.wire_ifindex = 4,
		.mac = {2, 0, 0, 0, 0, 1},
		.mtu = 1500,
		.tap_fd = fd,
		.packet_fd = fd,
		.link_fd = fd,
	};
}

static bool same_file(int a, int b)
{
	struct stat sa, sb;

	return fstat(a, &sa) == 0 && fstat(b, &sb) == 0 && sa.st_dev == sb.st_dev &&
	       sa.st_ino == sb.st_ino;
}

static void test_port(void **state)
{
	const unsigned int before = fds_open();
	int pipes[2];

	(void)state;
	assert_int_equal(pipe(pipes), 0);
	port_make(&out, pipes[0]);
	out.port.link_fd = pipes[1];
	assert_int_equal(handover_send(pair[0], &out), 0);
	assert_int_equal(handover_recv(pair[1], &in), 0);
	assert_int_equal(in.type, HANDOVER_PORT);
	assert_true(same_file(in.port.tap_fd, pipes[0]));
	assert_true(same_file(in.port.packet_fd, pipes[0]));
	assert_int_equal(fcntl(in.port.tap_fd, F_GETFD), FD_CLOEXEC);
	assert_string_equal(in.port.name, "p1");
	assert_int_equal(in.port.mtu, 1500);
	handover_msg_close(&in);
	assert_int_equal(in.port.tap_fd, -1);

	out.port.backend = PORT_BACKEND_ETHDEV;
	out.port.packet_fd = out.port.link_fd = -1;
	assert_int_equal(handover_send(pair[0], &out), 0);
	assert_int_equal(handover_recv(pair[1], &in), 0);
	assert_int_equal(in.port.packet_fd, -1);
	assert_int_equal(in.port.link_fd, -1);
	handover_msg_close(&in);
	close(pipes[0]);
	close(pipes[1]);
	assert_int_equal(fds_open(), before);
}

static void test_all_types(void **state)
{
	enum handover_type type;

	(void)state;
	for (type = HANDOVER_HELLO; type < HANDOVER_TYPES; type++) {
		memset(&out, 0, sizeof(out));
		out.type = type;
		switch (type) {
		case HANDOVER_PORT:
			port_make(&out, pair[0]);
			break;
		case HANDOVER_NETLINK:
			out.netlink.event_fd = out.netlink.dump_fd = pair[0];
			break;
		case HANDOVER_API:
			out.api_fd = pair[0];
			break;
		case HANDOVER_FDB_WRITE:
			out.fdb.n = HANDOVER_BATCH;
			for (int i = 0; i < HANDOVER_BATCH; i++)
				out.fdb.entries[i] = (struct handover_fdb_entry){
					.tap_ifindex = 5,
					.op = HANDOVER_FDB_DELETE,
					.mac = {2, 0, 0, 0, 0, 1},
				};
			break;
		case HANDOVER_FDB_RESULT:
			out.result.n = 2;
			out.result.failed = 1;
			out.result.error[1] = -ENOENT;
			break;
		case HANDOVER_NEIGH_PROBE:
			out.probe.tap_ifindex = 5;
			out.probe.address = 1;
			break;
		case HANDOVER_TAP_SET:
			out.tap.tap_ifindex = 5;
			out.tap.mac[5] = 1;
			out.tap.link = HANDOVER_LINK_UP;
			break;
		default:
			break;
		}
		assert_int_equal(handover_send(pair[0], &out), 0);
		assert_int_equal(handover_recv_wait(pair[1], 1000, &in), 0);
		assert_int_equal(in.type, type);
		assert_string_not_equal(handover_type_name(type), "?");
		if (type == HANDOVER_FDB_WRITE || type == HANDOVER_FDB_RESULT)
			assert_memory_equal(&in.fdb, &out.fdb, sizeof(out.result));
		handover_msg_close(&in);
	}
	assert_string_equal(handover_type_name(HANDOVER_TYPES), "?");
}

static void test_refused_by_sender(void **state)
{
	(void)state;
	out.type = HANDOVER_TYPES;
	assert_int_equal(handover_send(pair[0], &out), -EINVAL);
	port_make(&out, pair[0]);
	out.port.mtu = 100;
	assert_int_equal(handover_send(pair[0], &out), -EINVAL);
	port_make(&out, -1);
	assert_int_equal(handover_send(pair[0], &out), -EINVAL);
	out = (struct handover_msg){.type = HANDOVER_FDB_WRITE};
	assert_int_equal(handover_send(pair[0], &out), -EINVAL);
	out.fdb.n = HANDOVER_BATCH + 1;
	assert_int_equal(handover_send(pair[0], &out), -EINVAL);
	out.fdb.n = 1;
	out.fdb.entries[0] = (struct handover_fdb_entry){
		.tap_ifindex = 5, .op = HANDOVER_FDB_REPLACE, .mac = {1, 0, 0, 0, 0, 1}};
	assert_int_equal(handover_send(pair[0], &out), -EINVAL);
	out.fdb.entries[0].mac[0] = 2;
	assert_int_equal(handover_send(pair[0], &out), 0);
}

/* The sender's checks do not protect the receiver: raw datagrams. */
static void raw_send(const void *octets, size_t n, unsigned int fds)
{
	union {
		struct cmsghdr align;
		char octets[CMSG_SPACE(20 * sizeof(int))];
	} control = {0};
	struct iovec iov = {(void *)octets, n};
	struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};

	if (fds > 0) {
		struct cmsghdr *cmsg;
		unsigned int i;

		mh.msg_control = &control;
		mh.msg_controllen = CMSG_SPACE(fds * sizeof(int));
		cmsg = CMSG_FIRSTHDR(&mh);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(fds * sizeof(int));
		for (i = 0; i < fds; i++)
			memcpy(CMSG_DATA(cmsg) + i * sizeof(int), &pair[0], sizeof(int));
	}
	assert_int_equal(sendmsg(pair[0], &mh, 0), n);
}

static void test_refused_by_receiver(void **state)
{
	const unsigned int before = fds_open();
	uint8_t good[8192], bad[8192];
	ssize_t n;
	unsigned int i;

	(void)state;
	/* take a good datagram off the wire */
	port_make(&out, pair[0]);
	assert_int_equal(handover_send(pair[0], &out), 0);
	n = recv(pair[1], good, sizeof(good), 0);
	assert_in_range(n, 8, sizeof(good));
	raw_send(good, (size_t)n, 3);
	assert_int_equal(handover_recv(pair[1], &in), 0);
	handover_msg_close(&in);

	for (i = 0; i <= 4; i++) { /* too few and too many descriptors */
		if (i == 3)
			continue;
		raw_send(good, (size_t)n, i);
		assert_int_equal(handover_recv(pair[1], &in), -EBADMSG);
	}
	raw_send(good, (size_t)n, 20);
	assert_int_equal(handover_recv(pair[1], &in), -EBADMSG);
	raw_send(good, (size_t)n - 1, 3);
	assert_int_equal(handover_recv(pair[1], &in), -EBADMSG);
	raw_send(good, 4, 3);
	assert_int_equal(handover_recv(pair[1], &in), -EBADMSG);
	memcpy(bad, good, sizeof(bad));
	raw_send(bad, sizeof(bad), 3); /* longer than any message */
	assert_int_equal(handover_recv(pair[1], &in), -EBADMSG);
	for (i = 0; i < 8; i++) { /* magic, type, size */
		memcpy(bad, good, sizeof(bad));
		bad[i] ^= 0x55;
		raw_send(bad, (size_t)n, 3);
		assert_int_equal(handover_recv(pair[1], &in), -EBADMSG);
	}
	memcpy(bad, good, sizeof(bad));
	memset(bad + 8, 0xff, (size_t)n - 8);
	raw_send(bad, (size_t)n, 3);
	assert_int_equal(handover_recv(pair[1], &in), -EBADMSG);
	assert_int_equal(fds_open(), before);
}

/* An empty datagram looks like the end of file; what it carries is closed all the same. */
static void test_empty_with_descriptors(void **state)
{
	const unsigned int before = fds_open();

	(void)state;
	raw_send(NULL, 0, 3);
	assert_int_equal(handover_recv(pair[1], &in), -EBADMSG);
	assert_int_equal(fds_open(), before);
	raw_send(NULL, 0, 0);
	assert_int_equal(handover_recv(pair[1], &in), -EPIPE);
}

static void test_ends(void **state)
{
	(void)state;
	assert_int_equal(handover_recv(pair[1], &in), -EAGAIN);
	assert_int_equal(handover_recv_wait(pair[1], 10, &in), -ETIMEDOUT);
	out.type = HANDOVER_START;
	assert_int_equal(handover_send(pair[0], &out), 0);
	shutdown(pair[0], SHUT_RDWR);
	assert_int_equal(handover_recv(pair[1], &in), 0);
	assert_int_equal(handover_recv(pair[1], &in), -EPIPE);
	assert_int_equal(handover_send(pair[1], &out), -EPIPE);
}

static void test_full(void **state)
{
	int sent = 0, rc;

	(void)state;
	out.type = HANDOVER_START;
	while ((rc = handover_send(pair[0], &out)) == 0)
		sent++;
	assert_int_equal(rc, -EAGAIN);
	while (handover_recv(pair[1], &in) == 0)
		sent--;
	assert_int_equal(sent, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_port, setup, teardown),
		cmocka_unit_test_setup_teardown(test_all_types, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused_by_sender, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused_by_receiver, setup, teardown),
		cmocka_unit_test_setup_teardown(test_empty_with_descriptors, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ends, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
